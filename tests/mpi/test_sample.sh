#!/usr/bin/env bash
# critic-rm sample on a tiny model: the same lines on one rank and on two, after kills and stops; bad lines; pairs that critique and train accept.
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 1 || exit 1
printf J >"$dir/tiny/judge.txt"
cd "$dir" || exit 1

text=(--set backbone.init=random --set data.template=tiny/template.txt --set data.critique_prompt=tiny/critique.txt --set data.judge_prompt=tiny/judge.txt --set device.threads=1
      --set generate.kv_memory_mb=16 --set data.max_critique_tokens=16 --set generate.force_score=true --set generate.candidates=3 --set device.batch_invariant=on)
some=("${text[@]}" --set generate.responses=2 --set generate.max_response_tokens=12 --set generate.margin=0.5 --set generate.records_per_part=3)
sample() { # sample RANKS IN OUT [ARGS...]: one rank without mpirun
    local program=(ranks "$1"); [ "$1" -gt 1 ] || program=(${EXEC:-} "$CRITIC_RM")
    "${program[@]}" sample "${model:-tiny}" "$2.jsonl" "$3.jsonl" "${some[@]}" "${@:4}"
}

awk 'BEGIN { for (i = 0; i < 60; i++) printf "{\"id\": \"p%d\", \"subset\": \"s%d\", \"prompt\": \"say %d\", \"chosen\": \"not this\"}\n", i, i % 2, i }' >prompts.jsonl
both() { sample 1 prompts one && sample 2 prompts two && cmp one.jsonl two.jsonl && cmp one.all.jsonl two.all.jsonl && [ "$(wc -l <one.all.jsonl)" -eq 60 ]; }
check "one rank and two give the same lines" both
derived() { diff one.jsonl <(grep '"chosen":' one.all.jsonl | sed -E 's/"responses":\[.*\],("chosen":)/\1/') && [ "$(wc -l <one.jsonl)" -gt 30 ] && ! grep -F "not this" one.all.jsonl; }
check "OUT.jsonl has the lines with a pair, without their responses" derived
margins() { # of two responses the one with the higher mean is chosen, where the means differ by more than 0.5
    sed -En 's/.*"mean":([^}]*)\}.*"mean":([^}]*)\}(.*)/\1 \2 \3/p' one.all.jsonl | awk '{ d = $1 - $2; d = d < 0 ? -d : d; if (d > 0.5 != /"chosen":/) { print; exit 1 } n++ } END { exit n != 60 }'
}
check "there is a pair where the means differ by more than the margin" margins
told() { # histograms of scores: of the pairs' responses here, and of critique's candidates
    "$CRITIC_RM" critique --set backbone.path=tiny "${text[@]}" one.jsonl candidates >critique.log 2>&1 || { cat critique.log; return 1; }
    diff <(sed -En 's/^ +score +([0-9]+): +([0-9]+) .*/\1 \2/p' critique.log) \
        <(grep '"chosen":' one.all.jsonl | grep -o '"judge_scores":\[[^]]*' | sed 's/.*\[//' | tr , '\n' | awk '{ n[$1]++ } END { for (i = 1; i <= 10; i++) print i, n[i] + 0 }')
}
check "critique reads OUT.jsonl, and judges its responses as sample did" told
trains() { "$CRITIC_RM" train "${text[@]}" --set backbone.path=tiny --set run.dir=run --set data.train=one.jsonl --set objective.mode=reward-only --set objective.epochs=1 --set data.max_path_tokens=128; }
check "train reads OUT.jsonl" trains

# ---- going on ----
# begun NAME: waits until some lines of NAME are there, and not all
begun() { for _ in $(seq 2000); do [ "$(wc -l 2>/dev/null <"$1.all.jsonl")" -gt 5 ] 2>/dev/null && break; sleep 0.01; done; [ "$(wc -l <"$1.all.jsonl")" -lt 60 ] && [ ! -e "$1.jsonl" ]; }
goes_on() { # goes_on NAME RANKS: the same command ends with the same lines
    sample "$2" prompts "$1" && cmp one.all.jsonl "$1.all.jsonl" && cmp one.jsonl "$1.jsonl" && [ ! -e "$1.all.jsonl.job.json" ]
}
killed() { # killed NAME RANKS RANKS: begun on the first, killed, gone on with on the second
    (EXEC=exec sample "$2" prompts "$1") & local pid=$!
    begun "$1" || { echo "nothing to kill"; return 1; }
    local all; all=$(pgrep -P "$pid")
    kill -9 $all "$pid" 2>/dev/null; wait "$pid"
    gone $all && goes_on "$1" "$3"
}
check "killed on two ranks it goes on on one" killed killed2 2 1
check "killed on one rank it goes on on two" killed killed1 1 2
stopped() {
    (EXEC=exec sample 2 prompts stopped) & local pid=$! got=0
    begun stopped || { echo "nothing to stop"; return 1; }
    kill -USR1 "$pid"; wait "$pid" || got=$?
    [ "$got" -eq 3 ] || { echo "exit status $got"; return 1; }
    says 2 "begun with generate.margin 0.5" sample 1 prompts stopped --set generate.margin=1 && model=$dir/tiny/ goes_on stopped 2
}
check "USR1 ends it with status 3; another margin is refused, and the same command goes on, also under another spelling of the model" stopped
check "what is complete is not touched" says 1 "one.all.jsonl is there and complete" sample 1 prompts one
echo mine >other.jsonl
check "a file that is not its own is not replaced" says 1 "other.jsonl is there already" sample 2 prompts other
check "it still holds what it held" test "$(cat other.jsonl)" = mine

# ---- lines ----
line() { printf '%s\n' "$1"; }
{
    line '{"prompt": [{"role": "user", "content": "hi"}], "note": {"kept": [1]}}'
    line 'nonsense'
    line '{"prompt": 5}'
    line '{"prompt": "a", "id": 1.5}'
    line '{"prompt": "a", "subset": 3}'
    line ''
    line "{\"prompt\": \"$(printf 'x%.0s' $(seq 520))\"}"
    line "{\"prompt\": \"$(printf 'x%.0s' $(seq 490))\"}"
    printf '{"prompt": "\xff"}\n'
    line '[1]'
    line '{"prompt": "last", "id": 77}'
} >bad.jsonl
mixed() { says 1 "8 lines of bad.jsonl could not be sampled: their records in mixed.all.jsonl say why" sample 2 bad mixed && cut -c 1-200 mixed.all.jsonl && [ "$(wc -l <mixed.all.jsonl)" -eq 11 ]; }
check "bad lines do not stop it, and end it with status 1" mixed
check "each has its record" diff <(printf '%s\n' 2 3 4 5 6 7 9 10) <(sed -En 's/^\{"line":([0-9]+),"error":".+"\}$/\1/p' mixed.all.jsonl)
check "a line without an id gets its number" grep -E '^\{"prompt":\[\{"role":"user","content":"hi"\}\],"note":\{"kept":\[1\]\},"id":0,"responses"' mixed.all.jsonl
check "an id is kept" grep -E '^\{"prompt":"last","id":77,"responses"' mixed.all.jsonl
check "responses that leave the judge no room have no scores" grep -E '^\{"prompt":"x{490}".*"judge_scores":\[\],"mean":null.*"mean":null\}\]\}$' mixed.all.jsonl
alone() { says 1 "8 lines" "$CRITIC_RM" sample tiny bad.jsonl alone.jsonl "${some[@]}" && cmp mixed.all.jsonl alone.all.jsonl && cmp mixed.jsonl alone.jsonl; }
check "one rank makes the same records" alone
none() { head -n 4 prompts.jsonl >few.jsonl && says 1 "no prompt of few.jsonl gave a pair" sample 1 few none --set generate.margin=9 && [ -e none.jsonl ] && [ ! -s none.jsonl ] && [ "$(wc -l <none.all.jsonl)" -eq 4 ]; }
check "without a pair it ends with status 1" none
check "without an output it says what it takes" says 2 "sample takes three arguments" "$CRITIC_RM" sample tiny prompts.jsonl
finish
