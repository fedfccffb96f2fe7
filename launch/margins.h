/* margins: heldout.jsonl of a run folder: how each held-out pair came out at the last evaluation, so that errors can be read and two runs compared pair by pair. */
#ifndef LAUNCH_MARGINS_H
#define LAUNCH_MARGINS_H

#include "dataset/dsub.h"

/* One line a pair, in order: {"step", "source", "id", "subset", "margin"}; margin: r+ - r-, [view->n_pairs]. Takes the place of an earlier file at once. Rank 0 only. */
int margins_write(const char *run_dir, int64_t step, const struct dsub_view *view, const double *margin);

#endif
