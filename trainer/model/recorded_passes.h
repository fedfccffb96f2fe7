/* recorded_passes: passes of few rows, as decoding makes them, recorded once for a number of rows and run again from then on: the host names hundreds of kernels in one call.
 *
 * A recording serves any pass of as many rows, so rows are filled up to one of few numbers: 1, 2, 4, and multiples of 8. What differs between passes stands in device memory, put there
 * before a recording runs. */
#ifndef TRAINER_MODEL_RECORDED_PASSES_H
#define TRAINER_MODEL_RECORDED_PASSES_H

#include "kernels/device.h"
#include "trainer/model/backbone.h"

/* More rows are worth their calls. */
enum { RECORDED_MOST_ROWS = 256 };

struct recorded_passes;

/* At most max_rows rows. *out is NULL where the device records nothing. */
int recorded_create(struct device *device, int64_t max_rows, struct recorded_passes **out);
void recorded_destroy(struct recorded_passes **passes);

/* One query in each run and few enough rows: *filled, valid until the next call, has rows behind the given ones that belong to no run and put nothing in the cache. Else false. */
bool recorded_fill(struct recorded_passes *passes, const struct backbone_rows *rows, struct backbone_rows *filled);
/* Queues `pass` of so many rows: by itself the first time, when it may still allocate; then recorded. */
int recorded_run(struct recorded_passes *passes, int64_t n_rows, int (*pass)(void *state), void *state);

#endif
