/* launch: a kernel as host code knows it, and the one way to start it. For C and for kernel sources.
 *
 * A kernel takes one struct by value. gpu_launch copies it, so that it may be gone when the kernel runs. */
#ifndef KERNELS_CUDA_LAUNCH_H
#define KERNELS_CUDA_LAUNCH_H

#include "kernels/device.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gpu_kernel {
    const char *name;
    const void *entry;          /* what the runtime launches */
    size_t args_bytes;          /* of the struct it takes */
    int max_threads;            /* of a block */
};

/* A tensor as the copies of gpu_sm90.h know it: made by the driver (attention_sm90.c), read by the GPU. */
#ifdef __cplusplus
struct alignas(128) gpu_tensor_map { uint64_t word[16]; };
#else
struct gpu_tensor_map { _Alignas(128) uint64_t word[16]; };
#endif

struct gpu_grid { unsigned x, y, z; };      /* blocks; a field of 0 counts as 1 */

/* Queues the kernel: blocks of n_threads (a multiple of 32), each with shared_bytes of dynamic shared memory. args is the kernel's struct. */
int gpu_launch(struct stream *stream, const struct gpu_kernel *kernel, struct gpu_grid grid, int n_threads, size_t shared_bytes, const void *args);

/* The kernel of an element type, of the two that GPU_KERNEL_BY_DTYPE defines. */
#define GPU_BY_DTYPE(name, dtype) ((dtype) == F32 ? &name##_f32 : &name##_bf16)
#define GPU_DECLARE_BY_DTYPE(name) extern const struct gpu_kernel name##_f32, name##_bf16

#ifdef __cplusplus
}
#endif

#endif
