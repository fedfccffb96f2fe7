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

GPU_KERNEL(reverse_copied, FAULT_THREADS, struct copy_args, a)
{
    GPU_SHARED(struct gpu_16, passed, [FAULT_THREADS / 4]);
    int i = gpu_thread();
    if (i < FAULT_THREADS / 4)
        gpu_copy_async16(&passed[i], a.x + 4 * i, true);
    gpu_copy_commit();
    if (a.waits)
        gpu_copy_wait<0>();
    gpu_barrier();
    int from = FAULT_THREADS - 1 - i;
    a.y[i] = (int32_t)passed[from / 4].word[from % 4];
    gpu_copy_wait<0>();
}

/* The operands as the head of gpu_mma_bf16_16x8x16 says, element by element. */
GPU_DEVICE uint32_t pair_of(const uint16_t *x, int low, int high) { return (uint32_t)x[low] | (uint32_t)x[high] << 16; }

GPU_KERNEL(product, WARP, struct product_args, args)
{
    GPU_SHARED(struct gpu_16, memory, [96]);            /* a, b transposed, b: 16 x 16, 8 x 16, 16 x 8 */
    uint16_t *a = (uint16_t *)memory, *b_transposed = a + 256, *b = a + 384;
    int lane = gpu_lane(), r = lane / 4, e = lane % 4 * 2;
    for (int i = lane; i < 256; i += WARP)
        a[i] = args.a[i];
    for (int i = lane; i < 128; i += WARP)
        b_transposed[i] = args.b_transposed[i], b[i] = args.b[i];
    gpu_barrier();
    uint32_t a_by_element[4] = {pair_of(a, r * 16 + e, r * 16 + e + 1), pair_of(a, (r + 8) * 16 + e, (r + 8) * 16 + e + 1), pair_of(a, r * 16 + e + 8, r * 16 + e + 9),
                                pair_of(a, (r + 8) * 16 + e + 8, (r + 8) * 16 + e + 9)};
    uint32_t b_by_element[2] = {pair_of(b, e * 8 + r, (e + 1) * 8 + r), pair_of(b, (e + 8) * 8 + r, (e + 9) * 8 + r)}, a_loaded[4], b_loaded[4], b_turned[4];
    gpu_load_matrix4(a_loaded, a + lane % 16 * 16 + lane / 16 * 8);
    gpu_load_matrix4(b_loaded, b_transposed + lane % 8 * 16 + lane / 8 % 2 * 8);
    gpu_load_matrix4_transposed(b_turned, b + lane % 16 * 8);
    float c[4] = {}, again[4] = {};
    gpu_mma_bf16_16x8x16(c, a_by_element, b_by_element);
    gpu_mma_bf16_16x8x16(again, a_loaded, b_loaded);
    for (int i = 0; i < 4; i++)
        args.c[(r + i / 2 * 8) * 8 + e + i % 2] = c[i];
    bool same = b_loaded[0] == b_turned[0] && b_loaded[1] == b_turned[1];
    for (int i = 0; i < 4; i++)
        args.c_again[(r + i / 2 * 8) * 8 + e + i % 2] = same ? again[i] : NAN;
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
