/* optimizer: from summed gradients to new weights. AdamW with float32 masters, state sharded over the data axis (ZeRO-1, arXiv 1910.02054).
 *
 *   reduce     a bucket at a time, while the backward goes on: gradients of copies over the tensor axis are summed, then reduce-scattered over data: each rank has its owned chunk
 *   norms      one norm over both groups, every element once; names the first tensor that is not finite
 *   update     owned chunk, a bucket at a time, and its weights = rounded masters on all data ranks, while the next forward begins
 */
#ifndef TRAINER_OPTIM_OPTIMIZER_H
#define TRAINER_OPTIM_OPTIMIZER_H

#include "base/config.h"
#include "trainer/model/store.h"
#include "trainer/optim/schedule.h"

struct optimizer;

/* Learning rate and update count (before this update, from 0) of each group; a group with active false is left as it is, moments included. */
struct group_step { bool active; double lr; int64_t update; };

/* On the device, beside what the store holds. */
size_t optimizer_bytes(const struct param_table *table);
/* The tensor ranks that hold the same shard of the key and value projections, for optimizer_create; the caller destroys it behind the optimizer. Collective over tensor. */
int optimizer_copies(const struct param_table *table, struct comm *tensor, struct comm **out);
int optimizer_create(const struct config *config, struct store *store, struct comm *copies, struct optimizer **out);
void optimizer_destroy(struct optimizer **optimizer);

/* All that follow are collective over the world. Gradients of the bucket are whole; every rank's buckets come in the same order. */
int optimizer_reduce(struct optimizer *optimizer, int bucket);
/* Queued behind the reduction of all buckets: the parts of the norm, on their way to the host. They are there when the device's stream has been waited for; */
int optimizer_queue_norms(struct optimizer *optimizer);
/* then this is their sum. FAILED on all ranks, naming tensor and step, when an element is not finite. Before any update. */
int optimizer_norm(struct optimizer *optimizer, int64_t step, double *norm);
/* Clip by norm, update the active groups, gather their weights (store_await_weights). */
int optimizer_update(struct optimizer *optimizer, double norm, const struct group_step group[2]);

#endif
