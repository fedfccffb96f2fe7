/* backbone_memory: described, summed, allocated once, sliced. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slicer.h"
#include "trainer/model/backbone_state.h"
#include "trainer/model/rope.h"

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
    b->grad_TC = slice(s, T * b->hidden, e);
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
    b->beside = b->device->stream;
    if (options->with_backward && b->tensor->size > 1)
        TRY_DONE(b->device->ops->stream_open(b->device, &b->beside));
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
    if (b->beside.device)
        b->device->ops->synchronize(&b->beside);        /* nothing is under way in what is freed */
    if (b->block)
        device_free(b->device, &b->block, b->n_bytes);
    free(b->layer);
    free(b->memory);
    free(b->h_in_SC);
    free(b);
    *out = NULL;
}
