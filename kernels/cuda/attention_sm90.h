/* attention_sm90: forest attention on Hopper (compute capability 9.0), bf16, head size 64 or 128: what attention.h computes, by products of warpgroups out of shared memory. */
#ifndef KERNELS_CUDA_ATTENTION_SM90_H
#define KERNELS_CUDA_ATTENTION_SM90_H

#include "kernels/cuda/attention.h"

/* Rows of a warpgroup; keys (or rows) of a step; warpgroups that compute; stages. */
enum { SM90_ROWS = 64, SM90_STEP = ATTENTION_PAGE, SM90_FORWARD_STAGES = 4 };
#define SM90_FORWARD_CONSUMERS(dim) ((dim) == 64 ? 3 : 2)

/* The maps' boxes: of q and do as many whole tokens of one key/value head as a tile (or a step) of rows holds, of k and v the keys of a step (or a tile). box_rows: rows of the first. */
struct sm90_launch { struct gpu_tensor_map q, k, v, g; struct attention_launch l; int box_rows; };

struct sm90_forward_barriers { uint64_t q, k_full[SM90_FORWARD_STAGES], k_free[SM90_FORWARD_STAGES], v_landed[SM90_FORWARD_STAGES], v_full[SM90_FORWARD_STAGES], v_free[SM90_FORWARD_STAGES]; };

static inline int sm90_forward_rows(int dim) { return SM90_ROWS * SM90_FORWARD_CONSUMERS(dim); }
static inline int sm90_forward_threads(int dim) { return 128 * (SM90_FORWARD_CONSUMERS(dim) + 1); }
static inline size_t sm90_forward_shared(int dim)
{
    return ((size_t)sm90_forward_rows(dim) + 2 * SM90_FORWARD_STAGES * SM90_STEP) * (size_t)dim * 2 + sizeof(struct sm90_forward_barriers);
}

/* How a kernel's blocks are made: threads, shared memory, rows (or keys) that a block takes at most, rows and keys of the boxes. */
struct sm90_block { const struct gpu_kernel *kernel; int n_threads; size_t shared_bytes; int64_t each; int box_rows, box_keys; };

#ifdef __cplusplus
extern "C" {
#endif
/* Weak: a build without sm_90a does not have them, and their addresses are NULL. */
extern const struct gpu_kernel attention_sm90_forward_64 __attribute__((weak)), attention_sm90_forward_128 __attribute__((weak));

/* Host side. open: when the device is opened. serves: whether these kernels work on this device for heads grouped so; else attention.h's do. */
struct cuda;
int attention_sm90_open(struct cuda *cuda);
bool attention_sm90_serves(const struct stream *stream, const struct attention_args *a);
struct sm90_block attention_sm90_forward_block(const struct attention_args *a);
int attention_sm90_launch(struct stream *stream, const struct sm90_block *block, int64_t n_tiles, const struct attention_launch *launch);
#ifdef __cplusplus
}
#endif

#endif
