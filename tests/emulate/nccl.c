/* nccl: the stand-in of NCCL (include/nccl.h), over MPI between real ranks.
 *
 * A call is checked as it is made, numbered, and told to the other ranks of its communicator; then it is queued on its stream (runtime.c). When its turn comes it first has what the
 * others called as their call of the same number, which must be the same in all that counts, and then exchanges data: staged through host memory, since device memory is closed but
 * while operations run. So ranks may run their streams in any order; a communicator's own collectives follow each other, whatever streams they are on.
 * A communicator takes device memory when it is made, and more for connections when an algorithm is chosen for the first time: here another one for every collective, type, operation and
 * power of four of bytes, as if NCCL had that many.
 * Sums begin at a rank that depends on an element's place and on the count, as in NCCL's rings. A communicator that does not block is often in progress for a while: until it has
 * been asked about that often, nothing of what was called is on its stream. Of sends and receives it knows one group of all with all, which is a call like the collectives. What NCCL leaves undefined, or does not see, stops the program with a sentence.
 */
#include <nccl.h>

#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/dtype.h"
#include "emulate.h"
#include "tests/emulate/real/nccl.h"

enum { TAG_HEADER = 1, TAG_ABORT = 2, TAG_DATA = 16, N_DATA_TAGS = 16384, MAX_ASKS = 3 };
enum what { ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, BROADCAST, ALL_TO_ALL, SPLIT };
enum { N_KINDS = SPLIT, N_TYPES = ncclBfloat16 + 1, N_OPERATIONS = ncclMin + 1, N_SIZES = 16, OWN_BYTES = 1 << 18, CONNECTION_BYTES = 1 << 16 };
static const char *const names[] = {"ncclAllReduce", "ncclReduceScatter", "ncclAllGather", "ncclBroadcast", "ncclSend and ncclRecv", "ncclCommSplit"};

/* A call, as it is told to other ranks: what must be the same on all of them. */
struct header { int64_t number, count; int32_t what, type, op, root; };

struct ncclComm {
    MPI_Comm mpi;
    int rank, size;
    bool blocking, aborted, finalized;
    ncclResult_t error;
    int asks_left;                          /* in progress until it has been asked so often */
    int64_t n_calls, n_queued, n_finished;  /* calls of any kind; collectives */
    struct operation *held;                 /* called, and not on their streams yet */
    bool connected[N_KINDS][N_TYPES][N_OPERATIONS][N_SIZES];
    int64_t n_bytes;                        /* of device memory */
    struct ncclComm *next;
};

struct operation {
    struct header mine, *theirs;            /* [size] */
    struct ncclComm *comm;
    int64_t turn;                           /* among the communicator's collectives, from 0 */
    const char *send, **send_to;            /* send_to, receive_from: [size], of ALL_TO_ALL in the place of send and recv */
    char *recv, **receive_from;
    cudaStream_t stream;
    bool has_met;
    char *out, *in;                         /* staged: what goes out; what each rank brought */
    MPI_Request *requests;
    int n_requests;
    struct operation *next;
};

static struct ncclComm *comms;
static struct { int depth; struct operation *first; } group;
static struct { pthread_t thread; atomic_bool running; } helper;
static char last_error[256];

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const words[] = {"no error", "unhandled cuda error (run with NCCL_DEBUG=INFO for details)", "unhandled system error (run with NCCL_DEBUG=INFO for details)",
                                        "internal error - please report this issue to the NCCL developers", "invalid argument (run with NCCL_DEBUG=WARN for details)",
                                        "invalid usage (run with NCCL_DEBUG=WARN for details)", "remote process exited or there was a network error", "NCCL operation in progress"};
    return words[result];
}

const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return last_error;
}

static void *must_have(void *memory)
{
    if (!memory)
        emulate_stop("out of memory");
    return memory;
}

static size_t bytes_of(int type)
{
    return type == ncclUint8 ? 1 : type == ncclBfloat16 ? 2 : type == ncclFloat32 ? 4 : 8;
}

/* ---- the thread that goes on ----------------------------------------------------------------------------------------------------------------- */

static void *help(void *unused)
{
    (void)unused;
    while (atomic_load(&helper.running)) {
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        emulate_go_on();
    }
    return NULL;
}

static void check_no_group(void)
{
    if (group.depth > 0)
        emulate_stop("the host waits for the device, or ends a communicator, and a group of NCCL calls is open: an ncclGroupEnd is missing");
}

static void start_help(void)
{
    emulate_before_wait = check_no_group;
    if (!atomic_exchange(&helper.running, true) && pthread_create(&helper.thread, NULL, help, NULL) != 0)
        emulate_stop("no thread");
}

static void stop_help(void)
{
    if (!comms && atomic_exchange(&helper.running, false))
        pthread_join(helper.thread, NULL);
}

/* ---- meeting --------------------------------------------------------------------------------------------------------------------------------- */

static const char *words(const struct header *h, char *out, size_t n)
{
    if (h->what == SPLIT)
        snprintf(out, n, "ncclCommSplit");
    else
        snprintf(out, n, "%s of %lld elements, type %d, operation %d, root %d", names[h->what], (long long)h->count, h->type, h->op, h->root);
    return out;
}

/* Tells the other ranks of the call, and asks for theirs. */
static void tell(struct operation *op)
{
    struct ncclComm *c = op->comm;
    op->mine.number = c->n_calls++;
    op->theirs = must_have(calloc((size_t)c->size, sizeof *op->theirs));
    op->requests = must_have(calloc((size_t)c->size * 2, sizeof *op->requests));
    op->theirs[c->rank] = op->mine;
    for (int peer = 0; peer < c->size; peer++) {
        if (peer == c->rank)
            continue;
        MPI_Isend(&op->mine, (int)sizeof op->mine, MPI_BYTE, peer, TAG_HEADER, c->mpi, &op->requests[op->n_requests++]);
        MPI_Irecv(&op->theirs[peer], (int)sizeof op->mine, MPI_BYTE, peer, TAG_HEADER, c->mpi, &op->requests[op->n_requests++]);
    }
}

static bool is_through(struct operation *op)
{
    int done = 0;
    MPI_Testall(op->n_requests, op->requests, &done, MPI_STATUSES_IGNORE);
    return done;
}

static void check_same(const struct operation *op)
{
    char mine[160], theirs[160];
    for (int peer = 0; peer < op->comm->size; peer++)
        if (memcmp(&op->theirs[peer], &op->mine, sizeof op->mine) != 0)
            emulate_stop("call %lld of a communicator of %d ranks: rank %d calls %s; rank %d calls %s", (long long)op->mine.number, op->comm->size, op->comm->rank,
                         words(&op->mine, mine, sizeof mine), peer, words(&op->theirs[peer], theirs, sizeof theirs));
}

static void free_operation(struct operation *op)
{
    free(op->send_to), free(op->receive_from), free(op->theirs), free(op->requests), free(op->out), free(op->in), free(op);
}

/* ---- data ------------------------------------------------------------------------------------------------------------------------------------ */

static int byte_count(const struct operation *op)
{
    size_t n = (size_t)op->mine.count * bytes_of(op->mine.type);
    if (n > INT_MAX)
        emulate_stop("%s of %zu bytes: more than the stand-in moves", names[op->mine.what], n);
    return (int)n;
}

static void send_part(struct operation *op, int peer, const char *part)
{
    MPI_Isend(part, byte_count(op), MPI_BYTE, peer, TAG_DATA + (int)(op->turn % N_DATA_TAGS), op->comm->mpi, &op->requests[op->n_requests++]);
}

static void receive_part(struct operation *op, int peer)
{
    char *part = op->in + (size_t)peer * (size_t)byte_count(op);
    MPI_Irecv(part, byte_count(op), MPI_BYTE, peer, TAG_DATA + (int)(op->turn % N_DATA_TAGS), op->comm->mpi, &op->requests[op->n_requests++]);
}

/* in[i] will be what rank i brought: of a reduce-scatter its part for this rank. */
static void exchange(struct operation *op)
{
    const struct ncclComm *c = op->comm;
    size_t part = (size_t)byte_count(op), slices = op->mine.what == REDUCE_SCATTER || op->mine.what == ALL_TO_ALL ? (size_t)c->size : 1;
    bool sends = op->mine.what != BROADCAST || op->mine.root == c->rank;
    op->n_requests = 0;
    op->in = must_have(malloc(part * (size_t)c->size + 1));
    op->out = must_have(malloc(part * slices + 1));
    for (int peer = 0; op->send_to && peer < c->size; peer++)
        memcpy(op->out + (size_t)peer * part, op->send_to[peer], part);
    if (sends && op->send && part > 0)
        memcpy(op->out, op->send, part * slices);
    for (int peer = 0; peer < c->size; peer++) {
        const char *slice = op->out + (slices > 1 ? (size_t)peer * part : 0);
        if (peer == c->rank && sends)
            memcpy(op->in + (size_t)peer * part, slice, part);
        if (peer == c->rank)
            continue;
        if (sends)
            send_part(op, peer, slice);
        if (op->mine.what != BROADCAST || op->mine.root == peer)
            receive_part(op, peer);
    }
}

#define CHOOSE(op, a, b) ((op) == ncclSum ? (a) + (b) : (op) == ncclMax ? ((a) > (b) ? (a) : (b)) : (a) < (b) ? (a) : (b))
#define COMBINE(type, op, x, y) do { type a_, b_; memcpy(&a_, x, sizeof a_); memcpy(&b_, y, sizeof b_); a_ = CHOOSE(op, a_, b_); memcpy(x, &a_, sizeof a_); } while (0)

static void combine_bf16(int op, char *x, const char *y)
{
    bf16 a, b;
    memcpy(&a, x, sizeof a);
    memcpy(&b, y, sizeof b);
    a = f32_to_bf16(CHOOSE(op, bf16_to_f32(a), bf16_to_f32(b)));
    memcpy(x, &a, sizeof a);
}

/* x = x op y */
static void combine(int type, int op, char *x, const char *y)
{
    if (type == ncclFloat32)
        COMBINE(float, op, x, y);
    else if (type == ncclFloat64)
        COMBINE(double, op, x, y);
    else if (type == ncclInt64)
        COMBINE(int64_t, op, x, y);
    else
        combine_bf16(op, x, y);
}

/* Where a ring begins to sum an element: by its place, for a slice of its own also by how many stand beside it. */
static int first_rank(const struct operation *op, int64_t i)
{
    int64_t size = op->comm->size, count = op->mine.count;
    return (int)((op->mine.what == ALL_REDUCE ? i / ((count + size - 1) / size) + 1 : op->comm->rank + 1 + 2 * i / count) % size);
}

static void reduce(const struct operation *op)
{
    size_t e = bytes_of(op->mine.type), part = (size_t)byte_count(op);
    for (int64_t i = 0; i < op->mine.count; i++) {
        int first = first_rank(op, i);
        char *to = op->recv + (size_t)i * e;
        memcpy(to, op->in + (size_t)first * part + (size_t)i * e, e);
        for (int step = 1; step < op->comm->size; step++)
            combine(op->mine.type, op->mine.op, to, op->in + (size_t)((first + step) % op->comm->size) * part + (size_t)i * e);
    }
}

static void deliver(const struct operation *op)
{
    size_t part = (size_t)byte_count(op);
    if (op->mine.what == ALL_GATHER)
        memcpy(op->recv, op->in, part * (size_t)op->comm->size);
    else if (op->mine.what == ALL_TO_ALL)
        for (int peer = 0; peer < op->comm->size; peer++)
            memcpy(op->receive_from[peer], op->in + (size_t)peer * part, part);
    else if (op->mine.what == BROADCAST)
        memcpy(op->recv, op->in + (size_t)op->mine.root * part, part);
    else
        reduce(op);
}

/* The stream's call. What other ranks may still send to an aborted operation keeps its memory. */
static bool advance(void *context)
{
    struct operation *op = context;
    struct ncclComm *c = op->comm;
    if (c->aborted)
        return true;
    if (op->turn != c->n_finished || !is_through(op))
        return false;
    if (!op->has_met) {
        check_same(op);
        op->has_met = true;
        exchange(op);
        return false;
    }
    if (op->mine.count > 0)
        deliver(op);
    c->n_finished++;
    free_operation(op);
    return true;
}

/* ---- calls ----------------------------------------------------------------------------------------------------------------------------------- */

static void check_known(const char *call, const struct ncclComm *comm)
{
    const struct ncclComm *c = comms;
    while (c && c != comm)
        c = c->next;
    if (!c)
        emulate_stop("%s: this is no communicator, or one that was destroyed or aborted", call);
}

static void check_at_rest(const char *call, const struct ncclComm *comm)
{
    check_known(call, comm);
    if (comm->asks_left > 0)
        emulate_stop("%s: the communicator is in progress; ncclCommGetAsyncError says when it is not", call);
}

static void check_usable(const char *call, const struct ncclComm *comm)
{
    check_at_rest(call, comm);
    if (comm->finalized)
        emulate_stop("%s: the communicator was finalized", call);
}

/* Puts what was called on its streams. */
static void release(struct ncclComm *c)
{
    while (c->held) {
        struct operation *op = c->held;
        c->held = op->next;
        if (!emulate_queue_shared(op->stream, advance, op))
            emulate_stop("%s: this is no stream", names[op->mine.what]);
    }
}

/* A communicator that does not block is in progress for some questions. */
static ncclResult_t settle_later(struct ncclComm *c)
{
    c->asks_left = c->blocking ? 0 : (int)emulate_random(MAX_ASKS);
    if (c->asks_left == 0)
        release(c);
    return c->asks_left > 0 ? ncclInProgress : ncclSuccess;
}

static void hold(struct operation *op)
{
    struct operation **at = &op->comm->held;
    op->turn = op->comm->n_queued++;
    tell(op);
    op->next = NULL;
    while (*at)
        at = &(*at)->next;
    *at = op;
}

static bool overlap(const char *a, size_t n_a, const char *b, size_t n_b) { return n_a > 0 && n_b > 0 && a < b + n_b && b < a + n_a; }

static void check_memory(const struct operation *op)
{
    const char *name = names[op->mine.what];
    size_t part = (size_t)op->mine.count * bytes_of(op->mine.type), all = part * (size_t)op->comm->size, shift = (size_t)op->comm->rank * part;
    size_t n_send = op->mine.what == REDUCE_SCATTER ? all : part, n_recv = op->mine.what == ALL_GATHER ? all : part;
    if (part == 0)
        return;
    if (!emulate_holds(op->send, n_send))
        emulate_stop("%s: what it sends, %zu bytes at %p, does not lie in one allocation of device memory", name, n_send, (const void *)op->send);
    if (!emulate_holds(op->recv, n_recv))
        emulate_stop("%s: where it receives, %zu bytes at %p, does not lie in one allocation of device memory", name, n_recv, (void *)op->recv);
    const char *in_place = op->mine.what == REDUCE_SCATTER ? op->send + shift : op->mine.what == ALL_GATHER ? op->send - shift : op->send;
    if (overlap(op->send, n_send, op->recv, n_recv) && op->recv != in_place)
        emulate_stop("%s: send and recv overlap, and not as in place: recv is %td bytes from where it would be", name, (const char *)op->recv - in_place);
}

/* ---- device memory --------------------------------------------------------------------------------------------------------------------------- */

static bool take_memory(struct ncclComm *c, int64_t n_bytes)
{
    if (!emulate_take(n_bytes)) {
        snprintf(last_error, sizeof last_error, "%lld bytes of device memory cannot be had", (long long)n_bytes);
        return false;
    }
    c->n_bytes += n_bytes;
    return true;
}

static void give_memory_back(struct ncclComm *c)
{
    emulate_take(-c->n_bytes);
    c->n_bytes = 0;
}

/* Peers are connected once, whatever they send. */
static bool *connection_of(const struct operation *op)
{
    const struct header *h = &op->mine;
    int size = 0;
    for (int64_t n_bytes = h->count * (int64_t)bytes_of(h->type); n_bytes >= 4 && size < N_SIZES - 1 && h->what != ALL_TO_ALL; n_bytes /= 4)
        size++;
    return &op->comm->connected[h->what][h->type][h->op][size];
}

/* What cannot be connected is not called. */
static ncclResult_t connect_and_hold(struct operation *op)
{
    struct ncclComm *c = op->comm;
    bool *connected = connection_of(op);
    *connected = *connected || take_memory(c, (int64_t)CONNECTION_BYTES * (op->mine.what == ALL_TO_ALL ? c->size - 1 : 1));
    if (!*connected) {
        free_operation(op);
        return c->error = ncclUnhandledCudaError;
    }
    hold(op);
    return ncclSuccess;
}

/* ---- collectives ----------------------------------------------------------------------------------------------------------------------------- */

static ncclResult_t call(enum what what, const void *send, void *recv, size_t count, ncclDataType_t type, int reduction, int root, ncclComm_t comm, cudaStream_t stream)
{
    ncclResult_t result = ncclSuccess;
    emulate_lock();
    check_usable(names[what], comm);
    struct operation *op = must_have(calloc(1, sizeof *op));
    *op = (struct operation){.mine = {0, (int64_t)count, (int32_t)what, (int32_t)type, reduction, root}, .comm = comm, .send = send, .recv = recv, .stream = stream};
    if (root < 0 || root >= comm->size || ((what == ALL_REDUCE || what == REDUCE_SCATTER) && type == ncclUint8))
        emulate_stop("%s: root %d of %d ranks, type %d", names[what], root, comm->size, (int)type);
    check_memory(op);
    if (group.depth > 0) {
        struct operation **at = &group.first;
        while (*at)
            at = &(*at)->next;
        *at = op;
    } else {
        result = connect_and_hold(op);
        if (result == ncclSuccess)
            result = settle_later(comm);
    }
    emulate_unlock();
    return result;
}

ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    return call(ALL_REDUCE, send, recv, count, type, (int)op, 0, comm, stream);
}

ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    return call(REDUCE_SCATTER, send, recv, count, type, (int)op, 0, comm, stream);
}

ncclResult_t ncclAllGather(const void *send, void *recv, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream)
{
    return call(ALL_GATHER, send, recv, count, type, 0, 0, comm, stream);
}

ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type, int root, ncclComm_t comm, cudaStream_t stream)
{
    return call(BROADCAST, send, recv, count, type, 0, root, comm, stream);
}

/* The open group's exchange of all with all over comm, begun by its first send or receive. */
static struct operation *exchange_of(const char *name, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream)
{
    struct operation **at = &group.first;
    check_usable(name, comm);
    if (group.depth == 0)
        emulate_stop("%s outside a group: the stand-in knows one group of all with all", name);
    while (*at && ((*at)->comm != comm || (*at)->mine.what != ALL_TO_ALL))
        at = &(*at)->next;
    if (!*at) {
        struct operation *op = *at = must_have(calloc(1, sizeof *op));
        *op = (struct operation){.mine = {0, (int64_t)count, ALL_TO_ALL, (int32_t)type, 0, 0}, .comm = comm, .stream = stream};
        op->send_to = must_have(calloc((size_t)comm->size, sizeof *op->send_to));
        op->receive_from = must_have(calloc((size_t)comm->size, sizeof *op->receive_from));
    }
    if ((*at)->mine.count != (int64_t)count || (*at)->mine.type != (int32_t)type || (*at)->stream != stream)
        emulate_stop("%s of %zu elements: the stand-in knows one count, type and stream in a group", name, count);
    return *at;
}

static void check_peer(const char *name, const void *at, size_t n_bytes, int peer, ncclComm_t comm, const void *taken)
{
    if (peer < 0 || peer >= comm->size || taken)
        emulate_stop("%s: rank %d of %d, %s", name, peer, comm->size, taken ? "for the second time" : "which is not there");
    if (!emulate_holds(at, n_bytes))
        emulate_stop("%s: %zu bytes at %p do not lie in one allocation of device memory", name, n_bytes, at);
}

ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream)
{
    emulate_lock();
    struct operation *op = exchange_of("ncclSend", count, type, comm, stream);
    check_peer("ncclSend", send, count * bytes_of((int)type), peer, comm, op->send_to[peer]);
    op->send_to[peer] = send;
    emulate_unlock();
    return ncclSuccess;
}

ncclResult_t ncclRecv(void *recv, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream)
{
    emulate_lock();
    struct operation *op = exchange_of("ncclRecv", count, type, comm, stream);
    check_peer("ncclRecv", recv, count * bytes_of((int)type), peer, comm, op->receive_from[peer]);
    op->receive_from[peer] = recv;
    emulate_unlock();
    return ncclSuccess;
}

static void check_whole(const struct operation *op)
{
    for (int peer = 0; op->send_to && peer < op->comm->size; peer++)
        if (!op->send_to[peer] || !op->receive_from[peer])
            emulate_stop("a group ends without a send to rank %d and a receive from it: the stand-in knows one group of all with all", peer);
}

ncclResult_t ncclGroupStart(void)
{
    group.depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    ncclResult_t result = ncclSuccess;
    if (group.depth == 0)
        emulate_stop("ncclGroupEnd: no group is open");
    if (--group.depth > 0)
        return ncclSuccess;
    emulate_lock();
    while (group.first) {
        struct operation *op = group.first;
        group.first = op->next;
        check_whole(op);
        if (connect_and_hold(op) != ncclSuccess)
            result = ncclUnhandledCudaError;
    }
    for (struct ncclComm *c = comms; c && result != ncclUnhandledCudaError; c = c->next)
        if (c->held && settle_later(c) == ncclInProgress)
            result = ncclInProgress;
    emulate_unlock();
    return result;
}

/* ---- communicators --------------------------------------------------------------------------------------------------------------------------- */

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "%ld.%ld.%ld", (long)getpid(), (long)t.tv_sec, t.tv_nsec);
    return ncclSuccess;
}

static uint32_t hash(const char *bytes, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)bytes[i]) * 16777619u;
    return h;
}

/* Two ranks on one GPU of one host; NCCL_HOSTID makes hosts of ranks. */
static bool shares_a_gpu(const struct ncclComm *c)
{
    bool shares = false;
    char name[256] = "";
    const char *id = getenv("NCCL_HOSTID");
    gethostname(name, sizeof name - 1);
    if (id && *id)
        snprintf(name, sizeof name, "%s", id);
    uint32_t mine[2] = {hash(name, strlen(name)), (uint32_t)emulate_device()}, *all = must_have(calloc((size_t)c->size, sizeof mine));
    MPI_Allgather(mine, (int)sizeof mine, MPI_BYTE, all, (int)sizeof mine, MPI_BYTE, c->mpi);
    for (int i = 0; i < c->size; i++)
        for (int j = 0; j < i; j++)
            if (all[2 * i] == all[2 * j] && all[2 * i + 1] == all[2 * j + 1] && !shares) {
                shares = true;
                snprintf(last_error, sizeof last_error, "Duplicate GPU detected : rank %d and rank %d both on CUDA device %u", j, i, all[2 * i + 1]);
            }
    free(all);
    return shares;
}

static struct ncclComm *enlist(MPI_Comm mpi, const ncclConfig_t *config)
{
    struct ncclComm *c = must_have(calloc(1, sizeof *c));
    if (config->size != sizeof *config || config->magic != 0xcafebeef)
        emulate_stop("a configuration that NCCL_CONFIG_INITIALIZER did not make");
    c->mpi = mpi;
    c->blocking = config->blocking != 0;
    MPI_Comm_rank(mpi, &c->rank);
    MPI_Comm_size(mpi, &c->size);
    emulate_lock();
    c->error = take_memory(c, OWN_BYTES) ? ncclSuccess : ncclUnhandledCudaError;
    c->next = comms;
    comms = c;
    emulate_unlock();
    start_help();
    return c;
}

/* All ranks of MPI_COMM_WORLD make theirs at the same time; those with one id, one together. */
ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank, ncclConfig_t *config)
{
    MPI_Comm mpi;
    MPI_Comm_split(MPI_COMM_WORLD, (int)(hash(id.internal, sizeof id.internal) & 0x7fffffff), rank, &mpi);
    struct ncclComm *c = enlist(mpi, config);
    if (c->size != n_ranks || c->rank != rank)
        emulate_stop("ncclCommInitRankConfig: rank %d of %d ranks is said, and %d ranks came with this id", rank, n_ranks, c->size);
    if (shares_a_gpu(c))
        c->error = ncclInvalidUsage;
    *comm = c;
    if (c->error != ncclSuccess)
        return c->blocking ? c->error : ncclInProgress;         /* who asks hears of it */
    return settle_later(c);
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t *out, ncclConfig_t *config)
{
    MPI_Comm mpi;
    check_usable("ncclCommSplit", comm);
    check_no_group();
    struct operation *op = must_have(calloc(1, sizeof *op));
    op->comm = comm;
    op->mine.what = SPLIT;
    tell(op);
    while (!is_through(op))             /* meanwhile the thread runs the streams */
        sched_yield();
    check_same(op);
    free_operation(op);
    MPI_Comm_split(comm->mpi, color == NCCL_SPLIT_NOCOLOR ? MPI_UNDEFINED : color, key, &mpi);
    if (color == NCCL_SPLIT_NOCOLOR)
        return settle_later(comm);
    *out = enlist(mpi, config);
    settle_later(*out);
    return settle_later(comm);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error)
{
    int gone = 0;
    emulate_lock();
    check_known("ncclCommGetAsyncError", comm);
    if (comm->asks_left > 0 && --comm->asks_left == 0)
        release(comm);
    MPI_Iprobe(MPI_ANY_SOURCE, TAG_ABORT, comm->mpi, &gone, MPI_STATUS_IGNORE);
    if (gone)
        comm->error = ncclRemoteError;
    *error = comm->error != ncclSuccess ? comm->error : comm->asks_left > 0 ? ncclInProgress : ncclSuccess;
    emulate_unlock();
    return ncclSuccess;
}

static void delist(struct ncclComm *comm)
{
    emulate_lock();
    for (struct ncclComm **at = &comms; *at; at = &(*at)->next)
        if (*at == comm) {
            *at = comm->next;
            break;
        }
    give_memory_back(comm);
    emulate_unlock();
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    check_usable("ncclCommFinalize", comm);
    check_no_group();
    if (comm->n_finished < comm->n_queued)
        emulate_stop("ncclCommFinalize: %lld collectives are not done, and the stand-in does not wait for them", (long long)(comm->n_queued - comm->n_finished));
    ncclResult_t result = settle_later(comm);
    comm->finalized = true;
    return result;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    check_at_rest("ncclCommDestroy", comm);
    check_no_group();
    if (comm->n_finished < comm->n_queued)
        emulate_stop("ncclCommDestroy: %lld collectives are not done", (long long)(comm->n_queued - comm->n_finished));
    delist(comm);
    MPI_Comm_free(&comm->mpi);
    free(comm);
    stop_help();
    return ncclSuccess;
}

/* The others learn of it when they ask. Its queued operations, and what MPI still holds of them, end with the process. */
ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    MPI_Request told;
    emulate_lock();
    check_known("ncclCommAbort", comm);
    comm->aborted = true;
    for (int peer = 0; peer < comm->size; peer++)
        if (peer != comm->rank) {
            MPI_Isend(NULL, 0, MPI_BYTE, peer, TAG_ABORT, comm->mpi, &told);
            MPI_Request_free(&told);
        }
    delist(comm);
    emulate_unlock();
    return ncclSuccess;
}
