#!/usr/bin/env python3
"""llama_generate.py: greedy generation by llama.cpp through the low-level interface of llama-cpp-python.

    llama_generate.py MODEL.gguf TYPE THREADS SEQUENCES PROMPT_TOKENS BRANCHES NEW_TOKENS unified|streams flash|plain
        all sequences are decoded in one batch a step. Branches of a prompt are made by llama_memory_seq_cp, llama.cpp's own copy of a sequence. TYPE says what the file holds, and is
        read by nobody. One short generation warms up. Prints `prefill_s decode_s new_tokens`, as bench_generate.py says.
    llama_generate.py MODEL.gguf check THREADS GOLDEN.json LEAST_GAP
        continues the prompts of make_generate.py's file, float32 cache: tokens must be equal before the first whose gap is below LEAST_GAP. Prints how many were.
"""
import ctypes
import json
import sys
import time

import llama_cpp as L
import numpy as np

from prompts import prompts

CELLS = 256         # llama.cpp rounds a sequence's cells up to this


class Engine:
    def __init__(self, path, threads, sequences, cells, unified, flash, batch, cache=L.GGML_TYPE_F16):
        model = L.llama_model_default_params()
        model.n_gpu_layers = 0
        self.model = L.llama_model_load_from_file(path.encode(), model) or sys.exit(f"{path}: llama.cpp cannot load it")
        self.vocabulary = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))
        context = L.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_seq_max = cells, batch, sequences
        context.n_threads = context.n_threads_batch = threads
        context.kv_unified, context.flash_attn_type = unified, L.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else L.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context.type_k = context.type_v = cache
        self.context = L.llama_init_from_model(self.model, context) or sys.exit("llama.cpp cannot make a context")
        self.memory, self.batch = L.llama_get_memory(self.context), L.llama_batch_init(batch, 0, 1)

    def decode(self, entries):
        """entries: (token, position, sequence, wants logits). The most probable token after each that wants logits."""
        b = self.batch
        b.n_tokens = len(entries)
        for i, (token, position, sequence, wanted) in enumerate(entries):
            b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = token, position, 1, wanted
            b.seq_id[i][0] = sequence
        status = L.llama_decode(self.context, b)
        if status != 0:
            sys.exit(f"llama_decode returned {status}")
        wanted = sum(entry[3] for entry in entries)
        return np.ctypeslib.as_array(L.llama_get_logits(self.context), (wanted, self.vocabulary)).argmax(1).tolist()

    def prefill(self, texts, branches):
        """Text s becomes sequences s * branches and on. The first new token of each."""
        L.llama_memory_clear(self.memory, False)
        entries = [(token, i, s * branches, i == len(text) - 1) for s, text in enumerate(texts) for i, token in enumerate(text)]
        first = self.decode(entries)
        for s in range(len(texts)):
            for b in range(1, branches):
                L.llama_memory_seq_cp(self.memory, s * branches, s * branches + b, -1, -1)
        return [token for token in first for _ in range(branches)]

    def generate(self, texts, branches, n):
        """Texts of one length, or one text. New tokens [sequence][n], seconds of prefill and of decoding."""
        start = time.perf_counter()
        tokens = self.prefill(texts, branches)
        first, new = time.perf_counter(), [[token] for token in tokens]
        for step in range(n - 1):
            tokens = self.decode([(token, len(texts[0]) + step, s, 1) for s, token in enumerate(tokens)])
            for s, token in enumerate(tokens):
                new[s].append(token)
        return new, first - start, time.perf_counter() - first


def up(n):
    return (n + CELLS - 1) // CELLS * CELLS


def measure():
    threads, sequences, prompt_tokens, branches, new_tokens = map(int, sys.argv[3:8])
    unified, flash = sys.argv[8] == "unified", sys.argv[9] == "flash"
    total = sequences * branches
    cells = up(sequences * (prompt_tokens + branches * new_tokens)) if unified else total * up(prompt_tokens + new_tokens)
    engine = Engine(sys.argv[1], threads, total, cells, unified, flash, max(sequences * prompt_tokens, total))
    texts = prompts(sequences, prompt_tokens, engine.vocabulary)
    engine.generate([text[:8] for text in texts], branches, 4)
    new, prefill, decode = engine.generate(texts, branches, new_tokens)
    print(f"{prefill:.6f} {decode:.6f} {total * (new_tokens - 1)}")


def check():
    golden, least = json.load(open(sys.argv[4])), float(sys.argv[5])
    longest = max(map(len, golden["prompt"]))
    engine = Engine(sys.argv[1], int(sys.argv[3]), 1, up(longest + len(golden["new"][0])), True, False, longest, L.GGML_TYPE_F32)
    compared = 0
    for p, (prompt, want, gap) in enumerate(zip(golden["prompt"], golden["new"], golden["gap"])):
        n = next((i for i, g in enumerate(gap) if g < least), len(gap))
        new, _, _ = engine.generate([prompt], 1, max(n, 1))
        for i in range(n):
            if new[0][i] != want[i]:
                sys.exit(f"prompt {p}, token {i}: llama.cpp says {new[0][i]}, transformers {want[i]} with a gap of {gap[i]}")
        compared += n
    print(compared, sum(map(len, golden["new"])))


def main():
    L.llama_log_set(silent, ctypes.c_void_p())
    check() if sys.argv[2] == "check" else measure()


@L.llama_log_callback
def silent(level, text, _):
    if level == 4:      # GGML_LOG_LEVEL_ERROR
        sys.stderr.write(text.decode(errors="replace"))


main()
