/* gpu_sm90: words for kernels of Hopper GPUs (compute capability 9.0; sources named *_sm90*.cu, compiled for sm_90a alone). Beside those of gpu.h:
 *   GPU_KERNEL_ALONE                                            as GPU_KERNEL: a kernel whose blocks may have all registers of a multiprocessor
 *   gpu_warpgroup()                                             which 128 threads of the block this one is among; all lanes of a warp come here
 *   gpu_aligned_shared()                                        dynamic shared memory, on 1024 bytes
 *   gpu_mbarrier, _init, _made, _arrive, _expect, _wait         a barrier in shared memory that counts arrivals and bytes of copies; phases are numbered by their parity
 *   gpu_copy_box                                                a box of a tensor to shared memory, by one thread, behind everybody's back; counted by an mbarrier
 *   gpu_async_fence()                                           what this thread has written to shared memory is seen by warpgroup products and copies
 *   gpu_part_wait, gpu_part_arrive                              a barrier of some of the block's warps: numbers 1 to 15
 *   gpu_keep_registers, gpu_take_registers                      registers go from one warpgroup to another
 *   gpu_matrix, gpu_matrix_of, gpu_matrix_at                    a tile in shared memory as an operand of a warpgroup's product
 *   gpu_multiply_rows, _columns, _begin, _end, _wait            products of a warpgroup (128 threads, from a multiple of 128 on), under way until waited for
 *   gpu_settle(c)                                               the compiler keeps what is done with c on its side of this place
 *
 * A tile holds [rows][64] bf16 in rows of 128 bytes, from a multiple of 1024 bytes on; the 16-byte chunk c of row r stands at chunk c ^ (r % 8). A tile of D columns is D / 64 such
 * blocks. The tensor map makes copies write this form, and products read it. */
#ifndef KERNELS_CUDA_GPU_SM90_H
#define KERNELS_CUDA_GPU_SM90_H

#include "kernels/cuda/gpu.h"

enum { WARPGROUP = 128, BLOCK_COLUMNS = 64 };

#ifdef __CUDACC__

#define GPU_KERNEL_ALONE(name, max_threads, type, a)                                                                                      \
    extern "C" __global__ void __launch_bounds__(max_threads, 1) name##_entry(const __grid_constant__ type a);                            \
    extern "C" { extern const struct gpu_kernel name; const struct gpu_kernel name = {#name, (const void *)name##_entry, sizeof(type), max_threads}; } \
    extern "C" __global__ void __launch_bounds__(max_threads, 1) name##_entry(const __grid_constant__ type a)

/* By a shuffle, so that the compiler knows it to be the same in all lanes. */
GPU_DEVICE int gpu_warpgroup(void) { return __shfl_sync(0xffffffffu, (int)threadIdx.x / WARPGROUP, 0); }

GPU_DEVICE void *gpu_aligned_shared(void)
{
    extern __shared__ __align__(1024) unsigned char aligned_shared[];
    return aligned_shared;
}

typedef uint64_t gpu_mbarrier;

/* n arrivals end a phase, together with the bytes that were said to come. Behind init: gpu_mbarrier_made, by the same thread, and a barrier of the block. */
GPU_DEVICE void gpu_mbarrier_init(gpu_mbarrier *b, int n) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(gpu_shared_address(b)), "r"(n) : "memory"); }
GPU_DEVICE void gpu_mbarrier_made(void) { asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory"); }
GPU_DEVICE void gpu_mbarrier_arrive(gpu_mbarrier *b) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(gpu_shared_address(b)) : "memory"); }

/* Arrives, and says that n_bytes will come. */
GPU_DEVICE void gpu_mbarrier_expect(gpu_mbarrier *b, int n_bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(gpu_shared_address(b)), "r"(n_bytes) : "memory");
}

/* Until the phase of this parity has ended: phase 0 is the first; the one before it counts as ended. */
GPU_DEVICE void gpu_mbarrier_wait(gpu_mbarrier *b, uint32_t parity)
{
    uint32_t ended;
    do
        asm volatile("{\n\t.reg .pred p;\n\tmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, p;\n\t}"
                     : "=r"(ended) : "r"(gpu_shared_address(b)), "r"(parity) : "memory");
    while (!ended);
}

/* The map's box from element (x, y, z) on to `to`, on 1024 bytes; zeros where the tensor has nothing. The whole box counts. */
GPU_DEVICE void gpu_copy_box(void *to, const struct gpu_tensor_map *map, int x, int y, int z, gpu_mbarrier *b)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];"
                 :: "r"(gpu_shared_address(to)), "l"(map), "r"(x), "r"(y), "r"(z), "r"(gpu_shared_address(b)) : "memory");
}

GPU_DEVICE void gpu_async_fence(void) { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
GPU_DEVICE void gpu_part_wait(int id, int n_threads) { asm volatile("bar.sync %0, %1;" :: "r"(id), "r"(n_threads) : "memory"); }
GPU_DEVICE void gpu_part_arrive(int id, int n_threads) { asm volatile("bar.arrive %0, %1;" :: "r"(id), "r"(n_threads) : "memory"); }
template <int N> GPU_DEVICE void gpu_keep_registers(void) { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(N)); }
template <int N> GPU_DEVICE void gpu_take_registers(void) { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(N)); }

/* The matrix descriptor: address, bytes between blocks of 64 columns, bytes between groups of 8 rows, kind of swizzle. */
typedef uint64_t gpu_matrix;
GPU_DEVICE gpu_matrix gpu_matrix_of(const void *tile, int block_bytes)
{
    return (uint64_t)(gpu_shared_address(tile) >> 4) | (uint64_t)(block_bytes >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

GPU_DEVICE gpu_matrix gpu_matrix_at(gpu_matrix m, int n_bytes) { return m + (uint64_t)(n_bytes >> 4); }

/* begin: accumulators and operands in registers are as the products shall find them. end: the products since the last end are a group. wait<N>: until all but the newest N groups are
 * done. settle: what the code before it says of c is done before it, what the code behind it says behind it: needed of accumulators behind a wait, since a compiler does not know that
 * they change there, and before a wait of what shall be done while products are under way. */
GPU_DEVICE void gpu_multiply_begin(void) { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
GPU_DEVICE void gpu_multiply_end(void) { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> GPU_DEVICE void gpu_multiply_wait(void) { asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory"); }

template <int N> GPU_DEVICE void gpu_settle(float (&c)[N][4])
{
    GPU_UNROLL
    for (int i = 0; i < 4 * N; i++)
        asm volatile("" : "+f"(c[i / 4][i % 4]) :: "memory");
}

#define GPU_C4(c, i) "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
#define GPU_C32(c, i) GPU_C4(c, i), GPU_C4(c, i + 1), GPU_C4(c, i + 2), GPU_C4(c, i + 3), GPU_C4(c, i + 4), GPU_C4(c, i + 5), GPU_C4(c, i + 6), GPU_C4(c, i + 7)
#define GPU_NAMES32 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define GPU_NAMES64                                                                                                                                                      \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, " \
    "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"

/* c [64][8 N] = or += a [64][16] b [16][8 N], one instruction. Of c and of an operand a in registers, lane l of warp w holds what gpu_mma_bf16_16x8x16 says, of rows 16 w on. An operand
 * in shared memory begins at its matrix. rows: b's rows are n and its columns k. columns: its rows are k and its columns n. add: += rather than =. */
GPU_DEVICE void gpu_multiply_rows(float (&c)[8][4], gpu_matrix a, gpu_matrix b, bool add)
{
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %34, 0;\n\twgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " GPU_NAMES32 ", %32, %33, p, 1, 1, 0, 0;\n\t}"
                 : GPU_C32(c, 0) : "l"(a), "l"(b), "r"((int)add));
}

GPU_DEVICE void gpu_multiply_rows(float (&c)[8][4], const uint32_t (&a)[4], gpu_matrix b, bool add)
{
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %37, 0;\n\twgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " GPU_NAMES32 ", {%32, %33, %34, %35}, %36, p, 1, 1, 0;\n\t}"
                 : GPU_C32(c, 0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));
}

GPU_DEVICE void gpu_multiply_columns(float (&c)[8][4], const uint32_t (&a)[4], gpu_matrix b)
{
    asm volatile("{\n\t.reg .pred p;\n\tsetp.eq.b32 p, 1, 1;\n\twgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " GPU_NAMES32 ", {%32, %33, %34, %35}, %36, p, 1, 1, 1;\n\t}"
                 : GPU_C32(c, 0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

GPU_DEVICE void gpu_multiply_columns(float (&c)[16][4], const uint32_t (&a)[4], gpu_matrix b)
{
    asm volatile("{\n\t.reg .pred p;\n\tsetp.eq.b32 p, 1, 1;\n\twgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 " GPU_NAMES64 ", {%64, %65, %66, %67}, %68, p, 1, 1, 1;\n\t}"
                 : GPU_C32(c, 0), GPU_C32(c, 8) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

#else
#include "emulate_sm90.h"
#endif

#endif
