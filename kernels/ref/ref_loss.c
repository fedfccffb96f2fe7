/* ref_loss: vocabulary-parallel cross-entropy, reward head, Bradley-Terry. */
#include <math.h>

#include "kernels/ref/ref.h"

int ref_cross_entropy_max(struct stream *stream, const struct cross_entropy_args *a)
{
    (void)stream;
    for (int64_t r = 0; r < a->rows; r++) {
        a->max[r] = -INFINITY;
        for (int64_t v = 0; v < a->cols; v++)
            a->max[r] = fmaxf(a->max[r], a->logits[r * a->cols + v]);
    }
    return OK;
}

static bool is_local(const struct cross_entropy_args *a, int64_t target) { return target >= a->vocab_first && target < a->vocab_first + a->cols; }

int ref_cross_entropy_sum(struct stream *stream, const struct cross_entropy_args *a)
{
    (void)stream;
    for (int64_t r = 0; r < a->rows; r++) {
        double sum = 0.0;
        for (int64_t v = 0; v < a->cols; v++)
            sum += exp((double)a->logits[r * a->cols + v] - (double)a->max[r]);
        a->sum[r] = (float)sum;
        for (int32_t i = a->prediction_first[r]; i < a->prediction_first[r + 1]; i++) {
            int64_t target = a->target[i];
            a->target_logit[i - a->prediction_first[0]] = is_local(a, target) ? a->logits[r * a->cols + target - a->vocab_first] : 0.0f;
        }
    }
    return OK;
}

int ref_cross_entropy_loss(struct stream *stream, const struct cross_entropy_args *a)
{
    (void)stream;
    double loss = 0.0;
    for (int64_t r = 0; r < a->rows; r++)
        for (int32_t i = a->prediction_first[r]; i < a->prediction_first[r + 1]; i++)
            loss += (double)a->weight[i] * ((double)a->max[r] + log((double)a->sum[r]) - (double)a->target_logit[i - a->prediction_first[0]]);
    *a->loss += loss;
    return OK;
}

/* Backward of a row: logits are read before dlogits, which may be the same memory, are written. */
static void row_backward(const struct cross_entropy_args *a, int64_t r)
{
    double weight = 0.0;
    for (int32_t i = a->prediction_first[r]; i < a->prediction_first[r + 1]; i++)
        weight += (double)a->weight[i];
    for (int64_t v = 0; v < a->cols; v++) {
        double g = weight * exp((double)a->logits[r * a->cols + v] - (double)a->max[r]) / (double)a->sum[r];
        for (int32_t i = a->prediction_first[r]; i < a->prediction_first[r + 1]; i++)
            if ((int64_t)a->target[i] == a->vocab_first + v)
                g -= (double)a->weight[i];
        dtype_put(a->dlogits, a->dtype, r * a->cols + v, (float)((double)a->scale * g));
    }
}

int ref_cross_entropy_backward(struct stream *stream, const struct cross_entropy_args *a)
{
    (void)stream;
    for (int64_t r = 0; r < a->rows; r++)
        row_backward(a, r);
    return OK;
}

int ref_reward_forward(struct stream *stream, const struct reward_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->rows; i++) {
        double sum = 0.0;
        for (int64_t c = 0; c < a->cols; c++)
            sum += (double)dtype_get(a->h, a->dtype, i * a->cols + c) * (double)a->w[c];
        a->r[i] = (float)sum;
    }
    return OK;
}

int ref_reward_backward(struct stream *stream, const struct reward_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t c = 0; c < a->cols; c++) {
            a->dw[c] += a->dr[i] * dtype_get(a->h, a->dtype, i * a->cols + c);
            dtype_put(a->dh, a->dtype, i * a->cols + c, a->dr[i] * a->w[c]);
        }
    return OK;
}

/* softplus(-d) without overflow: max(-d, 0) + log1p(exp(-|d|)) */
int ref_bradley_terry(struct stream *stream, const struct bradley_terry_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->n_comparisons; i++) {
        float d = a->r[a->chosen[i]] - a->r[a->rejected[i]];
        double w = (double)a->weight[i];
        float e = expf(-fabsf(d)), against = d >= 0.0f ? e / (1.0f + e) : 1.0f / (1.0f + e);
        *a->loss += w * (double)(fmaxf(-d, 0.0f) + log1pf(e));
        *a->correct += w * (d > 0.0f);
        *a->margin += w * (double)d;
        a->dr[a->chosen[i]] -= a->scale * a->weight[i] * against;
        a->dr[a->rejected[i]] += a->scale * a->weight[i] * against;
    }
    return OK;
}
