/* optimizer: walks the parameter table; knows the network only through it. */
#include "trainer/optim/optimizer.h"

#include <math.h>
#include <stdlib.h>


struct optimizer {
    struct store *store;
    struct comm *copies;        /* tensor ranks that hold the same shard of the key and value projections */
    double beta1, beta2, eps, weight_decay, clip;
    double *sum;                /* device: one double */
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

int optimizer_create(const struct config *config, struct store *store, struct optimizer **out)
{
    int status = OK;
    struct optimizer *o = calloc(1, sizeof *o);
    CHECK(o, "out of memory for the optimizer");
    o->store = store;
    o->beta1 = config->optimizer.beta1;
    o->beta2 = config->optimizer.beta2;
    o->eps = config->optimizer.eps;
    o->weight_decay = config->optimizer.weight_decay;
    o->clip = config->optimizer.clip;
    struct comm *tensor = store->mesh->tensor;
    TRY_DONE(tensor->ops->split(tensor, tensor->rank / widest_partial_copies(store->table, tensor->size), &o->copies));
    TRY_DONE(device_alloc(store->device, sizeof *o->sum, (void **)&o->sum));
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
    if (o->sum)
        device_free(o->store->device, (void **)&o->sum, sizeof *o->sum);
    if (o->copies)
        comm_destroy(&o->copies);
    free(o);
    *out = NULL;
}

static int sum_copies(struct optimizer *o)
{
    const struct param_table *table = o->store->table;
    struct comm *tensor = o->store->mesh->tensor;
    for (int i = 0; i < table->n; i++) {
        const struct param *p = &table->params[i];
        if (p->copies == 1)
            continue;
        struct comm *comm = p->copies == tensor->size ? tensor : o->copies;
        TRY(all_reduce(comm, store_grad(o->store, i), p->n_local, COMM_F32, COMM_SUM, &o->store->device->stream));
    }
    return OK;
}

static float *owned_grad(const struct optimizer *o, const struct bucket_memory *b) { return b->grad + o->store->mesh->data->rank * b->chunk; }

int optimizer_reduce(struct optimizer *o)
{
    TRY(sum_copies(o));
    for (int i = 0; i < o->store->n_buckets; i++) {
        const struct bucket_memory *b = &o->store->bucket[i];
        TRY(reduce_scatter(o->store->mesh->data, b->grad, owned_grad(o, b), b->chunk, COMM_F32, COMM_SUM, &o->store->device->stream));
    }
    return OK;
}

/* The part of a parameter in this rank's owned chunk: count 0 when none. first counts from the chunk's start. */
static struct range owned_part(const struct optimizer *o, const struct param *p)
{
    const struct bucket_memory *b = &o->store->bucket[p->bucket];
    int64_t begin = p->offset > b->owned.first ? p->offset : b->owned.first;
    int64_t end = p->offset + p->n_local < b->owned.first + b->owned.count ? p->offset + p->n_local : b->owned.first + b->owned.count;
    return (struct range){begin - b->owned.first, end > begin ? end - begin : 0};
}

static int param_norm_squared(struct optimizer *o, const struct param *p, double *out)
{
    struct device *device = o->store->device;
    const struct bucket_memory *b = &o->store->bucket[p->bucket];
    struct range part = owned_part(o, p);
    struct norm_args args = {.n_elems = part.count, .x = owned_grad(o, b) + part.first, .sum = o->sum};
    *out = 0.0;
    if (part.count == 0)
        return OK;
    TRY(device->ops->zero(&device->stream, o->sum, sizeof *o->sum));
    TRY(device->kernels->norm_squared(&device->stream, &args));
    TRY(device->ops->copy(&device->stream, out, o->sum, sizeof *out, DEVICE_TO_HOST));
    return device->ops->synchronize(&device->stream);
}

/* Replicated parameters count on the first tensor rank that holds them: copies stand next to each other. */
static bool counts_here(const struct optimizer *o, const struct param *p) { return o->store->mesh->tensor->rank % p->copies == 0; }

int optimizer_norm(struct optimizer *o, int64_t step, double *norm)
{
    const struct param_table *table = o->store->table;
    double total = 0.0;
    int64_t first_bad = table->n;
    for (int i = 0; i < table->n; i++) {
        double squared;
        TRY(param_norm_squared(o, &table->params[i], &squared));
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

static int update_param(struct optimizer *o, const struct param *p, double scale, const struct group_step *group)
{
    const struct bucket_memory *b = &o->store->bucket[p->bucket];
    struct range part = owned_part(o, p);
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

static int gather_weights(struct optimizer *o)
{
    for (int i = 0; i < o->store->n_buckets; i++) {
        const struct bucket_memory *b = &o->store->bucket[i];
        const void *mine = dtype_at(b->weight, b->dtype, o->store->mesh->data->rank * b->chunk);
        TRY(all_gather(o->store->mesh->data, mine, b->weight, b->chunk, comm_type_of(b->dtype), &o->store->device->stream));
    }
    return OK;
}

int optimizer_update(struct optimizer *o, double norm, const struct group_step group[2])
{
    const struct param_table *table = o->store->table;
    double scale = o->clip > 0.0 && norm > o->clip ? o->clip / norm : 1.0;
    for (int i = 0; i < table->n; i++)
        if (group[table->params[i].group].active)
            TRY(update_param(o, &table->params[i], scale, &group[table->params[i].group]));
    return gather_weights(o);
}
