/* faults: see the header. */
#include "tests/emulate/kernels/faults.h"

#include "kernels/cuda/elems.h"

GPU_KERNEL(reverse, FAULT_THREADS, struct reverse_args, a)
{
    GPU_SHARED(int32_t, passed, [FAULT_THREADS]);
    int i = gpu_thread();
    passed[i] = a.x[i];
    if (a.with_barrier)
        gpu_barrier();
    a.y[i] = passed[FAULT_THREADS - 1 - i];
}

GPU_KERNEL(poke_shared, FAULT_THREADS, struct poke_args, a)
{
    GPU_SHARED(int32_t, own, [FAULT_THREADS]);
    if (gpu_thread() == 0)
        ((int32_t *)own)[a.place] = 1;
}

GPU_KERNEL(poke_dynamic, FAULT_THREADS, struct poke_args, a)
{
    if (gpu_thread() == 0)
        ((int32_t *)gpu_dynamic_shared())[a.place] = 1;
}

GPU_KERNEL(poke_device, FAULT_THREADS, struct poke_args, a)
{
    if (gpu_thread() == 0)
        a.memory[a.place] = 1;
}

GPU_KERNEL(lonely_barrier, FAULT_THREADS, struct poke_args, a)
{
    if (gpu_thread() != a.place)
        gpu_barrier();
}

GPU_KERNEL(half_a_warp, FAULT_THREADS, struct poke_args, a)
{
    if (gpu_lane() < WARP / 2)
        a.memory[gpu_thread()] = gpu_shuffle_xor(gpu_thread(), 1);
}

GPU_KERNEL(two_exchanges, FAULT_THREADS, struct poke_args, a)
{
    a.memory[gpu_thread()] = gpu_lane() < WARP / 2 ? gpu_shuffle_xor(1, 1) : (int32_t)gpu_ballot(true);
}

GPU_KERNEL(aslant, FAULT_THREADS, struct poke_args, a)
{
    a.memory[gpu_thread()] = (int32_t)gpu_load16(a.memory + a.place).word[0];
}
