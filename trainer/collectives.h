/* collectives: what a run is going to move between GPUs, by axis, told to its communicators before its memory is reserved (comm/prepare.h). Whoever calls another kind of collective with a
 * stream adds it here; test_cuda_memory sees it missing. */
#ifndef TRAINER_COLLECTIVES_H
#define TRAINER_COLLECTIVES_H

#include "comm/mesh.h"
#include "trainer/model/params.h"

/* rows: the most of a pass, on all tensor ranks together. */
struct collectives { struct mesh *mesh; struct device *device; const struct model_config *model; const struct param_table *table; enum dtype dtype; int64_t rows; };

/* Both collective over the world. predictions: the most of a forest; *copies: optimizer_copies, which are made here. */
int collectives_prepare_training(const struct collectives *collectives, int64_t predictions, struct comm **copies);
int collectives_prepare_generation(const struct collectives *collectives);

#endif
