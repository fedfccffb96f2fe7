/* rope: the table of the rotary embedding (arXiv 2104.09864) with Llama 3's frequency scaling, in float32 as transformers computes it. */
#ifndef TRAINER_MODEL_ROPE_H
#define TRAINER_MODEL_ROPE_H

#include <stdint.h>

#include "trainer/model/model_config.h"

/* Fills cos and sin, [n_positions][head_dim/2] each. */
void rope_table(const struct model_config *model, int64_t n_positions, float *cos_PD, float *sin_PD);

#endif
