/* fingerprint: a number by which a job that goes on knows that its model is the one it was begun with, under whatever path it lies now.
 *
 * XXH3-64 over config.json's bytes and what the weights are:
 *   a checkpoint                   its manifest.json, which holds the hash of every slice
 *   a Hugging Face folder          each tensor of the weights that are read, in the order of names: name, type, shape, and its bytes: all of them up to 256 KiB, of a larger tensor 8
 *                                  pieces of 32 KiB, at its begin, its end and evenly between. How tensors are dealt to files is no part of it
 *   random weights                 run.seed
 * So some 70 MiB of an 8B model are read, and 180 of a 70B, not 140 GB: training moves all of a tensor, so that another model of the same shapes differs; one where somebody has
 * changed a few elements between the pieces of a large tensor does not. */
#ifndef TRAINER_MODEL_FINGERPRINT_H
#define TRAINER_MODEL_FINGERPRINT_H

#include <stdint.h>

#include "base/config.h"

/* The model that generation reads: backbone.path has config.json and, unless there is a checkpoint ("": none) or backbone.init is random, the weights. Not collective: one process asks. */
int fingerprint_of(const struct config *config, const char *checkpoint, uint64_t *out);

#endif
