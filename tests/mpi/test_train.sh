#!/usr/bin/env bash
# Training as a user runs it: resume bit for bit (truth 4), lambda (truth 7), signals, kills, refusals.
. "$TOOLS/cli.sh"
. "$TOOLS/training.sh"

resumed_is_equal() { # RANKS NAME [set...]
    local n=$1 name=$2; shift 2
    train "$n" "$name.whole" "$@" || return 1
    status 3 train "$n" "$name.parts" checkpoint.stop_after=3 "$@" || return 1
    says 3 "resuming from $dir/$name.parts/checkpoints/step_00000003" train "$n" "$name.parts" checkpoint.stop_after=7 "$@" || return 1
    says 0 "resuming from $dir/$name.parts/checkpoints/step_00000007" train "$n" "$name.parts" "$@" || return 1
    [ "$(parameters "$dir/$name.whole")" = "$(parameters "$dir/$name.parts")" ] || { echo "parameters differ"; return 1; }
    [ "$(values "$dir/$name.whole" loss)" = "$(values "$dir/$name.parts" loss)" ] || { echo "losses differ"; return 1; }
}
check "n steps, stop, resume and n steps are 2n steps, bit for bit, on one rank" resumed_is_equal 1 one
check "the same on data 2" resumed_is_equal 2 data2
check "the same on tensor 2" resumed_is_equal 2 tensor2 mesh.tensor=2
check "the same on data 2 x tensor 2 in bf16" resumed_is_equal 4 four mesh.tensor=2 device.dtype=bf16

lambda_is_right() { # 20 pairs, 4 a step: T = 5, E = 2, beta 0.9
    local want; want=$(awk 'BEGIN { for (t = 0; t < 10; t++) { u = t < 5 ? 0 : (t - 5) / 5; printf "%.6f\n", 1 - 0.9 * u } }')
    [ "$(values "$dir/one.whole" lambda | awk '{ printf "%.6f\n", $1 }')" = "$want" ]
}
check "lambda in metrics.jsonl is method.md's at every step" lambda_is_right
check "the reward loss is null until the step after lambda's last 1" test "$(values "$dir/one.whole" reward_loss | grep -c null)" -eq 6
evaluated() {
    grep '"eval":true' "$dir/one.whole/metrics.jsonl" | sed -E 's/.*"step":([0-9]*).*"accuracy":([^,]*),"margin":([^,]*),.*/\1 \2 \3/' >"$dir/evals"
    cat "$dir/evals"
    awk 'NR == 1 { first = $0 == "4 null null" } NR == 2 { second = $1 == 9 && $2 >= 0 && $2 <= 1 && $2 != "null" && $3 != "null" } END { exit !(NR == 2 && first && second) }' "$dir/evals"
}
check "each epoch ends with an evaluation, accuracy null before the head's first update" evaluated

other_mesh() {
    status 3 train 2 moved checkpoint.stop_after=6 || return 1
    train 1 moved || return 1
    same_course "$dir/one.whole" "$dir/moved" 1e-5 8
}
check "a run begun on two ranks goes on on one, with the same losses and gradient norms" other_mesh

progress() {
    train 1 told 2>"$dir/told.log" || return 1
    cat "$dir/told.log"
    [ "$(grep -cE '^epoch [12]  step [0-9]+/10  lambda [01]\.[0-9]{3}  critique [0-9.]+.*  [0-9]+ tokens/s  ETA [0-9]+:[0-9]{2}:[0-9]{2}$' "$dir/told.log")" -eq 10 ] || return 1
    [ "$(grep -cE '  reward [0-9.]+  accuracy [0-9.]+  ' "$dir/told.log")" -eq 4 ]
}
check "each step is told on a plain line: epoch, step, lambda, losses, accuracy, tokens/s, ETA" progress

signalled() {
    (EXEC=exec train 2 signalled objective.epochs=4000 objective.mode=joint) & local pid=$!
    for _ in $(seq 100); do [ -s "$dir/signalled/metrics.jsonl" ] && break; sleep 0.1; done
    kill -USR1 "$pid"; local got=0; wait "$pid" || got=$?
    [ "$got" -eq 3 ] || { echo "exit status $got"; return 1; }
    local steps; steps=$(values "$dir/signalled" step | tail -n 1)
    [ -f "$dir/signalled/checkpoints/step_$(printf %08d $((steps + 1)))/manifest.json" ]
}
check "USR1 to mpirun saves and ends with status 3" signalled

killed() { # kill -9 of the whole job at a random moment, then the same command
    train 2 killed.whole checkpoint.every=2 checkpoint.keep=2 || return 1
    for i in 1 2; do
        local run=killed.$i
        (EXEC=exec train 2 "$run" checkpoint.every=2 checkpoint.keep=2) & local pid=$!
        sleep "$(awk -v r="$RANDOM" 'BEGIN { print 0.2 + 1.0 * r / 32768 }')"
        pkill -9 -P "$pid"; kill -9 "$pid" 2>/dev/null; wait "$pid"
        train 2 "$run" checkpoint.every=2 checkpoint.keep=2 || return 1
        [ "$(parameters "$dir/killed.whole")" = "$(parameters "$dir/$run")" ] || { echo "parameters differ after kill $i"; return 1; }
    done
}
check "a killed run resumes from a complete checkpoint and ends with the same parameters" killed

check "a changed option that changes the numbers is refused by name" says 2 "optimizer.beta2 was" train 2 data2.parts optimizer.beta2=0.9

early() { # the manifest alone is left: what is refused was compared before the model had memory and before a tensor was read
    rm -rf "$dir/early"; cp -r "$dir/data2.parts" "$dir/early"
    rm "$dir"/early/checkpoints/step_*/rank_*.safetensors
    says "$1" "$2" train 2 early "${@:3}" && ! grep -F "memory per rank" "$dir/says.log"
}
cp -r "$dir/tiny" "$dir/other" && rm -r "$dir/other/dsub" && "$TINY_FOLDER" "$dir/other" llama 2 21 || exit 1
check "a changed option is refused before the model is allocated or a tensor read" early 2 "optimizer.beta2 was" optimizer.beta2=0.9
another_network() { # the same shapes with another rotary embedding: Llama 3 and 3.1 differ so
    mkdir -p "$dir/rope"; cp "$dir/tiny"/* "$dir/rope" 2>/dev/null
    sed -i -E 's/"rope_theta": *[0-9.]+/"rope_theta": 500000.0/' "$dir/rope/config.json"
    early 2 "has another rope_theta than" backbone.path="$dir/rope"
}
check "and so is a backbone whose config is another" another_network
elsewhere() { # a checkpoint that goes on from the same network in another place, and its export, whatever backbone.path says
    rm -rf "$dir/moved"; cp -r "$dir/tiny" "$dir/moved"; rm -rf "$dir/moved/dsub"
    train 2 data2.parts backbone.path="$dir/moved" || return 1
    "$CRITIC_RM" export --set backbone.path="$dir/rope" "$dir/data2.parts" "$dir/exported" || return 1
    cmp "$dir/exported/critic-rm.json" "$dir/data2.parts/model/critic-rm.json" && ! grep 500000 "$dir/exported/config.json"
}
check "the same network in another place is the same; export takes the run's own" elsewhere
replaced() { # a start that came to no checkpoint leaves its network; the next one's takes its place, and is the run's
    status 3 train 1 replaced backbone.path="$dir/rope" checkpoint.stop_after=2 && rm -r "$dir/replaced/checkpoints" && grep 500000 "$dir/replaced/model/config.json" || return 1
    status 3 train 1 replaced checkpoint.stop_after=2 || return 1
    ! grep 500000 "$dir/replaced/model/config.json" || return 1
    says 2 "has another rope_theta than" train 1 replaced backbone.path="$dir/rope" && train 1 replaced
}
check "without a checkpoint a run is its latest start's" replaced
thirds() { # of three pairs a step, whose float32 weights do not add up to one
    train 2 thirds objective.mode=reward-only objective.pairs_per_step=3 data.eval_last=2 || return 1
    sed -nE 's/.*"reward_accuracy":([^,]*),.*/\1/p' "$dir/thirds/metrics.jsonl" >"$dir/thirds/accuracy"
    awk '{ d = 3 * $1 - int(3 * $1 + 0.5); if (d > 1e-11 || d < -1e-11) exit 1 } END { exit NR != 14 }' "$dir/thirds/accuracy" || { cat "$dir/thirds/accuracy"; return 1; }
}
check "the accuracy is a count over a count" thirds
unwritable() { status 1 "$CRITIC_RM" export --set backbone.path="$dir/nothing" "$dir/lone" "$dir/later" && [ ! -e "$dir/later/model.safetensors" ]; }
cp -r "$(ls -d "$dir"/data2.parts/checkpoints/step_* | tail -n 1)" "$dir/lone"
check "an export that lacks a config says so before it writes weights" unwritable
check "a loss that never trains the reward head is refused" says 2 "the reward head would never be trained" train 1 bad objective.beta=0
check "and so in joint" says 2 "the reward head would never be trained" train 1 bad objective.mode=joint objective.lambda=1
check "a run without a folder is refused" says 2 "run.dir is empty" ranks 1 train --set backbone.path="$dir/tiny" --set run.dir=
check "and so is another set" early 1 "is not the set this run began with" data.train="$dir/other/dsub"
check "a mesh that does not divide the ranks is refused" says 2 "does not divide the 2 ranks" train 2 bad mesh.tensor=3
check "a mesh that does not divide the heads is refused with those that work" says 2 "use 1, 2, 4" train 3 bad mesh.tensor=3
check "a misspelt key names the nearest one" says 2 "did you mean optimizer.beta1" train 1 bad optimizer.beta1x=1
check "a budget below two paths is refused" says 2 "less than two paths" train 2 bad mesh.micro_batch_tokens=90
check "a data axis above the pairs of a step is refused" says 2 "ranks would idle" train 2 bad objective.pairs_per_step=1
check "a set that is not there is named" says 1 "nothing does not exist" train 2 bad data.train="$dir/nothing"
check "a folder without a set is named" says 1 "holds no complete set" train 2 bad data.train="$dir"
check "a set made with another critique instruction is refused" says 1 "another chat template or critique instruction" train 2 bad data.critique_prompt=""

damaged() {
    cp -r "$dir/data2.parts" "$dir/damaged"
    local file; file=$(ls "$dir"/damaged/checkpoints/step_*/rank_00000*.safetensors | tail -n 1)
    printf '\377' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 77)) conv=notrunc status=none
    says 1 "checksum" train 2 damaged objective.epochs=2
}
check "a checkpoint with a flipped byte is refused" damaged
missing() {
    rm -rf "$dir/damaged"; cp -r "$dir/data2.parts" "$dir/damaged"
    rm "$(ls "$dir"/damaged/checkpoints/step_*/rank_00001*.safetensors | tail -n 1)"
    says 1 "is missing, though the checkpoint's manifest names it" train 2 damaged
}
check "a checkpoint with a missing file is refused" missing
finish
