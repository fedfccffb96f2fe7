/* optimizer: walks the parameter table; knows the network only through it. */
#include "trainer/optim/optimizer.h"

#include <math.h>
#include <stdlib.h>

struct optimizer {
    struct store *store;
    struct comm *copies;        /* optimizer_copies */
    double beta1, beta2, eps, weight_decay, clip;
    double *squared, *host_squared;     /* [table.n] of each parameter's owned part; on the device, on the host */
};

/* Ranks of the tensor axis that share a shard stand next to each other: shard = rank * n_shards / size. */
static int widest_partial_copies(const struct param_table *table, int tensor_size)
{
    int copies = 1;
    for (int i = 0; i < table->n; i++)
        if (table->params[i].copies < tensor_size && table->params[i].copies > copies)
            copies = table->params[i].copies;
    return copies;
}

size_t optimizer_bytes(const struct param_table *table) { return (size_t)table->n * sizeof(double); }
static size_t squared_bytes(const struct optimizer *o) { return optimizer_bytes(o->store->table); }

int optimizer_copies(const struct param_table *table, struct comm *tensor, struct comm **out)
{
    return tensor->ops->split(tensor, tensor->rank / widest_partial_copies(table, tensor->size), out);
}

int optimizer_create(const struct config *config, struct store *store, struct comm *copies, struct optimizer **out)
{
    int status = OK;
    struct optimizer *o = calloc(1, sizeof *o);
    CHECK(o, "out of memory for the optimizer");
    o->store = store;
    o->copies = copies;
    o->beta1 = config->optimizer.beta1;
    o->beta2 = config->optimizer.beta2;
    o->eps = config->optimizer.eps;
    o->weight_decay = config->optimizer.weight_decay;
    o->clip = config->optimizer.clip;
    o->host_squared = calloc((size_t)store->table->n, sizeof *o->host_squared);
    CHECK_DONE(o->host_squared, "out of memory for the norms of %d tensors", store->table->n);
    TRY_DONE(device_alloc(store->device, squared_bytes(o), (void **)&o->squared));
    *out = o;
    return OK;
done:
    optimizer_destroy(&o);
    return status;
}

void optimizer_destroy(struct optimizer **out)
{
    struct optimizer *o = *out;
    if (!o)
        return;
    device_free(o->store->device, (void **)&o->squared, squared_bytes(o));
    free(o->host_squared);
    free(o);
    *out = NULL;
}

/* On the compute stream: there is little of it, and what waits for it is not kept from running beside. */
static int sum_copies(struct optimizer *o, const struct bucket *bucket)
{
    const struct param_table *table = o->store->table;
    struct comm *tensor = o->store->mesh->tensor;
    for (int i = bucket->first_param; i < bucket->first_param + bucket->n_params; i++) {
        const struct param *p = &table->params[i];
        if (p->copies == 1)
            continue;
        struct comm *comm = p->copies == tensor->size ? tensor : o->copies;
        TRY(all_reduce(comm, store_grad(o->store, i), p->n_local, COMM_F32, COMM_SUM, &o->store->device->stream));
    }
    return OK;
}

int optimizer_reduce(struct optimizer *o, int bucket)
{
    TRY(sum_copies(o, &o->store->table->bucket[bucket]));
    return store_reduce(o->store, bucket);
}

static float *owned_grad(const struct optimizer *o, const struct bucket_memory *b) { return b->grad + o->store->mesh->data->rank * b->chunk; }

/* The part of n parameters, which lie one behind the other, in this rank's owned chunk: count 0 when none. first counts from the chunk's start. */
static struct range owned_part(const struct optimizer *o, const struct param *p, int n)
{
    const struct bucket_memory *b = &o->store->bucket[p->bucket];
    int64_t begin = p->offset, end = p[n - 1].offset + p[n - 1].n_local;
    begin = begin > b->owned.first ? begin : b->owned.first;
    end = end < b->owned.first + b->owned.count ? end : b->owned.first + b->owned.count;
    return (struct range){begin - b->owned.first, end > begin ? end - begin : 0};
}

int optimizer_queue_norms(struct optimizer *o)
{
    const struct param_table *table = o->store->table;
    struct device *device = o->store->device;
    TRY(store_await_reduced(o->store));
    TRY(device->ops->zero(&device->stream, o->squared, squared_bytes(o)));
    for (int i = 0; i < table->n; i++) {
        struct range part = owned_part(o, &table->params[i], 1);
        struct norm_args args = {.n_elems = part.count, .x = owned_grad(o, &o->store->bucket[table->params[i].bucket]) + part.first, .sum = &o->squared[i]};
        if (part.count > 0)
            TRY(device->kernels->norm_squared(&device->stream, &args));
    }
    return device->ops->copy(&device->stream, o->host_squared, o->squared, squared_bytes(o), DEVICE_TO_HOST);
}

/* Replicated parameters count on the first tensor rank that holds them: copies stand next to each other. */
static bool counts_here(const struct optimizer *o, const struct param *p) { return o->store->mesh->tensor->rank % p->copies == 0; }

int optimizer_norm(struct optimizer *o, int64_t step, double *norm)
{
    const struct param_table *table = o->store->table;
    double total = 0.0;
    int64_t first_bad = table->n;
    for (int i = 0; i < table->n; i++) {
        double squared = o->host_squared[i];
        if (!isfinite(squared) && i < first_bad)
            first_bad = i;
        if (counts_here(o, &table->params[i]))
            total += squared;
    }
    TRY(all_reduce(o->store->mesh->world, &first_bad, 1, COMM_I64, COMM_MIN, NULL));
    TRY(all_reduce(o->store->mesh->world, &total, 1, COMM_F64, COMM_SUM, NULL));
    CHECK(first_bad == table->n, "step %lld: the gradient of %s is not finite; nothing was updated. Look at the weights and the learning rate, then resume from the last checkpoint",
          (long long)step, table->params[first_bad].name);
    *norm = sqrt(total);
    return OK;
}

/* Parameters from `first` on, before `end`, whose update differs in nothing: they lie one behind the other. */
static int alike(const struct param_table *table, int first, int end)
{
    int n = 1;
    while (first + n < end && table->params[first + n].decay == table->params[first].decay)
        n++;
    return n;
}

/* Of n parameters that lie one behind the other, what this rank owns. */
static int update_params(struct optimizer *o, const struct param *p, int n, double scale, const struct group_step *group)
{
    const struct bucket_memory *b = &o->store->bucket[p->bucket];
    struct range part = owned_part(o, p, n);
    if (part.count == 0)
        return OK;
    int64_t at = o->store->mesh->data->rank * b->chunk + part.first;
    struct adamw_args args = {
        .n_elems = part.count, .master = b->master + part.first, .m = b->m + part.first, .v = b->v + part.first, .grad = b->grad + at,
        .param = dtype_at(b->weight, b->dtype, at), .dtype = b->dtype, .lr = (float)group->lr, .beta1 = (float)o->beta1, .beta2 = (float)o->beta2,
        .eps = (float)o->eps, .weight_decay = p->decay ? (float)o->weight_decay : 0.0f, .grad_scale = (float)scale, .step = group->update + 1,
    };
    return o->store->device->kernels->adamw(&o->store->device->stream, &args);
}

static int update_bucket(struct optimizer *o, int bucket, double scale, const struct group_step *group)
{
    const struct param_table *table = o->store->table;
    int end = table->bucket[bucket].first_param + table->bucket[bucket].n_params, n;
    TRY(store_await_weights(o->store, bucket));         /* the last gathering reads what is written here */
    for (int i = table->bucket[bucket].first_param; i < end; i += n) {
        n = alike(table, i, end);
        TRY(update_params(o, &table->params[i], n, scale, group));
    }
    return store_gather(o->store, bucket);
}

int optimizer_update(struct optimizer *o, double norm, const struct group_step group[2])
{
    const struct param_table *table = o->store->table;
    double scale = o->clip > 0.0 && norm > o->clip ? o->clip / norm : 1.0;
    for (int i = 0; i < table->n_buckets; i++) {
        const struct group_step *g = &group[table->params[table->bucket[i].first_param].group];
        if (g->active)
            TRY(update_bucket(o, i, scale, g));
    }
    return OK;
}
