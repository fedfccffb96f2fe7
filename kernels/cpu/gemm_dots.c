/* gemm_dots: y = x w' by dot products (gemm_ops.h): what a product with few rows takes, whose weights oneDNN would repack in each call, and every product with weights as rows
 * where a row's bits must not depend on the number of rows. The pool gets strips of columns; weights are read once for each STRIP_ROWS rows. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector_ops.h"

/* Multiplications that are worth a task of their own; about as many tasks for a thread, so that threads end together; columns of the narrowest strip. */
enum { TASK_PRODUCTS = 1 << 15, TASKS_PER_THREAD = 8, LEAST_COLS = 16 };

struct dots { const struct vector_ops *ops; const struct gemm_args *args; int64_t width, n_strips, strips_per_task, tasks_per_block; size_t packed_bytes; unsigned char *packed; };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static void run_pack(void *context, int64_t block, int thread)
{
    (void)thread;
    const struct dots *d = context;
    d->ops->gemm_pack(d->args, block * STRIP_ROWS, least(d->args->m - block * STRIP_ROWS, STRIP_ROWS), d->packed + (size_t)block * d->packed_bytes);
}

/* Task: STRIP_ROWS rows, a range of strips. */
static void run_strips(void *context, int64_t task, int thread)
{
    (void)thread;
    const struct dots *d = context;
    const struct gemm_args *g = d->args;
    int64_t block = task / d->tasks_per_block, first = task % d->tasks_per_block * d->strips_per_task, m_first = block * STRIP_ROWS, m = least(g->m - m_first, STRIP_ROWS);
    for (int64_t s = first; s < least(first + d->strips_per_task, d->n_strips); s++) {
        int64_t n_first = s * d->width, n = least(g->n - n_first, d->width);
        if (d->packed)
            d->ops->gemm_tile_strip(g, d->packed + (size_t)block * d->packed_bytes, m_first, m, n_first, n);
        else
            d->ops->gemm_strip(g, m_first, m, n_first, n);
    }
}

/* Strips narrow enough that every thread has some, tasks large enough to be worth one. */
static void cut(struct dots *d, int64_t blocks, int n_threads)
{
    const struct gemm_args *g = d->args;
    for (d->width = STRIP_COLS; d->width > LEAST_COLS && blocks * divide_up(g->n, d->width) < (int64_t)n_threads * TASKS_PER_THREAD;)
        d->width /= 2;
    d->n_strips = divide_up(g->n, d->width);
    int64_t worth = divide_up(TASK_PRODUCTS, d->width * g->k * least(g->m, STRIP_ROWS)), even = divide_up(d->n_strips * blocks, (int64_t)n_threads * TASKS_PER_THREAD);
    d->strips_per_task = least(worth > even ? worth : even, d->n_strips);
    d->tasks_per_block = divide_up(d->n_strips, d->strips_per_task);
}

int cpu_gemm_dots(struct cpu *cpu, const struct gemm_args *g)
{
    struct dots d = {.ops = cpu->vector, .args = g};
    int64_t blocks = divide_up(g->m, STRIP_ROWS);
    if (g->dtype_ab == BF16 && d.ops->gemm_tile_strip) {
        d.packed_bytes = d.ops->gemm_packed_bytes(g);
        TRY(cpu_keep(&cpu->packed, d.packed_bytes * (size_t)blocks));
        d.packed = cpu->packed.memory;
        pool_run(cpu->pool, run_pack, &d, blocks);
    }
    cut(&d, blocks, pool_threads(cpu->pool));
    pool_run(cpu->pool, run_strips, &d, blocks * d.tasks_per_block);
    return OK;
}
