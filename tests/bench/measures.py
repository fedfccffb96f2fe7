"""measures.py: one line for each number that a benchmark of the GPU finds; bench_cuda prints the same, and ci/gpu.sh reads them."""


def measure(name, value, unit):
    print(f'{{"measure": "{name}", "value": {value:.6g}, "unit": "{unit}"}}', flush=True)
