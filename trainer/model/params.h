/* params: one table of named tensors. Allocation, loading, sharding, optimizer, checkpoint and export walk it and know the network only through it. */
#ifndef TRAINER_MODEL_PARAMS_H
#define TRAINER_MODEL_PARAMS_H

#include "trainer/model/model_config.h"

enum param_group { GROUP_BACKBONE, GROUP_REWARD };
enum param_init { INIT_NORMAL, INIT_ONES, INIT_ZEROS, INIT_REWARD };     /* normal(0, 0.02); reward: normal with variance 1 / (hidden + 1) */

struct param {
    char name[96];              /* as in Hugging Face */
    int n_dims;                 /* 1 or 2 */
    int64_t shape[2];           /* global; shape[1] is 1 when n_dims is 1 */
    int split_dim;              /* over the tensor axis; -1: replicated */
    int n_shards;               /* distinct shards on the tensor axis */
    int copies;                 /* tensor ranks that hold the same shard, standing next to each other: tensor size / n_shards */
    bool decay;
    enum param_init init;
    enum param_group group;
    int bucket;
    int64_t local_shape[2], box_offset[2];      /* this tensor rank's box of the global tensor */
    int64_t offset, n_local;    /* elements, in the bucket's flat local buffer */
};

/* Buckets of a model of `layers` layers. */
#define BUCKET_EMBEDDING 0
#define BUCKET_LAYER(i) (1 + (i))
#define BUCKET_HEAD(layers) ((layers) + 1)          /* final norm and LM head */
#define BUCKET_REWARD(layers) ((layers) + 2)
struct bucket { int first_param, n_params; int64_t n_elems; };

struct param_table {
    int n, n_buckets, tensor_size, tensor_rank;
    struct param *params;       /* in bucket order */
    struct bucket *bucket;
};

/* USAGE when the model cannot be split over the tensor axis. */
int params_build(const struct model_config *model, int tensor_size, int tensor_rank, struct param_table **out);
void params_free(struct param_table **table);
/* Index, or -1. */
int params_find(const struct param_table *table, const char *name);

#endif
