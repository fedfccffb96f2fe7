#!/usr/bin/env bash
# kernels_static.sh: what ptxas says of every CUDA kernel, for each kind of GPU: registers of a thread, static shared memory of a block, bytes of local memory (stack and spills).
# Prints a table. Ends with 1 when a kernel of attention, cross-entropy, AdamW or a norm spills, when products of warpgroups wait for each other, or when a source does not compile. NVCC_ARCHITECTURES: "80 90a 100" where not set.
set -euo pipefail
cd "$(dirname "$0")/../.."

must_not_spill='^(attention[a-z0-9_]*|loss|norm)[.]cu/|/adamw'      # source/kernel
nvcc=$(command -v nvcc) || { echo "kernels --static: there is no nvcc on PATH" >&2; exit 1; }
known=$("$nvcc" --list-gpu-code)
architectures=()
for a in ${NVCC_ARCHITECTURES:-80 90a 100}; do
    ! grep -qx "sm_${a%a}" <<<"$known" || architectures+=("$a")
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() { # compile ARCHITECTURE SOURCE: ptxas' words to WORK/SOURCE.ARCHITECTURE
    local log
    log=$work/$(basename "$2").$1
    nvcc -std=c++17 -O3 -lineinfo -I. -arch "sm_$1" -Xptxas -v -cubin -o "$log.cubin" "$2" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
    rm -f "$log.cubin"
}
export -f compile
export work
for a in "${architectures[@]}"; do
    for source in kernels/cuda/*.cu; do
        [[ $source == *_sm90* && $a != 90a ]] || echo "$a $source"      # for Hopper alone
    done
done | xargs -P "$(nproc)" -n 2 bash -c 'compile "$@"' compile

if grep -h 'Potential Performance Loss' "$work"/*.cu.* >&2; then
    exit 1
fi
echo "ci/bench.sh kernels --static; nvcc $("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p'), $(date -u +%F)"
echo "registers of a thread / static shared memory of a block / bytes of stack / bytes spilled (stores + loads)"
for a in "${architectures[@]}"; do
    (cd "$work" && awk -v a="$a" '
        FNR == 1                   { source = FILENAME; sub(/[.][^.]*$/, "", source) }
        /Compiling entry function/ { split($0, part, "\047"); name = part[2]; sub(/_entry$/, "", name) }
        /bytes stack frame/        { stack = $1; spill = $5 + $9 }
        /: Used [0-9]+ registers/  { match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5); shared = 0
                                     if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART) + 0
                                     print name, a, registers, shared, stack, spill, source }' *.cu."$a")
done | sort | awk -v architectures="${architectures[*]}" -v strict="$must_not_spill" '
    BEGIN { n = split(architectures, order, " "); printf "%-30s", "kernel"; for (i = 1; i <= n; i++) printf "  %22s", "sm_" order[i]; print "" }
    { if (!($1 in seen)) { seen[$1] = 1; name[++n_names] = $1 }
      cell[$1, $2] = $3 " / " $4 " / " $5 " / " $6
      if ($6 > 0 && $7 "/" $1 ~ strict) spilled = spilled " " $1 "(sm_" $2 ")" }
    END {
        for (k = 1; k <= n_names; k++) { printf "%-30s", name[k]; for (i = 1; i <= n; i++) printf "  %22s", cell[name[k], order[i]]; print "" }
        if (spilled != "") { print "SPILLED:" spilled; exit 1 }
        if (n_names == 0) { print "no kernel was found"; exit 1 } }'
