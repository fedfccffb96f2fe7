/* streams: streams and events of the stand-in of the CUDA runtime. Streams are queues; work is done when the host waits.
 *
 * Waiting for a stream or an event either does only what that needs, or lets other streams run in between: which of both, and which stream, is drawn. An operation's
 * turn comes when it is at the head of its stream; at the head, a wait for an event stands until the record it was queued behind is done.
 * What takes part in a collective stands at the head of its stream until the other ranks have come to it; meanwhile all streams are tried in turn, and a thread of the collectives'
 * stand-in may do so while the host waits elsewhere. What a capturing stream is given goes to its graph, whose runs queue a copy of it. So ranks may run their streams in any orders that a GPU could: only what would stand on GPUs too stands here.
 */
#include "tests/emulate/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* Longer than any test computes. */
enum { STALL_S = 200 };

struct CUevent_st { uint64_t n_recorded, n_done; struct CUstream_st *stream; /* of the last record */ struct CUevent_st *next; };

enum kind { CALL, RECORD, WAIT, SHARED };
struct operation {
    enum kind kind;
    struct operation *next;
    void (*call)(const void *args);
    struct CUevent_st *event;
    uint64_t count;                 /* RECORD, WAIT: the event's records when this was queued */
    struct CUstream_st *behind;     /* WAIT: where that record is */
    bool (*advance)(void *context); /* SHARED */
    void *context;
    size_t n_args;
    unsigned char args[] __attribute__((aligned(16)));
};

struct CUgraph_st { struct operation *first, *last; bool lost; };
struct CUgraphExec_st { struct operation *first; };
struct CUstream_st { struct operation *first, *last; struct CUgraph_st *graph; /* capturing */ struct CUstream_st *next; };

static struct { struct CUstream_st *stream; struct CUevent_st *event; int64_t n_waits; int n_shared; /* operations that other ranks take part in */ int64_t n_nudges; bool alone; } queue;

int64_t emulate_n_waits(void) { return queue.n_waits; }

bool runtime_is_stream(const struct CUstream_st *stream)
{
    for (struct CUstream_st *s = queue.stream; s; s = s->next)
        if (s == stream)
            return true;
    return false;
}

static bool is_event(const struct CUevent_st *event)
{
    for (struct CUevent_st *e = queue.event; e; e = e->next)
        if (e == event)
            return true;
    return false;
}

static struct operation *enqueue(struct CUstream_st *stream, enum kind kind, size_t n_args)
{
    struct operation *op = calloc(1, sizeof *op + n_args);
    if (!op)
        emulate_stop("out of memory");
    op->kind = kind;
    op->n_args = n_args;
    struct operation **first = stream->graph ? &stream->graph->first : &stream->first, **last = stream->graph ? &stream->graph->last : &stream->last;
    if (*first)
        (*last)->next = op;
    else
        *first = op;
    *last = op;
    return op;
}

bool runtime_spoils_capture(void)
{
    bool any = false;
    for (struct CUstream_st *s = queue.stream; s; s = s->next)
        if (s->graph)
            s->graph->lost = any = true;
    return any;
}

static bool stands(const struct operation *op) { return op->kind == WAIT && op->event->n_done < op->count; }

static void execute(struct operation *op)
{
    if (op->kind == CALL)
        op->call(op->args);
    else if (op->kind == RECORD && op->event->n_done < op->count)
        op->event->n_done = op->count;
}

/* Does the operation at the head of the stream, or where that one stands, one of what it stands for. False when it cannot be done yet. */
static bool step(struct CUstream_st *stream)
{
    while (stands(stream->first))
        stream = stream->first->behind;
    struct operation *op = stream->first;
    if (op->kind == SHARED && !op->advance(op->context))
        return false;
    queue.n_shared -= op->kind == SHARED;
    stream->first = op->next;
    if (!op->next)
        stream->last = NULL;
    execute(op);
    free(op);
    return true;
}

/* What stands waits for other ranks, and these perhaps for another stream of this one. False when no stream can go on. */
static bool step_all(void)
{
    bool any = false;
    for (struct CUstream_st *s = queue.stream; s; s = s->next)
        if (s->first && step(s))
            any = true;
    if (!any)
        nanosleep(&(struct timespec){0, 20000}, NULL);
    return any;
}

/* A stream with work, `wanted` as likely as all others together. */
static struct CUstream_st *draw_stream(struct CUstream_st *wanted)
{
    int n = 0;
    struct CUstream_st *drawn = wanted;
    for (struct CUstream_st *s = queue.stream; s; s = s->next)
        if (s->first && emulate_random((uint64_t)++n) == 0)
            drawn = s;
    return emulate_random(2) == 0 ? wanted : drawn;
}

/* Runs until the stream is empty, or, with an event, until that has been recorded `count` times. */
static void run(struct CUstream_st *stream, const struct CUevent_st *event, uint64_t count)
{
    bool alone = emulate_random(2) == 0;
    if (!stream || (event ? event->n_done >= count : !stream->first))
        return;
    runtime_protect(PROT_READ | PROT_WRITE);
    int64_t moved_ms = runtime_now_ms();
    while (event ? event->n_done < count : stream->first != NULL) {
        if (step(alone ? stream : draw_stream(stream)) || step_all())
            moved_ms = runtime_now_ms();
        else if (runtime_now_ms() - moved_ms > STALL_S * 1000)
            emulate_stop("the streams of this rank have waited %d s for other ranks", STALL_S);
    }
    runtime_protect(PROT_NONE);
}

/* One step towards the end of what the host asks about: somebody who asks again and again must see it. For a while at a time it is done alone, or with other streams in between. */
static void nudge(struct CUstream_st *stream)
{
    enum { WHILE = 100 };
    queue.alone = queue.n_nudges++ % WHILE == 0 ? emulate_random(2) == 0 : queue.alone;
    runtime_protect(PROT_READ | PROT_WRITE);
    if (!step(queue.alone ? stream : draw_stream(stream)))
        step_all();
    runtime_protect(PROT_NONE);
}

void emulate_go_on(void)
{
    if (!runtime_take_idle_turn())
        return;
    if (queue.n_shared > 0) {
        runtime_protect(PROT_READ | PROT_WRITE);
        while (step_all())
            ;
        runtime_protect(PROT_NONE);
    }
    runtime_leave_idle_turn();
}

void runtime_finish(struct CUstream_st *stream) { run(stream, NULL, 0); }
void runtime_count_wait(void) { queue.n_waits++; }

void runtime_run_all(void)
{
    for (struct CUstream_st *s = queue.stream; s; s = s->next)
        run(s, NULL, 0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    MY_TURN;
    if (flags != cudaStreamNonBlocking)
        return runtime_refuse(cudaErrorInvalidValue, "cudaStreamCreateWithFlags: only streams that do not meet the default stream are known here");
    struct CUstream_st *stream = calloc(1, sizeof *stream);
    if (!stream)
        return runtime_fail(cudaErrorMemoryAllocation);
    stream->next = queue.stream;
    queue.stream = stream;
    *out = stream;
    return cudaSuccess;
}

#define KNOWN_EVENT(call, e) do { if (!is_event(e)) return runtime_refuse(cudaErrorInvalidResourceHandle, call ": this is no event"); } while (0)

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaStreamDestroy", stream);
    NO_CAPTURE("cudaStreamDestroy");
    run(stream, NULL, 0);
    for (struct CUevent_st *e = queue.event; e; e = e->next)
        e->stream = e->stream == stream ? NULL : e->stream;
    for (struct CUstream_st **s = &queue.stream; *s; s = &(*s)->next)
        if (*s == stream) {
            *s = stream->next;
            free(stream);
            break;
        }
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaStreamSynchronize", stream);
    NO_CAPTURE("cudaStreamSynchronize");
    runtime_begin_wait();
    queue.n_waits++;
    run(stream, NULL, 0);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    MY_TURN;
    if (flags != cudaEventDisableTiming)
        return runtime_refuse(cudaErrorInvalidValue, "cudaEventCreateWithFlags: only events without timing are known here");
    struct CUevent_st *event = calloc(1, sizeof *event);
    if (!event)
        return runtime_fail(cudaErrorMemoryAllocation);
    event->next = queue.event;
    queue.event = event;
    *out = event;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    MY_TURN;
    KNOWN_EVENT("cudaEventDestroy", event);
    runtime_run_all();                                      /* no queue speaks of it any more */
    for (struct CUevent_st **e = &queue.event; *e; e = &(*e)->next)
        if (*e == event) {
            *e = event->next;
            free(event);
            break;
        }
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaEventRecord", stream);
    KNOWN_EVENT("cudaEventRecord", event);
    if (stream->graph)
        NO_CAPTURE("cudaEventRecord, which the stand-in does not know here");
    struct operation *op = enqueue(stream, RECORD, 0);
    op->event = event;
    op->count = ++event->n_recorded;
    event->stream = stream;
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    MY_TURN;
    KNOWN_STREAM("cudaStreamWaitEvent", stream);
    KNOWN_EVENT("cudaStreamWaitEvent", event);
    if (stream->graph)
        NO_CAPTURE("cudaStreamWaitEvent, which the stand-in does not know here");
    if (flags != 0)
        return runtime_refuse(cudaErrorInvalidValue, "cudaStreamWaitEvent: flags are %u, not 0", flags);
    if (event->n_done == event->n_recorded)         /* done, or never recorded: nothing to wait for */
        return cudaSuccess;
    struct operation *op = enqueue(stream, WAIT, 0);
    op->event = event;
    op->count = event->n_recorded;
    op->behind = event->stream;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    MY_TURN;
    KNOWN_EVENT("cudaEventSynchronize", event);
    NO_CAPTURE("cudaEventSynchronize");
    runtime_begin_wait();
    queue.n_waits++;
    run(event->stream, event, event->n_recorded);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    MY_TURN;
    KNOWN_EVENT("cudaEventQuery", event);
    NO_CAPTURE("cudaEventQuery");
    runtime_begin_wait();
    if (event->n_done == event->n_recorded)
        return cudaSuccess;
    nudge(event->stream);
    return runtime_fail(cudaErrorNotReady);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaStreamQuery", stream);
    NO_CAPTURE("cudaStreamQuery");
    runtime_begin_wait();
    if (!stream->first)
        return cudaSuccess;
    nudge(stream);
    return runtime_fail(cudaErrorNotReady);
}

/* ---- graphs ---------------------------------------------------------------------------------------------------------------------------------- */

static void free_operations(struct operation *op)
{
    while (op) {
        struct operation *next = op->next;
        free(op);
        op = next;
    }
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    MY_TURN;
    KNOWN_STREAM("cudaStreamBeginCapture", stream);
    if (mode != cudaStreamCaptureModeThreadLocal)
        return runtime_refuse(cudaErrorInvalidValue, "cudaStreamBeginCapture: only captures of this thread are known here");
    NO_CAPTURE("cudaStreamBeginCapture");
    stream->graph = calloc(1, sizeof *stream->graph);
    return stream->graph ? cudaSuccess : runtime_fail(cudaErrorMemoryAllocation);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    MY_TURN;
    KNOWN_STREAM("cudaStreamEndCapture", stream);
    struct CUgraph_st *graph = stream->graph;
    *out = NULL;
    if (!graph)
        return runtime_refuse(cudaErrorInvalidValue, "cudaStreamEndCapture: the stream is not capturing");
    stream->graph = NULL;
    if (!graph->lost) {
        *out = graph;
        return cudaSuccess;
    }
    cudaGraphDestroy(graph);
    return runtime_refuse(cudaErrorStreamCaptureInvalidated, "cudaStreamEndCapture: an earlier call was not permitted");
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
    if (flags != 0)
        return runtime_refuse(cudaErrorInvalidValue, "cudaGraphInstantiate: flags are %llu, not 0", flags);
    *out = calloc(1, sizeof **out);
    if (!*out)
        return runtime_fail(cudaErrorMemoryAllocation);
    (*out)->first = graph->first;       /* of one graph one is made */
    graph->first = NULL;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaGraphLaunch", stream);
    NO_CAPTURE("cudaGraphLaunch");
    for (const struct operation *op = exec->first; op; op = op->next) {
        struct operation *copy = enqueue(stream, CALL, op->n_args);
        copy->call = op->call;
        memcpy(copy->args, op->args, op->n_args);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    if (graph)
        free_operations(graph->first);
    free(graph);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    if (exec)
        free_operations(exec->first);
    free(exec);
    return cudaSuccess;
}

bool emulate_queue_shared(struct CUstream_st *stream, bool (*advance)(void *context), void *context)
{
    MY_TURN;
    if (!runtime_is_stream(stream) || stream->graph)
        return false;
    struct operation *op = enqueue(stream, SHARED, 0);
    op->advance = advance;
    op->context = context;
    queue.n_shared++;
    return true;
}

bool emulate_queue(struct CUstream_st *stream, void (*call)(const void *args), const void *args, size_t n_bytes)
{
    MY_TURN;
    if (!runtime_is_stream(stream))
        return false;
    struct operation *op = enqueue(stream, CALL, n_bytes);
    memcpy(op->args, args, n_bytes);
    op->call = call;
    return true;
}
