#!/usr/bin/env python3
"""torch_cuda_step.py [--layers N]: the training step of bench_cuda's part compare in PyTorch, as fast as we know to write it (torch_step.py): torch.compile, sdpa, fused AdamW, logits at
prediction rows only, paths of equal length and so no padding, prefixes not shared; bf16 is autocast over float32 weights. 64 pairs a step, in micro-batches of the size, and with sdpa's own
choice or cuDNN, whichever is fastest in a trial of one micro-batch."""
import argparse
import contextlib
import gc
import statistics
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import LlamaConfig, LlamaModel

import torch_step
from measures import DEVICE, SHAPE_8B, SHAPE_SMALL, SMALL, measure, note, now

PAIRS, CASES, STEPS = (4, {1: (1, 2), 4: (1,)}, 1) if SMALL else (64, {1: (4, 8, 16), 4: (1, 2, 4)}, 2)       # K: pairs of a micro-batch to try
if SMALL:
    torch_step.PROMPT, torch_step.RESPONSE, torch_step.CRITIQUE = 6, 6, 3


def make_model(layers):
    torch.manual_seed(1)
    config = LlamaConfig(**dict(SHAPE_SMALL if SMALL else SHAPE_8B, num_hidden_layers=layers), attn_implementation="sdpa", tie_word_embeddings=False)
    with torch.device(DEVICE):
        model = LlamaModel(config).float()
        lm_head = torch.nn.Parameter(0.02 * torch.randn(config.vocab_size, config.hidden_size))
        head = torch.nn.Parameter(torch.randn(1, config.hidden_size) / (config.hidden_size + 1) ** 0.5)
    return model, lm_head, head


class Step:
    def __init__(self, layers, k):
        self.model, self.lm_head, self.head = make_model(layers)
        self.parameters = [*self.model.parameters(), self.lm_head, self.head]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-6, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        self.length = torch_step.PROMPT + torch_step.RESPONSE + torch_step.CRITIQUE + 1
        self.k, self.tokens = k, torch.randint(0, self.model.config.vocab_size, (PAIRS, 2 * k, self.length), device=DEVICE)
        self.losses = torch.compile(torch_step.losses, dynamic=False)

    def micro_batch(self, pairs):
        targets = PAIRS * 2 * self.k * torch_step.CRITIQUE
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            critique, comparison = self.losses(self.model, self.lm_head, self.head, pairs, self.k)
            loss = 0.5 * critique / targets + 0.5 * comparison / PAIRS
        loss.backward()

    def run(self, size, cudnn):
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION) if cudnn else contextlib.nullcontext():
            for pairs in self.tokens.split(size):
                self.micro_batch(pairs)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)

    def trial(self, size, cudnn):
        """Seconds of a pair in a micro-batch of this size; infinity where memory does not suffice or cuDNN refuses."""
        try:
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION) if cudnn else contextlib.nullcontext():
                self.micro_batch(self.tokens[:size])
                start = now()
                self.micro_batch(self.tokens[:size])
                return (now() - start) / size
        except RuntimeError as error:
            print(f"micro-batches of {size} pairs, K = {self.k}: {str(error).splitlines()[0]}", file=sys.stderr)
            self.optimizer.zero_grad(set_to_none=True)
            if DEVICE == "cuda":
                torch.cuda.empty_cache()
            return float("inf")

    def best(self, sizes):
        size = min(sizes, key=lambda s: self.trial(s, False))
        return size, DEVICE == "cuda" and self.trial(size, True) < self.trial(size, False)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--layers", type=int, default=1 if SMALL else 4)
    layers = p.parse_args().layers
    for k, sizes in CASES.items():
        step, took = Step(layers, k), []
        size, cudnn = step.best(sizes)
        step.run(size, cudnn)
        for _ in range(STEPS):
            start = now()
            step.run(size, cudnn)
            took.append(now() - start)
        note(f"torch compare, K = {k}: micro-batches of {size} pairs, {'cuDNN' if cudnn else 'sdpa as it chooses'}, {layers} layers, PyTorch {torch.__version__}")
        took = statistics.median(took)
        measure(f"torch compare, K = {k}, tokens", step.tokens.numel() / took, "tokens/s")
        measure(f"torch compare, K = {k}, pairs", PAIRS / took, "pairs/s")
        del step
        torch._dynamo.reset()
        gc.collect()


main()
