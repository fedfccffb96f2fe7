#!/usr/bin/env bash
# gpu_pack.sh DIR: what ci/gpu.sh --prebuilt DIR needs on a machine with a GPU that has bash, CUDA's libraries and perhaps PyTorch, but neither Open MPI nor the other libraries of
# ci/install.sh: DIR/files.tar.gz with the program, the CUDA module for sm_90a (the emulated one too), the programs of label gpu and bench_cuda, the shared libraries they load but for those
# of libc and CUDA, and Open MPI; beside it the scripts. At most 64 MiB. It builds into build/gpu, or takes $BUILD.
# On that machine: DIR/ci/gpu.sh --prebuilt DIR.
set -euo pipefail
[ $# -eq 1 ] || { echo "gpu_pack.sh DIR" >&2; exit 2; }
[ ! -e "$1" ] || [ -z "$(ls -A "$1")" ] || { echo "gpu_pack.sh: $1 is not empty" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
most_mib=64
build=${BUILD:-build/gpu}

tests=(tests/gpu/test_*.c)
programs=(critic-rm bench_cuda)
for test in "${tests[@]}"; do programs+=("$(basename "$test" .c)"); done
if [ -z "${BUILD:-}" ]; then
    bash ci/install.sh
    mkdir -p build
    cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DCRITIC_RM_CUDA=ON -DCRITIC_RM_CUDA_ARCHITECTURES=90a >build/gpu_pack.log 2>&1 || { cat build/gpu_pack.log >&2; exit 1; }
    cmake --build "$build" -j "$(nproc)" --target "${programs[@]}" critic-rm-cuda critic-rm-cuda-emulated >>build/gpu_pack.log 2>&1 || { tail -n 60 build/gpu_pack.log >&2; exit 1; }
fi

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
mkdir -p "$files/bin" "$files/lib"
for name in "${programs[@]}" critic-rm-cuda.so critic-rm-cuda-emulated.so; do strip --strip-unneeded -o "$files/bin/$name" "$build/$name"; done
for test in "${tests[@]}"; do       # a program, and the numbers of ranks it runs on
    echo "$(basename "$test" .c) $(sed -n '1s|^// ranks: ||p' "$test")"
done >"$files/bin/gpu-tests.txt"

# Open MPI under its own prefix, without the components that need libraries of networks.
where() { ompi_info --parsable --path "$1" | cut -d : -f 3; }
prefix=$(where prefix)
components=$(where pkglibdir)
mpi=$files/openmpi
mkdir -p "$mpi/bin" "$mpi${components#"$prefix"}" "$mpi$(where pkgdatadir | sed "s|^$prefix||")"
cp "$(where bindir)/orterun" "$mpi/bin/mpirun"
cp "$(where bindir)/orted" "$mpi/bin/orted"
cp "$(where pkgdatadir)"/help-*.txt "$mpi$(where pkgdatadir | sed "s|^$prefix||")"
for component in "$components"/mca_*.so; do
    ldd "$component" | grep -qE 'lib(ucp|fabric|ibverbs|rdmacm|psm2|psm_infinipath)\.so' || cp "$component" "$mpi${components#"$prefix"}"
done

libraries() { # of the programs given; what is not found is CUDA's
    ldd "$@" | awk '$3 ~ /^\// { print $3 }' | sort -u |
        grep -vE '/(libc|libm|libpthread|libdl|librt|libresolv|libutil|libcuda|libcudart|libcublas|libcublasLt|libnccl)\.so'
}
libraries "$files"/bin/critic-rm* "$files"/bin/test_* "$files"/bin/bench_cuda "$mpi"/bin/* "$mpi${components#"$prefix"}"/*.so | xargs cp -L -t "$files/lib"
tar -czf "$dir/files.tar.gz" -C "$files" .

cp --parents ci/gpu.sh ci/gpu_results.sh launch/mpirun.sh tests/bench/gpu_rows.txt tests/bench/{measures,prompts,torch_step,torch_generate,torch_cuda_attention,torch_cuda_step,transformers_generate_cuda}.py \
    tests/gpu/torch_gradients.py tests/tools/method_losses.py "$dir"
git describe --always --dirty --abbrev=40 >"$dir/commit"
mib=$(du -sm "$dir" | cut -f 1)
[ "$mib" -le "$most_mib" ] || { echo "gpu_pack.sh: $dir has $mib MiB, $most_mib are the most" >&2; exit 1; }
echo "$dir: $mib MiB"
