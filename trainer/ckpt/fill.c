/* fill: through a host buffer of one bucket, so that it works for memory of any device. */
#include "trainer/ckpt/fill.h"

#include <stdlib.h>

#include "base/status.h"

float *store_state(const struct store *store, int bucket, enum state_kind state)
{
    const struct bucket_memory *b = &store->bucket[bucket];
    return state == STATE_MASTER ? b->master : state == STATE_EXP_AVG ? b->m : b->v;
}

/* `range` of the bucket's flat buffer, parameter by parameter. */
static int fill_range(const struct store *store, int bucket, struct range range, enum state_kind state, fill_fn fill, void *context, float *out)
{
    const struct param_table *table = store->table;
    int first = table->bucket[bucket].first_param;
    for (int i = first; i < first + table->bucket[bucket].n_params; i++) {
        const struct param *p = &table->params[i];
        struct range piece = param_piece(p, range);
        if (piece.count > 0)
            TRY(fill(context, i, state, piece.first, piece.count, out + (p->offset + piece.first - range.first)));
    }
    return OK;
}

static int fill_owned(struct store *store, int bucket, enum state_kind state, fill_fn fill, void *context)
{
    int status = OK;
    const struct bucket_memory *b = &store->bucket[bucket];
    size_t n_bytes = (size_t)b->chunk * sizeof(float);
    float *host = calloc(1, n_bytes + 1);
    CHECK(host, "out of memory for %zu bytes of weights", n_bytes);
    TRY_DONE(fill_range(store, bucket, b->owned, state, fill, context, host));
    TRY_DONE(store->device->ops->copy(&store->device->stream, store_state(store, bucket, state), host, n_bytes, HOST_TO_DEVICE));
    TRY_DONE(store->device->ops->synchronize(&store->device->stream));
done:
    free(host);
    return status;
}

static int fill_weights(struct store *store, int bucket, fill_fn fill, void *context)
{
    int status = OK;
    const struct bucket_memory *b = &store->bucket[bucket];
    float *host = calloc((size_t)b->n_elems + 1, sizeof *host);
    CHECK(host, "out of memory for %lld weights", (long long)b->n_elems);
    TRY_DONE(fill_range(store, bucket, (struct range){0, b->n_elems}, STATE_MASTER, fill, context, host));
    /* element i of the narrow type lies at or before element i of the wide one: rounding in place, front to back, reads each float before it is overwritten */
    if (b->dtype == BF16)
        for (int64_t i = 0; i < b->n_elems; i++) {
            bf16 rounded = f32_to_bf16(host[i]);
            memcpy((char *)host + (size_t)i * sizeof rounded, &rounded, sizeof rounded);
        }
    TRY_DONE(store->device->ops->copy(&store->device->stream, b->weight, host, (size_t)b->n_elems * dtype_bytes(b->dtype), HOST_TO_DEVICE));
    TRY_DONE(store->device->ops->synchronize(&store->device->stream));
done:
    free(host);
    return status;
}

int store_fill(struct store *store, enum state_kind state, fill_fn fill, void *context)
{
    for (int i = 0; i < store->n_buckets; i++) {
        bool training = store->bucket[i].m != NULL;
        ASSERT(training || state == STATE_MASTER);
        TRY(training ? fill_owned(store, i, state, fill, context) : fill_weights(store, i, fill, context));
    }
    return OK;
}
