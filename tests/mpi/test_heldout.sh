#!/usr/bin/env bash
# heldout.jsonl: each held-out pair of the last evaluation, once, whatever the mesh.
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 4 || exit 1
awk 'BEGIN { for (i = 0; i < 17; i++) printf "{\"id\": \"p%d\", \"subset\": \"s%d\", \"prompt\": \"q%d\", \"chosen\": \"good %d\", \"rejected\": \"bad %d\"}\n", i, i % 2, i % 7, i * 37 % 100, i * 53 % 100 }' >"$dir/pairs.jsonl"

train() { # train RANKS RUN [set...]
    local n=$1 run=$2; shift 2
    local sets=()
    for s in "$@"; do sets+=(--set "$s"); done
    ranks "$n" train --set run.dir="$dir/$run" --set backbone.path="$dir/tiny" --set backbone.init=random --set data.template="$dir/tiny/template.txt" \
        --set data.critique_prompt="$dir/tiny/critique.txt" --set data.train="$dir/pairs.jsonl" --set data.eval_last=7 --set data.max_path_tokens=48 --set objective.mode=reward-only \
        --set mesh.micro_batch_tokens=96 --set objective.pairs_per_step=4 --set objective.epochs=1 --set device.threads=1 --set optimizer.lr=1e-3 "${sets[@]}"
}
column() { sed -E "s/.*\"$2\":\"?([^,}\"]*).*/\1/" "$1"; }

one_line_a_pair() {
    train 1 one || return 1
    [ "$(column "$dir/one/heldout.jsonl" id | paste -sd ' ')" = "p10 p11 p12 p13 p14 p15 p16" ] || return 1
    [ "$(column "$dir/one/heldout.jsonl" source | paste -sd ' ')" = "10 11 12 13 14 15 16" ] || return 1
    [ "$(column "$dir/one/heldout.jsonl" subset | paste -sd ' ')" = "s0 s1 s0 s1 s0 s1 s0" ]
}
check "each held-out pair has a line, in order" one_line_a_pair
agrees() {
    local accuracy; accuracy=$(grep '"eval"' "$dir/one/metrics.jsonl" | tail -n 1 | sed -E 's/.*"accuracy":([^,]*).*/\1/')
    column "$dir/one/heldout.jsonl" margin | awk -v want="$accuracy" '{ n += $1 > 0 } END { d = n / NR - want; exit !(NR == 7 && d < 1e-9 && d > -1e-9) }'
}
check "the accuracy is the part of the margins above zero" agrees
other_mesh() {
    train 2 data2 || return 1
    train 2 tensor2 mesh.tensor=2 || return 1
    for run in data2 tensor2; do
        paste <(column "$dir/one/heldout.jsonl" margin) <(column "$dir/$run/heldout.jsonl" margin) | awk '{ d = $1 - $2; if (d > 1e-4 || d < -1e-4) { print NR, $0; exit 1 } } END { exit NR != 7 }' || return 1
    done
}
check "the margins are the same on data 2 and on tensor 2" other_mesh
finish
