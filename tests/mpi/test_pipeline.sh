#!/usr/bin/env bash
# launch/pipeline.sh: every stage in its order, once; a stopped or killed pipeline goes on; rounds train on from the model before; the last epoch on critiques written anew.
. "$TOOLS/cli.sh"
. "$TOOLS/generation.sh"

bench="$dir/rm.json"
awk 'BEGIN { printf "["; for (i = 0; i < 4; i++) printf "%s{\"id\": \"b%d\", \"prompt\": \"q%d\", \"chosen\": [\"good %d\", \"good, %d\", \"good! %d\"], \"rejected\": [\"bad %d\", \"bad, %d\", \"bad! %d\"], \"domain\": \"chat\"}", i ? ", " : "", i, i, i, i, i, i, i, i; printf "]" }' >"$bench"
pipeline() { # pipeline FOLDER [key=value]...
    local folder=$1 sets=() set; shift
    for set in "$@"; do sets+=(--set "$set"); done
    RANKS=2 "$SOURCE/launch/pipeline.sh" "$dir/generation.yaml" --set run.dir="$folder" --set data.pairs="$dir/pairs.jsonl" --set objective.pairs_per_step=4 --set objective.ramp_inclusive=true "${sets[@]}"
}
stages() { sed -nE 's/^== (.*): status 0, .*/\1/p' "$1" | paste -sd ';'; }
ran() { # ran LOG STAGES
    [ "$(stages "$1")" = "$2" ] || { echo "the stages were: $(stages "$1")"; return 1; }
}

check "the whole method, to a benchmark's table" eval 'pipeline "$dir/whole" data.benchmark=rm-bench data.benchmark_file="$bench" >"$dir/whole.log" 2>&1 || { cat "$dir/whole.log"; false; }'
check "in its order" ran "$dir/whole.log" "round 1: critique;round 1: refine;round 1: train;round 1: export;evaluate rm-bench"
check "leaves candidates, D_sub, run, model and table" eval '[ -f "$dir/whole/round_1/candidates/candidates.json" ] && [ -f "$dir/whole/round_1/dsub/dsub.json" ] && [ -f "$dir/whole/round_1/model/critic-rm.json" ] && [ -f "$dir/whole/evaluation/table.json" ]'
check "run again it does nothing" eval 'pipeline "$dir/whole" data.benchmark=rm-bench data.benchmark_file="$bench" >"$dir/again.log" 2>&1 && ran "$dir/again.log" ""'

check "a stop in training ends it with status 3" status 3 pipeline "$dir/stopped" checkpoint.stop_after=1
check "the same command goes on" eval 'pipeline "$dir/stopped" >"$dir/goes_on.log" 2>&1 && ran "$dir/goes_on.log" "round 1: train;round 1: export"'
check "and ends with the uninterrupted one's model" cmp "$dir/whole/round_1/model/model.safetensors" "$dir/stopped/round_1/model/model.safetensors"

check "two rounds, the last epoch of each on new critiques" eval 'pipeline "$dir/rounds" run.rounds=2 run.regenerate_before_last_epoch=true >"$dir/rounds.log" 2>&1 || { cat "$dir/rounds.log"; false; }'
once() { echo "round $1, first epochs: critique;round $1, first epochs: refine;round $1, first epochs: train;round $1, first epochs: export;round $1: critique;round $1: refine;round $1: train;round $1: export"; }
check "each with its own candidates, D_sub, run and model" ran "$dir/rounds.log" "$(once 1);$(once 2)"
check "critiques are those of the model before" eval '! cmp -s "$dir/rounds/round_1/first/candidates/candidates-00000-of-00012.h5" "$dir/rounds/round_1/candidates/candidates-00000-of-00012.h5" && ! cmp -s "$dir/rounds/round_1/candidates/candidates-00000-of-00012.h5" "$dir/rounds/round_2/candidates/candidates-00000-of-00012.h5"'
modes() { for run in "$@"; do sed -nE 's/^  (mode|epochs): (.*)/\2/p' "$dir/rounds/$run/train/config.yaml" | paste -sd ' '; done | paste -sd ';'; }
check "the first epochs are critique-only, the last critic-rm" eval '[ "$(modes round_1/first round_1 round_2/first round_2)" = "critique-only 1;critic-rm 1;critique-only 1;critic-rm 1" ] || { modes round_1/first round_1; false; }'
check "no pairs are refused" says 2 "data.pairs is not set" "$SOURCE/launch/pipeline.sh" "$dir/generation.yaml"

finish
