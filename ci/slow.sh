#!/usr/bin/env bash
# slow.sh [part...]: the longer proofs, all parts where none is named; a summary goes to tests/bench/results/slow.txt. On 2 idle cores about 45 minutes.
#   tests    ctest -L slow: 20 kills, saves that take 10 s, a real Slurm, GPUs of three hosts and 20 orders of their streams (emulated), export in transformers
#   avx2     unit, golden and mpi with the instruction set held down to AVX2
#   scalar   the same held down to no vectors
#   clang    build and unit, golden and mpi tests with clang
#   tsan     unit and mpi under ThreadSanitizer
set -euo pipefail
cd "$(dirname "$0")/.."

data=${CRITIC_RM_TEST_DATA:-$PWD/../shared/data}
logs=build/slow
results=tests/bench/results/slow.txt
mkdir -p "$logs" "$(dirname "$results")"

build() { # build FOLDER [cmake option...]
    local folder=$1; shift
    cmake -S . -B "build/$folder" -G Ninja -DCRITIC_RM_TEST_DATA="$data" "$@" >"$logs/$folder.build.log" 2>&1 && cmake --build "build/$folder" >>"$logs/$folder.build.log" 2>&1 || { tail -n 40 "$logs/$folder.build.log"; return 1; }
}
tests() { # tests PART FOLDER LABELS
    (cd "build/$2" && ctest -j 2 -L "$3" --output-on-failure --timeout 1800) >"$logs/$1.ctest.log" 2>&1 || true
    date -u +"$1: measured %F" >"$logs/$1.txt"
    grep -E '% tests passed|\*\*\*|\(Failed\)|Timeout' "$logs/$1.ctest.log" | sed "s/^/$1: /" >>"$logs/$1.txt"
    [ "$1" != tests ] || (cd "build/$2" && grep -hE '^(seed|the whole run|rank at|mpirun at|all at|ok |FAILED|.*paths equal)' Testing/Temporary/LastTest.log | sed -E "s,/[^ ]*/hf\.,,; s/^/    /") >>"$logs/$1.txt"
    cat "$logs/$1.txt"
    grep -q '100% tests passed' "$logs/$1.ctest.log"
}

[ $# -gt 0 ] || set -- tests avx2 scalar clang tsan
bash ci/install.sh clang
bash ci/smollm2.sh || echo "SmolLM2 could not be fetched: its tests are skipped" >&2
failed=0
for part in "$@"; do
    case $part in
    tests) bash ci/install.sh iproute2 slurm-wlm munge && bash ci/python.sh && build release -DCMAKE_BUILD_TYPE=Release && tests tests release slow ;;
    avx2 | scalar) build release -DCMAKE_BUILD_TYPE=Release && CRITIC_RM_ISA=$part tests "$part" release 'unit|golden|mpi' ;;
    clang) build clang -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang && tests clang clang 'unit|golden|mpi' ;;
    tsan) build tsan -DCMAKE_BUILD_TYPE=Debug -DCRITIC_RM_SANITIZE=thread && tests tsan tsan 'unit|mpi' ;;
    *) echo "slow.sh: there is no part '$part'" >&2; exit 2 ;;
    esac || failed=1
done
{
    echo "ci/slow.sh; $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    for part in tests avx2 scalar clang tsan; do [ ! -f "$logs/$part.txt" ] || { echo; cat "$logs/$part.txt"; }; done
} | tee "$results"
exit $failed
