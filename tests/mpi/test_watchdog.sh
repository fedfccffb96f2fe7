#!/usr/bin/env bash
# A rank that hangs ends the job: the others say in which phase and collective they waited, and none is left.
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 24 || exit 1

hangs() { # rank 1 is stopped in the middle of training; Open MPI continues it to end it, and it may then say that it waited too
    (EXEC=exec ranks 2 train --set run.dir="$dir/run" --set backbone.path="$dir/tiny" --set backbone.init=random --set data.train="$dir/tiny/dsub" --set data.template="$dir/tiny/template.txt" \
        --set data.critique_prompt="$dir/tiny/critique.txt" --set data.max_path_tokens=48 --set mesh.micro_batch_tokens=96 --set objective.pairs_per_step=4 --set objective.epochs=10000 \
        --set device.threads=1 --set device.watchdog_seconds=2) >"$dir/log" 2>&1 & local job=$!
    for _ in $(seq 300); do [ "$(values "$dir/run" step 2>/dev/null | wc -l)" -ge 3 ] && break; sleep 0.1; done
    local all stuck got=0; all=$(pgrep -P "$job"); stuck=$(echo "$all" | tail -n 1)
    kill -STOP "$stuck"
    for _ in $(seq 300); do grep -q "has waited" "$dir/log" && break; sleep 0.1; done
    sleep 1; kill -9 "$stuck" 2>/dev/null      # what is stopped cannot end by itself
    wait "$job" || got=$?
    echo "status $got, stopped $stuck of" $all; tail -n 5 "$dir/log"
    [ "$got" -ne 0 ] || return 1
    [ "$(grep -c "rank 0 has waited" "$dir/log")" -eq 1 ] || { echo "not said once"; return 1; }
    grep -qE "rank 0 has waited [0-9]+ s in [a-z_]+ over (world|data|tensor), phase [a-z]+" "$dir/log" || return 1
    gone $all || { echo "one of the ranks $all is still there"; return 1; }
}
check "a rank that is stuck is told of with phase and collective, and all ranks end" hangs
finish
