/* ref_attention: softmax over the keys a query sees, key by key, in double. Letters: T query rows, S key rows, H query heads, G key/value heads, D head size. */
#include <math.h>
#include <string.h>

#include "kernels/ref/ref.h"

/* One query row of one head. */
struct query { const struct attention_args *a; const struct attention_run *run; int64_t row; int head; };

static int64_t q_at(const struct query *q) { return (q->row * q->a->heads + q->head) * q->a->dim; }

static int64_t k_at(const struct query *q, int64_t key)
{
    int kv = q->head * q->a->kv_heads / q->a->heads;
    return (key * q->a->kv_heads + kv) * q->a->dim;
}

/* Keys of range i that the query sees: all, but of the last range only up to the query's own. */
static int64_t seen(const struct query *q, int i)
{
    const struct attention_range *range = &q->a->ranges[q->run->range_first + i];
    bool own = i == q->run->range_count - 1;
    return own ? range->count - q->run->q_count + (q->row - q->run->q_first) + 1 : range->count;
}

static double dot(const void *x, int64_t x_at, const void *y, int64_t y_at, enum dtype dtype, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += (double)dtype_get(x, dtype, x_at + i) * (double)dtype_get(y, dtype, y_at + i);
    return sum;
}

static double score(const struct query *q, int64_t key)
{
    return (double)q->a->scale * dot(q->a->q_THD, q_at(q), q->a->k_SGD, k_at(q, key), q->a->dtype, q->a->dim);
}

static double log_sum_exp(const struct query *q)
{
    double max = -INFINITY, sum = 0.0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < q->run->range_count; i++) {
            int64_t first = q->a->ranges[q->run->range_first + i].first;
            for (int64_t j = 0; j < seen(q, i); j++) {
                double s = score(q, first + j);
                if (pass == 0)
                    max = s > max ? s : max;
                else
                    sum += exp(s - max);
            }
        }
    return max + log(sum);
}

static void query_forward(const struct query *q)
{
    const struct attention_args *a = q->a;
    double lse = log_sum_exp(q), o[1024] = {0};
    for (int i = 0; i < q->run->range_count; i++) {
        int64_t first = a->ranges[q->run->range_first + i].first;
        for (int64_t j = 0; j < seen(q, i); j++) {
            double p = exp(score(q, first + j) - lse);
            for (int d = 0; d < a->dim; d++)
                o[d] += p * (double)dtype_get(a->v_SGD, a->dtype, k_at(q, first + j) + d);
        }
    }
    for (int d = 0; d < a->dim; d++)
        dtype_put(a->o_THD, a->dtype, q_at(q) + d, (float)o[d]);
    a->lse_HT[q->head * a->rows + q->row] = (float)lse;
}

/* An empty forest has no memory to clear. */
static void clear(void *x, enum dtype dtype, int64_t n_elems)
{
    if (n_elems > 0)
        memset(x, 0, (size_t)n_elems * dtype_bytes(dtype));
}

/* Reads the plan as it is. */
int ref_attention_prepare(struct stream *stream, const struct attention_args *a, bool *fixed)
{
    (void)stream, (void)a;
    *fixed = false;
    return OK;
}

int ref_attention_forward(struct stream *stream, const struct attention_args *a)
{
    (void)stream;
    ASSERT(a->dim <= 1024);
    clear(a->o_THD, a->dtype, a->rows * a->heads * a->dim);
    for (int r = 0; r < a->n_runs; r++)
        for (int64_t t = 0; t < a->runs[r].q_count; t++)
            for (int h = 0; h < a->heads; h++)
                query_forward(&(struct query){a, &a->runs[r], a->runs[r].q_first + t, h});
    return OK;
}

/* ---- backward: P = exp(S - lse), dP = do V', dS = P (dP - delta), delta = sum(o do) ---- */

static double p_of(const struct query *q, int64_t key) { return exp(score(q, key) - (double)q->a->lse_HT[q->head * q->a->rows + q->row]); }

static double ds_of(const struct query *q, int64_t key, double p)
{
    const struct attention_args *a = q->a;
    double dp = dot(a->do_THD, q_at(q), a->v_SGD, k_at(q, key), a->dtype, a->dim);
    return p * (dp - (double)a->delta_HT[q->head * a->rows + q->row]) * (double)a->scale;
}

static void query_backward(const struct query *q)
{
    const struct attention_args *a = q->a;
    double dq[1024] = {0};
    a->delta_HT[q->head * a->rows + q->row] = (float)dot(a->o_THD, q_at(q), a->do_THD, q_at(q), a->dtype, a->dim);
    for (int i = 0; i < q->run->range_count; i++) {
        int64_t first = a->ranges[q->run->range_first + i].first;
        for (int64_t j = 0; j < seen(q, i); j++) {
            double ds = ds_of(q, first + j, p_of(q, first + j));
            for (int d = 0; d < a->dim; d++)
                dq[d] += ds * (double)dtype_get(a->k_SGD, a->dtype, k_at(q, first + j) + d);
        }
    }
    for (int d = 0; d < a->dim; d++)
        dtype_put(a->dq_THD, a->dtype, q_at(q) + d, (float)dq[d]);
}

static void key_backward(const struct attention_args *a, const struct attention_key_run *run, int64_t key, int kv)
{
    double dk[1024] = {0}, dv[1024] = {0};
    int group = a->heads / a->kv_heads;
    for (int64_t t = key; t < run->see_end; t++)                /* its own node from itself on, then all below */
        for (int h = kv * group; h < (kv + 1) * group; h++) {
            struct query q = {a, NULL, t, h};
            double p = p_of(&q, key), ds = ds_of(&q, key, p);
            for (int d = 0; d < a->dim; d++) {
                dk[d] += ds * (double)dtype_get(a->q_THD, a->dtype, q_at(&q) + d);
                dv[d] += p * (double)dtype_get(a->do_THD, a->dtype, q_at(&q) + d);
            }
        }
    for (int d = 0; d < a->dim; d++) {
        dtype_put(a->dk_SGD, a->dtype, (key * a->kv_heads + kv) * a->dim + d, (float)dk[d]);
        dtype_put(a->dv_SGD, a->dtype, (key * a->kv_heads + kv) * a->dim + d, (float)dv[d]);
    }
}

int ref_attention_backward(struct stream *stream, const struct attention_args *a)
{
    (void)stream;
    ASSERT(a->dim <= 1024);
    clear(a->dq_THD, a->dtype, a->rows * a->heads * a->dim);
    clear(a->dk_SGD, a->dtype, a->key_rows * a->kv_heads * a->dim);
    clear(a->dv_SGD, a->dtype, a->key_rows * a->kv_heads * a->dim);
    for (int r = 0; r < a->n_runs; r++)
        for (int64_t t = 0; t < a->runs[r].q_count; t++)
            for (int h = 0; h < a->heads; h++)
                query_backward(&(struct query){a, &a->runs[r], a->runs[r].q_first + t, h});
    for (int r = 0; r < a->n_key_runs; r++)
        for (int64_t k = 0; k < a->key_runs[r].k_count; k++)
            for (int kv = 0; kv < a->kv_heads; kv++)
                key_backward(a, &a->key_runs[r], a->key_runs[r].k_first + k, kv);
    return OK;
}
