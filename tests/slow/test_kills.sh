#!/usr/bin/env bash
# Truth 4 under kill -9: of one rank, of mpirun or of all, at a random moment of 0 to 1.2 x the run's length, KILLS times (default 20), every third during a save. Each time the same
# command goes on from a complete checkpoint and ends with the parameters of the uninterrupted run, bit for bit. SEED (default: of the clock) repeats a series.
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 24 || exit 1
kills=${KILLS:-20} seed=${SEED:-$(date +%s)}
RANDOM=$seed
echo "seed $seed"

# A disk of 20 ms an fsync: so about half of the run is saving.
run() { # run NAME
    LD_PRELOAD=$SLOW_FSYNC SLOW_FSYNC_MS=20 ranks 2 train --set run.dir="$dir/$1" --set backbone.path="$dir/tiny" --set backbone.init=random --set data.train="$dir/tiny/dsub" \
        --set data.template="$dir/tiny/template.txt" --set data.critique_prompt="$dir/tiny/critique.txt" --set data.max_path_tokens=48 --set mesh.micro_batch_tokens=96 \
        --set objective.pairs_per_step=4 --set objective.epochs=6 --set device.threads=1 --set optimizer.lr=1e-3 --set checkpoint.every=2 --set checkpoint.keep=2
}
begin=$(now_ms)
run whole >"$dir/whole.log" 2>&1 || { cat "$dir/whole.log"; exit 1; }
length=$(($(now_ms) - begin))
want=$(parameters "$dir/whole")
echo "the whole run takes $length ms"

saving() { # a checkpoint folder without its manifest
    local step
    for step in "$dir/$1"/checkpoints/step_*; do [ -d "$step" ] && [ ! -f "$step/manifest.json" ] && return 0; done
    return 1
}
complete() { ls -d "$dir/$1"/checkpoints/step_*/manifest.json 2>/dev/null; }
resumes() { # resumes NAME MANIFEST: NAME's second run said that it went on from the folder of MANIFEST; from none where there is none
    if [ -n "$2" ]; then grep -qF "resuming from $(dirname "$2")" "$dir/$1.again.log"; else ! grep -q 'resuming from' "$dir/$1.again.log"; fi
}

wait_for_save() { # until one begins, or the run is over
    while kill -0 "$2" 2>/dev/null && ! saving "$1"; do sleep 0.002; done
}

during_save=0
kill_once() { # kill_once NAME WHAT MOMENT_MS IN_SAVE
    local name=$1 what=$2 moment=$3 in_save=$4 was=no before pid ranks_alive
    (EXEC=exec run "$name") >"$dir/$name.log" 2>&1 & pid=$!
    sleep "$(awk -v ms="$moment" 'BEGIN { print ms / 1000 }')"
    [ "$in_save" = no ] || wait_for_save "$name" "$pid"
    ranks_alive=$(pgrep -P "$pid")
    kill_some "$what" "$pid" $ranks_alive
    saving "$name" && was=yes
    none_left "$pid" $ranks_alive || return 1
    before=$(complete "$name")
    [ "$was" = no ] || during_save=$((during_save + 1))
    run "$name" >"$dir/$name.again.log" 2>&1 || { tail -n 20 "$dir/$name.again.log"; echo "$what at $moment ms (during a save: $was): the same command failed"; return 1; }
    resumes "$name" "$(echo "$before" | tail -n 1)" || { head -n 20 "$dir/$name.again.log"; echo "did not go on from the newest of the complete checkpoints $before"; return 1; }
    [ "$(parameters "$dir/$name")" = "$want" ] || { echo "$what at $moment ms (during a save: $was): other parameters"; return 1; }
    echo "$what at $moment ms, during a save: $was, complete checkpoints found: $(echo "$before" | grep -c manifest)" >>"$dir/kills.txt"
}

kinds=(rank mpirun all)
for i in $(seq "$kills"); do
    in_save=no
    [ $((i % 3)) -ne 0 ] || in_save=yes
    check "kill $i" kill_once "kill.$i" "${kinds[RANDOM % 3]}" $((RANDOM % (length * 12 / 10))) $in_save
    rm -rf "$dir/kill.$i"
done
cat "$dir/kills.txt"
check "at least a quarter of the kills hit a save ($during_save of $kills)" test $((4 * during_save)) -ge "$kills"
finish
