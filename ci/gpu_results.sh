#!/usr/bin/env bash
# gpu_results.sh CARD DRIVER CLOCKS DATE COMMIT ROWS FILE...: one results file of a GPU, to standard output: every measure and test of the FILEs, a later one in place of an earlier one of the
# same name, and the rows that ROWS (tests/bench/gpu_rows.txt) makes of them. A FILE holds lines {"measure": .., "value": .., "unit": ..}, {"test": .., "result": ..} and {"note": ..}; an
# older results file is such a file. One object a line: ci/results_table.sh reads it back.
set -euo pipefail
[ $# -ge 6 ] || { echo "gpu_results.sh CARD DRIVER CLOCKS DATE COMMIT ROWS FILE..." >&2; exit 2; }
card=$1 driver=$2 clocks=$3 date=$4 commit=$5 rows=$6
shift 6

awk -F '"' -v card="$card" -v driver="$driver" -v clocks="$clocks" -v date="$date" -v commit="$commit" -v rows="$rows" '
    function trim(s) { gsub(/^ +| +$/, "", s); return s }
    # The largest of the measures of a side, or a number; found says whether there is one.
    function side(text,   n, i, part, best) {
        found = 0
        n = split(text, part, " or ")
        for (i = 1; i <= n; i++) {
            if (part[i] in value) { if (!found || value[part[i]] + 0 > best) best = value[part[i]] + 0; unit_of_side = unit[part[i]]; found = 1 }
            else if (part[i] ~ /^[0-9.]+$/) { best = part[i] + 0; found = 1 }
        }
        return best
    }
    function meets(ratio, target,   t) {
        split(target, t, " ")
        if (target == "-") return "null"
        if (t[1] == ">=") return ratio >= t[2] + 0 ? "true" : "false"
        if (t[1] == "<=") return ratio <= t[2] + 0 ? "true" : "false"
        if (t[1] == "1" && t[2] == "+-") return ratio >= 1 - t[3] && ratio <= 1 + t[3] ? "true" : "false"
        print "gpu_results.sh: the target \"" target "\" is not understood" >"/dev/stderr"
        failed = 1
        exit 1
    }
    function number(v, name) {
        if (v ~ /^[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?$/) return
        print "gpu_results.sh: the measure \"" name "\" is \"" v "\", which is no number" >"/dev/stderr"
        failed = 1
        exit 1
    }
    function separate() { printf "%s", n_written++ ? ",\n    " : "\n    " }
    $2 == "measure" { v = $7; gsub(/[ :,]/, "", v); number(v, $4); if (!($4 in value)) measure[++n_measures] = $4; value[$4] = v; unit[$4] = $10 }
    $2 == "test"    { if (!($4 in result)) test[++n_tests] = $4; result[$4] = $8 }
    $2 == "note"    { if (!($4 in noted)) note[++n_notes] = $4; noted[$4] = 1 }
    END {
        if (failed) exit 1
        printf "{\n  \"card\": \"%s\",\n  \"driver\": \"%s\",\n  \"clocks\": \"%s\",\n  \"date\": \"%s\",\n  \"commit\": \"%s\",\n  \"rows\": [", card, driver, clocks, date, commit
        while ((getline line <rows) > 0) {
            if (line ~ /^#/ || split(line, f, "|") != 4) continue
            for (i = 1; i <= 4; i++) f[i] = trim(f[i])
            theirs = side(f[3]); has_theirs = found; ours = side(f[2])
            if (!found || !has_theirs || theirs == 0) continue
            separate()
            printf "{\"what\": \"%s\", \"ours\": %.6g, \"theirs\": %.6g, \"unit\": \"%s\", \"ratio\": %.4g, \"target\": \"%s\", \"met\": %s}", f[1], ours, theirs, unit_of_side, ours / theirs, f[4], meets(ours / theirs, f[4])
        }
        printf "\n  ],\n  \"tests\": ["
        n_written = 0
        for (i = 1; i <= n_tests; i++) { separate(); printf "{\"test\": \"%s\", \"result\": \"%s\"}", test[i], result[test[i]] }
        printf "\n  ],\n  \"notes\": ["
        n_written = 0
        for (i = 1; i <= n_notes; i++) { separate(); printf "{\"note\": \"%s\"}", note[i] }
        printf "\n  ],\n  \"measures\": ["
        n_written = 0
        for (i = 1; i <= n_measures; i++) { separate(); printf "{\"measure\": \"%s\", \"value\": %s, \"unit\": \"%s\"}", measure[i], value[measure[i]], unit[measure[i]] }
        printf "\n  ]\n}\n"
    }' "$@"
