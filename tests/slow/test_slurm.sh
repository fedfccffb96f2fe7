#!/usr/bin/env bash
# A real Slurm: launch/slurm/train.sbatch submitted, told in the middle that its time is nearly over, queued again by itself, finished: the parameters are those of the uninterrupted run,
# bit for bit. By srun and by mpirun. TERM to ranks under srun in a save that takes 10 s: saved, status 3. Skipped where Slurm is not installed, or without root.
. "$TOOLS/cli.sh"
. "$TOOLS/slurm.sh"
command -v slurmctld >/dev/null && command -v munged >/dev/null && [ "$(id -u)" -eq 0 ] || { echo "skipped: needs root, slurm-wlm and munge (ci/install.sh slurm-wlm munge)"; exit 77; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 CRITIC_RM
chmod 755 "$dir"
"$TINY_FOLDER" "$dir/tiny" llama 2 24 || exit 1
trap 'slurm_down; rm -rf "$dir"' EXIT
slurm_up "$dir/slurm" || { echo "Slurm did not start"; exit 1; }

cat >"$dir/run.yaml" <<YAML
backbone: {path: $dir/tiny, init: random}
data: {train: $dir/tiny/dsub, template: $dir/tiny/template.txt, critique_prompt: $dir/tiny/critique.txt, max_path_tokens: 48}
mesh: {micro_batch_tokens: 96}
objective: {pairs_per_step: 4, epochs: 100}
optimizer: {lr: 1.0e-3}
checkpoint: {every: 50}
YAML
ranks 2 train --config "$dir/run.yaml" --set run.dir="$dir/whole" --set device.threads=1 >"$dir/whole.log" 2>&1 || { cat "$dir/whole.log"; exit 1; }
want=$(parameters "$dir/whole")

submit() { # submit RUN [sbatch option...]: the job's number
    local run=$1; shift
    slurm sbatch --parsable --nodes=1 --ntasks=2 --ntasks-per-node=2 --time=10 --output="$dir/$run.out" "$@" "$SOURCE/launch/slurm/train.sbatch" "$dir/$run" "$dir/run.yaml"
}
state() { slurm scontrol -o show job "$1" | sed -E 's/.*JobState=([A-Z_]*).*/\1/'; }
restarts() { slurm scontrol -o show job "$1" | sed -E 's/.*Restarts=([0-9]*).*/\1/'; }
steps() { values "$dir/$1" step 2>/dev/null | wc -l; }

wait_until() { # wait_until SECONDS COMMAND...
    local left=$(($1 * 10)); shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || { echo "never came: $*"; slurm squeue; cat "$dir"/*.out; return 1; }
        sleep 0.1
    done
}
ran() { [ "$(steps "$1")" -ge "$2" ]; }
over() { case $(state "$1") in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) return 0 ;; *) return 1 ;; esac }

requeued_and_equal() { # requeued_and_equal RUN LAUNCH SIGNAL
    local run=$1 job; job=$(LAUNCH=$2 submit "$run" --export=ALL) || return 1
    wait_until 120 ran "$run" 20 || return 1
    [ -f "$dir/$run/start.$job" ] || { echo "no mark of the start in the run's folder"; return 1; }
    slurm scancel --batch --signal="$3" "$job"
    wait_until 300 over "$job" || return 1
    cat "$dir/$run.out"
    [ "$(state "$job")" = COMPLETED ] || { echo "the job ended as $(state "$job")"; return 1; }
    [ "$(restarts "$job")" -ge 1 ] || { echo "the job was not queued again"; return 1; }
    [ "$(grep -c 'queues again' "$dir/$run.out")" -eq 1 ] || { echo "not saved and queued again once"; return 1; }
    [ ! -e "$dir/$run/start.$job" ] || { echo "the mark of the start was left behind"; return 1; }
    [ "$(parameters "$dir/$run")" = "$want" ] || { echo "other parameters"; return 1; }
    [ "$(values "$dir/$run" loss)" = "$(values "$dir/whole" loss)" ] || { echo "other losses"; return 1; }
}
check "a job near its limit saves, queues again and ends with the same bits (srun)" requeued_and_equal by_srun srun USR1
check "the same by mpirun, when the script gets TERM" requeued_and_equal by_mpirun mpirun TERM

slow_step() { # each fsync takes 3 s, and a save has several one behind the other
    timeout 120 srun --mpi=pmix --ntasks=2 --export=ALL,LD_PRELOAD="$SLOW_FSYNC",SLOW_FSYNC_MS=3000 "$CRITIC_RM" train --config "$dir/run.yaml" --set run.dir="$dir/term" \
        --set device.threads=1 --set objective.epochs=10000 --set checkpoint.every=100000
}
slow_save() {
    local job begin
    slow_step >"$dir/term.out" 2>&1 & local step=$!
    wait_until 60 ran term 5 || return 1
    job=$(slurm squeue -h -o %A | head -n 1)
    begin=$(date +%s)
    slurm scancel --signal=TERM "$job"
    saved_slowly "$step" "$begin" "$dir/term.out" "$dir/term"
}
check "TERM to ranks under srun, in a run whose save takes 10 s: saved, status 3" slow_save
finish
