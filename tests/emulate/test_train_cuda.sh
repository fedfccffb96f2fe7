#!/usr/bin/env bash
# train with device.kind: cuda, on the emulated module: it takes the CPU's course on any mesh, saves, resumes and refuses, and a run goes from one backend to the other.
. "$TOOLS/cli.sh"
. "$TOOLS/training.sh"
export CRITIC_RM_CUDA_MODULE=$EMULATED_MODULE
on_gpu=(device.kind=cuda device.peak_tflops=1)

train 1 cpu || exit 1
gpu_train() { local n=$1 run=$2; shift 2; train "$n" "$run" "${on_gpu[@]}" "$@" && same_course "$dir/cpu" "$dir/$run" 2e-5 6; }
check "training on one GPU takes the course of the CPU" gpu_train 1 one
check "and on tensor x data = 2 x 2" gpu_train 4 four mesh.tensor=2
check "and with layers run again in the backward" gpu_train 2 again device.recompute=layer
told() { # told RANKS: what NCCL holds is said beside the plan, where there is something to hold
    says 3 "memory per rank:" train "$1" "told$1" "${on_gpu[@]}" checkpoint.stop_after=1 || return 1
    [ "$(grep -cE "beside that NCCL holds up to [0-9.]+ MiB of a rank's GPU" "$dir/says.log")" -eq "$(($1 > 1))" ]
}
check "two ranks are told what NCCL holds" told 2
check "and one is not" told 1

moved() { # CPU, GPUs, CPU
    status 3 train 2 moved checkpoint.stop_after=3 || return 1
    says 3 "resuming from $dir/moved/checkpoints/step_00000003" train 4 moved "${on_gpu[@]}" mesh.tensor=2 checkpoint.stop_after=6 || return 1
    says 0 "resuming from $dir/moved/checkpoints/step_00000006" train 1 moved || return 1
    same_course "$dir/cpu" "$dir/moved" 2e-5 6
}
check "a run begun by CPU ranks goes on on GPUs, and back" moved

killed() { # on GPUs at a random moment after the first save; CPU ranks go on, and the other way round
    local first=("${on_gpu[@]}") then=() run pid alive
    for run in killed.gpu killed.cpu; do
        (EXEC=exec train 2 $run checkpoint.every=2 checkpoint.keep=2 "${first[@]}") & pid=$!
        for _ in $(seq 200); do ls "$dir/$run"/checkpoints/*/manifest.json >/dev/null 2>&1 && break; sleep 0.05; done
        sleep "0.$((RANDOM % 4))"
        alive=$(pgrep -P "$pid")
        kill_some all "$pid" $alive
        none_left "$pid" $alive || return 1
        train 1 $run "${then[@]}" || return 1
        same_course "$dir/cpu" "$dir/$run" 2e-5 6 || return 1
        first=() then=("${on_gpu[@]}")
    done
}
check "after kill -9 on one backend the other goes on" killed

resumed_is_equal() { # truth 4 on the GPU backend
    status 3 train 2 parts "${on_gpu[@]}" checkpoint.stop_after=4 || return 1
    train 2 parts "${on_gpu[@]}" || return 1
    train 2 whole "${on_gpu[@]}" || return 1
    [ "$(parameters "$dir/whole")" = "$(parameters "$dir/parts")" ] && [ "$(values "$dir/whole" loss)" = "$(values "$dir/parts" loss)" ]
}
check "n steps, stop, resume and n steps are 2n steps, bit for bit, on data 2" resumed_is_equal

check "more ranks than GPUs on a host are refused" says 2 "start at most as many ranks on a host as it has GPUs" train 9 crowd "${on_gpu[@]}" objective.pairs_per_step=9
no_module() { CRITIC_RM_CUDA_MODULE=$dir/nothing.so says 1 "CRITIC_RM_CUDA_MODULE is $dir/nothing.so, which cannot be read" train 2 missing "${on_gpu[@]}"; }
check "without the module every command says what is missing, once" no_module
left_alone() { # a run that another start may be training: its claim stands
    status 3 train 1 claimed checkpoint.stop_after=2 || return 1
    local claim; claim=$(cat "$dir/claimed/attempt")
    CRITIC_RM_CUDA_MODULE=$dir/nothing.so says 1 "cannot be read" train 1 claimed "${on_gpu[@]}" || return 1
    [ "$(cat "$dir/claimed/attempt")" = "$claim" ]
}
check "and leaves a run to whoever is training it" left_alone
finish
