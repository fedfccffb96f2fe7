#!/usr/bin/env python3
"""torch_gradients.py FOLDER: of what test_gpu_train kept there (CRITIC_RM_GPU_KEEP): 1 - cosine between the gradients of PyTorch in bf16 and in float32, tensor by tensor, beside the GPU's
and the CPU's bf16 against the CPU's float32. PyTorch's bf16 is autocast, where residuals stay float32, and a model that is bf16 throughout, as ours is. Model and losses are transformers' and those of tests/tools/method_losses.py, path by path; on a GPU where PyTorch sees one.

Prints for each mode the largest ratio of the GPU's to each of the two over the tensors, as a measure (measures.py); a tensor whose gradient is 0 is left out."""
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


def make_model(config, weights, dtype):
    model = LlamaForCausalLM(config)
    missing, unknown = model.load_state_dict({name: w for name, w in weights.items() if name != "score.weight"}, strict=False)
    assert not unknown and set(missing) <= {"lm_head.weight"}, (missing, unknown)
    model, head = model.to(dtype), torch.nn.Parameter(weights["score.weight"].to(torch.get_default_device()))
    return model, head, dict(model.named_parameters(), **{"score.weight": head})


def gap(a, b):
    size = float(a.norm() * b.norm())
    return 1 - float(a @ b) / size if size > 0 else 0.0


def main():
    folder = sys.argv[1]
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    weights = load_file(os.path.join(folder, "model.safetensors"))
    config = LlamaConfig(**json.load(open(os.path.join(folder, "config.json"))), attn_implementation="sdpa")
    pairs, n_lead_in = read_pairs(folder)
    model, head, named = make_model(config, weights, torch.float32)
    short, short_head, short_named = make_model(config, weights, torch.bfloat16)
    whole, throughout = losses(model, head, pairs, n_lead_in), losses(short, short_head, pairs, n_lead_in)
    for mode in whole:
        exact = gradients(named, whole[mode], False)
        peers = {"autocast's": gradients(named, whole[mode], True), "PyTorch's in bf16 throughout": gradients(short_named, throughout[mode], False)}
        ratios = {peer: [] for peer in peers}
        for line in open(os.path.join(folder, mode + ".gaps")):
            name, gpu, cpu = line.split()
            theirs = {peer: gap(g[name], exact[name]) for peer, g in peers.items()}
            print(f"{mode} {name}: GPU {float(gpu):.3g}, CPU {float(cpu):.3g}, " + ", ".join(f"{peer} {x:.3g}" for peer, x in theirs.items()), file=sys.stderr)
            for peer, x in theirs.items():
                if x > 0:
                    ratios[peer].append(float(gpu) / x)
        for peer, found in ratios.items():
            measure(f"gradients in bf16, {mode}: largest 1 - cosine over {peer}", max(found), "ratio")

main()
