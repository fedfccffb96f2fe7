/* store: the memory of the parameters of one rank: weights, gradients and optimizer state, bucket by bucket (params.h gives the order).
 *
 *   weights    [bucket] flat, in the run's dtype (the reward head's bucket: float32), padded to data.size chunks
 *   gradients  [bucket] flat float32, padded alike; summed over micro-batches
 *   owned      [bucket] this data rank's chunk: master weights, exp_avg, exp_avg_sq in float32 (ZeRO-1). With float32 weights the master is the weight.
 *
 * What crosses the data axis runs on a stream beside the device's own, bucket by bucket: gradients are summed while the backward of lower layers goes on, weights are gathered while
 * the next forward has begun.
 */
#ifndef TRAINER_MODEL_STORE_H
#define TRAINER_MODEL_STORE_H

#include "comm/mesh.h"
#include "comm/partition.h"
#include "kernels/kernels.h"
#include "trainer/model/params.h"

struct bucket_memory {
    enum dtype dtype;           /* of weights */
    int64_t n_elems, chunk;     /* without padding; owned elements with padding */
    struct range owned;         /* clipped to n_elems */
    void *weight;               /* [chunk * data.size] */
    float *grad;                /* [chunk * data.size] */
    float *master, *m, *v;      /* [chunk] */
    struct event gathered;      /* behind the last gathering of weights; */
    bool gathering;             /* the compute stream has not waited for it yet */
};

struct store {
    const struct param_table *table;
    struct device *device;
    const struct mesh *mesh;
    enum dtype dtype;
    int n_buckets;
    struct bucket_memory *bucket;
    struct stream beside;       /* what crosses the data axis */
    struct event computed, reduced;
};

/* Bytes per rank by class, for the sum printed at start and the dry run. */
struct store_bytes { size_t weights, gradients, optimizer; };
void store_count(const struct param_table *table, enum dtype dtype, int data_size, struct store_bytes *out);

/* Allocates, zeroed. with_training false: weights only. The table must outlive the store. */
int store_create(const struct param_table *table, struct device *device, const struct mesh *mesh, enum dtype dtype, bool with_training, struct store **out);
void store_destroy(struct store **store);

/* Weight and gradient of a parameter of the table, [local_shape] row-major. */
void *store_weight(const struct store *store, int param);
float *store_grad(const struct store *store, int param);
enum dtype store_dtype(const struct store *store, int param);

/* weights = rounded masters, on every rank of the data axis (all_gather). Collective over data. */
int store_weights_from_masters(struct store *store);
int store_zero_grads(struct store *store);

/* Of one bucket, all collective over data, each rank's buckets in the same order. All are of the compute stream's work so far, and none keeps its later work waiting: */
int store_reduce(struct store *store, int bucket);      /* the owned chunk of grad = its sum over the data axis; the rest of grad is of no use any more */
int store_gather(struct store *store, int bucket);      /* weight = the owned chunks of all data ranks */
/* The compute stream's later work finds all gradients reduced, the weights of a bucket gathered. */
int store_await_reduced(struct store *store);
int store_await_weights(struct store *store, int bucket);

#endif
