#!/usr/bin/env python3
"""torch_gradients.py FOLDER: of what test_gpu_train kept there (CRITIC_RM_GPU_KEEP): 1 - cosine between the gradients of PyTorch under autocast to bf16 and in float32, tensor by tensor,
beside the GPU's and the CPU's bf16 against the CPU's float32. Model and losses are transformers' and those of tests/tools/method_losses.py, path by path; on a GPU where PyTorch sees one.

Prints for each mode the largest ratio of the GPU's to autocast's over the tensors, as a measure (measures.py); a tensor whose gradient is 0 is left out."""
import json
import os
import sys

import h5py
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, "..", "tools"), os.path.join(here, "..", "bench")]
import method_losses as method
from measures import measure

LAMBDA, REWARD_TOKEN = 0.5, 256         # of test_gpu_train.c, of the byte tokenizer


def read_pairs(folder):
    """All pairs of the set, and the number of tokens of the lead-in that ends each response."""
    pairs, folder = [], os.path.join(folder, "dsub")
    for entry in sorted(name for name in os.listdir(folder) if name.endswith(".h5")):
        with h5py.File(os.path.join(folder, entry)) as f:
            cut = lambda kind, i: f[f"token/{kind}"][f[f"offset/{kind}"][i]:f[f"offset/{kind}"][i + 1]].tolist()
            first = f["offset/critiques_of_response"][:]
            side = lambda r: {"response": cut("response", r), "critiques": [cut("critique", c) for c in range(first[r], first[r + 1])]}
            pairs += [{"prompt": cut("prompt", p), "sides": [side(2 * p), side(2 * p + 1)]} for p in range(len(f["pair/source"]))]
            n_lead_in = len(f.attrs["lead_in"])
    return pairs, n_lead_in


def losses(model, head, pairs, n_lead_in):
    critique, compared = (lambda: method.critique_loss(model, pairs, "token")), (lambda: method.reward_loss(model, head, pairs, REWARD_TOKEN))
    return {"critique-only": critique, "reward-only": lambda: method.reward_only_loss(model, head, pairs, REWARD_TOKEN, n_lead_in),
            "joint": lambda: LAMBDA * critique() + (1 - LAMBDA) * compared()}


def gradients(named, loss, bf16):
    for p in named.values():
        p.grad = None
    with torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16, enabled=bf16):
        loss().backward()
    return {name: torch.zeros(p.numel(), dtype=torch.float64) if p.grad is None else p.grad.double().flatten() for name, p in named.items()}


def gap(a, b):
    size = float(a.norm() * b.norm())
    return 1 - float(a @ b) / size if size > 0 else 0.0


def main():
    folder = sys.argv[1]
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    weights = load_file(os.path.join(folder, "model.safetensors"))
    model = LlamaForCausalLM(LlamaConfig(**json.load(open(os.path.join(folder, "config.json"))), attn_implementation="sdpa")).float()
    head = torch.nn.Parameter(weights.pop("score.weight").to(torch.get_default_device()))
    missing, unknown = model.load_state_dict(weights, strict=False)
    assert not unknown and set(missing) <= {"lm_head.weight"}, (missing, unknown)
    pairs, n_lead_in = read_pairs(folder)
    named = dict(model.named_parameters(), **{"score.weight": head})
    for mode, loss in losses(model, head, pairs, n_lead_in).items():
        exact, rounded = gradients(named, loss, False), gradients(named, loss, True)
        ratios = []
        for line in open(os.path.join(folder, mode + ".gaps")):
            name, gpu, cpu = line.split()
            autocast = gap(rounded[name], exact[name])
            print(f"{mode} {name}: GPU {float(gpu):.3g}, CPU {float(cpu):.3g}, autocast {autocast:.3g}", file=sys.stderr)
            if autocast > 0:
                ratios.append(float(gpu) / autocast)
        measure(f"gradients in bf16, {mode}: largest 1 - cosine over autocast's", max(ratios), "ratio")


main()
