#!/usr/bin/env bash
# A rank that hangs ends the job: the others say in which phase and collective they waited, and none is left. Phases of computing and of files have limits of their own.
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 24 || exit 1

train() { # train RUN [key=value]...
    local run=$1 sets=() s; shift
    for s in "$@"; do sets+=(--set "$s"); done
    ranks 2 train --set run.dir="$dir/$run" --set backbone.path="$dir/tiny" --set backbone.init=random --set data.train="$dir/tiny/dsub" --set data.template="$dir/tiny/template.txt" \
        --set data.critique_prompt="$dir/tiny/critique.txt" --set data.max_path_tokens=48 --set mesh.micro_batch_tokens=96 --set objective.pairs_per_step=4 --set device.threads=1 "${sets[@]}"
}

hangs() { # rank 1 is stopped in the middle of training; Open MPI continues it to end it, and it may then say that it waited too
    (EXEC=exec train run objective.epochs=10000 device.watchdog_seconds=2) >"$dir/log" 2>&1 & local job=$!
    for _ in $(seq 300); do [ "$(values "$dir/run" step 2>/dev/null | wc -l)" -ge 3 ] && break; sleep 0.1; done
    local all stuck got=0; all=$(pgrep -P "$job"); stuck=$(echo "$all" | tail -n 1)
    kill -STOP "$stuck"
    for _ in $(seq 300); do grep -q "has waited" "$dir/log" && break; sleep 0.1; done
    sleep 1; kill -9 "$stuck" 2>/dev/null      # what is stopped cannot end by itself
    wait "$job" || got=$?
    echo "status $got, stopped $stuck of" $all; tail -n 5 "$dir/log"
    [ "$got" -ne 0 ] || return 1
    [ "$(grep -c "rank 0 has waited" "$dir/log")" -eq 1 ] || { echo "not said once"; return 1; }
    grep -qE "rank 0 has waited [0-9]+ s in [a-z_]+ over (world|data|tensor), phase step: .* raise device.watchdog_seconds\)" "$dir/log" || return 1
    gone $all || { echo "one of the ranks $all is still there"; return 1; }
}
check "a rank that is stuck is told of with phase and collective, and all ranks end" hangs

# On a disk of 1.5 s an fsync rank 1 waits for what rank 0 alone writes: its name for this attempt, the manifest. ASan wants to be the first library that is loaded, and need not be.
on_a_slow_disk() { LD_PRELOAD=$SLOW_FSYNC SLOW_FSYNC_MS=1500 ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 train "$@"; }
saves() { on_a_slow_disk slow objective.epochs=1 device.watchdog_seconds=1 && ls "$dir"/slow/checkpoints/step_*/manifest.json; }
check "a slow disk at start and in a save ends no run that may wait for it" saves
waits_for_a_disk() {
    ! on_a_slow_disk ended objective.epochs=1 device.watchdog_io_seconds=1 >"$dir/log" 2>&1 || { echo "it did not end"; return 1; }
    cat "$dir/log"
    grep -qE "rank 1 has waited [0-9]+ s in [a-z_]+ over world, phase start: .* raise device.watchdog_io_seconds\)" "$dir/log"
}
check "a wait for files has its own limit, and the sentence names it" waits_for_a_disk
finish
