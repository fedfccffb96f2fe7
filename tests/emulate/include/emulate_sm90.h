/* emulate_sm90: kernels/cuda/gpu_sm90.h on the CPU (mbarrier.c, warpgroup.c, tensor_map.c). What a Hopper GPU would leave undefined stops the program with a sentence, or is NaN: a box that
 * has not landed, a product that is not waited for, an operand that changes while a product is under way or that a thread wrote without gpu_async_fence. */
#ifndef TESTS_EMULATE_EMULATE_SM90_H
#define TESTS_EMULATE_EMULATE_SM90_H

#include "emulate.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gpu_tensor_map;

/* What the stand-in of cuTensorMapEncodeTiled writes. Strides of dimensions 1 on, in bytes. */
enum { EMULATE_TENSOR_MAP = 0x746d6170 };
struct emulate_tensor_map { uint32_t magic, rank; uint64_t base, dim[5], stride[4]; uint32_t box[5]; };

void emulate_mbarrier_init(uint64_t *b, int n);
void emulate_mbarrier_made(void);
void emulate_mbarrier_arrive(uint64_t *b);
void emulate_mbarrier_expect(uint64_t *b, int n_bytes);
void emulate_mbarrier_wait(uint64_t *b, uint32_t parity);
void emulate_copy_box(void *to, const struct gpu_tensor_map *map, int x, int y, int z, uint64_t *b);
void emulate_part_arrive(int id, int n_threads);
void emulate_part_wait(int id, int n_threads);

/* A tile as operand: from byte `at` of it on. block_bytes: from one block of 64 columns to the next. */
struct emulate_matrix { unsigned char *tile; int at, block_bytes; };
/* c [64][n] = or += a [64][16] b [16][n]. a: in registers where not NULL, else a matrix whose rows are its own. columns: b's rows are k, else n. */
struct emulate_product { int n; bool columns, add; const uint32_t *registers; struct emulate_matrix a, b; };
struct emulate_matrix emulate_matrix_of(const void *tile, int block_bytes);
void emulate_multiply_begin(void);
void emulate_multiply(const struct emulate_product *p, float *c);
void emulate_multiply_end(void);
void emulate_multiply_wait(int n_left);
void emulate_async_fence(void);

#ifdef __cplusplus
}

#define GPU_KERNEL_ALONE GPU_KERNEL

GPU_DEVICE int gpu_warpgroup(void) { return emulate_here.thread / WARPGROUP; }
GPU_DEVICE void *gpu_aligned_shared(void) { return emulate_dynamic_shared(); }

typedef uint64_t gpu_mbarrier;
GPU_DEVICE void gpu_mbarrier_init(gpu_mbarrier *b, int n) { emulate_mbarrier_init(b, n); }
GPU_DEVICE void gpu_mbarrier_made(void) { emulate_mbarrier_made(); }
GPU_DEVICE void gpu_mbarrier_arrive(gpu_mbarrier *b) { emulate_mbarrier_arrive(b); }
GPU_DEVICE void gpu_mbarrier_expect(gpu_mbarrier *b, int n_bytes) { emulate_mbarrier_expect(b, n_bytes); }
GPU_DEVICE void gpu_mbarrier_wait(gpu_mbarrier *b, uint32_t parity) { emulate_mbarrier_wait(b, parity); }
GPU_DEVICE void gpu_copy_box(void *to, const struct gpu_tensor_map *map, int x, int y, int z, gpu_mbarrier *b) { emulate_copy_box(to, map, x, y, z, b); }
GPU_DEVICE void gpu_async_fence(void) { emulate_async_fence(); }
GPU_DEVICE void gpu_part_wait(int id, int n_threads) { emulate_part_wait(id, n_threads); }
GPU_DEVICE void gpu_part_arrive(int id, int n_threads) { emulate_part_arrive(id, n_threads); }
template <int N> GPU_DEVICE void gpu_keep_registers(void) {}
template <int N> GPU_DEVICE void gpu_take_registers(void) {}

typedef struct emulate_matrix gpu_matrix;
GPU_DEVICE gpu_matrix gpu_matrix_of(const void *tile, int block_bytes) { return emulate_matrix_of(tile, block_bytes); }
GPU_DEVICE gpu_matrix gpu_matrix_at(gpu_matrix m, int n_bytes) { return {m.tile, m.at + n_bytes, m.block_bytes}; }
GPU_DEVICE void gpu_multiply_begin(void) { emulate_multiply_begin(); }
GPU_DEVICE void gpu_multiply_end(void) { emulate_multiply_end(); }
template <int N> GPU_DEVICE void gpu_multiply_wait(void) { emulate_multiply_wait(N); }
template <int N> GPU_DEVICE void gpu_settle(float (&)[N][4]) {}

GPU_DEVICE void gpu_multiply_rows(float (&c)[8][4], gpu_matrix a, gpu_matrix b, bool add)
{
    struct emulate_product p = {64, false, add, NULL, a, b};
    emulate_multiply(&p, &c[0][0]);
}

GPU_DEVICE void gpu_multiply_rows(float (&c)[8][4], const uint32_t (&a)[4], gpu_matrix b, bool add)
{
    struct emulate_product p = {64, false, add, a, {}, b};
    emulate_multiply(&p, &c[0][0]);
}

template <int N> GPU_DEVICE void gpu_multiply_columns(float (&c)[N][4], const uint32_t (&a)[4], gpu_matrix b)
{
    struct emulate_product p = {8 * N, true, true, a, {}, b};
    emulate_multiply(&p, &c[0][0]);
}

#endif

#endif
