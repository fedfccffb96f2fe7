#!/usr/bin/env bash
# critic-rm evaluate --model on tiny models: rewards, a plain judge, CriticBench; the same on one rank, on data 2 and on tensor 2; the table is that of --scores of its own items.jsonl.
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 12 || exit 1
printf J >"$dir/tiny/judge.txt"
printf V >"$dir/tiny/verdict.txt"
printf 'A {critique}' >"$dir/tiny/correct.txt"
cd "$dir" || exit 1

text=(--set data.template=tiny/template.txt --set device.threads=1)
for name in critique judge verdict correct; do text+=(--set "data.${name}_prompt=tiny/$name.txt"); done
some=("${text[@]}" --set data.max_critique_tokens=16 --set generate.kv_memory_mb=16)
train() { # train RUN [key=value...]
    local sets=(--set run.dir="$1" --set backbone.path=tiny --set backbone.init=random --set objective.pairs_per_step=4 --set mesh.micro_batch_tokens=128 --set data.max_path_tokens=48) s; shift
    for s in "$@"; do sets+=(--set "$s"); done
    "$CRITIC_RM" train "${text[@]}" "${sets[@]}" >"train.log" 2>&1 || { cat train.log; exit 1; }
}
train trained data.train=tiny/dsub objective.epochs=1 optimizer.lr=1e-3
train plain data.train=tiny/dsub objective.mode=reward-only objective.epochs=1 optimizer.lr=1e-3

# Six pairs a group; the last one's A leaves no room for a critique in 512 positions.
awk 'BEGIN { split("mmlu-pro-law livebench-math livecodebench", g, " ")
    for (i = 0; i < 17; i++) printf "{\"pair_id\": \"p%d\", \"source\": \"%s\", \"question\": \"why %d?\", \"response_A\": \"good %d\", \"response_B\": \"bad %d\", \"label\": \"%s\"}\n",
        i, g[i % 3 + 1], i % 5, i * 37 % 100, i * 53 % 100, i % 2 ? "A>B" : "B>A"
    for (k = 0; k < 510; k++) s = s "x"
    printf "{\"pair_id\": \"long\", \"source\": \"livecodebench\", \"question\": \"q\", \"response_A\": \"%s\", \"response_B\": \"b\", \"label\": \"A>B\"}\n", s }' >pairs.jsonl

evaluate() { "$CRITIC_RM" evaluate "$@"; }
# on_data NAME ARGS...: NAME.1, of one rank, and NAME.data have the same bytes
on_data() {
    local name=$1; shift
    evaluate "$@" "${some[@]}" "$name.1" >"$name.shown" && ranks 2 evaluate "$@" "${some[@]}" "$name.data" || return 1
    diff "$name.shown" "$name.1/table.txt" && diff -r "$name.1" "$name.data"
}
# meshes NAME ARGS...: so they have, and NAME.tensor has the same table
meshes() { on_data "$@" && ranks 2 evaluate "${@:2}" "${some[@]}" --set mesh.tensor=2 "$1.tensor" && diff "$1.1/table.txt" "$1.tensor/table.txt"; }
again() { diff "$1.1/table.txt" <(evaluate "${@:2}" --scores "$1.1/items.jsonl"); } # again NAME ARGS...: --scores gives the same table
scores() { sed -E 's/.*"scores":\[([^]]*)\].*/\1/' "$1/items.jsonl" | tr , '\n'; }

# ---- rewards ----
check "rewards give the same table on 1 rank, data 2 and tensor 2" meshes reward judgebench pairs.jsonl --model trained
check "--scores of its items.jsonl gives that table" again reward judgebench pairs.jsonl
close() { paste <(scores reward.1) <(scores reward.tensor) | awk '{ d = $1 - $2; if (d > 1e-4 || d < -1e-4) { print; exit 1 } } END { exit NR != 36 }'; }
check "the rewards of tensor 2 are those of one rank" close
check "a response without room has no score, and is counted" grep -F "1 of 36 responses have no score: 1 of 18 comparisons counted as lost" reward.1/table.txt
as_score() { # as_score MODEL NAME [ARGS...]: score gives the same numbers, bit for bit
    sed -E 's/.*"question": "([^"]*)", "response_A": "([^"]*)", "response_B": "([^"]*)".*/{"prompt": "\1", "response": "\2"}\n{"prompt": "\1", "response": "\3"}/' pairs.jsonl >"$2.in.jsonl"
    "$CRITIC_RM" score "$1" "$2.in.jsonl" "$2.out.jsonl" "${some[@]}" "${@:3}"
    diff <(scores "$2.1" | grep -v null) <(sed -En 's/.*"reward":([^,}]*).*/\1/p' "$2.out.jsonl")
}
check "the rewards are those of score, bit for bit" as_score trained reward
check "with two critiques each the table is the same on 1 rank and on data 2" on_data two judgebench pairs.jsonl --model trained --set generate.samples=2
check "score gives these rewards, too" as_score trained two --set generate.samples=2
check "a reward-only model is evaluated without critiques" on_data plain judgebench pairs.jsonl --model plain
check "score gives its rewards" as_score plain plain
stopped() { # long critiques, few rows a pass: it runs for seconds
    (EXEC=exec ranks 2 evaluate judgebench pairs.jsonl --model trained "${some[@]}" --set generate.samples=8 --set data.max_critique_tokens=400 --set generate.batch_tokens=16 >stopped.log 2>&1) &
    local pid=$! got=0
    for _ in $(seq 1000); do grep -q "^mesh 2 data" stopped.log && break; sleep 0.02; done
    kill -USR1 "$pid"; wait "$pid" || got=$?
    cat stopped.log
    [ "$got" -eq 1 ] && [ "$(grep -c "stopped on request, and without a folder evaluate keeps nothing: name one" stopped.log)" -eq 1 ]
}
check "without a folder USR1 ends it with status 1, and says that one would keep it" stopped
check "a backbone without a trained head is refused" says 1 "tiny has no trained reward head" evaluate judgebench pairs.jsonl --model tiny --set backbone.init=random "${some[@]}"

# ---- a plain judge ----
judge=(--judge --set backbone.init=random --set generate.candidates=4)
undecided() { evaluate judgebench pairs.jsonl --model tiny "${some[@]}" "${judge[@]}" | tee shown && grep -E '^Overall +50.0% +18$' shown && grep -F "36 of 36 responses have no score" shown; }
check "a judge whose scores cannot be read is undecided everywhere" undecided
check "a judge's scores give the same table on 1 rank, data 2 and tensor 2" meshes judged judgebench pairs.jsonl --model tiny "${judge[@]}" --set generate.force_score=true
check "--scores --judge of its items.jsonl gives that table" again judged judgebench pairs.jsonl --judge
means() { scores judged.1 | awk '$1 != "null" { if (!($1 >= 1 && $1 <= 10 && $1 * 4 == int($1 * 4))) { print; exit 1 } n++ } END { exit n != 35 }'; }
check "its scores are means of four whole numbers from 1 to 10" means

# ---- CriticBench: a model taught to say [[correct]] of "ok" and [[wrong]] of "no", and to answer 7 and 8 ----
awk 'BEGIN { for (i = 0; i < 24; i++) { turn = "{\"role\": \"%s\", \"content\": \"%s\"}"; right = i % 2; word = right ? "correct" : "wrong"
    begin = sprintf("{\"messages\": [" turn ", " turn ", ", "user", "q" i, "assistant", right ? "ok" : "no")
    printf "%s" turn ", " turn "]}\n", begin, "user", "V", "assistant", "[[" word "]]"
    printf "%s" turn ", " turn "]}\n", begin, "user", "A [[" word "]]", "assistant", "The answer is " (right ? 7 : 8) } }' >talk.jsonl
train taught data.train=talk.jsonl objective.mode=critique-only objective.epochs=40 objective.pairs_per_step=16 optimizer.lr=5e-3 data.max_path_tokens=64
{
    item() { printf '{"id": "%s", "dataset": "%s", "question": "%s", "response": "%s", "response_label": %s, "answer": "%s"}\n' "$@"; }
    item hit gsm8k q1 ok true 7
    item hits gsm8k q2 no false 8
    item miss gsm8k q3 ok false 7
    item alarm gsm8k q4 no true 9
    item code mbpp q6 no false 8
    item long gsm8k "$(printf 'x%.0s' $(seq 510))" no false 8
} >critic.jsonl
cat >want <<'END'
CriticBench      f1  precision  recall  items  correction  compared
gsm8k         40.0%      50.0%   33.3%      5       60.0%         5
mbpp         100.0%     100.0%  100.0%      1           -         0
Overall       57.1%      66.7%   50.0%      6       60.0%         5
note: 1 of 6 verdicts could not be read: counted as mistaken
note: the answers of 1 of 6 items cannot be compared: left out of correction
END
check "CriticBench is the same on 1 rank, data 2 and tensor 2" meshes critic criticbench critic.jsonl --model taught
check "its table is that of what the model was taught" diff want critic.1/table.txt
check "--scores of its items.jsonl gives that table, too" again critic criticbench critic.jsonl
check "an answer that cannot be compared is not asked for" grep -E '"id":"code".*"answer":null' critic.1/items.jsonl
forced() { evaluate criticbench critic.jsonl --model tiny "${some[@]}" --set backbone.init=random "${@:2}" "$1" >/dev/null && grep -F "verdicts could not be read" "$1/table.txt"; }
check "an untrained model gives no verdict" says 0 "note: 6 of 6 verdicts could not be read" forced unforced
check "forced it gives one wherever there is room" says 0 "note: 1 of 6 verdicts could not be read" forced forced --set generate.force_score=true

# ---- wrong usage ----
check "a model or scores, not both" says 2 "evaluate takes --model or --scores, not both" evaluate judgebench pairs.jsonl --model trained --scores reward.1/items.jsonl
check "CriticBench has no judge's scores" says 2 "leave --judge out" evaluate criticbench critic.jsonl --model taught --judge
check "another critique instruction than the model's is refused, once by two ranks" says 1 "was trained with another chat template or critique instruction" \
    ranks 2 evaluate judgebench pairs.jsonl --model trained "${some[@]}" --set data.critique_prompt=tiny/judge.txt
check "a benchmark that is not there is named before the model is read" says 1 none.jsonl ranks 2 evaluate judgebench none.jsonl --model none
finish
