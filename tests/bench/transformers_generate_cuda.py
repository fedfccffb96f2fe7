#!/usr/bin/env python3
"""transformers_generate_cuda.py: what bench_cuda's part generate does, by transformers' generate (torch_generate.py): 10 branches of 200 new tokens under each of 16 prefixes of 1,000, an
8B model with random weights in bf16, greedy, stops ignored. A branch is a row of a batch: generate shares no prefix. Batches of several sizes are tried with few new tokens, then the best
size with a static cache, which transformers compiles on a GPU; the fastest then makes them all."""
import sys

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

import torch_generate
from measures import DEVICE, SHAPE_8B, SHAPE_SMALL, SMALL, measure, note, now
from prompts import prompts

SEQUENCES, PROMPT, BRANCHES, NEW = (2, 20, 2, 3) if SMALL else (16, 1000, 10, 200)
BATCHES, TRIAL_NEW = ((4, 2), 2) if SMALL else ((160, 80, 40), 24)


def make_model():
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(DEVICE):
        model = LlamaForCausalLM(LlamaConfig(**(SHAPE_SMALL if SMALL else SHAPE_8B), max_position_embeddings=8192, attn_implementation="sdpa", tie_word_embeddings=False)).eval()
    torch.set_default_dtype(torch.float32)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def tokens_per_second(model, ids, new, cache):
    """Of the first batch, as many of which would make the whole; 0 where memory does not suffice."""
    try:
        torch_generate.generate(model, ids, new, cache, False)
        start = now()
        torch_generate.generate(model, ids, new, cache, False)
        return len(ids) * new / (now() - start)
    except torch.OutOfMemoryError as error:
        print(f"a batch of {len(ids)}, {cache} cache: {str(error).splitlines()[0]}", file=sys.stderr)
        torch.cuda.empty_cache()
        return 0.0


def main():
    logging.set_verbosity_error()
    model = make_model()
    ids = torch.tensor(prompts(SEQUENCES, PROMPT, model.config.vocab_size), device=DEVICE).repeat_interleave(BRANCHES, 0)
    batch = max(BATCHES, key=lambda n: tokens_per_second(model, ids[:n], TRIAL_NEW, "dynamic"))
    cache = max(("dynamic", "static"), key=lambda kind: tokens_per_second(model, ids[:batch], TRIAL_NEW, kind))
    note(f"transformers generation: batches of {batch}, {cache} cache, transformers {transformers.__version__}, PyTorch {torch.__version__}")
    measure("transformers generation, new tokens", tokens_per_second(model, ids[:batch], NEW, cache), "tokens/s")


main()
