/* ref_norm: bias and RMSNorm, forward and backward. Gradients of weights are +=. */
#include <math.h>

#include "kernels/ref/ref.h"

int ref_bias_forward(struct stream *stream, const struct bias_args *a)
{
    (void)stream;
    for (int64_t t = 0; t < a->rows; t++)
        for (int64_t c = 0; c < a->cols; c++)
            dtype_put(a->x, a->dtype, t * a->cols + c, dtype_get(a->x, a->dtype, t * a->cols + c) + dtype_get(a->bias, a->dtype, c));
    return OK;
}

int ref_bias_backward(struct stream *stream, const struct bias_args *a)
{
    (void)stream;
    for (int64_t c = 0; c < a->cols; c++) {
        double sum = 0.0;
        for (int64_t t = 0; t < a->rows; t++)
            sum += (double)dtype_get(a->dy, a->dtype, t * a->cols + c);
        a->dbias[c] += (float)sum;
    }
    return OK;
}

static void norm_row_forward(const struct rmsnorm_args *a, int64_t t)
{
    int64_t at = t * a->cols;
    const void *s = a->x;
    if (a->add) {
        for (int64_t c = 0; c < a->cols; c++)
            dtype_put(a->sum, a->dtype_x, at + c, dtype_get(a->x, a->dtype_x, at + c) + dtype_get(a->add, a->dtype, at + c));
        s = a->sum;
    }
    double squares = 0.0;
    for (int64_t c = 0; c < a->cols; c++)
        squares += (double)dtype_get(s, a->dtype_x, at + c) * (double)dtype_get(s, a->dtype_x, at + c);
    a->rstd[t] = (float)(1.0 / sqrt(squares / (double)a->cols + (double)a->eps));
    for (int64_t c = 0; c < a->cols; c++)
        dtype_put(a->y, a->dtype, at + c, dtype_get(s, a->dtype_x, at + c) * a->rstd[t] * dtype_get(a->weight, a->dtype, c));
}

int ref_rmsnorm_forward(struct stream *stream, const struct rmsnorm_args *a)
{
    (void)stream;
    for (int64_t t = 0; t < a->rows; t++)
        norm_row_forward(a, t);
    return OK;
}

/* y_c = s_c r w_c, r = rstd: ds_c = r (w_c dy_c - s_c r^2 mean(s w dy)) */
static void norm_row_backward(const struct rmsnorm_args *a, int64_t t)
{
    int64_t at = t * a->cols;
    double r = (double)a->rstd[t], dot = 0.0;
    for (int64_t c = 0; c < a->cols; c++)
        dot += (double)dtype_get(a->x, a->dtype_x, at + c) * (double)dtype_get(a->weight, a->dtype, c) * (double)dtype_get(a->dy, a->dtype, at + c);
    double mean = dot / (double)a->cols;
    for (int64_t c = 0; c < a->cols; c++) {
        double s = (double)dtype_get(a->x, a->dtype_x, at + c), dy = (double)dtype_get(a->dy, a->dtype, at + c);
        double ds = r * ((double)dtype_get(a->weight, a->dtype, c) * dy - s * r * r * mean);
        double before = a->accumulate ? (double)dtype_get(a->dx, a->dtype_x, at + c) : 0.0;
        dtype_put(a->dx, a->dtype_x, at + c, (float)(before + ds));
    }
}

int ref_rmsnorm_backward(struct stream *stream, const struct rmsnorm_args *a)
{
    (void)stream;
    for (int64_t c = 0; c < a->cols; c++) {
        double sum = 0.0;
        for (int64_t t = 0; t < a->rows; t++)
            sum += (double)dtype_get(a->x, a->dtype_x, t * a->cols + c) * (double)a->rstd[t] * (double)dtype_get(a->dy, a->dtype, t * a->cols + c);
        a->dweight[c] += (float)sum;
    }
    for (int64_t t = 0; t < a->rows; t++)
        norm_row_backward(a, t);
    return OK;
}
