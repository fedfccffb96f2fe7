#!/usr/bin/env bash
# fuzz.sh: the libFuzzer targets under ASan and UBSan, each for CRITIC_RM_FUZZ_SECONDS (default 300) from the seeds in tests/fuzz/seeds: ctest -L fuzz of a build of its own.
# A summary goes to tests/bench/results/fuzz.txt; an input that fails is left in build/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

results=tests/bench/results/fuzz.txt
mkdir -p build "$(dirname "$results")"
bash ci/install.sh clang
cmake --preset fuzz >build/fuzz.log 2>&1 && cmake --build --preset fuzz >>build/fuzz.log 2>&1 || { tail -n 40 build/fuzz.log; exit 1; }
status=0
(cd build/fuzz && ctest -L fuzz -j "$(nproc)" --output-on-failure) >build/fuzz.ctest.log 2>&1 || status=$?
{
    echo "ci/fuzz.sh, ${CRITIC_RM_FUZZ_SECONDS:-300} s each; $(date -u +%F)"
    grep -aE '^(Done [0-9]+ runs|#[0-9]+.*DONE|==[0-9]+==|SUMMARY|artifact)|^[0-9]+/[0-9]+ Test: ' build/fuzz/Testing/Temporary/LastTest.log
    grep -E '% tests passed' build/fuzz.ctest.log
} | tee "$results"
exit $status
