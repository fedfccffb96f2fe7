#!/usr/bin/env bash
# Sets as JSON lines and back; the judge's calls for another engine, and its answers.
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 4 || exit 1

with=(--set backbone.path="$dir/tiny" --set data.template=chatml)
run() { local command=$1; shift; "$CRITIC_RM" "$command" "${with[@]}" "$@"; }

# ---- candidates: each form of a pair and of a critique
cat >"$dir/in.jsonl" <<'END'
{"id": "a", "subset": "s", "prompt": "Q \u00e9\u4e2d\ud83d\ude00\n", "chosen": {"text": "yes", "critiques": [{"text": "fine", "raw": " fine \n\nScore: 8", "judge_score": 8, "finish": "stop"}, {"text": "", "raw": "Score: 7.5", "finish": "stop"}, {"text": "br", "raw": "br\ufffd", "finish": "limit"}]}, "rejected": {"text": "no", "critiques": []}}
{"prompt": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}], "chosen": "x", "rejected": {"text": "<|im_end|>", "critiques": ["plain\n**Score: 3/10**", {"text": "given", "judge_score": 2.25}]}}
{"chosen": "\n\nHuman: hi\n\nAssistant: one", "rejected": "\n\nHuman: hi\n\nAssistant: two"}
END
round_trip() {
    run import --as candidates --set data.pairs_per_shard=2 "$dir/in.jsonl" "$dir/set" || return 1
    run dump "$dir/set" >"$dir/once.jsonl" || return 1
    run import --as candidates "$dir/once.jsonl" "$dir/again" || return 1
    run dump "$dir/again" >"$dir/twice.jsonl" || return 1
    cmp "$dir/once.jsonl" "$dir/twice.jsonl" || return 1
    [ "$(wc -l <"$dir/once.jsonl")" -eq 3 ]
}
check "candidates dumped, imported and dumped again are the same lines" round_trip
has() { grep -qF -- "$1" "$dir/once.jsonl" || { cat "$dir/once.jsonl"; return 1; }; }
check "with what the model wrote and how it ended" eval 'has "{\"text\":\"fine\",\"judge_score\":8.0,\"raw\":\" fine \\n\\nScore: 8\",\"finish\":\"stop\"}" && has "{\"text\":\"\",\"raw\":\"Score: 7.5\",\"finish\":\"stop\"}" && has "\"raw\":\"br�\",\"finish\":\"limit\""'
check "with scores read from plain critiques" eval 'has "{\"text\":\"plain\",\"judge_score\":3.0,\"raw\":\"plain\\n**Score: 3/10**\",\"finish\":\"stop\"}" && has "{\"text\":\"given\",\"judge_score\":2.25,\"raw\":\"given\",\"finish\":\"stop\"}"'
check "ids and prompts are kept" eval 'has "\"id\":\"a\",\"subset\":\"s\"" && has "\"prompt\":\"Q é中😀\\n\"" && has "{\"role\":\"system\",\"content\":\"be kind\"}"'
as_dsub() { # the second pair, with a critique of its chosen response too
    sed -n 2p "$dir/once.jsonl" | sed 's/"critiques":\[\]/"critiques":["c"]/' >"$dir/two.jsonl"
    run import "$dir/two.jsonl" "$dir/dsub" && run dump "$dir/dsub" | grep -qF '{"text":"plain","judge_score":3.0},{"text":"given","judge_score":2.25}'
}
check "such lines make a D_sub too" as_dsub
check "a set of candidates is not written over" says 1 "already holds a complete set" run import --as candidates "$dir/in.jsonl" "$dir/set"
check "inspect counts them" eval '"$CRITIC_RM" inspect "$dir/set" | grep -qF "5: 3 with a score, 1 cut by the limit, 1 without text"'
check "and of one file its own" eval '"$CRITIC_RM" inspect --verify "$dir/set/candidates-00000-of-00002.h5" >"$dir/one" && grep -qE "^candidates +5$" "$dir/one" && grep -qF "every chunk has its checksum" "$dir/one"'
one_flipped() { # a byte of the raw texts, which opening does not read
    cp "$dir/set/candidates-00000-of-00002.h5" "$dir/flip.h5"
    local at; at=$(grep -abo 'Score: 7.5' "$dir/flip.h5" | head -n 1 | cut -d: -f1)
    printf 'X' | dd of="$dir/flip.h5" bs=1 seek="$at" conv=notrunc status=none
    "$CRITIC_RM" inspect "$dir/flip.h5" && status 1 "$CRITIC_RM" inspect --verify "$dir/flip.h5"
}
check "and finds a flipped byte of its own" one_flipped
check "inspect --verify passes" eval '"$CRITIC_RM" inspect --verify "$dir/set" | grep -qF "verified"'
flip() {
    local file=$dir/set/candidates-00000-of-00002.h5
    printf '\377' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") / 2)) conv=notrunc status=none
    says 1 "candidates-00000-of-00002.h5" "$CRITIC_RM" inspect --verify "$dir/set"
}
check "and finds a flipped byte" flip
other_tokenizer() {
    cp -r "$dir/tiny" "$dir/other" && sed -i 's/"version": *"1.0"/"version": "1.1"/; s/"version":"1.0"/"version":"1.1"/' "$dir/other/tokenizer.json"
    ! cmp -s "$dir/tiny/tokenizer.json" "$dir/other/tokenizer.json" && says 1 "made with another tokenizer" "$CRITIC_RM" dump --set backbone.path="$dir/other" --set data.template=chatml "$dir/again"
}
check "a dump with another tokenizer is refused" other_tokenizer

# ---- prompts and answers
pairs='{"id": "p0", "prompt": "one?", "chosen": "good", "rejected": "bad"}
{"id": "p1", "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "two?"}], "chosen": "well", "rejected": "ill"}'
printf '%s\n' "$pairs" >"$dir/pairs.jsonl"
prompts() {
    run dump --what prompts --set generate.candidates=3 --set generate.temperature=0.5 --set data.max_critique_tokens=77 --set data.system=D "$dir/pairs.jsonl" >"$dir/prompts.jsonl" || return 1
    cat "$dir/prompts.jsonl"
    [ "$(sed -E 's/.*"custom_id":"([^"]*)".*/\1/' "$dir/prompts.jsonl" | tr '\n' ' ')" = "0-0-0 0-1-0 1-0-0 1-1-0 " ] || return 1
    grep -qF '"messages":[{"role":"system","content":"D"},{"role":"user","content":"one?"},{"role":"assistant","content":"good"},{"role":"user","content":"Judge the response above' "$dir/prompts.jsonl" || return 1
    grep -qF '"messages":[{"role":"system","content":"S"},{"role":"user","content":"two?"},{"role":"assistant","content":"ill"},{"role":"user","content":"Judge' "$dir/prompts.jsonl" || return 1
    [ "$(grep -cF '"method":"POST","url":"/v1/chat/completions","body":{"model":"'"$dir/tiny"'"' "$dir/prompts.jsonl")" -eq 4 ] || return 1
    [ "$(grep -cE '"n":3,"temperature":0\.5,"top_p":1\.0,"max_tokens":77,"seed":[0-9]+\}' "$dir/prompts.jsonl")" -eq 4 ] || return 1
    [ "$(sed -E 's/.*"seed":([0-9]+).*/\1/' "$dir/prompts.jsonl" | sort -u | wc -l)" -eq 4 ]
}
check "the judge's calls of every response are written in the batch format" prompts
check "top_k, min_p and stop go along where they are set" eval 'run dump --what prompts --set generate.top_k=5 --set generate.min_p=0.25 --set "generate.stop=a|b" "$dir/pairs.jsonl" | grep -qF "\"top_k\":5,\"min_p\":0.25,\"stop\":[\"a\",\"b\"]"'
answered() { # each call answered with two choices, last call first
    sed -nE 's/.*"custom_id":"([^"]*)".*/\1/p' "$dir/prompts.jsonl" | tac | while read -r id; do
        printf '{"id": "x", "custom_id": "%s", "response": {"status_code": 200, "body": {"choices": [{"index": 0, "message": {"content": "about %s\\nScore: 4"}, "finish_reason": "stop"}, {"index": 1, "message": {"content": "cut"}, "finish_reason": "length"}]}}, "error": null}\n' "$id" "$id"
    done >"$dir/answers.jsonl"
    run import --as candidates --answers "$dir/answers.jsonl" "$dir/pairs.jsonl" "$dir/answered" || return 1
    run dump "$dir/answered" >"$dir/answered.jsonl" || return 1
    cat "$dir/answered.jsonl"
    local want='"rejected":{"critiques":[{"text":"about 1-1-0","judge_score":4.0,"raw":"about 1-1-0\nScore: 4","finish":"stop"},{"text":"cut","raw":"cut","finish":"limit"}],"text":"ill"}'
    grep -F '"id":"p1"' "$dir/answered.jsonl" | grep -qF -- "$want"
}
check "and its answers become candidates" answered
missing() {
    grep -v '"1-0-0"' "$dir/answers.jsonl" >"$dir/some.jsonl"
    run import --as candidates --answers "$dir/some.jsonl" "$dir/pairs.jsonl" "$dir/some" >"$dir/some.log" 2>&1 || return 1
    cat "$dir/some.log"
    grep -qF "there is no answer to 1-0-0" "$dir/some.log" && grep -qF "1 of 4 responses have no answer" "$dir/some.log"
}
check "a missing answer is named" missing
check "an answer that comes twice is refused with its line" eval 'cat "$dir/answers.jsonl" "$dir/some.jsonl" >"$dir/twice.jsonl"; says 1 "twice.jsonl, line 7: the custom_id 0-0-0 was there in line 4 already" run import --as candidates --answers "$dir/twice.jsonl" "$dir/pairs.jsonl" "$dir/none"'
check "answers to another file are refused with their line" eval 'head -n 1 "$dir/pairs.jsonl" >"$dir/one.jsonl"; says 1 "names a record that is not there" run import --as candidates --answers "$dir/answers.jsonl" "$dir/one.jsonl" "$dir/none"'
check "no set was left behind" test ! -e "$dir/none/candidates.json"

# ---- usage
check "--as something else is refused" says 2 "only candidates" run import --as pairs "$dir/in.jsonl" "$dir/none"
check "--what something else is refused" says 2 "only prompts" run dump --what answers "$dir/in.jsonl"
check "--answers without --as is refused" says 2 "add --as candidates" run import --answers "$dir/answers.jsonl" "$dir/in.jsonl" "$dir/none"
check "an option of another command is refused" says 2 "no option --as" "$CRITIC_RM" inspect --as candidates "$dir/set"
check "an option without its value is refused" says 2 "--as needs a value" run import "$dir/in.jsonl" "$dir/none" --as
finish
