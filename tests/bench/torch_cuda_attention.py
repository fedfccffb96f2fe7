#!/usr/bin/env python3
"""torch_cuda_attention.py: cuDNN's attention through PyTorch's sdpa at the shapes of bench_cuda's part attention: 4 causal sequences of 4,096 tokens, and the 128 unshared paths of 961
tokens that the forest of 16 pairs with 4 critiques a side stands for. bf16; where there is no GPU, whatever sdpa is on the CPU.

Key and value heads are not copied where cuDNN takes grouped heads as they are; else the copies are made before the clock starts."""
import contextlib

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from measures import DEVICE, SMALL, measure, note, seconds

CAUSAL = (2, 80) if SMALL else (4, 4096)
PATHS = (4, 16) if SMALL else (128, 961)
HEADS = {"8B": (4, 2, 16)} if SMALL else {"8B": (32, 8, 128), "70B / 8": (8, 1, 128)}


def cudnn():
    return sdpa_kernel(SDPBackend.CUDNN_ATTENTION) if DEVICE == "cuda" else contextlib.nullcontext()


def draw(batch, length, heads, dim):
    return torch.randn(batch, length, heads, dim, device=DEVICE, dtype=torch.bfloat16).transpose(1, 2).requires_grad_()


def operands(batch, length, heads, kv_heads, dim):
    q, k, v = draw(batch, length, heads, dim), draw(batch, length, kv_heads, dim), draw(batch, length, kv_heads, dim)
    more = {"enable_gqa": True}
    try:
        F.scaled_dot_product_attention(q, k, v, is_causal=True, **more).sum().backward()
    except RuntimeError:
        note("cuDNN: key and value heads are copied, for it refuses grouped heads")
        k, v = (x.detach().repeat_interleave(heads // kv_heads, 1).requires_grad_() for x in (k, v))
        more = {}
    return q, k, v, more


def run(name, batch, length, heads, kv_heads, dim):
    with cudnn():
        q, k, v, more = operands(batch, length, heads, kv_heads, dim)
        forward = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, **more)
        with torch.no_grad():
            forward_s = seconds(forward)
        o = forward()
        do = torch.randn_like(o)
        backward_s = seconds(lambda: torch.autograd.grad(o, (q, k, v), do, retain_graph=True))
    pairs = batch * heads * length * (length + 1) / 2
    for way, each, took in (("forward", 4, forward_s), ("backward", 10, backward_s)):
        measure(f"cuDNN {way}, {name}", each * dim * pairs / took / 1e12, "TFLOP/s")
        measure(f"cuDNN {way}, {name}, per second", 1 / took, "1/s")


note(f"cuDNN {torch.backends.cudnn.version()} through PyTorch {torch.__version__}")
for model, heads in HEADS.items():
    run(f"causal, {model}", *CAUSAL, *heads)
    run(f"unshared paths, {model}", *PATHS, *heads)
