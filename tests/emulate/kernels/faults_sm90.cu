/* faults_sm90: see the header. */
#include "tests/emulate/kernels/faults_sm90.h"

#include "kernels/cuda/attention_sm90_tiles.h"

enum { TILE = 64 * 64 };

GPU_DEVICE void start_barrier(gpu_mbarrier *b, int mistake)
{
    if (gpu_thread() == 0) {
        if (mistake != BARRIER_NOT_MADE)
            gpu_mbarrier_init(b, 1);
        if (mistake != BARRIER_NOT_DECLARED)
            gpu_mbarrier_made();
    }
    gpu_barrier();
}

/* One thread. */
GPU_DEVICE void start_copies(const struct warpgroup_args &a, uint16_t *x, gpu_mbarrier *b)
{
    static const struct gpu_tensor_map none = {};
    int wrong = a.mistake == TOO_FEW_BYTES ? -16 : a.mistake == TOO_MANY_BYTES ? 16 : 0;
    gpu_mbarrier_expect(b, 2 * TILE * 2 + wrong);
    gpu_copy_box(a.mistake == BOX_ASLANT ? x + 64 : a.mistake == BOX_OUTSIDE ? x + 2 * TILE : x, a.mistake == NO_MAP ? &none : &a.map, 0, 0, 0, b);
    gpu_copy_box(x + TILE, &a.map, 0, 1, 0, b);
    if (a.mistake == ONE_ARRIVAL_MORE)
        gpu_mbarrier_arrive(b);
}

GPU_DEVICE void clear_last_row(uint16_t *y, int mistake)
{
    if (gpu_thread() < 8)
        gpu_store16(y + 63 * 64 + gpu_thread() * 8, {});
    if (mistake != NO_FENCE)
        gpu_async_fence();
    gpu_barrier();
}

GPU_DEVICE void store_sums(float *to, const float (&c)[8][4])
{
    int row = gpu_warp() * 16 + gpu_lane() / 4;
    for (int i = 0; i < 32; i++)
        to[(row + i / 2 % 2 * 8) * 64 + i / 4 * 8 + gpu_lane() % 4 * 2 + i % 2] = c[i / 4][i % 4];
}

/* What must not be done while products are under way. */
GPU_DEVICE void disturb(const struct warpgroup_args &a, uint16_t *x, gpu_mbarrier *b, float (&c)[8][4])
{
    if (a.mistake == SUMS_WRITTEN)
        c[3][1] = 7.0f;
    if (a.mistake == OPERAND_OVERWRITTEN && gpu_thread() == 5)
        x[3] = 0x7f00;
    if (a.mistake == BOX_OVER_OPERAND && gpu_thread() == 5) {
        gpu_mbarrier_expect(b, TILE * 2);
        gpu_copy_box(x, &a.map, 0, 1, 0, b);
    }
}

GPU_DEVICE void part_mistakes(int mistake)
{
    if (mistake == PART_TOO_LARGE)
        gpu_part_wait(2, 2 * WARPGROUP);
    if (mistake == PART_OF_TWO_SIZES)
        gpu_part_wait(2, gpu_warp() == 0 ? (int)WARP : (int)WARPGROUP);
}

GPU_KERNEL_ALONE(warpgroup_product, 2 * WARPGROUP, struct warpgroup_args, a)
{
    uint16_t *x = (uint16_t *)gpu_aligned_shared(), *y = x + TILE;
    gpu_mbarrier *b = (gpu_mbarrier *)(y + TILE);
    float c[8][4] = {}, d[8][4] = {};
    uint32_t registers[4][4];
    start_barrier(b, a.mistake);
    if (gpu_thread() == 0)
        start_copies(a, x, b);
    if (a.mistake != BOX_NOT_WAITED_FOR)
        gpu_mbarrier_wait(b, 0);
    clear_last_row(y, a.mistake);
    load_operand<64, 64>(registers, x, gpu_warp() * 16);
    if (a.mistake != NOT_BEGUN)
        gpu_multiply_begin();
    if (a.mistake != LONELY_THREAD || gpu_thread() != 9)
        begin_rows<64, 64, 64>(c, a.mistake == DIFFERENT_PRODUCTS && gpu_thread() == 9 ? y : x, y);
    gpu_multiply_begin();
    begin_columns<64>(d, registers, y);
    disturb(a, x, b, c);
    if (a.mistake == NOT_WAITED_FOR)
        gpu_multiply_wait<1>();
    else if (a.mistake != NEVER_WAITED_FOR)
        gpu_multiply_wait<0>();
    part_mistakes(a.mistake);
    store_sums(a.rows, c);
    store_sums(a.columns, d);
    if (a.mistake == NOT_WAITED_FOR)
        gpu_multiply_wait<0>();
    if (a.mistake == BOX_NOT_WAITED_FOR)
        gpu_mbarrier_wait(b, 0);
}
