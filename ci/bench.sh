#!/usr/bin/env bash
# bench.sh cpu [float32] [bf16] [avx512] [io]: how fast, and how much memory, beside PyTorch, fread and dd, each row a ratio measured side by side in one run (all parts where none is named).
#   float32, bf16   the training step against PyTorch at its best: 15 to 20 minutes each on 2 idle cores, and 20 GB of memory, which PyTorch needs
#   avx512          the bf16 step alone, its instructions held down to AVX-512: utilisation where a processor has no matrix registers, 5 minutes
#   io              pairs delivered against fread, a checkpoint against dd: 2 minutes
# bench.sh generate: SmolLM2's generation beside transformers and llama.cpp, which ci/llama.sh compiles the first time: half an hour.
# bench.sh gradients: of a first bf16 step of SmolLM2's shape on the CPU, how far gradients are from float32, tensor by tensor, beside PyTorch's autocast and its bf16 throughout: 5 minutes, 12 GB of memory.
# bench.sh kernels --static: registers, shared memory and spills of the CUDA kernels, by nvcc, without a GPU (tests/bench/kernels_static.sh); it fails where a kernel spills that must not.
# The table goes to tests/bench/results/cpu.txt, generate.txt, gradients.txt or kernels-static.txt; parts not named keep their last rows. A missed target is said, and is no failure: figures of a busy machine mean nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

table=${1:-}
case $table in
cpu) parts=(float32 bf16 avx512 io) targets=(critic-rm tiny_folder bench_kernels bench_io) ;;
generate) parts=(generate) targets=(bench_generate) ;;
gradients) parts=(gradients) targets=(test_gpu_train) ;;
kernels)
    [ "${*:2}" = --static ] || { echo "bench.sh kernels --static" >&2; exit 2; }
    mkdir -p build
    status=0
    bash tests/bench/kernels_static.sh >build/kernels-static.txt || status=$?
    [ ! -s build/kernels-static.txt ] || tee tests/bench/results/kernels-static.txt <build/kernels-static.txt
    exit $status ;;
*) echo "bench.sh cpu [float32] [bf16] [avx512] [io], bench.sh generate, bench.sh gradients, or bench.sh kernels --static" >&2; exit 2 ;;
esac
shift
[ $# -gt 0 ] || set -- "${parts[@]}"
results=tests/bench/results
build=${BUILD:-build/release}
mkdir -p "$results" build

if [ -z "${BUILD:-}" ]; then
    bash ci/install.sh
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >build/bench.log 2>&1 || { cat build/bench.log; exit 1; }
    cmake --build "$build" --target "${targets[@]}" >>build/bench.log 2>&1 || { tail -n 60 build/bench.log; exit 1; }
fi

step() {
    bash ci/python.sh
    .venv/bin/python tests/bench/bench_step.py --program "$build/critic-rm" --tiny-folder "$build/tiny_folder" --bench-kernels "$build/bench_kernels" --rounds 1 --steps 3 --types "$1"
}

avx512() {
    bash ci/python.sh
    .venv/bin/python tests/bench/bench_step.py --program "$build/critic-rm" --tiny-folder "$build/tiny_folder" --bench-kernels "$build/bench_kernels" --rounds 1 --steps 2 --types bf16 --alone avx512
}

io() {
    local what least ours theirs unit folder
    folder=$(mktemp -d build/bench.XXXXXX)
    while read -r what least; do
        mkdir "$folder/$what"
        read -r _ ours theirs unit < <("$build/bench_io" "$what" "$PWD/$folder/$what")
        rm -rf "${folder:?}/$what"
        awk -v w="$what" -v o="$ours" -v t="$theirs" -v u="$unit" -v l="$least" 'BEGIN {
            name = w == "data" ? "pairs in training order of an epoch, " u " over fread" : "checkpoint written and fsynced, " u " over dd conv=fsync"
            printf "io: %-68s %10.1f %10.1f  ratio %6.3f  target >= %-5g %s\n", name, o, t, o / t, l, (o / t >= l ? "met" : "MISSED") }'
    done <<<"data 0.03
checkpoint 0.7"
    rmdir "$folder"
}

generate() {
    bash ci/python.sh
    bash ci/smollm2.sh >/dev/null
    bash ci/llama.sh
    .venv/bin/python tests/bench/bench_generate.py --program "$build/bench_generate" --model models/smollm2-135m-instruct --llama-python .venv-llama/bin/python
}

# Twice autocast's is the limit: it keeps residuals in float32, as we do. PyTorch in bf16 throughout does not.
gradients() {
    local folder rows
    bash ci/python.sh
    folder=$(mktemp -d build/gradients.XXXXXX)
    CRITIC_RM_GPU_TEST=cpu CRITIC_RM_GPU_KEEP=$PWD/$folder "$build/test_gpu_train" >build/gradients.log 2>&1 || { cat build/gradients.log >&2; return 1; }
    rows=$(.venv/bin/python tests/gpu/torch_gradients.py "$folder" 2>build/gradients.log |
        sed -nE 's/.*"measure": "gradients in bf16, ([^"]*)", "value": ([0-9.e+-]+).*/\2 \1/p' | sed 's/PyTorch.s in bf16/that of PyTorch in bf16/; s/autocast.s/that of autocast/')
    rm -rf "${folder:?}"
    [ "$(wc -l <<<"$rows")" -eq 6 ] || { echo "gradients: of three modes and two peers not every ratio is a number; see build/gradients.log: $rows" >&2; return 1; }
    while read -r value what; do
        awk -v w="$what" -v v="$value" 'BEGIN { printf "gradients: %-90s %6.3f", w, v; if (w ~ /autocast/) printf "  target <= 2  %s", v <= 2 ? "met" : "MISSED"; print "" }'
    done <<<"$rows"
}

for part in "$@"; do
    case $table.$part in
    cpu.float32 | cpu.bf16) measure=(step "$part") ;;
    cpu.avx512 | cpu.io | generate.generate | gradients.gradients) measure=("$part") ;;
    *) echo "bench.sh $table: there is no part '$part'" >&2; exit 2 ;;
    esac
    date -u +"measured %F" >"build/bench.$part.tmp"
    "${measure[@]}" >>"build/bench.$part.tmp"
    mv "build/bench.$part.tmp" "build/bench.$part.txt"
done
{
    echo "ci/bench.sh $table; $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    for part in "${parts[@]}"; do [ ! -f "build/bench.$part.txt" ] || { echo; cat "build/bench.$part.txt"; }; done
} | tee "$results/$table.txt"
