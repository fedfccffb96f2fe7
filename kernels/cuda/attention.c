/* attention: host side of forest attention. The plan (runs, ranges, and which block takes what) is on the device once for all layers (attention_plan_cuda.h); nothing waits for the GPU.
 * Which kernel works depends on the device, type, head size, alignment and heads of a group alone, and on whether the keys are a cache's, never on the plan: so a row is the same bits in every
 * batch. (What attention_paged.c does with short and with long runs is the same arithmetic.) */
#include "kernels/cuda/attention.h"

#include "kernels/cuda/attention_paged_cuda.h"
#include "kernels/cuda/attention_plan_cuda.h"
#include "kernels/cuda/attention_sm90.h"
#include "kernels/cuda/cuda.h"

/* One kernel over its tiles: which, how a block of it is made and how many rows or keys it takes, what it gets; or Hopper's kernel (attention_sm90.h) instead. */
struct work { const struct gpu_kernel *kernel; int n_threads; size_t shared_bytes; int64_t each, n_tiles; struct attention_launch launch; struct sm90_block sm90; };

static int place_work(struct stream *stream, const struct attention_args *a, enum attention_side side, struct work *w)
{
    struct attention_tiles tiles;
    TRY(cuda_attention_plan_place(stream, a, side, &w->launch.a));
    TRY(cuda_attention_plan_tiles(stream, a, side, w->each, &tiles));
    w->n_tiles = tiles.n;
    w->launch.tile = tiles.tile;
    return OK;
}

/* ---- launches --------------------------------------------------------------------------------------------------------------------------------- */

static bool on_16(const void *p) { return (uintptr_t)p % 16 == 0; }

/* Rows are read and written 16 bytes at a time; what an operation does not have is NULL. */
static bool on_tensor_cores(const struct attention_args *a)
{
    const void *operands[] = {a->q_THD, a->k_SGD, a->v_SGD, a->o_THD, a->do_THD, a->dq_THD, a->dk_SGD, a->dv_SGD};
    bool aligned = true;
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
        aligned = aligned && on_16(operands[i]);
    return aligned && a->dtype == BF16 && (a->dim == 64 || a->dim == 128);
}

static int check(const struct attention_args *a)
{
    CHECK(a->dim <= ATTENTION_MAX_DIM, "heads of size %d: attention of the CUDA backend goes up to %d", a->dim, ATTENTION_MAX_DIM);
    int group = a->heads / a->kv_heads;
    CHECK(a->rows * group <= INT32_MAX, "%lld rows of %d query heads for each key/value head: more than attention counts to", (long long)a->rows, group);
    return OK;
}

static int launch_work(struct stream *stream, const struct work *w)
{
    if (w->n_tiles == 0)
        return OK;
    if (w->sm90.kernel)
        return attention_sm90_launch(stream, &w->sm90, w->n_tiles, &w->launch);
    return gpu_launch(stream, w->kernel, (struct gpu_grid){.x = (unsigned)w->n_tiles, .y = (unsigned)w->launch.a.kv_heads}, w->n_threads, w->shared_bytes, &w->launch);
}

/* Clears rows of `width` elements unless as many as there are are about to be written; always in a recording, which serves other plans. */
static int clear_unless(struct stream *stream, int64_t n_written, int64_t n_rows, void *x, int64_t width, enum dtype dtype)
{
    return n_written == n_rows && !cuda_of(stream->device)->recording ? OK : cuda_zero(stream, x, (size_t)(n_rows * width) * dtype_bytes(dtype));
}

static int64_t n_queries(const struct attention_args *a)
{
    int64_t n = 0;
    for (int r = 0; r < a->n_runs; r++)
        n += a->runs[r].q_count;
    return n;
}

static int64_t n_keys(const struct attention_args *a)
{
    int64_t n = 0;
    for (int r = 0; r < a->n_key_runs; r++)
        n += a->key_runs[r].k_count;
    return n;
}

static void use_sm90(struct work *w, struct sm90_block block)
{
    w->sm90 = block;
    w->each = block.each;
}

static int launch_forward(struct stream *stream, const struct attention_args *a, struct work *rows)
{
    TRY(cuda_attention_plan_begin(stream, a));
    TRY(place_work(stream, a, ATTENTION_OF_ROWS, rows));
    return launch_work(stream, rows);
}

static int cuda_attention_prepare(struct stream *stream, const struct attention_args *a, bool *fixed)
{
    TRY(check(a));
    *fixed = a->plan != 0 && on_tensor_cores(a) && cuda_attention_is_paged(a);
    return *fixed ? cuda_attention_paged_prepare(stream, a) : OK;
}

static int cuda_attention_forward(struct stream *stream, const struct attention_args *a)
{
    struct work rows = {.kernel = GPU_BY_DTYPE(plain_forward, a->dtype), .n_threads = ATTENTION_THREADS, .shared_bytes = plain_forward_shared(a->dim), .each = PLAIN_TILE};
    bool fast = on_tensor_cores(a);
    TRY(check(a));
    TRY(clear_unless(stream, n_queries(a), a->rows, a->o_THD, (int64_t)a->heads * a->dim, a->dtype));
    if (fast && cuda_attention_is_paged(a))
        return cuda_attention_paged(stream, a);
    if (fast && attention_sm90_serves(stream, a)) {
        use_sm90(&rows, attention_sm90_forward_block(a));
    } else if (fast) {
        rows.kernel = a->dim == 64 ? &attention_forward_64 : &attention_forward_128;
        rows.n_threads = ATTENTION_FORWARD_THREADS(a->dim);
        rows.shared_bytes = attention_forward_shared(a->dim);
        rows.each = ATTENTION_FORWARD_ROWS;
    }
    return launch_forward(stream, a, &rows);
}

static int launch_delta(struct stream *stream, const struct attention_args *a)
{
    enum { MAX_BLOCKS = 8192 };
    struct delta_args args = {*a, 1};
    int chunk = (int)(16 / dtype_bytes(a->dtype));
    while (args.n_lanes < 32 && args.n_lanes * chunk < a->dim)
        args.n_lanes *= 2;
    if (a->rows == 0)
        return OK;
    struct gpu_grid grid = {.x = cuda_blocks(a->rows * a->heads, ATTENTION_THREADS / args.n_lanes, MAX_BLOCKS)};
    return gpu_launch(stream, GPU_BY_DTYPE(attention_delta, a->dtype), grid, ATTENTION_THREADS, 0, &args);
}

static int launch_backward(struct stream *stream, const struct attention_args *a, struct work *rows, struct work *keys)
{
    int64_t key_width = (int64_t)a->kv_heads * a->dim;
    TRY(cuda_attention_plan_begin(stream, a));
    TRY(place_work(stream, a, ATTENTION_OF_ROWS, rows));
    TRY(place_work(stream, a, ATTENTION_OF_KEYS, keys));
    TRY(clear_unless(stream, n_queries(a), a->rows, a->dq_THD, (int64_t)a->heads * a->dim, a->dtype));
    TRY(clear_unless(stream, n_keys(a), a->key_rows, a->dk_SGD, key_width, a->dtype));
    TRY(clear_unless(stream, n_keys(a), a->key_rows, a->dv_SGD, key_width, a->dtype));
    TRY(launch_delta(stream, a));
    TRY(launch_work(stream, rows));
    return launch_work(stream, keys);
}

static int cuda_attention_backward(struct stream *stream, const struct attention_args *a)
{
    struct work rows = {.kernel = GPU_BY_DTYPE(plain_backward_q, a->dtype), .n_threads = ATTENTION_THREADS, .shared_bytes = plain_backward_shared(a->dim), .each = PLAIN_TILE}, keys = rows;
    bool fast = on_tensor_cores(a);
    TRY(check(a));
    keys.kernel = GPU_BY_DTYPE(plain_backward_k, a->dtype);
    if (fast && attention_sm90_serves(stream, a)) {
        use_sm90(&rows, attention_sm90_backward_q_block(a));
        use_sm90(&keys, attention_sm90_backward_k_block(a));
    } else if (fast) {
        rows.kernel = a->dim == 64 ? &attention_backward_q_64 : &attention_backward_q_128;
        rows.shared_bytes = attention_backward_q_shared(a->dim);
        rows.each = ATTENTION_BACKWARD_ROWS;
        keys.kernel = a->dim == 64 ? &attention_backward_k_64 : &attention_backward_k_128;
        keys.shared_bytes = attention_backward_k_shared(a->dim);
        keys.each = ATTENTION_KEYS;
    }
    return launch_backward(stream, a, &rows, &keys);
}

void cuda_attention_table(struct kernels *table)
{
    table->attention_prepare = cuda_attention_prepare;
    table->attention_forward = cuda_attention_forward;
    table->attention_backward = cuda_attention_backward;
}
