#!/usr/bin/env bash
# What ci/gpu.sh finds becomes a results file, and results files become the README's table: on numbers made up here, in a folder of the test's own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
has() { grep -qF -- "$2" "$1" || { cat "$1"; fail "$1 has no '$2'"; }; }
results() { bash "$SOURCE/ci/gpu_results.sh" "A Card" 1.2 "1 MHz" 2001-02-03 abcdef0123456789 "$work/rows" "$@"; }

cat >"$work/rows" <<'EOF'
# what | ours | theirs | target
speed, over theirs | fast or faster | theirs | >= 2
size, over the plan | size | planned | 1 +- 0.02
too slow | fast | 5 | >= 0.9
few | fast | theirs | <= 2
no target | fast | 4 | -
one kernel, over copy | fast | 4 | >= 0.7
another, over copy | fast | 6 | >= 0.7
not measured | fast | nobody's | >= 1
EOF
measure() { echo "{\"measure\": \"$1\", \"value\": $2, \"unit\": \"$3\"}"; }
{
    measure fast 3 GB/s; measure faster 5e0 GB/s; measure theirs 2 GB/s; measure size 103 MiB; measure planned 100 MiB
    echo '{"test": "gpu.one", "result": "passed"}'
    echo '{"test": "gpu.two", "result": "failed"}'
    echo '{"note": "theirs in version 3"}'
} >"$work/first"
results "$work/first" >"$work/a.json"
has "$work/a.json" '{"what": "speed, over theirs", "ours": 5, "theirs": 2, "unit": "GB/s", "ratio": 2.5, "target": ">= 2", "met": true}'
has "$work/a.json" '{"what": "size, over the plan", "ours": 103, "theirs": 100, "unit": "MiB", "ratio": 1.03, "target": "1 +- 0.02", "met": false}'
has "$work/a.json" '"ratio": 0.6, "target": ">= 0.9", "met": false}'
has "$work/a.json" '"ratio": 1.5, "target": "<= 2", "met": true}'
has "$work/a.json" '"ratio": 0.75, "target": "-", "met": null}'
[ "$(grep -c '"what"' "$work/a.json")" = 7 ] || fail "a row without its measures was written"
! command -v python3 >/dev/null || python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/a.json" || fail "it is no JSON"

# A later file of the same card: what is measured anew counts, the rest stays.
{ measure size 101 MiB; echo '{"test": "gpu.two", "result": "passed"}'; echo '{"test": "compute-sanitizer", "result": "skipped"}'; } >"$work/second"
results "$work/a.json" "$work/second" >"$work/b.json"
has "$work/b.json" '"ours": 101, "theirs": 100, "unit": "MiB", "ratio": 1.01, "target": "1 +- 0.02", "met": true}'
has "$work/b.json" '"what": "speed, over theirs", "ours": 5'
[ "$(grep -c '"measure"' "$work/b.json")" = 5 ] || fail "a measure is there twice"
[ "$(grep -c '{"note": "theirs in version 3"}' "$work/b.json")" = 1 ] || fail "a note was lost"
[ "$(grep -c '"test": "gpu.two"' "$work/b.json")" = 1 ] || fail "a test is there twice"

echo 'nonsense | fast | theirs | about 2' >"$work/rows"
! results "$work/first" >"$work/c.json" 2>"$work/error" || fail "a target that means nothing was taken"
has "$work/error" 'the target "about 2" is not understood'

# The table: twice the same, and nothing else of the README changes.
printf '%s\n' before '<!-- results on GPUs, by ci/results_table.sh: begin -->' old '<!-- results on GPUs: end -->' after >"$work/README.md"
mkdir "$work/results"
bash "$SOURCE/ci/results_table.sh" "$work/README.md" "$work/results"
has "$work/README.md" 'No GPU has been measured yet.'
cp "$work/b.json" "$work/results/"
bash "$SOURCE/ci/results_table.sh" "$work/README.md" "$work/results"
cp "$work/README.md" "$work/once.md"
bash "$SOURCE/ci/results_table.sh" "$work/README.md" "$work/results"
cmp "$work/once.md" "$work/README.md"
has "$work/once.md" 'A Card, 2001-02-03, driver 1.2, commit abcdef012345. Tests: 2 of 3 passed (compute-sanitizer: skipped).'
has "$work/once.md" '| speed, over theirs | 5 | 2 | GB/s | 2.5 | >= 2 | met |'
has "$work/once.md" '| too slow | 3 | 5 | GB/s | 0.6 | >= 0.9 | MISSED |'
has "$work/once.md" '| fused kernels over copy: 1 of 2 reach the target; the slowest is another | 3 | 6 | GB/s | 0.5 | >= 0.7 | MISSED |'
has "$work/once.md" '| no target | 3 | 4 | GB/s | 0.75 | - |  |'
! grep -qE 'old|No GPU' "$work/once.md" || fail "what was between the markers is still there"
[ "$(head -n 1 "$work/once.md") $(tail -n 1 "$work/once.md")" = "before after" ] || fail "the README lost its head or its tail"
printf 'no markers\n' >"$work/README.md"
! bash "$SOURCE/ci/results_table.sh" "$work/README.md" "$work/results" 2>"$work/error" || fail "a README without markers was written"
has "$work/error" 'must have the line'
