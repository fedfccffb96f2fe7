/* vector: the pool cuts rows and elements into fixed pieces and gives them to the vector operations of the chosen instruction set. Sums over pieces are added in the
 * order of the pieces, whatever the number of threads. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector_ops.h"
#include "kernels/ref/ref.h"

enum { PIECE_ELEMS = 1 << 15, SUM_ROWS = 64 };

/* A piece of [0, total): function `run` does elements or rows [task * piece, ...). */
struct cut { const struct vector_ops *ops; const void *args; int64_t total, piece; void (*run)(const struct cut *, int64_t first, int64_t n, int64_t task); float *sums; double *squares; };

static void run_piece(void *context, int64_t task, int thread)
{
    (void)thread;
    const struct cut *c = context;
    int64_t first = task * c->piece, n = c->total - first < c->piece ? c->total - first : c->piece;
    c->run(c, first, n, task);
}

static int64_t pieces(const struct cut *c) { return (c->total + c->piece - 1) / c->piece; }

static int run_cut(struct stream *stream, struct cut *c)
{
    struct cpu *cpu = cpu_of(stream);
    c->ops = cpu->vector;
    pool_run(cpu->pool, run_piece, c, pieces(c));
    return OK;
}

static int64_t rows_per_piece(int64_t cols) { return cols > PIECE_ELEMS ? 1 : PIECE_ELEMS / (cols > 0 ? cols : 1); }

static void run_norm_forward(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->rmsnorm_forward(c->args, first, n); }
static void run_norm_backward(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->rmsnorm_backward(c->args, first, n); }
static void run_rope(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->rope(c->args, first, n); }
static void run_swiglu_forward(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->swiglu_forward(c->args, first, n); }
static void run_swiglu_backward(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->swiglu_backward(c->args, first, n); }
static void run_add(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->add(c->args, first, n); }
static void run_cast(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->cast(c->args, first, n); }
static void run_max(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->cross_entropy_max(c->args, first, n); }
static void run_sum(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->cross_entropy_sum(c->args, first, n); }
static void run_ce_backward(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->cross_entropy_backward(c->args, first, n); }
static void run_adamw(const struct cut *c, int64_t first, int64_t n, int64_t task) { (void)task; c->ops->adamw(c->args, first, n); }

static int by_rows(struct stream *stream, const void *args, int64_t rows, int64_t cols, void (*run)(const struct cut *, int64_t, int64_t, int64_t))
{
    struct cut cut = {.args = args, .total = rows, .piece = rows_per_piece(cols), .run = run};
    return run_cut(stream, &cut);
}

static int by_elems(struct stream *stream, const void *args, int64_t n, void (*run)(const struct cut *, int64_t, int64_t, int64_t))
{
    struct cut cut = {.args = args, .total = n, .piece = PIECE_ELEMS, .run = run};
    return run_cut(stream, &cut);
}

static int cpu_rmsnorm_forward(struct stream *s, const struct rmsnorm_args *a) { return by_rows(s, a, a->rows, a->cols, run_norm_forward); }
static int cpu_rope(struct stream *s, const struct rope_args *a) { return by_rows(s, a, a->rows, (int64_t)a->heads * a->dim, run_rope); }
static int cpu_swiglu_forward(struct stream *s, const struct swiglu_args *a) { return by_elems(s, a, a->n_elems, run_swiglu_forward); }
static int cpu_swiglu_backward(struct stream *s, const struct swiglu_args *a) { return by_elems(s, a, a->n_elems, run_swiglu_backward); }
static int cpu_add(struct stream *s, const struct map_args *a) { return by_elems(s, a, a->n_elems, run_add); }
static int cpu_cast(struct stream *s, const struct map_args *a) { return by_elems(s, a, a->n_elems, run_cast); }
static int cpu_cross_entropy_max(struct stream *s, const struct cross_entropy_args *a) { return by_rows(s, a, a->rows, a->cols, run_max); }
static int cpu_cross_entropy_sum(struct stream *s, const struct cross_entropy_args *a) { return by_rows(s, a, a->rows, a->cols, run_sum); }
static int cpu_cross_entropy_backward(struct stream *s, const struct cross_entropy_args *a) { return by_rows(s, a, a->rows, a->cols, run_ce_backward); }
static int cpu_adamw(struct stream *s, const struct adamw_args *a) { return by_elems(s, a, a->n_elems, run_adamw); }

/* ---- sums ------------------------------------------------------------------------------------------------------------------------------------ */

static void run_dweight(const struct cut *c, int64_t first, int64_t n, int64_t task)
{
    const struct rmsnorm_args *a = c->args;
    c->ops->rmsnorm_dweight(a, first, n, c->sums + task * a->cols);
}

static int cpu_rmsnorm_backward(struct stream *s, const struct rmsnorm_args *a)
{
    struct cut cut = {.args = a, .total = a->rows, .piece = SUM_ROWS, .run = run_dweight};
    cut.sums = calloc((size_t)(pieces(&cut) * a->cols) + 1, sizeof *cut.sums);
    CHECK(cut.sums, "out of memory in a norm's backward");
    int status = run_cut(s, &cut);
    for (int64_t c = 0; c < a->cols; c++) {
        double sum = 0.0;
        for (int64_t p = 0; p < pieces(&cut); p++)
            sum += (double)cut.sums[p * a->cols + c];
        a->dweight[c] += (float)sum;
    }
    free(cut.sums);
    TRY(status);
    return by_rows(s, a, a->rows, a->cols, run_norm_backward);      /* last: dx may overwrite dy */
}

static void run_squares(const struct cut *c, int64_t first, int64_t n, int64_t task)
{
    const struct norm_args *a = c->args;
    c->squares[task] = c->ops->norm_squared(a->x + first, n);
}

static int cpu_norm_squared(struct stream *s, const struct norm_args *a)
{
    struct cut cut = {.args = a, .total = a->n_elems, .piece = PIECE_ELEMS, .run = run_squares};
    cut.squares = calloc((size_t)pieces(&cut) + 1, sizeof *cut.squares);
    CHECK(cut.squares, "out of memory in a norm");
    int status = run_cut(s, &cut);
    for (int64_t p = 0; p < pieces(&cut); p++)
        *a->sum += cut.squares[p];
    free(cut.squares);
    return status;
}

/* ---- attention ------------------------------------------------------------------------------------------------------------------------------- */

enum attention_pass { ATTENTION_FORWARD, ATTENTION_BACKWARD_Q, ATTENTION_BACKWARD_K };

/* Task = (part, kv head). */
struct attention_work {
    const struct vector_ops *ops;
    const struct attention_args *args;
    enum attention_pass pass;
    const struct attention_part *part;
    int n_parts;
    int64_t scratch_floats;     /* of one thread, a multiple of a cache line */
    float *scratch;
};

/* Later parts of a path see more keys: they go first, so that the threads end together. */
static void run_attention_task(void *context, int64_t task, int thread)
{
    const struct attention_work *w = context;
    int64_t turned = (int64_t)w->n_parts * w->args->kv_heads - 1 - task;
    const struct attention_part *part = &w->part[turned / w->args->kv_heads];
    int kv_head = (int)(turned % w->args->kv_heads);
    float *scratch = w->scratch + thread * w->scratch_floats;
    if (w->pass == ATTENTION_FORWARD)
        w->ops->attention_forward(w->args, part, kv_head, scratch);
    else if (w->pass == ATTENTION_BACKWARD_Q)
        w->ops->attention_backward_q(w->args, part, kv_head, scratch);
    else
        w->ops->attention_backward_k(w->args, part, kv_head, scratch);
}

/* Ranges that two runs have in common at their beginning; their last ones are their own. */
static int32_t common_ranges(const struct attention_args *a, const struct attention_run *x, const struct attention_run *y)
{
    int32_t most = (x->range_count < y->range_count ? x->range_count : y->range_count) - 1, n = 0;
    const struct attention_range *p = &a->ranges[x->range_first], *q = &a->ranges[y->range_first];
    while (n < most && p[n].first == q[n].first && p[n].count == q[n].count)
        n++;
    return n;
}

/* How many runs of one query, from r on, share ranges; as soon as one shares fewer than those before it, it begins its own. */
static int32_t sharing_runs(const struct attention_args *a, int32_t r, int32_t *shared)
{
    int32_t n = 1;
    *shared = 0;
    for (const struct attention_run *run = &a->runs[r]; run->q_count == 1 && r + n < a->n_runs && run[n].q_count == 1 && run[n].q_first == run->q_first + n; n++) {
        int32_t common = common_ranges(a, run, run + n);
        if (common == 0 || (n > 1 && common < *shared))
            break;
        *shared = n == 1 ? common : *shared;
    }
    return n;
}

/* Decoding: runs of one query that share ranges, in pieces of at most `most`, as even as they can be. Returns the number of runs taken. */
static int32_t add_sharing(const struct attention_args *a, int32_t r, int32_t most, struct attention_part *part, int *n_parts)
{
    int32_t shared, n = sharing_runs(a, r, &shared), pieces = (n + most - 1) / most;
    for (int32_t i = 0; i < pieces; i++) {
        int32_t from = n * i / pieces, to = n * (i + 1) / pieces;
        part[(*n_parts)++] = (struct attention_part){r + from, to - from, shared, a->runs[r].q_first + from, to - from};
    }
    return n;
}

static void add_pieces(int32_t run, int32_t first, int32_t count, int32_t most, struct attention_part *part, int *n_parts)
{
    for (int32_t at = 0; at < count; at += most)
        part[(*n_parts)++] = (struct attention_part){run, 1, 0, first + at, count - at < most ? count - at : most};
}

/* Parts of a pass, few enough in each that all of n_threads have work. */
static int list_parts(const struct attention_args *a, enum attention_pass pass, int n_threads, struct attention_part *part)
{
    int n_parts = 0, n_runs = pass == ATTENTION_BACKWARD_K ? a->n_key_runs : a->n_runs;
    int64_t even = (int64_t)a->n_runs * a->kv_heads / (2 * n_threads), most = n_threads == 1 || even > TILE_Q ? TILE_Q : even < 1 ? 1 : even;
    for (int32_t r = 0; r < n_runs;)
        if (pass == ATTENTION_FORWARD && a->runs[r].q_count == 1)
            r += add_sharing(a, r, (int32_t)most, part, &n_parts);
        else if (pass == ATTENTION_BACKWARD_K)
            add_pieces(r, a->key_runs[r].k_first, a->key_runs[r].k_count, TILE_K, part, &n_parts), r++;
        else
            add_pieces(r, a->runs[r].q_first, a->runs[r].q_count, TILE_Q, part, &n_parts), r++;
    return n_parts;
}

/* Memory kept from call to call. */
static int reserve(struct kept *kept, size_t n_bytes)
{
    if (n_bytes <= kept->n_bytes)
        return OK;
    free(kept->memory);
    kept->n_bytes = 0;
    kept->memory = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    CHECK(kept->memory, "out of memory in attention");
    kept->n_bytes = n_bytes;
    return OK;
}

static int run_attention(struct stream *stream, const struct attention_args *a, enum attention_pass pass)
{
    struct cpu *cpu = cpu_of(stream);
    int n_threads = pool_threads(cpu->pool);
    struct attention_work w = {.ops = cpu->vector, .args = a, .pass = pass, .scratch_floats = (cpu->vector->attention_scratch(a) + 15) / 16 * 16};
    size_t most_parts = (size_t)(a->n_runs + a->n_key_runs + a->rows / TILE_Q + a->key_rows / TILE_K);
    TRY(reserve(&cpu->scratch, (size_t)(w.scratch_floats * n_threads) * sizeof(float)));
    TRY(reserve(&cpu->parts, most_parts * sizeof *w.part));
    w.scratch = cpu->scratch.memory;
    w.n_parts = list_parts(a, pass, n_threads, cpu->parts.memory);
    w.part = cpu->parts.memory;
    pool_run(cpu->pool, run_attention_task, &w, (int64_t)w.n_parts * a->kv_heads);
    return OK;
}

static void zero(void *x, int64_t n_elems, enum dtype dtype)
{
    if (n_elems > 0)
        memset(x, 0, (size_t)n_elems * dtype_bytes(dtype));
}

static int cpu_attention_forward(struct stream *stream, const struct attention_args *a)
{
    if (cpu_of(stream)->vector->attention_scratch(a) == 0)
        return ref_attention_forward(stream, a);
    zero(a->o_THD, a->rows * a->heads * a->dim, a->dtype);
    return run_attention(stream, a, ATTENTION_FORWARD);
}

static int cpu_attention_backward(struct stream *stream, const struct attention_args *a)
{
    if (cpu_of(stream)->vector->attention_scratch(a) == 0)
        return ref_attention_backward(stream, a);
    zero(a->dq_THD, a->rows * a->heads * a->dim, a->dtype);
    zero(a->dk_SGD, a->key_rows * a->kv_heads * a->dim, a->dtype);
    zero(a->dv_SGD, a->key_rows * a->kv_heads * a->dim, a->dtype);
    TRY(run_attention(stream, a, ATTENTION_BACKWARD_Q));
    return run_attention(stream, a, ATTENTION_BACKWARD_K);
}

void cpu_vector_table(struct cpu *cpu, struct kernels *table)
{
    const struct vector_ops *avx512 = __builtin_cpu_supports("avx512bf16") ? &vector_ops_avx512_bf16 : &vector_ops_avx512;
    cpu->vector = cpu->isa == CPU_AVX512 ? avx512 : cpu->isa == CPU_AVX2 ? &vector_ops_avx2 : &vector_ops_scalar;
    table->rmsnorm_forward = cpu_rmsnorm_forward;
    table->rmsnorm_backward = cpu_rmsnorm_backward;
    table->rope = cpu_rope;
    table->swiglu_forward = cpu_swiglu_forward;
    table->swiglu_backward = cpu_swiglu_backward;
    table->add = cpu_add;
    table->cast = cpu_cast;
    table->cross_entropy_max = cpu_cross_entropy_max;
    table->cross_entropy_sum = cpu_cross_entropy_sum;
    table->cross_entropy_backward = cpu_cross_entropy_backward;
    table->adamw = cpu_adamw;
    table->norm_squared = cpu_norm_squared;
    table->attention_forward = cpu_attention_forward;
    table->attention_backward = cpu_attention_backward;
}
