/* attention: host side of forest attention. The plan (runs, ranges, and which block takes what) is made here and copied in stream order; nothing waits for the GPU.
 * Which kernel works depends on the device, type, head size, alignment and heads of a group alone, never on the plan, so that a row is the same bits in every batch. */
#include "kernels/cuda/attention.h"

#include <stdlib.h>

#include "kernels/cuda/attention_sm90.h"
#include "kernels/cuda/cuda.h"

/* ---- tiles ------------------------------------------------------------------------------------------------------------------------------------ */

struct tile_list { int64_t n; struct attention_tile *tile; };

static int64_t tiles_of(int64_t count, int64_t each) { return (count + each - 1) / each; }

/* The longest first, so that no block begins a long walk when the others end; of equal ones in the order of the plan. */
static int longest_first(const void *x, const void *y)
{
    const struct attention_tile *a = x, *b = y;
    if (a->work != b->work)
        return a->work > b->work ? -1 : 1;
    if (a->run != b->run)
        return a->run < b->run ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static int allocate_tiles(struct tile_list *list)
{
    list->tile = malloc((size_t)(list->n + 1) * sizeof *list->tile);
    CHECK(list->tile, "out of memory for %lld tiles of attention", (long long)list->n);
    list->n = 0;
    return OK;
}

static int64_t keys_before_own(const struct attention_args *a, const struct attention_run *run)
{
    int64_t n = 0;
    for (int i = 0; i < run->range_count - 1; i++)
        n += a->ranges[run->range_first + i].count;
    return n + a->ranges[run->range_first + run->range_count - 1].count - run->q_count;
}

/* Tiles of up to `each` rows (row m: attention.h) of every run. */
static int make_row_tiles(const struct attention_args *a, int64_t each, struct tile_list *list)
{
    int64_t group = a->heads / a->kv_heads;
    for (int r = 0; r < a->n_runs; r++)
        list->n += tiles_of(a->runs[r].q_count * group, each);
    TRY(allocate_tiles(list));
    for (int r = 0; r < a->n_runs; r++) {
        const struct attention_run *run = &a->runs[r];
        int64_t before = keys_before_own(a, run), rows = run->q_count * group;
        for (int64_t row = 0; row < rows; row += each)
            list->tile[list->n++] = (struct attention_tile){r, (int32_t)(run->q_first * group + row), before + (row + each < rows ? row + each : rows) / group};
    }
    qsort(list->tile, (size_t)list->n, sizeof *list->tile, longest_first);
    return OK;
}

static int make_key_tiles(const struct attention_args *a, int64_t each, struct tile_list *list)
{
    for (int r = 0; r < a->n_key_runs; r++)
        list->n += tiles_of(a->key_runs[r].k_count, each);
    TRY(allocate_tiles(list));
    for (int r = 0; r < a->n_key_runs; r++) {
        const struct attention_key_run *run = &a->key_runs[r];
        for (int64_t key = 0; key < run->k_count; key += each)
            list->tile[list->n++] = (struct attention_tile){r, (int32_t)(run->k_first + key), run->see_end - run->k_first - key};
    }
    qsort(list->tile, (size_t)list->n, sizeof *list->tile, longest_first);
    return OK;
}

/* ---- the plan on the device ------------------------------------------------------------------------------------------------------------------- */

/* Arrays that go to the device as one piece of scratch. */
enum { MAX_PARTS = 5 };
struct plan { int n; struct { const void *host; size_t n_bytes; const void *device; } part[MAX_PARTS]; };

static int add_part(struct plan *plan, const void *host, size_t n_bytes)
{
    plan->part[plan->n].host = host;
    plan->part[plan->n].n_bytes = n_bytes;
    return plan->n++;
}

static size_t up(size_t n_bytes) { return (n_bytes + 15) / 16 * 16; }

static int copy_plan(struct stream *stream, struct plan *plan)
{
    void *memory = NULL;
    size_t n_bytes = 0;
    for (int i = 0; i < plan->n; i++)
        n_bytes += up(plan->part[i].n_bytes);
    TRY(cuda_scratch(stream, n_bytes, &memory));
    char *at = memory;
    for (int i = 0; i < plan->n; i++) {
        TRY(cuda_copy(stream, at, plan->part[i].host, plan->part[i].n_bytes, HOST_TO_DEVICE));
        plan->part[i].device = at;
        at += up(plan->part[i].n_bytes);
    }
    return OK;
}

static int64_t n_ranges(const struct attention_args *a)
{
    int64_t n = 0;
    for (int r = 0; r < a->n_runs; r++) {
        int64_t end = (int64_t)a->runs[r].range_first + a->runs[r].range_count;
        n = end > n ? end : n;
    }
    return n;
}

/* One kernel over its tiles: which, how a block of it is made and how many rows or keys it takes, what it gets; or Hopper's kernel (attention_sm90.h) instead. */
struct work { const struct gpu_kernel *kernel; int n_threads; size_t shared_bytes; int64_t each; struct tile_list tiles; struct attention_launch launch; struct sm90_block sm90; };

/* Copies the arguments' plan and the tiles; the launches get arguments that point to the copies. keys is NULL in the forward. */
static int place_plan(struct stream *stream, const struct attention_args *a, struct work *rows, struct work *keys)
{
    struct plan plan = {0};
    int runs = add_part(&plan, a->runs, (size_t)a->n_runs * sizeof *a->runs), ranges = add_part(&plan, a->ranges, (size_t)n_ranges(a) * sizeof *a->ranges);
    int row_tiles = add_part(&plan, rows->tiles.tile, (size_t)rows->tiles.n * sizeof *rows->tiles.tile);
    int key_runs = keys ? add_part(&plan, a->key_runs, (size_t)a->n_key_runs * sizeof *a->key_runs) : -1;
    int key_tiles = keys ? add_part(&plan, keys->tiles.tile, (size_t)keys->tiles.n * sizeof *keys->tiles.tile) : -1;
    TRY(copy_plan(stream, &plan));
    rows->launch = (struct attention_launch){.a = *a, .tile = plan.part[row_tiles].device};
    rows->launch.a.runs = plan.part[runs].device;
    rows->launch.a.ranges = plan.part[ranges].device;
    if (!keys)
        return OK;
    keys->launch = (struct attention_launch){.a = *a, .tile = plan.part[key_tiles].device};
    keys->launch.a.key_runs = plan.part[key_runs].device;
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
    if (w->tiles.n == 0)
        return OK;
    if (w->sm90.kernel)
        return attention_sm90_launch(stream, &w->sm90, w->tiles.n, &w->launch);
    return gpu_launch(stream, w->kernel, (struct gpu_grid){.x = (unsigned)w->tiles.n, .y = (unsigned)w->launch.a.kv_heads}, w->n_threads, w->shared_bytes, &w->launch);
}

/* Clears rows of `width` elements unless as many as there are are about to be written. */
static int clear_unless(struct stream *stream, int64_t n_written, int64_t n_rows, void *x, int64_t width, enum dtype dtype)
{
    return n_written == n_rows ? OK : cuda_zero(stream, x, (size_t)(n_rows * width) * dtype_bytes(dtype));
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
    TRY(make_row_tiles(a, rows->each, &rows->tiles));
    TRY(place_plan(stream, a, rows, NULL));
    TRY(clear_unless(stream, n_queries(a), a->rows, a->o_THD, (int64_t)a->heads * a->dim, a->dtype));
    return launch_work(stream, rows);
}

static int cuda_attention_forward(struct stream *stream, const struct attention_args *a)
{
    struct work rows = {.kernel = GPU_BY_DTYPE(plain_forward, a->dtype), .n_threads = ATTENTION_THREADS, .shared_bytes = plain_forward_shared(a->dim), .each = PLAIN_TILE};
    bool fast = on_tensor_cores(a);
    TRY(check(a));
    if (fast && attention_sm90_serves(stream, a)) {
        use_sm90(&rows, attention_sm90_forward_block(a));
    } else if (fast) {
        rows.each = ATTENTION_FORWARD_ROWS;
        rows.kernel = a->dim == 64 ? &attention_forward_64 : &attention_forward_128;
        rows.n_threads = ATTENTION_FORWARD_THREADS(a->dim);
        rows.shared_bytes = attention_forward_shared(a->dim);
    }
    int status = launch_forward(stream, a, &rows);
    free(rows.tiles.tile);
    return status;
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
    TRY(make_row_tiles(a, rows->each, &rows->tiles));
    TRY(make_key_tiles(a, keys->each, &keys->tiles));
    TRY(place_plan(stream, a, rows, keys));
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
        rows.each = ATTENTION_BACKWARD_ROWS, keys.each = ATTENTION_KEYS;
        rows.kernel = a->dim == 64 ? &attention_backward_q_64 : &attention_backward_q_128;
        rows.shared_bytes = attention_backward_q_shared(a->dim);
        keys.kernel = a->dim == 64 ? &attention_backward_k_64 : &attention_backward_k_128;
        keys.shared_bytes = attention_backward_k_shared(a->dim);
    }
    int status = launch_backward(stream, a, &rows, &keys);
    free(rows.tiles.tile), free(keys.tiles.tile);
    return status;
}

void cuda_attention_table(struct kernels *table)
{
    table->attention_forward = cuda_attention_forward;
    table->attention_backward = cuda_attention_backward;
}
