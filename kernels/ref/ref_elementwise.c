/* ref_elementwise: rotary embedding, SwiGLU, add, cast. */
#include <math.h>

#include "kernels/ref/ref.h"

static void rotate_head(const struct rope_args *a, int64_t at, const float *cos_D, const float *sin_D)
{
    int half = a->dim / 2;
    for (int i = 0; i < half; i++) {
        float c = cos_D[i], s = a->inverse ? -sin_D[i] : sin_D[i];
        float x = dtype_get(a->x, a->dtype, at + i), y = dtype_get(a->x, a->dtype, at + half + i);
        dtype_put(a->x, a->dtype, at + i, x * c - y * s);
        dtype_put(a->x, a->dtype, at + half + i, y * c + x * s);
    }
}

int ref_rope(struct stream *stream, const struct rope_args *a)
{
    (void)stream;
    for (int64_t t = 0; t < a->rows; t++) {
        int64_t p = (int64_t)a->position[t] * (a->dim / 2);
        for (int h = 0; h < a->heads; h++)
            rotate_head(a, (t * a->heads + h) * a->dim, a->cos + p, a->sin + p);
    }
    return OK;
}

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

int ref_swiglu_forward(struct stream *stream, const struct swiglu_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->n_elems; i++) {
        double g = (double)dtype_get(a->gate, a->dtype, i);
        dtype_put(a->y, a->dtype, i, (float)(g * sigmoid(g) * (double)dtype_get(a->up, a->dtype, i)));
    }
    return OK;
}

int ref_swiglu_backward(struct stream *stream, const struct swiglu_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->n_elems; i++) {
        double g = (double)dtype_get(a->gate, a->dtype, i), u = (double)dtype_get(a->up, a->dtype, i), dy = (double)dtype_get(a->dy, a->dtype, i);
        double s = sigmoid(g);
        dtype_put(a->dgate, a->dtype, i, (float)(dy * u * s * (1.0 + g * (1.0 - s))));
        dtype_put(a->dup, a->dtype, i, (float)(dy * g * s));
    }
    return OK;
}

int ref_add(struct stream *stream, const struct map_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->n_elems; i++)
        dtype_put(a->y, a->dtype, i, dtype_get(a->y, a->dtype, i) + dtype_get(a->x, a->dtype, i));
    return OK;
}

int ref_add_parts(struct stream *stream, const struct parts_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->n_elems; i++) {
        float sum = 0.0f;
        for (int p = 0; p < a->parts; p++)
            sum += dtype_get(a->x, a->dtype, p * a->n_elems + i);
        dtype_put(a->y, a->dtype, i, sum);
    }
    return OK;
}

int ref_cast(struct stream *stream, const struct map_args *a)
{
    (void)stream;
    for (int64_t i = 0; i < a->n_elems; i++)
        dtype_put(a->y, a->dtype_y, i, dtype_get(a->x, a->dtype, i));
    return OK;
}
