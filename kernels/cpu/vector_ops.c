/* vector_ops: norms, element-wise operations, cross-entropy, AdamW; built once for each instruction set (VECTOR_OPS names the table). Tails shorter than a vector
 * are done with the same arithmetic on one element; where an element's place in the tensor would decide whether it falls into a tail, on the same vectors. */
#include "kernels/cpu/vector_ops.h"

#include "kernels/cpu/attention_ops.h"
#include "kernels/cpu/gemm_ops.h"
#include "kernels/cpu/vec.h"
#if defined(__AMX_BF16__)
#include "kernels/cpu/gemm_tiles.h"
#endif

#define FOR_VECTORS(i, n) for (; (i) + VEC_WIDTH <= (n); (i) += VEC_WIDTH)

static inline float get(const void *x, enum dtype dtype, int64_t i) { return dtype_get(x, dtype, i); }

/* ---- RMSNorm --------------------------------------------------------------------------------------------------------------------------------- */

static float row_squares(const struct rmsnorm_args *a, const void *s, int64_t at)
{
    vec sum = vec_set(0.0f);
    int64_t c = 0;
    FOR_VECTORS(c, a->cols) {
        vec x = vec_get(s, a->dtype_x, at + c);
        sum = vec_fma(x, x, sum);
    }
    float total = vec_sum(sum);
    for (; c < a->cols; c++)
        total += get(s, a->dtype_x, at + c) * get(s, a->dtype_x, at + c);
    return total;
}

static void add_row(const struct rmsnorm_args *a, int64_t at)
{
    int64_t c = 0;
    FOR_VECTORS(c, a->cols)
        vec_put(a->sum, a->dtype_x, at + c, vec_add(vec_get(a->x, a->dtype_x, at + c), vec_get(a->add, a->dtype, at + c)));
    for (; c < a->cols; c++)
        dtype_put(a->sum, a->dtype_x, at + c, get(a->x, a->dtype_x, at + c) + get(a->add, a->dtype, at + c));
}

static void rmsnorm_forward(const struct rmsnorm_args *a, int64_t first, int64_t rows)
{
    for (int64_t t = first; t < first + rows; t++) {
        int64_t at = t * a->cols, c = 0;
        if (a->add)
            add_row(a, at);
        const void *s = a->add ? a->sum : a->x;
        a->rstd[t] = 1.0f / sqrtf(row_squares(a, s, at) / (float)a->cols + a->eps);
        vec r = vec_set(a->rstd[t]);
        FOR_VECTORS(c, a->cols)
            vec_put(a->y, a->dtype, at + c, vec_mul(vec_mul(vec_get(s, a->dtype_x, at + c), r), vec_get(a->weight, a->dtype, c)));
        for (; c < a->cols; c++)
            dtype_put(a->y, a->dtype, at + c, get(s, a->dtype_x, at + c) * a->rstd[t] * get(a->weight, a->dtype, c));
    }
}

static float row_dot(const struct rmsnorm_args *a, int64_t at)
{
    vec sum = vec_set(0.0f);
    int64_t c = 0;
    FOR_VECTORS(c, a->cols)
        sum = vec_fma(vec_mul(vec_get(a->x, a->dtype_x, at + c), vec_get(a->weight, a->dtype, c)), vec_get(a->dy, a->dtype, at + c), sum);
    float total = vec_sum(sum);
    for (; c < a->cols; c++)
        total += get(a->x, a->dtype_x, at + c) * get(a->weight, a->dtype, c) * get(a->dy, a->dtype, at + c);
    return total;
}

/* ds = r (w dy - s r^2 mean(s w dy)) */
static void rmsnorm_backward(const struct rmsnorm_args *a, int64_t first, int64_t rows)
{
    for (int64_t t = first; t < first + rows; t++) {
        int64_t at = t * a->cols, c = 0;
        float r = a->rstd[t], k = r * r * row_dot(a, at) / (float)a->cols;
        FOR_VECTORS(c, a->cols) {
            vec ds = vec_sub(vec_mul(vec_get(a->weight, a->dtype, c), vec_get(a->dy, a->dtype, at + c)), vec_mul(vec_get(a->x, a->dtype_x, at + c), vec_set(k)));
            ds = vec_mul(ds, vec_set(r));
            vec_put(a->dx, a->dtype_x, at + c, a->accumulate ? vec_add(vec_get(a->dx, a->dtype_x, at + c), ds) : ds);
        }
        for (; c < a->cols; c++) {
            float ds = r * (get(a->weight, a->dtype, c) * get(a->dy, a->dtype, at + c) - get(a->x, a->dtype_x, at + c) * k);
            dtype_put(a->dx, a->dtype_x, at + c, a->accumulate ? get(a->dx, a->dtype_x, at + c) + ds : ds);
        }
    }
}

static void rmsnorm_dweight(const struct rmsnorm_args *a, int64_t first, int64_t rows, float *sum_C)
{
    for (int64_t t = first; t < first + rows; t++) {
        int64_t at = t * a->cols, c = 0;
        vec r = vec_set(a->rstd[t]);
        FOR_VECTORS(c, a->cols)
            vec_store(sum_C + c, vec_fma(vec_mul(vec_get(a->x, a->dtype_x, at + c), r), vec_get(a->dy, a->dtype, at + c), vec_load(sum_C + c)));
        for (; c < a->cols; c++)
            sum_C[c] += get(a->x, a->dtype_x, at + c) * a->rstd[t] * get(a->dy, a->dtype, at + c);
    }
}

/* ---- element-wise ---------------------------------------------------------------------------------------------------------------------------- */

static void rotate_head(const struct rope_args *a, int64_t at, const float *cos_D, const float *sin_D)
{
    int64_t half = a->dim / 2, i = 0;
    vec sign = vec_set(a->inverse ? -1.0f : 1.0f);
    FOR_VECTORS(i, half) {
        vec c = vec_load(cos_D + i), s = vec_mul(vec_load(sin_D + i), sign), x = vec_get(a->x, a->dtype, at + i), y = vec_get(a->x, a->dtype, at + half + i);
        vec_put(a->x, a->dtype, at + i, vec_sub(vec_mul(x, c), vec_mul(y, s)));
        vec_put(a->x, a->dtype, at + half + i, vec_add(vec_mul(y, c), vec_mul(x, s)));
    }
    for (; i < half; i++) {
        float c = cos_D[i], s = a->inverse ? -sin_D[i] : sin_D[i], x = get(a->x, a->dtype, at + i), y = get(a->x, a->dtype, at + half + i);
        dtype_put(a->x, a->dtype, at + i, x * c - y * s);
        dtype_put(a->x, a->dtype, at + half + i, y * c + x * s);
    }
}

static void rope(const struct rope_args *a, int64_t first, int64_t rows)
{
    for (int64_t t = first; t < first + rows; t++) {
        int64_t p = (int64_t)a->position[t] * (a->dim / 2);
        for (int h = 0; h < a->heads; h++)
            rotate_head(a, (t * a->heads + h) * a->dim, a->cos + p, a->sin + p);
    }
}

static vec sigmoid(vec x) { return vec_div(vec_set(1.0f), vec_add(vec_set(1.0f), vec_exp(vec_sub(vec_set(0.0f), x)))); }

static vec silu_up(vec gate, vec up) { return vec_mul(vec_mul(gate, sigmoid(gate)), up); }

static void swiglu_grads(vec g, vec u, vec dy, vec *dg, vec *du)
{
    vec s = sigmoid(g);
    *dg = vec_mul(vec_mul(dy, u), vec_mul(s, vec_fma(g, vec_sub(vec_set(1.0f), s), vec_set(1.0f))));
    *du = vec_mul(dy, vec_mul(g, s));
}

static void swiglu_forward(const struct swiglu_args *a, int64_t first, int64_t n)
{
    int64_t i = first, end = first + n;
    FOR_VECTORS(i, end)
        vec_put(a->y, a->dtype, i, silu_up(vec_get(a->gate, a->dtype, i), vec_get(a->up, a->dtype, i)));
    if (i < end)
        vec_put_some(a->y, a->dtype, i, end - i, silu_up(vec_get_some(a->gate, a->dtype, i, end - i), vec_get_some(a->up, a->dtype, i, end - i)));
}

static void swiglu_backward(const struct swiglu_args *a, int64_t first, int64_t n)
{
    int64_t i = first, end = first + n;
    vec dg, du;
    FOR_VECTORS(i, end) {
        swiglu_grads(vec_get(a->gate, a->dtype, i), vec_get(a->up, a->dtype, i), vec_get(a->dy, a->dtype, i), &dg, &du);
        vec_put(a->dgate, a->dtype, i, dg);
        vec_put(a->dup, a->dtype, i, du);
    }
    if (i < end) {
        swiglu_grads(vec_get_some(a->gate, a->dtype, i, end - i), vec_get_some(a->up, a->dtype, i, end - i), vec_get_some(a->dy, a->dtype, i, end - i), &dg, &du);
        vec_put_some(a->dgate, a->dtype, i, end - i, dg);
        vec_put_some(a->dup, a->dtype, i, end - i, du);
    }
}

static void add(const struct map_args *a, int64_t first, int64_t n)
{
    int64_t i = first, end = first + n;
    FOR_VECTORS(i, end)
        vec_put(a->y, a->dtype, i, vec_add(vec_get(a->y, a->dtype, i), vec_get(a->x, a->dtype, i)));
    if (i < end)
        vec_put_some(a->y, a->dtype, i, end - i, vec_add(vec_get_some(a->y, a->dtype, i, end - i), vec_get_some(a->x, a->dtype, i, end - i)));
}

static void cast(const struct map_args *a, int64_t first, int64_t n)
{
    int64_t i = first, end = first + n;
    FOR_VECTORS(i, end)
        vec_put(a->y, a->dtype_y, i, vec_get(a->x, a->dtype, i));
    if (i < end)
        vec_put_some(a->y, a->dtype_y, i, end - i, vec_get_some(a->x, a->dtype, i, end - i));
}

/* ---- cross-entropy --------------------------------------------------------------------------------------------------------------------------- */

static void cross_entropy_max(const struct cross_entropy_args *a, int64_t first, int64_t rows)
{
    for (int64_t r = first; r < first + rows; r++) {
        const float *logit = a->logits + r * a->cols;
        int64_t v = 0;
        vec most = vec_set(-INFINITY);
        FOR_VECTORS(v, a->cols)
            most = vec_max(vec_load(logit + v), most);
        float max = vec_largest(most);
        for (; v < a->cols; v++)
            max = logit[v] > max ? logit[v] : max;
        a->max[r] = max;
    }
}

static float one_exp(float x)
{
    float out[VEC_WIDTH];
    vec_store(out, vec_exp(vec_set(x)));
    return out[0];
}

/* Partial sums of 1,024 columns are added in double: the vocabulary is long. */
static float exp_sum(const float *logit, int64_t n, float max)
{
    double total = 0.0;
    for (int64_t from = 0; from < n; from += 1024) {
        int64_t v = from, end = from + 1024 < n ? from + 1024 : n;
        vec sum = vec_set(0.0f);
        FOR_VECTORS(v, end)
            sum = vec_add(sum, vec_exp(vec_sub(vec_load(logit + v), vec_set(max))));
        total += (double)vec_sum(sum);
        for (; v < end; v++)
            total += (double)one_exp(logit[v] - max);
    }
    return (float)total;
}

static void cross_entropy_sum(const struct cross_entropy_args *a, int64_t first, int64_t rows)
{
    for (int64_t r = first; r < first + rows; r++) {
        const float *logit = a->logits + r * a->cols;
        a->sum[r] = exp_sum(logit, a->cols, a->max[r]);
        for (int32_t i = a->prediction_first[r]; i < a->prediction_first[r + 1]; i++) {
            int64_t target = (int64_t)a->target[i] - a->vocab_first;
            a->target_logit[i - a->prediction_first[0]] = target >= 0 && target < a->cols ? logit[target] : 0.0f;
        }
    }
}

static void softmax_row(const struct cross_entropy_args *a, int64_t r, float factor)
{
    int64_t at = r * a->cols, v = 0;
    vec max = vec_set(a->max[r]);
    FOR_VECTORS(v, a->cols)
        vec_put(a->dlogits, a->dtype, at + v, vec_mul(vec_exp(vec_sub(vec_load(a->logits + at + v), max)), vec_set(factor)));
    for (; v < a->cols; v++)
        dtype_put(a->dlogits, a->dtype, at + v, one_exp(a->logits[at + v] - a->max[r]) * factor);
}

/* Target columns. float32 gradients may lie over the logits: the weight is subtracted. In bf16 that would round twice: the logits still stand, so the sum is made anew. */
static void put_targets(const struct cross_entropy_args *a, int64_t r, float weight)
{
    for (int32_t i = a->prediction_first[r]; i < a->prediction_first[r + 1]; i++) {
        int64_t target = (int64_t)a->target[i] - a->vocab_first, at = r * a->cols + target;
        float own = 0.0f;
        if (target < 0 || target >= a->cols)
            continue;
        if (a->dtype == F32) {
            ((float *)a->dlogits)[at] -= a->scale * a->weight[i];
            continue;
        }
        for (int32_t k = a->prediction_first[r]; k < a->prediction_first[r + 1]; k++)
            own += a->target[k] == a->target[i] ? a->weight[k] : 0.0f;
        dtype_put(a->dlogits, a->dtype, at, a->scale * (weight * one_exp(a->logits[at] - a->max[r]) / a->sum[r] - own));
    }
}

static void cross_entropy_backward(const struct cross_entropy_args *a, int64_t first, int64_t rows)
{
    for (int64_t r = first; r < first + rows; r++) {
        float weight = 0.0f;
        for (int32_t i = a->prediction_first[r]; i < a->prediction_first[r + 1]; i++)
            weight += a->weight[i];
        softmax_row(a, r, a->scale * weight / a->sum[r]);
        put_targets(a, r, weight);
    }
}

/* ---- optimizer ------------------------------------------------------------------------------------------------------------------------------- */

static void adamw(const struct adamw_args *a, int64_t first, int64_t n)
{
    float correct1 = (float)(1.0 - pow((double)a->beta1, (double)a->step)), correct2 = (float)(1.0 - pow((double)a->beta2, (double)a->step));
    int64_t i = first, end = first + n;
    FOR_VECTORS(i, end) {
        vec g = vec_mul(vec_load(a->grad + i), vec_set(a->grad_scale));
        vec m = vec_add(vec_mul(vec_set(a->beta1), vec_load(a->m + i)), vec_mul(vec_set(1.0f - a->beta1), g));
        vec v = vec_add(vec_mul(vec_set(a->beta2), vec_load(a->v + i)), vec_mul(vec_mul(vec_set(1.0f - a->beta2), g), g));
        vec x = vec_mul(vec_load(a->master + i), vec_set(1.0f - a->lr * a->weight_decay));
        vec step = vec_div(vec_mul(vec_set(a->lr), vec_div(m, vec_set(correct1))), vec_add(vec_sqrt(vec_div(v, vec_set(correct2))), vec_set(a->eps)));
        vec_store(a->m + i, m);
        vec_store(a->v + i, v);
        x = vec_sub(x, step);
        vec_store(a->master + i, x);
        vec_put(a->param, a->dtype, i, x);
    }
    for (; i < end; i++) {
        float g = a->grad[i] * a->grad_scale;
        a->m[i] = a->beta1 * a->m[i] + (1.0f - a->beta1) * g;
        a->v[i] = a->beta2 * a->v[i] + (1.0f - a->beta2) * g * g;
        float x = a->master[i] * (1.0f - a->lr * a->weight_decay) - a->lr * (a->m[i] / correct1) / (sqrtf(a->v[i] / correct2) + a->eps);
        a->master[i] = x;
        dtype_put(a->param, a->dtype, i, x);
    }
}

static double norm_squared(const float *x, int64_t n)
{
    double total = 0.0;
    for (int64_t from = 0; from < n; from += 256) {
        int64_t i = from, end = from + 256 < n ? from + 256 : n;
        vec sum = vec_set(0.0f);
        FOR_VECTORS(i, end)
            sum = vec_fma(vec_load(x + i), vec_load(x + i), sum);
        total += (double)vec_sum(sum);
        for (; i < end; i++)
            total += (double)x[i] * (double)x[i];
    }
    return total;
}

/* ---- sampling -------------------------------------------------------------------------------------------------------------------------------- */

static void block_max(const float *x, int64_t n, float *max)
{
    for (int64_t from = 0; from < n; from += SAMPLE_BLOCK) {
        int64_t i = from, end = from + SAMPLE_BLOCK < n ? from + SAMPLE_BLOCK : n;
        int32_t n_damaged = 0;
        vec most = vec_set(-INFINITY);
        FOR_VECTORS(i, end)
            most = vec_max(vec_load(x + i), most);
        float largest = vec_largest(most);
        for (; i < end; i++)
            largest = x[i] > largest ? x[i] : largest;
        for (i = from; i < end; i++)
            n_damaged += isnan(x[i]) != 0;
        max[from / SAMPLE_BLOCK] = n_damaged ? NAN : largest;
    }
}

static void block_exp_sum(const float *x, int64_t n, float most, float scale, double *sum)
{
    for (int64_t from = 0; from < n; from += SAMPLE_BLOCK) {
        int64_t i = from, end = from + SAMPLE_BLOCK < n ? from + SAMPLE_BLOCK : n;
        vec partial = vec_set(0.0f);
        FOR_VECTORS(i, end)
            partial = vec_add(partial, vec_exp(vec_mul(vec_sub(vec_load(x + i), vec_set(most)), vec_set(scale))));
        double total = (double)vec_sum(partial);
        for (; i < end; i++)
            total += (double)one_exp((x[i] - most) * scale);
        sum[from / SAMPLE_BLOCK] = total;
    }
}

const struct vector_ops VECTOR_OPS = {
#if defined(__AMX_BF16__)
    .gemm_packed_bytes = gemm_packed_bytes, .gemm_pack = gemm_pack, .gemm_tile_strip = gemm_tile_strip,
#endif
    .gemm_strip = gemm_strip, .rmsnorm_forward = rmsnorm_forward, .rmsnorm_backward = rmsnorm_backward, .rmsnorm_dweight = rmsnorm_dweight, .rope = rope, .swiglu_forward = swiglu_forward,
    .swiglu_backward = swiglu_backward, .add = add, .cast = cast, .cross_entropy_max = cross_entropy_max, .cross_entropy_sum = cross_entropy_sum,
    .cross_entropy_backward = cross_entropy_backward, .adamw = adamw, .norm_squared = norm_squared, .block_max = block_max,
    .block_exp_sum = block_exp_sum, .attention_forward = attention_forward,
    .attention_backward_q = attention_backward_q, .attention_backward_k = attention_backward_k, .attention_scratch = attention_scratch,
};
