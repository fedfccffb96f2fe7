#!/usr/bin/env python3
"""check_export.py FOLDER OURS.jsonl [FOLDER OURS.jsonl]...: each exported folder opens in transformers' causal-LM and sequence-classification classes with no missing key, and their
logits and rewards of the paths in OURS (print_rewards) equal ours: ||a - b|| <= 1e-4 ||b||. Ends non-zero, with a sentence, when not."""
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

ALLOWED = {"causal": {"score.weight"}, "classification": {"lm_head.weight"}}        # each class leaves the other's head alone


def load(kind, folder):
    auto = AutoModelForCausalLM if kind == "causal" else AutoModelForSequenceClassification
    model, info = auto.from_pretrained(folder, torch_dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"] or set(info["unexpected_keys"]) - ALLOWED[kind]:
        sys.exit(f"{folder} as {kind}: {info}")
    return model.eval()


def off(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm()).item()


def check(folder, lines):
    causal, classifier = load("causal", folder), load("classification", folder)
    if classifier.config.pad_token_id in (None, lines[0]["path"][-1]):
        sys.exit(f"{folder}: padding is {classifier.config.pad_token_id}, the reward token {lines[0]['path'][-1]}")
    rewards, theirs = torch.tensor([line["reward"] for line in lines]), []
    for line in lines:
        ids = torch.tensor([line["path"]])
        with torch.no_grad():
            logits = causal(ids).logits[0]
            theirs.append(classifier(ids).logits[0, 0])
        wrong = off(torch.tensor(line["logits"]).view_as(logits), logits)
        if not wrong <= 1e-4:
            sys.exit(f"{folder}: the logits differ by {wrong:.2e}")
    wrong = off(rewards, torch.stack(theirs))
    if not wrong <= 1e-4:
        sys.exit(f"{folder}: the rewards differ by {wrong:.2e}")
    print(f"{folder}: {len(lines)} paths equal, rewards within {wrong:.1e}")


for folder, ours in zip(sys.argv[1::2], sys.argv[2::2]):
    check(folder, [json.loads(line) for line in open(ours)])
