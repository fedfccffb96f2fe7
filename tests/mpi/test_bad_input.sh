#!/usr/bin/env bash
# Bad input ends all ranks with one sentence, printed once, that says what, where and what to do, and the right exit status. (Signals, meshes and resumed runs: test_train.sh.)
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 12 || exit 1

train() { # train RANKS MODEL RUN [set...]
    local n=$1 model=$2 run=$3; shift 3
    local sets=()
    for s in "$@"; do sets+=(--set "$s"); done
    ranks "$n" train --set run.dir="$dir/$run" --set backbone.path="$dir/$model" --set data.train="$dir/tiny/dsub" --set data.template="$dir/tiny/template.txt" \
        --set data.critique_prompt="$dir/tiny/critique.txt" --set data.max_path_tokens=48 --set mesh.micro_batch_tokens=96 --set objective.pairs_per_step=4 --set device.threads=1 "${sets[@]}"
}
import() { "$CRITIC_RM" import --set backbone.path="$dir/tiny" --set data.template="$dir/tiny/template.txt" --set data.critique_prompt="$dir/tiny/critique.txt" --set data.max_path_tokens=48 "$@"; }

# ---- weights: a real folder, made by export, then damaged
train 1 tiny made backbone.init=random objective.epochs=1 objective.ramp_inclusive=true >"$dir/made.log" 2>&1 && "$CRITIC_RM" export "$dir/made" "$dir/good" >>"$dir/made.log" 2>&1 || { cat "$dir/made.log"; exit 1; }
cp "$dir"/tiny/{template,critique}.txt "$dir/good/"
copy() { rm -rf "${dir:?}/$1"; cp -r "$dir/good" "$dir/$1"; }
check "the exported folder trains" train 2 good fine
copy gone; rm "$dir/gone/model.safetensors"
check "missing weights are named" says 1 "$dir/gone" train 2 gone bad
copy short; truncate -s -100 "$dir/short/model.safetensors"
check "truncated weights are named" says 1 "model.safetensors" train 2 short bad
copy shape; sed -i 's/"intermediate_size": *48/"intermediate_size": 40/' "$dir/shape/config.json"
check "a wrong shape is named with both" says 1 "gate_proj.weight" train 2 shape bad
copy nan; printf '\000\000\300\177' | dd of="$dir/nan/model.safetensors" bs=1 seek=$(($(stat -c %s "$dir/nan/model.safetensors") - 100)) conv=notrunc status=none
check "NaN in the weights is named by tensor" says 1 "tensor score.weight holds a number that is not finite" train 2 nan bad
copy other; sed -i 's/"q"/"Q_"/' "$dir/other/tokenizer.json"
check "the tokenizer of another model is refused" says 1 "tokenizer" train 2 other bad
copy none; rm "$dir/none/config.json"
check "a backbone without config.json is named" says 1 "$dir/none" train 2 none bad
copy family; sed -i 's/"model_type": *"llama"/"model_type": "gpt_neox"/' "$dir/family/config.json"
check "another family is refused by name" says 1 "gpt_neox" train 2 family bad

# ---- preferences
line() { printf '%s\n' "$1" >"$dir/in.jsonl"; rm -rf "$dir/out"; }
good='{"prompt": "a", "chosen": {"text": "b", "critiques": ["c"]}, "rejected": {"text": "d", "critiques": ["e"]}}'
line "$good
{\"prompt\": \"a\", \"chosen\": "
check "malformed JSON is named by its line" says 1 "in.jsonl, line 2" import "$dir/in.jsonl" "$dir/out"
line '{"prompt": "a", "chosen": "b"}'
check "a pair without a response is named by its line" says 1 "in.jsonl, line 1" import "$dir/in.jsonl" "$dir/out"
printf '{"prompt": "a\377", "chosen": "b", "rejected": "c"}\n' >"$dir/in.jsonl"; rm -rf "$dir/out"
check "text that is not UTF-8 is named by its line" says 1 "in.jsonl, line 1" import "$dir/in.jsonl" "$dir/out"
: >"$dir/in.jsonl"; rm -rf "$dir/out"
check "an empty file is refused" says 1 "in.jsonl" import "$dir/in.jsonl" "$dir/out"
line '{"prompt": "a", "chosen": {"text": "b", "critiques": ["c"]}, "rejected": {"text": "b", "critiques": ["e"]}}'
check "a file that leaves no pair is refused with the reason" says 1 "equal" import "$dir/in.jsonl" "$dir/out"
check "a file that is not there is named" says 1 "$dir/nothing.jsonl" import "$dir/nothing.jsonl" "$dir/out"
check "nothing was left behind by any of them" test ! -e "$dir/out/dsub.json"
line "$good"
check "a set is not written over" eval 'import "$dir/in.jsonl" "$dir/out" && says 1 "$dir/out" import "$dir/in.jsonl" "$dir/out"'
check "training on a file with a malformed line names it, once for all ranks" eval 'printf "%s\n{\n" "$good" >"$dir/two.jsonl"; says 1 "two.jsonl, line 2" train 2 good bad data.train="$dir/two.jsonl"'

# ---- config
yaml() { printf '%s\n' "$1" >"$dir/c.yaml"; }
yaml 'objective: {epoch: 2}'
check "a misspelt key in YAML names file, line and the nearest key" says 2 "did you mean objective.epochs" ranks 2 train --config "$dir/c.yaml"
yaml 'objective: {epochs: many}'
check "a word where a number belongs is named" says 2 "objective.epochs" ranks 2 train --config "$dir/c.yaml"
yaml 'objective: {epochs: 0}'
check "a number out of its bounds is named with them" says 2 "objective.epochs" ranks 2 train --config "$dir/c.yaml"
yaml 'objective: {epochs: 2'
check "broken YAML is named" says 2 "c.yaml" ranks 2 train --config "$dir/c.yaml"
check "a config that is not there is named" says 1 "$dir/no.yaml" ranks 2 train --config "$dir/no.yaml"
check "a config that is a folder is named" says 1 "$dir" ranks 2 train --config "$dir"
check "--set without = is refused" says 2 "nonsense" ranks 2 train --set nonsense
check "an unknown command is refused" says 2 "no command trian" ranks 2 trian
check "an unknown option is refused" says 2 "no option --fast" ranks 2 train --fast

# ---- places
: >"$dir/file"
check "a run folder that cannot be made is named" says 1 "$dir/file" train 2 tiny file/run backbone.init=random

flipped_shard() { # one byte in the tokens of a shard: the checksum of its chunk
    cp -r "$dir/tiny" "$dir/flipped"
    local file; file=$(ls "$dir"/flipped/dsub/*.h5 | head -n 1)
    printf '\377' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 2)) conv=notrunc status=none
    status 1 "$CRITIC_RM" inspect --verify "$dir/flipped/dsub"
}
check "inspect --verify finds a shard with a flipped byte" flipped_shard
check "training on it ends all ranks with a sentence of the one that read it" says 1 "checksum does not match" train 2 good bad data.train="$dir/flipped/dsub"

full_disk() { # a tmpfs with room for the data of one checkpoint and not for two
    local small=$dir/small; mkdir "$small"
    mount -t tmpfs -o size=1m tmpfs "$small" || return 1
    train 2 tiny small/run backbone.init=random objective.epochs=40 checkpoint.every=3 checkpoint.keep=1000 >"$dir/full.log" 2>&1; local got=$?
    local kept; kept=$(ls "$small"/run/checkpoints/step_*/manifest.json 2>/dev/null | wc -l)
    "$CRITIC_RM" inspect --verify "$small/run" >>"$dir/full.log" 2>&1; local verified=$?
    umount "$small"
    tail -n 3 "$dir/full.log"
    echo "status $got, $kept complete checkpoints, the last verified with $verified"
    [ $got -eq 1 ] && [ "$(grep -c 'No space left' "$dir/full.log")" -eq 1 ] && [ "$kept" -ge 1 ] && [ $verified -eq 0 ]
}
if [ "$(id -u)" -eq 0 ] && mkdir "$dir/probe" && mount -t tmpfs -o size=64k tmpfs "$dir/probe" 2>/dev/null; then
    umount "$dir/probe"
    check "a full disk ends the run with a sentence and loses no earlier checkpoint" full_disk
else
    echo "not run: a full disk (needs to mount a tmpfs)"
fi

# ---- the machine
one_thread() { LD_PRELOAD=$ONE_THREAD ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 ranks 2 config; }
check "an MPI library that is open to one thread only is refused" says 1 "the MPI library gives threads of level MPI_THREAD_SINGLE" one_thread
finish
