/* kernels: the table of operations, arithmetic on one device.
 *
 * A backend's table starts as a copy of the reference table and has no holes. The reference (kernels/ref) is the definition of every operation.
 * Every operation takes a stream and a struct of arguments, returns a status, and is deterministic for fixed arguments and thread count.
 * Activations and weights have `dtype` (F32 or BF16); statistics, gradients of weights and reductions are float32; losses are double.
 * Matrices are row-major. `=` unless said `+=`. Buffers do not overlap unless said.
 *
 * Shape letters: T rows (tokens), C columns (hidden), H query heads, G key/value heads, D head size, V local vocabulary, R rows of a chunk of
 * logits, P predictions, N elements.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/device.h"

/* C_MN = (accumulate ? C_MN : 0) + op(A)_MK op(B)_KN. A is stored [M,K] (or [K,M] when trans_a) with row stride lda, likewise B ([N,K] when trans_b).
 * dtype_c may be F32 with BF16 inputs. Accumulation is float32. m, n or k may be 0 (k = 0: C = 0 or unchanged). */
struct gemm_args {
    int64_t m, n, k;
    bool trans_a, trans_b, accumulate;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
    enum dtype dtype_ab, dtype_c;
};

/* Forward: x_TC += bias_C. Backward (sum_rows): dbias_C (float32) += sum over T of dy_TC. */
struct bias_args {
    int64_t rows, cols;
    enum dtype dtype;
    void *x;
    const void *bias;
    const void *dy;
    float *dbias;
};

/* RMSNorm (arXiv 1910.07467): s = x (+ add when add is not NULL, then also stored in sum, which may be x); y = s * rstd * weight, rstd = 1/sqrt(mean(s^2) + eps).
 * Backward: with s in x: dx (=, or += when accumulate) and dweight +=. rows may be T*H with cols = D for head norms.
 * x, sum and dx have dtype_x, which is dtype or F32 (residuals): what is normed in bf16 may be kept, and summed up over the layers, in float32. */
struct rmsnorm_args {
    int64_t rows, cols;
    enum dtype dtype, dtype_x;
    float eps;
    const void *x, *add, *weight;
    void *sum, *y;
    float *rstd;                /* [rows], written by forward, read by backward */
    const void *dy;
    void *dx;
    float *dweight;
    bool accumulate;
};

/* Rotary embedding in place on x[rows][heads][dim], pairs (i, i + dim/2), table cos/sin[position][dim/2] float32. inverse rotates back (the backward). */
struct rope_args {
    int64_t rows;
    int heads, dim;
    enum dtype dtype;
    void *x;
    const int32_t *position;    /* [rows] */
    const float *cos, *sin;
    bool inverse;
};

/* y = silu(gate) * up. Backward: dgate, dup from dy; dgate may be gate, dup may be up, (element-wise in place). */
struct swiglu_args {
    int64_t n_elems;
    enum dtype dtype;
    const void *gate, *up;
    void *y;
    const void *dy;
    void *dgate, *dup;
};

/* y_TC = table[token - vocab_first]; a token outside [vocab_first, vocab_first + vocab_count) gives a row of zeros (vocabulary parallel).
 * Backward: dtable (float32) += dy_TC, summed in row order. */
struct embedding_args {
    int64_t rows, cols;
    enum dtype dtype;
    const uint32_t *token;
    int64_t vocab_first, vocab_count;
    const void *table;
    void *y;
    const void *dy;
    float *dtable;
};

/* gather_rows: y[i] = x[index[i]]. scatter_add_rows: y[index[i]] += x[i], index strictly rising. scatter_rows: y[index[i]] = x[i], no index twice.
 * index[i] < 0: gather gives zeros, scatter skips. */
struct rows_args {
    int64_t n_index, cols;
    enum dtype dtype;
    const int32_t *index;
    const void *x;
    void *y;
};

/* add: y += x (dtype). cast: y (dtype_y) = x (dtype). */
struct map_args {
    int64_t n_elems;
    enum dtype dtype, dtype_y;
    const void *x;
    void *y;
};

/* y = the sum of `parts` blocks x[parts][n_elems], in their order, in float32. */
struct parts_args {
    int parts;
    int64_t n_elems;
    enum dtype dtype;
    const void *x;
    void *y;
};

/* Attention over a key store. A run is `q_count` consecutive query rows that see the same key ranges [range_first, range_first + range_count): the last range
 * is the run's own node, seen causally (query i of the run sees its first count - q_count + i + 1 keys), all others are seen whole.
 * Query heads are grouped: query head h reads key/value head h * G / H. softmax(scale * q k) v; lse is the natural log-sum-exp of the scaled scores.
 * Rows that are in no run (padding) get o = 0, and dq, dk, dv = 0.
 * Backward: with o, lse and do of the forward gives dq, dk, dv. Key run r holds keys [k_first, k_first + k_count) at rows of the same number, seen causally by
 * rows [k_first, k_first + k_count) and whole by rows [k_first + k_count, see_end). (Training only: a key's place is its token row.)
 *
 * A run's ranges may be pieces of a longer one: where a node's keys are cut after multiples of ATTENTION_PAGE keys, the result is the same bits as uncut.
 * (A piece that is not the node's last is seen whole by the rows behind it, so each run sees its node causally in its last piece alone.) So it is where a run's queries are cut
 * into several runs. Calls without key runs, whose keys are a cache's and which no backward follows, may sum in another order than calls with them.
 *
 * plan: a number that its maker gives to a plan, another for each (device_plan_number): what a backend derived from runs, ranges and key runs it may keep while the number comes
 * again, with the same number of heads of both kinds. 0: it keeps nothing. Another plan under a number that is still kept gives wrong numbers.
 * attention_prepare: makes and places what forwards of this number will read. *fixed: then a forward that is recorded (device.h) names the same memory for every plan of as many rows that
 * is prepared so, and serves it. */
enum { ATTENTION_PAGE = 64 };
struct attention_run { int32_t q_first, q_count, range_first, range_count; };
struct attention_range { int32_t first, count; };
struct attention_key_run { int32_t k_first, k_count, see_end; };
struct attention_args {
    int64_t rows;               /* T: query rows */
    int64_t key_rows;           /* S: rows of the key store */
    int heads, kv_heads, dim;   /* H, G, D */
    float scale;
    enum dtype dtype;
    const void *q_THD, *k_SGD, *v_SGD;
    void *o_THD;
    float *lse_HT;              /* [H][rows] */
    const struct attention_run *runs;           /* host memory, as all plan arrays */
    int n_runs;
    const struct attention_range *ranges;
    const void *do_THD;
    void *dq_THD, *dk_SGD, *dv_SGD;
    float *delta_HT;            /* [H][rows] scratch of the backward: sum of o * do */
    const struct attention_key_run *key_runs;   /* NULL: no backward follows */
    int n_key_runs;
    uint64_t plan;
};

/* Vocabulary-parallel cross-entropy over one chunk of R whole rows of logits, V local columns starting at vocab_first. Row r has predictions
 * [prediction_first[r], prediction_first[r+1]) with target and weight each (method.md, l_c).
 *   cross_entropy_max       max_R = maximum over local columns                               (then all_reduce max)
 *   cross_entropy_sum       sum_R = sum of exp(logit - max); target_logit_P = logit of target, 0 if not local   (then all_reduce sum)
 *   cross_entropy_loss      *loss += sum over P of weight * (max + log(sum) - target_logit)
 *   cross_entropy_backward  dlogits_RV = scale * (W_r * softmax - sum over the row's predictions of weight at target), W_r = the row's summed weight
 * logits are float32; dlogits has dtype and may be the same memory when that is F32. */
struct cross_entropy_args {
    int64_t rows, cols;
    int64_t vocab_first;
    const float *logits;        /* [rows][cols] */
    const int32_t *prediction_first;  /* [rows + 1], rising; entry 0 may be above 0 */
    const uint32_t *target;     /* indexed by prediction */
    const float *weight;
    float *max, *sum;           /* [rows] */
    float *target_logit;        /* indexed by prediction minus prediction_first[0] */
    double *loss;
    void *dlogits;
    enum dtype dtype;
    float scale;
};

/* Reward head on gathered rows h_NC: r_N = h_NC w_C, all float32 arithmetic. Backward: dh_NC = dr_N w_C, dw += sum of dr h. */
struct reward_args {
    int64_t rows, cols;
    enum dtype dtype;
    const void *h;
    const float *w;
    float *r;
    const float *dr;
    void *dh;
    float *dw;
};

/* Bradley-Terry: d = r[chosen] - r[rejected]; *loss += weight * softplus(-d); dr[chosen] -= scale * weight * sigmoid(-d), dr[rejected] += the same;
 * *correct += weight * (d > 0), *margin += weight * d. */
struct bradley_terry_args {
    int64_t n_comparisons;
    const int32_t *chosen, *rejected;   /* indices into r */
    const float *weight;
    const float *r;
    float *dr;
    float scale;
    double *loss, *correct, *margin;
};

/* AdamW (arXiv 1711.05101) on n elements: g = grad * grad_scale; m, v, master updated, step counts from 1 (bias correction); param (dtype) = rounded master.
 * master may be the same memory as param when dtype is F32. */
struct adamw_args {
    int64_t n_elems;
    float *master, *m, *v;
    const float *grad;
    void *param;
    enum dtype dtype;
    float lr, beta1, beta2, eps, weight_decay, grad_scale;
    int64_t step;
};

/* *sum += sum of x^2 in double, in a fixed order; not finite if any element is not. */
struct norm_args {
    int64_t n_elems;
    const float *x;
    double *sum;
};

/* One token a row from logits over the whole vocabulary. The columns stand in `parts` blocks, one behind the other: block p is [rows][part_stride] and holds columns
 * [part_first[p], part_first[p + 1]) (what an all_gather of vocabulary-parallel logits leaves).
 *   temperature 0: the most probable column, of equal ones the first. Else a draw from softmax(logit / temperature) over the columns that are left, in the order of
 *   columns: the first whose cumulative probability is above uniform * total. Left are, one filter after the other: not `banned`, among `allowed` where n_allowed > 0;
 *   the top_k most probable (0: all), the smallest set of most probable ones whose probability reaches top_p (1: all), those of at least min_p times the largest
 *   probability; of equal ones lower columns first. Sums in double.
 * Where a logit of what may be drawn is NaN, or the greatest is not finite, the token is SAMPLE_NONE: the network's numbers are damaged. */
#define SAMPLE_NONE UINT32_MAX
struct sample_rule {
    float temperature, top_p, min_p, uniform;   /* uniform in [0, 1) */
    int32_t top_k;
    int64_t banned;                             /* a column, or -1 */
    int32_t first_allowed, n_allowed;           /* in sample_args.allowed */
};
struct sample_args {
    int64_t rows;
    int parts;
    const int64_t *part_first;                  /* [parts + 1], host memory, as rules and allowed */
    int64_t part_stride;
    const float *logits;
    const struct sample_rule *rule;             /* [rows] */
    const uint32_t *allowed;
    uint32_t *token;                            /* [rows] */
};

struct kernels {
    int (*gemm)(struct stream *, const struct gemm_args *);
    int (*bias_forward)(struct stream *, const struct bias_args *);
    int (*bias_backward)(struct stream *, const struct bias_args *);
    int (*rmsnorm_forward)(struct stream *, const struct rmsnorm_args *);
    int (*rmsnorm_backward)(struct stream *, const struct rmsnorm_args *);
    int (*rope)(struct stream *, const struct rope_args *);
    int (*swiglu_forward)(struct stream *, const struct swiglu_args *);
    int (*swiglu_backward)(struct stream *, const struct swiglu_args *);
    int (*embedding_forward)(struct stream *, const struct embedding_args *);
    int (*embedding_backward)(struct stream *, const struct embedding_args *);
    int (*gather_rows)(struct stream *, const struct rows_args *);
    int (*scatter_add_rows)(struct stream *, const struct rows_args *);
    int (*scatter_rows)(struct stream *, const struct rows_args *);
    int (*add)(struct stream *, const struct map_args *);
    int (*cast)(struct stream *, const struct map_args *);
    int (*add_parts)(struct stream *, const struct parts_args *);
    int (*attention_prepare)(struct stream *, const struct attention_args *, bool *fixed);
    int (*attention_forward)(struct stream *, const struct attention_args *);
    int (*attention_backward)(struct stream *, const struct attention_args *);
    int (*cross_entropy_max)(struct stream *, const struct cross_entropy_args *);
    int (*cross_entropy_sum)(struct stream *, const struct cross_entropy_args *);
    int (*cross_entropy_loss)(struct stream *, const struct cross_entropy_args *);
    int (*cross_entropy_backward)(struct stream *, const struct cross_entropy_args *);
    int (*reward_forward)(struct stream *, const struct reward_args *);
    int (*reward_backward)(struct stream *, const struct reward_args *);
    int (*bradley_terry)(struct stream *, const struct bradley_terry_args *);
    int (*adamw)(struct stream *, const struct adamw_args *);
    int (*norm_squared)(struct stream *, const struct norm_args *);
    int (*sample)(struct stream *, const struct sample_args *);
};

/* The reference table (kernels/ref). */
extern const struct kernels kernels_ref;

#endif
