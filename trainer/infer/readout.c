/* readout: see readout.h. R rows of a chunk, V local vocabulary (Vmax the largest), C hidden. */
#include "trainer/infer/readout.h"

#include <stdlib.h>

#include "base/slicer.h"

struct readout {
    struct store *store;
    struct device *device;
    struct comm *tensor;
    enum dtype dtype;
    int64_t max_rows, hidden, vocab, vocab_max, vocab_local;
    int lm_head, score;
    int32_t *row;               /* device */
    void *h_RC;
    float *logits_NRV, *reward; /* logits: [tensor][rows][Vmax] */
    uint32_t *token_R;
    void *block;
    size_t n_bytes;
    int64_t *part_first;        /* [tensor + 1] first vocabulary row of each tensor rank */
};

static size_t slice_all(struct readout *r, int tensor_size, char *base)
{
    struct slicer s = {base, 0};
    r->row = slice(&s, r->max_rows, 4);
    r->reward = slice(&s, r->max_rows, 4);
    r->h_RC = slice(&s, r->max_rows * r->hidden, dtype_bytes(r->dtype));
    r->logits_NRV = slice(&s, tensor_size * READOUT_CHUNK_ROWS * r->vocab_max, 4);
    r->token_R = slice(&s, READOUT_CHUNK_ROWS, 4);
    return s.used;
}

static void describe(struct readout *r, const struct model_config *model, int64_t max_rows, enum dtype dtype, int tensor_size)
{
    r->max_rows = max_rows;
    r->dtype = dtype;
    r->hidden = model->hidden;
    r->vocab = model->vocab;
    r->vocab_max = (model->vocab + tensor_size - 1) / tensor_size;
}

size_t readout_bytes(const struct model_config *model, int64_t max_rows, enum dtype dtype, int tensor_size)
{
    struct readout r = {0};
    describe(&r, model, max_rows, dtype, tensor_size);
    return slice_all(&r, tensor_size, NULL);
}

int readout_create(const struct model_config *model, struct store *store, int64_t max_rows, struct readout **out)
{
    int status = OK;
    struct readout *r = calloc(1, sizeof *r);
    CHECK(r, "out of memory for the readout");
    r->store = store;
    r->device = store->device;
    r->tensor = store->mesh->tensor;
    describe(r, model, max_rows, store->dtype, r->tensor->size);
    r->lm_head = params_find(store->table, model->tie_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    r->score = params_find(store->table, "score.weight");
    r->vocab_local = store->table->params[r->lm_head].local_shape[0];
    r->part_first = calloc((size_t)r->tensor->size + 1, sizeof *r->part_first);
    CHECK_DONE(r->part_first, "out of memory for the readout");
    for (int i = 0; i <= r->tensor->size; i++)
        r->part_first[i] = i * r->vocab_max < r->vocab ? i * r->vocab_max : r->vocab;
    r->n_bytes = slice_all(r, r->tensor->size, NULL);
    TRY_DONE(device_alloc(r->device, r->n_bytes, &r->block));
    slice_all(r, r->tensor->size, r->block);
    *out = r;
    return OK;
done:
    readout_destroy(&r);
    return status;
}

void readout_destroy(struct readout **out)
{
    struct readout *r = *out;
    if (!r)
        return;
    if (r->block)
        device_free(r->device, &r->block, r->n_bytes);
    free(r->part_first);
    free(r);
    *out = NULL;
}

static struct stream *stream_of(const struct readout *r) { return &r->device->stream; }

static int gather(struct readout *r, const void *hidden_TC, const int32_t *row, int64_t n)
{
    TRY(r->device->ops->copy(stream_of(r), r->row, row, (size_t)n * 4, HOST_TO_DEVICE));
    struct rows_args args = {.n_index = n, .cols = r->hidden, .dtype = r->dtype, .index = r->row, .x = hidden_TC, .y = r->h_RC};
    return r->device->kernels->gather_rows(stream_of(r), &args);
}

/* Rows [first, first + rows) of h_RC -> all columns, block by block of the tensor ranks. */
static int logits(struct readout *r, int64_t first, int64_t rows)
{
    float *mine = r->logits_NRV + r->tensor->rank * rows * r->vocab_max;
    struct gemm_args args = {.m = rows, .n = r->vocab_local, .k = r->hidden, .trans_b = true, .a = dtype_at(r->h_RC, r->dtype, first * r->hidden), .lda = r->hidden,
                             .b = store_weight(r->store, r->lm_head), .ldb = r->hidden, .c = mine, .ldc = r->vocab_max, .dtype_ab = r->dtype, .dtype_c = F32};
    TRY(r->device->kernels->gemm(stream_of(r), &args));
    return all_gather(r->tensor, mine, r->logits_NRV, rows * r->vocab_max, COMM_F32, stream_of(r));
}

static int draw(struct readout *r, int64_t rows, const struct sample_rule *rule, const uint32_t *allowed, uint32_t *token)
{
    struct sample_args args = {.rows = rows, .parts = r->tensor->size, .part_first = r->part_first, .part_stride = r->vocab_max, .logits = r->logits_NRV, .rule = rule, .allowed = allowed,
                               .token = r->token_R};
    if (r->tensor->rank == 0)
        TRY(r->device->kernels->sample(stream_of(r), &args));
    TRY(broadcast(r->tensor, r->token_R, rows * 4, COMM_U8, 0, stream_of(r)));
    TRY(r->device->ops->copy(stream_of(r), token, r->token_R, (size_t)rows * 4, DEVICE_TO_HOST));
    TRY(r->device->ops->synchronize(stream_of(r)));
    for (int64_t i = 0; i < rows; i++)
        CHECK(token[i] != SAMPLE_NONE, "logits are not finite numbers: the model's weights are damaged, or overflow in this type");
    return OK;
}

int readout_sample(struct readout *r, const void *hidden_TC, const int32_t *row, int64_t n, const struct sample_rule *rule, const uint32_t *allowed, uint32_t *token)
{
    ASSERT(n <= r->max_rows);
    TRY(gather(r, hidden_TC, row, n));
    for (int64_t first = 0; first < n; first += READOUT_CHUNK_ROWS) {
        int64_t rows = n - first < READOUT_CHUNK_ROWS ? n - first : READOUT_CHUNK_ROWS;
        TRY(logits(r, first, rows));
        TRY(draw(r, rows, rule + first, allowed, token + first));
    }
    return OK;
}

int readout_rewards(struct readout *r, const void *hidden_TC, const int32_t *row, int64_t n, float *reward)
{
    ASSERT(n <= r->max_rows);
    TRY(gather(r, hidden_TC, row, n));
    struct reward_args args = {.rows = n, .cols = r->hidden, .dtype = r->dtype, .h = r->h_RC, .w = store_weight(r->store, r->score), .r = r->reward};
    TRY(r->device->kernels->reward_forward(stream_of(r), &args));
    TRY(r->device->ops->copy(stream_of(r), reward, r->reward, (size_t)n * 4, DEVICE_TO_HOST));
    return r->device->ops->synchronize(stream_of(r));
}
