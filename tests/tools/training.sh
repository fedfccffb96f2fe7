# training.sh: what the tests of train share: a tiny model and 23 pairs, 20 of them trained on in 10 steps. Source it after cli.sh.
"$TINY_FOLDER" "$dir/tiny" llama 2 23 || exit 1

train() { # train RANKS RUN [set...]
    local n=$1 run=$2; shift 2
    local sets=()
    for s in "$@"; do sets+=(--set "$s"); done
    ranks "$n" train --set run.dir="$dir/$run" --set backbone.path="$dir/tiny" --set backbone.init=random --set data.train="$dir/tiny/dsub" --set data.eval_last=3 \
        --set data.template="$dir/tiny/template.txt" --set data.critique_prompt="$dir/tiny/critique.txt" \
        --set data.max_path_tokens=48 --set mesh.micro_batch_tokens=96 --set objective.pairs_per_step=4 --set device.threads=1 --set optimizer.lr=1e-3 "${sets[@]}"
}

# same_course WANT IS TOLERANCE EXACT: losses and gradient norms of the ten steps are equal but for TOLERANCE, relative; from step EXACT on, where differences have been through updates, for 20 times that
same_course() {
    local key
    for key in loss grad_norm; do
        paste <(values "$1" $key) <(values "$2" $key) | awk -v most="$3" -v exact="$4" '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= most * $1 * (NR < exact ? 1 : 20))) { print NR, $0; exit 1 } }
            END { exit NR != 10 }' || { echo "$key"; return 1; }
    done
}
