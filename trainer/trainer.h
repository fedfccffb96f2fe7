/* trainer: opens what a training run works on, in order, and closes it. */
#ifndef TRAINER_TRAINER_H
#define TRAINER_TRAINER_H

#include "trainer/step.h"

/* Largest forest that will be seen (stream.h). */
struct trainer_capacity { int64_t rows, predictions, rewards, comparisons, positions; };

size_t trainer_bytes_sum(const struct trainer_bytes *bytes);
void trainer_count(const struct config *config, const struct model_config *model, const struct param_table *table, int data_size, int tensor_size,
                   const struct trainer_capacity *capacity, struct trainer_bytes *out);

/* config and mesh must outlive it. steps_per_epoch: T. Weights are still zero: load or resume fills the masters (store.h). Collective over the world. */
int trainer_create(const struct config *config, struct mesh *mesh, struct device *device, const struct trainer_capacity *capacity, int64_t steps_per_epoch,
                   struct trainer **out);
void trainer_destroy(struct trainer **trainer);

#endif
