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

static size_t up(size_t n_bytes) { return (n_bytes + 255) / 256 * 256; }

static int fill_launch(struct stream *stream, const struct attention_args *a, struct paged_launch *l)
{
    size_t n = (size_t)cuda_attention_plan_paged(stream)->n_slots * (size_t)a->heads, o_bytes = up(n * (size_t)a->dim * sizeof(float));
    void *memory = NULL;
    TRY(cuda_scratch(stream, o_bytes + n * 2 * sizeof(float), &memory));
    *l = (struct paged_launch){.a = *a, .o_SHD = memory, .state_SH = (float *)(void *)((char *)memory + o_bytes)};
    l->a.runs = NULL, l->a.ranges = NULL;
    l->head = cuda_attention_plan_kept(stream, ATTENTION_PAGED_HEAD);
    l->tile = cuda_attention_plan_kept(stream, ATTENTION_PAGED_TILES);
    l->row = cuda_attention_plan_kept(stream, ATTENTION_PAGED_ROWS);
    l->split = cuda_attention_plan_kept(stream, ATTENTION_PAGED_SPLITS);
    l->chain = cuda_attention_plan_kept(stream, ATTENTION_PAGED_CHAINS);
    l->merge = cuda_attention_plan_kept(stream, ATTENTION_PAGED_MERGES);
    return OK;
}

static int launch_items(struct stream *stream, const struct gpu_kernel *kernel, int32_t n, size_t shared_bytes, const struct paged_launch *l)
{
    struct gpu_grid grid = {.x = (unsigned)n, .y = (unsigned)l->a.kv_heads};
    return n == 0 ? OK : gpu_launch(stream, kernel, grid, ATTENTION_THREADS, shared_bytes, l);
}

static int launch_merge(struct stream *stream, int32_t n, const struct paged_launch *l)
{
    enum { MAX_BLOCKS = 8192 };
    struct gpu_grid grid = {.x = cuda_blocks((int64_t)n * l->a.heads, ATTENTION_WARPS, MAX_BLOCKS)};
    return n == 0 ? OK : gpu_launch(stream, l->a.dim == 64 ? &paged_merge_64 : &paged_merge_128, grid, ATTENTION_THREADS, 0, l);
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

int cuda_attention_paged(struct stream *stream, const struct attention_args *a)
{
    TRY(cuda_attention_plan_begin(stream, a));
    if (!cuda_attention_plan_kept(stream, ATTENTION_PAGED_HEAD)) {
        struct paged_plan plan;
        TRY(paged_plan_make(a, &plan));
        int status = cuda_attention_paged_place(stream, &plan);
        paged_plan_free(&plan);
        TRY(status);
    }
    return cuda_attention_paged_run(stream, a);
}
