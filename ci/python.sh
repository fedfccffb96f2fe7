#!/usr/bin/env bash
# python.sh: a virtual environment in .venv with the exact versions of tests/requirements.txt; what is there is left alone. Only tests need it: to remake golden files, to
# compare with transformers and PyTorch, to convert a GGUF. The product has no Python. About 6 GB, most of it PyTorch's.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x .venv/bin/python ]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || bash ci/install.sh python3-venv
    python3 -m venv .venv
fi
stamp=.venv/requirements.txt
cmp -s tests/requirements.txt "$stamp" && exit 0
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
cp tests/requirements.txt "$stamp"
