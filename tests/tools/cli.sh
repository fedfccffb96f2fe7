# cli.sh: what the shell tests share. Source it. Needs CRITIC_RM (the program), TINY_FOLDER, TOOLS (this folder).
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0 passed=0

# check SENTENCE COMMAND...: counts; COMMAND's output is shown when it fails
check() {
    local what=$1; shift
    if "$@" >"$dir/check.log" 2>&1; then passed=$((passed + 1)); echo "ok      $what"
    else failed=$((failed + 1)); echo "FAILED  $what"; sed 's/^/    /' "$dir/check.log" | tail -n 20; fi
}

# ranks N ARGS...: the program over N ranks
# With EXEC=exec, in a subshell of its own, the subshell becomes mpirun: its pid can be signalled.
ranks() { local n=$1; shift; ${EXEC:-} "$SOURCE/launch/mpirun.sh" "$n" "$CRITIC_RM" "$@"; }

# status WANT COMMAND...: COMMAND exits with WANT
status() {
    local want=$1 got=0; shift
    "$@" || got=$?
    [ "$got" -eq "$want" ] || { echo "exit status $got, expected $want"; return 1; }
}

# says WANT TEXT COMMAND...: COMMAND exits with WANT and prints a line with TEXT exactly once
says() {
    local want=$1 text=$2 got=0; shift 2
    "$@" >"$dir/says.log" 2>&1 || got=$?
    cat "$dir/says.log"
    [ "$got" -eq "$want" ] || { echo "exit status $got, expected $want"; return 1; }
    local n; n=$(grep -cF -- "$text" "$dir/says.log")
    [ "$n" -eq 1 ] || { echo "'$text' was printed $n times, expected once"; return 1; }
}

# gone PID...: none of them is left within 20 s
gone() {
    local pid i
    for i in $(seq 200); do
        local alive=0
        for pid in "$@"; do [ -d "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null && alive=1; done
        [ $alive -eq 0 ] && return 0
        sleep 0.1
    done
    return 1
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# kill_some WHAT PID RANK...: kill -9 of one of the ranks of mpirun PID (rank), of PID itself (mpirun), or of all
kill_some() {
    local what=$1 pid=$2; shift 2
    case $what in
    rank) [ $# -eq 0 ] || kill -9 "$(printf '%s\n' "$@" | shuf -n 1 --random-source=<(yes "$RANDOM"))" 2>/dev/null ;;
    mpirun) kill -9 "$pid" 2>/dev/null ;;
    all) kill -9 "$@" "$pid" 2>/dev/null ;;
    esac
}

# none_left PID RANK...: mpirun PID was killed, and its ranks are gone too
none_left() {
    wait "$1" 2>/dev/null; shift
    gone "$@" || { echo "ranks $* are still there 20 s after the kill"; kill -9 "$@"; return 1; }
}

# parameters RUN: the bytes of the last checkpoint's tensors, in the order of ranks
parameters() {
    local last; last=$(ls -d "$1"/checkpoints/step_* | tail -n 1)
    [ -f "$last/manifest.json" ] && cat $(ls "$last"/rank_*.safetensors | sort) | cksum
}

# values RUN KEY: one value of each step's line of metrics.jsonl
values() { grep -v '"eval"' "$1/metrics.jsonl" | sed -E "s/.*\"$2\":([^,}]*).*/\1/"; }

# saved_slowly PID BEGIN LOG RUN: PID ends with status 3, 10 s or more after BEGIN (seconds), and RUN holds a complete checkpoint
saved_slowly() {
    local status=0 took
    wait "$1" || status=$?
    took=$(($(date +%s) - $2))
    tail -n 5 "$3"
    echo "status $status after $took s"
    [ "$status" -eq 3 ] && [ "$took" -ge 10 ] && ls "$4"/checkpoints/step_*/manifest.json
}

finish() { echo "$passed passed, $failed failed"; [ "$failed" -eq 0 ]; }
