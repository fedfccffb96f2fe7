#!/usr/bin/env bash
# critique, refine, score and evaluate with device.kind: cuda, on the emulated module: what they write is what CPU ranks write.
. "$TOOLS/cli.sh"
. "$TOOLS/generation.sh"
export CRITIC_RM_CUDA_MODULE=$EMULATED_MODULE
on_gpu=(device.kind=cuda device.peak_tflops=1)

responses 6 >"$dir/responses.jsonl"
judgebench 2 >"$dir/judgebench.jsonl"
pairs 4 >"$dir/few.jsonl"
{ generation 1 critique "$dir/few.jsonl" "$dir/cpu.candidates" && generation 1 refine "$dir/cpu.candidates" "$dir/cpu.dsub" && generation 1 score "$dir/run" "$dir/responses.jsonl" "$dir/cpu.scores"; } 2>/dev/null || exit 1
most_records() { generation 1 dump "$1" >"$dir/want.jsonl" && generation 1 dump "$2" >"$dir/is.jsonl" && most_lines "$dir/want.jsonl" "$dir/is.jsonl"; }
rewards() { sed -E 's/.*"reward":([^,]*),.*/\1/' "$1"; }
most_rewards() {
    paste <(rewards "$1") <(rewards "$2") | awk '{ d = $1 - $2; if (d < 0) d = -d; near += d < 1e-3; n++ } END { print near " of " n " rewards are equal"; exit !(n == 6 && near >= 5) }'
}
generated() { # generated RANKS [key=value]...: to rounding
    local n=$1 name=gpu$1; shift
    generation "$n" critique "${on_gpu[@]}" "$@" "$dir/few.jsonl" "$dir/$name.candidates" && most_records "$dir/cpu.candidates" "$dir/$name.candidates" || return 1
    generation "$n" refine "${on_gpu[@]}" "$@" "$dir/cpu.candidates" "$dir/$name.dsub" && most_records "$dir/cpu.dsub" "$dir/$name.dsub" || return 1
    generation "$n" score "${on_gpu[@]}" "$@" "$dir/run" "$dir/responses.jsonl" "$dir/$name.scores" && most_rewards "$dir/cpu.scores" "$dir/$name.scores"
}
check "critique, refine and score on one GPU give what the CPU gives" generated 1
check "and on tensor 2" generated 2 mesh.tensor=2
invariant() { # truth 5: invariant RANKS [key=value]...; the collectives' stand-in sums in an order that changes with the number of rows
    local n=$1 name=company$1; shift
    generation "$n" score "${on_gpu[@]}" "$@" "$dir/run" "$dir/responses.jsonl" "$dir/$name" && generation "$n" score "${on_gpu[@]}" "$@" generate.batch_tokens=64 "$dir/run" "$dir/responses.jsonl" "$dir/$name.other" &&
        same_lines "$dir/$name" "$dir/$name.other"
}
check "a score on a GPU does not depend on what else is in a pass, to the byte" invariant 1
check "nor on four tensor ranks" invariant 4 mesh.tensor=4
check "evaluate on GPUs" eval 'generation 2 evaluate "${on_gpu[@]}" judgebench "$dir/judgebench.jsonl" --model "$dir/run" "$dir/table" && [ -s "$dir/table/table.json" ]'

finish
