/* elementwise: host side of elementwise.cu. */
#include "kernels/cuda/elementwise.h"

#include <math.h>

#include "kernels/cuda/cuda.h"

/* More blocks than any GPU runs at once; a thread goes on where there is more. */
enum { MAX_BLOCKS = 8192 };

static int64_t chunk_elems(enum dtype dtype) { return 16 / (int64_t)dtype_bytes(dtype); }

/* A thread for each of n chunks. */
static int launch_chunks(struct stream *stream, const struct gpu_kernel *kernel, int64_t n, const void *args)
{
    if (n == 0)
        return OK;
    return gpu_launch(stream, kernel, (struct gpu_grid){.x = cuda_blocks(n, ELEMENTWISE_THREADS, MAX_BLOCKS)}, ELEMENTWISE_THREADS, 0, args);
}

static int64_t chunks(int64_t n_elems, enum dtype dtype) { return (n_elems + chunk_elems(dtype) - 1) / chunk_elems(dtype); }

static int cuda_bias_forward(struct stream *stream, const struct bias_args *a)
{
    return launch_chunks(stream, GPU_BY_DTYPE(bias_forward, a->dtype), a->rows * chunks(a->cols, a->dtype), a);
}

static int cuda_rope(struct stream *stream, const struct rope_args *a)
{
    return launch_chunks(stream, GPU_BY_DTYPE(rope, a->dtype), a->rows * a->heads * chunks(a->dim / 2, a->dtype), a);
}

static int cuda_swiglu_forward(struct stream *stream, const struct swiglu_args *a)
{
    return launch_chunks(stream, GPU_BY_DTYPE(swiglu_forward, a->dtype), chunks(a->n_elems, a->dtype), a);
}

static int cuda_swiglu_backward(struct stream *stream, const struct swiglu_args *a)
{
    return launch_chunks(stream, GPU_BY_DTYPE(swiglu_backward, a->dtype), chunks(a->n_elems, a->dtype), a);
}

static int cuda_add(struct stream *stream, const struct map_args *a)
{
    return launch_chunks(stream, GPU_BY_DTYPE(add, a->dtype), chunks(a->n_elems, a->dtype), a);
}

static int cuda_add_parts(struct stream *stream, const struct parts_args *a)
{
    return launch_chunks(stream, GPU_BY_DTYPE(add_parts, a->dtype), chunks(a->n_elems, a->dtype), a);
}

static int cuda_cast(struct stream *stream, const struct map_args *a)
{
    if (a->dtype == a->dtype_y)
        return cuda_copy(stream, a->y, a->x, (size_t)a->n_elems * dtype_bytes(a->dtype), DEVICE_TO_DEVICE);
    return launch_chunks(stream, a->dtype == F32 ? &narrow : &widen, chunks(a->n_elems, BF16), a);
}

static int cuda_adamw(struct stream *stream, const struct adamw_args *a)
{
    struct adamw_step step = {.a = *a, .correct1 = (float)(1.0 - pow((double)a->beta1, (double)a->step)), .correct2 = (float)(1.0 - pow((double)a->beta2, (double)a->step))};
    return launch_chunks(stream, GPU_BY_DTYPE(adamw, a->dtype), chunks(a->n_elems, a->dtype), &step);
}

void cuda_elementwise_table(struct kernels *table)
{
    table->bias_forward = cuda_bias_forward;
    table->rope = cuda_rope;
    table->swiglu_forward = cuda_swiglu_forward;
    table->swiglu_backward = cuda_swiglu_backward;
    table->add = cuda_add;
    table->add_parts = cuda_add_parts;
    table->cast = cuda_cast;
    table->adamw = cuda_adamw;
}
