#!/usr/bin/env bash
# A context above the cache, in every command that generates: what the cache could never hold is told, with the size that would do, and decides nothing in a set. Of a model with wide heads 1 MiB
# holds 512 tokens, in 8 pages.
. "$TOOLS/cli.sh"
. "$TOOLS/generation.sh"
cp -r "$dir/tiny" "$dir/wide_tiny" && sed -i 's/"max_position_embeddings": 512/"max_position_embeddings": 2048/; s/"head_dim": 8/"head_dim": 64/' "$dir/wide_tiny/config.json" || exit 1
trained wide_tiny wide_run wide
grep -q '"max_position_embeddings": *2048' "$dir/wide/config.json" && grep -q '"head_dim": *64' "$dir/wide/config.json" || exit 1
{ responses 2; printf '{"id": "long", "prompt": "q", "response": "%0600d"}\n' 0; responses 1; } >"$dir/long.jsonl"
long_line() {
    says 1 "1 lines of $dir/long.jsonl could not be scored" generation 2 score generate.kv_memory_mb=1 "$dir/wide" "$dir/long.jsonl" "$dir/long.scores" || return 1
    cut -c 1-300 "$dir/long.scores"
    [ "$(grep -c '"reward":' "$dir/long.scores")" -eq 3 ] && grep -q '^{"line":3,"error":"generate.kv_memory_mb is too small for the response: with prompt and instruction it has 60[0-9] tokens' "$dir/long.scores"
}
check "a response that the cache could never hold is an error record, and the job goes on" long_line
{ pairs 2; printf '{"prompt": "q", "chosen": "%0600d", "rejected": "b"}\n' 0; pairs 1; } >"$dir/long_pairs.jsonl"
wide() { generation "$1" "$2" backbone.path="$dir/wide" generate.batch_tokens=64 "${@:3}"; } # wide RANKS COMMAND ARGUMENTS...
long_pair() { # what the cache holds decides nothing in a set: the job ends, and goes on with what it asked for
    says 2 "$dir/long_pairs.jsonl, line 3: generate.kv_memory_mb is too small for a path of 60" wide 2 critique generate.kv_memory_mb=1 "$dir/long_pairs.jsonl" "$dir/long_pairs" || return 1
    grep -F "raise it to 2" "$dir/says.log" && wide 1 critique generate.kv_memory_mb=2 "$dir/long_pairs.jsonl" "$dir/long_pairs" &&
        wide 1 critique generate.kv_memory_mb=4 "$dir/long_pairs.jsonl" "$dir/long_pairs.4" && same_set "$dir/long_pairs.4" "$dir/long_pairs" && [ "$(wc -l <"$dir/want.jsonl")" -eq 4 ]
}
check "a pair that the cache could never hold ends critique, which names what would do, and goes on with it" long_pair
long_refine() { # long_refine MODE
    local refine=(refine generate.refine="$1" data.max_path_tokens=320 data.max_critique_tokens=100 "$dir/judged")
    says 2 "record long: generate.kv_memory_mb is too small for a path of 2" wide 1 "${refine[@]}" generate.kv_memory_mb=1 "$dir/long_$1" || return 1
    grep -F "raise it to 2" "$dir/says.log" && wide 1 "${refine[@]}" generate.kv_memory_mb=2 "$dir/long_$1" && wide 1 "${refine[@]}" generate.kv_memory_mb=4 "$dir/long_$1.4" && same_set "$dir/long_$1.4" "$dir/long_$1"
}
critiques() { printf '{"text": "%%0%dd", "critiques": [{"text": "fine", "judge_score": %d}, {"text": "nice", "judge_score": %d}]}' "$1" "$2" "$2"; }
printf "{\"id\": \"long\", \"prompt\": \"q\", \"chosen\": $(critiques 270 9), \"rejected\": $(critiques 5 2)}\n" 0 0 >"$dir/judged.jsonl"
wide 1 import --as candidates data.max_path_tokens=320 "$dir/judged.jsonl" "$dir/judged" >/dev/null 2>&1
for mode in rank summarise; do check "refine, $mode: a critique of such a pair too" long_refine "$mode"; done
{ judgebench 2; printf '{"pair_id": "long", "source": "livecodebench", "question": "q", "response_A": "%0600d", "response_B": "b", "label": "A>B"}\n' 0; } >"$dir/long_bench.jsonl"
for by in "" --judge; do
    check "evaluate $by: a response too" says 2 "item long: generate.kv_memory_mb is too small" generation 1 evaluate generate.kv_memory_mb=1 judgebench "$dir/long_bench.jsonl" --model "$dir/wide" $by
done
printf '{"id": "long", "dataset": "gsm8k", "question": "q", "response": "%0600d", "response_label": true, "answer": "7"}\n' 0 >"$dir/long_critic.jsonl"
check "and on CriticBench" says 2 "item long: generate.kv_memory_mb is too small" generation 1 evaluate generate.kv_memory_mb=1 criticbench "$dir/long_critic.jsonl" --model "$dir/wide"
long_prompt() {
    { echo '{"prompt": "q"}'; printf '{"prompt": "%0600d"}\n' 0; echo '{"prompt": "r"}'; } >"$dir/prompts.jsonl"
    says 1 "1 lines of $dir/prompts.jsonl could not be sampled" generation 1 sample generate.kv_memory_mb=1 generate.responses=2 generate.max_response_tokens=8 "$dir/wide" "$dir/prompts.jsonl" "$dir/sampled.jsonl" &&
        sed -n 2p "$dir/sampled.all.jsonl" | grep '"error":"generate.kv_memory_mb is too small for a path of 60[0-9] tokens' && says 2 "generate.kv_memory_mb is too small for a path of 1 tokens and a text of 800" \
        generation 1 sample generate.kv_memory_mb=1 generate.max_response_tokens=800 "$dir/wide" "$dir/prompts.jsonl" "$dir/none.jsonl"
}
unjudged() { # the response has room, and its critique has none
    printf '{"prompt": "%0430d"}\n' 0 >"$dir/prompts.jsonl"
    says 1 "1 lines of $dir/prompts.jsonl could not be sampled" generation 1 sample generate.kv_memory_mb=1 generate.responses=2 generate.max_response_tokens=8 generate.batch_tokens=64 "$dir/wide" "$dir/prompts.jsonl" \
        "$dir/unjudged.jsonl" && grep '"error":"generate.kv_memory_mb is too small for a critique of a response to the prompt: raise it to 2"' "$dir/unjudged.all.jsonl"
}
check "a prompt too; but no prompt at all has room for a response above the cache: that is refused" long_prompt
check "and a prompt whose responses cannot be judged, which may not decide what is a pair" unjudged
finish
