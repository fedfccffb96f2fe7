/* attention_sm90: forest attention on Hopper (compute capability 9.0), bf16, head size 64 or 128: what attention.h computes, by products of warpgroups (gpu_sm90.h). Rows, tiles and
 * walks are attention.h's; a tile of rows holds whole tokens of all query heads of a key/value head. One block has a multiprocessor to itself:
 *
 *      warpgroup 0, with few registers:                      warpgroups 1 to 2 or 3, with many: 64 rows (or keys) each
 *        warp 0  copies boxes to free stages                   wait for a full stage, multiply, free it
 *        warp 1  the mender: zeros behind a step's rows        forward, with turns:   S PV  softmax  S PV  softmax
 *        warp 2  (backward_k) lse and delta of rows                                         S PV  softmax  S PV
 *
 * A stage holds two tiles of 64 rows: keys and values, or rows of q and do; there are 4. Boxes come by tensor maps: they write the swizzled form that products read without bank conflicts,
 * which bulk copies of rows do not, and one thread says 16 KiB at a time. Boxes of the last step of a range bring rows of others along; since those may hold anything, even NaN, the mender
 * makes them zero.
 *   forward     S = q K' of the next step is begun before o += P V of the last one; the softmax is done while the latter is under way, and while the other warpgroups multiply.
 *   backward_q  S and dP = do V' of the next step are begun behind dq += dS K of the last one; P is made while dP is under way.
 *   backward_k  on transposes, S' = K q', as in attention_backward.cu: P' and dS' are operands in registers. S' of the next step is begun behind dv += P' do and dk += dS' q.
 * A step has ATTENTION_PAGE keys. With twice as many an odd number of pages before a cut would shift all steps behind it, and with them the maxima: the bits would depend on the cut.
 * Sums over keys and rows are in the order of the walk, each in one warpgroup's accumulators; nothing is added from two warpgroups or two blocks.
 *
 * Cycles of a multiprocessor for a step, at 4,096 operations of tensor cores, 16 powers of 2, and 128 bytes of shared memory read or written in each:
 *   kernel                at rest      threads   shared memory, KiB   tensor cores   powers   shared memory
 *   forward       64      192 rows       512            88                 768         768          512
 *                128      128 rows       384           160                1024         512          768
 *   backward_q    64      192 rows       512           112                1152         768          896
 *                128      128 rows       384           192                1536         512         1024
 *   backward_k    64      128 keys       384            98                1024         512          896
 *                128      128 keys       384           194                2048         512         1792
 * So the floors of attention.h stand: tensor cores decide, but for head size 64 forward, where the powers take as long. What overlaps with nothing is a block's begin and end: finding the
 * walk (three loads, each of the one before), the first boxes, the last store; about 4,000 cycles of the 70,000 that a tile takes at 8,192 tokens with heads of 128, more of shorter ones.
 * The registers of a multiprocessor are all taken: where the compiler had to serialize products, or kept something in memory, kernels_static.sh fails. */
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
