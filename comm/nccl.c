/* nccl: communicators whose collectives move a GPU's memory, over NCCL. A part of the CUDA backend's module.
 *
 * Each stands on a communicator of the same ranks over MPI, which it owns and which moves host memory: whoever gives no stream. A group of one rank is comm_self.
 * Collectives of a communicator run on a stream of its own, in the order of the calls: it waits for an event behind the caller's work, and the caller's stream for one
 * behind the collective. NCCL itself is never waited for: communicators do not block, and what is in progress is asked for until it is done, under the watchdog.
 *
 * While the host waits for the GPU it looks here (device_watch): the oldest collective that is not done is what the watchdog names, and an error that NCCL reports of any
 * communicator aborts all of them and is a failure, so that no kernel and no rank waits for a rank that is gone. When the watchdog's time is over it aborts them too.
 */
#include <nccl.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/status.h"
#include "comm/comm.h"
#include "comm/watchdog.h"

/* Collectives that are watched for a communicator; beyond them the oldest is no longer looked at. */
enum { MAX_PENDING = 64 };

struct pending { struct event behind; const char *what; int64_t turn; };

struct nccl_state {
    const struct comm *comm;
    struct comm *host;
    ncclComm_t nccl;            /* NULL: aborted */
    struct device *device;
    struct stream own;
    struct event before;
    struct pending pending[MAX_PENDING];
    int64_t n_issued, n_done;
    bool grouped;
    struct stream *caller;      /* of the open group, from its first collective on */
    struct nccl_state *next;
};

/* All communicators, for the two that look at all of them: the waiting host, and the watchdog's thread when it ends the process. */
static struct { pthread_mutex_t lock; struct nccl_state *first; int64_t n_turns; bool expired; } all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static cudaStream_t raw_stream(const struct stream *stream) { return *(cudaStream_t *)stream->handle; }
static cudaEvent_t raw_event(const struct event *event) { return *(cudaEvent_t *)event->handle; }

static ncclDataType_t nccl_type(enum comm_type type)
{
    static const ncclDataType_t types[] = {[COMM_F32] = ncclFloat32, [COMM_BF16] = ncclBfloat16, [COMM_F64] = ncclFloat64, [COMM_I64] = ncclInt64, [COMM_U8] = ncclUint8};
    return types[type];
}

static ncclRedOp_t nccl_op(enum comm_type type, enum comm_op op)
{
    ASSERT(type != COMM_U8 && (type != COMM_BF16 || op == COMM_SUM));
    return op == COMM_SUM ? ncclSum : op == COMM_MAX ? ncclMax : ncclMin;
}

/* ---- failing --------------------------------------------------------------------------------------------------------------------------------- */

static void abort_all(void)
{
    for (struct nccl_state *s = all.first; s; s = s->next) {
        if (s->nccl)
            ncclCommAbort(s->nccl);
        s->nccl = NULL;
    }
}

static void end_all(void)
{
    pthread_mutex_lock(&all.lock);
    all.expired = true;
    abort_all();
    pthread_mutex_unlock(&all.lock);
}

static int failed(const struct nccl_state *s, const char *what, ncclResult_t result)
{
    const char *more = ncclGetLastError(NULL);
    int status = FAIL("%s over %s: NCCL says '%s' (%d%s%.300s); the job is ended: if a rank or a host is gone, resume from the last checkpoint", what, s->comm->name,
                      ncclGetErrorString(result), (int)result, more && *more ? ", " : "", more ? more : "");
    pthread_mutex_lock(&all.lock);
    abort_all();
    pthread_mutex_unlock(&all.lock);
    return status;
}

/* What the communicator says of itself. Once the watchdog has spoken, its thread ends the process. */
static ncclResult_t ask(const struct nccl_state *s)
{
    ncclResult_t state = ncclInvalidUsage, result = ncclSuccess;
    pthread_mutex_lock(&all.lock);
    bool expired = all.expired;
    if (s->nccl)
        result = ncclCommGetAsyncError(s->nccl, &state);
    pthread_mutex_unlock(&all.lock);
    while (expired)
        pause();
    return result == ncclSuccess ? state : result;
}

/* A call's result; what is in progress comes to its end first. */
static int settle(const struct nccl_state *s, const char *what, ncclResult_t result)
{
    if (result == ncclInProgress) {
        watchdog_enter(what, s->comm->name);
        while ((result = ask(s)) == ncclInProgress)
            sched_yield();
        watchdog_leave();
    }
    return result == ncclSuccess ? OK : failed(s, what, result);
}

/* ---- the waiting host ------------------------------------------------------------------------------------------------------------------------ */

/* The oldest collective of the communicator that is not done, or NULL. */
static const struct pending *oldest(struct nccl_state *s)
{
    while (s->n_done < s->n_issued && cudaEventQuery(raw_event(&s->pending[s->n_done % MAX_PENDING].behind)) != cudaErrorNotReady)
        s->n_done++;
    cudaGetLastError();                 /* not ready is no error */
    return s->n_done < s->n_issued ? &s->pending[s->n_done % MAX_PENDING] : NULL;
}

/* The same of all communicators, with whose it is. */
static const struct pending *oldest_of_all(const struct nccl_state **whose)
{
    const struct pending *first = NULL;
    for (struct nccl_state *s = all.first; s; s = s->next) {
        const struct pending *p = oldest(s);
        if (p && (!first || p->turn < first->turn))
            first = p, *whose = s;
    }
    return first;
}

/* The watchdog counts from when a collective became the oldest that is not done. */
static int waiting(void *state)
{
    int64_t *named = state;
    const struct nccl_state *whose = NULL;
    const struct pending *first = oldest_of_all(&whose);
    for (const struct nccl_state *s = all.first; s; s = s->next) {
        ncclResult_t result = ask(s);
        if (result != ncclSuccess && result != ncclInProgress)
            return failed(whose ? whose : s, first ? first->what : "work on the GPU", result);
    }
    if (first && first->turn != *named)
        watchdog_enter(first->what, whose->comm->name);
    else if (!first)
        watchdog_leave();
    *named = first ? first->turn : 0;
    return OK;
}

static void waited(void *state)
{
    int64_t *named = state;
    *named = 0;
    watchdog_leave();
}

static int64_t named_turn;              /* of the collective that the watchdog counts for; turns begin at 1 */

/* ---- collectives ----------------------------------------------------------------------------------------------------------------------------- */

/* The communicator's stream waits for what the caller's has been given so far. */
static int begin(struct nccl_state *s, const char *what, struct stream *stream)
{
    CHECK(s->nccl, "%s over %s: the communicator was aborted", what, s->comm->name);
    ASSERT(!s->caller || s->caller == stream);
    if (s->grouped)
        s->caller = stream;
    TRY(s->device->ops->event_record(&s->before, stream));
    return s->device->ops->event_wait(&s->before, &s->own);
}

/* The caller's stream waits for what the communicator's has been given so far. */
static int follow(struct nccl_state *s, const char *what, struct stream *stream)
{
    if (s->n_issued - s->n_done == MAX_PENDING)
        s->n_done++;
    struct pending *p = &s->pending[s->n_issued++ % MAX_PENDING];
    p->what = what;
    p->turn = ++all.n_turns;
    TRY(s->device->ops->event_record(&p->behind, &s->own));
    return s->device->ops->event_wait(&p->behind, stream);
}

static int end(struct nccl_state *s, const char *what, struct stream *stream, ncclResult_t result)
{
    TRY(settle(s, what, result));
    return s->grouped ? OK : follow(s, what, stream);
}

static int nccl_all_reduce(struct comm *comm, void *buffer, int64_t count, enum comm_type type, enum comm_op op, struct stream *stream)
{
    struct nccl_state *s = comm->state;
    if (!stream)
        return all_reduce(s->host, buffer, count, type, op, NULL);
    if (count == 0)
        return OK;
    TRY(begin(s, "all_reduce", stream));
    return end(s, "all_reduce", stream, ncclAllReduce(buffer, buffer, (size_t)count, nccl_type(type), nccl_op(type, op), s->nccl, raw_stream(&s->own)));
}

static int nccl_reduce_scatter(struct comm *comm, const void *send, void *recv, int64_t count, enum comm_type type, enum comm_op op, struct stream *stream)
{
    struct nccl_state *s = comm->state;
    if (!stream)
        return reduce_scatter(s->host, send, recv, count, type, op, NULL);
    if (count == 0)
        return OK;
    TRY(begin(s, "reduce_scatter", stream));
    return end(s, "reduce_scatter", stream, ncclReduceScatter(send, recv, (size_t)count, nccl_type(type), nccl_op(type, op), s->nccl, raw_stream(&s->own)));
}

static int nccl_all_gather(struct comm *comm, const void *send, void *recv, int64_t count, enum comm_type type, struct stream *stream)
{
    struct nccl_state *s = comm->state;
    if (!stream)
        return all_gather(s->host, send, recv, count, type, NULL);
    if (count == 0)
        return OK;
    TRY(begin(s, "all_gather", stream));
    return end(s, "all_gather", stream, ncclAllGather(send, recv, (size_t)count, nccl_type(type), s->nccl, raw_stream(&s->own)));
}

/* Every rank with every rank, itself too, in one group. */
static ncclResult_t send_and_receive(const struct nccl_state *s, const char *send, char *recv, size_t count, enum comm_type type)
{
    ncclResult_t result = ncclGroupStart();
    for (int peer = 0; peer < s->comm->size && (result == ncclSuccess || result == ncclInProgress); peer++) {
        size_t at = (size_t)peer * count * comm_type_bytes(type);
        result = ncclSend(send + at, count, nccl_type(type), peer, s->nccl, raw_stream(&s->own));
        if (result == ncclSuccess || result == ncclInProgress)
            result = ncclRecv(recv + at, count, nccl_type(type), peer, s->nccl, raw_stream(&s->own));
    }
    ncclResult_t ended = ncclGroupEnd();
    return result == ncclSuccess || result == ncclInProgress ? ended : result;
}

static int nccl_all_to_all(struct comm *comm, const void *send, void *recv, int64_t count, enum comm_type type, struct stream *stream)
{
    struct nccl_state *s = comm->state;
    if (!stream)
        return all_to_all(s->host, send, recv, count, type, NULL);
    if (count == 0)
        return OK;
    ASSERT(!s->grouped);
    TRY(begin(s, "all_to_all", stream));
    return end(s, "all_to_all", stream, send_and_receive(s, send, recv, (size_t)count, type));
}

static int nccl_broadcast(struct comm *comm, void *buffer, int64_t count, enum comm_type type, int root, struct stream *stream)
{
    struct nccl_state *s = comm->state;
    if (!stream)
        return broadcast(s->host, buffer, count, type, root, NULL);
    if (count == 0)
        return OK;
    TRY(begin(s, "broadcast", stream));
    return end(s, "broadcast", stream, ncclBroadcast(buffer, buffer, (size_t)count, nccl_type(type), root, s->nccl, raw_stream(&s->own)));
}

static int nccl_barrier(struct comm *comm)
{
    struct comm *host = ((struct nccl_state *)comm->state)->host;
    return host->ops->barrier(host);
}

static int nccl_group_begin(struct comm *comm)
{
    struct nccl_state *s = comm->state;
    ASSERT(!s->grouped);
    s->grouped = true;
    return settle(s, "group", ncclGroupStart());
}

static int nccl_group_end(struct comm *comm)
{
    struct nccl_state *s = comm->state;
    struct stream *caller = s->caller;
    ASSERT(s->grouped);
    s->grouped = false;
    s->caller = NULL;
    TRY(settle(s, "group", ncclGroupEnd()));
    return caller ? follow(s, "group", caller) : OK;
}

/* ---- making and ending ----------------------------------------------------------------------------------------------------------------------- */

static const struct comm_ops nccl_ops;

static void enlist(struct nccl_state *s)
{
    pthread_mutex_lock(&all.lock);
    s->next = all.first;
    all.first = s;
    pthread_mutex_unlock(&all.lock);
}

static void delist(struct nccl_state *s)
{
    pthread_mutex_lock(&all.lock);
    for (struct nccl_state **at = &all.first; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    pthread_mutex_unlock(&all.lock);
}

/* A communicator of the ranks of host, which it owns from then on; NCCL's is not there yet. */
static int wrap(struct device *device, struct comm *host, struct comm **out)
{
    struct comm *comm = calloc(1, sizeof *comm);
    struct nccl_state *s = calloc(1, sizeof *s);
    if (!comm || !s) {
        free(comm), free(s);
        return FAIL("out of memory for a communicator");
    }
    *s = (struct nccl_state){.comm = comm, .host = host, .device = device};
    *comm = (struct comm){.ops = &nccl_ops, .rank = host->rank, .size = host->size, .name = host->name, .state = s};
    int status = device->ops->stream_open(device, &s->own);
    if (status != OK) {
        free(comm), free(s);
        return status;
    }
    enlist(s);
    *out = comm;
    return OK;
}

/* The communicator of one in the place of host. */
static int alone(struct comm *host, struct comm **out)
{
    struct comm *self;
    TRY(comm_self_create(&self));
    self->name = host->name;
    comm_destroy(&host);
    *out = self;
    return OK;
}

/* The ranks of each colour make theirs together; a rank that stays alone takes part in the split and gets none. The new one is there when the old one is at rest. */
static int split_nccl(const struct nccl_state *s, int color, ncclComm_t *out)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    CHECK(s->nccl, "split of %s: the communicator was aborted", s->comm->name);
    TRY(settle(s, "split", ncclCommSplit(s->nccl, color, s->comm->rank, out, &config)));
    return settle(s, "split", ncclInProgress);
}

static int nccl_split(struct comm *comm, int color, struct comm **out)
{
    int status = OK;
    struct nccl_state *s = comm->state, *part;
    struct comm *host;
    ncclComm_t made = NULL;
    TRY(s->host->ops->split(s->host, color, &host));
    TRY_DONE(split_nccl(s, host->size == 1 ? NCCL_SPLIT_NOCOLOR : color, &made));
    if (host->size == 1)
        return alone(host, out);
    TRY_DONE(wrap(s->device, host, out));
    part = (*out)->state;
    part->nccl = made;
    return settle(part, "split", ncclInProgress);
done:
    if (made)
        ncclCommAbort(made);
    comm_destroy(&host);
    return status;
}

int cuda_module_connect(struct device *device, struct comm *host, struct comm **out)
{
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    struct comm *comm;
    config.blocking = 0;
    if (host->size == 1)
        return alone(host, out);
    TRY(wrap(device, host, &comm));
    *out = comm;
    struct nccl_state *s = comm->state;
    if (host->rank == 0)
        TRY(settle(s, "connect", ncclGetUniqueId(&id)));
    TRY(broadcast(host, &id, (int64_t)sizeof id, COMM_U8, 0, NULL));
    TRY(settle(s, "connect", ncclCommInitRankConfig(&s->nccl, host->size, id, host->rank, &config)));
    device->watch = (struct device_watch){waiting, waited, &named_turn};
    watchdog_on_expiry(end_all);
    return OK;
}

/* A rank that has failed does not wait for the others to end this together. */
static void close_nccl(struct nccl_state *s)
{
    bool whole = s->nccl && !*trace_sentence() && s->device->ops->synchronize(&s->own) == OK && settle(s, "finalize", ncclCommFinalize(s->nccl)) == OK;
    pthread_mutex_lock(&all.lock);
    if (s->nccl && whole)
        ncclCommDestroy(s->nccl);
    else if (s->nccl)
        ncclCommAbort(s->nccl);
    s->nccl = NULL;
    pthread_mutex_unlock(&all.lock);
}

static void nccl_destroy(struct comm *comm)
{
    struct nccl_state *s = comm->state;
    close_nccl(s);
    delist(s);
    if (!all.first) {
        s->device->watch = (struct device_watch){NULL, NULL, NULL};
        watchdog_on_expiry(NULL);
    }
    comm_destroy(&s->host);
    free(s);
    free(comm);
}

static const struct comm_ops nccl_ops = {nccl_all_reduce, nccl_reduce_scatter, nccl_all_gather, nccl_all_to_all, nccl_broadcast, nccl_barrier, nccl_group_begin, nccl_group_end, nccl_split,
                                         nccl_destroy};
