/* tensor_axis: rows of a pass over the tensor axis (sequence parallelism, arXiv 2205.05198): norms and residuals have a rank's own rows, products all rows.
 *
 * On the compute stream, or beside it: then the compute stream goes on, and awaits the result where it needs it. Until then it leaves the buffer alone.
 */
#ifndef TRAINER_MODEL_TENSOR_AXIS_H
#define TRAINER_MODEL_TENSOR_AXIS_H

#include "trainer/model/backbone_state.h"

/* This rank's rows of an all-rows buffer. */
void *own_rows(const struct backbone *b, void *x_TC);

/* Fill all rows of x_TC from every rank's own rows, in place. */
int gather_rows(const struct backbone *b, void *x_TC);
/* Sum the ranks' parts of x_TC; each rank's own rows hold the result, in place. */
int sum_rows(const struct backbone *b, void *x_TC);

int gather_rows_beside(struct backbone *b, void *x_TC, struct event *arrived);
int sum_rows_beside(struct backbone *b, void *x_TC, struct event *arrived);
int await_rows(struct backbone *b, struct event *arrived);

#endif
