/* token_order: see token_order.h. The lowest digit comes first. A thread counts the digits of the rows of its own piece, the counts' sums in the order (digit, thread) are where the thread's
 * rows go, and so rows of equal digits keep their order. */
#include "kernels/cuda/token_order.h"

#include "kernels/cuda/elems.h"

enum { DIGITS = 1 << ORDER_BITS, WARPS = ORDER_THREADS / WARP };

/* A thread's rows, and what a pass reads them from. */
struct piece { int64_t first, end; const struct token_place *from; };

GPU_DEVICE struct token_place place_at(const struct token_order_args &a, const struct token_place *from, int64_t i)
{
    if (from)
        return from[i];
    int64_t row = (int64_t)a.token[i] - a.vocab_first;
    return {row >= 0 && row < a.vocab_count ? (uint32_t)row : (uint32_t)a.vocab_count, (int32_t)i};
}

/* count[digit][thread] */
GPU_DEVICE uint32_t *count_of(uint32_t *count, uint32_t key, int shift) { return count + ((key >> shift) % DIGITS) * ORDER_THREADS + gpu_thread(); }

GPU_DEVICE void count_digits(const struct token_order_args &a, const struct piece &p, int shift, uint32_t *count)
{
    for (int d = 0; d < DIGITS; d++)
        count[d * ORDER_THREADS + gpu_thread()] = 0;
    for (int64_t i = p.first; i < p.end; i++)
        ++*count_of(count, place_at(a, p.from, i).key, shift);
}

/* Of the lanes up to this one. */
GPU_DEVICE uint32_t warp_sum_before(uint32_t x)
{
    for (int step = 1; step < WARP; step *= 2) {
        uint32_t other = gpu_shuffle(x, (gpu_lane() - step) & (WARP - 1));
        x += gpu_lane() >= step ? other : 0;
    }
    return x;
}

/* Each count becomes the sum of all before it. All threads come here. */
GPU_DEVICE void sum_counts(uint32_t *count, uint32_t *of_warp)
{
    uint32_t *mine = count + gpu_thread() * DIGITS, sum = 0;
    gpu_barrier();                      /* all have counted */
    for (int i = 0; i < DIGITS; i++)
        sum += mine[i];
    uint32_t up_to = warp_sum_before(sum), before = up_to - sum;
    if (gpu_lane() == WARP - 1)
        of_warp[gpu_warp()] = up_to;
    gpu_barrier();
    for (int w = 0; w < gpu_warp(); w++)
        before += of_warp[w];
    for (int i = 0; i < DIGITS; i++) {
        uint32_t n = mine[i];
        mine[i] = before;
        before += n;
    }
    gpu_barrier();
}

GPU_KERNEL(token_order, ORDER_THREADS, struct token_order_args, a)
{
    GPU_SHARED(uint32_t, count, [DIGITS * ORDER_THREADS]);
    GPU_SHARED(uint32_t, of_warp, [WARPS]);
    int64_t each = (a.rows + ORDER_THREADS - 1) / ORDER_THREADS, first = least(a.rows, gpu_thread() * each);
    struct piece p = {first, least(a.rows, first + each), nullptr};
    for (int pass = 0; pass < a.n_passes; pass++) {
        count_digits(a, p, pass * ORDER_BITS, count);
        sum_counts(count, of_warp);
        for (int64_t i = p.first; i < p.end; i++) {
            struct token_place place = place_at(a, p.from, i);
            a.place[pass % 2][(*count_of(count, place.key, pass * ORDER_BITS))++] = place;
        }
        p.from = a.place[pass % 2];
        gpu_barrier();                  /* all rows are in their places */
    }
}
