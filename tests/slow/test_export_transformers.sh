#!/usr/bin/env bash
# What export writes opens in transformers' causal-LM and sequence-classification classes with no missing key; logits and rewards equal ours to 1e-4 in float32, from 1 rank and tensor 2,
# for each family. Skipped without the Python of ci/python.sh.
. "$TOOLS/cli.sh"
python=${CRITIC_RM_PYTHON:-$SOURCE/.venv/bin/python}
[ -x "$python" ] || { echo "skipped: no $python (ci/python.sh makes it)"; exit 77; }

arguments=()
exported() { # exported FAMILY RANKS
    local name=$1.$2
    [ -d "$dir/$1" ] || "$TINY_FOLDER" "$dir/$1" "$1" 2 24 || return 1
    ranks "$2" train --set run.dir="$dir/run.$name" --set backbone.path="$dir/$1" --set backbone.init=random --set data.train="$dir/$1/dsub" --set data.template="$dir/$1/template.txt" \
        --set data.critique_prompt="$dir/$1/critique.txt" --set data.max_path_tokens=48 --set mesh.micro_batch_tokens=96 --set mesh.tensor="$2" --set objective.pairs_per_step=4 \
        --set device.threads=1 --set optimizer.lr=1e-3 --set optimizer.reward_lr=1e-2 || return 1
    "$CRITIC_RM" export "$dir/run.$name" "$dir/hf.$name" || return 1
    "$PRINT_REWARDS" "$(ls -d "$dir/run.$name"/checkpoints/step_* | tail -n 1)" "$dir/$1" 3 24 256 >"$dir/$name.jsonl" || return 1
    arguments+=("$dir/hf.$name" "$dir/$name.jsonl")
}
for family in llama qwen2 qwen3 mistral; do
    for n in 1 2; do check "$family is trained on tensor $n and exported" exported $family $n; done
done
check "transformers gives the same logits and rewards, with no missing key" env HF_HUB_OFFLINE=1 "$python" "$TOOLS/check_export.py" "${arguments[@]}"
cat "$dir/check.log"
finish
