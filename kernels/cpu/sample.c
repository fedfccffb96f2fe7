/* sample: one token a row; the pool shares out the rows. ref_sample is the definition, which sorts; here nothing is sorted.
 *
 * A row's columns are segments (its parts, cut at the banned column) of blocks of SAMPLE_BLOCK columns. A first pass finds the blocks' maxima, a second the sums of their
 * exponentials. Without filters the draw is found by going through the sums, then through one block. With filters the columns that can be left at all, above a bound that the
 * maxima and sums give, are collected in their order; the last one left is then found by selection. Sums of blocks are float32 within, so a draw may differ from the
 * reference's where uniform * total is within rounding of a border between two columns.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector_ops.h"

struct segment { int64_t first, n; const float *logit; };
struct candidate { double p; float logit; uint32_t column; };      /* p = exp((logit - max) / temperature) */

/* A row at work, in the memory of one thread. */
struct sampling {
    const struct vector_ops *ops;
    const struct sample_args *a;
    const struct sample_rule *rule;
    int64_t row;
    struct segment *segment;            /* [parts + 1] */
    int n_segments;
    int64_t n_columns, n_blocks;
    float *block_max;                   /* [blocks] */
    double *block_sum;
    struct candidate *all, *work;       /* [columns]: in their order; to be taken apart */
    int64_t n;
    float max;
    double mass;                        /* of all columns that may be drawn */
};

/* ---- columns --------------------------------------------------------------------------------------------------------------------------------- */

static const float *part_of(const struct sampling *s, int p) { return s->a->logits + (p * s->a->rows + s->row) * s->a->part_stride; }

static void add_segment(struct sampling *s, int p, int64_t first, int64_t end)
{
    if (first >= end)
        return;
    s->segment[s->n_segments++] = (struct segment){first, end - first, part_of(s, p) + first - s->a->part_first[p]};
    s->n_columns += end - first;
}

static void cut_segments(struct sampling *s)
{
    s->n_segments = 0;
    s->n_columns = 0;
    for (int p = 0; p < s->a->parts; p++) {
        int64_t first = s->a->part_first[p], end = s->a->part_first[p + 1], banned = s->rule->banned;
        bool cut = banned >= first && banned < end;
        add_segment(s, p, first, cut ? banned : end);
        add_segment(s, p, cut ? banned + 1 : end, end);
    }
}

static int64_t blocks_of(int64_t n) { return (n + SAMPLE_BLOCK - 1) / SAMPLE_BLOCK; }

static void find_maxima(struct sampling *s)
{
    s->n_blocks = 0;
    s->max = -INFINITY;
    for (int i = 0; i < s->n_segments; i++) {
        s->ops->block_max(s->segment[i].logit, s->segment[i].n, s->block_max + s->n_blocks);
        s->n_blocks += blocks_of(s->segment[i].n);
    }
    for (int64_t b = 0; b < s->n_blocks && !isnan(s->max); b++)
        s->max = s->block_max[b] <= s->max ? s->max : s->block_max[b];
}

static void find_sums(struct sampling *s)
{
    int64_t b = 0;
    for (int i = 0; i < s->n_segments; b += blocks_of(s->segment[i].n), i++)
        s->ops->block_exp_sum(s->segment[i].logit, s->segment[i].n, s->max, 1.0f / s->rule->temperature, s->block_sum + b);
    s->mass = 0.0;
    for (b = 0; b < s->n_blocks; b++)
        s->mass += s->block_sum[b];
}

static double p_of(const struct sampling *s, float logit) { return exp(((double)logit - (double)s->max) / (double)s->rule->temperature); }

/* The next block of a segment in the order of columns: begins with segment -1, ends with false. */
struct place { int segment; int64_t block, at, n; };

static bool next_block(const struct sampling *s, struct place *p)
{
    p->block++;
    p->at += SAMPLE_BLOCK;
    if (p->segment < 0 || p->at >= s->segment[p->segment].n) {
        p->segment++;
        p->at = 0;
    }
    if (p->segment == s->n_segments)
        return false;
    int64_t left = s->segment[p->segment].n - p->at;
    p->n = left < SAMPLE_BLOCK ? left : SAMPLE_BLOCK;
    return true;
}

/* ---- without filters ------------------------------------------------------------------------------------------------------------------------- */

static uint32_t first_of_greatest(const struct sampling *s)
{
    for (struct place p = {-1, -1, 0, 0}; next_block(s, &p);)
        for (int64_t i = 0; s->block_max[p.block] == s->max && i < p.n; i++)
            if (s->segment[p.segment].logit[p.at + i] == s->max)
                return (uint32_t)(s->segment[p.segment].first + p.at + i);
    return (uint32_t)s->segment[0].first;
}

static uint32_t draw_from_blocks(const struct sampling *s)
{
    double target = (double)s->rule->uniform * s->mass, before = 0.0;
    uint32_t last = (uint32_t)s->segment[0].first;
    for (struct place p = {-1, -1, 0, 0}; next_block(s, &p); before += s->block_sum[p.block]) {
        double so_far = before;
        for (int64_t i = 0; before + s->block_sum[p.block] > target && i < p.n; i++) {
            double share = p_of(s, s->segment[p.segment].logit[p.at + i]);
            so_far += share;
            last = share > 0.0 ? (uint32_t)(s->segment[p.segment].first + p.at + i) : last;
            if (share > 0.0 && so_far > target)
                return last;
        }
    }
    return last;
}

/* ---- candidates ------------------------------------------------------------------------------------------------------------------------------ */

static bool before(const struct candidate *x, const struct candidate *y) { return x->logit != y->logit ? x->logit > y->logit : x->column < y->column; }

static void swap(struct candidate *x, struct candidate *y)
{
    struct candidate kept = *x;
    *x = *y;
    *y = kept;
}

/* Puts those of c[0..n) that stand before the one in the middle to the front, and it behind them; returns its place. */
static int64_t part_at_middle(struct candidate *c, int64_t n)
{
    int64_t m = 0;
    swap(&c[n / 2], &c[n - 1]);
    for (int64_t i = 0; i < n - 1; i++)
        if (before(&c[i], &c[n - 1]))
            swap(&c[i], &c[m++]);
    swap(&c[m], &c[n - 1]);
    return m;
}

static double sum_of(const struct candidate *c, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += c[i].p;
    return sum;
}

/* The fewest candidates, most probable first, whose number (or mass) reaches `need`: they come to stand at the front, the last of them behind the others. Returns how many. */
static int64_t select_first(struct candidate *c, int64_t n, bool by_mass, double need)
{
    int64_t low = 0, high = n;
    double passed = 0.0;
    while (low < high) {
        int64_t m = part_at_middle(c + low, high - low);
        double front = by_mass ? sum_of(c + low, m) : (double)m, own = by_mass ? c[low + m].p : 1.0;
        if (m > 0 && passed + front >= need) {
            high = low + m;
            continue;
        }
        passed += front + own;
        low += m + 1;
        if (passed >= need)
            break;
    }
    return low;
}

/* ---- which columns can be left --------------------------------------------------------------------------------------------------------------- */

/* Each of the k greatest block maxima is the logit of a column: so the k-th greatest logit is no smaller than the k-th of them. */
static double bound_of_count(struct sampling *s)
{
    if (s->rule->top_k == 0 || s->rule->top_k > s->n_blocks)
        return -INFINITY;
    for (int64_t b = 0; b < s->n_blocks; b++)
        s->work[b] = (struct candidate){1.0, s->block_max[b], (uint32_t)b};
    return (double)s->work[select_first(s->work, s->n_blocks, false, s->rule->top_k) - 1].logit;
}

/* Columns of less than p_least need not be looked at (a little is given away for rounding). */
static double bound_of_share(const struct sampling *s, double p_least) { return (double)s->max + (double)s->rule->temperature * log(0.99 * p_least); }

/* Logits below it are left by no filter. With top_k the share of top_p is of those top_k: all of them are wanted. */
static double bound_of(struct sampling *s)
{
    double bound = bound_of_count(s), by_share = -INFINITY;
    if (s->rule->top_p < 1.0f && s->rule->top_k == 0)       /* all columns below it have less than 1 - top_p together */
        by_share = bound_of_share(s, (1.0 - (double)s->rule->top_p) * s->mass / (double)s->n_columns);
    if (s->rule->min_p > 0.0f && (s->rule->top_p >= 1.0f || s->rule->top_k == 0))
        by_share = fmax(by_share, bound_of_share(s, (double)s->rule->min_p));
    return fmax(bound, by_share);
}

static void collect(struct sampling *s, double bound)
{
    s->n = 0;
    for (struct place p = {-1, -1, 0, 0}; next_block(s, &p);)
        for (int64_t i = 0; (double)s->block_max[p.block] >= bound && i < p.n; i++) {
            float logit = s->segment[p.segment].logit[p.at + i];
            if ((double)logit >= bound)
                s->all[s->n++] = (struct candidate){p_of(s, logit), logit, (uint32_t)(s->segment[p.segment].first + p.at + i)};
        }
}

static void add_allowed(struct sampling *s, int64_t column)
{
    int p = 0, at = (int)s->n;
    while (p < s->a->parts && column >= s->a->part_first[p + 1])
        p++;
    if (column == s->rule->banned || p == s->a->parts || column < s->a->part_first[0])
        return;
    for (; at > 0 && s->all[at - 1].column >= column; at--)
        if (s->all[at - 1].column == column)
            return;
    memmove(s->all + at + 1, s->all + at, (size_t)(s->n - at) * sizeof *s->all);
    s->all[at] = (struct candidate){0.0, part_of(s, p)[column - s->a->part_first[p]], (uint32_t)column};
    s->n++;
}

/* A short list of columns; returns its most probable one. */
static uint32_t collect_allowed(struct sampling *s)
{
    int64_t best = 0;
    s->n = 0;
    for (int32_t i = 0; i < s->rule->n_allowed; i++)
        add_allowed(s, (int64_t)s->a->allowed[s->rule->first_allowed + i]);
    ASSERT(s->n > 0);
    for (int64_t i = 1; i < s->n && !isnan(s->all[best].logit); i++)
        best = isnan(s->all[i].logit) || before(&s->all[i], &s->all[best]) ? i : best;
    s->max = s->all[best].logit;
    for (int64_t i = 0; i < s->n && s->rule->temperature > 0.0f; i++)
        s->all[i].p = p_of(s, s->all[i].logit);
    s->mass = sum_of(s->all, s->n);
    return s->all[best].column;
}

/* ---- with filters ---------------------------------------------------------------------------------------------------------------------------- */

/* The last candidate, by probability, that top_k and top_p leave; one that stands behind all where they leave all. */
static struct candidate last_left(struct sampling *s)
{
    const struct sample_rule *rule = s->rule;
    struct candidate last = {0.0, -INFINITY, UINT32_MAX};
    int64_t n = s->n;
    if (rule->top_k == 0 && rule->top_p >= 1.0f)
        return last;
    memcpy(s->work, s->all, (size_t)n * sizeof *s->all);
    if (rule->top_k > 0 && rule->top_k < n) {
        n = select_first(s->work, n, false, rule->top_k);
        last = s->work[n - 1];
    }
    if (rule->top_p < 1.0f) {
        double mass = rule->top_k > 0 ? sum_of(s->work, n) : s->mass;
        last = s->work[select_first(s->work, n, true, (double)rule->top_p * mass) - 1];
    }
    return last;
}

static bool is_left(const struct sampling *s, const struct candidate *c, const struct candidate *last) { return !before(last, c) && c->p >= (double)s->rule->min_p; }

static uint32_t draw_filtered(struct sampling *s)
{
    struct candidate last = last_left(s);
    double sum = 0.0, so_far = 0.0;
    uint32_t drawn = s->all[0].column;
    for (int64_t i = 0; i < s->n; i++)
        sum += is_left(s, &s->all[i], &last) ? s->all[i].p : 0.0;
    for (int64_t i = 0; i < s->n; i++) {
        if (!is_left(s, &s->all[i], &last))
            continue;
        drawn = s->all[i].column;
        so_far += s->all[i].p;
        if (so_far > (double)s->rule->uniform * sum)
            break;
    }
    return drawn;
}

static uint32_t sample_row(struct sampling *s)
{
    const struct sample_rule *rule = s->rule;
    bool filters = rule->top_k > 0 || rule->top_p < 1.0f || rule->min_p > 0.0f;
    if (rule->n_allowed > 0) {
        uint32_t best = collect_allowed(s);
        return !isfinite(s->max) ? SAMPLE_NONE : rule->temperature == 0.0f ? best : draw_filtered(s);
    }
    cut_segments(s);
    ASSERT(s->n_columns > 0);
    find_maxima(s);
    if (!isfinite(s->max))
        return SAMPLE_NONE;
    if (rule->temperature == 0.0f)
        return first_of_greatest(s);
    if (!filters || (rule->top_k == 0 && rule->top_p < 1.0f))
        find_sums(s);
    if (!filters)
        return draw_from_blocks(s);
    collect(s, bound_of(s));
    return s->n > 0 ? draw_filtered(s) : first_of_greatest(s);
}

/* ---- rows and threads ------------------------------------------------------------------------------------------------------------------------ */

struct sample_work { const struct vector_ops *ops; const struct sample_args *a; size_t n_bytes; unsigned char *scratch; };

/* The next n_bytes behind *used, on a cache line; no memory while only the sizes are asked for. */
static void *take(unsigned char *scratch, size_t *used, size_t n_bytes)
{
    void *taken = scratch ? scratch + *used : NULL;
    *used += (n_bytes + 63) / 64 * 64;
    return taken;
}

/* Lays the arrays of a row out at `scratch`; returns the bytes they take. */
static size_t lay_out(struct sampling *s, unsigned char *scratch)
{
    size_t used = 0, parts = (size_t)s->a->parts, columns = (size_t)s->a->part_first[parts], blocks = columns / SAMPLE_BLOCK + parts + 1, most = columns > blocks ? columns : blocks;
    s->segment = take(scratch, &used, (parts + 1) * sizeof *s->segment);
    s->block_max = take(scratch, &used, blocks * sizeof *s->block_max);
    s->block_sum = take(scratch, &used, blocks * sizeof *s->block_sum);
    s->all = take(scratch, &used, most * sizeof *s->all);
    s->work = take(scratch, &used, most * sizeof *s->work);
    return used;
}

static void run_row(void *context, int64_t row, int thread)
{
    const struct sample_work *w = context;
    struct sampling s = {.ops = w->ops, .a = w->a, .rule = &w->a->rule[row], .row = row};
    lay_out(&s, w->scratch + (size_t)thread * w->n_bytes);
    w->a->token[row] = sample_row(&s);
}

int cpu_sample(struct stream *stream, const struct sample_args *a)
{
    struct cpu *cpu = cpu_of(stream);
    struct sampling s = {.a = a};
    struct sample_work w = {.ops = cpu->vector, .a = a, .n_bytes = lay_out(&s, NULL)};
    TRY(cpu_keep(&cpu->sampling, w.n_bytes * (size_t)pool_threads(cpu->pool)));
    w.scratch = cpu->sampling.memory;
    pool_run(cpu->pool, run_row, &w, a->rows);
    return OK;
}
