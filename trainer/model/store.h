/* store: the memory of the parameters of one rank: weights, gradients and optimizer state, bucket by bucket (params.h gives the order).
 *
 *   weights    [bucket] flat, in the run's dtype (the reward head's bucket: float32), padded to data.size chunks
 *   gradients  [bucket] flat float32, padded alike; summed over micro-batches
 *   owned      [bucket] this data rank's chunk: master weights, exp_avg, exp_avg_sq in float32 (ZeRO-1). With float32 weights the master is the weight.
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
};

struct store {
    const struct param_table *table;
    struct device *device;
    const struct mesh *mesh;
    enum dtype dtype;
    int n_buckets;
    struct bucket_memory *bucket;
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

#endif
