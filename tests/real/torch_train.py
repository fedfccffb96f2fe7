#!/usr/bin/env python3
"""torch_train.py RUN OUT [THREADS]: the reward-only run of critic-rm in folder RUN, made again in PyTorch from RUN's own config and D_sub.

The same pairs in the same order, the same initial reward head, the same optimizer and schedule; bf16 is autocast over float32 master weights. Each path is a row of its own, so
nothing is padded. Writes OUT/metrics.jsonl and OUT/heldout.jsonl as critic-rm does; saves its state every 10 steps, and the same command resumes.
"""
import contextlib
import glob
import json
import math
import os
import sys
import time

import h5py
import numpy as np
import torch
import yaml
from transformers import AutoModelForCausalLM

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import philox

PAIRS_AT_ONCE, SAVE_EVERY = 4, 10


# ---- data -------------------------------------------------------------------------------------------------------------------------------------------

def read_pairs(folder):
    """[(source, chosen path, rejected path)]: prompt, response with its end of turn."""
    out = []
    for path in sorted(glob.glob(os.path.join(folder, "*.h5"))):
        with h5py.File(path) as f:
            prompt, response, lead_in = f["token/prompt"][:], f["token/response"][:], int(f.attrs["lead_in_length"])
            x, y = f["offset/prompt"][:].astype(np.int64), f["offset/response"][:].astype(np.int64)
            for p, source in enumerate(f["pair/source"][:]):
                path = lambda side: np.concatenate([prompt[x[p]:x[p + 1]], response[y[2 * p + side]:y[2 * p + side + 1] - lead_in]]).astype(np.int64)
                out.append((int(source), path(0), path(1)))
    return sorted(out, key=lambda pair: pair[0])


def reward_token(run):
    """The one that critic-rm says it saved."""
    with open(sorted(glob.glob(os.path.join(run, "checkpoints", "step_*", "manifest.json")))[-1]) as f:
        return json.load(f)["reward_token"]["id"]


# ---- model ------------------------------------------------------------------------------------------------------------------------------------------

class RewardModel(torch.nn.Module):
    def __init__(self, folder, seed):
        super().__init__()
        self.backbone = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="sdpa").model
        self.head = torch.nn.Parameter(torch.from_numpy(philox.reward_head(seed, self.backbone.config.hidden_size)))

    def forward(self, path):
        hidden = self.backbone(input_ids=path[None], use_cache=False).last_hidden_state[0, -1]
        with torch.autocast("cpu", enabled=False):
            return hidden.float() @ self.head


def autocast(c):
    return torch.autocast("cpu", torch.bfloat16) if c["device"]["dtype"] == "bf16" else contextlib.nullcontext()


def differences(model, c, pairs, token):
    path = lambda ids: torch.from_numpy(np.append(ids, token))
    with autocast(c):
        return torch.stack([model(path(chosen)) - model(path(rejected)) for _, chosen, rejected in pairs])


# ---- training ---------------------------------------------------------------------------------------------------------------------------------------

def rate(peak, warmup, shape, total, step):
    warm = min(1.0, (step + 1) / warmup) if warmup else 1.0
    u = max(0.0, (step - warmup) / (total - warmup)) if total > warmup else 0.0
    return peak * warm * {"constant": 1.0, "linear": 1.0 - u, "cosine": 0.5 * (1.0 + math.cos(math.pi * u))}[shape]


def set_rates(optimizer, o, per_epoch, total, step):
    part = lambda fraction, steps: math.ceil(fraction * steps - 1e-9)
    optimizer.param_groups[0]["lr"] = rate(float(o["lr"]), part(o["warmup"], total), o["schedule"], total, step)
    optimizer.param_groups[1]["lr"] = rate(float(o["reward_lr"]), part(o["reward_warmup"], per_epoch), o["schedule"], total, step)


def make_optimizer(model, o):
    groups = [{"params": list(model.backbone.parameters())}, {"params": [model.head]}]
    if o["weight_decay"]:
        sys.exit("a weight decay is not made again here")
    return torch.optim.AdamW(groups, betas=(o["beta1"], o["beta2"]), eps=float(o["eps"]), weight_decay=0.0, fused=True)


def train_step(model, c, optimizer, pairs, token):
    loss = correct = 0.0
    optimizer.zero_grad()
    for first in range(0, len(pairs), PAIRS_AT_ONCE):
        d = differences(model, c, pairs[first:first + PAIRS_AT_ONCE], token)
        part = torch.nn.functional.softplus(-d).sum() / len(pairs)
        part.backward()
        loss += part.item()
        correct += (d > 0).sum().item()
    clip = c["optimizer"]["clip"]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip if clip else math.inf).item()
    optimizer.step()
    return {"loss": loss, "reward_accuracy": correct / len(pairs), "grad_norm": norm, "lr": optimizer.param_groups[0]["lr"], "tokens": sum(len(a) + len(b) + 2 for _, a, b in pairs)}


def save(out, model, optimizer, step):
    path = os.path.join(out, "state.pt")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, path + ".tmp")
    os.replace(path + ".tmp", path)


def resume(out, model, optimizer):
    path = os.path.join(out, "state.pt")
    if not os.path.exists(path):
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def evaluate(model, c, pairs, token, step, out):
    with torch.no_grad():
        margins = [differences(model, c, [pair], token).item() for pair in pairs]
    with open(os.path.join(out, "heldout.jsonl.tmp"), "w") as f:
        for (source, _, _), margin in zip(pairs, margins):
            f.write(json.dumps({"step": step, "source": source, "margin": margin}) + "\n")
    os.replace(os.path.join(out, "heldout.jsonl.tmp"), os.path.join(out, "heldout.jsonl"))
    print(f"held out: accuracy {np.mean(np.array(margins) > 0):.4f} of {len(margins)} pairs", flush=True)


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    run, out = sys.argv[1], sys.argv[2]
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) == 4 else os.cpu_count())
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(run, "config.yaml")) as f:
        c = yaml.safe_load(f)
    folder = c["data"]["train"] if os.path.isdir(c["data"]["train"]) else glob.glob(os.path.join(run, "data", "train-*"))[0]
    pairs, seed, n = read_pairs(folder), c["run"]["seed"], c["objective"]["pairs_per_step"]
    held_out = pairs[len(pairs) - c["data"]["eval_last"]:]
    pairs = pairs[:len(pairs) - c["data"]["eval_last"]]
    token, per_epoch = reward_token(run), -(-len(pairs) // n)
    total = per_epoch * c["objective"]["epochs"]
    model = RewardModel(c["backbone"]["path"], seed)
    optimizer = make_optimizer(model, c["optimizer"])
    first = resume(out, model, optimizer)
    for step in range(first, total):
        order = philox.permutation(seed, step // per_epoch, len(pairs))
        begin = time.monotonic()
        set_rates(optimizer, c["optimizer"], per_epoch, total, step)
        at = step % per_epoch * n
        line = {"step": step, **train_step(model, c, optimizer, [pairs[i] for i in order[at:at + n]], token)}
        line["seconds"] = time.monotonic() - begin
        with open(os.path.join(out, "metrics.jsonl"), "a") as f:
            f.write(json.dumps(line) + "\n")
        print(f"step {step + 1}/{total}  loss {line['loss']:.4f}  {line['tokens'] / line['seconds']:.0f} tokens/s", flush=True)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == total:
            save(out, model, optimizer, step + 1)
    evaluate(model, c, held_out, token, total - 1, out)


if __name__ == "__main__":
    main()
