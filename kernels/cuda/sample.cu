/* sample: one token a row. ref_sample is the definition, which sorts; here nothing is sorted.
 *
 * A column's key is 64 bits that order columns as they would be sorted: its logit's bits, made to rise with the logit, then its index, falling. A filter leaves the columns
 * whose key is at least a bound, so it is one number: the greatest key at which enough columns, or enough mass, lie at or above it. It is found four bits at a time, by 15 counts or
 * sums in one pass over the row: 8 passes for the logit, and for the index as many as the number of columns has digits (13 in all for 128,256 columns). Keys exist for allowed columns
 * only. Masses are double, in one fixed order.
 */
#include "kernels/cuda/sample.h"

#include "kernels/cuda/elems.h"

/* A row at work. Columns of a thread lie side by side, so that the threads' order is the columns' order. */
struct row {
    const struct sample_args *a;
    const struct sample_rule *rule;
    int64_t number, first, end;         /* this thread's columns */
    double *partial;                    /* shared: [SAMPLE_TRIES] values a warp */
    double max;                         /* the greatest logit that may be drawn */
};

GPU_DEVICE float logit_of(const struct row &row, int64_t column)
{
    const struct sample_args &a = *row.a;
    int p = 0;
    while (column >= a.part_first[p + 1])
        p++;
    return a.logits[(p * a.rows + row.number) * a.part_stride + column - a.part_first[p]];
}

GPU_DEVICE bool is_allowed(const struct row &row, int64_t column)
{
    bool listed = row.rule->n_allowed == 0;
    for (int32_t i = 0; i < row.rule->n_allowed && !listed; i++)
        listed = (int64_t)row.a->allowed[row.rule->first_allowed + i] == column;
    return listed && column != row.rule->banned;
}

/* Above 0 for every column; 0 is no column. -0 and 0 are equal logits. What is not a number stands highest: so it is found. */
GPU_DEVICE uint64_t key_of(float logit, int64_t column)
{
    uint32_t bits = logit == 0.0f ? 0x80000000u : gpu_bits(logit);
    uint32_t rising = logit != logit ? 0xffffffffu : logit == 0.0f ? bits : bits >> 31 ? ~bits : bits | 0x80000000u;
    return (uint64_t)rising << 32 | (0xffffffffu - (uint32_t)column);
}

GPU_DEVICE int64_t column_of(uint64_t key) { return (int64_t)(0xffffffffu - (uint32_t)key); }

GPU_DEVICE double mass_of(const struct row &row, float logit) { return exp(((double)logit - row.max) / (double)row.rule->temperature); }

/* For one call. */
GPU_DEVICE uint64_t block_greatest(uint64_t key, uint64_t *partial)
{
    for (int mask = WARP / 2; mask > 0; mask /= 2) {
        uint64_t other = gpu_shuffle_xor(key, mask);
        key = other > key ? other : key;
    }
    if (gpu_lane() == 0)
        partial[gpu_warp()] = key;
    gpu_barrier();
    for (int w = 0; w < gpu_n_threads() / WARP; w++)
        key = partial[w] > key ? partial[w] : key;
    return key;
}

/* This thread's columns with a key of at least bound + (i + 1) * step: their number, or their mass, to sum[i]. */
template <int N> GPU_DEVICE void own_above(double (&sum)[N], const struct row &row, uint64_t bound, uint64_t step, bool by_mass)
{
    GPU_UNROLL
    for (int i = 0; i < N; i++)
        sum[i] = 0.0;
    for (int64_t c = row.first; c < row.end; c++) {
        float logit = logit_of(row, c);
        uint64_t key = key_of(logit, c);
        if (key < bound + step || !is_allowed(row, c))
            continue;
        double mass = by_mass ? mass_of(row, logit) : 1.0;
        GPU_UNROLL
        for (int i = 0; i < N; i++)
            sum[i] += key >= bound + (uint64_t)(i + 1) * step ? mass : 0.0;
    }
}

/* Each over the block, as block_sum. */
template <int N> GPU_DEVICE void block_sums(double (&x)[N], double *partial)
{
    GPU_UNROLL
    for (int i = 0; i < N; i++)
        x[i] = warp_sum(x[i]);
    gpu_barrier();                      /* what was read of `partial` before is read */
    GPU_UNROLL
    for (int i = 0; i < N; i++) {
        if (gpu_lane() == 0)
            partial[gpu_warp() * N + i] = x[i];
        x[i] = 0.0;
    }
    gpu_barrier();
    for (int w = 0; w < gpu_n_threads() / WARP; w++)
        GPU_UNROLL
        for (int i = 0; i < N; i++)
            x[i] += partial[w * N + i];
}

/* The next digit of the bound, at `shift`: the greatest at which the number or mass of columns reaches `need`. */
GPU_DEVICE uint64_t find_digit(const struct row &row, uint64_t bound, int shift, bool by_mass, double need)
{
    double sum[SAMPLE_TRIES];
    uint64_t digit = 0;
    own_above(sum, row, bound, (uint64_t)1 << shift, by_mass);
    block_sums(sum, row.partial);
    GPU_UNROLL
    for (int i = 0; i < SAMPLE_TRIES; i++)
        digit += sum[i] >= need;        /* they fall with i */
    return digit << shift;
}

/* The greatest key at or above which the number or mass of columns reaches `need`; below every key where it never does. Of the index, digits that are the same in all columns' keys
 * are not looked for. */
GPU_DEVICE uint64_t find_bound(const struct row &row, bool by_mass, double need)
{
    uint64_t bound = 0;
    int64_t n = row.a->part_first[row.a->parts];
    int n_low = 4;
    while (n_low < 32 && n >> n_low > 0)
        n_low += 4;
    for (int shift = 60; shift >= 32; shift -= 4)
        bound |= find_digit(row, bound, shift, by_mass, need);
    bound |= 0xffffffffu & ~(((uint64_t)1 << n_low) - 1);
    for (int shift = n_low - 4; shift >= 0; shift -= 4)
        bound |= find_digit(row, bound, shift, by_mass, need);
    return bound;
}

GPU_DEVICE uint64_t higher(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* The least key that the filters leave. top_p is of what top_k left, min_p of the largest, which is always left. */
GPU_DEVICE uint64_t bound_of_filters(const struct row &row)
{
    uint64_t bound = 0;
    if (row.rule->top_k > 0)
        bound = find_bound(row, false, (double)row.rule->top_k);
    if (row.rule->top_p < 1.0f) {
        double all[1];
        own_above(all, row, bound, 0, true);
        block_sums(all, row.partial);
        bound = higher(bound, find_bound(row, true, (double)row.rule->top_p * all[0]));
    }
    return bound;
}

GPU_DEVICE bool is_left(const struct row &row, int64_t column, uint64_t bound)
{
    float logit = logit_of(row, column);
    return key_of(logit, column) >= bound && is_allowed(row, column) && mass_of(row, logit) >= (double)row.rule->min_p;
}

GPU_DEVICE double own_left(const struct row &row, uint64_t bound)
{
    double sum = 0.0;
    for (int64_t c = row.first; c < row.end; c++)
        sum += is_left(row, c, bound) ? mass_of(row, logit_of(row, c)) : 0.0;
    return sum;
}

/* The first column left whose cumulative mass is above uniform * total, else the last one left: the thread that has it writes it, behind
 * the barrier over what stands there. */
GPU_DEVICE void draw(const struct row &row, uint64_t bound, double *sum_of_thread)
{
    double before = 0.0, total = 0.0, own = own_left(row, bound);
    sum_of_thread[gpu_thread()] = own;
    gpu_barrier();
    int last = 0;
    for (int t = 0; t < gpu_n_threads(); t++) {
        before = t == gpu_thread() ? total : before;
        total += sum_of_thread[t];
        last = sum_of_thread[t] > 0.0 ? t : last;
    }
    double target = (double)row.rule->uniform * total, so_far = before;
    bool mine = own > 0.0 && before <= target && (before + own > target || gpu_thread() == last);
    for (int64_t c = row.first; mine && c < row.end; c++) {
        if (!is_left(row, c, bound))
            continue;
        row.a->token[row.number] = (uint32_t)c;
        so_far += mass_of(row, logit_of(row, c));
        if (so_far > target)
            return;
    }
}

GPU_KERNEL(sample_row, SAMPLE_THREADS, struct sample_args, a)
{
    GPU_SHARED(double, partial, [SAMPLE_THREADS / WARP * SAMPLE_TRIES]);
    GPU_SHARED(uint64_t, keys, [SAMPLE_THREADS / WARP]);
    GPU_SHARED(double, sum_of_thread, [SAMPLE_THREADS]);
    int64_t n = a.part_first[a.parts], each = (n + gpu_n_threads() - 1) / gpu_n_threads(), first = least(n, gpu_thread() * each);
    struct row row = {&a, &a.rule[gpu_block_x()], (int64_t)gpu_block_x(), first, least(n, first + each), partial, 0.0};
    uint64_t key = 0;
    for (int64_t c = row.first; c < row.end; c++)
        key = is_allowed(row, c) ? higher(key, key_of(logit_of(row, c), c)) : key;
    key = block_greatest(key, keys);
    int64_t best = key > 0 ? column_of(key) : 0;
    row.max = (double)logit_of(row, best);
    bool whole = key > 0 && isfinite(row.max);
    if (gpu_thread() == 0)
        a.token[row.number] = whole ? (uint32_t)best : SAMPLE_NONE;
    if (whole && row.rule->temperature > 0.0f)
        draw(row, bound_of_filters(row), sum_of_thread);
}
