#!/usr/bin/env python3
"""compare_heldout.py A B: two heldout.jsonl files over the same pairs: accuracies with standard errors, and the paired McNemar test (exact binomial, two-sided) of their decisions.

A decision is right when the margin is above 0. Ends non-zero when A is not at least 2 standard errors above 0.5, or the two differ with p <= 0.01.
"""
import json
import math
import sys


def decisions(path):
    with open(path) as f:
        return {line["source"]: line["margin"] > 0 for line in map(json.loads, f)}


def exact_binomial(b, c):
    """Two-sided p of b against c of b + c fair coins."""
    n, k = b + c, min(b, c)
    return min(1.0, 2.0 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ours, theirs = decisions(sys.argv[1]), decisions(sys.argv[2])
    if not ours or ours.keys() != theirs.keys():
        sys.exit("the two files are not over the same pairs")
    n, accuracy = len(ours), {}
    for name, d in (("critic-rm", ours), ("PyTorch", theirs)):
        accuracy[name] = sum(d.values()) / n
        print(f"{name:10} accuracy {accuracy[name]:.4f} +- {math.sqrt(accuracy[name] * (1 - accuracy[name]) / n):.4f} (standard error) on {n} held-out pairs")
    b = sum(ours[k] and not theirs[k] for k in ours)
    c = sum(theirs[k] and not ours[k] for k in ours)
    p, above = exact_binomial(b, c), (accuracy["critic-rm"] - 0.5) / math.sqrt(0.25 / n)
    print(f"right in critic-rm alone {b}, in PyTorch alone {c}: McNemar p = {p:.3f}; critic-rm is {above:.1f} standard errors above 0.5")
    sys.exit(0 if above >= 2.0 and p > 0.01 else 1)


if __name__ == "__main__":
    main()
