#!/usr/bin/env bash
# USR1 to mpirun in a run whose save takes 10 s: saved, status 3, and the run goes on from there bit for bit; and while its data are still being encoded. (TERM to ranks under srun:
# test_slurm.sh.)
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 24 || exit 1

run() { # run NAME [set...]
    local name=$1; shift
    ranks 2 train --set run.dir="$dir/$name" --set backbone.path="$dir/tiny" --set backbone.init=random --set data.train="$dir/tiny/dsub" --set data.template="$dir/tiny/template.txt" \
        --set data.critique_prompt="$dir/tiny/critique.txt" --set data.max_path_tokens=48 --set mesh.micro_batch_tokens=96 --set objective.pairs_per_step=4 --set objective.epochs=100 \
        --set device.threads=1 --set optimizer.lr=1e-3 --set checkpoint.every=100000 "$@"
}
slow_save() {
    local begin
    (export LD_PRELOAD=$SLOW_FSYNC SLOW_FSYNC_MS=3000; EXEC=exec run slow) >"$dir/slow.log" 2>&1 & local pid=$!
    for _ in $(seq 300); do [ "$(values "$dir/slow" step 2>/dev/null | wc -l)" -ge 5 ] && break; sleep 0.1; done
    begin=$(date +%s)
    kill -USR1 "$pid"
    saved_slowly "$pid" "$begin" "$dir/slow.log" "$dir/slow"
}
check "USR1 to mpirun, in a run whose save takes 10 s: saved, status 3" slow_save
check "the same command goes on" run slow
check "the uninterrupted run" run whole
check "both end with the same parameters" test "$(parameters "$dir/slow")" = "$(parameters "$dir/whole")"

told_early() {
    awk 'BEGIN { for (i = 0; i < 12; i++) printf "{\"prompt\": \"q%d\", \"chosen\": \"good %d\", \"rejected\": \"bad %d\"}\n", i, i, i }' >"$dir/pairs.jsonl"
    (export LD_PRELOAD=$SLOW_FSYNC SLOW_FSYNC_MS=1000; EXEC=exec run early --set objective.mode=reward-only --set data.train="$dir/pairs.jsonl") & local pid=$! got=0
    for _ in $(seq 300); do ls "$dir"/early/data/train-*/*.tmp >/dev/null 2>&1 && break; sleep 0.05; done
    kill -USR1 "$pid"
    wait "$pid" || got=$?
    [ "$got" -eq 3 ] && ls "$dir/early/checkpoints/step_00000001/manifest.json"
}
check "USR1 while data are encoded: the first step is done and saved, status 3" told_early
finish
