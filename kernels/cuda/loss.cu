/* loss: vocabulary-parallel cross-entropy, reward head, Bradley-Terry, squared norm. Sums that a loss is made of are double. */
#include "kernels/cuda/loss.h"

#include "kernels/cuda/elems.h"

/* ---- cross-entropy: a block for each row of logits; of losses one block for all -------------------------------------------------------------- */

GPU_KERNEL(entropy_max, LOSS_THREADS, struct cross_entropy_args, a)
{
    GPU_SHARED(float, partial, [LOSS_THREADS / WARP]);
    const float *logits = a.logits + (int64_t)gpu_block_x() * a.cols;
    bool aligned = on_16(a.logits) && a.cols % 4 == 0;
    float max = -INFINITY;
    for (int64_t c = (int64_t)gpu_thread() * 4; c < a.cols; c += (int64_t)gpu_n_threads() * 4) {
        int n = (int)least(4, a.cols - c);
        struct chunk<float> x = load_chunk(logits + c, n, aligned);
        for (int j = 0; j < 4; j++)
            max = j < n ? fmaxf(max, x.x[j]) : max;
    }
    max = block_max(max, partial);
    if (gpu_thread() == 0)
        a.max[gpu_block_x()] = max;
}

GPU_KERNEL(entropy_sum, LOSS_THREADS, struct cross_entropy_args, a)
{
    GPU_SHARED(float, partial, [LOSS_THREADS / WARP]);
    unsigned row = gpu_block_x();
    const float *logits = a.logits + (int64_t)row * a.cols;
    bool aligned = on_16(a.logits) && a.cols % 4 == 0;
    float max = a.max[row], sum = 0.0f;
    for (int64_t c = (int64_t)gpu_thread() * 4; c < a.cols; c += (int64_t)gpu_n_threads() * 4) {
        int n = (int)least(4, a.cols - c);
        struct chunk<float> x = load_chunk(logits + c, n, aligned);
        for (int j = 0; j < 4; j++)
            sum += j < n ? expf(x.x[j] - max) : 0.0f;
    }
    sum = block_sum(sum, partial);
    if (gpu_thread() == 0)
        a.sum[row] = sum;
    for (int32_t i = a.prediction_first[row] + gpu_thread(); i < a.prediction_first[row + 1]; i += gpu_n_threads()) {
        int64_t c = (int64_t)a.target[i] - a.vocab_first;
        a.target_logit[i - a.prediction_first[0]] = c >= 0 && c < a.cols ? logits[c] : 0.0f;
    }
}

GPU_KERNEL(entropy_loss, LOSS_THREADS, struct cross_entropy_args, a)
{
    GPU_SHARED(double, partial, [LOSS_THREADS / WARP]);
    double loss = 0.0;
    for (int64_t r = gpu_thread(); r < a.rows; r += gpu_n_threads())
        for (int32_t i = a.prediction_first[r]; i < a.prediction_first[r + 1]; i++)
            loss += (double)a.weight[i] * ((double)a.max[r] + log((double)a.sum[r]) - (double)a.target_logit[i - a.prediction_first[0]]);
    loss = block_sum(loss, partial);
    if (gpu_thread() == 0)
        *a.loss += loss;
}

/* A chunk of logits is read before the same chunk of dlogits, which may be the same memory, is written. */
template <class T> GPU_DEVICE void entropy_backward(const struct cross_entropy_args &a)
{
    const int N = chunk_of<T>::N;
    unsigned row = gpu_block_x();
    int32_t first = a.prediction_first[row], end = a.prediction_first[row + 1];
    bool aligned = on_16(a.logits) && on_16(a.dlogits) && a.cols % N == 0;
    float weight = 0.0f, max = a.max[row];
    for (int32_t i = first; i < end; i++)
        weight += a.weight[i];
    float scale = a.scale * weight / a.sum[row];
    for (int64_t c = (int64_t)gpu_thread() * N; c < a.cols; c += (int64_t)gpu_n_threads() * N) {
        int n = (int)least(N, a.cols - c);
        float x[N];
        struct chunk<T> out;
        load_elems<N>(x, a.logits + (int64_t)row * a.cols + c, n, aligned);
        for (int j = 0; j < N; j++)
            x[j] = j < n ? scale * expf(x[j] - max) : 0.0f;
        for (int32_t i = first; i < end; i++) {
            int64_t target = (int64_t)a.target[i] - a.vocab_first - c;
            float pull = a.scale * a.weight[i];
            for (int j = 0; j < N; j++)
                x[j] -= target == j ? pull : 0.0f;
        }
        for (int j = 0; j < N; j++)
            from_float(&out.x[j], x[j]);
        store_chunk((T *)a.dlogits + (int64_t)row * a.cols + c, out, n, aligned);
    }
}

/* ---- reward head: a block for each row; backward, a thread for each chunk of columns, down the few rows in order ----------------------------- */

template <class T> GPU_DEVICE void reward_forward(const struct reward_args &a)
{
    GPU_SHARED(float, partial, [REWARD_THREADS / WARP]);
    const int N = chunk_of<T>::N;
    const T *h = (const T *)a.h + (int64_t)gpu_block_x() * a.cols;
    bool aligned = on_16(a.h) && on_16(a.w) && a.cols % N == 0;
    float sum = 0.0f;
    for (int64_t c = (int64_t)gpu_thread() * N; c < a.cols; c += (int64_t)gpu_n_threads() * N) {
        int n = (int)least(N, a.cols - c);
        struct chunk<T> x = load_chunk(h + c, n, aligned);
        float w[N];
        load_elems<N>(w, a.w + c, n, aligned);
        for (int j = 0; j < N; j++)
            sum += to_float(x.x[j]) * w[j];
    }
    sum = block_sum(sum, partial);
    if (gpu_thread() == 0)
        a.r[gpu_block_x()] = sum;
}

template <class T> GPU_DEVICE void reward_backward(const struct reward_args &a)
{
    const int N = chunk_of<T>::N;
    int64_t c = gpu_place() * N;
    bool aligned = on_16(a.h) && on_16(a.w) && on_16(a.dh) && on_16(a.dw) && a.cols % N == 0;
    if (c >= a.cols)
        return;
    int n = (int)least(N, a.cols - c);
    float w[N], dw[N];
    load_elems<N>(w, a.w + c, n, aligned);
    load_elems<N>(dw, a.dw + c, n, aligned);
    for (int64_t i = 0; i < a.rows; i++) {
        struct chunk<T> h = load_chunk((const T *)a.h + i * a.cols + c, n, aligned);
        for (int j = 0; j < N; j++) {
            dw[j] += a.dr[i] * to_float(h.x[j]);
            from_float(&h.x[j], a.dr[i] * w[j]);
        }
        store_chunk((T *)a.dh + i * a.cols + c, h, n, aligned);
    }
    store_elems<N>(a.dw + c, dw, n, aligned);
}

/* ---- Bradley-Terry: one block. Comparisons may share rewards, so changes of dr are listed and each reward's first place in the list adds its own in order -- */

struct change { int32_t reward; float by; };

GPU_DEVICE void apply_change(const struct bradley_terry_args &a, const struct change *change, int n, int own)
{
    float sum = 0.0f;
    for (int i = 0; i < own; i++)
        if (change[i].reward == change[own].reward)
            return;
    for (int i = own; i < n; i++)
        sum += change[i].reward == change[own].reward ? change[i].by : 0.0f;
    a.dr[change[own].reward] += sum;
}

GPU_KERNEL(bradley_terry, PAIR_THREADS, struct bradley_terry_args, a)
{
    GPU_SHARED(struct change, change, [2 * PAIR_THREADS]);
    GPU_SHARED(double, partial, [PAIR_THREADS / WARP]);
    double loss = 0.0, correct = 0.0, margin = 0.0;
    for (int64_t first = 0; first < a.n_comparisons; first += gpu_n_threads()) {
        int n = (int)least(gpu_n_threads(), a.n_comparisons - first), own = gpu_thread();
        if (own < n) {
            int64_t i = first + own;
            float d = a.r[a.chosen[i]] - a.r[a.rejected[i]], e = expf(-fabsf(d)), against = d >= 0.0f ? e / (1.0f + e) : 1.0f / (1.0f + e);
            double w = (double)a.weight[i];
            loss += w * (double)(fmaxf(-d, 0.0f) + log1pf(e));
            correct += d > 0.0f ? w : 0.0;
            margin += w * (double)d;
            change[2 * own] = {a.chosen[i], -a.scale * a.weight[i] * against};
            change[2 * own + 1] = {a.rejected[i], a.scale * a.weight[i] * against};
        }
        gpu_barrier();
        for (int i = own; i < 2 * n; i += gpu_n_threads())
            apply_change(a, change, 2 * n, i);
        gpu_barrier();
    }
    loss = block_sum(loss, partial);
    correct = block_sum(correct, partial);
    margin = block_sum(margin, partial);
    if (gpu_thread() == 0)
        *a.loss += loss, *a.correct += correct, *a.margin += margin;
}

/* ---- squared norm ---------------------------------------------------------------------------------------------------------------------------- */

GPU_KERNEL(squares, NORM_SQUARED_THREADS, struct squares_args, a)
{
    GPU_SHARED(double, partial, [NORM_SQUARED_THREADS / WARP]);
    int64_t first = (int64_t)gpu_block_x() * a.each, end = least(a.n_elems, first + a.each);
    bool aligned = on_16(a.x) && a.each % 4 == 0;
    double sum = 0.0;
    for (int64_t i = first + gpu_thread() * 4; i < end; i += gpu_n_threads() * 4) {
        int n = (int)least(4, end - i);
        struct chunk<float> x = load_chunk(a.x + i, n, aligned && n == 4);
        for (int j = 0; j < 4; j++)
            sum += (double)x.x[j] * (double)x.x[j];
    }
    sum = block_sum(sum, partial);
    if (gpu_thread() == 0)
        a.partial[gpu_block_x()] = sum;
}

GPU_KERNEL(add_up, NORM_SQUARED_THREADS, struct add_up_args, a)
{
    GPU_SHARED(double, partial, [NORM_SQUARED_THREADS / WARP]);
    double sum = 0.0;
    for (int64_t i = gpu_thread(); i < a.n; i += gpu_n_threads())
        sum += a.partial[i];
    sum = block_sum(sum, partial);
    if (gpu_thread() == 0)
        *a.sum += sum;
}

GPU_KERNEL_BY_DTYPE(entropy_backward, LOSS_THREADS, struct cross_entropy_args)
GPU_KERNEL_BY_DTYPE(reward_forward, REWARD_THREADS, struct reward_args)
GPU_KERNEL_BY_DTYPE(reward_backward, REWARD_THREADS, struct reward_args)
