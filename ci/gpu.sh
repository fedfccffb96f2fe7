#!/usr/bin/env bash
# gpu.sh [--prebuilt DIR] [--out FOLDER] [PART...]: on a machine with an NVIDIA GPU, proves and measures the CUDA backend and writes FOLDER/<card>-<date>.json (FOLDER: tests/bench/results).
# Parts, all where none is named; what other parts have put into the file of the same card and day stays:
#   tests       the ctest label gpu                              sanitize     its smallest sizes under compute-sanitizer's memcheck and racecheck
#   copy kernels products attention step_8b step_70b profile compare generate            tests/bench/cuda: ours
#   torch_gradients torch_attention torch_step torch_generate                    theirs, by a python3 that has PyTorch (torch_gradients needs tests in the same call)
# It builds into build/release, or takes $BUILD, or what ci/gpu_pack.sh put into DIR. Ends with 1 when a test fails or a part does not run; a target that is missed is no failure, and what
# lacks its tool (PyTorch, compute-sanitizer) is said to be skipped. CRITIC_RM_GPU_TEST=small: tiny sizes, and where there is no nvidia-smi the emulated module; then FOLDER must be given.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

bench=(copy kernels products attention step_8b step_70b profile compare generate)
torch=(torch_gradients torch_attention torch_step torch_generate)
prebuilt='' out='' parts=()
while [ $# -gt 0 ]; do
    case $1 in
    --prebuilt | --out)
        [ $# -ge 2 ] || { echo "gpu.sh: $1 needs a folder" >&2; exit 2; }
        [ "$1" = --out ] || [ -d "$2" ] || { echo "gpu.sh: there is no folder $2" >&2; exit 2; }
        [ "$1" = --out ] && out=$2 || prebuilt=$(cd "$2" && pwd)
        shift 2 ;;
    *)
        [[ " tests sanitize ${bench[*]} ${torch[*]} " == *" $1 "* ]] || { echo "gpu.sh: there is no part '$1'; the parts are tests sanitize ${bench[*]} ${torch[*]}" >&2; exit 2; }
        parts+=("$1"); shift ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(tests sanitize "${bench[@]}" "${torch[@]}")
small=; [ "${CRITIC_RM_GPU_TEST:-}" != small ] || small=1
[ -z "$small" ] || [ -n "$out" ] || { echo "gpu.sh: CRITIC_RM_GPU_TEST=small measures nothing: name a folder by --out" >&2; exit 2; }
out=${out:-$root/tests/bench/results}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ---- the card ---------------------------------------------------------------------------------------------------------------------------------------
ask() { nvidia-smi --query-gpu="$1" --format=csv,noheader | head -n 1; }
if command -v nvidia-smi >/dev/null; then
    card=$(ask name) driver=$(ask driver_version) clocks="$(ask clocks.max.sm) and memory $(ask clocks.max.mem) at most"
elif [ -n "$small" ]; then
    card=emulated driver=none clocks=none
else
    echo "gpu.sh: nvidia-smi is not here: this needs a machine with an NVIDIA GPU" >&2
    exit 1
fi

# ---- programs ---------------------------------------------------------------------------------------------------------------------------------------
# Folders of CUDA's libraries: the toolkit's, and those that Python packages of PyTorch bring.
cuda_folders() {
    ls -d /usr/local/cuda/lib64 /usr/local/cuda/targets/*/lib 2>/dev/null || true
    python3 -c 'import glob, nvidia; print(*(d for p in nvidia.__path__ for d in glob.glob(p + "/*/lib")), sep="\n")' 2>/dev/null || true
}

library_path=$(cuda_folders | paste -sd :)
if [ -n "$prebuilt" ]; then
    mkdir "$work/prebuilt"
    tar -xzf "$prebuilt/files.tar.gz" -C "$work/prebuilt"
    bin=$work/prebuilt/bin commit=$(cat "$prebuilt/commit")
    library_path=$work/prebuilt/lib:$library_path
    export OPAL_PREFIX=$work/prebuilt/openmpi OMPI_MCA_plm=isolated         # one host: no ssh is looked for
    export PATH=$OPAL_PREFIX/bin:$PATH
else
    bin=${BUILD:-$root/build/release} commit=$(git -C "$root" describe --always --dirty --abbrev=40)
    if [ -z "${BUILD:-}" ]; then
        bash "$root/ci/install.sh"
        cmake -S "$root" -B "$bin" -DCMAKE_BUILD_TYPE=Release -DCRITIC_RM_CUDA=ON >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
        cmake --build "$bin" -j "$(nproc)" >>"$work/build.log" 2>&1 || { tail -n 60 "$work/build.log" >&2; exit 1; }
    fi
fi
[ "$card" != emulated ] || export CRITIC_RM_CUDA_MODULE=$(cd "$bin" && pwd)/critic-rm-cuda-emulated.so
ours() { env LD_LIBRARY_PATH="$library_path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$@"; }

# ---- parts: what they find goes to $work/PART.found -----------------------------------------------------------------------------------------------
status=0
note() { # note PART TEST RESULT [LOG]
    echo "{\"test\": \"$2\", \"result\": \"$3\"}" >>"$work/$1.found"
    echo "$2: $3" >&2
    [ "$3" != failed ] || { status=1; [ -z "${4:-}" ] || tail -n 40 "$4" >&2; }
}

found() { grep -ahE '^[{]"(measure|note)"' "$2" | tee -a "$work/$1.found" || true; }      # found PART FILE: its measures and notes
try() { # try PART TEST COMMAND...
    local part=$1 test=$2 rc=0; shift 2
    timeout 1800 "$@" </dev/null >"$work/log" 2>&1 || rc=$?
    [ "$part" = sanitize ] || found "$part" "$work/log"      # its sizes are small
    [ $rc -eq 0 ] && note "$part" "$test" passed || note "$part" "$test" failed "$work/log"
}
export -f ours
export library_path

# From the build by ctest, else from the list that ci/gpu_pack.sh wrote: a program, and the numbers of ranks it runs on.
part_tests() {
    local name ranks n
    [ -z "$has_torch" ] || { mkdir -p "$work/kept"; export CRITIC_RM_GPU_KEEP=$work/kept; }
    if [ -z "$prebuilt" ]; then
        (cd "$bin" && ours ctest -L '^gpu$' --output-on-failure) >"$work/log" 2>&1 || true
        found tests "$bin/Testing/Temporary/LastTest.log"
        awk '/ Test +#[0-9]+: / { sub(/.*: /, ""); print $1, (/ Passed /) ? "passed" : "failed" }' "$work/log" >"$work/ctest"
        [ -s "$work/ctest" ] || note tests 'label gpu' failed "$work/log"
        while read -r name n; do note tests "$name" "$n" "$work/log"; done <"$work/ctest"
    else
        while read -r name ranks; do
            [ -n "$ranks" ] || try tests "gpu.$name" bash -c 'ours "$@"' ours "$bin/$name"
            for n in $ranks; do try tests "gpu.$name.np$n" bash -c 'ours "$@"' ours sh "$root/launch/mpirun.sh" "$n" "$bin/$name"; done
        done <"$bin/gpu-tests.txt"
    fi
    unset CRITIC_RM_GPU_KEEP
}

part_sanitize() {
    local tool test sanitizer
    sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer) || { note sanitize compute-sanitizer skipped; return 0; }
    for tool in memcheck racecheck; do
        for test in test_gpu_agrees test_gpu_train; do
            CRITIC_RM_GPU_TEST=small try sanitize "$tool $test" bash -c 'ours "$@"' ours "$sanitizer" --tool "$tool" --error-exitcode 9 "$bin/$test"
        done
    done
}

run() { # run PART COMMAND...: its measures
    local part=$1; shift
    if timeout 1800 "$@" >"$work/measures" 2>"$work/log" </dev/null; then
        found "$part" "$work/measures"
        note "$part" "part $part" passed
    else
        note "$part" "part $part" failed "$work/log"
    fi
}

has_torch=; ! python3 -c 'import torch, transformers' 2>/dev/null || has_torch=1
theirs() { # theirs PART SCRIPT [argument...]
    local part=$1 script=$2; shift 2
    [ -n "$has_torch" ] || { note "$part" "part $part" skipped; return 0; }
    run "$part" python3 "$root/tests/$script" "$@"
}

# After every part, so that what was found stays when a later one is ended from outside.
file=$out/$(tr -cs 'a-zA-Z0-9\n' - <<<"$card" | tr A-Z a-z)-$(date -u +%F)${small:+-small}.json
mkdir -p "$out"
[ ! -e "$file" ] || cp "$file" "$work/older"
write_results() {
    local files=("$work"/*.found)
    [ ! -e "$work/older" ] || files=("$work/older" "${files[@]}")
    bash "$root/ci/gpu_results.sh" "$card${small:+, small sizes}" "$driver" "$clocks" "$(date -u +%F)" "$commit" "$root/tests/bench/gpu_rows.txt" "${files[@]}" >"$work/results.json"
    cp "$work/results.json" "$file"
}

for part in "${parts[@]}"; do
    : >"$work/$part.found"
    case $part in
    tests | sanitize) "part_$part" ;;
    torch_gradients)
        if [ -e "$work/kept/joint.gaps" ] || [ -z "$has_torch" ]; then theirs "$part" gpu/torch_gradients.py "$work/kept"; else
            note "$part" "part $part" failed; echo "torch_gradients reads what tests keep: name both" >&2
        fi ;;
    torch_attention) theirs "$part" bench/torch_cuda_attention.py ;;
    torch_step)     # as many layers as ours had, where that is known
        layers=$(sed -n 's/.*"compare, K = 4 shared, layers", "value": \([0-9]*\),.*/\1/p' "$work"/*.found)
        theirs "$part" bench/torch_cuda_step.py ${layers:+--layers "$layers"} ;;
    torch_generate) theirs "$part" bench/transformers_generate_cuda.py ;;
    *) run "$part" bash -c 'ours "$@"' ours "$bin/bench_cuda" "$part" ;;
    esac
    write_results
done
echo "$file"
exit $status
