#!/usr/bin/env python3
"""An oracle for dataset/refine and encode_summarise: tests/golden/refine/cases.jsonl.gz, 1,000 random candidate sets, one a line, with ties, missing scores, duplicates, cut, empty and
long critiques; and what method.md, section 2, steps 2 to 4, makes of them, written down here in plain Python with exact fractions.

Texts are ASCII and one token a letter; a node ends with one token more. A score or quality of null is none. `candidates` and `summaries` are [text, score, cut] and [text, cut], chosen
side first. Of `want`: `states` counts usable, empty, repeated, cut, unscored, too long; lists are numbers of candidates; `orders` and `shown` are those of the K summarise calls.
Run: ci/python.sh, then .venv/bin/python tests/golden/make_refine.py
"""
import gzip, json, os, random, sys
from fractions import Fraction

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "tools"))
import philox

PERMUTATION = 3
CASES, SEED = 1000, 11
TURN_END = 258                                                      # of tests/tools/byte_tokenizer.h
OPEN, CLOSE = "\n<user\nOf ", " make one.>\n<assistant\n"           # what stands around the list in a summarise call; < and > are one token each


# ---- the method -------------------------------------------------------------------------------------------------------------------------------


def means(case):
    scores = [[Fraction(s) for _, s, _ in side if s is not None] for side in case["candidates"]]
    return [sum(s) / len(s) if s else None for s in scores], [len(s) for s in scores]


def verdict(case):
    (chosen, rejected), scored = means(case)
    least = Fraction(case["min_scored"]) * max(len(side) for side in case["candidates"])
    if case["responses"][0] == case["responses"][1]:
        return "equal responses"
    if chosen is None or rejected is None or min(scored) < least:
        return "too few scores"
    return "kept" if chosen > rejected else "tie" if chosen == rejected else "contradicts"


def usable(case, side, critiques, needs_score):
    """Of [text, score, cut]: the numbers of the usable ones, and the counts of every state."""
    room = case["max_path_tokens"] - 1 - case["lead_in"] - len(case["prompt"]) - 1 - len(case["responses"][side]) - 1
    out, states, seen = [], [0] * 6, set()
    for i, (text, score, cut) in enumerate(critiques):
        state = 1 if not text else 2 if text in seen else 3 if cut else 4 if needs_score and score is None else 5 if len(text) + 1 > room else 0
        seen.add(text)
        states[state] += 1
        if state == 0:
            out.append(i)
    return out, states


def ranked(numbers, quality, k):
    return sorted(numbers, key=lambda i: (quality[i] is None, -(quality[i] or 0)))[:k]       # stable


def node(text):
    return b"".join(t.to_bytes(4, "little") for t in list(text.encode()) + [TURN_END])


def order(case, side, k, numbers):
    identity = philox.hash_bytes(node(case["responses"][side]), philox.hash_bytes(node(case["prompt"])))
    key, out = philox.key_of(case["seed"], PERMUTATION), list(numbers)
    for i in range(len(out), 1, -1):
        j = philox.below(key, i, k, identity, i)
        out[i - 1], out[j] = out[j], out[i - 1]
    return out


def shown(case, side, numbers):
    """How many of the critiques, in this order, fit in summarise_tokens."""
    n = 0
    for n in range(len(numbers), 0, -1):
        texts = [case["candidates"][side][i][0] for i in numbers[:n]]
        if len(OPEN + "\n\n".join(f"{i + 1}. {t}" for i, t in enumerate(texts)) + CLOSE) <= case["summarise_tokens"]:
            return n
    return 0


def expect_side(case, side):
    numbers, states = usable(case, side, case["candidates"][side], True)
    k, quality = case["critiques_per_response"], case["qualities"][side]
    orders = [order(case, side, i, numbers) for i in range(k)]
    summaries, summary_states = usable(case, side, [[text, None, cut] for text, cut in case["summaries"][side]], False)
    return {"usable": numbers, "states": states, "rank": ranked(numbers, quality, k), "ungraded": sum(quality[i] is None for i in numbers), "none": numbers[:k], "orders": orders,
            "shown": [shown(case, side, o) for o in orders], "summaries": summaries, "summary_states": summary_states}


# ---- the cases --------------------------------------------------------------------------------------------------------------------------------


def text(rng, pool):
    """Often one that was there already."""
    kind = rng.random()
    if pool and kind < 0.25:
        return rng.choice(pool)
    made = "" if kind < 0.3 else "".join(rng.choice("abc de.") for _ in range(rng.choice([1, 2, 3, 8, 20, 30])))
    pool.append(made)
    return made


def score(rng, low, high, missing):
    if rng.random() < missing:
        return None
    return rng.randint(low, high) + (rng.choice([0.5, 0.25]) if high < 10 and rng.random() < 0.05 else 0)


def make_case(rng):
    n, k, missing = rng.randint(1, 12), rng.randint(1, 5), rng.choice([0, 0, 0.2, 0.5])
    low = rng.choice([1, 4, 7])
    case = {"prompt": text(rng, []) or "p", "responses": [text(rng, []) or "a", text(rng, []) or "b"], "seed": rng.getrandbits(40), "min_scored": rng.choice(["0", "0.1", "0.5", "0.7", "1"]),
            "critiques_per_response": k, "lead_in": rng.randint(0, 20), "max_path_tokens": rng.choice([40, 60, 80, 200]), "summarise_tokens": rng.choice([45, 60, 90, 300])}
    if rng.random() < 0.03:
        case["responses"][1] = case["responses"][0]
    case["candidates"], case["qualities"], case["summaries"] = [], [], []
    for side in range(2):
        pool, m = [], n if rng.random() < 0.9 else rng.randint(0, n)
        span = (low, low) if rng.random() < 0.3 else (low, low + rng.randint(1, 3))         # means that are close, and often the same
        case["candidates"].append([[text(rng, pool), score(rng, *span, missing), int(rng.random() < 0.1)] for _ in range(m)])
        case["qualities"].append([score(rng, 5, 8, 0.2) for _ in range(m)])
        case["summaries"].append([[text(rng, pool), int(rng.random() < 0.1)] for _ in range(k)])
    sides = [expect_side(case, side) for side in range(2)]
    case["want"] = {"verdict": verdict(case), "scored": means(case)[1], "sides": sides, "written": {mode: all(s[mode] for s in sides) for mode in ("rank", "none", "summaries")}}
    return case


def main():
    rng, path = random.Random(SEED), os.path.join(here, "refine", "cases.jsonl.gz")
    cases = [make_case(rng) for _ in range(CASES)]
    verdicts = [c["want"]["verdict"] for c in cases]
    print({v: verdicts.count(v) for v in sorted(set(verdicts))})
    with gzip.GzipFile(path, "wb", mtime=0) as f:
        f.write("".join(json.dumps(c, separators=(",", ":")) + "\n" for c in cases).encode())
    print(f"{path}: {os.path.getsize(path)} bytes")


main()
