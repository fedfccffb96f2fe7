#!/usr/bin/env bash
# Three hosts in namespaces, two ranks on each: every rank takes its GPU of its own host, whether the host shows its GPUs to all ranks or each rank one of its own, and they sum over NCCL (the
# emulated CUDA module). By mpirun, and by srun in a Slurm of three nodes. Skipped without root, namespaces, or Slurm.
. "$TOOLS/cli.sh"
. "$TOOLS/hosts.sh"
. "$TOOLS/slurm.sh"
command -v slurmctld >/dev/null && command -v munged >/dev/null && command -v ip >/dev/null && [ "$(id -u)" -eq 0 ] ||
    { echo "skipped: needs root, iproute2, slurm-wlm and munge (ci/install.sh iproute2 slurm-wlm munge)"; exit 77; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_tcp_if_include=eth0
export CRITIC_RM_CUDA_MODULE=$EMULATED_MODULE LOCAL_GPU
unset CUDA_VISIBLE_DEVICES NCCL_HOSTID
chmod 755 "$dir"
trap 'hosts_down; rm -rf "$dir"' EXIT
hosts_up "$dir/hosts" >"$dir/hosts.log" 2>&1 || { cat "$dir/hosts.log"; echo "skipped: hosts cannot be made here, since namespaces, bridges or veth are not allowed"; exit 77; }

by_mpirun() { timeout 100 bash -c '. "$TOOLS/hosts.sh"; hosts_ranks "$@"' _ "$@"; } # by_mpirun RANKS COMMAND...
# by_srun NODES RANKS [OPTION...] COMMAND...: again, twice at most, when a rank died in MPI_Init, before any rank said a word: under Slurm's PMIx Open MPI 4.1's TCP calls a handler that is not
# there yet, when the machine is busy, for a message of a rank that is ahead (once in 50 jobs of 6 ranks).
by_srun() {
    local nodes=$1 n=$2 try got; shift 2
    for try in 1 2 3; do
        got=0
        slurm srun --mpi=pmix --nodes="$nodes" --ntasks="$n" --ntasks-per-node=$((n / nodes)) "$@" >"$dir/srun.out" 2>"$dir/srun.err" || got=$?
        if [ $got -le 128 ] || [ -s "$dir/srun.out" ] || grep -q '^local_gpu:' "$dir/srun.err"; then break; fi
    done
    cat "$dir/srun.out"; cat "$dir/srun.err" >&2
    return $got
}

# taken COMMAND...: what six ranks took, in the order of the ranks
taken() { "$@" >"$dir/out" 2>"$dir/err" || { cat "$dir/out" "$dir/err"; return 1; }; sort "$dir/out" | tee "$dir/taken"; }

# in_turn COMMAND...: on each of three hosts the first rank takes GPU 0 of 2, the second GPU 1, and all hosts' GPUs are called alike
in_turn() {
    taken "$@" && [ "$(sed 's/.* seen //' "$dir/taken" | sort -u | wc -l)" -eq 1 ] &&
        awk '{ if ($2 != NR - 1 || $6 != ranks[$4]++ || $8 != 2) exit 1 } END { exit NR != 6 || ranks[0] != 2 || ranks[1] != 2 || ranks[2] != 2 }' "$dir/taken"
}
# its_own COMMAND...: each rank sees one GPU, and takes it; the two ranks of a host see two
its_own() {
    taken "$@" && [ "$(sed 's/.* seen //' "$dir/taken" | sort -u | wc -l)" -eq 2 ] &&
        awk '{ if ($2 != NR - 1 || $6 != 0 || $8 != 1 || seen[$4, $10]++) exit 1; ranks[$4]++ } END { exit NR != 6 || ranks[0] != 2 || ranks[1] != 2 || ranks[2] != 2 }' "$dir/taken"
}
too_many="rank 2 is number 3 of the ranks to which host 0 shows the same 2 GPUs: start at most as many ranks on a host as it has GPUs"

two() { CUDA_VISIBLE_DEVICES=0,1 "$@"; } # each rank sees the two GPUs of its host
one='CUDA_VISIBLE_DEVICES=${OMPI_COMM_WORLD_LOCAL_RANK:-$SLURM_LOCALID} exec "$LOCAL_GPU"'
check "mpirun: ranks take the GPUs of their host in turn" in_turn two by_mpirun 6 "$LOCAL_GPU"
check "mpirun: also when ranks are dealt out to the hosts one by one" in_turn two by_mpirun 6 --map-by node "$LOCAL_GPU"
check "mpirun: each its own, where it sees one" its_own by_mpirun 6 bash -c "$one"
check "mpirun: three ranks on a host of two GPUs are refused" says 2 "$too_many" two by_mpirun 9 "$LOCAL_GPU"

trap 'slurm_down; hosts_down; rm -rf "$dir"' EXIT
slurm_up "$dir/slurm" || { echo "Slurm did not start"; exit 1; }
check "srun: ranks take the GPUs of their host in turn" in_turn by_srun 3 6 --gpus-per-node=2 "$LOCAL_GPU"
check "srun: also when ranks are dealt out to the hosts one by one" in_turn by_srun 3 6 --gpus-per-node=2 --distribution=cyclic "$LOCAL_GPU"
check "srun: each its own, where Slurm shows it one" its_own by_srun 3 6 --gpus-per-node=2 --gpu-bind=single:1 "$LOCAL_GPU"
check "srun: each its own, where the job script shows it one" its_own by_srun 3 6 bash -c "$one"
check "srun: three ranks on a host of two GPUs are refused" says 2 "$too_many" by_srun 1 3 --gpus-per-node=2 "$LOCAL_GPU"
finish
