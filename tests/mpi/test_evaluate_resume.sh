#!/usr/bin/env bash
# evaluate --model with a folder goes on where it stopped: after a signal and after kill -9 (more of them: tests/slow/test_kill_generation.sh), on two ranks and then on one; files and table
# are those of the uninterrupted job, byte for byte. Another option, model, way or benchmark is refused by name, also when the folder is complete. table.json comes last.
. "$TOOLS/cli.sh"
. "$TOOLS/generation.sh"
printf 'V?' >"$dir/verdict.txt"
printf 'A {critique}' >"$dir/correct.txt"
judgebench 30 >"$dir/bench.jsonl"
awk 'BEGIN { for (i = 0; i < 40; i++) printf "{\"id\": %d, \"dataset\": \"gsm8k\", \"question\": \"q%d\", \"response\": \"good %d\", \"response_label\": %s, \"answer\": %d}\n", i, i % 7, i * 37 % 100, i % 2 ? "true" : "false", i }' >"$dir/critic.jsonl"

# slowly COMMAND...: on a disk of 30 ms an fsync, so that a signal finds parts left to do. ASan wants to be the first library that is loaded, and need not be.
slowly() { LD_PRELOAD=$SLOW_FSYNC SLOW_FSYNC_MS=30 ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 "$@"; }
parts_of() { ls "$1" 2>/dev/null | grep -E -- '^table-[0-9]+-of-[0-9]+\.json$'; }

# stopped SIGNAL RANKS PLACE COMMAND...: the signal when some parts are there; status 3, said once, and no table
stopped() {
    local signal=$1 n=$2 place=$3 pid got=0 i; shift 3
    (EXEC=exec generation "$n" "$@" "$place" >"$dir/stopped.log" 2>&1) & pid=$!
    for i in $(seq 1000); do [ "$(parts_of "$place" | wc -l)" -ge 3 ] && break; sleep 0.02; done
    kill -"$signal" "$pid"; wait "$pid" || got=$?
    cat "$dir/stopped.log"
    [ "$got" -eq 3 ] || { echo "exit status $got, expected 3"; return 1; }
    [ "$(grep -c "stopped on request, finished parts are kept: the same command goes on" "$dir/stopped.log")" -eq 1 ] || return 1
    [ ! -e "$place/table.json" ] && [ "$(parts_of "$place" | wc -l)" -ge 3 ]
}

# ---- rewards
reward=(evaluate judgebench "$dir/bench.jsonl" --model "$dir/run" generate.samples=5)
reward() { generation "$1" "${reward[@]}" "${@:3}" ${2:+"$dir/$2"}; }
begin=$(now_ms)
check "an evaluation on one rank" eval 'reward 1 whole >"$dir/shown"'
length=$(($(now_ms) - begin))
check "shows its table and leaves no parts" eval 'diff "$dir/shown" "$dir/whole/table.txt" && ! parts_of "$dir/whole" && [ -f "$dir/whole/parts.json" ]'
check "has the same files on data 2" eval 'reward 2 data && same_table "$dir/whole" "$dir/data"'
check "and the same table in memory" eval 'diff <(reward 2 "" 2>"$dir/said") "$dir/whole/table.txt" && grep -F "bench.jsonl: 60 of 60 responses in " "$dir/said"'
check "USR1 in the middle is status 3, and finished parts are kept" slowly stopped USR1 2 "$dir/stopped" "${reward[@]}"

refused() { # refused PLACE WORDS ARGUMENT...: status 2
    says 2 "$dir/$1 was begun $2" generation 1 evaluate "${@:3}" "$dir/$1"
}
refusals() { # what is not the same evaluation, with what is another
    judgebench 29 >"$dir/other.jsonl"
    refused stopped "with generate.samples '5', now it is '2': set it as it was, or choose another folder" "${reward[@]:1}" generate.samples=2 || return 1
    refused stopped "with another model" judgebench "$dir/bench.jsonl" --model "$dir/model" generate.samples=5 || return 1
    refused stopped "with another input: $dir/bench.jsonl" judgebench "$dir/other.jsonl" --model "$dir/run" generate.samples=5 || return 1
    refused stopped "as judgebench by rewards, and this is judgebench by a judge's scores" "${reward[@]:1}" --judge || return 1
    refused stopped "as judgebench by rewards, and this is criticbench by replies" criticbench "$dir/critic.jsonl" --model "$dir/run" || return 1
    says 1 "$dir/stopped holds a model's evaluation" "$CRITIC_RM" evaluate judgebench "$dir/bench.jsonl" --scores "$dir/whole/items.jsonl" "$dir/stopped"
}
check "another option, model, benchmark or way is refused by name" refusals
marked() { # a score of a finished part is made one that no model gives: it must come back
    cp -r "$dir/stopped" "$dir/marked" || return 1
    local part; part="$dir/marked/$(parts_of "$dir/marked" | head -n 1)"
    local done; done=$(($(parts_of "$dir/marked" | wc -l) * 2))      # a part is an item of two responses
    sed -Ei '0,/^( *)-?[0-9]+\.[0-9e+-]+/s//\1-12345.6789/' "$part" && reward 1 marked >/dev/null 2>"$dir/said" || return 1
    grep -F "bench.jsonl: $((60 - done)) of 60 responses in " "$dir/said" || return 1
    [ "$(grep -c -- -12345.6789 "$dir/marked/items.jsonl")" -eq 1 ] && [ "$(diff "$dir/whole/items.jsonl" "$dir/marked/items.jsonl" | grep -c '^>')" -eq 1 ]
}
check "what is done is not done again" marked
misplaced() { # a part's sidecar holds another part's items
    cp -r "$dir/stopped" "$dir/misplaced" || return 1
    local part; part=($(parts_of "$dir/misplaced"))
    cp "$dir/misplaced/${part[0]}" "$dir/misplaced/${part[1]}" || return 1
    says 1 "and its own are" reward 1 misplaced && [ ! -e "$dir/misplaced/table.json" ]
}
check "a part that holds the items of another is refused" misplaced
check "the same command goes on, on one rank" eval 'reward 1 stopped >"$dir/shown" && diff "$dir/shown" "$dir/whole/table.txt" && same_table "$dir/whole" "$dir/stopped"'
complete() {
    cp "$dir/whole/table.txt" "$dir/stopped/table-00003-of-00030.json"       # a kill came before this part was removed
    reward 2 stopped >"$dir/shown" 2>"$dir/said" && grep -qxF "$dir/stopped is complete" "$dir/said" && diff "$dir/shown" "$dir/whole/table.txt" && same_table "$dir/whole" "$dir/stopped"
}
check "a complete folder gives its table again" complete
check "with the run in another folder, too" eval 'cp -r "$dir/run" "$dir/moved" && generation 1 evaluate judgebench "$dir/bench.jsonl" --model "$dir/moved/" generate.samples=5 "$dir/stopped" >"$dir/shown" && diff "$dir/shown" "$dir/whole/table.txt"'
check "and refuses what it is not" eval 'refused whole "with generate.samples" "${reward[@]:1}" generate.samples=2 && refused whole "with another input" judgebench "$dir/other.jsonl" --model "$dir/run" generate.samples=5'
kills 2 evaluate "$length" same_table "$dir/whole" "${reward[@]}"

# ---- replies
replies=(evaluate criticbench "$dir/critic.jsonl" --model "$dir/model" "data.verdict_prompt=$dir/verdict.txt" "data.correct_prompt=$dir/correct.txt" generate.max_response_tokens=24 generate.batch_tokens=16)
goes_on() {
    generation 1 "${replies[@]}" "$dir/replies" && slowly stopped TERM 1 "$dir/replies.2" "${replies[@]}" || return 1
    printf 'A! {critique}' >"$dir/correct.txt"
    says 2 "$dir/replies.2 was begun with another chat template or instruction" generation 1 "${replies[@]}" "$dir/replies.2" || return 1
    printf 'A {critique}' >"$dir/correct.txt"
    with_last_weight_changed "$dir/model" says 2 "with another model: '$dir/model', and the contents of '$dir/model' now are others" generation 1 "${replies[@]}" "$dir/replies.2" || return 1
    generation 2 "${replies[@]}" "$dir/replies.2" && same_table "$dir/replies" "$dir/replies.2"
}
check "TERM to one rank is a stop, too; CriticBench's replies go on, and not under another instruction or with other weights" goes_on
check "they are verdicts and answers" eval '[ "$(grep -cE "\"verdict\":\"\[\[(correct|wrong)\]\]\",\"answer\":\"" "$dir/replies/items.jsonl")" -eq 40 ]'

# ---- files
no_items() { # where items.jsonl cannot be written there is no table.json
    mkdir -p "$dir/blocked/items.jsonl"
    says 1 "$dir/blocked/items.jsonl" "$CRITIC_RM" evaluate judgebench "$dir/bench.jsonl" --scores "$dir/whole/items.jsonl" "$dir/blocked" && [ ! -e "$dir/blocked/table.json" ]
}
check "table.json is written last" no_items
scored() { "$CRITIC_RM" evaluate judgebench "$dir/bench.jsonl" --scores "$dir/whole/items.jsonl" "$dir/scored" >/dev/null && says 1 "$dir/scored already holds a complete set" reward 1 scored; }
check "a model's evaluation does not write over one of scores" scored
finish
