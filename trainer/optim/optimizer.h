/* optimizer: from summed gradients to new weights. AdamW with float32 masters, state sharded over the data axis (ZeRO-1, arXiv 1910.02054).
 *
 *   reduce     gradients of copies over the tensor axis are summed, then reduce-scattered over data: each rank has its owned chunk
 *   norm       one norm over both groups, every element once; names the first tensor that is not finite
 *   update     owned chunk, group by group
 *   gather     weights = rounded masters on all data ranks
 */
#ifndef TRAINER_OPTIM_OPTIMIZER_H
#define TRAINER_OPTIM_OPTIMIZER_H

#include "base/config.h"
#include "trainer/model/store.h"
#include "trainer/optim/schedule.h"

struct optimizer;

/* Learning rate and update count (before this update, from 0) of each group; a group with active false is left as it is, moments included. */
struct group_step { bool active; double lr; int64_t update; };

int optimizer_create(const struct config *config, struct store *store, struct optimizer **out);
void optimizer_destroy(struct optimizer **optimizer);

/* All collective over the world. */
int optimizer_reduce(struct optimizer *optimizer);
/* Of the reduced gradients; FAILED on all ranks, naming tensor and step, when an element is not finite. Before any update. */
int optimizer_norm(struct optimizer *optimizer, int64_t step, double *norm);
/* Clip by norm, update the active groups, gather the weights. */
int optimizer_update(struct optimizer *optimizer, double norm, const struct group_step group[2]);

#endif
