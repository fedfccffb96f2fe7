/* mpi: the communicator over MPI. Host memory; every collective is complete when it returns. A failing MPI call ends the job (MPI_ERRORS_ARE_FATAL): without
 * fault tolerance in the library the answer to a dead rank is a restart from the checkpoint. */
#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"
#include "comm/host.h"
#include "comm/watchdog.h"

struct mpi_state {
    MPI_Comm comm;
    bool owned;
    char *parts;                /* of all ranks, of what is being summed: kept from call to call */
    size_t n_parts_bytes;
};

/* Elements per call: below INT_MAX, and a multiple of any chunk alignment. Elements that a rank sums at a time. */
enum { MAX_COUNT = 1 << 30, SUM_COUNT = 1 << 16 };

static MPI_Comm handle(const struct comm *comm) { return ((const struct mpi_state *)comm->state)->comm; }

static MPI_Datatype mpi_type(enum comm_type type)
{
    switch (type) {
    case COMM_F32: return MPI_FLOAT;
    case COMM_BF16: return MPI_UINT16_T;
    case COMM_F64: return MPI_DOUBLE;
    case COMM_I64: return MPI_INT64_T;
    case COMM_U8: break;
    }
    return MPI_UINT8_T;
}

static void add_bf16(void *in, void *inout, int *len, MPI_Datatype *type)
{
    const bf16 *a = in;
    bf16 *b = inout;
    (void)type;
    for (int i = 0; i < *len; i++)
        b[i] = f32_to_bf16(bf16_to_f32(a[i]) + bf16_to_f32(b[i]));
}

/* The one user operation, made on first use by the one thread that issues collectives. */
static MPI_Op bf16_sum(void)
{
    static MPI_Op op = MPI_OP_NULL;
    if (op == MPI_OP_NULL)
        MPI_Op_create(add_bf16, 1, &op);
    return op;
}

static MPI_Op mpi_op(enum comm_type type, enum comm_op op)
{
    ASSERT(type != COMM_U8 && (type != COMM_BF16 || op == COMM_SUM));
    if (type == COMM_BF16)
        return bf16_sum();
    return op == COMM_SUM ? MPI_SUM : op == COMM_MAX ? MPI_MAX : MPI_MIN;
}

static int mpi_all_reduce(struct comm *comm, void *buffer, int64_t count, enum comm_type type, enum comm_op op, struct stream *stream)
{
    (void)stream;
    watchdog_enter("all_reduce", comm->name);
    for (int64_t at = 0; at < count; at += MAX_COUNT) {
        int n = (int)(count - at < MAX_COUNT ? count - at : MAX_COUNT);
        MPI_Allreduce(MPI_IN_PLACE, (char *)buffer + (size_t)at * comm_type_bytes(type), n, mpi_type(type), mpi_op(type, op), handle(comm));
    }
    watchdog_leave();
    return OK;
}

static int keep_parts(struct mpi_state *state, size_t n_bytes)
{
    if (n_bytes <= state->n_parts_bytes)
        return OK;
    char *grown = realloc(state->parts, n_bytes);
    CHECK(grown, "out of memory for the %zu bytes that ranks sum at a time", n_bytes);
    state->parts = grown;
    state->n_parts_bytes = n_bytes;
    return OK;
}

/* n elements, `at` bytes into each slice: every rank's part of this rank's slice to parts, side by side. */
static void exchange(const struct comm *comm, const char *send, size_t slice_bytes, size_t at, int n, enum comm_type type, char *parts)
{
    size_t n_bytes = (size_t)n * comm_type_bytes(type);
    memcpy(parts + (size_t)comm->rank * n_bytes, send + (size_t)comm->rank * slice_bytes + at, n_bytes);
    for (int step = 1; step < comm->size; step++) {
        int to = (comm->rank + step) % comm->size, from = (comm->rank - step + comm->size) % comm->size;
        MPI_Sendrecv(send + (size_t)to * slice_bytes + at, n, mpi_type(type), to, 0, parts + (size_t)from * n_bytes, n, mpi_type(type), from, 0, handle(comm), MPI_STATUS_IGNORE);
    }
}

/* The owner sums in the order of the ranks. MPI_Reduce takes an order by the number of elements: then a row of hidden states would depend on how many stand beside it. */
static int mpi_reduce_scatter(struct comm *comm, const void *send, void *recv, int64_t count, enum comm_type type, enum comm_op op, struct stream *stream)
{
    (void)stream;
    struct mpi_state *state = comm->state;
    size_t e = comm_type_bytes(type);
    if (comm->size == 1 && send == recv)
        return OK;
    TRY(keep_parts(state, (size_t)comm->size * (size_t)(count < SUM_COUNT ? count : SUM_COUNT) * e));
    watchdog_enter("reduce_scatter", comm->name);
    for (int64_t at = 0; at < count; at += SUM_COUNT) {
        int n = (int)(count - at < SUM_COUNT ? count - at : SUM_COUNT);
        exchange(comm, send, (size_t)count * e, (size_t)at * e, n, type, state->parts);
        for (int rank = 1; rank < comm->size; rank++)
            MPI_Reduce_local(state->parts + (size_t)(rank * n) * e, state->parts, n, mpi_type(type), mpi_op(type, op));
        memcpy((char *)recv + (size_t)at * e, state->parts, (size_t)n * e);
    }
    watchdog_leave();
    return OK;
}

static int mpi_all_gather(struct comm *comm, const void *send, void *recv, int64_t count, enum comm_type type, struct stream *stream)
{
    (void)stream;
    size_t e = comm_type_bytes(type);
    char *mine = (char *)recv + (size_t)(comm->rank * count) * e;
    watchdog_enter("all_gather", comm->name);
    if (send != mine && count > 0)
        memcpy(mine, send, (size_t)count * e);
    if (count <= MAX_COUNT) {
        MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, recv, (int)count, mpi_type(type), handle(comm));
    } else {
        for (int root = 0; root < comm->size; root++)
            for (int64_t at = 0; at < count; at += MAX_COUNT)
                MPI_Bcast((char *)recv + (size_t)(root * count + at) * e, (int)(count - at < MAX_COUNT ? count - at : MAX_COUNT), mpi_type(type), root, handle(comm));
    }
    watchdog_leave();
    return OK;
}

static int mpi_all_to_all(struct comm *comm, const void *send, void *recv, int64_t count, enum comm_type type, struct stream *stream)
{
    (void)stream;
    size_t e = comm_type_bytes(type), slice = (size_t)count * e;
    watchdog_enter("all_to_all", comm->name);
    for (int64_t at = 0; at < count; at += MAX_COUNT) {
        int n = (int)(count - at < MAX_COUNT ? count - at : MAX_COUNT);
        for (int step = 0; step < comm->size; step++) {
            int to = (comm->rank + step) % comm->size, from = (comm->rank - step + comm->size) % comm->size;
            MPI_Sendrecv((const char *)send + (size_t)to * slice + (size_t)at * e, n, mpi_type(type), to, 0, (char *)recv + (size_t)from * slice + (size_t)at * e, n, mpi_type(type), from, 0,
                         handle(comm), MPI_STATUS_IGNORE);
        }
    }
    watchdog_leave();
    return OK;
}

static int mpi_broadcast(struct comm *comm, void *buffer, int64_t count, enum comm_type type, int root, struct stream *stream)
{
    (void)stream;
    watchdog_enter("broadcast", comm->name);
    for (int64_t at = 0; at < count; at += MAX_COUNT)
        MPI_Bcast((char *)buffer + (size_t)at * comm_type_bytes(type), (int)(count - at < MAX_COUNT ? count - at : MAX_COUNT), mpi_type(type), root, handle(comm));
    watchdog_leave();
    return OK;
}

static int mpi_barrier(struct comm *comm)
{
    watchdog_enter("barrier", comm->name);
    MPI_Barrier(handle(comm));
    watchdog_leave();
    return OK;
}

static const struct comm_ops mpi_ops;

static int wrap(MPI_Comm raw, bool owned, const char *name, struct comm **out)
{
    struct comm *comm = calloc(1, sizeof *comm);
    struct mpi_state *state = calloc(1, sizeof *state);
    if (!comm || !state) {
        free(comm);
        free(state);
        return FAIL("out of memory for a communicator");
    }
    *state = (struct mpi_state){.comm = raw, .owned = owned};
    *comm = (struct comm){.ops = &mpi_ops, .sums_in_order = true, .name = name, .state = state};
    MPI_Comm_rank(raw, &comm->rank);
    MPI_Comm_size(raw, &comm->size);
    *out = comm;
    return OK;
}

/* Each collective is complete when it returns. */
static int mpi_group(struct comm *comm)
{
    (void)comm;
    return OK;
}

static int mpi_split(struct comm *comm, int color, struct comm **out)
{
    MPI_Comm raw;
    watchdog_enter("split", comm->name);
    MPI_Comm_split(handle(comm), color, comm->rank, &raw);
    watchdog_leave();
    return wrap(raw, true, comm->name, out);
}

static void mpi_destroy(struct comm *comm)
{
    struct mpi_state *state = comm->state;
    if (state->owned)
        MPI_Comm_free(&state->comm);
    free(state->parts);
    free(state);
    free(comm);
}

static const struct comm_ops mpi_ops = {mpi_all_reduce, mpi_reduce_scatter, mpi_all_gather, mpi_all_to_all, mpi_broadcast, mpi_barrier, mpi_group, mpi_group, mpi_split, mpi_destroy};

/* One thread issues all collectives, and the watchdog's may abort while that one waits in one of them. */
static int check_threads(int provided)
{
    const char *name = provided == MPI_THREAD_SERIALIZED ? "MPI_THREAD_SERIALIZED" : provided == MPI_THREAD_FUNNELED ? "MPI_THREAD_FUNNELED" : "MPI_THREAD_SINGLE";
    if (provided < MPI_THREAD_MULTIPLE)
        trace_share();          /* all ranks have the same library */
    CHECK(provided >= MPI_THREAD_MULTIPLE, "the MPI library gives threads of level %s, and the watchdog's thread needs MPI_THREAD_MULTIPLE: use a library built for it, and ask for no lower level "
          "in its settings", name);
    return OK;
}

int comm_mpi_start(int *argc, char ***argv, struct comm **world)
{
    int ready, provided;
    MPI_Initialized(&ready);
    if (ready)
        MPI_Query_thread(&provided);
    else
        MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided);
    TRY(wrap(MPI_COMM_WORLD, false, "world", world));
    return check_threads(provided);
}

void comm_mpi_stop(struct comm **world)
{
    int done;
    comm_destroy(world);
    MPI_Finalized(&done);
    if (!done)
        MPI_Finalize();
}

_Noreturn void comm_mpi_abort(struct comm *world, int code)
{
    MPI_Abort(world ? handle(world) : MPI_COMM_WORLD, code);
    abort();
}

int comm_host(struct comm *world, struct host_place *out)
{
    MPI_Comm local, leaders;
    if (world->ops != &mpi_ops) {
        *out = (struct host_place){0, 1, 0, 1};
        return OK;
    }
    watchdog_enter("split", world->name);
    MPI_Comm_split_type(handle(world), MPI_COMM_TYPE_SHARED, world->rank, MPI_INFO_NULL, &local);
    MPI_Comm_rank(local, &out->rank_on_host);
    MPI_Comm_size(local, &out->ranks_on_host);
    MPI_Comm_split(handle(world), out->rank_on_host == 0 ? 0 : MPI_UNDEFINED, world->rank, &leaders);
    int numbers[2] = {0, 0};
    if (leaders != MPI_COMM_NULL) {
        MPI_Comm_rank(leaders, &numbers[0]);
        MPI_Comm_size(leaders, &numbers[1]);
        MPI_Comm_free(&leaders);
    }
    MPI_Bcast(numbers, 2, MPI_INT, 0, local);
    MPI_Comm_free(&local);
    watchdog_leave();
    out->host = numbers[0];
    out->n_hosts = numbers[1];
    return OK;
}

int comm_reorder(struct comm *world, int color, int key, const char *name, struct comm **out)
{
    MPI_Comm raw;
    if (world->ops != &mpi_ops) {
        TRY(comm_self_create(out));
        (*out)->name = name;
        return OK;
    }
    watchdog_enter("split", name);
    MPI_Comm_split(handle(world), color, key, &raw);
    watchdog_leave();
    return wrap(raw, true, name, out);
}
