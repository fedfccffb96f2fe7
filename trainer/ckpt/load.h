/* load: a store's first weights: a Hugging Face folder, or random numbers that do not depend on the mesh. */
#ifndef TRAINER_CKPT_LOAD_H
#define TRAINER_CKPT_LOAD_H

#include "trainer/model/store.h"

struct load_options {
    const char *folder;             /* with the safetensors; NULL: random */
    uint64_t seed;                  /* of random weights and of a reward head the folder has not */
    int64_t reward_token, copy_of;  /* with untied embeddings, unless the folder is a model's that was trained here, its reward head too, the input row of reward_token starts as that of copy_of (end of turn); -1: left alone */
};

/* Collective over the mesh's world; each rank reads only its slices. Masters (with a store without training memory: weights), then weights on all ranks.
 * Moments are left zero. A tensor that is missing, of another shape or not finite is refused by name. score.weight is random where the folder has none:
 * *reward_head_found (may be NULL) says which it was. */
int load_weights(const struct load_options *options, struct store *store, bool *reward_head_found);

/* Element i (row-major in the global tensor) of a randomly initialised parameter: normal(0, 0.02), ones, zeros, or for the reward head
 * normal of variance 1 / (hidden + 1). */
float load_random(const struct param *param, uint64_t seed, int64_t i);

#endif
