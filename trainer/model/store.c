/* store: describe, sum, allocate once, slice. */
#include "trainer/model/store.h"

#include <stdlib.h>

static enum dtype bucket_dtype(const struct param_table *table, int bucket, enum dtype dtype)
{
    return table->params[table->bucket[bucket].first_param].group == GROUP_REWARD ? F32 : dtype;
}

static size_t weight_bytes(const struct bucket_memory *b, int data_size) { return (size_t)(b->chunk * data_size) * dtype_bytes(b->dtype); }
static size_t grad_bytes(const struct bucket_memory *b, int data_size) { return (size_t)(b->chunk * data_size) * sizeof(float); }
static size_t owned_bytes(const struct bucket_memory *b) { return (size_t)b->chunk * sizeof(float); }

static struct bucket_memory bucket_describe(const struct param_table *table, int i, enum dtype dtype, int data_size, int data_rank)
{
    int64_t n = table->bucket[i].n_elems;
    return (struct bucket_memory){
        .dtype = bucket_dtype(table, i, dtype),
        .n_elems = n,
        .chunk = partition_chunk(n, data_size),
        .owned = partition_owned(n, data_size, data_rank),
    };
}

void store_count(const struct param_table *table, enum dtype dtype, int data_size, struct store_bytes *out)
{
    *out = (struct store_bytes){0};
    for (int i = 0; i < table->n_buckets; i++) {
        struct bucket_memory b = bucket_describe(table, i, dtype, data_size, 0);
        out->weights += device_room(weight_bytes(&b, data_size));
        out->gradients += device_room(grad_bytes(&b, data_size));
        out->optimizer += device_room(owned_bytes(&b)) * (b.dtype == F32 ? 2 : 3);
    }
}

static int bucket_alloc(struct store *store, struct bucket_memory *b, bool with_training)
{
    int size = store->mesh->data->size;
    struct device *device = store->device;
    TRY(device_alloc(device, weight_bytes(b, size), &b->weight));
    if (!with_training)
        return OK;
    TRY(device_alloc(device, grad_bytes(b, size), (void **)&b->grad));
    TRY(device_alloc(device, owned_bytes(b), (void **)&b->m));
    TRY(device_alloc(device, owned_bytes(b), (void **)&b->v));
    if (b->dtype == F32)
        b->master = (float *)b->weight + store->mesh->data->rank * b->chunk;
    else
        TRY(device_alloc(device, owned_bytes(b), (void **)&b->master));
    return OK;
}

int store_create(const struct param_table *table, struct device *device, const struct mesh *mesh, enum dtype dtype, bool with_training, struct store **out)
{
    int status = OK;
    struct store *store = calloc(1, sizeof *store);
    struct bucket_memory *bucket = calloc((size_t)table->n_buckets, sizeof *bucket);
    CHECK_DONE(store && bucket, "out of memory for the table of buckets");
    *store = (struct store){.table = table, .device = device, .mesh = mesh, .dtype = dtype, .n_buckets = table->n_buckets, .bucket = bucket};
    TRY_DONE(device->ops->stream_open(device, &store->beside));
    for (int i = 0; i < table->n_buckets; i++)
        bucket[i] = bucket_describe(table, i, dtype, mesh->data->size, mesh->data->rank);
    for (int i = 0; i < table->n_buckets; i++)
        TRY_DONE(bucket_alloc(store, &bucket[i], with_training));
    *out = store;
    return OK;
done:
    if (store && store->bucket) {
        store_destroy(&store);
    } else {
        free(bucket);
        free(store);
    }
    return status;
}

void store_destroy(struct store **out)
{
    struct store *store = *out;
    if (!store)
        return;
    int size = store->mesh->data->size;
    if (store->beside.device)
        store->device->ops->synchronize(&store->beside);        /* nothing is under way in what is freed */
    for (int i = 0; i < store->n_buckets; i++) {
        struct bucket_memory *b = &store->bucket[i];
        if (b->dtype != F32)
            device_free(store->device, (void **)&b->master, owned_bytes(b));
        device_free(store->device, (void **)&b->v, owned_bytes(b));
        device_free(store->device, (void **)&b->m, owned_bytes(b));
        device_free(store->device, (void **)&b->grad, grad_bytes(b, size));
        device_free(store->device, &b->weight, weight_bytes(b, size));
    }
    free(store->bucket);
    free(store);
    *out = NULL;
}

static const struct bucket_memory *bucket_of(const struct store *store, int param) { return &store->bucket[store->table->params[param].bucket]; }

void *store_weight(const struct store *store, int param)
{
    const struct bucket_memory *b = bucket_of(store, param);
    return dtype_at(b->weight, b->dtype, store->table->params[param].offset);
}

float *store_grad(const struct store *store, int param) { return bucket_of(store, param)->grad + store->table->params[param].offset; }
enum dtype store_dtype(const struct store *store, int param) { return bucket_of(store, param)->dtype; }

/* ---- over the data axis ---------------------------------------------------------------------------------------------------------------------- */

int store_reduce(struct store *store, int bucket)
{
    const struct bucket_memory *b = &store->bucket[bucket];
    TRY(stream_order(&store->device->stream, &store->beside, &store->computed));
    return reduce_scatter(store->mesh->data, b->grad, b->grad + store->mesh->data->rank * b->chunk, b->chunk, COMM_F32, COMM_SUM, &store->beside);
}

int store_await_reduced(struct store *store) { return stream_order(&store->beside, &store->device->stream, &store->reduced); }

int store_gather(struct store *store, int bucket)
{
    struct bucket_memory *b = &store->bucket[bucket];
    TRY(stream_order(&store->device->stream, &store->beside, &store->computed));
    TRY(all_gather(store->mesh->data, dtype_at(b->weight, b->dtype, store->mesh->data->rank * b->chunk), b->weight, b->chunk, comm_type_of(b->dtype), &store->beside));
    b->gathering = true;
    return store->device->ops->event_record(&b->gathered, &store->beside);
}

int store_await_weights(struct store *store, int bucket)
{
    struct bucket_memory *b = &store->bucket[bucket];
    if (!b->gathering)
        return OK;
    b->gathering = false;
    return store->device->ops->event_wait(&b->gathered, &store->device->stream);
}

int store_weights_from_masters(struct store *store)
{
    for (int i = 0; i < store->n_buckets; i++) {
        struct bucket_memory *b = &store->bucket[i];
        if (b->dtype != F32) {
            struct map_args cast = {.n_elems = b->chunk, .dtype = F32, .dtype_y = b->dtype, .x = b->master, .y = dtype_at(b->weight, b->dtype, store->mesh->data->rank * b->chunk)};
            TRY(store->device->kernels->cast(&store->device->stream, &cast));
        }
        TRY(store_gather(store, i));
        TRY(store_await_weights(store, i));
    }
    return OK;
}

int store_zero_grads(struct store *store)
{
    for (int i = 0; i < store->n_buckets; i++) {
        struct bucket_memory *b = &store->bucket[i];
        TRY(store->device->ops->zero(&store->device->stream, b->grad, grad_bytes(b, store->mesh->data->size)));
    }
    return OK;
}
