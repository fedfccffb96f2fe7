/* attention_plan_cuda: what kernels read of an attention plan (kernels.h: runs, ranges, key runs), on the device: the arrays themselves, and lists of the tiles that blocks take.
 *
 * A stream keeps what was made for a plan's number until another number comes, so that all layers of a pass, forward and backward, use one copy. Each array stands in device
 * memory of its own, grown where it must be; it is written in stream order, so behind every kernel that read what was there before. Under number 0 every operation makes its own.
 */
#ifndef KERNELS_CUDA_ATTENTION_PLAN_CUDA_H
#define KERNELS_CUDA_ATTENTION_PLAN_CUDA_H

#include "kernels/cuda/attention_paged.h"

/* Rows of runs, or keys of key runs. */
enum attention_side { ATTENTION_OF_ROWS, ATTENTION_OF_KEYS };

struct attention_tiles { int64_t n; const struct attention_tile *tile; };

struct cuda_attention_plan;

/* First in every operation: what another plan left is forgotten. */
int cuda_attention_plan_begin(struct stream *stream, const struct attention_args *a);
/* *out is *a with runs and ranges, or key runs, on the device. */
int cuda_attention_plan_place(struct stream *stream, const struct attention_args *a, enum attention_side side, struct attention_args *out);
/* Tiles of up to `each` rows (row m: attention.h) of every run, or keys of every key run; the longest walk first. */
int cuda_attention_plan_tiles(struct stream *stream, const struct attention_args *a, enum attention_side side, int64_t each, struct attention_tiles *out);

/* What attention_paged.c keeps for the plan at hand: arrays of its own, and their lengths. kept: NULL where it has not been made, or is empty. */
enum attention_array {
    ATTENTION_RUNS, ATTENTION_RANGES, ATTENTION_KEY_RUNS, ATTENTION_ROW_TILES, ATTENTION_KEY_TILES,
    ATTENTION_PAGED_HEAD, ATTENTION_PAGED_TILES, ATTENTION_PAGED_ROWS, ATTENTION_PAGED_SPLITS, ATTENTION_PAGED_CHAINS, ATTENTION_PAGED_MERGES,
    ATTENTION_PAGED_O, ATTENTION_PAGED_STATE,
};
int cuda_attention_plan_keep(struct stream *stream, enum attention_array kind, const void *host, int64_t n, size_t elem_bytes);
const void *cuda_attention_plan_kept(struct stream *stream, enum attention_array kind);
/* At least n_bytes that hold nothing of the plan: the same memory from call to call, until it must grow. */
int cuda_attention_plan_room(struct stream *stream, enum attention_array kind, size_t n_bytes, void **out);
struct paged_head *cuda_attention_plan_paged(struct stream *stream);

/* With its stream, when that is idle. */
void cuda_attention_plan_free(struct cuda_attention_plan *plan);

#endif
