"""measures.py: one line for each number that a benchmark of the GPU finds, as bench_cuda prints them; ci/gpu.sh reads both. And the clock of the Python sides: wall time between two
idle moments of the device."""
import os
import statistics
import time

import torch

SMALL = os.environ.get("CRITIC_RM_GPU_TEST") == "small"     # tiny sizes, which any machine runs: the numbers mean nothing
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPE_8B = dict(hidden_size=4096, intermediate_size=14336, vocab_size=128256, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, head_dim=128)
SHAPE_SMALL = dict(hidden_size=64, intermediate_size=64, vocab_size=300, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=16)


def measure(name, value, unit):
    print(f'{{"measure": "{name}", "value": {value:.6g}, "unit": "{unit}"}}', flush=True)


def note(text):
    """What was chosen, and versions: kept in the results file."""
    print(f'{{"note": "{text}"}}', flush=True)


def now():
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(call, runs=7, run_s=0.02, warm=3):
    """Of one call: the median of runs of as many calls as fill run_s."""
    def timed(n):
        start = now()
        for _ in range(n):
            call()
        return (now() - start) / n
    timed(warm)
    calls = max(1, min(500, int(run_s / timed(warm))))
    return statistics.median(timed(calls) for _ in range(runs))
