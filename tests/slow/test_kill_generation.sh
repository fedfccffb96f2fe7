#!/usr/bin/env bash
# kill -9 of one rank, of mpirun or of all, at a random moment of 0 to 1.1 x the job's length, KILLS times (default 10) each during critique, refine, score and evaluate over two ranks: the same
# command goes on, on one rank or two, no record or line is lost, none is there twice, and the output is that of the uninterrupted job. SEED (default: of the clock) repeats a series.
. "$TOOLS/cli.sh"
. "$TOOLS/generation.sh"
kills=${KILLS:-10} seed=${SEED:-$(date +%s)}
RANDOM=$seed
echo "seed $seed"
pairs 60 >"$dir/pairs.jsonl"
responses 300 >"$dir/in.jsonl"
judgebench 150 >"$dir/bench.jsonl"

# A disk of 20 ms an fsync: so kills hit parts that are being written.
export LD_PRELOAD=$SLOW_FSYNC SLOW_FSYNC_MS=20

series() { # series NAME SAME COMMAND...
    local name=$1 same=$2 begin; shift 2
    begin=$(now_ms)
    check "$name, uninterrupted" generation 2 "$@" "$dir/$name"
    local length=$(($(now_ms) - begin))
    echo "it takes $length ms"
    kills "$kills" "$name" "$length" "$same" "$dir/$name" "$@"
}
series critique same_set critique "$dir/pairs.jsonl"
series refine same_set refine generate.refine=summarise "$dir/critique"
series score same_lines score "$dir/run" "$dir/in.jsonl"
series evaluate same_table evaluate judgebench "$dir/bench.jsonl" --model "$dir/run"
cat "$dir/kills.txt"
caught() { [ "$(grep -cE ' [1-9][0-9]* (parts|lines)' "$dir/kills.txt")" -ge $((kills / 2)) ]; }
check "kills came in the middle of the work too" caught
finish
