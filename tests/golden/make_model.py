#!/usr/bin/env python3
"""Golden numbers of tiny random models of every family: tests/golden/model/, read by test_model.c.

    cases.json                      the pairs (token ids), and for each model the losses
    NAME/config.json, model.safetensors       as transformers saves them, with score.weight
    NAME/golden.safetensors         "logits" of one path, and the gradients LOSS/TENSOR of every parameter for each LOSS below

Everything is computed by transformers in float32, path by path: each critique's path is a row of its own (x, y with the instruction, z, reward token), nothing is shared. LOSS is one of
critique_token, critique_sequence (l_c by normaliser), reward_zip, reward_sample, reward_cross (l_r by pairing) and reward_only (l_r without critiques). The gradient of each mode is
lambda times one of the first two plus 1 - lambda times one of the others.
Run: ci/python.sh, then .venv/bin/python tests/golden/make_model.py
"""
import json, os, random, shutil, sys
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "tools"))
import method_losses as losses
import philox

OUT = os.path.join(here, "model")
SEED, PAIRING, EPOCH = 1, 1, 0          # of the run in test_model.c; the purpose of base/philox.h; T = 1, E = 1
VOCABULARY, REWARD_TOKEN, LEAD_IN = 61, 60, [50, 51]
SHAPE = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5,
             rope_theta=100.0, bos_token_id=None, eos_token_id=None, attn_implementation="eager")
# Three frequencies with wavelengths 6, 29 and 135: one of each branch of the llama3 rule.
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
MODELS = {
    "llama": LlamaConfig(**SHAPE, rope_scaling=LLAMA3, tie_word_embeddings=False),
    "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=False),
    "qwen3": Qwen3Config(**SHAPE, head_dim=8, tie_word_embeddings=True),
    "mistral": MistralConfig(**SHAPE, head_dim=6, sliding_window=None, tie_word_embeddings=False),
}


# ---- pairs ------------------------------------------------------------------------------------------------------------------------------------------

def make_pairs():
    draw = random.Random(5)
    tokens = lambda least, most: [draw.randrange(50) for _ in range(draw.randint(least, most))]
    side = lambda n: {"response": tokens(4, 10) + LEAD_IN, "critiques": [tokens(2, 8) for _ in range(n)]}
    counts = [(1, 1), (3, 2), (2, 4), (1, 3), (4, 4)]
    return [{"source": 3 * i + 2, "prompt": tokens(3, 10), "sides": [side(a), side(b)]} for i, (a, b) in enumerate(counts)]


# ---- the model of transformers ----------------------------------------------------------------------------------------------------------------------

def make_model(config, seed):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(0.0, 0.25)
            if "norm" in name:
                p.add_(1.0)
    head = torch.nn.Parameter(torch.randn(1, config.hidden_size) * 0.5)
    return model, head


# ---- the losses, as method.md states them -----------------------------------------------------------------------------------------------------------

def comparisons(pair, pairing):
    n, m = (len(side["critiques"]) for side in pair["sides"])
    if pairing == "zip":
        return losses.zipped(pair)
    if pairing == "cross":
        return [(i, j) for i in range(n) for j in range(m)]
    key = philox.key_of(SEED, PAIRING)
    return [tuple(philox.below(key, s, EPOCH, pair["source"], count) for s, count in enumerate((n, m)))]


def reward_loss(pairing):
    return lambda model, head, pairs: losses.reward_loss(model, head, pairs, REWARD_TOKEN, lambda pair: comparisons(pair, pairing))


LOSSES = {
    "critique_token": lambda model, head, pairs: losses.critique_loss(model, pairs, "token"),
    "critique_sequence": lambda model, head, pairs: losses.critique_loss(model, pairs, "sequence"),
    "reward_zip": reward_loss("zip"),
    "reward_sample": reward_loss("sample"),
    "reward_cross": reward_loss("cross"),
    "reward_only": lambda model, head, pairs: losses.reward_only_loss(model, head, pairs, REWARD_TOKEN, len(LEAD_IN)),
}


def gradients(model, head, pairs, golden):
    values, named = {}, dict(model.named_parameters(), **{"score.weight": head})
    for loss, compute in LOSSES.items():
        for p in named.values():
            p.grad = None
        value = compute(model, head, pairs)
        value.backward()
        values[loss] = value.item()
        golden.update({f"{loss}/{name}": p.grad.clone() if p.grad is not None else torch.zeros_like(p) for name, p in named.items()})
    return values


def write_model(name, config, seed, pairs, path):
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    model, head = make_model(config, seed)
    model.save_pretrained(folder, safe_serialization=True)
    os.remove(os.path.join(folder, "generation_config.json"))
    file = os.path.join(folder, "model.safetensors")
    save_file(dict(load_file(file), **{"score.weight": head.detach()}), file, metadata={"format": "pt"})
    with torch.no_grad():
        golden = {"logits": model.lm_head(losses.hidden_of(model, path)).contiguous()}
    values = gradients(model, head, pairs, golden)
    save_file({key: value.contiguous() for key, value in golden.items()}, os.path.join(folder, "golden.safetensors"))
    return values


def main():
    pairs = make_pairs()
    path = pairs[1]["prompt"] + pairs[1]["sides"][1]["response"] + pairs[1]["sides"][1]["critiques"][0] + [REWARD_TOKEN]
    values = {name: write_model(name, config, 11 + i, pairs, path) for i, (name, config) in enumerate(MODELS.items())}
    with open(os.path.join(OUT, "cases.json"), "w") as f:
        json.dump({"seed": SEED, "vocabulary": VOCABULARY, "reward_token": REWARD_TOKEN, "lead_in": LEAD_IN, "path": path, "pairs": pairs, "losses": values}, f)
    for name, found in values.items():
        print(name, {loss: round(value, 4) for loss, value in found.items()})


main()
