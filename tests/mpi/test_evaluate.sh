#!/usr/bin/env bash
# critic-rm evaluate --scores: its table, files and exit statuses, and one sentence for whatever is wrong, from one rank and from two.
. "$TOOLS/cli.sh"

pair() { printf '{"pair_id": "%s", "source": "%s", "question": "q", "response_A": "a", "response_B": "b", "label": "%s"}\n' "$@"; }
{ pair u mmlu-pro-law "A>B"; pair v mmlu-pro-law "B>A"; pair w livecodebench "B>A"; } >"$dir/bench.jsonl"
printf '{"id": "%s", "scores": %s}\n' w '[0, 1]' u '[2, 1]' v '[null, 1]' >"$dir/scores.jsonl"
sed 's/^/ /' "$dir/bench.jsonl" | paste -sd, | sed 's/^/[/; s/$/]/' >"$dir/list.json"

evaluate() { "$CRITIC_RM" evaluate "$@"; }
table() { cat <<'END'
JudgeBench  accuracy  items
Knowledge      50.0%      2
Reasoning          -      0
Math               -      0
Coding        100.0%      1
Overall        66.7%      3
note: no item of Reasoning, Math: the overall is over the pairs that are there
note: 1 of 6 responses have no score: 1 of 3 comparisons counted as lost
END
}
same() { "${@:2}" >"$dir/shown" && diff "$1" "$dir/shown"; }
table >"$dir/want"

check "the table goes to standard output" same "$dir/want" evaluate judgebench "$dir/bench.jsonl" --scores "$dir/scores.jsonl"
check "a list and lines give the same table" same "$dir/want" evaluate judgebench "$dir/list.json" --scores "$dir/scores.jsonl"
check "two ranks print it once" same "$dir/want" ranks 2 evaluate judgebench "$dir/bench.jsonl" --scores "$dir/scores.jsonl"
written() { # evaluate into a folder that is not there yet
    evaluate judgebench "$dir/bench.jsonl" --scores "$dir/scores.jsonl" "$dir/out/deep" && diff "$dir/want" "$dir/out/deep/table.txt" &&
        [ "$(ls "$dir/out/deep" | xargs)" = "items.jsonl table.json table.txt" ]
}
check "OUT_DIR gets the table and its items" written
check "items.jsonl serves as scores again" same "$dir/want" evaluate judgebench "$dir/bench.jsonl" --scores "$dir/out/deep/items.jsonl"

check "without scores or a model it says what is needed" says 2 "evaluate needs --model MODEL, or --scores SCORES.jsonl" evaluate judgebench "$dir/bench.jsonl"
check "--scores without a file is refused" says 2 "--scores needs a value" evaluate judgebench "$dir/bench.jsonl" --scores
check "an unknown benchmark is refused with the known ones" says 2 "rm-bench, judgebench and criticbench are known" evaluate judge "$dir/bench.jsonl" --scores "$dir/scores.jsonl"
check "a missing argument is refused" says 2 "evaluate takes" evaluate judgebench --scores "$dir/scores.jsonl"
check "a file that is not there is named, once for two ranks" says 1 "$dir/none.jsonl" ranks 2 evaluate judgebench "$dir/none.jsonl" --scores "$dir/scores.jsonl"
check "scores that are not there are named" says 1 "$dir/none.jsonl" evaluate judgebench "$dir/bench.jsonl" --scores "$dir/none.jsonl"
check "a file of another benchmark is named by line and field" says 1 'bench.jsonl, line 1: "subset" is missing' evaluate rewardbench "$dir/bench.jsonl" --scores "$dir/scores.jsonl"
head -n 1 "$dir/scores.jsonl" >"$dir/few.jsonl"
check "items without scores are counted" says 1 "no line for 2 of the 3 items" evaluate judgebench "$dir/bench.jsonl" --scores "$dir/few.jsonl"
nothing() {
    status 1 evaluate judgebench "$dir/bench.jsonl" --scores "$dir/few.jsonl" "$dir/partial" >"$dir/shown" && [ ! -s "$dir/shown" ] && [ ! -e "$dir/partial" ]
}
check "nothing is printed or written then" nothing
: >"$dir/file"
check "a folder that cannot be made is named" says 1 "$dir/file" evaluate judgebench "$dir/bench.jsonl" --scores "$dir/scores.jsonl" "$dir/file"
finish
