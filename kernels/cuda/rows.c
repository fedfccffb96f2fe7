/* rows: host side of rows.cu. */
#include "kernels/cuda/rows.h"

#include "kernels/cuda/cuda.h"

enum { MAX_BLOCKS = 8192 };

static int launch_rows(struct stream *stream, const struct gpu_kernel *kernel, int64_t rows, int64_t cols, enum dtype dtype, const void *args)
{
    int64_t chunk = 16 / (int64_t)dtype_bytes(dtype), n = rows * ((cols + chunk - 1) / chunk);
    if (n == 0)
        return OK;
    return gpu_launch(stream, kernel, (struct gpu_grid){.x = cuda_blocks(n, ROWS_THREADS, MAX_BLOCKS)}, ROWS_THREADS, 0, args);
}

static int cuda_embedding_forward(struct stream *stream, const struct embedding_args *a)
{
    return launch_rows(stream, GPU_BY_DTYPE(embedding_forward, a->dtype), a->rows, a->cols, a->dtype, a);
}

/* Rows in the order of their tokens, in scratch. */
static int order_tokens(struct stream *stream, const struct embedding_args *a, const struct token_place **out)
{
    void *memory = NULL;
    TRY(cuda_scratch(stream, 2 * (size_t)a->rows * sizeof **out, &memory));
    struct token_order_args args = {a->rows, a->token, a->vocab_first, a->vocab_count, 1, {memory, (struct token_place *)memory + a->rows}};
    while (a->vocab_count >> (ORDER_BITS * args.n_passes) > 0)
        args.n_passes++;
    *out = args.place[(args.n_passes - 1) % 2];
    return gpu_launch(stream, &token_order, (struct gpu_grid){.x = 1}, ORDER_THREADS, 0, &args);
}

static int cuda_embedding_backward(struct stream *stream, const struct embedding_args *a)
{
    struct embedding_backward_args args = {*a, NULL};
    if (a->rows == 0 || a->cols == 0)
        return OK;
    TRY(order_tokens(stream, a, &args.place));
    return gpu_launch(stream, GPU_BY_DTYPE(embedding_backward, a->dtype), (struct gpu_grid){.x = (unsigned)a->rows}, ROWS_THREADS, 0, &args);
}

static int cuda_gather_rows(struct stream *stream, const struct rows_args *a)
{
    return launch_rows(stream, GPU_BY_DTYPE(gather_rows, a->dtype), a->n_index, a->cols, a->dtype, a);
}

static int cuda_scatter_add_rows(struct stream *stream, const struct rows_args *a)
{
    return launch_rows(stream, GPU_BY_DTYPE(scatter_add_rows, a->dtype), a->n_index, a->cols, a->dtype, a);
}

static int cuda_scatter_rows(struct stream *stream, const struct rows_args *a)
{
    return launch_rows(stream, GPU_BY_DTYPE(scatter_rows, a->dtype), a->n_index, a->cols, a->dtype, a);
}

void cuda_rows_table(struct kernels *table)
{
    table->embedding_forward = cuda_embedding_forward;
    table->embedding_backward = cuda_embedding_backward;
    table->gather_rows = cuda_gather_rows;
    table->scatter_add_rows = cuda_scatter_add_rows;
    table->scatter_rows = cuda_scatter_rows;
}
