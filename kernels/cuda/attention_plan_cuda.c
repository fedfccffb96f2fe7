/* attention_plan_cuda: see attention_plan_cuda.h. */
#include "kernels/cuda/attention_plan_cuda.h"

#include <stdlib.h>

#include "kernels/cuda/cuda.h"

struct kept_array {
    enum attention_array kind;
    int64_t each;                       /* rows or keys of a tile, where it holds tiles; else 0 */
    int64_t n;
    bool made;                          /* for the plan at hand */
    void *memory;
    size_t n_bytes;                     /* of the memory */
};

enum { MAX_ARRAYS = 20 };

struct cuda_attention_plan {
    uint64_t number;
    struct paged_head paged;
    int n_arrays;
    struct kept_array array[MAX_ARRAYS];
};

/* ---- what is kept ------------------------------------------------------------------------------------------------------------------------------ */

int cuda_attention_plan_begin(struct stream *stream, const struct attention_args *a)
{
    struct cuda_stream *s = cuda_stream_of(stream);
    if (!s->attention)
        s->attention = calloc(1, sizeof *s->attention);
    CHECK(s->attention, "out of memory for an attention plan");
    if (a->plan != 0 && a->plan == s->attention->number)
        return OK;
    s->attention->number = a->plan;
    for (int i = 0; i < s->attention->n_arrays; i++)
        s->attention->array[i].made = false;
    return OK;
}

void cuda_attention_plan_free(struct cuda_attention_plan *plan)
{
    for (int i = 0; plan && i < plan->n_arrays; i++)
        cudaFree(plan->array[i].memory);
    free(plan);
}

static struct kept_array *array_of(struct stream *stream, enum attention_array kind, int64_t each)
{
    struct cuda_attention_plan *plan = cuda_stream_of(stream)->attention;
    for (int i = 0; i < plan->n_arrays; i++)
        if (plan->array[i].kind == kind && plan->array[i].each == each)
            return &plan->array[i];
    ASSERT(plan->n_arrays < MAX_ARRAYS);
    struct kept_array *array = &plan->array[plan->n_arrays++];
    *array = (struct kept_array){.kind = kind, .each = each};
    return array;
}

static int fill(struct stream *stream, struct kept_array *array, const void *host, int64_t n, size_t elem_bytes)
{
    TRY(cuda_grow(stream, (size_t)n * elem_bytes, &array->memory, &array->n_bytes));
    TRY(cuda_copy(stream, array->memory, host, (size_t)n * elem_bytes, HOST_TO_DEVICE));
    array->n = n;
    array->made = true;
    return OK;
}

int cuda_attention_plan_keep(struct stream *stream, enum attention_array kind, const void *host, int64_t n, size_t elem_bytes)
{
    return fill(stream, array_of(stream, kind, 0), host, n, elem_bytes);
}

const void *cuda_attention_plan_kept(struct stream *stream, enum attention_array kind)
{
    const struct kept_array *array = array_of(stream, kind, 0);
    return array->made ? array->memory : NULL;
}

int cuda_attention_plan_room(struct stream *stream, enum attention_array kind, size_t n_bytes, void **out)
{
    struct kept_array *array = array_of(stream, kind, 0);
    TRY(cuda_grow(stream, n_bytes, &array->memory, &array->n_bytes));
    *out = array->memory;
    return OK;
}

struct paged_head *cuda_attention_plan_paged(struct stream *stream) { return &cuda_stream_of(stream)->attention->paged; }

/* ---- the plan's own arrays --------------------------------------------------------------------------------------------------------------------- */

static int64_t n_ranges(const struct attention_args *a)
{
    int64_t n = 0;
    for (int r = 0; r < a->n_runs; r++) {
        int64_t end = (int64_t)a->runs[r].range_first + a->runs[r].range_count;
        n = end > n ? end : n;
    }
    return n;
}

static int place(struct stream *stream, enum attention_array kind, const void *host, int64_t n, size_t elem_bytes, const void **out)
{
    struct kept_array *array = array_of(stream, kind, 0);
    if (!array->made)
        TRY(fill(stream, array, host, n, elem_bytes));
    *out = array->memory;
    return OK;
}

int cuda_attention_plan_place(struct stream *stream, const struct attention_args *a, enum attention_side side, struct attention_args *out)
{
    const void *runs = NULL, *ranges = NULL, *key_runs = NULL;
    if (side == ATTENTION_OF_ROWS) {
        TRY(place(stream, ATTENTION_RUNS, a->runs, a->n_runs, sizeof *a->runs, &runs));
        TRY(place(stream, ATTENTION_RANGES, a->ranges, n_ranges(a), sizeof *a->ranges, &ranges));
    } else {
        TRY(place(stream, ATTENTION_KEY_RUNS, a->key_runs, a->n_key_runs, sizeof *a->key_runs, &key_runs));
    }
    *out = *a;
    out->runs = runs;
    out->ranges = ranges;
    out->key_runs = key_runs;
    return OK;
}

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
    return OK;
}

int cuda_attention_plan_tiles(struct stream *stream, const struct attention_args *a, enum attention_side side, int64_t each, struct attention_tiles *out)
{
    struct kept_array *array = array_of(stream, side == ATTENTION_OF_ROWS ? ATTENTION_ROW_TILES : ATTENTION_KEY_TILES, each);
    struct tile_list list = {0};
    int status = OK;
    if (!array->made) {
        TRY(side == ATTENTION_OF_ROWS ? make_row_tiles(a, each, &list) : make_key_tiles(a, each, &list));
        qsort(list.tile, (size_t)list.n, sizeof *list.tile, longest_first);
        status = fill(stream, array, list.tile, list.n, sizeof *list.tile);
        free(list.tile);
    }
    *out = (struct attention_tiles){array->n, array->memory};
    return status;
}
