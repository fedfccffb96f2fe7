#!/usr/bin/env python3
"""torch_generate.py FOLDER TYPE THREADS SEQUENCES PROMPT_TOKENS BRANCHES NEW_TOKENS [sdpa|eager] [dynamic|static] [compiled]: transformers' greedy generate of one batch of equally long
prompts, so without padding, end of turn ignored. A branch is a row of the batch: generate has no shared prefix. A short generation warms up, for compiled code the whole one. Prints `prefill_s decode_s new_tokens`, as
bench_generate.py says."""
import sys
import time

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from prompts import prompts

TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


class Clock:
    """A logits processor that changes nothing: its first call is the end of prefill."""

    def __init__(self):
        self.start, self.first = time.perf_counter(), None

    def __call__(self, ids, scores):
        self.first = self.first or time.perf_counter()
        return scores


def generate(model, ids, n, cache, compiled):
    more = {"cache_implementation": "static"} if cache == "static" else {}
    if compiled:
        from transformers import CompileConfig
        more["compile_config"] = CompileConfig(mode="default")
        more["compile_config"]._compile_all_devices = True
    clock = Clock()
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=n, logits_processor=[clock], **more)
    end = time.perf_counter()
    assert out.shape[1] == ids.shape[1] + n, out.shape
    return clock.first - clock.start, end - clock.first


def main():
    folder, dtype, attention, cache = sys.argv[1], sys.argv[2], *(sys.argv[8:10] or ("sdpa", "dynamic"))
    threads, sequences, prompt_tokens, branches, new_tokens = map(int, sys.argv[3:8])
    compiled = "compiled" in sys.argv[10:]
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=TYPES[dtype], attn_implementation=attention).eval()
    model.generation_config.eos_token_id = None
    ids = torch.tensor(prompts(sequences, prompt_tokens, model.config.vocab_size)).repeat_interleave(branches, 0)
    generate(model, ids if compiled else ids[:, :8], new_tokens if compiled else 4, cache, compiled)
    prefill, decode = generate(model, ids, new_tokens, cache, compiled)
    print(f"{prefill:.6f} {decode:.6f} {len(ids) * (new_tokens - 1)}")


if __name__ == "__main__":
    main()
