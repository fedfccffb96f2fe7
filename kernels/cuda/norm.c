/* norm: host side of norm.cu. How rows are cut into parts depends on the shape alone, never on the GPU: sums have the same order everywhere. */
#include "kernels/cuda/norm.h"

#include "kernels/cuda/cuda.h"

enum { MAX_BLOCKS = 8192, LEAST_ROWS = 16, MOST_PARTS = 512 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t parts_of(int64_t rows, int64_t each) { return (rows + each - 1) / each; }

static int64_t chunks(int64_t cols, enum dtype dtype)
{
    int64_t chunk = 16 / (int64_t)dtype_bytes(dtype);
    return (cols + chunk - 1) / chunk;
}

/* A warp where the row fits in one, else as many warps as take a chunk or two each. */
struct shape { bool per_warp; int n_threads; int64_t teams_of_block; };

static int shape_of(int64_t cols, enum dtype dtype, struct shape *out)
{
    int64_t n = chunks(cols, dtype), most = (int64_t)NORM_THREADS * NORM_CHUNKS;
    CHECK(n <= most, "a norm over %lld columns: the CUDA backend goes up to %lld", (long long)cols, (long long)(most * 16 / (int64_t)dtype_bytes(dtype)));
    bool per_warp = n <= 32;
    int64_t warps = (n + 2 * 32 - 1) / (2 * 32);
    *out = (struct shape){per_warp, (int)(per_warp ? WARP_NORM_THREADS : least(warps * 32, NORM_THREADS)), per_warp ? WARP_NORM_THREADS / 32 : 1};
    return OK;
}

#define NORM_BY_TYPES(name, a) ((a)->dtype == F32 ? &name##_f32 : (a)->dtype_x == F32 ? &name##_residual : &name##_bf16)

static int cuda_rmsnorm_forward(struct stream *stream, const struct rmsnorm_args *a)
{
    struct shape shape;
    if (a->rows == 0 || a->cols == 0)
        return OK;
    TRY(shape_of(a->cols, a->dtype, &shape));
    struct gpu_grid grid = {.x = cuda_blocks(a->rows, shape.teams_of_block, MAX_BLOCKS)};
    return gpu_launch(stream, shape.per_warp ? NORM_BY_TYPES(norm_forward_warp, a) : NORM_BY_TYPES(norm_forward_block, a), grid, shape.n_threads, 0, a);
}

static int add_parts(struct stream *stream, const float *partial, float *sum, int64_t n_parts, int64_t cols)
{
    struct sum_parts_args args = {.partial = partial, .sum = sum, .n_parts = n_parts, .cols = cols};
    return gpu_launch(stream, &sum_parts, (struct gpu_grid){.x = cuda_blocks(cols, SUM_THREADS, INT32_MAX)}, SUM_THREADS, 0, &args);
}

/* Rows of a part: at least LEAST_ROWS, and no more than MOST_PARTS parts. */
static int64_t rows_of_part(int64_t rows)
{
    int64_t each = parts_of(rows, MOST_PARTS);
    return each < LEAST_ROWS ? LEAST_ROWS : each;
}

static int take_parts(struct stream *stream, int64_t n_parts, int64_t cols, float **out)
{
    void *memory = NULL;
    TRY(cuda_scratch(stream, (size_t)(n_parts * cols) * sizeof(float), &memory));
    *out = memory;
    return OK;
}

static int cuda_rmsnorm_backward(struct stream *stream, const struct rmsnorm_args *a)
{
    struct shape shape;
    struct norm_backward_args args = {.a = *a, .rows_of_part = rows_of_part(a->rows)};
    int64_t n_parts = parts_of(a->rows, args.rows_of_part);
    if (a->rows == 0 || a->cols == 0)
        return OK;
    TRY(shape_of(a->cols, a->dtype, &shape));
    TRY(take_parts(stream, n_parts, a->cols, &args.partial));
    struct gpu_grid grid = {.x = cuda_blocks(n_parts, shape.teams_of_block, INT32_MAX)};
    TRY(gpu_launch(stream, shape.per_warp ? NORM_BY_TYPES(norm_backward_warp, a) : NORM_BY_TYPES(norm_backward_block, a), grid, shape.n_threads, 0, &args));
    return add_parts(stream, args.partial, a->dweight, n_parts, a->cols);
}

static int cuda_bias_backward(struct stream *stream, const struct bias_args *a)
{
    struct sum_rows_args args = {.x = a->dy, .rows = a->rows, .cols = a->cols, .rows_of_part = rows_of_part(a->rows)};
    int64_t n_parts = parts_of(a->rows, args.rows_of_part);
    if (a->rows == 0 || a->cols == 0)
        return OK;
    TRY(take_parts(stream, n_parts, a->cols, &args.partial));
    struct gpu_grid grid = {.x = cuda_blocks(chunks(a->cols, a->dtype), SUM_THREADS, INT32_MAX), .y = (unsigned)n_parts};
    TRY(gpu_launch(stream, GPU_BY_DTYPE(sum_rows, a->dtype), grid, SUM_THREADS, 0, &args));
    return add_parts(stream, args.partial, a->dbias, n_parts, a->cols);
}

void cuda_norm_table(struct kernels *table)
{
    table->rmsnorm_forward = cuda_rmsnorm_forward;
    table->rmsnorm_backward = cuda_rmsnorm_backward;
    table->bias_backward = cuda_bias_backward;
}
