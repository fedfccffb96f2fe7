#!/usr/bin/env bash
# pipeline.sh CONFIG [--set section.key=value]...: the whole method: data.pairs and backbone.path in, a trained reward model out, and the table of data.benchmark where one is named.
#
#   run.dir/round_1/candidates --refine--> dsub --train--> train --export--> model       critique begins with backbone.path, round 2 with round_1/model, and so on (run.rounds)
#   run.dir/evaluation                                                                    of the last round's run
#
# With run.regenerate_before_last_epoch a round is two runs: first/ trains E-1 epochs critique-only, and candidates, dsub and train of the last epoch are that model's.
# Every stage goes on where it stopped, and is skipped when its output is complete: after a kill, or status 3 (stopped on request), the same command goes on.
# RANKS (2) ranks by MPIRUN ("mpirun -np RANKS" and what root and few cores ask for); CRITIC_RM names the program.
set -euo pipefail

[ $# -ge 1 ] && [ "${1#-}" = "$1" ] || { echo "pipeline.sh CONFIG [--set section.key=value]..." >&2; exit 2; }
config=$1; shift
here=$(cd "$(dirname "$0")/.." && pwd)
program=${CRITIC_RM:-$here/build/release/critic-rm}
launcher=${MPIRUN:-"$here/launch/mpirun.sh ${RANKS:-2}"}
sets=("$@")

value() { "$program" config --config "$config" "${sets[@]}" "$1"; }
dir=$(value run.dir)            # one at a time: a wrong config is said once
pairs=$(value data.pairs) backbone=$(value backbone.path) rounds=$(value run.rounds) epochs=$(value objective.epochs)
benchmark=$(value data.benchmark) benchmark_file=$(value data.benchmark_file) split=$(value run.regenerate_before_last_epoch)
[ -n "$pairs" ] || { echo "pipeline.sh: data.pairs is not set in $config: name a file of preferences" >&2; exit 2; }

stage() { # stage NAME COMMAND...: prints how long it took; ends the pipeline with the command's status
    local name=$1 start=$SECONDS status=0; shift
    echo "== $name"
    "$@" || status=$?
    echo "== $name: status $status, $((SECONDS - start)) s"
    [ "$status" -eq 0 ] || exit "$status"
}
ranks() { local what=$1; shift; $launcher "$program" "$what" --config "$config" "${sets[@]}" "$@"; }

export_run() { # export_run RUN FOLDER: whole or not at all
    rm -rf "$2" "$2.tmp"
    "$program" export --config "$config" "${sets[@]}" --set backbone.path= "$1" "$2.tmp" && mv "$2.tmp" "$2"
}
is_exported() { [ -f "$1/config.json" ]; }

make_dsub() { # make_dsub NAME FOLDER BACKBONE
    [ -f "$2/candidates/candidates.json" ] || stage "$1: critique" ranks critique --set backbone.path="$3" "$pairs" "$2/candidates"
    [ -f "$2/dsub/dsub.json" ] || stage "$1: refine" ranks refine --set backbone.path="$3" "$2/candidates" "$2/dsub"
}
train_on() { # train_on NAME FOLDER BACKBONE [set...]
    local name=$1 folder=$2 from=$3; shift 3
    is_exported "$folder/model" && return
    stage "$name: train" ranks train --set backbone.path="$from" --set data.train="$folder/dsub" --set run.dir="$folder/train" "$@"
    stage "$name: export" export_run "$folder/train" "$folder/model"
}

mkdir -p "$dir"
for ((round = 1; round <= rounds; round++)); do
    folder=$dir/round_$round last=()
    if [ "$split" = true ] && [ "$epochs" -gt 1 ]; then
        make_dsub "round $round, first epochs" "$folder/first" "$backbone"
        train_on "round $round, first epochs" "$folder/first" "$backbone" --set objective.mode=critique-only --set objective.epochs=$((epochs - 1))
        backbone=$folder/first/model last=(--set objective.epochs=1)
    fi
    make_dsub "round $round" "$folder" "$backbone"
    train_on "round $round" "$folder" "$backbone" "${last[@]}"
    backbone=$folder/model
done
if [ -n "$benchmark" ] && [ ! -f "$dir/evaluation/table.json" ]; then
    stage "evaluate $benchmark" ranks evaluate "$benchmark" "$benchmark_file" --model "$folder/train" "$dir/evaluation"
fi
echo "complete: the model is $folder/model$([ -z "$benchmark" ] || echo ", its table $dir/evaluation/table.txt"); score with it: critic-rm score --config $config $folder/model IN.jsonl OUT.jsonl"
