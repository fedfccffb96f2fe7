/* ref_optim: AdamW and the squared norm. */
#include <math.h>

#include "kernels/ref/ref.h"

int ref_adamw(struct stream *stream, const struct adamw_args *a)
{
    (void)stream;
    float correct1 = (float)(1.0 - pow((double)a->beta1, (double)a->step)), correct2 = (float)(1.0 - pow((double)a->beta2, (double)a->step));
    for (int64_t i = 0; i < a->n_elems; i++) {
        float g = a->grad[i] * a->grad_scale;
        a->m[i] = a->beta1 * a->m[i] + (1.0f - a->beta1) * g;
        a->v[i] = a->beta2 * a->v[i] + (1.0f - a->beta2) * g * g;
        float x = a->master[i] * (1.0f - a->lr * a->weight_decay);
        x -= a->lr * (a->m[i] / correct1) / (sqrtf(a->v[i] / correct2) + a->eps);
        a->master[i] = x;
        dtype_put(a->param, a->dtype, i, x);
    }
    return OK;
}

int ref_norm_squared(struct stream *stream, const struct norm_args *a)
{
    (void)stream;
    double sum = 0.0;
    for (int64_t i = 0; i < a->n_elems; i++)
        sum += (double)a->x[i] * (double)a->x[i];
    *a->sum += sum;
    return OK;
}
