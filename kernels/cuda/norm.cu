/* norm: RMSNorm forward and backward, sums over rows. A row is read once and kept in registers; the weights, which all rows share, come from the cache.
 * T is the type of rmsnorm_args.dtype, X that of dtype_x; a chunk is 16 bytes of T, and as many elements of X. */
#include "kernels/cuda/norm.h"

#include "kernels/cuda/elems.h"

/* The threads that share a row. Teams that are warps lie side by side in a block. */
struct team { int thread, n_threads; int64_t first, step; /* rows */ };

template <bool PER_WARP> GPU_DEVICE struct team team_of(void)
{
    if (PER_WARP)
        return {gpu_lane(), WARP, gpu_place() / WARP, gpu_places() / WARP};
    return {gpu_thread(), gpu_n_threads(), (int64_t)gpu_block_x(), (int64_t)gpu_n_blocks_x()};
}

template <bool PER_WARP> GPU_DEVICE float team_sum(float x, float *partial) { return PER_WARP ? warp_sum(x) : block_sum(x, partial); }

template <bool PER_WARP> struct chunks_of_thread { static const int N = PER_WARP ? 1 : NORM_CHUNKS; };

/* Column of a thread's chunk k, and how much of the chunk is in the row. The forward counts columns in 32 bits: with 64 its registers do not suffice on every GPU (ci/bench.sh kernels --static). */
template <class T> GPU_DEVICE int column(const struct team &team, int k) { return (k * team.n_threads + team.thread) * chunk_of<T>::N; }
template <class T> GPU_DEVICE int in_row(int64_t c, int64_t cols) { return c >= cols ? 0 : (int)least(chunk_of<T>::N, cols - c); }
template <class T> GPU_DEVICE int in_row(int c, int cols)
{
    int left = cols - c;
    return left <= 0 ? 0 : left < chunk_of<T>::N ? left : chunk_of<T>::N;
}

template <class T> GPU_DEVICE bool norm_aligned(const struct rmsnorm_args &a, const void *x, const void *y, const void *z)
{
    return a.cols % chunk_of<T>::N == 0 && on_16(a.weight) && on_16(x) && on_16(y) && on_16(z);
}

/* s = x (+ add, stored): returns this thread's share of sum(s^2). */
template <class X, class T, int CHUNKS> GPU_DEVICE float load_row(const struct rmsnorm_args &a, const struct team &team, int64_t row, bool aligned, X *s)
{
    const int N = chunk_of<T>::N;
    float squares = 0.0f;
    GPU_UNROLL
    for (int k = 0; k < CHUNKS; k++) {
        int c = column<T>(team, k), n = in_row<T>(c, (int)a.cols);
        int64_t at = row * a.cols + c;
        if (n == 0)
            break;
        load_elems<N>(s + k * N, (const X *)a.x + at, n, aligned);
        if (a.add) {
            struct chunk<T> add = load_chunk((const T *)a.add + at, n, aligned);
            for (int j = 0; j < N; j++)
                from_float(&s[k * N + j], to_float(s[k * N + j]) + to_float(add.x[j]));
            store_elems<N>((X *)a.sum + at, s + k * N, n, aligned);
        }
        for (int j = 0; j < N; j++)
            squares += to_float(s[k * N + j]) * to_float(s[k * N + j]);
    }
    return squares;
}

template <class X, class T, bool PER_WARP> GPU_DEVICE void norm_forward(const struct rmsnorm_args &a, float *partial)
{
    const int N = chunk_of<T>::N, CHUNKS = chunks_of_thread<PER_WARP>::N;
    struct team team = team_of<PER_WARP>();
    bool aligned = norm_aligned<T>(a, a.x, a.y, a.add ? a.sum : a.y) && on_16(a.add);
    for (int64_t row = team.first; row < a.rows; row += team.step) {
        GPU_REGISTERS(X, s, [CHUNKS * N]);
        float rstd = 1.0f / sqrtf(team_sum<PER_WARP>(load_row<X, T, CHUNKS>(a, team, row, aligned, s), partial) / (float)a.cols + a.eps);
        if (team.thread == 0)
            a.rstd[row] = rstd;
        GPU_UNROLL
        for (int k = 0; k < CHUNKS; k++) {
            int c = column<T>(team, k), n = in_row<T>(c, (int)a.cols);
            if (n == 0)
                break;
            struct chunk<T> weight = load_chunk((const T *)a.weight + c, n, aligned), y;
            for (int j = 0; j < N; j++)
                from_float(&y.x[j], to_float(s[k * N + j]) * rstd * to_float(weight.x[j]));
            store_chunk((T *)a.y + row * a.cols + c, y, n, aligned);
        }
    }
}

/* y_c = s_c r w_c: ds_c = r (w_c dy_c - s_c r^2 mean(s w dy)), dw_c = sum over rows of s_c r dy_c. */
template <class X, class T, bool PER_WARP> GPU_DEVICE void row_backward(const struct norm_backward_args &b, const struct team &team, int64_t row, bool aligned, float *dweight, float *partial)
{
    const struct rmsnorm_args &a = b.a;
    const int N = chunk_of<T>::N, CHUNKS = chunks_of_thread<PER_WARP>::N;
    GPU_REGISTERS(X, s, [CHUNKS * N]);
    GPU_REGISTERS(struct chunk<T>, dy, [CHUNKS]);
    const int64_t cols = a.cols;
    float r = a.rstd[row], dot = 0.0f;
    GPU_UNROLL
    for (int k = 0; k < CHUNKS; k++) {
        int64_t c = column<T>(team, k);
        int n = in_row<T>(c, cols);
        if (n == 0)
            break;
        load_elems<N>(s + k * N, (const X *)a.x + row * cols + c, n, aligned);
        dy[k] = load_chunk((const T *)a.dy + row * cols + c, n, aligned);
        struct chunk<T> weight = load_chunk((const T *)a.weight + c, n, aligned);
        for (int j = 0; j < N; j++) {
            dot += to_float(s[k * N + j]) * to_float(weight.x[j]) * to_float(dy[k].x[j]);
            dweight[k * N + j] += to_float(s[k * N + j]) * r * to_float(dy[k].x[j]);
        }
    }
    float pull = team_sum<PER_WARP>(dot, partial) / (float)cols * r * r;
    GPU_UNROLL
    for (int k = 0; k < CHUNKS; k++) {
        int64_t c = column<T>(team, k);
        int n = in_row<T>(c, cols);
        if (n == 0)
            break;
        X *dx = (X *)a.dx + row * cols + c, out[N] = {};
        struct chunk<T> weight = load_chunk((const T *)a.weight + c, n, aligned);
        if (a.accumulate)
            load_elems<N>(out, dx, n, aligned);
        for (int j = 0; j < N; j++)
            from_float(&out[j], to_float(out[j]) + r * (to_float(weight.x[j]) * to_float(dy[k].x[j]) - to_float(s[k * N + j]) * pull));
        store_elems<N>(dx, out, n, aligned);
    }
}

/* A part's rows are one team's, so its dweight stays in registers. */
template <class X, class T, bool PER_WARP> GPU_DEVICE void norm_backward(const struct norm_backward_args &b, float *partial)
{
    const struct rmsnorm_args &a = b.a;
    const int N = chunk_of<T>::N, CHUNKS = chunks_of_thread<PER_WARP>::N;
    struct team team = team_of<PER_WARP>();
    bool aligned = norm_aligned<T>(a, a.x, a.dy, a.dx);
    float dweight[CHUNKS * N];
    for (int i = 0; i < CHUNKS * N; i++)
        dweight[i] = 0.0f;
    int64_t first = team.first * b.rows_of_part;
    for (int64_t row = first; row < least(a.rows, first + b.rows_of_part); row++)
        row_backward<X, T, PER_WARP>(b, team, row, aligned, dweight, partial);
    GPU_UNROLL
    for (int k = 0; k < CHUNKS; k++) {
        int64_t c = column<T>(team, k);
        int n = in_row<T>(c, a.cols);
        if (n > 0 && first < a.rows)
            store_elems<N>(b.partial + team.first * a.cols + c, dweight + k * N, n, aligned);
    }
}

template <class X, class T> GPU_DEVICE void norm_forward_warp(const struct rmsnorm_args &a) { norm_forward<X, T, true>(a, NULL); }
template <class X, class T> GPU_DEVICE void norm_backward_warp(const struct norm_backward_args &b) { norm_backward<X, T, true>(b, NULL); }

template <class X, class T> GPU_DEVICE void norm_forward_block(const struct rmsnorm_args &a)
{
    GPU_SHARED(float, partial, [NORM_THREADS / WARP]);
    norm_forward<X, T, false>(a, partial);
}

template <class X, class T> GPU_DEVICE void norm_backward_block(const struct norm_backward_args &b)
{
    GPU_SHARED(float, partial, [NORM_THREADS / WARP]);
    norm_backward<X, T, false>(b, partial);
}

/* ---- sums over rows -------------------------------------------------------------------------------------------------------------------------- */

template <class T> GPU_DEVICE void sum_rows(const struct sum_rows_args &a)
{
    const int N = chunk_of<T>::N;
    int64_t c = gpu_place() * N, first = (int64_t)gpu_block_y() * a.rows_of_part;
    int n = in_row<T>(c, a.cols);
    bool aligned = a.cols % N == 0 && on_16(a.x);
    float sum[N];
    if (n == 0)
        return;
    for (int j = 0; j < N; j++)
        sum[j] = 0.0f;
    for (int64_t t = first; t < least(a.rows, first + a.rows_of_part); t++) {
        struct chunk<T> x = load_chunk((const T *)a.x + t * a.cols + c, n, aligned);
        for (int j = 0; j < N; j++)
            sum[j] += to_float(x.x[j]);
    }
    store_elems<N>(a.partial + (int64_t)gpu_block_y() * a.cols + c, sum, n, aligned);
}

GPU_KERNEL(sum_parts, SUM_THREADS, struct sum_parts_args, a)
{
    int64_t c = gpu_place();
    if (c >= a.cols)
        return;
    float sum = 0.0f;
    for (int64_t p = 0; p < a.n_parts; p++)
        sum += a.partial[p * a.cols + c];
    a.sum[c] += sum;
}

#define NORM_KERNEL(name, max_threads, type)                                      \
    GPU_KERNEL(name##_f32, max_threads, type, a) { name<float, float>(a); }       \
    GPU_KERNEL(name##_bf16, max_threads, type, a) { name<uint16_t, uint16_t>(a); } \
    GPU_KERNEL(name##_residual, max_threads, type, a) { name<float, uint16_t>(a); }

NORM_KERNEL(norm_forward_warp, WARP_NORM_THREADS, struct rmsnorm_args)
NORM_KERNEL(norm_forward_block, NORM_THREADS, struct rmsnorm_args)
NORM_KERNEL(norm_backward_warp, WARP_NORM_THREADS, struct norm_backward_args)
NORM_KERNEL(norm_backward_block, NORM_THREADS, struct norm_backward_args)
GPU_KERNEL_BY_DTYPE(sum_rows, SUM_THREADS, struct sum_rows_args)
