/* self: the communicator of one. */
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"

size_t comm_type_bytes(enum comm_type type)
{
    static const size_t bytes[] = {[COMM_F32] = 4, [COMM_BF16] = 2, [COMM_F64] = 8, [COMM_I64] = 8, [COMM_U8] = 1};
    return bytes[type];
}

static int self_all_reduce(struct comm *comm, void *buffer, int64_t count, enum comm_type type, enum comm_op op, struct stream *stream)
{
    (void)comm, (void)buffer, (void)count, (void)type, (void)op, (void)stream;
    return OK;
}

static int move(struct comm *comm, const void *send, void *recv, int64_t count, enum comm_type type, struct stream *stream)
{
    (void)comm;
    size_t n_bytes = (size_t)count * comm_type_bytes(type);
    if (send == recv || n_bytes == 0)
        return OK;
    if (stream)
        return stream->device->ops->copy(stream, recv, send, n_bytes, DEVICE_TO_DEVICE);
    memcpy(recv, send, n_bytes);
    return OK;
}

static int self_reduce_scatter(struct comm *comm, const void *send, void *recv, int64_t count, enum comm_type type, enum comm_op op, struct stream *stream)
{
    (void)op;
    return move(comm, send, recv, count, type, stream);
}

static int self_broadcast(struct comm *comm, void *buffer, int64_t count, enum comm_type type, int root, struct stream *stream)
{
    (void)comm, (void)buffer, (void)count, (void)type, (void)root, (void)stream;
    return OK;
}

/* Of a group too there is nothing to begin or end. */
static int self_barrier(struct comm *comm)
{
    (void)comm;
    return OK;
}

static int self_split(struct comm *comm, int color, struct comm **out)
{
    (void)color;
    TRY(comm_self_create(out));
    (*out)->name = comm->name;
    return OK;
}

static void self_destroy(struct comm *comm) { free(comm); }

static const struct comm_ops self_ops = {self_all_reduce, self_reduce_scatter, move, move, self_broadcast, self_barrier, self_barrier, self_barrier, self_split, self_destroy};

int comm_self_create(struct comm **out)
{
    *out = calloc(1, sizeof **out);
    CHECK(*out, "out of memory for a communicator");
    **out = (struct comm){.ops = &self_ops, .rank = 0, .size = 1, .sums_in_order = true, .name = "self"};
    return OK;
}

void comm_destroy(struct comm **comm)
{
    if (*comm)
        (*comm)->ops->destroy(*comm);
    *comm = NULL;
}
