/* rows: embedding, gather and scatter: a copy for each row, which the pool shares out. */
#include <string.h>

#include "kernels/cpu/cpu.h"

enum { PIECE_BYTES = 1 << 16 };

/* Copies row i of n_rows, n_bytes each. */
struct copies { const void *args; int64_t n_rows, piece; size_t n_bytes; void (*copy)(const void *args, int64_t i, size_t n_bytes); };

static void run_copies(void *context, int64_t task, int thread)
{
    (void)thread;
    const struct copies *c = context;
    for (int64_t i = task * c->piece; i < (task + 1) * c->piece && i < c->n_rows; i++)
        c->copy(c->args, i, c->n_bytes);
}

static int copy_rows(struct stream *stream, struct copies c)
{
    c.piece = c.n_bytes > 0 && c.n_bytes < PIECE_BYTES ? PIECE_BYTES / (int64_t)c.n_bytes : 1;
    pool_run(cpu_of(stream)->pool, run_copies, &c, (c.n_rows + c.piece - 1) / c.piece);
    return OK;
}

static void embed(const void *args, int64_t i, size_t n_bytes)
{
    const struct embedding_args *a = args;
    int64_t row = (int64_t)a->token[i] - a->vocab_first;
    if (row >= 0 && row < a->vocab_count)
        memcpy(dtype_at(a->y, a->dtype, i * a->cols), dtype_at_const(a->table, a->dtype, row * a->cols), n_bytes);
    else
        memset(dtype_at(a->y, a->dtype, i * a->cols), 0, n_bytes);
}

static void gather(const void *args, int64_t i, size_t n_bytes)
{
    const struct rows_args *a = args;
    if (a->index[i] >= 0)
        memcpy(dtype_at(a->y, a->dtype, i * a->cols), dtype_at_const(a->x, a->dtype, a->index[i] * a->cols), n_bytes);
    else
        memset(dtype_at(a->y, a->dtype, i * a->cols), 0, n_bytes);
}

static void scatter(const void *args, int64_t i, size_t n_bytes)
{
    const struct rows_args *a = args;
    if (a->index[i] >= 0)
        memcpy(dtype_at(a->y, a->dtype, a->index[i] * a->cols), dtype_at_const(a->x, a->dtype, i * a->cols), n_bytes);
}

static int cpu_embedding_forward(struct stream *s, const struct embedding_args *a)
{
    return copy_rows(s, (struct copies){.args = a, .n_rows = a->rows, .n_bytes = (size_t)a->cols * dtype_bytes(a->dtype), .copy = embed});
}

static int cpu_gather_rows(struct stream *s, const struct rows_args *a)
{
    return copy_rows(s, (struct copies){.args = a, .n_rows = a->n_index, .n_bytes = (size_t)a->cols * dtype_bytes(a->dtype), .copy = gather});
}

static int cpu_scatter_rows(struct stream *s, const struct rows_args *a)
{
    return copy_rows(s, (struct copies){.args = a, .n_rows = a->n_index, .n_bytes = (size_t)a->cols * dtype_bytes(a->dtype), .copy = scatter});
}

void cpu_rows_table(struct kernels *table)
{
    table->embedding_forward = cpu_embedding_forward;
    table->gather_rows = cpu_gather_rows;
    table->scatter_rows = cpu_scatter_rows;
}
