#!/usr/bin/env bash
# results_table.sh [README [FOLDER]]: what was measured on GPUs, as tables between the two markers of the README, made anew from FOLDER's (tests/bench/results) files *.json, which
# ci/gpu.sh writes. Fused kernels share a row, which names the slowest. With no such file it says so.
set -euo pipefail
cd "$(dirname "$0")/.."
readme=${1:-README.md} folder=${2:-tests/bench/results}
begin='<!-- results on GPUs, by ci/results_table.sh: begin -->' end='<!-- results on GPUs: end -->'
for marker in "$begin" "$end"; do
    [ "$(grep -cxF -- "$marker" "$readme")" = 1 ] || { echo "results_table.sh: $readme must have the line $marker once" >&2; exit 1; }
done

table() { # table FILE
    awk -F '"' '
        $2 == "card" { card = $4 } $2 == "date" { date = $4 } $2 == "commit" { commit = $4 } $2 == "driver" { driver = $4 }
        $2 == "test" { n_tests++; if ($8 == "passed") n_passed++; else others = others (others ? ", " : "") $4 ": " $8 }
        $2 == "what" {
            number = split($0, part, /"(ours|theirs|ratio|met)": /)
            for (i = 2; i <= number; i++) sub(/[,}].*/, "", part[i])
            if (sub(/, over copy$/, "", $4)) {
                n_kernels++
                n_met += part[5] == "true"
                if (n_kernels == 1 || part[4] + 0 < slowest + 0) { slowest = part[4]; which = $4; ours = part[2]; theirs = part[3]; unit = $12; target = $18 }
                next
            }
            row[++n] = sprintf("| %s | %s | %s | %s | %s | %s | %s |", $4, part[2], part[3], $12, part[4], $18, part[5] == "true" ? "met" : part[5] == "false" ? "MISSED" : "")
        }
        END {
            printf "%s, %s, driver %s, commit %.12s. Tests: %d of %d passed%s.\n\n", card, date, driver, commit, n_passed, n_tests, others ? " (" others ")" : ""
            print "| what | ours | theirs | unit | ratio | target | |\n|---|---|---|---|---|---|---|"
            for (i = 1; i <= n; i++) print row[i]
            if (n_kernels) printf "| fused kernels over copy: %d of %d reach the target; the slowest is %s | %s | %s | %s | %s | %s | %s |\n", n_met, n_kernels, which, ours, theirs, unit, slowest, target, n_met == n_kernels ? "met" : "MISSED"
            print ""
        }' "$1"
}

shopt -s nullglob
files=("$folder"/*.json)
tables=$(mktemp)
trap 'rm -f "$tables" "$tables.readme"' EXIT
echo >"$tables"
for file in "${files[@]}"; do table "$file" >>"$tables"; done
[ ${#files[@]} -gt 0 ] || printf 'No GPU has been measured yet.\n\n' >>"$tables"
awk -v begin="$begin" -v end="$end" -v tables="$tables" '
    $0 == end { while ((getline line <tables) > 0) print line; inside = 0 }
    !inside { print }
    $0 == begin { inside = 1 }' "$readme" >"$tables.readme"
cat "$tables.readme" >"$readme"
