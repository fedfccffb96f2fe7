#!/usr/bin/env bash
# test.sh: installs what is missing, builds Release and ASan+UBSan, runs the tests of both. Ends non-zero when a test fails, or when a test of real data is
# skipped although the data is there (CRITIC_RM_TEST_DATA, default ../shared/data), or when nvcc is there and the CUDA module is not built. SmolLM2 is fetched when it can be; its tests are skipped, and named, when not.
set -euo pipefail
cd "$(dirname "$0")/.."

bash ci/install.sh
data=${CRITIC_RM_TEST_DATA:-$PWD/../shared/data}
if bash ci/smollm2.sh; then may_skip='^$'; else
    echo "SmolLM2 could not be fetched: its tests are skipped" >&2
    may_skip=smollm2
fi

skipped() { # skipped BUILD: programs, and single tests of programs that went on, of its last run
    grep -E '\*\*\*Skipped' "build/$1.ctest.log" || true
    grep -aohE '\[  SKIPPED \] [a-z_][^ ]*$' "build/$1/Testing/Temporary/LastTest.log" | sort -u || true
}

run() {     # run BUILD LABELS [cmake option...]
    local build=$1 labels=$2; shift 2
    echo "== $build"
    cmake -S . -B "build/$build" -G Ninja -DCRITIC_RM_TEST_DATA="$data" "$@" >"build/$build.cmake.log" 2>&1 || { cat "build/$build.cmake.log"; exit 1; }
    cmake --build "build/$build" >"build/$build.log" 2>&1 || { tail -n 60 "build/$build.log"; exit 1; }
    (cd "build/$build" && ctest -j 2 -L "$labels" --output-on-failure --timeout 600 | tee ../"$build.ctest.log")
    skipped "$build"
    grep -aoh '^not run: .*' "build/$build/Testing/Temporary/LastTest.log" || true
    if [ -d "$data" ] && skipped "$build" | grep -vE "$may_skip" >/dev/null; then
        echo "the tests above were skipped although $data is there" >&2
        exit 1
    fi
}

mkdir -p build
run release 'unit|mpi|golden|emulate' -DCMAKE_BUILD_TYPE=Release -DCRITIC_RM_CUDA_ARCHITECTURES=90a
if ! command -v nvcc >/dev/null; then
    echo "cuda: skipped (no nvcc)"
elif [ ! -e build/release/critic-rm-cuda.so ]; then
    echo "nvcc is there, but the CUDA module was not built: see build/release.cmake.log" >&2
    exit 1
fi
run asan 'unit|mpi|emulate' -DCMAKE_BUILD_TYPE=Debug -DCRITIC_RM_SANITIZE=address,undefined -DCRITIC_RM_CUDA=OFF
