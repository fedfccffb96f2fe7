/* collectives: see collectives.h. */
#include "trainer/collectives.h"

#include "comm/partition.h"
#include "comm/prepare.h"
#include "trainer/infer/readout.h"
#include "trainer/optim/optimizer.h"

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t own_rows_elems(const struct collectives *c)
{
    int64_t size = c->mesh->tensor->size;
    return (c->rows + size - 1) / size * c->model->hidden;
}

/* The largest tensor that has from `least` to `most` copies on the tensor axis. */
static int64_t largest_copied(const struct param_table *table, int least, int most)
{
    int64_t n = 0;
    for (int i = 0; i < table->n; i++)
        if (table->params[i].copies >= least && table->params[i].copies <= most)
            n = max64(n, table->params[i].n_local);
    return n;
}

/* store.c: gradients of a bucket, and its weights; the reward head's are float32. */
static int prepare_data(const struct collectives *c)
{
    int64_t n = 0, data = c->mesh->data->size;
    for (int i = 0; i < c->table->n_buckets; i++)
        n = max64(n, partition_chunk(c->table->bucket[i].n_elems, (int)data));
    int64_t n_reward = partition_chunk(c->table->bucket[c->table->n_buckets - 1].n_elems, (int)data);
    const struct comm_use use[] = {{COMM_REDUCE_SCATTER, COMM_F32, COMM_SUM, n}, {COMM_ALL_GATHER, comm_type_of(c->dtype), COMM_SUM, n}, {COMM_ALL_GATHER, COMM_F32, COMM_SUM, n_reward}};
    return prepare_comm(c->mesh->data, c->device, use, 3);
}

/* tensor_axis.c: hidden states, gathered and summed; heads.c: maxima, and sums beside target logits; optimizer.c: gradients of what every rank has. */
static int prepare_tensor(const struct collectives *c, int64_t predictions)
{
    int64_t own = own_rows_elems(c), size = c->mesh->tensor->size;
    enum comm_type type = comm_type_of(c->dtype);
    const struct comm_use use[] = {{COMM_ALL_GATHER, type, COMM_SUM, own}, {COMM_REDUCE_SCATTER, type, COMM_SUM, own}, {COMM_ALL_REDUCE, COMM_F32, COMM_MAX, predictions},
                                   {COMM_ALL_REDUCE, COMM_F32, COMM_SUM, max64(2 * predictions, largest_copied(c->table, (int)size, (int)size))}};
    return prepare_comm(c->mesh->tensor, c->device, use, 4);
}

int collectives_prepare_training(const struct collectives *c, int64_t predictions, struct comm **copies)
{
    size_t left = c->device->ops->left(c->device);
    const struct comm_use sum = {COMM_ALL_REDUCE, COMM_F32, COMM_SUM, largest_copied(c->table, 2, c->mesh->tensor->size - 1)};
    TRY(optimizer_copies(c->table, c->mesh->tensor, copies));
    TRY(prepare_data(c));
    TRY(prepare_tensor(c, predictions));
    TRY(prepare_comm(*copies, c->device, &sum, 1));
    prepare_count(c->device, left);
    return OK;
}

/* tensor_axis.c: hidden states, on more than two ranks exchanged where they are to be summed in one order; readout.c: logits and tokens. */
int collectives_prepare_generation(const struct collectives *c)
{
    struct comm *tensor = c->mesh->tensor;
    size_t left = c->device->ops->left(c->device);
    int64_t own = own_rows_elems(c), vocab_max = (c->model->vocab + tensor->size - 1) / tensor->size;
    enum comm_type type = comm_type_of(c->dtype);
    bool in_order = c->device->batch_invariant && tensor->size > 2;
    const struct comm_use use[] = {{COMM_ALL_GATHER, type, COMM_SUM, own}, {in_order ? COMM_ALL_TO_ALL : COMM_REDUCE_SCATTER, type, COMM_SUM, own},
                                   {COMM_ALL_GATHER, COMM_F32, COMM_SUM, READOUT_CHUNK_ROWS * vocab_max}, {COMM_BROADCAST, COMM_U8, COMM_SUM, READOUT_CHUNK_ROWS * (int64_t)sizeof(uint32_t)}};
    TRY(prepare_comm(tensor, c->device, use, 4));
    prepare_count(c->device, left);
    return OK;
}
