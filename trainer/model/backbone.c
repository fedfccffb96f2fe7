/* backbone: passes through all layers, forward and backward. Gradients of weights are +=. */
#include "trainer/model/backbone_state.h"
#include "trainer/model/layer.h"
#include "trainer/model/tensor_axis.h"

static int embed_forward(struct backbone *b)
{
    const struct param *p = &b->store->table->params[b->embed];
    struct embedding_args args = {.rows = b->rows, .cols = b->hidden, .dtype = b->dtype, .token = b->token_T, .vocab_first = p->box_offset[0],
                                  .vocab_count = p->local_shape[0], .table = store_weight(b->store, b->embed), .y = b->part_TC};
    TRY(kernels_of(b)->embedding_forward(stream_of(b), &args));
    TRY(sum_rows(b, b->part_TC));
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
    TRY(residual_forward(b, b->layer[0].norm1, b->h_in_SC[0], NULL, NULL, memory_of(b, 0)->rstd1_S));
    int n = b->model->layers;
    for (int i = 0; i < n; i++) {
        TRY(layer_forward(b, i));
        int next_norm = i + 1 < n ? b->layer[i + 1].norm1 : b->final_norm;
        float *next_rstd = i + 1 < n ? memory_of(b, i + 1)->rstd1_S : b->rstd_final_S;
        TRY(store_await_weights(b->store, i + 1 < n ? BUCKET_LAYER(i + 1) : BUCKET_HEAD(n)));
        TRY(residual_forward(b, next_norm, memory_of(b, i)->h_mid_SC, own_rows(b, b->part_TC), b->h_in_SC[i + 1], next_rstd));
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
    struct attention_args args = attention_args_of(b, 0);
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

static int embed_backward(struct backbone *b)
{
    const struct param *p = &b->store->table->params[b->embed];
    TRY(await_rows(b, &b->spread));
    struct embedding_args args = {.rows = b->rows, .cols = b->hidden, .dtype = b->dtype, .token = b->token_T, .vocab_first = p->box_offset[0],
                                  .vocab_count = p->local_shape[0], .dy = b->grad_TC, .dtable = store_grad(b->store, b->embed)};
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
    TRY(sum_rows(b, b->part_TC));
    TRY(residual_backward(b, b->final_norm, b->h_in_SC[n], b->rstd_final_S, false));
    TRY(tell(listener, BUCKET_HEAD(n)));
    for (int i = n - 1; i >= 0; i--) {
        if (b->n_slots == 1)
            TRY(layer_recompute(b, i));
        TRY(layer_backward(b, i));
        TRY(tell(listener, BUCKET_LAYER(i)));
    }
    TRY(embed_backward(b));
    return tell(listener, BUCKET_EMBEDDING);
}
