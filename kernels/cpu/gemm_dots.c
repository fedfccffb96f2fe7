/* gemm_dots: y = x w' by dot products (gemm_ops.h): what a product with few rows takes, whose weights oneDNN would repack in each call, and every product with weights as rows
 * where a row's bits must not depend on the number of rows. The pool gets strips of columns; weights are read once for each STRIP_ROWS rows. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vector_ops.h"

/* Multiplications that are worth a task of their own; about as many tasks for a thread, so that threads end together; columns of the narrowest strip. */
enum { TASK_PRODUCTS = 1 << 15, TASKS_PER_THREAD = 8, LEAST_COLS = 16 };

struct dots { const struct vector_ops *ops; const struct gemm_args *args; int64_t width, n_strips, strips_per_task, tasks_per_block; };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Task: STRIP_ROWS rows, a range of strips. */
static void run_strips(void *context, int64_t task, int thread)
{
    (void)thread;
    const struct dots *d = context;
    const struct gemm_args *g = d->args;
    int64_t m_first = task / d->tasks_per_block * STRIP_ROWS, first = task % d->tasks_per_block * d->strips_per_task;
    for (int64_t s = first; s < least(first + d->strips_per_task, d->n_strips); s++)
        d->ops->gemm_strip(g, m_first, least(g->m - m_first, STRIP_ROWS), s * d->width, least(g->n - s * d->width, d->width));
}

void cpu_gemm_dots(struct cpu *cpu, const struct gemm_args *g)
{
    struct dots d = {.ops = cpu->vector, .args = g, .width = STRIP_COLS};
    int64_t blocks = divide_up(g->m, STRIP_ROWS);
    while (d.width > LEAST_COLS && blocks * divide_up(g->n, d.width) < (int64_t)pool_threads(cpu->pool) * TASKS_PER_THREAD)
        d.width /= 2;
    d.n_strips = divide_up(g->n, d.width);
    int64_t worth = divide_up(TASK_PRODUCTS, d.width * g->k * least(g->m, STRIP_ROWS));
    int64_t even = divide_up(d.n_strips * blocks, (int64_t)pool_threads(cpu->pool) * TASKS_PER_THREAD);
    d.strips_per_task = least(worth > even ? worth : even, d.n_strips);
    d.tasks_per_block = divide_up(d.n_strips, d.strips_per_task);
    pool_run(cpu->pool, run_strips, &d, blocks * d.tasks_per_block);
}
