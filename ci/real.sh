#!/usr/bin/env bash
# real.sh [losses] [epoch] [pipeline]: SmolLM2-135M-Instruct on the HH harmless test pairs (all parts where none is named). Figures go to tests/bench/results/real-input.txt.
#   losses   float32: the first 20 losses of tensor 3, data 2 and 1 rank are equal to 1e-4
#   epoch    bf16: one epoch on 1,800 pairs, 512 held out, here and in PyTorch: same order, same initial head; accuracies, and the paired McNemar test
#   pipeline bf16: the whole method on the first 200 pairs over 2 ranks (launch/pipeline.sh), scores forced, to RM-Bench's table; and what the judge gives unforced on 20 pairs
# On 2 idle cores about 15 minutes for losses, an hour and a half for epoch, 20 minutes for pipeline. Whatever was stopped goes on where it was: state stands in runs/real (REAL_RUNS).
# REAL_SETS: more options for both parts, e.g. "device.isa=avx2".
set -euo pipefail
cd "$(dirname "$0")/.."

pairs=${CRITIC_RM_TEST_DATA:-../shared/data}/hh_harmless_test.jsonl.gz
runs=${REAL_RUNS:-runs/real}
program=${CRITIC_RM:-build/release/critic-rm}
results=tests/bench/results/real-input.txt

train() { # train RANKS RUN [set...]: ends with the status of critic-rm
    local n=$1 run=$2 set; shift 2
    local sets=()
    for set in "$@" ${REAL_SETS:-}; do sets+=(--set "$set"); done
    launch/mpirun.sh "$n" "$program" train --config configs/smollm2-135m.yaml --set objective.mode=reward-only --set objective.epochs=1 --set run.dir="$runs/$run" --set data.train="$pairs" "${sets[@]}" >>"$runs/$run.log" 2>&1
}
column() { sed -E "s/.*\"$2\":([^,}]*).*/\1/" "$1"; }

first_losses() { # first_losses RANKS RUN [set...]
    local n=$1 run=$2 status=0; shift 2
    [ "$(cat "$runs/$run/metrics.jsonl" 2>/dev/null | wc -l)" -lt 20 ] || return 0
    rm -rf "${runs:?}/$run"
    train "$n" "$run" device.dtype=float32 objective.pairs_per_step=8 checkpoint.stop_after=20 "$@" || status=$?
    [ "$status" -eq 3 ] || { tail -n 20 "$runs/$run.log" >&2; return 1; }
    rm -rf "${runs:?}/$run/checkpoints"
}

compare_losses() {
    echo "The first 20 losses, float32, 8 pairs a step: 1 rank; data 2 and tensor 3, each with its relative difference from 1 rank"
    paste <(column "$runs/one/metrics.jsonl" loss) <(column "$runs/data2/metrics.jsonl" loss) <(column "$runs/tensor3/metrics.jsonl" loss) | awk '
        function off(a, b) { return (a > b ? a - b : b - a) / a }
        { d = off($1, $2); t = off($1, $3); printf "  step %2d  %.8f  %.8f (%.1e)  %.8f (%.1e)\n", NR, $1, $2, d, $3, t; worst = d > worst ? d : worst; worst = t > worst ? t : worst }
        END { printf "  largest relative difference %.1e, allowed 1e-4: %s\n", worst, NR == 20 && worst <= 1e-4 ? "equal" : "NOT EQUAL"; exit !(NR == 20 && worst <= 1e-4) }'
}

losses() {
    first_losses 1 one && first_losses 2 data2 && first_losses 3 tensor3 mesh.tensor=3 && compare_losses
}

speed() { # speed NAME FILE: tokens of all steps by the seconds of all steps
    grep -v '"eval"' "$2" | sed -E 's/"(tokens|seconds)": /"\1":/g' >"$runs/speed.jsonl"
    paste <(column "$runs/speed.jsonl" tokens) <(column "$runs/speed.jsonl" seconds) | awk -v name="$1" '{ n += $1; s += $2 } END { printf "%-10s %d steps, %d tokens computed in %.0f s: %.0f tokens/s\n", name, NR, n, s, n / s }'
}

epoch() {
    bash ci/python.sh || return 1
    train 1 epoch data.eval_last=512 checkpoint.every=20 checkpoint.keep=1 || { tail -n 20 "$runs/epoch.log" >&2; return 1; }
    [ -f "$runs/torch/heldout.jsonl" ] || .venv/bin/python tests/real/torch_train.py "$runs/epoch" "$runs/torch" >>"$runs/torch.log" 2>&1 || { tail -n 20 "$runs/torch.log" >&2; return 1; }
    echo "One epoch in bf16 on 1,800 pairs, the last 512 held out: critic-rm train --config configs/smollm2-135m.yaml --set objective.mode=reward-only --set objective.epochs=1 --set data.train=PAIRS --set data.eval_last=512"
    echo "Speeds as they came, at different hours and beside other work (ci/bench.sh measures side by side):"
    speed critic-rm "$runs/epoch/metrics.jsonl"
    speed PyTorch "$runs/torch/metrics.jsonl"
    .venv/bin/python tests/real/compare_heldout.py "$runs/epoch/heldout.jsonl" "$runs/torch/heldout.jsonl"
}

# Its log without the lines of progress.
pipeline() {
    local log=$runs/pipeline.log status=0
    zcat "$pairs" | head -n 200 >"$runs/pairs-200.jsonl"
    zcat "$pairs" | head -n 20 >"$runs/pairs-20.jsonl"
    rm -rf "$runs/pipeline" "$runs/unforced"
    CRITIC_RM=$program RANKS=2 ./launch/pipeline.sh configs/smollm2-135m.yaml --set run.dir="$runs/pipeline" --set data.pairs="$runs/pairs-200.jsonl" --set data.benchmark=rm-bench \
        --set data.benchmark_file="$(dirname "$pairs")/rm_bench_chat.json" >"$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
    echo "The whole method on the first 200 pairs: launch/pipeline.sh configs/smollm2-135m.yaml --set data.pairs=FILE --set data.benchmark=rm-bench --set data.benchmark_file=FILE"
    grep -vE "rank 0's|has done|^epoch|^memory|^mesh|step [0-9]+/" "$log" | sed "s,$(dirname "$pairs")/,,"
    echo "Without forced scores, 20 pairs: critic-rm critique, refine --config configs/smollm2-135m.yaml --set generate.force_score=false"
    launch/mpirun.sh 2 "$program" critique --config configs/smollm2-135m.yaml --set generate.force_score=false "$runs/pairs-20.jsonl" "$runs/unforced/candidates" 2>&1 | grep -vE "rank 0's|has done|^memory|^mesh"
    launch/mpirun.sh 2 "$program" refine --config configs/smollm2-135m.yaml --set generate.force_score=false "$runs/unforced/candidates" "$runs/unforced/dsub" >"$log" 2>&1 || status=$?
    grep -vE "rank 0's|has done|^memory|^mesh|mpirun|^--|^$|Primary job|a non-zero|the job to be|Process name|Exit code" "$log"
    echo "refine ends with status $status"
}

prepare() {
    [ -f "$pairs" ] || { echo "$pairs is not there: set CRITIC_RM_TEST_DATA to the folder that holds hh_harmless_test.jsonl.gz" >&2; exit 1; }
    mkdir -p "$runs" "$(dirname "$results")"
    bash ci/smollm2.sh
    [ -n "${CRITIC_RM:-}" ] && return
    bash ci/install.sh
    mkdir -p build
    cmake -S . -B build/release -G Ninja -DCMAKE_BUILD_TYPE=Release >build/real.log 2>&1 || { cat build/real.log; exit 1; }
    cmake --build build/release --target critic-rm >>build/real.log 2>&1 || { tail -n 60 build/real.log; exit 1; }
}

prepare
[ $# -gt 0 ] || set -- losses epoch pipeline
for part in "$@"; do
    case $part in losses | epoch | pipeline) ;; *) echo "real.sh: there is no part '$part'" >&2; exit 2 ;; esac
    "$part" >"$runs/$part.txt.tmp" || { cat "$runs/$part.txt.tmp"; exit 1; }
    mv "$runs/$part.txt.tmp" "$runs/$part.txt"
done
{
    echo "SmolLM2-135M-Instruct on $(basename "$pairs"); $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1); ci/real.sh, $(date -u +%F)"
    for part in losses epoch pipeline; do [ ! -f "$runs/$part.txt" ] || { echo; cat "$runs/$part.txt"; }; done
} | tee "$results"
