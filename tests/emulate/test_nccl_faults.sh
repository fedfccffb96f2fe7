#!/usr/bin/env bash
# Each mistake in the calls of NCCL is caught, in a job of its own, with the words that name it; the same calls without a mistake come to their end.
. "$TOOLS/cli.sh"

export OMPI_MCA_odls_base_sigkill_timeout=0            # the other rank need not end by itself
job() { timeout 60 "$SOURCE/launch/mpirun.sh" 2 "$NCCL_FAULT" "$1" 2>&1; }

dies() { # dies NAME WORDS: extended regular expression
    local got=0
    job "$1" >"$dir/log" || got=$?
    cat "$dir/log"
    [ "$got" -ne 0 ] && [ "$got" -ne 124 ] || { echo "status $got"; return 1; }
    grep -qE -- "$2" "$dir/log"
}
caught() { check "$1 is caught" dies "$2" "$3"; }

ends() { job none >"$dir/log" && [ "$(grep -c "came to its end" "$dir/log")" -eq 2 ] || { cat "$dir/log"; return 1; }; }
check "calls without a mistake come to their end" ends
caught "another count on one rank" another_count "call [0-9]+ of a communicator of 2 ranks: rank . calls ncclAllReduce of (99|100) elements, .* calls ncclAllReduce of (99|100) elements"
caught "another type on one rank" another_type "calls ncclAllReduce of 100 elements, type [48], .* calls ncclAllReduce of 100 elements, type [48],"
caught "another operation on one rank" another_operation "operation [02], .* operation [02],"
caught "another root on one rank" another_root "root [01]; .* root [01]"
caught "another order of calls on one rank" another_order "calls nccl(AllReduce|AllGather) of .* calls nccl(AllReduce|AllGather) of"
caught "an overlap that is not in place" overlap "ncclReduceScatter: send and recv overlap, and not as in place: recv is 4 bytes from where it would be"
caught "host memory in a device's collective" host_memory "ncclAllReduce: what it sends, 400 bytes at 0x[0-9a-f]+, does not lie in one allocation of device memory"
caught "a count beyond the buffer" beyond_its_memory "ncclAllReduce: what it sends, 1604 bytes"
caught "a group left open when the host waits" open_group_at_wait "a group of NCCL calls is open"
caught "a group left open when a communicator ends" open_group_at_end "a group of NCCL calls is open"
caught "a group closed twice" closed_twice "ncclGroupEnd: no group is open"
caught "a communicator used after destroy" after_destroy "ncclAllReduce: this is no communicator, or one that was destroyed or aborted"
caught "a communicator used after abort" after_abort "ncclAllReduce: this is no communicator, or one that was destroyed or aborted"
caught "a call while the last one is in progress" in_progress "ncclAllReduce: the communicator is in progress"
caught "two ranks on one GPU" one_gpu "connect over world: NCCL says 'invalid usage .*Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 0"
caught "the failure of another rank" a_rank_that_failed "all_reduce over world: NCCL says 'remote process exited or there was a network error' \(6"
caught "a rank that is stuck" a_rank_that_is_stuck "rank 0 has waited [0-9]+ s in reduce_scatter over data, phase step: "
finish
