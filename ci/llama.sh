#!/usr/bin/env bash
# llama.sh: a virtual environment in .venv-llama with the exact versions of tests/bench/requirements-llama.txt: llama.cpp, against which ci/bench.sh generate measures. It is compiled
# for this processor, without BLAS, in about 10 minutes on 2 cores; anew when the requirements or the processor are others.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x .venv-llama/bin/python ]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || bash ci/install.sh python3-venv
    python3 -m venv .venv-llama
fi
stamp=.venv-llama/made-of.txt
wanted=$(cat tests/bench/requirements-llama.txt; grep -m 2 -E '^(model name|flags)' /proc/cpuinfo)
[ "$wanted" != "$(cat "$stamp" 2>/dev/null)" ] || exit 0
CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_BLAS=OFF -DLLAVA_BUILD=OFF" CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) .venv-llama/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall \
    --no-cache-dir --no-binary llama-cpp-python -r tests/bench/requirements-llama.txt
printf '%s\n' "$wanted" >"$stamp"
