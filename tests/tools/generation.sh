# generation.sh: what the tests of critique, refine, score and evaluate share: a tiny model, pairs and responses, and the commands over them. Source it after cli.sh.
#
# The model is trained for a second on critiques of a few letters: so what it writes depends on what stands before it, and mostly ends by itself. It knows no score line: they are forced.
"$TINY_FOLDER" "$dir/tiny" llama 2 1 || exit 1
printf 'J?' >"$dir/tiny/judge.txt"
printf '{critiques}!' >"$dir/tiny/summarise.txt"
printf '{critique}:' >"$dir/tiny/rank.txt"
cat >"$dir/generation.yaml" <<YAML
backbone: {path: $dir/model}
device: {threads: 1, batch_invariant: 'on'}
data: {template: $dir/tiny/template.txt, critique_prompt: $dir/tiny/critique.txt, judge_prompt: $dir/tiny/judge.txt, summarise_prompt: $dir/tiny/summarise.txt, rank_prompt: $dir/tiny/rank.txt,
       max_path_tokens: 200, max_critique_tokens: 24, critiques_per_response: 2}
generate: {candidates: 4, samples: 3, force_score: true, records_per_part: 2, batch_tokens: 16, kv_memory_mb: 4}
mesh: {micro_batch_tokens: 400}
YAML

pairs() { # pairs N: preferences with critiques; critique needs none and leaves them aside
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"id\": \"p%d\", \"subset\": \"s%d\", \"prompt\": \"q%d\", \"chosen\": {\"text\": \"good %d\", \"critiques\": [\"fine: %d\", \"nice and well %d\"]}," \
        " \"rejected\": {\"text\": \"bad %d\", \"critiques\": [\"wrong: %d\", \"not so good, %d\"]}}\n", i, i % 3, i % 7, i * 37 % 100, i * 37 % 100, i * 7 % 10, i * 53 % 100, i * 53 % 100, i % 10 }'
}
judgebench() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"pair_id\": \"p%d\", \"source\": \"mmlu-pro-law\", \"question\": \"q%d\", \"response_A\": \"good %d\", \"response_B\": \"bad %d\", \"label\": \"%s\"}\n", i, i % 7, i * 37 % 100, i * 53 % 100, i % 2 ? "A>B" : "B>A" }'; }
responses() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"id\": \"r%d\", \"prompt\": \"q%d\", \"response\": \"answer %d\"}\n", i, i % 7, i * 37 % 100 }'; }

generation() { # generation RANKS COMMAND [key=value | ARGUMENT]...
    local n=$1 command=$2 arguments=() a; shift 2
    for a in "$@"; do case $a in *=*) arguments+=(--set "$a") ;; *) arguments+=("$a") ;; esac; done
    if [ "$n" -eq 1 ]; then ${EXEC:-} "$CRITIC_RM" "$command" --config "$dir/generation.yaml" "${arguments[@]}"
    else ranks "$n" "$command" --config "$dir/generation.yaml" "${arguments[@]}"; fi
}

# same_set WANT IS: both folders hold a set, and the same records in the same order
same_set() {
    generation 1 dump "$1" >"$dir/want.jsonl" && generation 1 dump "$2" >"$dir/is.jsonl" && [ -s "$dir/want.jsonl" ] && cmp "$dir/want.jsonl" "$dir/is.jsonl"
}

# most_lines WANT IS: as many lines, and nine of ten are equal. Another mesh or backend sums in another order: where two tokens are about as likely as the random number between them, a text may
# take another way, once in some hundred thousand tokens.
most_lines() {
    [ "$(wc -l <"$1")" -eq "$(wc -l <"$2")" ] && paste -d '\n' "$1" "$2" | awk 'NR % 2 { want = $0; next } { equal += $0 == want; n++ } END { print equal " of " n " lines are equal"; exit !(n > 0 && 10 * equal >= 9 * n) }'
}

# same_lines WANT IS: both files are complete, and equal
same_lines() { [ -s "$1" ] && [ ! -e "$1.job.json" ] && [ ! -e "$2.job.json" ] && cmp "$1" "$2"; }

# same_table WANT IS: both folders hold a whole evaluation, and the same files; parts.json says how many ranks began it
same_table() { [ -s "$1/table.json" ] && [ -s "$1/items.jsonl" ] && diff -r -x parts.json "$1" "$2"; }

# kills N KIND LENGTH_MS SAME WANT COMMAND...: N times: COMMAND and a new place for its output run over two ranks; kill -9 of one rank, of mpirun or of all after 0 to 1.1 times LENGTH_MS;
# then the same command goes on to the end, on one rank or two, and SAME WANT PLACE holds
kills() {
    local n=$1 name=$2 length=$3 same=$4 want=$5 i; shift 5
    for i in $(seq "$n"); do
        check "$name, kill $i" killed_once "$name.$i" $((RANDOM % (length * 11 / 10))) "$same" "$want" "$@"
        rm -rf "${dir:?}/$name.$i" "$dir/$name.$i".*
    done
}
killed_once() {
    local name=$1 moment=$2 same=$3 want=$4 what pid alive; shift 4
    what=$(printf '%s\n' rank mpirun all | sed -n "$((RANDOM % 3 + 1))p")
    (EXEC=exec generation 2 "$@" "$dir/$name") >"$dir/$name.log" 2>&1 & pid=$!
    sleep "$(awk -v ms="$moment" 'BEGIN { print ms / 1000 }')"
    alive=$(pgrep -P "$pid")
    [ -n "$alive" ] || what=all
    kill_some "$what" "$pid" $alive
    none_left "$pid" $alive || return 1
    echo "$name: $what at $moment ms, $(found "$dir/$name")" | tee -a "$dir/kills.txt"
    is_whole_file "$dir/$name" || generation $((RANDOM % 2 + 1)) "$@" "$dir/$name" >"$dir/$name.again.log" 2>&1 || { cat "$dir/$name.log" "$dir/$name.again.log"; echo "the same command failed"; return 1; }
    $same "$want" "$dir/$name"
}

# is_whole_file PLACE: score had ended before the kill, and would refuse to touch it
is_whole_file() { [ -f "$1" ] && [ ! -e "$1.job.json" ]; }

# found PLACE: how much of a set or a file was there
found() {
    if [ -d "$1" ]; then echo "$(ls "$1" | grep -cE -- '-of-[0-9]+\.json$') parts done"
    elif [ -f "$1" ]; then echo "$(wc -l <"$1") lines"
    else echo "nothing there"; fi
}

# with_last_weight_changed FOLDER COMMAND...: COMMAND while FOLDER's model has another last weight; then the old one is back
with_last_weight_changed() {
    local weights="$1/model.safetensors" got=0; shift
    cp "$weights" "$dir/weights.kept" || return 1
    truncate -s -4 "$weights" && printf '\0\0\0\077' >>"$weights" || return 1      # 0.5 in float32
    "$@" || got=$?
    mv "$dir/weights.kept" "$weights" && return "$got"
}

pairs 24 >"$dir/pairs.jsonl"
trained() { # trained FOLDER RUN MODEL: FOLDER's model, trained, and exported
    generation 1 train run.dir="$dir/$2" backbone.path="$dir/$1" backbone.init=random data.train="$dir/pairs.jsonl" objective.pairs_per_step=8 objective.epochs=12 optimizer.lr=5e-3 \
        optimizer.reward_lr=1e-2 >"$dir/run.log" 2>&1 && "$CRITIC_RM" export "$dir/$2" "$dir/$3" >>"$dir/run.log" 2>&1 || { cat "$dir/run.log"; exit 1; }
}
trained tiny run model
