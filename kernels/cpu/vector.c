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

/* Tiles of all runs: task = (tile, kv head). */
struct attention_work {
    const struct vector_ops *ops;
    const struct attention_args *args;
    const int32_t *first_tile;  /* [n_runs + 1] */
    int n_runs;
    int pass;                   /* 0 forward, 1 dq, 2 dk and dv */
    int64_t scratch_floats;     /* of one thread, a multiple of a cache line */
    float *scratch;
};

static int run_of_tile(const struct attention_work *w, int64_t tile)
{
    int low = 0, high = w->n_runs;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (w->first_tile[middle] <= tile)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void run_tile(const struct attention_work *w, int64_t tile, int kv_head, float *scratch)
{
    const struct attention_args *a = w->args;
    int r = run_of_tile(w, tile);
    int64_t offset = (tile - w->first_tile[r]) * (w->pass == 2 ? TILE_K : TILE_Q);
    if (w->pass == 2) {
        const struct attention_key_run *run = &a->key_runs[r];
        int64_t left = run->k_count - offset;
        w->ops->attention_backward_k(a, run, kv_head, run->k_first + offset, left < TILE_K ? left : TILE_K, scratch);
        return;
    }
    const struct attention_run *run = &a->runs[r];
    int64_t left = run->q_count - offset, n = left < TILE_Q ? left : TILE_Q;
    if (w->pass == 0)
        w->ops->attention_forward(a, run, kv_head, run->q_first + offset, n, scratch);
    else
        w->ops->attention_backward_q(a, run, kv_head, run->q_first + offset, n, scratch);
}

/* Later tiles of a path see more keys: they go first, so that the threads end together. */
static void run_attention_task(void *context, int64_t task, int thread)
{
    const struct attention_work *w = context;
    int64_t n_tasks = (int64_t)w->first_tile[w->n_runs] * w->args->kv_heads, turned = n_tasks - 1 - task;
    run_tile(w, turned / w->args->kv_heads, (int)(turned % w->args->kv_heads), w->scratch + thread * w->scratch_floats);
}

/* Working memory of the pool's threads, kept from call to call. */
static int reserve_scratch(struct cpu *cpu, int64_t n_floats)
{
    if (n_floats <= cpu->scratch_floats)
        return OK;
    free(cpu->scratch);
    cpu->scratch_floats = 0;
    cpu->scratch = aligned_alloc(64, ((size_t)n_floats * sizeof(float) + 63) / 64 * 64);
    CHECK(cpu->scratch, "out of memory in attention");
    cpu->scratch_floats = n_floats;
    return OK;
}

static int run_attention(struct stream *stream, const struct attention_args *a, int pass)
{
    struct cpu *cpu = cpu_of(stream);
    struct attention_work w = {.ops = cpu->vector, .args = a, .pass = pass, .n_runs = pass == 2 ? a->n_key_runs : a->n_runs, .scratch_floats = (cpu->vector->attention_scratch(a) + 15) / 16 * 16};
    int32_t *first = malloc(((size_t)w.n_runs + 1) * sizeof *first), tiles = 0, tile = pass == 2 ? TILE_K : TILE_Q;
    CHECK(first, "out of memory in attention");
    int status = reserve_scratch(cpu, w.scratch_floats * pool_threads(cpu->pool));
    w.scratch = cpu->scratch;
    for (int r = 0; r < w.n_runs; r++) {
        first[r] = tiles;
        tiles += ((pass == 2 ? a->key_runs[r].k_count : a->runs[r].q_count) + tile - 1) / tile;
    }
    first[w.n_runs] = tiles;
    w.first_tile = first;
    if (status == OK)
        pool_run(cpu->pool, run_attention_task, &w, (int64_t)tiles * a->kv_heads);
    free(first);
    return status;
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
    return run_attention(stream, a, 0);
}

static int cpu_attention_backward(struct stream *stream, const struct attention_args *a)
{
    if (cpu_of(stream)->vector->attention_scratch(a) == 0)
        return ref_attention_backward(stream, a);
    zero(a->dq_THD, a->rows * a->heads * a->dim, a->dtype);
    zero(a->dk_SGD, a->key_rows * a->kv_heads * a->dim, a->dtype);
    zero(a->dv_SGD, a->key_rows * a->kv_heads * a->dim, a->dtype);
    TRY(run_attention(stream, a, 1));
    return run_attention(stream, a, 2);
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
