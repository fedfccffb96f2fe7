#!/usr/bin/env python3
"""bench_generate.py: generation by critic-rm beside transformers and llama.cpp, on one model: greedy, stops ignored, 1, 8 and 64 sequences of 100 tokens, and 8 branches of one prefix.

    bench_generate.py --program bench_generate --model FOLDER --llama-python PYTHON [--threads 2] [--new 128] [--rounds 3]

All three are programs called as  PROGRAM MODEL TYPE THREADS SEQUENCES PROMPT_TOKENS BRANCHES NEW_TOKENS  that make SEQUENCES x BRANCHES continuations of NEW_TOKENS tokens and print one
line `prefill_s decode_s new_tokens`: the seconds until the first new token of every continuation is chosen, the seconds after that, and the number of tokens chosen in those, all
continuations together: NEW_TOKENS of each, or one less where the first is not chosen anew. Ours is in bf16. Each peer first tries every variant it has on each case and goes on with the one
that decodes fastest: transformers in bf16 and float32, sdpa and eager attention, growing and static cache, and in bf16 compiled by torch.compile; llama.cpp in bf16 and f16, one cache for
all sequences (in which a prefix is there once) and one for each, with flash attention and without. Then rounds of ours, transformers, llama.cpp; a row is the ratio of the medians. Before
all this llama.cpp must continue the prompts of the golden file as transformers did (float32).
"""
import argparse
import importlib.metadata
import itertools
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "golden", "generate", "smollm2.json")
LEAST_GAP = 0.001
TORCH, LLAMA = "transformers", "llama.cpp"
VARIANTS = {TORCH: [*itertools.product(("bf16", "float32"), ("sdpa", "eager"), ("dynamic", "static")), ("bf16", "sdpa", "static", "compiled")],
            LLAMA: [*itertools.product(("BF16", "F16"), ("unified", "streams"), ("flash", "plain"))]}
# name, sequences, prompt tokens, branches, and what is to be reached in decoding
CASES = [("1 sequence of 100 tokens", 1, 100, 1, {}), ("8 sequences of 100 tokens", 8, 100, 1, {}), ("64 sequences of 100 tokens", 64, 100, 1, {}),
         ("8 branches of one prefix of 500 tokens", 1, 500, 8, {TORCH: 3.0, LLAMA: 1.0})]


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def speeds(command, case, threads, new):
    """(prompt tokens/s, new tokens/s); a prefix that branches share is counted once."""
    _, sequences, prompt_tokens, branches, _ = case
    prefill, decode, tokens = run([*command[:-1], str(threads), str(sequences), str(prompt_tokens), str(branches), str(new), *command[-1]]).split()
    asked = sequences * branches * new
    if int(tokens) not in (asked, asked - sequences * branches):
        sys.exit(f"{command[0]} says it chose {tokens} tokens, and {asked} were asked for")
    return sequences * prompt_tokens / float(prefill), int(tokens) / float(decode)


def llama(a, ggufs, kind, *options):
    return [a.llama_python, os.path.join(HERE, "llama_generate.py"), ggufs[kind], kind, options]


def commands(a, ggufs):
    """Of each peer, variant -> command; the last entry of a command is what follows the numbers."""
    script = os.path.join(HERE, "torch_generate.py")
    return {TORCH: {v: [sys.executable, script, a.model, v[0], v[1:]] for v in VARIANTS[TORCH]}, LLAMA: {v: llama(a, ggufs, *v) for v in VARIANTS[LLAMA]}}


def fastest(variants, case, a):
    return max(variants, key=lambda v: speeds(variants[v], case, a.threads, a.new // 4)[1])


def measure(a, peers, case):
    chosen = {peer: fastest(variants, case, a) for peer, variants in peers.items()}
    programs = {"ours": [a.program, a.model, "bf16", ()], **{peer: peers[peer][v] for peer, v in chosen.items()}}
    rounds = [{name: speeds(command, case, a.threads, a.new) for name, command in programs.items()} for _ in range(a.rounds)]
    median = lambda name, what: statistics.median(r[name][what] for r in rounds)
    for (what, text), (peer, v) in itertools.product(enumerate(("prefill", "decode")), chosen.items()):
        yield f"{text}: {case[0]}, tokens/s over {peer} ({', '.join(v)})", median("ours", what), median(peer, what), case[4].get(peer) if text == "decode" else None


def make_ggufs(a, folder):
    ggufs = {kind: os.path.join(folder, kind + ".gguf") for kind in ("F32", "BF16", "F16")}
    for kind, path in ggufs.items():
        run([a.llama_python, os.path.join(HERE, "..", "tools", "hf_to_gguf.py"), a.model, path, kind])
    return ggufs


def head(a, ggufs):
    same, of = run([a.llama_python, os.path.join(HERE, "llama_generate.py"), ggufs["F32"], "check", str(a.threads), GOLDEN, str(LEAST_GAP)]).split()
    package = run([a.llama_python, "-c", "import importlib.metadata as m; print(m.version('llama-cpp-python'))"]).strip()
    version = importlib.metadata.version
    print(f"{os.path.basename(os.path.abspath(a.model))}, bf16, {a.threads} threads; greedy, {a.new} new tokens, stops ignored; medians of {a.rounds} rounds; ours, theirs, ratio")
    print(f"transformers {version('transformers')} on PyTorch {version('torch')}; llama.cpp of llama-cpp-python {package}, native instructions, no BLAS")
    print(f"llama.cpp and transformers continue the golden prompts alike (float32): {same} of {of} tokens compared, up to the first that won by less than {LEAST_GAP}", flush=True)


def main():
    p = argparse.ArgumentParser()
    for name in ("program", "model", "llama-python"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--new", type=int, default=128)
    p.add_argument("--rounds", type=int, default=3)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ggufs = make_ggufs(a, folder)
        head(a, ggufs)
        peers = commands(a, ggufs)
        for case in CASES:
            for what, mine, theirs, target in measure(a, peers, case):
                reach = f"target >= {target:<5g} {'met' if mine / theirs >= target else 'MISSED'}" if target else "no target"
                print(f"{what:100} {mine:10.1f} {theirs:10.1f}  ratio {mine / theirs:6.3f}  {reach}", flush=True)


main()
