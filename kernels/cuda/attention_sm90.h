/* attention_sm90: forest attention on Hopper (compute capability 9.0), bf16, head size 64 or 128: what attention.h computes, by products of warpgroups out of shared memory. */
#ifndef KERNELS_CUDA_ATTENTION_SM90_H
#define KERNELS_CUDA_ATTENTION_SM90_H

#include "kernels/cuda/attention.h"

/* Rows of a warpgroup's products; keys (or rows) of a step; stages. */
enum { SM90_ROWS = 64, SM90_STEP = ATTENTION_PAGE, SM90_STAGES = 4 };

/* Warpgroups that compute, and the most registers that a thread of them, and one of the first warpgroup, may have: in all, as many as the launch gives the block. */
#define SM90_CONSUMERS(dim) ((dim) == 64 ? 3 : 2)
#define SM90_TAKEN(dim) ((dim) == 64 ? 160 : 240)
#define SM90_KEPT(dim) ((dim) == 64 ? 32 : 24)
enum { SM90_KEY_CONSUMERS = 2, SM90_KEY_TAKEN = 232, SM90_KEY_KEPT = 40 };      /* of backward_k */

/* The maps' boxes: of q and do as many whole tokens of one key/value head as a tile (or a step) of rows holds, together box_rows rows; of k and v the keys of a step (or a tile). */
struct sm90_launch { struct gpu_tensor_map q, k, v, g; struct attention_launch l; int box_rows; };

/* In shared memory, behind the tile at rest and the stages. rest: the tile at rest is there. full, free: a stage is, or is read. landed: it is, but the mender has something to do. */
struct sm90_barriers { uint64_t rest, full[SM90_STAGES], free[SM90_STAGES], landed[SM90_STAGES]; };

/* lse (in units of ln 2) and delta of the rows of backward_k's stages. */
struct sm90_statistics { float lse[SM90_STEP], delta[SM90_STEP]; };

static inline int sm90_threads(int n_consumers) { return 128 * (n_consumers + 1); }

/* Bytes of shared memory with `n_tiles` tiles of `rows` rows at rest: in a stage there are two of SM90_STEP. */
static inline size_t sm90_shared(int n_tiles, int rows, int dim) { return (size_t)(n_tiles * rows + 2 * SM90_STAGES * SM90_STEP) * (size_t)dim * 2 + sizeof(struct sm90_barriers); }
static inline size_t sm90_forward_shared(int dim) { return sm90_shared(1, SM90_ROWS * SM90_CONSUMERS(dim), dim); }
static inline size_t sm90_backward_q_shared(int dim) { return sm90_shared(2, SM90_ROWS * SM90_CONSUMERS(dim), dim); }
static inline size_t sm90_backward_k_shared(int dim) { return sm90_shared(2, SM90_ROWS * SM90_KEY_CONSUMERS, dim) + SM90_STAGES * sizeof(struct sm90_statistics); }

/* How a kernel's blocks are made: threads, shared memory, rows (or keys) that a block takes at most, rows and keys of the boxes. */
struct sm90_block { const struct gpu_kernel *kernel; int n_threads; size_t shared_bytes; int64_t each; int box_rows, box_keys; };

#ifdef __cplusplus
extern "C" {
#endif
/* Weak: a build without sm_90a does not have them, and their addresses are NULL. */
#define SM90_DECLARE(name) extern const struct gpu_kernel name##_64 __attribute__((weak)), name##_128 __attribute__((weak))
SM90_DECLARE(attention_sm90_forward);
SM90_DECLARE(attention_sm90_backward_q);
SM90_DECLARE(attention_sm90_backward_k);

/* Host side. open: when the device is opened. serves: whether these kernels work on this device for heads grouped so; else attention.h's do. */
struct cuda;
int attention_sm90_open(struct cuda *cuda);
bool attention_sm90_serves(const struct stream *stream, const struct attention_args *a);
struct sm90_block attention_sm90_forward_block(const struct attention_args *a);
struct sm90_block attention_sm90_backward_q_block(const struct attention_args *a);
struct sm90_block attention_sm90_backward_k_block(const struct attention_args *a);
int attention_sm90_launch(struct stream *stream, const struct sm90_block *block, int64_t n_tiles, const struct attention_launch *launch);
#ifdef __cplusplus
}
#endif

#endif
