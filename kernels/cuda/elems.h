/* elems: elements of either type as floats, 16 bytes of them at a time, and sums over a warp or a block in one fixed order. */
#ifndef KERNELS_CUDA_ELEMS_H
#define KERNELS_CUDA_ELEMS_H

#include "kernels/cuda/gpu.h"

GPU_DEVICE float to_float(float x) { return x; }
GPU_DEVICE float to_float(uint16_t x) { return gpu_float(x); }
GPU_DEVICE void from_float(float *to, float x) { *to = x; }
GPU_DEVICE void from_float(uint16_t *to, float x) { *to = gpu_bf16(x); }

GPU_DEVICE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
GPU_DEVICE bool on_16(const void *p) { return (uintptr_t)p % 16 == 0; }

/* Elements in a chunk: 16 bytes of T. */
template <class T> struct chunk_of { static const int N = (int)(16 / sizeof(T)); };

template <class T> struct chunk { T x[chunk_of<T>::N]; };

/* The first n elements at `from`, zeros behind them. whole: all of the chunk is there and `from` lies on 16 bytes. */
template <class T> GPU_DEVICE struct chunk<T> load_chunk(const T *from, int n, bool whole)
{
    struct chunk<T> c;
    if (whole) {
        struct gpu_16 bytes = gpu_load16(from);
        memcpy(&c, &bytes, 16);
    } else {
        for (int i = 0; i < chunk_of<T>::N; i++)
            c.x[i] = i < n ? from[i] : (T)0;
    }
    return c;
}

template <class T> GPU_DEVICE void store_chunk(T *to, const struct chunk<T> &c, int n, bool whole)
{
    if (whole) {
        struct gpu_16 bytes;
        memcpy(&bytes, &c, 16);
        gpu_store16(to, bytes);
    } else {
        for (int i = 0; i < chunk_of<T>::N; i++)
            if (i < n)
                to[i] = c.x[i];
    }
}

/* N elements, which may be several chunks of their type (the float32 beside one of bf16): chunk by chunk. */
template <int N, class T> GPU_DEVICE void load_elems(T *x, const T *from, int n, bool whole)
{
    const int C = chunk_of<T>::N;
    for (int i = 0; i < N; i += C) {
        struct chunk<T> c = load_chunk(from + i, n - i, whole);
        for (int j = 0; j < C; j++)
            x[i + j] = c.x[j];
    }
}

template <int N, class T> GPU_DEVICE void store_elems(T *to, const T *x, int n, bool whole)
{
    const int C = chunk_of<T>::N;
    for (int i = 0; i < N; i += C) {
        struct chunk<T> c;
        for (int j = 0; j < C; j++)
            c.x[j] = x[i + j];
        store_chunk(to + i, c, n - i, whole);
    }
}

template <class V> GPU_DEVICE V warp_sum(V x)
{
    for (int mask = WARP / 2; mask > 0; mask /= 2)
        x += gpu_shuffle_xor(x, mask);
    return x;
}

GPU_DEVICE float warp_max(float x)
{
    for (int mask = WARP / 2; mask > 0; mask /= 2)
        x = fmaxf(x, gpu_shuffle_xor(x, mask));
    return x;
}

/* Over the block, the same bits in every thread. All threads come here; `partial` is shared memory of one value a warp. */
template <class V> GPU_DEVICE V block_sum(V x, V *partial)
{
    x = warp_sum(x);
    gpu_barrier();                  /* what was read of `partial` before is read */
    if (gpu_lane() == 0)
        partial[gpu_warp()] = x;
    gpu_barrier();
    V sum = 0;
    for (int w = 0; w < gpu_n_threads() / WARP; w++)
        sum += partial[w];
    return sum;
}

GPU_DEVICE float block_max(float x, float *partial)
{
    x = warp_max(x);
    gpu_barrier();
    if (gpu_lane() == 0)
        partial[gpu_warp()] = x;
    gpu_barrier();
    float max = partial[0];
    for (int w = 1; w < gpu_n_threads() / WARP; w++)
        max = fmaxf(max, partial[w]);
    return max;
}

#endif
