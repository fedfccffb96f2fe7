/* gpu: the words that kernel sources are written in.
 *
 * A kernel source (kernels/cuda/NAME.cu) is C with templates over the element type. nvcc compiles it for GPUs; g++ compiles the same text against
 * tests/emulate/include/emulate.h, and its threads run on the CPU. So it says everything that is not plain arithmetic by a name defined here:
 *   GPU_KERNEL(name, max_threads, struct type, a) { ... }       a kernel that takes one struct; the object `name` is what gpu_launch takes
 *   GPU_KERNEL_BY_DTYPE(name, max_threads, struct type)         name_f32 and name_bf16, from the template `name`
 *   GPU_SHARED(type, name, [n])                                 shared memory of the block, not initialised
 *   gpu_dynamic_shared()                                        that of the launch, on 16 bytes
 *   gpu_thread, gpu_n_threads, gpu_block_x, ...                 where this thread is (blocks have one dimension)
 *   gpu_barrier()                                               all threads of the block come here before any goes on
 *   gpu_shuffle, gpu_shuffle_xor, gpu_ballot, gpu_warp_barrier  all 32 lanes of a warp take part
 *   gpu_load16, gpu_store16                                     16 bytes at once, on 16 bytes
 *   GPU_REGISTERS(type, name, [n])                              an array of this thread's, not initialised, where a compiler cannot see that it is filled before it is read
 *   gpu_mma_bf16_16x8x16                                        c += a b on tensor cores: see below for who holds what
 *   gpu_load_matrix4, gpu_load_matrix4_transposed               four 8 x 8 matrices of bf16 out of shared memory, as that instruction wants them
 *   gpu_copy_async16, _async4, gpu_copy_commit, gpu_copy_wait   global to shared memory, behind the thread's back
 *   GPU_UNROLL                                                  before a loop whose arrays are to be registers
 * No kernel uses atomics: sums have one fixed order. Words for Hopper alone: gpu_sm90.h.
 */
#ifndef KERNELS_CUDA_GPU_H
#define KERNELS_CUDA_GPU_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cuda/launch.h"

enum { WARP = 32 };

struct alignas(16) gpu_16 { uint32_t word[4]; };

#ifdef __CUDACC__

#define GPU_DEVICE static __device__ __forceinline__

#define GPU_KERNEL(name, max_threads, type, a)                                                                                            \
    extern "C" __global__ void __launch_bounds__(max_threads) name##_entry(const __grid_constant__ type a);                               \
    extern "C" { extern const struct gpu_kernel name; const struct gpu_kernel name = {#name, (const void *)name##_entry, sizeof(type), max_threads}; } \
    extern "C" __global__ void __launch_bounds__(max_threads) name##_entry(const __grid_constant__ type a)

#define GPU_SHARED(type, name, dims) __shared__ type name dims
#define GPU_REGISTERS(type, name, dims) type name dims
#define GPU_UNROLL _Pragma("unroll")

GPU_DEVICE int gpu_thread(void) { return (int)threadIdx.x; }
GPU_DEVICE int gpu_n_threads(void) { return (int)blockDim.x; }
GPU_DEVICE unsigned gpu_block_x(void) { return blockIdx.x; }
GPU_DEVICE unsigned gpu_block_y(void) { return blockIdx.y; }
GPU_DEVICE unsigned gpu_block_z(void) { return blockIdx.z; }
GPU_DEVICE unsigned gpu_n_blocks_x(void) { return gridDim.x; }
GPU_DEVICE void gpu_barrier(void) { __syncthreads(); }
GPU_DEVICE void gpu_warp_barrier(void) { __syncwarp(); }
template <class T> GPU_DEVICE T gpu_shuffle(T x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
template <class T> GPU_DEVICE T gpu_shuffle_xor(T x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
GPU_DEVICE uint32_t gpu_ballot(bool x) { return __ballot_sync(0xffffffffu, x); }
GPU_DEVICE int gpu_popcount(uint32_t x) { return __popc(x); }

GPU_DEVICE void *gpu_dynamic_shared(void)
{
    extern __shared__ struct gpu_16 dynamic_shared[];
    return dynamic_shared;
}

GPU_DEVICE struct gpu_16 gpu_load16(const void *from)
{
    uint4 x = *(const uint4 *)from;
    return {{x.x, x.y, x.z, x.w}};
}

GPU_DEVICE void gpu_store16(void *to, struct gpu_16 x) { *(uint4 *)to = make_uint4(x.word[0], x.word[1], x.word[2], x.word[3]); }

/* to nearest, ties to even */
GPU_DEVICE uint16_t gpu_bf16(float x)
{
    uint16_t y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

/* `low` in bits 0-15 */
GPU_DEVICE uint32_t gpu_bf16_pair(float low, float high)
{
    uint32_t y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

GPU_DEVICE float gpu_float(uint16_t x) { return __uint_as_float((uint32_t)x << 16); }
GPU_DEVICE uint32_t gpu_bits(float x) { return __float_as_uint(x); }

/* 2^x within 2 units in the last place; 0 for minus infinity */
GPU_DEVICE float gpu_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* A warp: c [16][8] float32 += a [16][16] b [16][8], both bf16. Lane l, with r = l / 4 and e = 2 (l % 4), holds
 *   a: [r][e, e+1], [r+8][e, e+1], [r][e+8, e+9], [r+8][e+8, e+9]     b: [e, e+1][r], [e+8, e+9][r]     c: [r][e], [r][e+1], [r+8][e], [r+8][e+1] */
GPU_DEVICE void gpu_mma_bf16_16x8x16(float *c, const uint32_t *a, const uint32_t *b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

GPU_DEVICE uint32_t gpu_shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

/* A warp: lane l names row l % 8 (8 bf16, on 16 bytes) of matrix l / 8; x[i] is [l / 4][2 (l % 4), + 1] of matrix i, or of its transpose. */
GPU_DEVICE void gpu_load_matrix4(uint32_t *x, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(gpu_shared_address(row)) : "memory");
}

GPU_DEVICE void gpu_load_matrix4_transposed(uint32_t *x, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(gpu_shared_address(row)) : "memory");
}

/* Begins to copy to shared memory: from global memory, or zeros where there is nothing to copy. commit ends a group of this thread's copies; wait<N> goes on when all but the
 * newest N groups are there, for this thread: others see them behind a barrier. */
GPU_DEVICE void gpu_copy_async16(void *to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(gpu_shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(there ? 16 : 0) : "memory");
}

GPU_DEVICE void gpu_copy_async4(void *to, const void *from, bool there)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" :: "r"(gpu_shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(there ? 4 : 0) : "memory");
}

GPU_DEVICE void gpu_copy_commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> GPU_DEVICE void gpu_copy_wait(void) { asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory"); }

#else
#include "emulate.h"
#endif

GPU_DEVICE int gpu_lane(void) { return gpu_thread() % WARP; }
GPU_DEVICE int gpu_warp(void) { return gpu_thread() / WARP; }

/* This thread's place among all threads of a grid of one dimension, and their number. */
GPU_DEVICE int64_t gpu_place(void) { return (int64_t)gpu_block_x() * gpu_n_threads() + gpu_thread(); }
GPU_DEVICE int64_t gpu_places(void) { return (int64_t)gpu_n_blocks_x() * gpu_n_threads(); }

#define GPU_KERNEL_BY_DTYPE(name, max_threads, type)                      \
    GPU_KERNEL(name##_f32, max_threads, type, a) { name<float>(a); }      \
    GPU_KERNEL(name##_bf16, max_threads, type, a) { name<uint16_t>(a); }

#endif
