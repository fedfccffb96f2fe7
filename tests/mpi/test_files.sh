#!/usr/bin/env bash
# data.train and data.eval as files of JSON lines: encoded once under the run folder, the same run as one over an imported set.
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 4 || exit 1

pairs() { # pairs N: preferences, some words better than others
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"id\": \"p%d\", \"prompt\": \"q%d\", \"chosen\": \"good %d\", \"rejected\": \"bad %d\"}\n", i, i % 7, i * 37 % 100, i * 53 % 100 }'
}
critiques() {
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"prompt\": \"q%d\", \"chosen\": {\"text\": \"a%d\", \"critiques\": [\"fine\", \"nice\"]}, \"rejected\": {\"text\": \"b%d\", \"critiques\": [\"wrong\"]}}\n", i, i, i }'
}
conversations() {
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"messages\": [{\"role\": \"user\", \"content\": \"u%d\"}, {\"role\": \"assistant\", \"content\": \"answer %d\"}]}\n", i, i }'
}
pairs 12 >"$dir/pairs.jsonl"
pairs 12 | gzip >"$dir/pairs.jsonl.gz"
pairs 5 >"$dir/eval.jsonl"
critiques 12 >"$dir/critiques.jsonl"
conversations 12 >"$dir/conversations.jsonl"

common=(--set backbone.path="$dir/tiny" --set data.template="$dir/tiny/template.txt" --set data.critique_prompt="$dir/tiny/critique.txt" --set data.max_path_tokens=48)
train() { # train RANKS RUN MODE [set...]
    local n=$1 run=$2 mode=$3; shift 3
    local sets=()
    for s in "$@"; do sets+=(--set "$s"); done
    ranks "$n" train "${common[@]}" --set run.dir="$dir/$run" --set backbone.init=random --set objective.mode="$mode" --set mesh.micro_batch_tokens=96 --set objective.pairs_per_step=4 \
        --set device.threads=1 --set optimizer.lr=1e-3 "${sets[@]}"
}

same_as_imported() {
    "$CRITIC_RM" import "${common[@]}" "$dir/pairs.jsonl" "$dir/set" || return 1
    train 2 of.set reward-only data.train="$dir/set" || return 1
    train 2 of.file reward-only data.train="$dir/pairs.jsonl" || return 1
    [ "$(values "$dir/of.set" loss)" = "$(values "$dir/of.file" loss)" ] || { echo "losses differ"; return 1; }
    [ "$(parameters "$dir/of.set")" = "$(parameters "$dir/of.file")" ] || { echo "parameters differ"; return 1; }
}
check "a file of preferences trains like the set that import makes of it" same_as_imported
check "gzip is the same" eval 'train 1 of.gzip reward-only data.train="$dir/pairs.jsonl.gz" && train 1 of.plain reward-only data.train="$dir/pairs.jsonl" && [ "$(values "$dir/of.gzip" loss)" = "$(values "$dir/of.plain" loss)" ]'

encoded_once() {
    status 3 train 2 once reward-only data.train="$dir/pairs.jsonl" checkpoint.stop_after=2 || return 1
    local before; before=$(stat -c %Y.%i "$dir"/once/data/train-*/dsub.json)
    train 2 once reward-only data.train="$dir/pairs.jsonl" || return 1
    [ "$(stat -c %Y.%i "$dir"/once/data/train-*/dsub.json)" = "$before" ]
}
check "a resumed run finds its file encoded" encoded_once
changed() {
    status 3 train 1 changed reward-only data.train="$dir/pairs.jsonl" checkpoint.stop_after=2 || return 1
    says 1 "is not the set this run began with" train 1 changed reward-only data.train="$dir/eval.jsonl" || return 1
    train 1 changed reward-only data.train="$dir/pairs.jsonl"
}
check "another file on resume is refused, and the first one still goes on" changed
check "data.eval is a file too" eval 'train 2 evaluated reward-only data.train="$dir/pairs.jsonl" data.eval="$dir/eval.jsonl" && grep -q "\"pairs\":5" "$dir/evaluated/metrics.jsonl"'
check "pairs with critiques train critic-rm from a file" eval 'train 2 critic critic-rm data.train="$dir/critiques.jsonl" && [ "$(values "$dir/critic" reward_loss | grep -vc null)" -ge 2 ]'
check "conversations train critique-only" eval 'train 2 talk critique-only data.train="$dir/conversations.jsonl" && [ "$(values "$dir/talk" critique_loss | grep -vc null)" -eq 6 ]'
check "the run folder keeps the model's own files" cmp "$dir/tiny/tokenizer.json" "$dir/critic/model/tokenizer.json"
check "mfu is reported" eval '[ "$(values "$dir/critic" mfu | awk "{ if (\$1 > 0 && \$1 < 1) n++ } END { print n }")" -eq 6 ]'

check "preferences without critiques are refused in critic-rm" says 2 "pairs without critiques" train 2 bad critic-rm data.train="$dir/pairs.jsonl"
check "conversations are refused in reward-only" says 2 "holds conversations" train 2 bad reward-only data.train="$dir/conversations.jsonl"
finish
