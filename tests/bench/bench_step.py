#!/usr/bin/env python3
"""bench_step.py: the training step of critic-rm beside PyTorch's, on one fixed batch: 4 pairs, |x| = |y| = 400 tokens (y with its instruction), |z| = 160 (with end of turn),
K = 1 and 4 critiques a side, all paths equally long so that padding costs nobody, SmolLM2-135M's shape with random weights, both losses acting (lambda 1/2), micro-batches of one
pair on both sides, 1 process of 2 threads. Runs are interleaved and every row of the table is a ratio within one run of this script.

    bench_step.py --program critic-rm --tiny-folder tiny_folder --bench-kernels bench_kernels [--rounds 2] [--types float32,bf16] [--alone ISA]

--alone: ours without PyTorch, its instruction set held down to ISA: utilisation of what a processor has that can do no more.

FLOP of a step = 6 x linear weights x tokens computed + 6 x hidden x vocabulary x prediction rows + 12 x layers x heads x head size x attention pairs seen; utilisation is that
over the best product of 1024^3, of the same minute, type and threads. Memory is the peak of RssAnon + RssShmem of the process.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PAIRS, PROMPT, RESPONSE, CRITIQUE = 4, 400, 400, 160
MODEL = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536, "vocab_size": 49152, "num_hidden_layers": 30, "num_attention_heads": 9,
         "num_key_value_heads": 3, "head_dim": 64, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "hidden_act": "silu", "tie_word_embeddings": True}
LAYERS, HIDDEN, VOCABULARY, HEADS, SIZE = 30, 576, 49152, 9, 64
LINEAR = LAYERS * (HIDDEN * (2 * 576 + 2 * 192) + 3 * HIDDEN * 1536)


def causal(n, seen_before):
    """(query, key) pairs of n rows after seen_before that they all see."""
    return n * seen_before + n * (n + 1) // 2


def step_counts(k, shared):
    """Tokens computed, prediction rows and attention pairs of a step."""
    z = CRITIQUE + 1
    if shared:
        tokens = PROMPT + 2 * RESPONSE + 2 * k * z
        rows = 2 * (1 + k * (CRITIQUE - 1))
        pairs = causal(PROMPT, 0) + 2 * causal(RESPONSE, PROMPT) + 2 * k * causal(z, PROMPT + RESPONSE)
    else:
        tokens, rows, pairs = 2 * k * (PROMPT + RESPONSE + z), 2 * k * CRITIQUE, 2 * k * causal(PROMPT + RESPONSE + z, 0)
    return PAIRS * tokens, PAIRS * rows, PAIRS * pairs


def flop(k, shared):
    tokens, rows, pairs = step_counts(k, shared)
    return 6 * LINEAR * tokens + 6 * HIDDEN * VOCABULARY * rows + 12 * LAYERS * HEADS * SIZE * pairs


class Peak(threading.Thread):
    """Peak RssAnon + RssShmem of a process, looked at every 20 ms."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.bytes = f"/proc/{pid}/status", 0
        self.start()

    def run(self):
        while True:
            try:
                text = open(self.path).read()
            except OSError:
                return
            found = re.findall(r"Rss(?:Anon|Shmem):\s+(\d+) kB", text)
            if not found:
                return
            self.bytes = max(self.bytes, 1024 * sum(map(int, found)))
            time.sleep(0.02)


def run(command, **more):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    peak = Peak(process.pid)
    out, err = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{err[-2000:]}")
    return out, err, peak.bytes


def letters(n, seed):
    state, text = seed * 2654435761 % 2 ** 32, []
    for _ in range(n):
        state = (state * 1664525 + 1013904223) % 2 ** 32
        text.append(chr(97 + (state >> 24) % 26))
    return "".join(text)


def make_data(folder, a):
    """A byte tokenizer makes lengths exact: one token a letter, one for the end of turn, two for the instruction."""
    subprocess.run([a.tiny_folder, folder, "llama", "2", "4"], check=True)
    json.dump(MODEL, open(os.path.join(folder, "config.json"), "w"))
    with open(os.path.join(folder, "pairs.jsonl"), "w") as f:
        for p in range(PAIRS):
            side = lambda s: {"text": letters(RESPONSE - 3, 10 * p + s), "critiques": [letters(CRITIQUE - 1, 1000 * p + 100 * s + i) for i in range(4)]}
            f.write(json.dumps({"prompt": letters(PROMPT, 7 * p), "chosen": side(1), "rejected": side(2)}) + "\n")
    for k in (1, 4):
        run([a.program, "import", *options(folder), "--set", f"data.critiques_per_response={k}", os.path.join(folder, "pairs.jsonl"), os.path.join(folder, f"dsub{k}")])


def options(folder):
    values = {"backbone.path": folder, "backbone.init": "random", "data.template": f"{folder}/template.txt", "data.critique_prompt": f"{folder}/critique.txt",
              "data.max_path_tokens": PROMPT + RESPONSE + CRITIQUE + 1}
    return [x for key, value in values.items() for x in ("--set", f"{key}={value}")]


def ours(a, folder, k, shared, dtype):
    tokens, _, _ = step_counts(k, shared)
    run_dir = os.path.join(folder, "run")
    shutil.rmtree(run_dir, ignore_errors=True)
    values = {"run.dir": run_dir, "data.train": f"{folder}/dsub{k}", "data.share_prefix": str(shared).lower(), "device.dtype": dtype, "device.threads": a.threads, "objective.mode": "joint",
              "objective.lambda": 0.5, "objective.pairs_per_step": PAIRS, "objective.epochs": a.steps + 1, "mesh.micro_batch_tokens": max(tokens // PAIRS, 2 * (PROMPT + RESPONSE + CRITIQUE + 1)),
              "data.critiques_per_response": k, "log.eval_every": 1000000000, "device.isa": a.alone or "auto"}
    _, err, peak = run([a.program, "train", *options(folder), *[x for key, value in values.items() for x in ("--set", f"{key}={value}")]])
    lines = [json.loads(line) for line in open(os.path.join(run_dir, "metrics.jsonl"))]
    steps = [x for x in lines if "seconds" in x][1:]
    assert steps[0]["tokens"] == tokens, (steps[0]["tokens"], tokens)
    planned = float(re.search(r": ([0-9.]+) MiB together", err).group(1)) * 2 ** 20
    return {"seconds": [x["seconds"] for x in steps], "tokens": tokens, "wait": [x["data_wait_seconds"] for x in steps], "peak": peak, "planned": planned}


def torchs(a, folder, k, dtype, compiled):
    out, _, peak = run([sys.executable, os.path.join(HERE, "torch_step.py"), os.path.join(folder, "config.json"), "--k", str(k), "--dtype", dtype, "--threads", str(a.threads), "--steps",
                        str(a.steps)] + (["--compile"] if compiled else []))
    return {**json.loads(out.splitlines()[-1]), "peak": peak}


def our_gemm(a, dtype):
    out, _, _ = run([a.bench_kernels, str(a.threads), a.alone or "auto", "1024^3"])
    return max(float(m) for m in re.findall(rf"1024\^3.*\s{dtype}\s+([0-9.]+) GFLOP/s", out))


def measure(a, folder, dtype):
    """Rounds of ours K=1 unshared, PyTorch K=1, ours K=4 shared, PyTorch K=4."""
    r = {"one": [], "four": [], "torch_one": [], "torch_four": [], "gemm": []}
    compiled = a.compile == "yes"
    if a.compile == "auto":
        eager, graph = torchs(a, folder, 1, dtype, False), torchs(a, folder, 1, dtype, True)
        compiled = statistics.median(graph["seconds"]) < statistics.median(eager["seconds"])
        r["torch_one"].append(graph if compiled else eager)
    r["compiled"] = compiled
    for _ in range(a.rounds):
        r["one"].append(ours(a, folder, 1, False, dtype))
        r["gemm"].append(our_gemm(a, dtype))
        r["torch_one"].append(torchs(a, folder, 1, dtype, compiled))
        r["gemm"].append(r["torch_one"][-1]["gemm_gflops"])
        r["four"].append(ours(a, folder, 4, True, dtype))
        r["torch_four"].append(torchs(a, folder, 4, dtype, compiled))
    return r


def measure_alone(a, folder, dtype):
    r = {"one": [], "four": [], "gemm": []}
    for _ in range(a.rounds):
        r["one"].append(ours(a, folder, 1, False, dtype))
        r["gemm"].append(our_gemm(a, dtype))
        r["four"].append(ours(a, folder, 4, True, dtype))
        r["gemm"].append(our_gemm(a, dtype))
    return r


def median(runs):
    return statistics.median(s for x in runs for s in x["seconds"])


def utilisation(dtype, r):
    best = max(r["gemm"]) * 1e9
    for name, key, k, shared in (("K = 1 unshared", "one", 1, False), ("K = 4 shared", "four", 4, True)):
        speed = flop(k, shared) / median(r[key])
        yield f"{dtype}: utilisation, {name}, GFLOP/s over the best GEMM's", speed / 1e9, best / 1e9, speed / best, ">=", 0.7


def rows(dtype, r):
    one, four, torch_one, torch_four = (median(r[x]) for x in ("one", "four", "torch_one", "torch_four"))
    tokens, mib = step_counts(1, False)[0], 2 ** 20
    peak = lambda name: max(x["peak"] for x in r[name])
    kind = "compiled" if r["compiled"] else "eager"
    yield f"{dtype}: tokens/s, K = 1 unshared, over PyTorch ({kind})", tokens / one, tokens / torch_one, torch_one / one, ">=", 1.0
    yield f"{dtype}: pairs/s, K = 4 shared, over PyTorch", PAIRS / four, PAIRS / torch_four, torch_four / four, ">=", 2.5
    yield from utilisation(dtype, r)
    for name, key in (("K = 1 unshared", "one"), ("K = 4 shared", "four")):
        planned = r[key][0]["planned"]
        yield f"{dtype}: peak memory, {name}, MiB over the sum printed at start", peak(key) / mib, planned / mib, peak(key) / planned, "<=", 1.05
    yield f"{dtype}: peak memory, K = 1 unshared, MiB over PyTorch's", peak("one") / mib, peak("torch_one") / mib, peak("one") / peak("torch_one"), "<=", 1.0
    yield f"{dtype}: peak memory, K = 4 shared, MiB over PyTorch's", peak("four") / mib, peak("torch_four") / mib, peak("four") / peak("torch_four"), "<=", 0.6
    wait = max(sum(x["wait"]) / sum(x["seconds"]) for x in r["one"] + r["four"])
    yield f"{dtype}: waiting for data, largest part of the step time", wait, 1.0, wait, "<=", 0.01


def main():
    p = argparse.ArgumentParser()
    for name in ("program", "tiny-folder", "bench-kernels"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--steps", type=int, default=2)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--types", default="float32,bf16")
    p.add_argument("--alone", default="")
    p.add_argument("--compile", choices=["auto", "yes", "no"], default="auto")
    a = p.parse_args()
    tokens = [step_counts(4, False)[0] - PAIRS * 8, step_counts(4, True)[0] - PAIRS * 8]      # without the reward tokens
    print(f"{PAIRS} pairs, |x| = {PROMPT}, |y| = {RESPONSE}, |z| = {CRITIQUE}; token ratio at K = 4: {tokens[0] / tokens[1]:.2f}; {a.rounds} rounds of {a.steps} steps; ours, theirs, ratio")
    with tempfile.TemporaryDirectory() as folder:
        make_data(folder, a)
        for dtype in a.types.split(","):
            r = measure_alone(a, folder, dtype) if a.alone else measure(a, folder, dtype)
            if a.alone:
                print(f"{dtype}: held down to {a.alone}; {a.threads} threads")
            else:
                first = r["torch_one"][0]
                print(f"{dtype}: PyTorch {first['torch']}, transformers {first['transformers']}, {'torch.compile' if r['compiled'] else 'eager'}; {a.threads} threads")
            for what, mine, theirs, ratio, sense, target in utilisation(dtype, r) if a.alone else rows(dtype, r):
                met = ratio >= target if sense == ">=" else ratio <= target
                print(f"{what:72} {mine:10.3f} {theirs:10.3f}  ratio {ratio:6.3f}  target {sense} {target:<5g} {'met' if met else 'MISSED'}", flush=True)


main()
