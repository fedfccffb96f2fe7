#!/usr/bin/env bash
# critic-rm score --serve: its scores are those of `score` byte for byte, from one rank and from two; it outlives malformed, oversized, slow and vanished clients and answers 64
# at once; a token is asked for; a full queue and a stop are said; it ends with status 0 (under ASan: and without a leak).
. "$TOOLS/cli.sh"
"$TINY_FOLDER" "$dir/tiny" llama 2 12 || exit 1
sets=(--set data.template="$dir/tiny/template.txt" --set data.critique_prompt="$dir/tiny/critique.txt" --set data.max_critique_tokens=24 --set device.threads=1 --set generate.kv_memory_mb=64)
"$CRITIC_RM" train --set run.dir="$dir/run" --set backbone.path="$dir/tiny" --set backbone.init=random --set data.train="$dir/tiny/dsub" --set data.max_path_tokens=48 --set mesh.micro_batch_tokens=96 \
    --set objective.pairs_per_step=4 --set objective.epochs=1 --set objective.ramp_inclusive=true --set optimizer.reward_lr=1e-2 "${sets[@]}" >"$dir/train.log" 2>&1 || { cat "$dir/train.log"; exit 1; }
awk 'BEGIN { for (i = 0; i < 64; i++) printf "{\"id\": %d, \"prompt\": \"question %d\", \"response\": \"answer %d, and why it is so\"}\n", i, i % 23, i * 37 % 100 }' >"$dir/in.jsonl"
awk 'BEGIN { printf "{\"prompt\": \"q\", \"response\": \""; for (i = 0; i < 600; i++) printf "x"; print "\"}" }' >"$dir/long.jsonl"
token=0123456789abcdef0123456789abcdef; printf '%s\n' "$token" >"$dir/token"

# serve NAME RANKS ARGS...: begins a server in the background; sets pid and port. stop NAME SIGNAL SECONDS: it ends with status 0 in time.
serve() {
    local name=$1 n=$2 i; shift 2
    if [ "$n" -eq 1 ]; then "$CRITIC_RM" score --serve 0 "$@" "${sets[@]}" 2>"$dir/$name.log" &
    else (EXEC=exec ranks "$n" score --serve 0 "$@" "${sets[@]}" 2>"$dir/$name.log") & fi
    pid=$!
    for i in $(seq 600); do
        port=$(sed -n 's/.*answers on http:\/\/[0-9.]*:\([0-9]*\),.*/\1/p' "$dir/$name.log")
        [ -n "$port" ] && return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$dir/$name.log"; return 1
}
stop() {
    local began=$SECONDS got=0
    kill "-$2" "$pid" && { wait "$pid" || got=$?; }
    cat "$dir/$1.log"
    echo "status $got after $((SECONDS - began)) s"
    [ $got -eq 0 ] && [ $((SECONDS - began)) -le "$3" ] && grep -q '^stopped: ' "$dir/$1.log"
}
client() { "$HTTP_CLIENT" "$port" "$@"; }
body() { tr -d '\r' | sed '1,/^$/d'; }
# answered STATUS TEXT COMMAND...: COMMAND prints an answer of that status with TEXT in it
answered() {
    local want=$1 text=$2; shift 2
    "$@" >"$dir/answer"
    cut -c 1-500 "$dir/answer"
    head -n 1 "$dir/answer" | grep -q "^HTTP/1.1 $want " && grep -qF -- "$text" "$dir/answer"
}
ask() { printf '%s' "$1" | client ask "${@:2}"; }
scores() { ask "$1" POST /score "${@:2}"; }
metric() { ask "" GET /metrics | sed -n "s/^critic_rm_$1 //p"; }

# ---- what is refused before anything is opened
check "a port that is none is refused" says 2 "--serve takes a port" "$CRITIC_RM" score --serve http "$dir/run"
check "other interfaces need a token" says 2 "give --token-file too" "$CRITIC_RM" score --serve 0 --listen 0.0.0.0 "$dir/run"
check "a token file that is not there is named" says 1 "$dir/none" "$CRITIC_RM" score --serve 0 --token-file "$dir/none" "$dir/run"
check "a token goes with a server" says 2 "go with --serve" "$CRITIC_RM" score --token-file "$dir/token" "$dir/run" "$dir/in.jsonl" "$dir/x.jsonl"
check "a second copy of the model is refused, once for two ranks" says 2 "of 2 ranks mesh.tensor must be 2" ranks 2 score --serve 0 "$dir/run"
check "a model without a reward head is refused" says 1 "no trained reward head" "$CRITIC_RM" score --serve 0 "$dir/tiny" --set backbone.init=random "${sets[@]}"

# ---- one rank
check "the same responses are scored into a file" status 0 "$CRITIC_RM" score "$dir/run" "$dir/in.jsonl" "$dir/want.jsonl" "${sets[@]}"
"$CRITIC_RM" score "$dir/run" "$dir/long.jsonl" "$dir/long.want" "${sets[@]}" 2>/dev/null
check "a server begins" serve one 1 "$dir/run"
check "a port that is taken is named" says 1 "port $port: Address already in use" "$CRITIC_RM" score --serve "$port" "$dir/run"
client hold 40 60 >"$dir/hold.log" 2>&1 &
holder=$!
one_equals() { scores "$(sed -n "$1p" "$dir/in.jsonl")" | body | cmp - <(sed -n "$1p" "$dir/want.jsonl"); }
check "an item is answered as the file's line, byte for byte" one_equals 5
many_equal() { scores "{\"items\": [$(paste -sd, "$dir/in.jsonl")]}" | body | cmp - <(printf '{"items":[%s]}\n' "$(paste -sd, "$dir/want.jsonl")"); }
check "a list is answered in its order, byte for byte" many_equal
check "64 connections at once get the file's scores, while 40 slow ones are held open" client together 64 "$dir/in.jsonl" "$dir/want.jsonl"
in_place() {
    scores "{\"items\": [$(sed -n 1p "$dir/in.jsonl"), {\"prompt\": \"a\"}, $(cat "$dir/long.jsonl"), $(sed -n 2p "$dir/in.jsonl")]}" | body >"$dir/shown"
    printf '{"items":[%s,{"error":"items[1]: \\"response\\" is missing"},%s,%s]}\n' "$(sed -n 1p "$dir/want.jsonl")" "$(sed 's/"line":1,//' "$dir/long.want")" "$(sed -n 2p "$dir/want.jsonl")" | cmp - "$dir/shown"
}
check "a bad item and one without room have their errors in their places" in_place
check "one item that is bad is a bad request" answered 400 '{"error":"the request: \"response\" is missing"}' scores '{"prompt": "a"}'
check "malformed JSON is a bad request" answered 400 "not valid JSON" scores '{"prompt": '
check "an empty body is a bad request" answered 400 "not valid JSON" scores ""
check "another page is not found" answered 404 '{"error":' ask "" GET /
check "another method is refused with the right one" answered 405 "Allow: POST" ask "" GET /score
check "health names the model and its mode" answered 200 "\"status\":\"ok\",\"model\":\"$dir/run\",\"mode\":\"critic-rm\"" ask "" GET /health
head -c 17000000 /dev/zero >"$dir/big"
check "a body that says it is too long is refused before it is read" answered 413 "longer than 16 MiB" eval 'printf "POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: 17000000\r\n\r\n" | client raw'
check "a body that does not say so is refused when it is" answered 413 "longer than 16 MiB" eval \
    '{ printf "POST /score HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" 17000000; cat "$dir/big"; printf "\r\n0\r\n\r\n"; } | client raw'
deep() { awk 'BEGIN { printf "{\"items\": "; for (i = 0; i < 100000; i++) printf "["; }'; }
check "brackets a hundred thousand deep are a bad request" answered 400 "not valid JSON" eval 'deep | client ask POST /score'
many() { awk 'BEGIN { printf "{\"items\": ["; for (i = 0; i < 50000; i++) printf "{},"; print "{}]}" }'; }
check "fifty thousand items are refused" answered 400 "may have 4096" eval 'many | client ask POST /score'
check "random bytes as requests" client garbage 300
check "broken items get answers that are JSON" client broken 500 "$dir/in.jsonl"
check "clients that go away without reading" client leave 40 "$dir/in.jsonl"
check "after all that the scores are the same" client together 64 "$dir/in.jsonl" "$dir/want.jsonl"
settled() {
    local i
    for i in $(seq 100); do [ "$(metric queue_items)" = 0 ] && [ "$(metric running_sequences)" = 0 ] && break; sleep 0.1; done
    ask "" GET /metrics >"$dir/shown"; cat "$dir/shown"
    [ "$i" -lt 100 ] && [ "$(metric items_scored_total)" -ge 230 ] && [ "$(metric critiques_total)" = "$(metric items_scored_total)" ] && [ "$(metric 'requests_total{status="413"}')" = 2 ] &&
        [ "$(metric tokens_written_total)" -gt 3000 ] && [ "$(metric tokens_prefilled_total)" -gt 1500 ] && ! grep -vE '^(# (HELP|TYPE) critic_rm_[a-z_]+ .+|critic_rm_[a-z_]+(\{status="[0-9]+"\})? [0-9.e+-]+)$' <(body <"$dir/shown" | sed '/^$/d')
}
check "the metrics count what happened, and nothing is left waiting" settled
slow_closed() { wait $holder; local got=$?; cat "$dir/hold.log"; [ $got -eq 0 ]; }
check "the slow clients were closed" slow_closed
check "SIGTERM ends it" stop one TERM 5

# ---- a token
check "a server with a token begins" serve token 1 --token-file "$dir/token" --listen 127.0.0.1 "$dir/run"
check "without the token nothing is said" answered 401 "WWW-Authenticate: Bearer" ask "" GET /health
check "nor with another" answered 401 '{"error":' scores "$(head -n 1 "$dir/in.jsonl")" "Authorization: Bearer ${token}0"
check "with it health is" answered 200 '"status":"ok"' ask "" GET /health "Authorization: Bearer $token"
check "and scores" answered 200 "$(head -n 1 "$dir/want.jsonl")" scores "$(head -n 1 "$dir/in.jsonl")" "Authorization: Bearer $token"
check "SIGINT ends it" stop token INT 5

# ---- more than it can do: a thousand critiques a response
check "a busy server begins" serve busy 1 "$dir/run" --set generate.samples=1000
awk 'BEGIN { printf "{\"items\": ["; for (i = 0; i < 4096; i++) printf "%s{\"prompt\": \"q%d\", \"response\": \"r\"}", i ? "," : "", i; print "]}" }' >"$dir/many.json"
client ask POST /score <"$dir/many.json" >"$dir/first" & first=$!
waits() { local i; for i in $(seq 200); do [ "$(metric running_sequences)" -gt 0 ] && return 0; sleep 0.05; done; return 1; }
check "it is at work" waits
client ask POST /score <"$dir/many.json" >"$dir/second" & second=$!
full() { local i; for i in $(seq 200); do [ "$(metric queue_items)" -gt 4096 ] && return 0; sleep 0.05; done; metric queue_items; return 1; }
check "a second large request is taken in while there is room" full
check "a third is told to come again" answered 503 "Retry-After: 2" scores "$(head -n 1 "$dir/in.jsonl")"
check "a full queue does not hide health" answered 200 '"status":"ok"' ask "" GET /health
check "SIGUSR1 ends it after its grace, not when the work is done" stop busy USR1 20
told() { wait $first $second; head -n 1 "$dir/first" "$dir/second"; grep -q '^HTTP/1.1 503 ' "$dir/first" && grep -q '^HTTP/1.1 503 ' "$dir/second" && grep -q "the server is stopping" "$dir/second"; }
check "and who waited was told" told

# ---- two ranks
check "two tensor ranks score the same responses into a file" status 0 ranks 2 score "$dir/run" "$dir/in.jsonl" "$dir/two.jsonl" --set mesh.tensor=2 "${sets[@]}"
check "two tensor ranks serve" serve two 2 "$dir/run" --set mesh.tensor=2 --set device.watchdog_seconds=2
check "64 connections at once get their scores" client together 64 "$dir/in.jsonl" "$dir/two.jsonl"
check "and in one request" eval 'scores "{\"items\": [$(paste -sd, "$dir/in.jsonl")]}" | body | cmp - <(printf "{\"items\":[%s]}\n" "$(paste -sd, "$dir/two.jsonl")")'
ticks() { local p sum=0 t; for p in $(pgrep -P "$pid"); do t=$(cut -d ' ' -f 14,15 <"/proc/$p/stat"); sum=$((sum + ${t% *} + ${t#* })); done; echo $sum; }
idle() { # CPU time of both ranks over 4 s, which are more than the watchdog allows one wait
    local before after; before=$(ticks); sleep 4; after=$(ticks)
    echo "$((after - before)) ticks in 4 s, of $(getconf CLK_TCK) a second"
    [ "$before" -gt 0 ] && [ $((after - before)) -lt "$(getconf CLK_TCK)" ]
}
check "while nothing is asked neither rank spins" idle
check "and the watchdog let them wait" client together 3 "$dir/in.jsonl" "$dir/two.jsonl"
check "SIGUSR1 to mpirun ends them" stop two USR1 10
finish
