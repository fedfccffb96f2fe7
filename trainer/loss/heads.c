/* heads: see heads.h. R rows of a chunk, V local vocabulary, C hidden, P predictions, N reward rows. */
#include "trainer/loss/heads.h"

#include <stdlib.h>

#include "base/slicer.h"

/* Bytes of float32 logits in one chunk: enough rows to keep the products efficient, little beside a model. */
enum { CHUNK_BYTES = 48 << 20, CHUNK_MIN_ROWS = 16, CHUNK_MAX_ROWS = 2048 };

struct heads {
    struct store *store;
    struct device *device;
    struct comm *tensor;
    struct heads_options options;
    enum dtype dtype;
    int64_t hidden, vocab_first, vocab_local, chunk_rows;
    int lm_head, score;
    /* device */
    void *h_RC, *dh_RC, *dlogits_RV;
    float *logits_RV, *max_R, *sum_RP;          /* sum_RP: sums of the chunk's rows, then its target logits: one all_reduce */
    float *r, *dr;
    double *sums;
    void *block;
    size_t n_bytes;
    /* host */
    float *host_reward;
    double host_sums[4], compared;
};

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

static size_t slice_all(struct heads *h, int64_t vocab_max, char *base)
{
    struct slicer s = {base, 0};
    int64_t P = h->options.max_predictions, N = h->options.max_rewards;
    int64_t R = h->chunk_rows, wide = max64(R, N);
    size_t e = dtype_bytes(h->dtype);
    h->h_RC = slice(&s, wide * h->hidden, e);
    h->dh_RC = slice(&s, wide * h->hidden, e);
    h->logits_RV = slice(&s, R * vocab_max, 4);
    h->dlogits_RV = h->dtype == F32 ? h->logits_RV : slice(&s, R * vocab_max, e);
    h->max_R = slice(&s, R, 4);
    h->sum_RP = slice(&s, R + P, 4);
    h->r = slice(&s, N, 4);
    h->dr = slice(&s, N, 4);
    h->sums = slice(&s, 4, sizeof *h->sums);
    return s.used;
}

/* The chunk must be equal on all tensor ranks, so it follows from the largest local vocabulary. */
static int64_t describe(struct heads *h, const struct model_config *model, const struct heads_options *options, enum dtype dtype, int tensor_size)
{
    int64_t vocab_max = (model->vocab + tensor_size - 1) / tensor_size;
    h->options = *options;
    h->dtype = dtype;
    h->hidden = model->hidden;
    int64_t rows = CHUNK_BYTES / (vocab_max * 4);
    h->chunk_rows = max64(1, min64(options->max_predictions, min64(CHUNK_MAX_ROWS, max64(CHUNK_MIN_ROWS, rows))));
    return vocab_max;
}

size_t heads_bytes(const struct model_config *model, const struct heads_options *options, enum dtype dtype, int tensor_size)
{
    struct heads h = {0};
    int64_t vocab_max = describe(&h, model, options, dtype, tensor_size);
    return slice_all(&h, vocab_max, NULL);
}

int heads_create(const struct model_config *model, struct store *store, const struct heads_options *options, struct heads **out)
{
    int status = OK;
    struct heads *h = calloc(1, sizeof *h);
    CHECK(h, "out of memory for the heads");
    h->store = store;
    h->device = store->device;
    h->tensor = store->mesh->tensor;
    int64_t vocab_max = describe(h, model, options, store->dtype, h->tensor->size);
    h->lm_head = params_find(store->table, model->tie_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    h->score = params_find(store->table, "score.weight");
    h->vocab_first = store->table->params[h->lm_head].box_offset[0];
    h->vocab_local = store->table->params[h->lm_head].local_shape[0];
    h->host_reward = calloc((size_t)h->options.max_rewards + 1, sizeof *h->host_reward);
    CHECK_DONE(h->host_reward, "out of memory for %lld rewards", (long long)h->options.max_rewards);
    h->n_bytes = slice_all(h, vocab_max, NULL);
    TRY_DONE(device_alloc(h->device, h->n_bytes, &h->block));
    slice_all(h, vocab_max, h->block);
    *out = h;
    return OK;
done:
    heads_destroy(&h);
    return status;
}

void heads_destroy(struct heads **out)
{
    struct heads *h = *out;
    if (!h)
        return;
    if (h->block)
        device_free(h->device, &h->block, h->n_bytes);
    free(h->host_reward);
    free(h);
    *out = NULL;
}

static struct stream *stream_of(const struct heads *h) { return &h->device->stream; }

static int gather(const struct heads *h, const int32_t *row, int64_t n, const void *hidden_TC)
{
    struct rows_args args = {.n_index = n, .cols = h->hidden, .dtype = h->dtype, .index = row, .x = hidden_TC, .y = h->h_RC};
    return h->device->kernels->gather_rows(stream_of(h), &args);
}

static int scatter_add(const struct heads *h, const int32_t *row, int64_t n, void *dhidden_TC)
{
    struct rows_args args = {.n_index = n, .cols = h->hidden, .dtype = h->dtype, .index = row, .x = h->dh_RC, .y = dhidden_TC};
    return h->device->kernels->scatter_add_rows(stream_of(h), &args);
}

/* ---- critique loss ------------------------------------------------------------------------------------------------------------------------- */

static int chunk_logits(const struct heads *h, int64_t rows)
{
    struct gemm_args args = {.m = rows, .n = h->vocab_local, .k = h->hidden, .trans_b = true, .a = h->h_RC, .lda = h->hidden,
                             .b = store_weight(h->store, h->lm_head), .ldb = h->hidden, .c = h->logits_RV, .ldc = h->vocab_local,
                             .dtype_ab = h->dtype, .dtype_c = F32};
    return h->device->kernels->gemm(stream_of(h), &args);
}

/* dh_RC = dlogits_RV w_VC (this rank's part); dw_VC += dlogits_RV' h_RC */
static int chunk_backward(const struct heads *h, int64_t rows)
{
    struct gemm_args dh = {.m = rows, .n = h->hidden, .k = h->vocab_local, .a = h->dlogits_RV, .lda = h->vocab_local,
                           .b = store_weight(h->store, h->lm_head), .ldb = h->hidden, .c = h->dh_RC, .ldc = h->hidden, .dtype_ab = h->dtype, .dtype_c = h->dtype};
    TRY(h->device->kernels->gemm(stream_of(h), &dh));
    struct gemm_args dw = {.m = h->vocab_local, .n = h->hidden, .k = rows, .trans_a = true, .a = h->dlogits_RV, .lda = h->vocab_local, .b = h->h_RC,
                           .ldb = h->hidden, .c = store_grad(h->store, h->lm_head), .ldc = h->hidden, .dtype_ab = h->dtype, .dtype_c = F32, .accumulate = true};
    return h->device->kernels->gemm(stream_of(h), &dw);
}

static int run_chunk(struct heads *h, const struct placed_forest *f, int64_t first, int64_t rows, const void *hidden_TC, void *dhidden_TC, float scale)
{
    const struct kernels *k = h->device->kernels;
    int64_t n_predictions = f->host_first[first + rows] - f->host_first[first];
    struct cross_entropy_args args = {.rows = rows, .cols = h->vocab_local, .vocab_first = h->vocab_first, .logits = h->logits_RV,
                                      .prediction_first = f->first + first, .target = f->target, .weight = f->weight, .max = h->max_R, .sum = h->sum_RP,
                                      .target_logit = h->sum_RP + rows, .loss = &h->sums[0], .dlogits = h->dlogits_RV, .dtype = h->dtype, .scale = scale};
    TRY(gather(h, f->predicting + first, rows, hidden_TC));
    TRY(chunk_logits(h, rows));
    TRY(k->cross_entropy_max(stream_of(h), &args));
    TRY(all_reduce(h->tensor, h->max_R, rows, COMM_F32, COMM_MAX, stream_of(h)));
    TRY(k->cross_entropy_sum(stream_of(h), &args));
    TRY(all_reduce(h->tensor, h->sum_RP, rows + n_predictions, COMM_F32, COMM_SUM, stream_of(h)));
    TRY(k->cross_entropy_loss(stream_of(h), &args));
    if (!dhidden_TC)
        return OK;
    TRY(k->cross_entropy_backward(stream_of(h), &args));
    TRY(chunk_backward(h, rows));
    return scatter_add(h, f->predicting + first, rows, dhidden_TC);
}

static int run_critique(struct heads *h, const struct placed_forest *f, const void *hidden_TC, void *dhidden_TC, float scale)
{
    for (int64_t first = 0; first < f->n_predicting; first += h->chunk_rows)
        TRY(run_chunk(h, f, first, min64(h->chunk_rows, f->n_predicting - first), hidden_TC, dhidden_TC, scale));
    return OK;
}

/* ---- reward loss --------------------------------------------------------------------------------------------------------------------------- */

static int compare(struct heads *h, const struct placed_forest *f, float scale)
{
    TRY(h->device->ops->zero(stream_of(h), h->dr, (size_t)f->forest->n_rewards * 4));
    for (int32_t i = 0; i < f->forest->n_comparisons; i++)
        h->compared += (double)f->forest->comparison[i].weight;
    struct bradley_terry_args args = {.n_comparisons = f->forest->n_comparisons, .chosen = f->chosen, .rejected = f->rejected, .weight = f->comparison_weight,
                                      .r = h->r, .dr = h->dr, .scale = scale, .loss = &h->sums[1], .correct = &h->sums[2], .margin = &h->sums[3]};
    return h->device->kernels->bradley_terry(stream_of(h), &args);
}

/* Every tensor rank computes the rewards alike; the first alone contributes their gradient, so that sums over the ranks take it once. */
static int run_reward(struct heads *h, const struct placed_forest *f, const void *hidden_TC, void *dhidden_TC, float scale)
{
    TRY(gather(h, f->reward_row, f->forest->n_rewards, hidden_TC));
    struct reward_args args = {.rows = f->forest->n_rewards, .cols = h->hidden, .dtype = h->dtype, .h = h->h_RC, .w = store_weight(h->store, h->score), .r = h->r};
    TRY(h->device->kernels->reward_forward(stream_of(h), &args));
    TRY(compare(h, f, scale));
    if (!dhidden_TC || h->tensor->rank != 0)
        return OK;
    args.dr = h->dr;
    args.dh = h->dh_RC;
    args.dw = store_grad(h->store, h->score);
    TRY(h->device->kernels->reward_backward(stream_of(h), &args));
    return scatter_add(h, f->reward_row, f->forest->n_rewards, dhidden_TC);
}

int heads_run(struct heads *h, const struct placed_forest *placed, const void *hidden_TC, void *dhidden_TC, double lambda)
{
    const struct forest *forest = placed->forest;
    ASSERT(forest->n_predictions <= h->options.max_predictions && forest->n_rewards <= h->options.max_rewards &&
           forest->n_comparisons <= h->options.max_comparisons);
    TRY(store_await_weights(h->store, h->store->table->params[h->lm_head].bucket));
    TRY(store_await_weights(h->store, h->store->table->params[h->score].bucket));
    if (forest->n_predictions > 0)
        TRY(run_critique(h, placed, hidden_TC, dhidden_TC, (float)lambda));
    if (forest->n_rewards > 0)
        TRY(run_reward(h, placed, hidden_TC, dhidden_TC, (float)(1.0 - lambda)));
    return OK;
}

int heads_reset(struct heads *h)
{
    h->compared = 0.0;
    return h->device->ops->zero(stream_of(h), h->sums, 4 * sizeof *h->sums);
}

int heads_rewards(struct heads *h, const float **reward)
{
    TRY(h->device->ops->copy(stream_of(h), h->host_reward, h->r, (size_t)h->options.max_rewards * 4, DEVICE_TO_HOST));
    TRY(h->device->ops->synchronize(stream_of(h)));
    *reward = h->host_reward;
    return OK;
}

int heads_queue_sums(struct heads *h) { return h->device->ops->copy(stream_of(h), h->host_sums, h->sums, sizeof h->host_sums, DEVICE_TO_HOST); }

struct loss_sums heads_sums(const struct heads *h) { return (struct loss_sums){h->host_sums[0], h->host_sums[1], h->host_sums[2], h->host_sums[3], h->compared}; }
