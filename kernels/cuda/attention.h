/* attention: the kernels of forest attention, as attention.c launches them. For GPUs of compute capability 9.0 there are others in bf16: attention_sm90.h.
 *
 * The query heads of one key/value head work together: with `group` of them, query t and head g are row m = t * group + g, so a tile of keys is read once for all of them.
 * A block of four warps (or eight) takes one tile of rows (or of keys) and one key/value head, and walks what that tile meets:
 *
 *               keys: range 0   range 1      last range                            rows: k_first ......... see_end
 *              .--------.---.  .--------.  .----.                                  .----.----.----.-- -.
 *      rows  m | tile   |cut|  | tile   |  | ca\|                       keys       |\sal|    |    |cut |
 *  of a run    | of 128 |   |  |        |  |usal\                       of a       | \cau    |    |    |
 *              '--------'---'  '--------'  '----'                       key run    '----'----'----'----'
 *        forward o, lse; backward dq:  walk keys  ------>                 backward dk, dv:  walk rows  ------>
 *
 * Tiles of keys begin at the first key of each range and hold ATTENTION_PAGE keys, so where a node is cut into pages the tiles are the same ones. A row's sums are over its own
 * keys in that order: what stands beside it in a tile, and where in the tile it stands, changes no bit. Nothing is added from two blocks.
 *
 * In bf16 with head size 64 or 128, tensor cores (attention_forward.cu, attention_backward.cu). A tile of R rows against K keys is 2 products of 2 R K D operations forward, 3 for
 * dq, 4 for dk and dv: 4 D operations forward and 14 D backward for each query head's pair of a row and a key it sees. The tile at rest is read once; what is walked comes by
 * asynchronous copies, two stages, once per tile at rest: 4 K D bytes of keys and values forward, so R = 128 operations for each byte out of the L2 cache; dq does 6 R / 4 = 96,
 * dk and dv 8 K / 4 = 128. P and dS go from one product to the next in registers. A warp whose rows see nothing of a step leaves it out: half of the diagonal, and all but one warp
 * of a tile with a single row. delta is a pass of its own over o and do. Of an 8B model (32 query heads and 8 key/value heads of 128) 8,192 tokens in one line take, a layer,
 *   forward   0.55 T operations, 168 MB of device memory      floor on an H100 (989 T/s, 3.35 TB/s): 0.56 ms, by arithmetic (memory 0.05 ms)
 *   backward  1.92 T operations, 570 MB                       1.94 ms, by arithmetic (memory 0.17 ms)
 * Where keys are a cache's, attention_paged.h. Everything else, float32 above all: attention_plain.cu, the same walks with smaller tiles, one fused multiply-add at a time.
 *
 *   kernel                       rows x keys          threads    shared memory, KiB (head size 64, 128; plain at 256)
 *   forward                      128 x 64             128, 256   32   64
 *   backward_q                   64 x 64              128        32   64
 *   backward_k                   64, 32 x 64          128        49   64.5
 *   plain_forward, _q, _k        16 x 64, 16 x 32, 32 x 16   128   84.3  98.3  98.3
 */
#ifndef KERNELS_CUDA_ATTENTION_H
#define KERNELS_CUDA_ATTENTION_H

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

enum { ATTENTION_THREADS = 128, ATTENTION_WARPS = 4, ATTENTION_MAX_DIM = 256 };

/* Tensor cores: the forward's threads, and m-tiles of 16 rows that a warp of it holds; rows of a tile; rows that backward_k walks at a time. */
#define ATTENTION_FORWARD_THREADS(dim) ((dim) == 64 ? 128 : 256)
#define ATTENTION_FORWARD_TILES(dim) ((dim) == 64 ? 2 : 1)
#define ATTENTION_STEP_ROWS(dim) ((dim) == 64 ? 64 : 32)
enum { ATTENTION_FORWARD_ROWS = 128, ATTENTION_BACKWARD_ROWS = 64, ATTENTION_KEYS = ATTENTION_PAGE };

/* The plain kernels: the tile at rest, and what is walked at a time. */
enum { PLAIN_TILE = 16, PLAIN_STEP = 32 };

/* What a block takes: rows from row `first` (m, counted from token 0) of a run, or keys from key `first` of a key run. work: how much it walks. */
struct attention_tile { int32_t run, first; int64_t work; };

/* The plan arrays of `a` are in device memory. tile[gridDim.x]; blockIdx.y is the key/value head. */
struct attention_launch { struct attention_args a; const struct attention_tile *tile; };

/* delta_HT = sum over D of o * do. A team of n_lanes lanes (a power of two, at most a warp) for each row and head. */
struct delta_args { struct attention_args a; int n_lanes; };

/* Bytes of dynamic shared memory. */
static inline size_t attention_forward_shared(int dim) { return (size_t)4 * ATTENTION_KEYS * (size_t)dim * 2; }
static inline size_t attention_backward_q_shared(int dim) { return (size_t)4 * ATTENTION_KEYS * (size_t)dim * 2; }
static inline size_t attention_backward_k_shared(int dim)
{
    return (size_t)2 * ATTENTION_KEYS * (size_t)dim * 2 + (size_t)2 * ATTENTION_STEP_ROWS(dim) * (2 * (size_t)dim * 2 + 2 * sizeof(float));
}

static inline size_t plain_forward_shared(int dim)
{
    return sizeof(float) * (size_t)(PLAIN_TILE * dim + ATTENTION_KEYS * (dim + 1) + PLAIN_TILE * ATTENTION_KEYS + PLAIN_TILE);
}

static inline size_t plain_backward_shared(int dim) { return sizeof(float) * (size_t)(2 * PLAIN_TILE * dim + 2 * PLAIN_STEP * (dim + 1) + PLAIN_TILE * PLAIN_STEP); }

#ifdef __cplusplus
extern "C" {
#endif
extern const struct gpu_kernel attention_forward_64, attention_forward_128;
extern const struct gpu_kernel attention_backward_q_64, attention_backward_q_128;
extern const struct gpu_kernel attention_backward_k_64, attention_backward_k_128;
GPU_DECLARE_BY_DTYPE(attention_delta);
GPU_DECLARE_BY_DTYPE(plain_forward);
GPU_DECLARE_BY_DTYPE(plain_backward_q);
GPU_DECLARE_BY_DTYPE(plain_backward_k);
#ifdef __cplusplus
}
#endif

#endif
