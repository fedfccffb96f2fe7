#!/usr/bin/env bash
# ci/gpu.sh on the emulated module: from programs to a results file. Small sizes measure nothing, so it wants a folder; a second call keeps what the first has found.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
export BUILD CRITIC_RM_GPU_TEST=small
if command -v nvidia-smi >/dev/null; then echo "not run: ci/gpu.sh without a GPU" && exit 0; fi
gpu() { bash "$SOURCE/ci/gpu.sh" "$@" >"$work/out" 2>"$work/error" </dev/null; }

! gpu copy || fail "small sizes were measured into the folder of results"
grep -q 'name a folder by --out' "$work/error" || fail "$(cat "$work/error")"
! gpu --out "$work/results" no_part || fail "a part that is none was taken"
gpu --out "$work/results" copy || fail "$(cat "$work/error")"
gpu --out "$work/results" attention || fail "$(cat "$work/error")"
file=$(tail -n 1 "$work/out")
[ "$file" = "$work/results/emulated-$(date -u +%F)-small.json" ] || fail "it wrote $file"
for name in copy 'attention forward, forest, 8B'; do
    grep -qF "{\"measure\": \"$name\"" "$file" || fail "$file does not say what '$name' is"
done
env -u CRITIC_RM_GPU_TEST bash "$SOURCE/ci/gpu.sh" copy >"$work/out" 2>"$work/error" && fail "without a GPU it measured"
grep -q 'nvidia-smi is not here' "$work/error" || fail "$(cat "$work/error")"
