/* attention_softmax: the online softmax (arXiv 2205.14135) of a tile of scores, in the fragments of a product. For the forward kernels.
 *
 * Scores are kept times scale / ln 2, so that exp is 2^x: max is in those units. Of a row that sees none of a tile's keys nothing changes, to the bit. */
#ifndef KERNELS_CUDA_ATTENTION_SOFTMAX_H
#define KERNELS_CUDA_ATTENTION_SOFTMAX_H

#include "kernels/cuda/attention_tiles.h"

/* What a lane keeps of rows 8 half + lane / 4 of each m-tile: sum over the keys of its own columns. */
template <int M> struct softmax { float max[M][2], sum[M][2]; };

template <int M> GPU_DEVICE void softmax_start(struct softmax<M> *s)
{
    GPU_UNROLL
    for (int i = 0; i < 2 * M; i++) {
        s->max[i / 2][i % 2] = -INFINITY;
        s->sum[i / 2][i % 2] = 0.0f;
    }
}

/* Scores of keys that a row does not see become minus infinity. */
template <int N> GPU_DEVICE void hide(float (&s)[N][4], int half, int seen)
{
    GPU_UNROLL
    for (int i = 0; i < 2 * N; i++)
        if (i / 2 * 8 + gpu_lane() % 4 * 2 + i % 2 >= seen)
            s[i / 2][half * 2 + i % 2] = -INFINITY;
}

/* Here and in the sum below two chains go side by side: an operation that waits for the one before it takes four times as long as one that does not. */
template <int N> GPU_DEVICE float largest(const float (&s)[N][4], int half)
{
    float even = s[0][half * 2], odd = s[0][half * 2 + 1];
    GPU_UNROLL
    for (int n = 1; n < N; n++) {
        even = fmaxf(even, s[n][half * 2]);
        odd = fmaxf(odd, s[n][half * 2 + 1]);
    }
    float most = fmaxf(even, odd);
    most = fmaxf(most, gpu_shuffle_xor(most, 1));
    return fmaxf(most, gpu_shuffle_xor(most, 2));
}

/* Scores of half the rows of an m-tile become probabilities; returns what the sums so far must be multiplied by. */
template <int N> GPU_DEVICE float softmax_step(float (&s)[N][4], int half, float scale, float *max, float *sum)
{
    float most = fmaxf(*max, largest(s, half) * scale), base = most == -INFINITY ? 0.0f : most, factor = gpu_exp2(*max - base), total[2] = {0.0f, 0.0f};
    GPU_UNROLL
    for (int i = 0; i < 2 * N; i++) {
        float *x = &s[i / 2][half * 2 + i % 2];
        *x = gpu_exp2(fmaf(*x, scale, -base));
        total[i % 2] += *x;
    }
    *max = most;
    *sum = *sum * factor + (total[0] + total[1]);
    return factor;
}

template <int N> GPU_DEVICE void scale_rows(float (&o)[N][4], int half, float factor)
{
    GPU_UNROLL
    for (int i = 0; i < 2 * N; i++)
        o[i / 2][half * 2 + i % 2] *= factor;
}

/* Of all four lanes that hold columns of a row. */
GPU_DEVICE float sum_of_row(float sum)
{
    sum += gpu_shuffle_xor(sum, 1);
    return sum + gpu_shuffle_xor(sum, 2);
}

/* Sums become factors; lse of the rows. */
template <int M> GPU_DEVICE void softmax_end(struct softmax<M> *s, const struct attention_args &a, const struct row_tile &t, int row)
{
    GPU_UNROLL
    for (int i = 0; i < 2 * M; i++) {
        float *sum = &s->sum[i / 2][i % 2];
        *sum = sum_of_row(*sum);
        int r = row + i * 8 + gpu_lane() / 4;
        if (gpu_lane() % 4 == 0 && r < t.n)
            a.lse_HT[statistic_of(t.map, a.rows, t.first + r)] = s->max[i / 2][i % 2] * LN_2 + logf(*sum);
        *sum = 1.0f / *sum;
    }
}

#endif
