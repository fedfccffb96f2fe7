#!/usr/bin/env bash
# critique, refine and score as a user runs them: the same output on any mesh, after a stop and after kill -9 (more of them: tests/slow/test_kill_generation.sh), forced scores, bad lines, refusals.
# With device.batch_invariant on, a text and a reward do not depend on what else is in a pass: 1 rank and data 2 agree byte for byte, whatever the size of passes and cache.
. "$TOOLS/cli.sh"
. "$TOOLS/generation.sh"

# slowly COMMAND...: on a disk of 50 ms an fsync, so that a signal finds parts left to do. ASan wants to be the first library that is loaded, and need not be.
slowly() { LD_PRELOAD=$SLOW_FSYNC SLOW_FSYNC_MS=50 ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 "$@"; }

# stopped PLACE SIGN COMMAND...: USR1 to mpirun when SIGN holds; status 3
stopped() {
    local place=$1 sign=$2 pid got=0 i; shift 2
    (EXEC=exec generation 2 "$@" "$place") & pid=$!
    for i in $(seq 1000); do $sign "$place" && break; sleep 0.02; done
    kill -USR1 "$pid"; wait "$pid" || got=$?
    [ "$got" -eq 3 ] || { echo "exit status $got, expected 3"; return 1; }
}
one_part() { ls "$1" 2>/dev/null | grep -qE -- '-of-[0-9]+\.json$'; }
some_lines() { [ -f "$1" ] && [ "$(wc -l <"$1")" -ge 6 ]; }

cp -r "$dir/model" "$dir/moved"

# ---- critique
critique() { generation "$1" critique "${@:3}" "$dir/pairs.jsonl" "$dir/$2"; }
begin=$(now_ms)
check "critique on one rank" critique 1 one
length=$(($(now_ms) - begin))
check "gives the same candidates on data 2" eval 'critique 2 data && same_set "$dir/one" "$dir/data"'
check "and in other passes over another cache" eval 'critique 1 small generate.batch_tokens=64 generate.kv_memory_mb=1 && same_set "$dir/one" "$dir/small"'
check "and nine of ten or more on tensor 2" eval 'critique 2 tensor mesh.tensor=2 && ! same_set "$dir/one" "$dir/tensor" >/dev/null; most_lines "$dir/want.jsonl" "$dir/is.jsonl"'
records() { [ "$(wc -l <"$dir/want.jsonl")" -eq 24 ] && [ "$(sed -E 's/.*"id":"([^"]*)".*/\1/' "$dir/want.jsonl" | sort -u | wc -l)" -eq 24 ]; }
check "every record once" records
check "force_score gives every candidate a score" eval '[ "$(grep -o "\"raw\":" "$dir/want.jsonl" | wc -l)" -eq 192 ] && [ "$(grep -oE "\"judge_score\":([1-9]|10)\.0," "$dir/want.jsonl" | wc -l)" -eq 192 ]'
check "without it this model gives none" eval 'critique 1 unforced generate.force_score=false 2>&1 | grep -F "192 candidates; parse rate 0.000"'
one_odd() { # its prompt ends with the assistant; the part of the third and fourth record is rank 1's
    { pairs 2; echo '{"prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "chosen": "b", "rejected": "c"}'; } >"$dir/odd.jsonl"
    says 0 "0 without room for a critique, 1 that cannot be rendered" generation 2 critique "$dir/odd.jsonl" "$dir/odd" || return 1
    grep -F "warning of rank 1: $dir/odd.jsonl, line 3 is not judged: a prompt must end with a user's message" "$dir/says.log" && [ "$(generation 1 dump "$dir/odd" | wc -l)" -eq 2 ]
}
check "a record that cannot be rendered is counted, and ends nothing" one_odd
check "a complete set is left alone" says 0 "$dir/one is complete" critique 1 one

critique_stops() { # then on one rank; what was done stays
    slowly stopped "$dir/parts" one_part critique "$dir/pairs.jsonl" || return 1
    [ ! -e "$dir/parts/candidates.json" ] || { echo "it had ended already"; return 1; }
    ls -i "$dir"/parts/*-of-*.json >"$dir/done" || return 1
    says 2 "generate.temperature" critique 2 parts generate.temperature=0.5 || return 1
    pairs 23 >"$dir/other.jsonl"
    says 2 "other.jsonl" generation 2 critique "$dir/other.jsonl" "$dir/parts" || return 1
    with_last_weight_changed "$dir/model" says 2 "$dir/parts was begun with another model: '$dir/model', and the contents of '$dir/model' now are others" critique 2 parts || return 1
    critique 1 parts backbone.path="$dir/./model/" || return 1
    ls -i "$dir"/parts/*-of-*.json | grep -xFf "$dir/done" | cmp - "$dir/done" && same_set "$dir/one" "$dir/parts"
}
check "USR1 in the middle is status 3, another option, input or weights are refused by name, and the same command goes on, on one rank and under another spelling of the model too" critique_stops
kills 2 critique "$length" same_set "$dir/one" critique "$dir/pairs.jsonl"

# ---- refine
refine() { generation "$1" refine "${@:3}" "$dir/one" "$dir/$2"; }
for mode in rank summarise none; do
    check "refine, $mode: one rank" refine 1 "$mode" generate.refine="$mode"
    check "refine, $mode: data 2 gives the same D_sub" eval 'refine 2 "$mode.2" generate.refine="$mode" && same_set "$dir/$mode" "$dir/$mode.2"'
done
differ() { # what was chosen, and what was written, is not the same thing
    ! cmp -s <(generation 1 dump "$dir/none") <(generation 1 dump "$dir/rank") && ! cmp -s <(generation 1 dump "$dir/none") <(generation 1 dump "$dir/summarise")
}
check "the three modes give three sets" differ
check "D_sub trains" generation 2 train run.dir="$dir/again" data.train="$dir/summarise" objective.pairs_per_step=4 objective.epochs=1

refine_stops() {
    slowly stopped "$dir/refined" one_part refine generate.refine=summarise generate.records_per_part=1 "$dir/one" || return 1
    [ ! -e "$dir/refined/dsub.json" ] || { echo "it had ended already"; return 1; }
    says 2 "generate.refine" refine 1 refined generate.refine=none || return 1
    with_last_weight_changed "$dir/moved" says 2 "'$dir/model', and the contents of '$dir/moved' now are others" refine 1 refined generate.refine=summarise backbone.path="$dir/moved" || return 1
    refine 2 refined generate.refine=summarise && same_set "$dir/summarise" "$dir/refined"
}
check "refine stops, refuses another mode or other weights, and goes on" refine_stops
refine_moved() { # one file of the set is of a start with the model elsewhere
    local file; file=$(ls "$dir"/refined/*-of-*.h5 | tail -n 1)
    rm "$file" "${file%.h5}.json" "$dir/refined/dsub.json" && refine 1 refined generate.refine=summarise backbone.path="$dir/moved" && same_set "$dir/summarise" "$dir/refined"
}
check "and with the model in another folder, to the same set" refine_moved
kills 2 refine "$length" same_set "$dir/summarise" refine generate.refine=summarise "$dir/one"
check "an empty D_sub is said with its reason" says 1 "D_sub would be empty: of the pairs 0 are contradicted by the judge's scores, 0 tied, 24 have too few scores" \
    generation 2 refine "$dir/unforced" "$dir/empty"
check "no set is left of it" test ! -e "$dir/empty/dsub.json"

# ---- score
score() { generation "$1" score "${@:4}" "$dir/$2" "$dir/in.jsonl" "$dir/$3"; }
responses 200 >"$dir/in.jsonl"
begin=$(now_ms)
check "score on one rank" score 1 run scores
length=$(($(now_ms) - begin))
check "each line comes back with the mean of its rewards" eval '[ "$(grep -cE "^\{\"id\":\"r[0-9]+\",.*\"reward\":.*\"rewards\":\[.*\],\"critiques\":\[" "$dir/scores")" -eq 200 ] &&
    sed -E "s/.*\"reward\":([^,]*),\"rewards\":\[([^],]*),([^],]*),([^],]*)\].*/\1 \2 \3 \4/" "$dir/scores" | awk "{ d = \$1 - (\$2 + \$3 + \$4) / 3; if (NF != 4 || d > 1e-6 || d < -1e-6) { print; exit 1 } }"'
check "order is kept" eval 'cmp <(sed -E "s/.*\"id\":\"([^\"]*)\".*/\1/" "$dir/scores") <(sed -E "s/.*\"id\": \"([^\"]*)\".*/\1/" "$dir/in.jsonl")'
check "data 2 gives the same bytes" eval 'score 2 run scores.2 && same_lines "$dir/scores" "$dir/scores.2"'
check "and other passes" eval 'score 1 run scores.64 generate.batch_tokens=64 && same_lines "$dir/scores" "$dir/scores.64"'
check "and what export wrote" eval 'score 1 model scores.hf && same_lines "$dir/scores" "$dir/scores.hf"'
check "and the run's last checkpoint by its folder, with a slash behind it" eval 'score 1 "$(cd "$dir" && ls -d run/checkpoints/step_* | tail -n 1)/" scores.step && same_lines "$dir/scores" "$dir/scores.step"'
close_scores() { # close_scores WANT IS: nine of ten lines or more have the same critiques, and there the rewards agree to 1e-5
    [ "$(wc -l <"$1")" -eq "$(wc -l <"$2")" ] && paste -d '\n' "$1" "$2" | awk '
        function rewards(line, out) { sub(/.*"rewards":\[/, "", line); sub(/\].*/, "", line); return split(line, out, ",") }
        function critiques(line) { return substr(line, index(line, "\"critiques\":")) }
        NR % 2 { want = $0; next }
        { n++; if (critiques(want) != critiques($0)) next
          equal++; k = rewards(want, a); rewards($0, b)
          for (i = 1; i <= k; i++) { d = a[i] - b[i]; if (d > 1e-5 || d < -1e-5) { print a[i], b[i]; bad = 1 } } }
        END { print equal " of " n " lines have the same critiques"; exit bad || n == 0 || 10 * equal < 9 * n }'
}
check "tensor 2 gives the same rewards to 1e-5 where the critiques are the same" eval 'score 2 run scores.t mesh.tensor=2 && close_scores "$dir/scores" "$dir/scores.t"'
check "the input is not written over" says 2 "$dir/in.jsonl is the input: name another file to write" generation 2 score "$dir/run" "$dir/in.jsonl" "$dir/in.jsonl"
check "nor a folder" says 2 "$dir/run is a folder: name a file to write" score 2 run run
check "a complete file is refused" says 1 "$dir/scores is there and complete" score 2 run scores

score_stops() {
    stopped "$dir/stopped" some_lines score "$dir/run" "$dir/in.jsonl" || return 1
    [ "$(wc -l <"$dir/stopped")" -lt 200 ] || { echo "it had ended already"; return 1; }
    says 2 "generate.samples" score 2 run stopped generate.samples=2 || return 1
    says 2 "was begun with another model" score 2 model stopped || return 1
    exec 9>>"$dir/stopped" && flock 9
    says 1 "another job is writing $dir/stopped: wait for it, or write to another file" score 2 run stopped 9>&- || return 1
    exec 9>&-
    local latest; latest=$(ls -d "$dir"/run/checkpoints/step_* | tail -n 1)
    cp -r "$(ls -d "$dir"/again/checkpoints/step_* | tail -n 1)" "$dir/run/checkpoints/step_99999999" || return 1     # the run was trained on meanwhile
    says 2 "was begun with another model: '$latest', and the contents of '$dir/run/checkpoints/step_99999999' now are others" score 2 run stopped || return 1
    mv "$latest" "$dir/kept" && cp -r "$dir/run/checkpoints/step_99999999" "$latest" || return 1     # or anew
    says 2 "was begun with another model: '$latest', and the contents of '$latest' now are others" score 2 "${latest#"$dir/"}" stopped || return 1
    rm -r "$dir/run/checkpoints/step_99999999" "$latest" && mv "$dir/kept" "$latest" && cp -r "$dir/run" "$dir/run.moved" || return 1
    printf '{"id": "r' >>"$dir/stopped"      # as a kill leaves it
    score 1 run.moved stopped && same_lines "$dir/scores" "$dir/stopped"
}
check "score stops, refuses another option, model, checkpoint or a second writer, and goes on behind its last whole line, with the run in another folder" score_stops
old_job() { # as begun before models had fingerprints: known by the path
    stopped "$dir/old" some_lines score "$dir/model" "$dir/in.jsonl" || return 1
    with_last_weight_changed "$dir/model" says 2 "'$dir/model', and the contents of '$dir/model' now are others" score 1 model old || return 1
    sed -i '/"model_xxh3"/d' "$dir/old.job.json"
    says 2 "was begun with model '$dir/model', and this is '$dir/moved'" score 1 moved old || return 1
    score 1 model old && same_lines "$dir/scores" "$dir/old"
}
check "a job without a fingerprint goes on under the same path" old_job
kills 2 score "$length" same_lines "$dir/scores" score "$dir/run" "$dir/in.jsonl"

few_stop() { # six lines are written and the last one, long, is at work when the signal comes
    responses 7 >"$dir/few.jsonl"
    generation 1 score generate.samples=600 "$dir/run" "$dir/few.jsonl" "$dir/few" || return 1
    stopped "$dir/few.stopped" some_lines score mesh.tensor=2 generate.samples=600 generate.batch_tokens=64 "$dir/run" "$dir/few.jsonl" || return 1
    generation 1 score generate.samples=600 "$dir/run" "$dir/few.jsonl" "$dir/few.stopped" && close_scores "$dir/few" "$dir/few.stopped"
}
check "a signal behind the last line read loses none" few_stop

# ---- bad lines
{
    responses 2
    echo '{"id": "broken", "prompt": "q", "resp'
    echo '{"id": "none", "prompt": "q"}'
    printf '{"id": "bytes", "prompt": "q", "response": "\377"}\n'
    echo '[1]'
    printf '{"id": "long", "prompt": "q", "response": "%0600d"}\n' 0
    echo
    echo '{"line": 8, "error": "of its own", "prompt": [{"role": "user", "content": "q0"}], "response": [{"role": "assistant", "content": "answer 0"}]}'
} >"$dir/bad.jsonl"
bad() { generation "$1" score "$dir/run" "$dir/bad.jsonl" "$dir/$2"; }
bad_lines() {
    says 1 "6 lines of $dir/bad.jsonl could not be scored: their records in $dir/bad.1 say why" bad 1 bad.1 || return 1
    cat "$dir/bad.1"
    [ "$(wc -l <"$dir/bad.1")" -eq 9 ] && [ ! -e "$dir/bad.1.job.json" ] || return 1
    [ "$(grep -nE '^\{"line":[0-9]+,"error":"[^"]*' "$dir/bad.1" | sed -E 's/^([0-9]+):\{"line":([0-9]+),"error":.*/\1=\2/' | xargs)" = "3=3 4=4 5=5 6=6 7=7 8=8 9=8" ] || return 1
    grep -q '^{"line":4,"error":.*bad.jsonl, line 4: .*response' "$dir/bad.1" && grep -q '^{"line":7,"error":"the response leaves no room for a critique' "$dir/bad.1" &&
        sed -n 9p "$dir/bad.1" | grep -q '^{"line":8,"error":"of its own",.*"reward":'
}
check "bad lines get records with their numbers, the others are scored, status 1 at the end" bad_lines
check "the same on two ranks" eval 'says 1 "6 lines of $dir/bad.jsonl could not be scored" bad 2 bad.2 && same_lines "$dir/bad.1" "$dir/bad.2"'
resumed_bad() { # the records were written before the stop; what begins like one is none
    { sed -n '4,7p;9p' "$dir/bad.jsonl"; cat "$dir/in.jsonl"; } >"$dir/mixed.jsonl"
    status 1 generation 2 score "$dir/run" "$dir/mixed.jsonl" "$dir/mixed" || return 1
    stopped "$dir/mixed.stopped" some_lines score "$dir/run" "$dir/mixed.jsonl" || return 1
    [ "$(grep -c '^{"line"' "$dir/mixed.stopped")" -eq 5 ] && [ "$(wc -l <"$dir/mixed.stopped")" -lt 205 ] || return 1
    says 1 "4 lines of $dir/mixed.jsonl could not be scored" generation 2 score mesh.tensor=2 "$dir/run" "$dir/mixed.jsonl" "$dir/mixed.stopped" && close_scores "$dir/mixed" "$dir/mixed.stopped"
}
check "a job that goes on still ends with status 1 for the records that were there already" resumed_bad

# ---- refusals
check "a backbone without a trained head is refused" says 1 "$dir/tiny has no trained reward head" generation 2 score backbone.init=random "$dir/tiny" "$dir/in.jsonl" "$dir/nowhere"
check "another instruction is refused" says 1 "was trained with another chat template or critique instruction" generation 2 score data.critique_prompt="$dir/tiny/judge.txt" "$dir/run" "$dir/few.jsonl" "$dir/nowhere"
check "unless generate.any_template says so" generation 2 score data.critique_prompt="$dir/tiny/judge.txt" generate.any_template=true "$dir/run" "$dir/few.jsonl" "$dir/any"
check "a model that is not there is named" says 1 "$dir/nothing does not exist" generation 2 score "$dir/nothing" "$dir/in.jsonl" "$dir/nowhere"
check "an input that is not there is named" says 1 "$dir/nothing.jsonl" generation 2 score "$dir/run" "$dir/nothing.jsonl" "$dir/nowhere"
check "nothing is written then" test ! -e "$dir/nowhere"
finish
