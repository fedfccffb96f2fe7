/* stream: from plan to forests. A thread reads and lays out the next step while the trainer computes this one. */
#ifndef DATASET_STREAM_H
#define DATASET_STREAM_H

#include "dataset/dsub.h"
#include "dataset/plan.h"

/* What one data rank computes in a step. */
struct step_batch {
    int64_t step, epoch;
    int64_t n_pairs, n_targets, n_comparisons;          /* of the whole step */
    int64_t tokens, tokens_unshared, operations;        /* of all data ranks */
    int n_micro_batches;
    struct forest *forest;                              /* [n_micro_batches] */
    double wait_seconds;                                /* the caller waited for it */
};

/* Forests of this data rank for a plan over a view. Owned memory; step_batch_free. */
int step_batch_make(const struct dsub_view *view, const struct step_plan *plan, const struct plan_options *options, const struct forest_layout *layout, int data_rank, struct step_batch *out);
void step_batch_free(struct step_batch *batch);

struct data_stream;
/* view and plan are borrowed; the plan is used by the stream's thread alone until close. Starts at first_step, ends before end_step. */
int data_stream_open(const struct dsub_view *view, struct plan *plan, const struct plan_options *options, const struct forest_layout *layout, int data_rank, int64_t first_step,
                     int64_t end_step, struct data_stream **out);
/* The next step's batch, valid until the next call. A failure of the thread comes out here. */
int data_stream_next(struct data_stream *stream, const struct step_batch **out);
/* What that call will give, if it is there already; else NULL. Its forests stay where they are until they have been given and the call after that. */
const struct step_batch *data_stream_peek(struct data_stream *stream);
void data_stream_close(struct data_stream **stream);

#endif
