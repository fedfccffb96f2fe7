/* fill: numbers from files, an initialiser or another mesh's checkpoint into the memory of a store. */
#ifndef TRAINER_CKPT_FILL_H
#define TRAINER_CKPT_FILL_H

#include "trainer/ckpt/slices.h"
#include "trainer/model/store.h"

/* Writes to out elements [first, first + count) of this tensor rank's box of a parameter, row-major, as float32. */
typedef int (*fill_fn)(void *context, int param, enum state_kind state, int64_t first, int64_t count, float *out);

/* One state of all buckets: the owned chunk, padding zeroed. With a store without training memory state must be STATE_MASTER, and the weights are
 * filled, rounded to the store's dtype. Not collective. */
int store_fill(struct store *store, enum state_kind state, fill_fn fill, void *context);

/* The owned chunk of a state, in device memory; NULL when the store has none. */
float *store_state(const struct store *store, int bucket, enum state_kind state);

#endif
