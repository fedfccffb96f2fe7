/* loss: host side of loss.cu. */
#include "kernels/cuda/loss.h"

#include "kernels/cuda/cuda.h"

/* Threads for a row of `chunks` steps: whole warps, as many as have one. */
static int threads_of(int64_t chunks, int most)
{
    int64_t n = (chunks + 31) / 32 * 32;
    return (int)(n < 32 ? 32 : n > most ? most : n);
}

static int launch_row(struct stream *stream, const struct gpu_kernel *kernel, const struct cross_entropy_args *a, int64_t chunk)
{
    if (a->rows == 0)
        return OK;
    return gpu_launch(stream, kernel, (struct gpu_grid){.x = (unsigned)a->rows}, threads_of((a->cols + chunk - 1) / chunk, LOSS_THREADS), 0, a);
}

static int cuda_cross_entropy_max(struct stream *stream, const struct cross_entropy_args *a) { return launch_row(stream, &entropy_max, a, 4); }
static int cuda_cross_entropy_sum(struct stream *stream, const struct cross_entropy_args *a) { return launch_row(stream, &entropy_sum, a, 4); }

static int cuda_cross_entropy_loss(struct stream *stream, const struct cross_entropy_args *a)
{
    if (a->rows == 0)
        return OK;
    return gpu_launch(stream, &entropy_loss, (struct gpu_grid){.x = 1}, threads_of(a->rows, LOSS_THREADS), 0, a);
}

static int cuda_cross_entropy_backward(struct stream *stream, const struct cross_entropy_args *a)
{
    return launch_row(stream, GPU_BY_DTYPE(entropy_backward, a->dtype), a, 16 / (int64_t)dtype_bytes(a->dtype));
}

static int cuda_reward_forward(struct stream *stream, const struct reward_args *a)
{
    if (a->rows == 0)
        return OK;
    return gpu_launch(stream, GPU_BY_DTYPE(reward_forward, a->dtype), (struct gpu_grid){.x = (unsigned)a->rows}, REWARD_THREADS, 0, a);
}

static int cuda_reward_backward(struct stream *stream, const struct reward_args *a)
{
    if (a->rows == 0 || a->cols == 0)
        return OK;
    int64_t chunk = 16 / (int64_t)dtype_bytes(a->dtype);
    return gpu_launch(stream, GPU_BY_DTYPE(reward_backward, a->dtype), (struct gpu_grid){.x = cuda_blocks(a->cols, REWARD_THREADS * chunk, INT32_MAX)}, REWARD_THREADS, 0, a);
}

static int cuda_bradley_terry(struct stream *stream, const struct bradley_terry_args *a)
{
    if (a->n_comparisons == 0)
        return OK;
    return gpu_launch(stream, &bradley_terry, (struct gpu_grid){.x = 1}, threads_of(a->n_comparisons, PAIR_THREADS), 0, a);
}

/* The cut into parts depends on n_elems alone. */
static int cuda_norm_squared(struct stream *stream, const struct norm_args *a)
{
    enum { LEAST = 16 * 1024, MOST_PARTS = 1024 };
    int64_t each = (a->n_elems + MOST_PARTS - 1) / MOST_PARTS;
    struct squares_args args = {.x = a->x, .n_elems = a->n_elems, .each = each < LEAST ? LEAST : (each + 3) / 4 * 4};
    int64_t n_parts = (a->n_elems + args.each - 1) / args.each;
    void *partial = NULL;
    if (a->n_elems == 0)
        return OK;
    TRY(cuda_scratch(stream, (size_t)n_parts * sizeof(double), &partial));
    args.partial = partial;
    struct add_up_args add = {.partial = partial, .sum = a->sum, .n = n_parts};
    TRY(gpu_launch(stream, &squares, (struct gpu_grid){.x = (unsigned)n_parts}, NORM_SQUARED_THREADS, 0, &args));
    return gpu_launch(stream, &add_up, (struct gpu_grid){.x = 1}, NORM_SQUARED_THREADS, 0, &add);
}

void cuda_loss_table(struct kernels *table)
{
    table->cross_entropy_max = cuda_cross_entropy_max;
    table->cross_entropy_sum = cuda_cross_entropy_sum;
    table->cross_entropy_loss = cuda_cross_entropy_loss;
    table->cross_entropy_backward = cuda_cross_entropy_backward;
    table->reward_forward = cuda_reward_forward;
    table->reward_backward = cuda_reward_backward;
    table->bradley_terry = cuda_bradley_terry;
    table->norm_squared = cuda_norm_squared;
}
