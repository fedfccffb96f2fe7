/* elementwise: bias, rotary embedding, SwiGLU, add, cast, AdamW. A thread takes a chunk (16 bytes of elements) and then the one a whole grid further on. */
#include "kernels/cuda/elementwise.h"

#include "kernels/cuda/elems.h"

/* A row's elements in chunks: thread i takes chunk i % per_row of row i / per_row. */
template <class T> GPU_DEVICE void bias_forward(const struct bias_args &a)
{
    const int N = chunk_of<T>::N;
    int64_t per_row = (a.cols + N - 1) / N;
    bool aligned = on_16(a.x) && on_16(a.bias) && a.cols % N == 0;
    for (int64_t i = gpu_place(); i < a.rows * per_row; i += gpu_places()) {
        int64_t c = i % per_row * N;
        int n = (int)least(N, a.cols - c);
        T *x = (T *)a.x + i / per_row * a.cols + c;
        struct chunk<T> own = load_chunk(x, n, aligned), bias = load_chunk((const T *)a.bias + c, n, aligned);
        for (int j = 0; j < N; j++)
            from_float(&own.x[j], to_float(own.x[j]) + to_float(bias.x[j]));
        store_chunk(x, own, n, aligned);
    }
}

/* A chunk of a head's first half with the one beside it in the second. */
template <class T> GPU_DEVICE void rope(const struct rope_args &a)
{
    const int N = chunk_of<T>::N;
    int half = a.dim / 2, per_head = (half + N - 1) / N;
    bool aligned = half % N == 0 && on_16(a.x) && on_16(a.cos) && on_16(a.sin);
    for (int64_t i = gpu_place(); i < a.rows * a.heads * per_head; i += gpu_places()) {
        int64_t head = i / per_head, row = head / a.heads;
        int d = (int)(i % per_head) * N, n = (int)least(N, half - d);
        T *first = (T *)a.x + head * a.dim + d, *second = first + half;
        struct chunk<T> x = load_chunk(first, n, aligned), y = load_chunk(second, n, aligned);
        float cos[N], sin[N];
        load_elems<N>(cos, a.cos + (int64_t)a.position[row] * half + d, n, aligned);
        load_elems<N>(sin, a.sin + (int64_t)a.position[row] * half + d, n, aligned);
        for (int j = 0; j < N; j++) {
            float u = to_float(x.x[j]), v = to_float(y.x[j]), s = a.inverse ? -sin[j] : sin[j];
            from_float(&x.x[j], u * cos[j] - v * s);
            from_float(&y.x[j], v * cos[j] + u * s);
        }
        store_chunk(first, x, n, aligned);
        store_chunk(second, y, n, aligned);
    }
}

GPU_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

template <class T> GPU_DEVICE void swiglu_forward(const struct swiglu_args &a)
{
    const int N = chunk_of<T>::N;
    bool aligned = on_16(a.gate) && on_16(a.up) && on_16(a.y);
    for (int64_t at = gpu_place() * N; at < a.n_elems; at += gpu_places() * N) {
        int n = (int)least(N, a.n_elems - at);
        bool whole = aligned && n == N;
        struct chunk<T> gate = load_chunk((const T *)a.gate + at, n, whole), up = load_chunk((const T *)a.up + at, n, whole), y;
        for (int j = 0; j < N; j++) {
            float g = to_float(gate.x[j]);
            from_float(&y.x[j], g * sigmoid(g) * to_float(up.x[j]));
        }
        store_chunk((T *)a.y + at, y, n, whole);
    }
}

/* dgate and dup may be gate and up: a chunk is read before it is written. */
template <class T> GPU_DEVICE void swiglu_backward(const struct swiglu_args &a)
{
    const int N = chunk_of<T>::N;
    bool aligned = on_16(a.gate) && on_16(a.up) && on_16(a.dy) && on_16(a.dgate) && on_16(a.dup);
    for (int64_t at = gpu_place() * N; at < a.n_elems; at += gpu_places() * N) {
        int n = (int)least(N, a.n_elems - at);
        bool whole = aligned && n == N;
        struct chunk<T> gate = load_chunk((const T *)a.gate + at, n, whole), up = load_chunk((const T *)a.up + at, n, whole), dy = load_chunk((const T *)a.dy + at, n, whole);
        for (int j = 0; j < N; j++) {
            float g = to_float(gate.x[j]), u = to_float(up.x[j]), d = to_float(dy.x[j]), s = sigmoid(g);
            from_float(&gate.x[j], d * u * s * (1.0f + g * (1.0f - s)));
            from_float(&up.x[j], d * g * s);
        }
        store_chunk((T *)a.dgate + at, gate, n, whole);
        store_chunk((T *)a.dup + at, up, n, whole);
    }
}

template <class T> GPU_DEVICE void add(const struct map_args &a)
{
    const int N = chunk_of<T>::N;
    bool aligned = on_16(a.x) && on_16(a.y);
    for (int64_t at = gpu_place() * N; at < a.n_elems; at += gpu_places() * N) {
        int n = (int)least(N, a.n_elems - at);
        bool whole = aligned && n == N;
        struct chunk<T> x = load_chunk((const T *)a.x + at, n, whole), y = load_chunk((T *)a.y + at, n, whole);
        for (int j = 0; j < N; j++)
            from_float(&y.x[j], to_float(y.x[j]) + to_float(x.x[j]));
        store_chunk((T *)a.y + at, y, n, whole);
    }
}

template <class T> GPU_DEVICE void add_parts(const struct parts_args &a)
{
    const int N = chunk_of<T>::N;
    bool aligned = on_16(a.x) && on_16(a.y) && a.n_elems % N == 0;
    for (int64_t at = gpu_place() * N; at < a.n_elems; at += gpu_places() * N) {
        int n = (int)least(N, a.n_elems - at);
        bool whole = aligned && n == N;
        float sum[N] = {};
        struct chunk<T> y;
        for (int p = 0; p < a.parts; p++) {
            struct chunk<T> x = load_chunk((const T *)a.x + p * a.n_elems + at, n, whole);
            for (int j = 0; j < N; j++)
                sum[j] += to_float(x.x[j]);
        }
        for (int j = 0; j < N; j++)
            from_float(&y.x[j], sum[j]);
        store_chunk((T *)a.y + at, y, n, whole);
    }
}

GPU_KERNEL(widen, ELEMENTWISE_THREADS, struct map_args, a)
{
    const int N = chunk_of<uint16_t>::N;
    bool aligned = on_16(a.x) && on_16(a.y);
    for (int64_t at = gpu_place() * N; at < a.n_elems; at += gpu_places() * N) {
        int n = (int)least(N, a.n_elems - at);
        bool whole = aligned && n == N;
        struct chunk<uint16_t> x = load_chunk((const uint16_t *)a.x + at, n, whole);
        float y[N];
        for (int j = 0; j < N; j++)
            y[j] = gpu_float(x.x[j]);
        store_elems<N>((float *)a.y + at, y, n, whole);
    }
}

GPU_KERNEL(narrow, ELEMENTWISE_THREADS, struct map_args, a)
{
    const int N = chunk_of<uint16_t>::N;
    bool aligned = on_16(a.x) && on_16(a.y);
    for (int64_t at = gpu_place() * N; at < a.n_elems; at += gpu_places() * N) {
        int n = (int)least(N, a.n_elems - at);
        bool whole = aligned && n == N;
        float x[N];
        struct chunk<uint16_t> y;
        load_elems<N>(x, (const float *)a.x + at, n, whole);
        for (int j = 0; j < N; j++)
            y.x[j] = gpu_bf16(x[j]);
        store_chunk((uint16_t *)a.y + at, y, n, whole);
    }
}

/* Chunks of the float32 state; param is written from the same registers. master may be param: it is written last, alike. */
template <class T> GPU_DEVICE void adamw(const struct adamw_step &step)
{
    const struct adamw_args &a = step.a;
    const int N = chunk_of<T>::N;
    bool aligned = on_16(a.master) && on_16(a.m) && on_16(a.v) && on_16(a.grad) && on_16(a.param);
    for (int64_t at = gpu_place() * N; at < a.n_elems; at += gpu_places() * N) {
        int n = (int)least(N, a.n_elems - at);
        bool whole = aligned && n == N;
        float master[N], m[N], v[N], grad[N];
        struct chunk<T> param;
        load_elems<N>(master, a.master + at, n, whole);
        load_elems<N>(m, a.m + at, n, whole);
        load_elems<N>(v, a.v + at, n, whole);
        load_elems<N>(grad, a.grad + at, n, whole);
        for (int j = 0; j < N; j++) {
            float g = grad[j] * a.grad_scale;
            m[j] = a.beta1 * m[j] + (1.0f - a.beta1) * g;
            v[j] = a.beta2 * v[j] + (1.0f - a.beta2) * g * g;
            master[j] = master[j] * (1.0f - a.lr * a.weight_decay) - a.lr * (m[j] / step.correct1) / (sqrtf(v[j] / step.correct2) + a.eps);
            from_float(&param.x[j], master[j]);
        }
        store_elems<N>(a.m + at, m, n, whole);
        store_elems<N>(a.v + at, v, n, whole);
        store_elems<N>(a.master + at, master, n, whole);
        store_chunk((T *)a.param + at, param, n, whole);
    }
}

GPU_KERNEL_BY_DTYPE(bias_forward, ELEMENTWISE_THREADS, struct bias_args)
GPU_KERNEL_BY_DTYPE(rope, ELEMENTWISE_THREADS, struct rope_args)
GPU_KERNEL_BY_DTYPE(swiglu_forward, ELEMENTWISE_THREADS, struct swiglu_args)
GPU_KERNEL_BY_DTYPE(swiglu_backward, ELEMENTWISE_THREADS, struct swiglu_args)
GPU_KERNEL_BY_DTYPE(add, ELEMENTWISE_THREADS, struct map_args)
GPU_KERNEL_BY_DTYPE(add_parts, ELEMENTWISE_THREADS, struct parts_args)
GPU_KERNEL_BY_DTYPE(adamw, ELEMENTWISE_THREADS, struct adamw_step)
