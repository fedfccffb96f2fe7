/* attention_paged: host side of attention_paged.cu. */
#include "kernels/cuda/attention_paged_cuda.h"

#include "kernels/cuda/attention_plan_cuda.h"
#include "kernels/cuda/cuda.h"

int cuda_attention_paged_place(struct stream *stream, const struct paged_plan *p)
{
    *cuda_attention_plan_paged(stream) = p->head;
    TRY(cuda_attention_plan_keep(stream, ATTENTION_PAGED_TILES, p->tile, p->n_tiles, sizeof *p->tile));
    TRY(cuda_attention_plan_keep(stream, ATTENTION_PAGED_ROWS, p->row, p->n_rows, sizeof *p->row));
    TRY(cuda_attention_plan_keep(stream, ATTENTION_PAGED_SPLITS, p->split, p->head.n_splits, sizeof *p->split));
    TRY(cuda_attention_plan_keep(stream, ATTENTION_PAGED_CHAINS, p->chain, p->head.n_chains, sizeof *p->chain));
    TRY(cuda_attention_plan_keep(stream, ATTENTION_PAGED_MERGES, p->merge, p->head.n_merges, sizeof *p->merge));
    return cuda_attention_plan_keep(stream, ATTENTION_PAGED_HEAD, &p->head, 1, sizeof p->head);
}

static int fill_launch(struct stream *stream, const struct attention_args *a, struct paged_launch *l)
{
    size_t n = (size_t)cuda_attention_plan_paged(stream)->n_slots * (size_t)a->heads;
    void *o = NULL, *state = NULL;
    TRY(cuda_attention_plan_room(stream, ATTENTION_PAGED_O, n * (size_t)a->dim * sizeof(float), &o));
    TRY(cuda_attention_plan_room(stream, ATTENTION_PAGED_STATE, n * 2 * sizeof(float), &state));
    *l = (struct paged_launch){.a = *a, .o_SHD = o, .state_SH = state};
    l->a.runs = NULL, l->a.ranges = NULL;
    l->head = cuda_attention_plan_kept(stream, ATTENTION_PAGED_HEAD);
    l->tile = cuda_attention_plan_kept(stream, ATTENTION_PAGED_TILES);
    l->row = cuda_attention_plan_kept(stream, ATTENTION_PAGED_ROWS);
    l->split = cuda_attention_plan_kept(stream, ATTENTION_PAGED_SPLITS);
    l->chain = cuda_attention_plan_kept(stream, ATTENTION_PAGED_CHAINS);
    l->merge = cuda_attention_plan_kept(stream, ATTENTION_PAGED_MERGES);
    return OK;
}

static bool is_recording(const struct stream *stream) { return cuda_of(stream->device)->recording; }

/* A recording serves other plans: then a grid that fills the GPU, whatever this one's number of items is. Without any a block finds nothing to do: so all kernels are loaded before a recording. */
static int launch_items(struct stream *stream, const struct gpu_kernel *kernel, int32_t n, size_t shared_bytes, const struct paged_launch *l)
{
    enum { ALL_BLOCKS = 1024 };
    int32_t blocks = is_recording(stream) ? (ALL_BLOCKS + l->a.kv_heads - 1) / l->a.kv_heads : n > 0 ? n : 1;
    struct gpu_grid grid = {.x = (unsigned)blocks, .y = (unsigned)l->a.kv_heads};
    return gpu_launch(stream, kernel, grid, ATTENTION_THREADS, shared_bytes, l);
}

static int launch_merge(struct stream *stream, int32_t n, const struct paged_launch *l)
{
    enum { MAX_BLOCKS = 8192 };
    int64_t rows = is_recording(stream) ? l->a.rows : n;
    struct gpu_grid grid = {.x = cuda_blocks(rows * l->a.heads, ATTENTION_WARPS, MAX_BLOCKS)};
    return gpu_launch(stream, l->a.dim == 64 ? &paged_merge_64 : &paged_merge_128, grid, ATTENTION_THREADS, 0, l);
}

int cuda_attention_paged_run(struct stream *stream, const struct attention_args *a)
{
    const struct paged_head *head = cuda_attention_plan_paged(stream);
    bool small = a->dim == 64;
    struct paged_launch l;
    TRY(fill_launch(stream, a, &l));
    TRY(launch_items(stream, small ? &paged_chain_64 : &paged_chain_128, head->n_chains, paged_chain_shared(a->dim), &l));
    TRY(launch_items(stream, small ? &paged_split_64 : &paged_split_128, head->n_splits, paged_split_shared(a->dim), &l));
    return launch_merge(stream, head->n_merges, &l);
}

bool cuda_attention_is_paged(const struct attention_args *a) { return !a->key_runs && a->heads / a->kv_heads <= PAGED_ROWS; }

int cuda_attention_paged_prepare(struct stream *stream, const struct attention_args *a)
{
    struct paged_launch l;
    TRY(cuda_attention_plan_begin(stream, a));
    if (!cuda_attention_plan_kept(stream, ATTENTION_PAGED_HEAD)) {
        struct paged_plan plan;
        TRY(paged_plan_make(a, &plan));
        int status = cuda_attention_paged_place(stream, &plan);
        paged_plan_free(&plan);
        TRY(status);
    }
    return fill_launch(stream, a, &l);
}

int cuda_attention_paged(struct stream *stream, const struct attention_args *a)
{
    TRY(cuda_attention_paged_prepare(stream, a));
    return cuda_attention_paged_run(stream, a);
}
