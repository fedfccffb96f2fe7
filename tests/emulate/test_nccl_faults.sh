#!/usr/bin/env bash
# Each mistake in the calls of NCCL is caught, in a job of its own, with the words that name it; the same calls without a mistake come to their end.
. "$TOOLS/cli.sh"
export OMPI_MCA_odls_base_sigkill_timeout=0            # the other rank need not end by itself

# One line a job: mistake | what it is | what it must say, an extended regular expression
table() { cat <<'END'
another_count|another count on one rank|call [0-9]+ of a communicator of 2 ranks: rank . calls ncclAllReduce of (99|100) elements, .* calls ncclAllReduce of (99|100) elements
another_type|another type on one rank|calls ncclAllReduce of 100 elements, type [48], .* calls ncclAllReduce of 100 elements, type [48],
another_operation|another operation on one rank|operation [02], .* operation [02],
another_root|another root on one rank|root [01]; .* root [01]
another_order|another order of calls on one rank|calls nccl(AllReduce of .* calls ncclAllGather|AllGather of .* calls ncclAllReduce) of
overlap|an overlap that is not in place|ncclReduceScatter: send and recv overlap, and not as in place: recv is 4 bytes from where it would be
host_memory|host memory in a device's collective|ncclAllReduce: what it sends, 400 bytes at 0x[0-9a-f]+, does not lie in one allocation of device memory
beyond_its_memory|a count beyond the buffer|ncclAllReduce: what it sends, 1604 bytes
open_group_at_wait|a group left open when the host waits|a group of NCCL calls is open
open_group_at_end|a group left open when a communicator ends|a group of NCCL calls is open
closed_twice|a group closed twice|ncclGroupEnd: no group is open
after_destroy|a communicator used after destroy|ncclAllReduce: this is no communicator, or one that was destroyed or aborted
after_abort|a communicator used after abort|ncclAllReduce: this is no communicator, or one that was destroyed or aborted
in_progress|a call while the last one is in progress|ncclAllReduce: the communicator is in progress
one_gpu|two ranks on one GPU|connect over world: NCCL says 'invalid usage .*Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 0
a_rank_that_failed|the failure of another rank|all_reduce over world: NCCL says 'remote process exited or there was a network error' \(6
a_rank_that_is_stuck|a rank that is stuck|rank 0 has waited [0-9]+ s in reduce_scatter over data, phase step:
a_network_that_is_stuck|a network that does not reach a rank|rank 0 has waited [0-9]+ s in all_gather over data, phase connect:
a_full_gpu|a GPU without room for a connection|all_gather over data: NCCL says 'unhandled cuda error .* 65536 bytes of device memory cannot be had
END
}

job() { # job NAME: its output, and its status in a last line
    local got=0
    timeout 60 "$SOURCE/launch/mpirun.sh" 2 "$NCCL_FAULT" "$1" >"$dir/$1.log" 2>&1 || got=$?
    echo "status $got" >>"$dir/$1.log"
}
export -f job
export dir
{ echo none; table | cut -d '|' -f 1; } | xargs -P 3 -I{} bash -c 'job {}'

ends() { cat "$dir/none.log"; [ "$(grep -c "came to its end" "$dir/none.log")" -eq 2 ] && grep -qx "status 0" "$dir/none.log"; }
check "calls without a mistake come to their end" ends

dies() { # dies NAME WORDS
    cat "$dir/$1.log"
    ! grep -qxE "status (0|124)" "$dir/$1.log" && grep -qE -- "$2" "$dir/$1.log"
}
while IFS='|' read -r name what words; do check "$what is caught" dies "$name" "$words"; done < <(table)
finish
