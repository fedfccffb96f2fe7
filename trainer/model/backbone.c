/* backbone: memory (described, summed, allocated once, sliced), then the layer forward and backward side by side. Gradients of weights are +=. */
#include "trainer/model/backbone.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slicer.h"
#include "trainer/model/recorded_passes.h"
#include "trainer/model/rope.h"

/* What one layer keeps between forward and backward. */
struct layer_memory {
    float *rstd1_S, *rstd2_S;
    void *q_TQ, *k_TK, *v_TK;           /* after rotary embedding */
    void *q_raw_TQ, *k_raw_TK;          /* before the head norms (Qwen3 only) */
    float *rstd_q, *rstd_k;             /* [T * heads] */
    void *o_TQ;
    float *lse_HT;
    float *h_mid_SC;                    /* residual after attention */
    void *gate_TF, *up_TF;
};

struct layer_params { int norm1, q, k, v, bq, bk, bv, q_norm, k_norm, o, norm2, gate, up, down; };

struct backbone {
    const struct model_config *model;
    struct store *store;
    struct device *device;
    struct comm *tensor;
    struct backbone_options options;
    enum dtype dtype;
    int heads, kv_heads;                /* local */
    int64_t hidden, q_cols, kv_cols, ffn;
    int embed, final_norm;
    struct layer_params *layer;
    struct layer_memory *memory;        /* [n_slots] */
    int n_slots;
    float **h_in_SC;                    /* [layers + 1] input of each layer; the last is the output of the last layer */
    float *rstd_final_S;
    /* working memory */
    void *norm_TC, *part_TC, *ffn_TF, *dq_TQ, *do_TQ, *dk_TK, *dv_TK;
    float *dh_SC, *delta_HT, *cos_PD, *sin_PD;
    void *parts_TC;                     /* what every rank brings to the sum of this rank's rows, where the device's and not the communicator's order holds */
    uint32_t *own_token_T;              /* with a cache only: a forest brings its own */
    int32_t *own_position_T, *slot_T;
    const uint32_t *token_T;            /* of this pass, on the device */
    const int32_t *position_T;
    struct backbone_rows at_hand;       /* the rows of this pass, */
    const struct attention_key_run *key_run;    /* seen from their keys (backward), */
    const struct kv_memory *cache;      /* and the keys they see; NULL: those of the pass itself */
    struct recorded_passes *recorded;   /* NULL: every pass is queued call by call */
    const void *recorded_of;            /* the first layer's keys of the cache that recordings name: the first */
    uint64_t plan_number;               /* of the rows at hand (kernels.h, attention_args) */
    int64_t rows, local_rows;           /* of the forest at hand */
    void *block;
    size_t n_bytes;
};

/* ---- memory -------------------------------------------------------------------------------------------------------------------------------- */

static void slice_layer(struct backbone *b, struct slicer *s, struct layer_memory *l)
{
    int64_t T = b->options.max_rows, S = T / b->tensor->size;
    size_t e = dtype_bytes(b->dtype);
    l->rstd1_S = slice(s, S, 4);
    l->rstd2_S = slice(s, S, 4);
    l->q_TQ = slice(s, T * b->q_cols, e);
    l->k_TK = slice(s, T * b->kv_cols, e);
    l->v_TK = slice(s, T * b->kv_cols, e);
    if (b->model->head_norms) {
        l->q_raw_TQ = slice(s, T * b->q_cols, e);
        l->k_raw_TK = slice(s, T * b->kv_cols, e);
        l->rstd_q = slice(s, T * b->heads, 4);
        l->rstd_k = slice(s, T * b->kv_heads, 4);
    }
    l->o_TQ = slice(s, T * b->q_cols, e);
    l->lse_HT = slice(s, T * b->heads, 4);
    l->h_mid_SC = slice(s, S * b->hidden, 4);
    l->gate_TF = slice(s, T * b->ffn, e);
    l->up_TF = slice(s, T * b->ffn, e);
}

static void slice_work(struct backbone *b, struct slicer *s)
{
    int64_t T = b->options.max_rows, S = T / b->tensor->size, half = b->model->head_dim / 2;
    size_t e = dtype_bytes(b->dtype);
    b->rstd_final_S = slice(s, S, 4);
    b->norm_TC = slice(s, T * b->hidden, e);
    b->part_TC = slice(s, T * b->hidden, e);
    b->ffn_TF = slice(s, T * b->ffn, e);
    b->cos_PD = slice(s, b->options.max_positions * half, 4);
    b->sin_PD = slice(s, b->options.max_positions * half, 4);
    if (!b->options.with_backward) {
        b->own_token_T = slice(s, T, 4);
        b->own_position_T = slice(s, T, 4);
        b->parts_TC = b->tensor->size > 2 ? slice(s, T * b->hidden, e) : NULL;
        b->slot_T = slice(s, T, 4);
        return;
    }
    b->dh_SC = slice(s, S * b->hidden, 4);
    b->dq_TQ = slice(s, T * b->q_cols, e);
    b->do_TQ = slice(s, T * b->q_cols, e);
    b->dk_TK = slice(s, T * b->kv_cols, e);
    b->dv_TK = slice(s, T * b->kv_cols, e);
    b->delta_HT = slice(s, T * b->heads, 4);
}

/* One pass with base NULL counts, a second slices. Without a backward two inputs are enough: they take turns. */
static size_t slice_all(struct backbone *b, char *base)
{
    struct slicer s = {base, 0};
    int64_t S = b->options.max_rows / b->tensor->size;
    int n_inputs = b->options.with_backward ? b->model->layers + 1 : 2;
    for (int i = 0; i <= b->model->layers; i++)
        b->h_in_SC[i] = i < n_inputs ? slice(&s, S * b->hidden, 4) : b->h_in_SC[i - 2];
    for (int i = 0; i < b->n_slots; i++)
        slice_layer(b, &s, &b->memory[i]);
    slice_work(b, &s);
    return s.used;
}

static void describe(struct backbone *b, const struct model_config *model, const struct backbone_options *options, enum dtype dtype, int tensor_size)
{
    b->model = model;
    b->options = *options;
    b->dtype = dtype;
    b->heads = model->heads / tensor_size;
    b->kv_heads = model->kv_heads >= tensor_size ? model->kv_heads / tensor_size : 1;
    b->hidden = model->hidden;
    b->q_cols = (int64_t)b->heads * model->head_dim;
    b->kv_cols = (int64_t)b->kv_heads * model->head_dim;
    b->ffn = model->ffn / tensor_size;
    b->n_slots = options->with_backward && !options->recompute ? model->layers : 1;
}

size_t backbone_bytes(const struct model_config *model, const struct backbone_options *options, enum dtype dtype, int tensor_size)
{
    struct comm tensor = {.size = tensor_size};
    struct backbone b = {.tensor = &tensor};
    describe(&b, model, options, dtype, tensor_size);
    b.h_in_SC = calloc((size_t)model->layers + 1, sizeof *b.h_in_SC);
    b.memory = calloc((size_t)b.n_slots, sizeof *b.memory);
    size_t n_bytes = b.h_in_SC && b.memory ? slice_all(&b, NULL) : 0;
    free(b.h_in_SC);
    free(b.memory);
    return n_bytes;
}

static int find_layer(const struct param_table *table, int i, const char *suffix)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s", i, suffix);
    return params_find(table, name);
}

static struct layer_params layer_params_find(const struct param_table *t, int i)
{
    return (struct layer_params){
        .norm1 = find_layer(t, i, "input_layernorm.weight"),
        .q = find_layer(t, i, "self_attn.q_proj.weight"),
        .k = find_layer(t, i, "self_attn.k_proj.weight"),
        .v = find_layer(t, i, "self_attn.v_proj.weight"),
        .bq = find_layer(t, i, "self_attn.q_proj.bias"),
        .bk = find_layer(t, i, "self_attn.k_proj.bias"),
        .bv = find_layer(t, i, "self_attn.v_proj.bias"),
        .q_norm = find_layer(t, i, "self_attn.q_norm.weight"),
        .k_norm = find_layer(t, i, "self_attn.k_norm.weight"),
        .o = find_layer(t, i, "self_attn.o_proj.weight"),
        .norm2 = find_layer(t, i, "post_attention_layernorm.weight"),
        .gate = find_layer(t, i, "mlp.gate_proj.weight"),
        .up = find_layer(t, i, "mlp.up_proj.weight"),
        .down = find_layer(t, i, "mlp.down_proj.weight"),
    };
}

static int upload_rope(struct backbone *b)
{
    int64_t n = b->options.max_positions * (b->model->head_dim / 2);
    struct stream *stream = &b->device->stream;
    float *cos_PD = malloc((size_t)n * 2 * sizeof *cos_PD);
    CHECK(cos_PD, "out of memory for the table of %lld positions", (long long)b->options.max_positions);
    rope_table(b->model, b->options.max_positions, cos_PD, cos_PD + n);
    int status = b->device->ops->copy(stream, b->cos_PD, cos_PD, (size_t)n * 4, HOST_TO_DEVICE);
    if (status == OK)
        status = b->device->ops->copy(stream, b->sin_PD, cos_PD + n, (size_t)n * 4, HOST_TO_DEVICE);
    if (status == OK)
        status = b->device->ops->synchronize(stream);
    free(cos_PD);
    return status;
}

int backbone_create(const struct model_config *model, struct store *store, const struct backbone_options *options, struct backbone **out)
{
    int status = OK;
    struct backbone *b = calloc(1, sizeof *b);
    CHECK(b, "out of memory for the backbone");
    b->store = store;
    b->device = store->device;
    b->tensor = store->mesh->tensor;
    describe(b, model, options, store->dtype, b->tensor->size);
    b->layer = calloc((size_t)model->layers, sizeof *b->layer);
    b->memory = calloc((size_t)b->n_slots, sizeof *b->memory);
    b->h_in_SC = calloc((size_t)model->layers + 1, sizeof *b->h_in_SC);
    CHECK_DONE(b->layer && b->memory && b->h_in_SC, "out of memory for the backbone's tables");
    for (int i = 0; i < model->layers; i++)
        b->layer[i] = layer_params_find(store->table, i);
    b->embed = params_find(store->table, "model.embed_tokens.weight");
    b->final_norm = params_find(store->table, "model.norm.weight");
    b->n_bytes = slice_all(b, NULL);
    TRY_DONE(device_alloc(b->device, b->n_bytes, &b->block));
    slice_all(b, b->block);
    TRY_DONE(upload_rope(b));
    if (options->record && b->tensor->size == 1)
        TRY_DONE(recorded_create(b->device, options->max_rows, &b->recorded));
    *out = b;
    return OK;
done:
    backbone_destroy(&b);
    return status;
}

void backbone_destroy(struct backbone **out)
{
    struct backbone *b = *out;
    if (!b)
        return;
    recorded_destroy(&b->recorded);
    if (b->block)
        device_free(b->device, &b->block, b->n_bytes);
    free(b->layer);
    free(b->memory);
    free(b->h_in_SC);
    free(b);
    *out = NULL;
}

/* ---- building blocks ----------------------------------------------------------------------------------------------------------------------- */

static struct stream *stream_of(const struct backbone *b) { return &b->device->stream; }
static const struct kernels *kernels_of(const struct backbone *b) { return b->device->kernels; }

/* This rank's rows of an all-rows buffer. */
static void *own_rows(const struct backbone *b, void *x_TC) { return dtype_at(x_TC, b->dtype, b->tensor->rank * b->local_rows * b->hidden); }

/* Fill all rows of x_TC from every rank's own rows, in place. */
static int gather_sequence(const struct backbone *b, void *x_TC)
{
    return all_gather(b->tensor, own_rows(b, x_TC), x_TC, b->local_rows * b->hidden, comm_type_of(b->dtype), stream_of(b));
}

/* The sum of the ranks' parts of x_TC, to each rank's own rows of it, in the order of the ranks: a row's sum does not depend on how many rows there are. */
static int scatter_in_order(const struct backbone *b, void *x_TC)
{
    const struct parts_args args = {.parts = b->tensor->size, .n_elems = b->local_rows * b->hidden, .dtype = b->dtype, .x = b->parts_TC, .y = own_rows(b, x_TC)};
    TRY(all_to_all(b->tensor, x_TC, b->parts_TC, b->local_rows * b->hidden, comm_type_of(b->dtype), stream_of(b)));
    return kernels_of(b)->add_parts(stream_of(b), &args);
}

/* Sum the ranks' parts of x_TC; each rank's own rows hold the result, in place. */
static int scatter_sequence(const struct backbone *b, void *x_TC)
{
    if (b->parts_TC && b->device->batch_invariant && !b->tensor->sums_in_order)
        return scatter_in_order(b, x_TC);
    return reduce_scatter(b->tensor, x_TC, own_rows(b, x_TC), b->local_rows * b->hidden, comm_type_of(b->dtype), COMM_SUM, stream_of(b));
}

static const int64_t *shape_of(const struct backbone *b, int param) { return b->store->table->params[param].local_shape; }

/* y_TO = x_TI w_OI' */
static int linear_forward(const struct backbone *b, int param, const void *x_TI, void *y_TO)
{
    int64_t out = shape_of(b, param)[0], in = shape_of(b, param)[1];
    struct gemm_args args = {.m = b->rows, .n = out, .k = in, .trans_b = true, .a = x_TI, .lda = in, .b = store_weight(b->store, param), .ldb = in,
                             .c = y_TO, .ldc = out, .dtype_ab = b->dtype, .dtype_c = b->dtype};
    return kernels_of(b)->gemm(stream_of(b), &args);
}

/* dx_TI (+)= dy_TO w_OI;  dw_OI += dy_TO' x_TI */
static int linear_backward(const struct backbone *b, int param, const void *x_TI, const void *dy_TO, void *dx_TI, bool accumulate)
{
    int64_t out = shape_of(b, param)[0], in = shape_of(b, param)[1];
    struct gemm_args dw = {.m = out, .n = in, .k = b->rows, .trans_a = true, .a = dy_TO, .lda = out, .b = x_TI, .ldb = in,
                           .c = store_grad(b->store, param), .ldc = in, .dtype_ab = b->dtype, .dtype_c = F32, .accumulate = true};
    TRY(kernels_of(b)->gemm(stream_of(b), &dw));
    struct gemm_args dx = {.m = b->rows, .n = in, .k = out, .a = dy_TO, .lda = out, .b = store_weight(b->store, param), .ldb = in,
                           .c = dx_TI, .ldc = in, .dtype_ab = b->dtype, .dtype_c = b->dtype, .accumulate = accumulate};
    return kernels_of(b)->gemm(stream_of(b), &dx);
}

static struct rmsnorm_args norm_args(const struct backbone *b, int param, enum dtype dtype_x, int64_t rows, int64_t cols, float *rstd)
{
    return (struct rmsnorm_args){.rows = rows, .cols = cols, .dtype = b->dtype, .dtype_x = dtype_x, .eps = (float)b->model->rms_eps, .weight = store_weight(b->store, param), .rstd = rstd};
}

/* norm_TC = all rows of RMSNorm(x_SC [+ add_SC, the sum kept in sum_SC]) */
static int norm_forward(const struct backbone *b, int param, const float *x_SC, const void *add_SC, float *sum_SC, float *rstd_S, void *norm_TC)
{
    struct rmsnorm_args args = norm_args(b, param, F32, b->local_rows, b->hidden, rstd_S);
    args.x = x_SC;
    args.add = add_SC;
    args.sum = sum_SC;
    args.y = own_rows(b, norm_TC);
    TRY(kernels_of(b)->rmsnorm_forward(stream_of(b), &args));
    return gather_sequence(b, norm_TC);
}

/* dh_SC (+)= gradient through the norm of x_SC, dy_SC being this rank's rows of the summed gradient */
static int norm_backward(const struct backbone *b, int param, const float *x_SC, float *rstd_S, const void *dy_SC, bool accumulate)
{
    struct rmsnorm_args args = norm_args(b, param, F32, b->local_rows, b->hidden, rstd_S);
    args.x = x_SC;
    args.dy = dy_SC;
    args.dx = b->dh_SC;
    args.dweight = store_grad(b->store, param);
    args.accumulate = accumulate;
    return kernels_of(b)->rmsnorm_backward(stream_of(b), &args);
}

/* All rows of part_TC = the residual's gradient, as the products of a block's backward take it. */
static int spread_residual_grad(const struct backbone *b)
{
    struct map_args narrow = {.n_elems = b->local_rows * b->hidden, .dtype = F32, .dtype_y = b->dtype, .x = b->dh_SC, .y = own_rows(b, b->part_TC)};
    TRY(kernels_of(b)->cast(stream_of(b), &narrow));
    return gather_sequence(b, b->part_TC);
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

static struct attention_args attention_args(const struct backbone *b, struct layer_memory *l, int layer)
{
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
    struct attention_args args = attention_args(b, l, layer);
    TRY(kernels_of(b)->attention_forward(stream_of(b), &args));
    TRY(linear_forward(b, p->o, l->o_TQ, b->part_TC));
    return scatter_sequence(b, b->part_TC);
}

static int project_backward(const struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    TRY(rotate(b, b->dq_TQ, b->heads, true));
    TRY(rotate(b, b->dk_TK, b->kv_heads, true));
    if (b->model->head_norms) {
        TRY(head_norm_backward(b, p->q_norm, b->heads, l->q_raw_TQ, l->rstd_q, b->dq_TQ, b->do_TQ));
        TRY(head_norm_backward(b, p->k_norm, b->kv_heads, l->k_raw_TK, l->rstd_k, b->dk_TK, b->do_TQ));
    }
    TRY(bias_backward(b, p->bq, b->dq_TQ, b->q_cols));
    TRY(bias_backward(b, p->bk, b->dk_TK, b->kv_cols));
    TRY(bias_backward(b, p->bv, b->dv_TK, b->kv_cols));
    TRY(linear_backward(b, p->q, b->norm_TC, b->dq_TQ, b->part_TC, false));
    TRY(linear_backward(b, p->k, b->norm_TC, b->dk_TK, b->part_TC, true));
    TRY(linear_backward(b, p->v, b->norm_TC, b->dv_TK, b->part_TC, true));
    return scatter_sequence(b, b->part_TC);
}

/* dh_SC holds the gradient of the block's output residual; its own rows of part_TC become the gradient of the normed input */
static int attention_block_backward(struct backbone *b, int layer, struct layer_memory *l)
{
    const struct layer_params *p = &b->layer[layer];
    TRY(spread_residual_grad(b));
    TRY(linear_backward(b, p->o, l->o_TQ, b->part_TC, b->do_TQ, false));
    struct attention_args args = attention_args(b, l, layer);
    args.do_THD = b->do_TQ;
    args.dq_THD = b->dq_TQ;
    args.dk_SGD = b->dk_TK;
    args.dv_SGD = b->dv_TK;
    args.delta_HT = b->delta_HT;
    TRY(kernels_of(b)->attention_backward(stream_of(b), &args));
    TRY(norm_forward(b, p->norm1, b->h_in_SC[layer], NULL, NULL, l->rstd1_S, b->norm_TC));
    TRY(project_backward(b, p, l));
    return norm_backward(b, p->norm1, b->h_in_SC[layer], l->rstd1_S, own_rows(b, b->part_TC), true);
}

/* ---- feed-forward block -------------------------------------------------------------------------------------------------------------------- */

static struct swiglu_args swiglu_args(const struct backbone *b, struct layer_memory *l)
{
    return (struct swiglu_args){.n_elems = b->rows * b->ffn, .dtype = b->dtype, .gate = l->gate_TF, .up = l->up_TF, .y = b->ffn_TF};
}

static int ffn_block_forward(const struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    TRY(linear_forward(b, p->gate, b->norm_TC, l->gate_TF));
    TRY(linear_forward(b, p->up, b->norm_TC, l->up_TF));
    struct swiglu_args args = swiglu_args(b, l);
    TRY(kernels_of(b)->swiglu_forward(stream_of(b), &args));
    TRY(linear_forward(b, p->down, b->ffn_TF, b->part_TC));
    return scatter_sequence(b, b->part_TC);
}

/* dw of the down projection needs y, dx overwrites it: the weight's part first */
static int down_backward(const struct backbone *b, const struct layer_params *p, struct layer_memory *l)
{
    struct swiglu_args args = swiglu_args(b, l);
    TRY(kernels_of(b)->swiglu_forward(stream_of(b), &args));
    TRY(linear_backward(b, p->down, b->ffn_TF, b->part_TC, b->ffn_TF, false));
    args.dy = b->ffn_TF;
    args.dgate = l->gate_TF;
    args.dup = l->up_TF;
    return kernels_of(b)->swiglu_backward(stream_of(b), &args);
}

static int ffn_block_backward(struct backbone *b, int layer, struct layer_memory *l)
{
    const struct layer_params *p = &b->layer[layer];
    TRY(spread_residual_grad(b));
    TRY(down_backward(b, p, l));
    TRY(norm_forward(b, p->norm2, l->h_mid_SC, NULL, NULL, l->rstd2_S, b->norm_TC));
    TRY(linear_backward(b, p->gate, b->norm_TC, l->gate_TF, b->part_TC, false));
    TRY(linear_backward(b, p->up, b->norm_TC, l->up_TF, b->part_TC, true));
    TRY(scatter_sequence(b, b->part_TC));
    return norm_backward(b, p->norm2, l->h_mid_SC, l->rstd2_S, own_rows(b, b->part_TC), true);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------------------------- */

static struct layer_memory *memory_of(struct backbone *b, int layer) { return &b->memory[b->n_slots > 1 ? layer : 0]; }

/* norm_TC holds the normed input. Leaves the layer's two contributions: h_mid_SC complete, own rows of part_TC still to be added. */
static int layer_rest_forward(struct backbone *b, int layer, struct layer_memory *l)
{
    const struct layer_params *p = &b->layer[layer];
    TRY(attention_block_forward(b, layer, l));
    TRY(norm_forward(b, p->norm2, b->h_in_SC[layer], own_rows(b, b->part_TC), l->h_mid_SC, l->rstd2_S, b->norm_TC));
    return ffn_block_forward(b, p, l);
}

static int embed_forward(struct backbone *b)
{
    const struct param *p = &b->store->table->params[b->embed];
    struct embedding_args args = {.rows = b->rows, .cols = b->hidden, .dtype = b->dtype, .token = b->token_T, .vocab_first = p->box_offset[0],
                                  .vocab_count = p->local_shape[0], .table = store_weight(b->store, b->embed), .y = b->part_TC};
    TRY(kernels_of(b)->embedding_forward(stream_of(b), &args));
    TRY(scatter_sequence(b, b->part_TC));
    struct map_args widen = {.n_elems = b->local_rows * b->hidden, .dtype = b->dtype, .dtype_y = F32, .x = own_rows(b, b->part_TC), .y = b->h_in_SC[0]};
    return kernels_of(b)->cast(stream_of(b), &widen);
}

static void begin_rows(struct backbone *b)
{
    ASSERT(b->at_hand.n_rows <= b->options.max_rows && b->at_hand.n_rows % b->tensor->size == 0);
    b->plan_number = device_plan_number(b->device);
    b->rows = b->at_hand.n_rows;
    b->local_rows = b->rows / b->tensor->size;
}

/* The rows at hand through all layers. */
static int forward(struct backbone *b)
{
    TRY(store_await_weights(b->store, BUCKET_EMBEDDING));
    TRY(embed_forward(b));
    TRY(store_await_weights(b->store, BUCKET_LAYER(0)));
    struct layer_memory *first = memory_of(b, 0);
    TRY(norm_forward(b, b->layer[0].norm1, b->h_in_SC[0], NULL, NULL, first->rstd1_S, b->norm_TC));
    int n = b->model->layers;
    for (int i = 0; i < n; i++) {
        struct layer_memory *l = memory_of(b, i);
        TRY(layer_rest_forward(b, i, l));
        int next_norm = i + 1 < n ? b->layer[i + 1].norm1 : b->final_norm;
        float *next_rstd = i + 1 < n ? memory_of(b, i + 1)->rstd1_S : b->rstd_final_S;
        TRY(store_await_weights(b->store, i + 1 < n ? BUCKET_LAYER(i + 1) : BUCKET_HEAD(n)));
        TRY(norm_forward(b, next_norm, l->h_mid_SC, own_rows(b, b->part_TC), b->h_in_SC[i + 1], next_rstd, b->norm_TC));
    }
    return OK;
}

int backbone_forward(struct backbone *b, const struct placed_forest *placed, const void **hidden_TC)
{
    const struct forest *forest = placed->forest;
    const struct attention_plan *plan = &placed->plan;
    *hidden_TC = b->norm_TC;
    if (forest->n_rows == 0)
        return OK;
    b->at_hand = (struct backbone_rows){.n_rows = forest->n_rows, .token = forest->token, .position = forest->position, .run = plan->run, .n_runs = plan->n_runs, .range = plan->range};
    b->token_T = placed->token_T;
    b->position_T = placed->position_T;
    b->key_run = plan->key_run;
    b->cache = NULL;
    begin_rows(b);
    return forward(b);
}

static int upload_rows(struct backbone *b, const struct backbone_rows *rows)
{
    const struct device_ops *ops = b->device->ops;
    size_t n_bytes = (size_t)rows->n_rows * 4;
    b->token_T = b->own_token_T;
    b->position_T = b->own_position_T;
    TRY(ops->copy(stream_of(b), b->own_token_T, rows->token, n_bytes, HOST_TO_DEVICE));
    TRY(ops->copy(stream_of(b), b->own_position_T, rows->position, n_bytes, HOST_TO_DEVICE));
    return ops->copy(stream_of(b), b->slot_T, rows->slot, n_bytes, HOST_TO_DEVICE);
}

static int forward_of(void *b) { return forward(b); }

/* The plan is on the device before the pass runs: a recording reads what stands there. */
static int forward_recorded(struct backbone *b)
{
    bool fixed;
    struct attention_args args = attention_args(b, memory_of(b, 0), 0);
    TRY(kernels_of(b)->attention_prepare(stream_of(b), &args, &fixed));
    return fixed ? recorded_run(b->recorded, b->rows, forward_of, b) : forward(b);
}

int backbone_forward_cached(struct backbone *b, const struct backbone_rows *rows, const struct kv_memory *cache, const void **hidden_TC)
{
    struct backbone_rows filled = *rows;
    ASSERT(!b->options.with_backward);
    *hidden_TC = b->norm_TC;
    if (rows->n_rows == 0)
        return OK;
    b->recorded_of = b->recorded_of ? b->recorded_of : cache->k_SGD[0];
    bool recorded = b->recorded && b->recorded_of == cache->k_SGD[0] && recorded_fill(b->recorded, rows, &filled);
    b->at_hand = filled;
    b->cache = cache;
    TRY(upload_rows(b, &filled));
    begin_rows(b);
    return recorded ? forward_recorded(b) : forward(b);
}

int backbone_hidden_grad(struct backbone *b, void **dhidden_TC)
{
    *dhidden_TC = b->part_TC;
    return b->device->ops->zero(stream_of(b), b->part_TC, (size_t)(b->rows * b->hidden) * dtype_bytes(b->dtype));
}

static int recompute_layer(struct backbone *b, int layer, struct layer_memory *l)
{
    TRY(norm_forward(b, b->layer[layer].norm1, b->h_in_SC[layer], NULL, NULL, l->rstd1_S, b->norm_TC));
    return layer_rest_forward(b, layer, l);
}

static int embed_backward(struct backbone *b)
{
    const struct param *p = &b->store->table->params[b->embed];
    TRY(spread_residual_grad(b));
    struct embedding_args args = {.rows = b->rows, .cols = b->hidden, .dtype = b->dtype, .token = b->token_T, .vocab_first = p->box_offset[0],
                                  .vocab_count = p->local_shape[0], .dy = b->part_TC, .dtable = store_grad(b->store, b->embed)};
    return kernels_of(b)->embedding_backward(stream_of(b), &args);
}

static int tell(const struct bucket_listener *listener, int bucket) { return listener ? listener->whole(listener->state, bucket) : OK; }

static int tell_all(const struct backbone *b, const struct bucket_listener *listener)
{
    for (int i = b->store->n_buckets - 1; i >= 0; i--)
        TRY(tell(listener, i));
    return OK;
}

int backbone_backward(struct backbone *b, const struct placed_forest *placed, const struct bucket_listener *listener)
{
    if (placed->forest->n_rows == 0)
        return tell_all(b, listener);
    ASSERT(b->options.with_backward && placed->forest->n_rows == b->rows);
    int n = b->model->layers;
    TRY(tell(listener, BUCKET_REWARD(n)));
    TRY(scatter_sequence(b, b->part_TC));
    TRY(norm_backward(b, b->final_norm, b->h_in_SC[n], b->rstd_final_S, own_rows(b, b->part_TC), false));
    TRY(tell(listener, BUCKET_HEAD(n)));
    for (int i = n - 1; i >= 0; i--) {
        struct layer_memory *l = memory_of(b, i);
        if (b->n_slots == 1)
            TRY(recompute_layer(b, i, l));
        TRY(ffn_block_backward(b, i, l));
        TRY(attention_block_backward(b, i, l));
        TRY(tell(listener, BUCKET_LAYER(i)));
    }
    TRY(embed_backward(b));
    return tell(listener, BUCKET_EMBEDDING);
}
