/* rows: embedding, gather, scatter. Rows go in chunks of 16 bytes: thread i takes chunk i % per_row of row i / per_row, then the one a whole grid further on. */
#include "kernels/cuda/rows.h"

#include "kernels/cuda/elems.h"

template <class T> GPU_DEVICE int64_t chunks_of(int64_t cols) { return (cols + chunk_of<T>::N - 1) / chunk_of<T>::N; }

/* Row `to` of y = row `from` of x, from column c on; zeros where from < 0. */
template <class T> GPU_DEVICE void copy_chunk(T *y, int64_t to, const T *x, int64_t from, int64_t c, int64_t cols, bool aligned)
{
    int n = (int)least(chunk_of<T>::N, cols - c);
    struct chunk<T> row = {};
    if (from >= 0)
        row = load_chunk(x + from * cols + c, n, aligned);
    store_chunk(y + to * cols + c, row, n, aligned);
}

template <class T> GPU_DEVICE bool all_on_16(const void *x, const void *y, int64_t cols) { return on_16(x) && on_16(y) && cols % chunk_of<T>::N == 0; }

template <class T> GPU_DEVICE void embedding_forward(const struct embedding_args &a)
{
    int64_t per_row = chunks_of<T>(a.cols);
    bool aligned = all_on_16<T>(a.table, a.y, a.cols);
    for (int64_t i = gpu_place(); i < a.rows * per_row; i += gpu_places()) {
        int64_t t = i / per_row, row = (int64_t)a.token[t] - a.vocab_first;
        copy_chunk((T *)a.y, t, (const T *)a.table, row < a.vocab_count ? row : -1, i % per_row * chunk_of<T>::N, a.cols, aligned);
    }
}

template <class T> GPU_DEVICE void gather_rows(const struct rows_args &a)
{
    int64_t per_row = chunks_of<T>(a.cols);
    bool aligned = all_on_16<T>(a.x, a.y, a.cols);
    for (int64_t i = gpu_place(); i < a.n_index * per_row; i += gpu_places())
        copy_chunk((T *)a.y, i / per_row, (const T *)a.x, a.index[i / per_row], i % per_row * chunk_of<T>::N, a.cols, aligned);
}

template <class T> GPU_DEVICE void scatter_rows(const struct rows_args &a)
{
    int64_t per_row = chunks_of<T>(a.cols);
    bool aligned = all_on_16<T>(a.x, a.y, a.cols);
    for (int64_t i = gpu_place(); i < a.n_index * per_row; i += gpu_places())
        if (a.index[i / per_row] >= 0)
            copy_chunk((T *)a.y, a.index[i / per_row], (const T *)a.x, i / per_row, i % per_row * chunk_of<T>::N, a.cols, aligned);
}

template <class T> GPU_DEVICE void scatter_add_rows(const struct rows_args &a)
{
    const int N = chunk_of<T>::N;
    int64_t per_row = chunks_of<T>(a.cols);
    bool aligned = all_on_16<T>(a.x, a.y, a.cols);
    for (int64_t i = gpu_place(); i < a.n_index * per_row; i += gpu_places()) {
        int64_t to = a.index[i / per_row], c = i % per_row * N;
        int n = (int)least(N, a.cols - c);
        if (to < 0)
            continue;
        T *y = (T *)a.y + to * a.cols + c;
        struct chunk<T> sum = load_chunk(y, n, aligned), x = load_chunk((const T *)a.x + i / per_row * a.cols + c, n, aligned);
        for (int j = 0; j < N; j++)
            from_float(&sum.x[j], to_float(sum.x[j]) + to_float(x.x[j]));
        store_chunk(y, sum, n, aligned);
    }
}

/* ---- embedding backward: a block for each place in the order of tokens; the first of a token adds all its rows, in their order ---- */

template <class T> GPU_DEVICE void embedding_backward(const struct embedding_backward_args &args)
{
    const struct embedding_args &a = args.a;
    const int N = chunk_of<T>::N;
    bool aligned = all_on_16<T>(a.dy, a.dtable, a.cols);
    int64_t first = gpu_block_x();
    uint32_t key = args.place[first].key;
    if ((int64_t)key == a.vocab_count || (first > 0 && args.place[first - 1].key == key))
        return;
    for (int64_t c = (int64_t)gpu_thread() * N; c < a.cols; c += (int64_t)gpu_n_threads() * N) {
        int n = (int)least(N, a.cols - c);
        float *sum = a.dtable + key * a.cols + c, x[N];
        load_elems<N>(x, sum, n, aligned);
        for (int64_t i = first; i < a.rows && args.place[i].key == key; i++) {
            struct chunk<T> dy = load_chunk((const T *)a.dy + args.place[i].row * a.cols + c, n, aligned);
            for (int j = 0; j < N; j++)
                x[j] += to_float(dy.x[j]);
        }
        store_elems<N>(sum, x, n, aligned);
    }
}

GPU_KERNEL_BY_DTYPE(embedding_forward, ROWS_THREADS, struct embedding_args)
GPU_KERNEL_BY_DTYPE(embedding_backward, ROWS_THREADS, struct embedding_backward_args)
GPU_KERNEL_BY_DTYPE(gather_rows, ROWS_THREADS, struct rows_args)
GPU_KERNEL_BY_DTYPE(scatter_add_rows, ROWS_THREADS, struct rows_args)
GPU_KERNEL_BY_DTYPE(scatter_rows, ROWS_THREADS, struct rows_args)
