#!/usr/bin/env bash
# The dry run as a user calls it: one process, no weights, a table of memory per rank by class; and --help.
. "$TOOLS/cli.sh"
cd "$SOURCE" || exit 1

gib() { sed -nE "s/^ +$1 +([0-9.]+) GiB.*/\1/p" "$dir/table"; }
dry() { # dry CONFIG [set...]
    local config=$1 s; shift
    local sets=()
    for s in "$@"; do sets+=(--set "$s"); done
    "$CRITIC_RM" train --config "configs/$config.yaml" --dry-run "${sets[@]}"
}
table() { # the classes are there and add up
    dry "$@" >"$dir/table" || return 1
    cat "$dir/table"
    awk -v a="$(gib weights)" -v b="$(gib gradients)" -v c="$(gib optimizer)" -v d="$(gib activations)" -v e="$(gib 'logits and rewards')" -v sum="$(gib together)" \
        'BEGIN { off = a + b + c + d + e - sum; exit !(a > 0 && b > 0 && c > 0 && d > 0 && e > 0 && off < 0.01 && off > -0.01) }'
}
fits() { table "$@" && awk -v sum="$(gib together)" 'BEGIN { exit !(sum > 10 && sum < 74.5) }'; }       # GiB: 80 GB are 74.5
check "the 70B config's ranks fit in 80 GB" fits llama-3.1-70b
check "and with tensor 16, key/value heads replicated" fits llama-3.1-70b mesh.data=4 mesh.tensor=16
check "the 8B config's table adds up" table llama-3.1-8b
check "a tensor axis that does not divide the heads is refused" says 2 "use 1, 2, 4, 8" dry llama-3.1-70b mesh.tensor=7
check "a dry run of an unknown number of ranks is refused" says 2 "needs mesh.data" dry llama-3.1-70b mesh.data=0
check "a data axis larger than a step is refused" says 2 "larger than objective.pairs_per_step" dry llama-3.1-70b mesh.data=65
full() { dry llama-3.1-70b >/dev/full; }
check "output that is lost is a failure" says 1 "cannot write standard output" full
check "nothing was written" test ! -e "$SOURCE/runs/llama-3.1-70b"

helped() {
    local command
    for command in train import dump export inspect; do
        "$CRITIC_RM" $command --help >"$dir/help" || return 1
        [ "$(grep -cE '^(run|device|mesh|backbone|reward|data|objective|optimizer|checkpoint|log):$' "$dir/help")" -eq 10 ] || return 1
    done
}
check "every command's --help lists all sections" helped
finish
