/* comm: moving numbers between the ranks of a communicator.
 *
 * Every function is collective: all ranks of the communicator call it, in the same order, with equal counts, types and operations. One host thread issues
 * all collectives of a communicator. Counts are elements and may exceed INT_MAX (the backend splits). Results are the same bits on all ranks, and the same
 * from run to run for equal placement.
 *
 * With a stream a collective moves device memory and is ordered on the stream: it takes what earlier work of the stream has written, and later work of the stream
 * finds its result. Between streams the caller orders by events; so a collective on a stream beside the device's own runs at the same time as what is computed.
 * With NULL it moves host memory, and is complete when it returns. On the CPU both memories are one, and every collective is complete when it returns.
 */
#ifndef COMM_COMM_H
#define COMM_COMM_H

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/device.h"

enum comm_op { COMM_SUM, COMM_MAX, COMM_MIN };
enum comm_type { COMM_F32, COMM_BF16, COMM_F64, COMM_I64, COMM_U8 };   /* BF16 sums are added in float32 and rounded; U8 only moves, no operation */
static inline enum comm_type comm_type_of(enum dtype dtype) { return dtype == F32 ? COMM_F32 : COMM_BF16; }

size_t comm_type_bytes(enum comm_type type);

struct comm;
struct comm_ops {
    int (*all_reduce)(struct comm *, void *buffer, int64_t count, enum comm_type, enum comm_op, struct stream *);     /* in place */
    /* rank i receives the reduction of elements [i * count, (i+1) * count) of send. recv may be send + rank * count (in place); they overlap in no other way.
     * Host memory is summed in the order of the ranks, whatever the count: an element's bits do not depend on what is reduced beside it. Over NCCL the order is one
     * for equal counts, ranks, hosts and settings of NCCL, but may change with the count. On two ranks that is no difference, for a + b is b + a to the bit; on more, what
     * is summed over the tensor axis may differ in its last bits with the number of rows in a pass: where that must not be, all_to_all, and whoever receives adds. */
    int (*reduce_scatter)(struct comm *, const void *send, void *recv, int64_t count, enum comm_type, enum comm_op, struct stream *);
    /* recv[i * count ...] = send of rank i. send may be recv + rank * count (in place); they overlap in no other way. */
    int (*all_gather)(struct comm *, const void *send, void *recv, int64_t count, enum comm_type, struct stream *);
    /* recv[i * count ...] = elements [rank * count, (rank + 1) * count) of rank i's send. They do not overlap. Not in a group. */
    int (*all_to_all)(struct comm *, const void *send, void *recv, int64_t count, enum comm_type, struct stream *);
    int (*broadcast)(struct comm *, void *buffer, int64_t count, enum comm_type, int root, struct stream *);
    int (*barrier)(struct comm *);          /* of the hosts: what is queued on streams may still run */
    /* Collectives between begin and end, on one stream, start together at the end and cost less than one by one. No groups within groups. */
    int (*group_begin)(struct comm *);
    int (*group_end)(struct comm *);
    /* Ranks of equal colour form a new communicator, ordered by their rank here. Owned by the caller. */
    int (*split)(struct comm *, int color, struct comm **out);
    void (*destroy)(struct comm *);
};

struct comm {
    const struct comm_ops *ops;
    int rank, size;
    bool sums_in_order;         /* of the ranks, whatever the count: reduce_scatter */
    const char *name;           /* for the watchdog's sentence: "world", "data", "tensor" */
    void *state;
};

/* The communicator of one: every collective is a copy or nothing. */
int comm_self_create(struct comm **out);
/* MPI_COMM_WORLD; comm_mpi_start calls MPI_Init_thread when nobody has, comm_mpi_stop finalizes. With no launcher it is a world of one.
 * FAILED, with a world all the same, when MPI is not open to several threads (MPI_THREAD_MULTIPLE).
 * comm_mpi_abort ends all ranks with `code`. */
int comm_mpi_start(int *argc, char ***argv, struct comm **world);
void comm_mpi_stop(struct comm **world);
_Noreturn void comm_mpi_abort(struct comm *world, int code);
void comm_destroy(struct comm **comm);

static inline int all_reduce(struct comm *c, void *buffer, int64_t count, enum comm_type type, enum comm_op op, struct stream *s)
{ return c->ops->all_reduce(c, buffer, count, type, op, s); }
static inline int reduce_scatter(struct comm *c, const void *send, void *recv, int64_t count, enum comm_type type, enum comm_op op, struct stream *s)
{ return c->ops->reduce_scatter(c, send, recv, count, type, op, s); }
static inline int all_gather(struct comm *c, const void *send, void *recv, int64_t count, enum comm_type type, struct stream *s)
{ return c->ops->all_gather(c, send, recv, count, type, s); }
static inline int all_to_all(struct comm *c, const void *send, void *recv, int64_t count, enum comm_type type, struct stream *s)
{ return c->ops->all_to_all(c, send, recv, count, type, s); }
static inline int broadcast(struct comm *c, void *buffer, int64_t count, enum comm_type type, int root, struct stream *s)
{ return c->ops->broadcast(c, buffer, count, type, root, s); }
static inline int comm_group_begin(struct comm *c) { return c->ops->group_begin(c); }
static inline int comm_group_end(struct comm *c) { return c->ops->group_end(c); }

#endif
