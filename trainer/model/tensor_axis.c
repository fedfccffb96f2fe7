/* tensor_axis: see tensor_axis.h. */
#include "trainer/model/tensor_axis.h"

void *own_rows(const struct backbone *b, void *x_TC) { return dtype_at(x_TC, b->dtype, b->tensor->rank * b->local_rows * b->hidden); }

static int gather_on(const struct backbone *b, void *x_TC, struct stream *stream)
{
    return all_gather(b->tensor, own_rows(b, x_TC), x_TC, b->local_rows * b->hidden, comm_type_of(b->dtype), stream);
}

static int sum_on(const struct backbone *b, void *x_TC, struct stream *stream)
{
    return reduce_scatter(b->tensor, x_TC, own_rows(b, x_TC), b->local_rows * b->hidden, comm_type_of(b->dtype), COMM_SUM, stream);
}

/* In the order of the ranks: a row's sum does not depend on how many rows there are. */
static int sum_in_order(const struct backbone *b, void *x_TC)
{
    const struct parts_args args = {.parts = b->tensor->size, .n_elems = b->local_rows * b->hidden, .dtype = b->dtype, .x = b->parts_TC, .y = own_rows(b, x_TC)};
    TRY(all_to_all(b->tensor, x_TC, b->parts_TC, b->local_rows * b->hidden, comm_type_of(b->dtype), stream_of(b)));
    return kernels_of(b)->add_parts(stream_of(b), &args);
}

int gather_rows(const struct backbone *b, void *x_TC) { return gather_on(b, x_TC, stream_of(b)); }

int sum_rows(const struct backbone *b, void *x_TC)
{
    bool in_order = b->parts_TC && b->device->batch_invariant && !b->tensor->sums_in_order;
    return in_order ? sum_in_order(b, x_TC) : sum_on(b, x_TC, stream_of(b));
}

/* ---- beside the compute stream ---------------------------------------------------------------------------------------------------------------- */

static bool is_beside(const struct backbone *b) { return b->beside.handle != b->device->stream.handle; }
static int note(struct backbone *b, struct event *arrived) { return is_beside(b) ? b->device->ops->event_record(arrived, &b->beside) : OK; }

int gather_rows_beside(struct backbone *b, void *x_TC, struct event *arrived)
{
    TRY(stream_order(stream_of(b), &b->beside, &b->reached));
    TRY(gather_on(b, x_TC, &b->beside));
    return note(b, arrived);
}

int sum_rows_beside(struct backbone *b, void *x_TC, struct event *arrived)
{
    TRY(stream_order(stream_of(b), &b->beside, &b->reached));
    TRY(sum_on(b, x_TC, &b->beside));
    return note(b, arrived);
}

int await_rows(struct backbone *b, struct event *arrived) { return is_beside(b) ? b->device->ops->event_wait(arrived, stream_of(b)) : OK; }
