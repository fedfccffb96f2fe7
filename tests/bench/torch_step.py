#!/usr/bin/env python3
"""torch_step.py: the training step of bench_step.py in PyTorch, as fast as we know to write it: one micro-batch a pair, paths of equal length and so no padding and a causal
sdpa, logits at prediction rows only, no recompute, fused AdamW; bf16 is autocast over float32 master weights. Prints one JSON line.

    torch_step.py CONFIG.json --k 1 --dtype float32 --threads 2 --steps 3 [--compile]
"""
import argparse
import json
import time

import torch
import torch.nn.functional as F
import transformers
from transformers import LlamaConfig, LlamaModel

PAIRS, PROMPT, RESPONSE, CRITIQUE = 4, 400, 400, 160


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("config")
    p.add_argument("--k", type=int, required=True)
    p.add_argument("--dtype", choices=["float32", "bf16"], required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--compile", action="store_true")
    return p.parse_args()


def losses(model, lm_head, head, pairs, k):
    """Sums over the 2K paths [x, y, z, reward token] of each pair: cross-entropy over critique tokens, and the mean of K comparisons."""
    length, tokens = PROMPT + RESPONSE + CRITIQUE, pairs.flatten(0, 1)
    hidden = model(input_ids=tokens, use_cache=False).last_hidden_state
    rows = hidden[:, PROMPT + RESPONSE - 1:length - 1].reshape(-1, hidden.shape[-1])
    logits = F.linear(rows, lm_head)
    critique = F.cross_entropy(logits.float(), tokens[:, PROMPT + RESPONSE:length].reshape(-1), reduction="sum")
    with torch.autocast(tokens.device.type, enabled=False):
        reward = F.linear(hidden[:, -1].float(), head).view(-1, 2, k)
        comparison = F.softplus(-(reward[:, 0] - reward[:, 1])).mean(1).sum()
    return critique, comparison


def main():
    a = arguments()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    config = LlamaConfig(**json.load(open(a.config)), attn_implementation="sdpa")
    model = LlamaModel(config).float()
    head = torch.nn.Parameter(torch.randn(1, config.hidden_size) / (config.hidden_size + 1) ** 0.5)
    optimizer = torch.optim.AdamW(list(model.parameters()) + [head], lr=1e-6, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    tokens = torch.randint(0, config.vocab_size, (PAIRS, 2 * a.k, PROMPT + RESPONSE + CRITIQUE + 1))
    targets = PAIRS * 2 * a.k * CRITIQUE
    part = torch.compile(losses) if a.compile else losses

    def step():
        optimizer.zero_grad(set_to_none=False)
        for pair in tokens.split(1):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.dtype == "bf16"):
                critique, comparison = part(model, model.embed_tokens.weight, head, pair, a.k)
                (0.5 * critique / targets + 0.5 * comparison / PAIRS).backward()
        torch.nn.utils.clip_grad_norm_(list(model.parameters()) + [head], 1.0)
        optimizer.step()

    step()
    seconds = []
    for _ in range(a.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    n = 1024
    kind = torch.bfloat16 if a.dtype == "bf16" else torch.float32
    x, y, best = torch.randn(n, n, dtype=kind), torch.randn(n, n, dtype=kind), 1e9
    for _ in range(20):
        start = time.perf_counter()
        x @ y
        best = min(best, time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "tokens": tokens.numel(), "gemm_gflops": 2e-9 * n ** 3 / best, "torch": torch.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
