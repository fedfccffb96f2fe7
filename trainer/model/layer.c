/* layer: norms and products, the attention block, the feed-forward block, forward and backward side by side. Gradients of weights are +=.
 *
 * In the backward each collective over the tensor axis has products beside it that do not need it. Of a block, in the compute stream's order (sums and gathers beside it):
 *
 *     norm again         -> gather the normed input          needed by the weights' gradients
 *     through the block, to the gradient of the normed input (the first product awaits grad_TC)
 *                        -> sum it over the ranks            beside: gradients of some of the block's weights
 *     norm backward, dh  -> gather dh for the next block     beside: gradients of the rest
 */
#include "trainer/model/layer.h"

#include <math.h>

#include "trainer/model/tensor_axis.h"

static const int64_t *shape_of(const struct backbone *b, int param) { return b->store->table->params[param].local_shape; }

/* y_TO = x_TI w_OI' */
static int linear_forward(const struct backbone *b, int param, const void *x_TI, void *y_TO)
{
    int64_t out = shape_of(b, param)[0], in = shape_of(b, param)[1];
    struct gemm_args args = {.m = b->rows, .n = out, .k = in, .trans_b = true, .a = x_TI, .lda = in, .b = store_weight(b->store, param), .ldb = in,
                             .c = y_TO, .ldc = out, .dtype_ab = b->dtype, .dtype_c = b->dtype};
    return kernels_of(b)->gemm(stream_of(b), &args);
}

/* dx_TI (+)= dy_TO w_OI */
static int linear_dx(const struct backbone *b, int param, const void *dy_TO, void *dx_TI, bool accumulate)
{
    int64_t out = shape_of(b, param)[0], in = shape_of(b, param)[1];
    struct gemm_args args = {.m = b->rows, .n = in, .k = out, .a = dy_TO, .lda = out, .b = store_weight(b->store, param), .ldb = in,
                             .c = dx_TI, .ldc = in, .dtype_ab = b->dtype, .dtype_c = b->dtype, .accumulate = accumulate};
    return kernels_of(b)->gemm(stream_of(b), &args);
}

/* dw_OI += dy_TO' x_TI */
static int linear_dw(const struct backbone *b, int param, const void *x_TI, const void *dy_TO)
{
    int64_t out = shape_of(b, param)[0], in = shape_of(b, param)[1];
    struct gemm_args args = {.m = out, .n = in, .k = b->rows, .trans_a = true, .a = dy_TO, .lda = out, .b = x_TI, .ldb = in,
                             .c = store_grad(b->store, param), .ldc = in, .dtype_ab = b->dtype, .dtype_c = F32, .accumulate = true};
    return kernels_of(b)->gemm(stream_of(b), &args);
}

static struct rmsnorm_args norm_args(const struct backbone *b, int param, enum dtype dtype_x, int64_t rows, int64_t cols, float *rstd)
{
    return (struct rmsnorm_args){.rows = rows, .cols = cols, .dtype = b->dtype, .dtype_x = dtype_x, .eps = (float)b->model->rms_eps, .weight = store_weight(b->store, param), .rstd = rstd};
}

/* own rows of norm_TC = RMSNorm(x_SC [+ add_SC, the sum kept in sum_SC]) */
static int norm_own_rows(const struct backbone *b, int param, const float *x_SC, const void *add_SC, float *sum_SC, float *rstd_S)
{
    struct rmsnorm_args args = norm_args(b, param, F32, b->local_rows, b->hidden, rstd_S);
    args.x = x_SC;
    args.add = add_SC;
    args.sum = sum_SC;
    args.y = own_rows(b, b->norm_TC);
    return kernels_of(b)->rmsnorm_forward(stream_of(b), &args);
}

int residual_forward(const struct backbone *b, int param, const float *x_SC, const void *add_SC, float *sum_SC, float *rstd_S)
{
    TRY(norm_own_rows(b, param, x_SC, add_SC, sum_SC, rstd_S));
    return gather_rows(b, b->norm_TC);
}

/* norm_TC once more, awaited as b->normed. */
static int residual_again(struct backbone *b, int param, const float *x_SC, float *rstd_S)
{
    TRY(norm_own_rows(b, param, x_SC, NULL, NULL, rstd_S));
    return gather_rows_beside(b, b->norm_TC, &b->normed);
}

int residual_backward(struct backbone *b, int param, const float *x_SC, float *rstd_S, bool accumulate)
{
    struct rmsnorm_args args = norm_args(b, param, F32, b->local_rows, b->hidden, rstd_S);
    struct map_args narrow = {.n_elems = b->local_rows * b->hidden, .dtype = F32, .dtype_y = b->dtype, .x = b->dh_SC, .y = own_rows(b, b->grad_TC)};
    args.x = x_SC;
    args.dy = own_rows(b, b->part_TC);
    args.dx = b->dh_SC;
    args.dweight = store_grad(b->store, param);
    args.accumulate = accumulate;
    TRY(kernels_of(b)->rmsnorm_backward(stream_of(b), &args));
    TRY(kernels_of(b)->cast(stream_of(b), &narrow));
    return gather_rows_beside(b, b->grad_TC, &b->spread);
}

/* ---- attention block ----------------------------------------------------------------------------------------------------------------------- */

static int bias_forward(const struct backbone *b, int param, void *x, int64_t cols)
{
    if (param < 0)
        return OK;
    struct bias_args args = {.rows = b->rows, .cols = cols, .dtype = b->dtype, .x = x, .bias = store_weight(b->store, param)};
    return kernels_of(b)->bias_forward(stream_of(b), &args);
}

static int bias_backward(const struct backbone *b, int param, const void *dy, int64_t cols)
{
    if (param < 0)
        return OK;
    struct bias_args args = {.rows = b->rows, .cols = cols, .dtype = b->dtype, .dy = dy, .dbias = store_grad(b->store, param)};
    return kernels_of(b)->bias_backward(stream_of(b), &args);
}

static int rotate(const struct backbone *b, void *x, int heads, bool inverse)
{
    struct rope_args args = {.rows = b->rows, .heads = heads, .dim = b->model->head_dim, .dtype = b->dtype, .x = x, .position = b->position_T,
                             .cos = b->cos_PD, .sin = b->sin_PD, .inverse = inverse};
    return kernels_of(b)->rope(stream_of(b), &args);
}

static int head_norm_forward(const struct backbone *b, int param, int heads, const void *raw, float *rstd, void *y)
{
    struct rmsnorm_args args = norm_args(b, param, b->dtype, b->rows * heads, b->model->head_dim, rstd);
    args.x = raw;
    args.y = y;
    return kernels_of(b)->rmsnorm_forward(stream_of(b), &args);
}

/* dx overwrites dy: the scratch is as large as the queries */
static int head_norm_backward(const struct backbone *b, int param, int heads, const void *raw, float *rstd, void *dy, void *scratch)
{
    struct rmsnorm_args args = norm_args(b, param, b->dtype, b->rows * heads, b->model->head_dim, rstd);
    args.x = raw;
    args.dy = dy;
    args.dx = scratch;
    args.dweight = store_grad(b->store, param);
    TRY(kernels_of(b)->rmsnorm_backward(stream_of(b), &args));
    size_t n_bytes = (size_t)(b->rows * heads * b->model->head_dim) * dtype_bytes(b->dtype);
    return b->device->ops->copy(stream_of(b), dy, scratch, n_bytes, DEVICE_TO_DEVICE);
}

struct attention_args attention_args_of(const struct backbone *b, int layer)
{
    struct layer_memory *l = memory_of(b, layer);
    const struct kv_memory *c = b->cache;
    return (struct attention_args){
        .rows = b->rows, .key_rows = c ? c->n_slots : b->rows, .heads = b->heads, .kv_heads = b->kv_heads, .dim = b->model->head_dim,
        .scale = 1.0f / sqrtf((float)b->model->head_dim), .dtype = b->dtype,
        .q_THD = l->q_TQ, .k_SGD = c ? c->k_SGD[layer] : l->k_TK, .v_SGD = c ? c->v_SGD[layer] : l->v_TK, .o_THD = l->o_TQ, .lse_HT = l->lse_HT,
        .runs = b->at_hand.run, .n_runs = b->at_hand.n_runs, .ranges = b->at_hand.range, .key_runs = c ? NULL : b->key_run, .n_key_runs = c ? 0 : b->at_hand.n_runs,
        .plan = b->plan_number,
    };
}

/* The rows' keys and values to their slots of the layer's cache. */
static int store_keys(const struct backbone *b, const struct layer_memory *l, int layer)
{
    if (!b->cache)
        return OK;
    struct rows_args args = {.n_index = b->rows, .cols = b->kv_cols, .dtype = b->dtype, .index = b->slot_T, .x = l->k_TK, .y = b->cache->k_SGD[layer]};
    TRY(kernels_of(b)->scatter_rows(stream_of(b), &args));
    args.x = l->v_TK;
    args.y = b->cache->v_SGD[layer];
    return kernels_of(b)->scatter_rows(stream_of(b), &args);
}

static int project_forward(const struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    bool norms = b->model->head_norms;
    void *q = norms ? l->q_raw_TQ : l->q_TQ, *k = norms ? l->k_raw_TK : l->k_TK;
    TRY(linear_forward(b, p->q, b->norm_TC, q));
    TRY(linear_forward(b, p->k, b->norm_TC, k));
    TRY(linear_forward(b, p->v, b->norm_TC, l->v_TK));
    TRY(bias_forward(b, p->bq, q, b->q_cols));
    TRY(bias_forward(b, p->bk, k, b->kv_cols));
    TRY(bias_forward(b, p->bv, l->v_TK, b->kv_cols));
    if (norms) {
        TRY(head_norm_forward(b, p->q_norm, b->heads, q, l->rstd_q, l->q_TQ));
        TRY(head_norm_forward(b, p->k_norm, b->kv_heads, k, l->rstd_k, l->k_TK));
    }
    TRY(rotate(b, l->q_TQ, b->heads, false));
    return rotate(b, l->k_TK, b->kv_heads, false);
}

/* norm_TC -> own rows of part_TC: the attention's contribution to the residual */
static int attention_block_forward(const struct backbone *b, int layer, struct layer_memory *l)
{
    const struct layer_params *p = &b->layer[layer];
    TRY(project_forward(b, p, l));
    TRY(store_keys(b, l, layer));
    struct attention_args args = attention_args_of(b, layer);
    TRY(kernels_of(b)->attention_forward(stream_of(b), &args));
    TRY(linear_forward(b, p->o, l->o_TQ, b->part_TC));
    return sum_rows(b, b->part_TC);
}

/* q, k, v's gradients to where their products left them */
static int project_backward(const struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    TRY(rotate(b, b->dq_TQ, b->heads, true));
    TRY(rotate(b, b->dk_TK, b->kv_heads, true));
    if (!b->model->head_norms)
        return OK;
    TRY(head_norm_backward(b, p->q_norm, b->heads, l->q_raw_TQ, l->rstd_q, b->dq_TQ, b->do_TQ));
    return head_norm_backward(b, p->k_norm, b->kv_heads, l->k_raw_TK, l->rstd_k, b->dk_TK, b->do_TQ);
}

static int project_dx(const struct backbone *b, const struct layer_params *p)
{
    TRY(linear_dx(b, p->q, b->dq_TQ, b->part_TC, false));
    TRY(linear_dx(b, p->k, b->dk_TK, b->part_TC, true));
    return linear_dx(b, p->v, b->dv_TK, b->part_TC, true);
}

/* Without q's product, which is left for the time after the norm. */
static int project_dw(const struct backbone *b, const struct layer_params *p)
{
    TRY(linear_dw(b, p->k, b->norm_TC, b->dk_TK));
    TRY(linear_dw(b, p->v, b->norm_TC, b->dv_TK));
    TRY(bias_backward(b, p->bq, b->dq_TQ, b->q_cols));
    TRY(bias_backward(b, p->bk, b->dk_TK, b->kv_cols));
    return bias_backward(b, p->bv, b->dv_TK, b->kv_cols);
}

static int attention_backward(const struct backbone *b, int layer)
{
    struct attention_args args = attention_args_of(b, layer);
    args.do_THD = b->do_TQ;
    args.dq_THD = b->dq_TQ;
    args.dk_SGD = b->dk_TK;
    args.dv_SGD = b->dv_TK;
    args.delta_HT = b->delta_HT;
    return kernels_of(b)->attention_backward(stream_of(b), &args);
}

static int attention_block_backward(struct backbone *b, int layer, struct layer_memory *l)
{
    const struct layer_params *p = &b->layer[layer];
    TRY(residual_again(b, p->norm1, b->h_in_SC[layer], l->rstd1_S));
    TRY(await_rows(b, &b->spread));
    TRY(linear_dx(b, p->o, b->grad_TC, b->do_TQ, false));
    TRY(attention_backward(b, layer));
    TRY(project_backward(b, p, l));
    TRY(project_dx(b, p));
    TRY(sum_rows_beside(b, b->part_TC, &b->summed));
    TRY(linear_dw(b, p->o, l->o_TQ, b->grad_TC));
    TRY(await_rows(b, &b->normed));
    TRY(project_dw(b, p));
    TRY(await_rows(b, &b->summed));
    TRY(residual_backward(b, p->norm1, b->h_in_SC[layer], l->rstd1_S, true));
    return linear_dw(b, p->q, b->norm_TC, b->dq_TQ);
}

/* ---- feed-forward block -------------------------------------------------------------------------------------------------------------------- */

static struct swiglu_args swiglu_args(const struct backbone *b, struct layer_memory *l)
{
    return (struct swiglu_args){.n_elems = b->rows * b->ffn, .dtype = b->dtype, .gate = l->gate_TF, .up = l->up_TF, .y = b->ffn_TF};
}

static int gate_and_up(const struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    TRY(linear_forward(b, p->gate, b->norm_TC, l->gate_TF));
    return linear_forward(b, p->up, b->norm_TC, l->up_TF);
}

/* norm_TC -> own rows of part_TC: the block's contribution to the residual */
static int ffn_block_forward(const struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    TRY(gate_and_up(b, p, l));
    struct swiglu_args args = swiglu_args(b, l);
    TRY(kernels_of(b)->swiglu_forward(stream_of(b), &args));
    TRY(linear_forward(b, p->down, b->ffn_TF, b->part_TC));
    return sum_rows(b, b->part_TC);
}

/* The gradients of gate and up take their places. dw of the down projection needs y, dx overwrites it: the weight's part first */
static int down_backward(struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    struct swiglu_args args = swiglu_args(b, l);
    TRY(kernels_of(b)->swiglu_forward(stream_of(b), &args));
    TRY(await_rows(b, &b->spread));
    TRY(linear_dw(b, p->down, b->ffn_TF, b->grad_TC));
    TRY(linear_dx(b, p->down, b->grad_TC, b->ffn_TF, false));
    args.dy = b->ffn_TF;
    args.dgate = l->gate_TF;
    args.dup = l->up_TF;
    return kernels_of(b)->swiglu_backward(stream_of(b), &args);
}

static int ffn_block_backward(struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    bool at_hand = b->n_slots == 1;         /* layer_recompute has left the normed input */
    if (!at_hand)
        TRY(residual_again(b, p->norm2, l->h_mid_SC, l->rstd2_S));
    TRY(down_backward(b, p, l));
    TRY(linear_dx(b, p->gate, l->gate_TF, b->part_TC, false));
    TRY(linear_dx(b, p->up, l->up_TF, b->part_TC, true));
    TRY(sum_rows_beside(b, b->part_TC, &b->summed));
    if (!at_hand)
        TRY(await_rows(b, &b->normed));
    TRY(linear_dw(b, p->gate, b->norm_TC, l->gate_TF));
    TRY(await_rows(b, &b->summed));
    TRY(residual_backward(b, p->norm2, l->h_mid_SC, l->rstd2_S, true));
    return linear_dw(b, p->up, b->norm_TC, l->up_TF);
}

/* ---- the layer ------------------------------------------------------------------------------------------------------------------------------- */

/* To the normed input of the feed-forward block. */
static int first_half_forward(const struct backbone *b, int layer, struct layer_memory *l)
{
    TRY(attention_block_forward(b, layer, l));
    return residual_forward(b, b->layer[layer].norm2, b->h_in_SC[layer], own_rows(b, b->part_TC), l->h_mid_SC, l->rstd2_S);
}

int layer_forward(const struct backbone *b, int layer)
{
    struct layer_memory *l = memory_of(b, layer);
    TRY(first_half_forward(b, layer, l));
    return ffn_block_forward(b, &b->layer[layer], l);
}

int layer_recompute(const struct backbone *b, int layer)
{
    struct layer_memory *l = memory_of(b, layer);
    TRY(residual_forward(b, b->layer[layer].norm1, b->h_in_SC[layer], NULL, NULL, l->rstd1_S));
    TRY(first_half_forward(b, layer, l));
    return gate_and_up(b, &b->layer[layer], l);
}

int layer_backward(struct backbone *b, int layer)
{
    struct layer_memory *l = memory_of(b, layer);
    TRY(ffn_block_backward(b, &b->layer[layer], l));
    return attention_block_backward(b, layer, l);
}
