/* runtime: the stand-in of the CUDA runtime (include/cuda_runtime.h). Streams are queues; work is done when the host waits.
 *
 * Waiting for a stream or an event either does only what that needs, or lets other streams run in between: which of both, and which stream, is drawn. An operation's
 * turn comes when it is at the head of its stream; at the head, a wait for an event stands until the record it was queued behind is done.
 * What takes part in a collective stands at the head of its stream until the other ranks have come to it; meanwhile all streams are tried in turn, and a thread of the collectives'
 * stand-in may do so while the host waits elsewhere. So ranks may run their streams in any orders that a GPU could: only what would stand on GPUs too stands here.
 * Device memory is one range of addresses that is closed (PROT_NONE) but while operations run: host code that touches it dies. No address is given out twice. Under
 * AddressSanitizer what lies between and behind allocations, and freed memory, is poisoned; without it only the range is guarded.
 */
#include <cuda_runtime.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "emulate.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n_bytes) ((void)(at), (void)(n_bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, n_bytes) ((void)(at), (void)(n_bytes))
#endif

enum { N_DEVICES = 8, ALIGNMENT = 256, MAX_THREADS = 1024, DEFAULT_SHARED = 48 * 1024, MAX_SHARED = 227 * 1024, MAX_ARGS = 4096 };
static const size_t range_bytes = (size_t)1 << 40, device_bytes = (size_t)8 << 30;

/* ---- one caller at a time -------------------------------------------------------------------------------------------------------------------- */

/* The host, or the thread that goes on for it when it has not called for IDLE_MS. */
enum { IDLE_MS = 20, STALL_S = 200 };
static struct { pthread_mutex_t mutex; int64_t last_call_ms; } turn = {.mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void emulate_lock(void)
{
    pthread_mutex_lock(&turn.mutex);
    turn.last_call_ms = now_ms();
}

void emulate_unlock(void)
{
    turn.last_call_ms = now_ms();
    pthread_mutex_unlock(&turn.mutex);
}

static int take_turn(void)
{
    emulate_lock();
    return 0;
}

static void give_turn(int *unused)
{
    (void)unused;
    emulate_unlock();
}

/* From here to the end of the function. */
#define MY_TURN int my_turn __attribute__((cleanup(give_turn), unused)) = take_turn()

void (*emulate_before_wait)(void);

static void begin_wait(void)
{
    if (emulate_before_wait)
        emulate_before_wait();
}

/* ---- errors ---------------------------------------------------------------------------------------------------------------------------------- */

/* A failing call says why, and returns what the real library would. */
static cudaError_t refuse(cudaError_t error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static cudaError_t last_error = cudaSuccess;

static cudaError_t refuse(cudaError_t error, const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fprintf(stderr, "emulate: ");
    vfprintf(stderr, fmt, list);
    fprintf(stderr, "\n");
    va_end(list);
    return last_error = error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    static const struct { cudaError_t error; const char *words; } table[] = {
        {cudaSuccess, "no error"}, {cudaErrorInvalidValue, "invalid argument"}, {cudaErrorMemoryAllocation, "out of memory"},
        {cudaErrorInvalidConfiguration, "invalid configuration argument"}, {cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"},
        {cudaErrorInvalidDeviceFunction, "invalid device function"}, {cudaErrorInvalidDevice, "invalid device ordinal"},
        {cudaErrorInvalidResourceHandle, "invalid resource handle"}, {cudaErrorNotReady, "device not ready"}, {cudaErrorLaunchOutOfResources, "too many resources requested for launch"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].error == error)
            return table[i].words;
    return "unrecognized error code";
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------------------------- */

struct allocation { char *at; size_t n_bytes; bool pinned; struct allocation *next; };

static struct { struct allocation *first; char *range; size_t used, in_use; bool open; } memory;

static size_t up(size_t n_bytes, size_t to) { return (n_bytes + to - 1) / to * to; }

static void protect(int how)
{
    if (memory.used > 0 && mprotect(memory.range, up(memory.used, 4096), how) != 0)
        emulate_stop("device memory could not be opened or closed");
}

/* The allocation that holds [at, at + n_bytes) whole. */
static const struct allocation *find(const void *at, size_t n_bytes)
{
    for (const struct allocation *a = memory.first; a; a = a->next)
        if ((const char *)at >= a->at && (size_t)((const char *)at - a->at) <= a->n_bytes && n_bytes <= a->n_bytes - (size_t)((const char *)at - a->at))
            return a;
    return NULL;
}

bool emulate_holds(const void *at, size_t n_bytes) { return find(at, n_bytes) && !find(at, n_bytes)->pinned; }

static bool is_device(const void *at) { return memory.range && (const char *)at >= memory.range && (const char *)at < memory.range + range_bytes; }

static void keep(void *at, size_t n_bytes, bool pinned)
{
    struct allocation *a = malloc(sizeof *a);
    if (!a)
        emulate_stop("out of memory");
    *a = (struct allocation){at, n_bytes, pinned, memory.first};
    memory.first = a;
}

/* Takes the allocation that begins at `at` out of the list. */
static bool forget(const void *at, bool pinned, size_t *n_bytes)
{
    for (struct allocation **a = &memory.first; *a; a = &(*a)->next)
        if ((*a)->at == at && (*a)->pinned == pinned) {
            struct allocation *found = *a;
            *n_bytes = found->n_bytes;
            *a = found->next;
            free(found);
            return true;
        }
    return false;
}

static void reserve(void)
{
    if (memory.range)
        return;
    memory.range = mmap(NULL, range_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory.range == MAP_FAILED)
        emulate_stop("no address range for device memory");
    madvise(memory.range, range_bytes, MADV_HUGEPAGE);      /* else opening and closing it takes long */
}

cudaError_t cudaMalloc(void **out, size_t n_bytes)
{
    MY_TURN;
    reserve();
    *out = NULL;
    if (n_bytes == 0)
        return cudaSuccess;
    size_t whole = ALIGNMENT + up(n_bytes, ALIGNMENT);
    if (n_bytes > device_bytes - memory.in_use)
        return last_error = cudaErrorMemoryAllocation;
    if (whole > range_bytes - memory.used - ALIGNMENT)
        emulate_stop("all addresses of device memory have been given out");
    char *gap = memory.range + memory.used;
    memory.used += whole;
    protect(PROT_READ | PROT_WRITE);
    ASAN_POISON_MEMORY_REGION(gap, whole);
    ASAN_UNPOISON_MEMORY_REGION(gap + ALIGNMENT, n_bytes);
    memset(gap + ALIGNMENT, 0xff, n_bytes);         /* not zero: NaN of either type */
    protect(PROT_NONE);
    memory.in_use += n_bytes;
    keep(gap + ALIGNMENT, n_bytes, false);
    *out = gap + ALIGNMENT;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t n_bytes)
{
    MY_TURN;
    if (posix_memalign(out, ALIGNMENT, n_bytes ? n_bytes : 1) != 0)
        return last_error = cudaErrorMemoryAllocation;
    memset(*out, 0xff, n_bytes);
    keep(*out, n_bytes, true);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    *free_bytes = device_bytes - memory.in_use;
    *total_bytes = device_bytes;
    return cudaSuccess;
}

/* ---- streams and events ---------------------------------------------------------------------------------------------------------------------- */

struct CUevent_st { uint64_t n_recorded, n_done; struct CUstream_st *stream; /* of the last record */ struct CUevent_st *next; };

enum kind { LAUNCH, COPY, SET, CALL, RECORD, WAIT, SHARED };
struct operation {
    enum kind kind;
    struct operation *next;
    struct emulate_launch launch;
    void (*call)(const void *args);
    void *to;
    const void *from;
    size_t n_bytes;
    int value;
    struct CUevent_st *event;
    uint64_t count;                 /* RECORD, WAIT: the event's records when this was queued */
    struct CUstream_st *behind;     /* WAIT: where that record is */
    bool (*advance)(void *context); /* SHARED */
    void *context;
    unsigned char args[] __attribute__((aligned(16)));
};

struct CUstream_st { struct operation *first, *last; struct CUstream_st *next; };

static struct { struct CUstream_st *stream; struct CUevent_st *event; int64_t n_waits; int n_shared; /* operations that other ranks take part in */ } queue;

int64_t emulate_n_waits(void) { return queue.n_waits; }

static bool is_stream(const struct CUstream_st *stream)
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
    if (stream->last)
        stream->last->next = op;
    else
        stream->first = op;
    stream->last = op;
    return op;
}

static bool stands(const struct operation *op) { return op->kind == WAIT && op->event->n_done < op->count; }

static void execute(struct operation *op)
{
    if (op->kind == LAUNCH)
        emulate_run(&op->launch);
    else if (op->kind == COPY)
        memcpy(op->to, op->from, op->n_bytes);
    else if (op->kind == SET)
        memset(op->to, op->value, op->n_bytes);
    else if (op->kind == CALL)
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
    protect(PROT_READ | PROT_WRITE);
    int64_t moved_ms = now_ms();
    while (event ? event->n_done < count : stream->first != NULL) {
        if (step(alone ? stream : draw_stream(stream)) || step_all())
            moved_ms = now_ms();
        else if (now_ms() - moved_ms > STALL_S * 1000)
            emulate_stop("the streams of this rank have waited %d s for other ranks", STALL_S);
    }
    protect(PROT_NONE);
}

/* One step towards the end of what the host asks about: somebody who asks again and again must see it. */
static void nudge(struct CUstream_st *stream)
{
    protect(PROT_READ | PROT_WRITE);
    if (!step(draw_stream(stream)))
        step_all();
    protect(PROT_NONE);
}

void emulate_go_on(void)
{
    if (pthread_mutex_trylock(&turn.mutex) != 0)
        return;
    if (queue.n_shared > 0 && now_ms() - turn.last_call_ms > IDLE_MS) {
        protect(PROT_READ | PROT_WRITE);
        while (step_all())
            ;
        protect(PROT_NONE);
    }
    pthread_mutex_unlock(&turn.mutex);
}

static void run_all(void)
{
    for (struct CUstream_st *s = queue.stream; s; s = s->next)
        run(s, NULL, 0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    MY_TURN;
    if (flags != cudaStreamNonBlocking)
        return refuse(cudaErrorInvalidValue, "cudaStreamCreateWithFlags: only streams that do not meet the default stream are known here");
    struct CUstream_st *stream = calloc(1, sizeof *stream);
    if (!stream)
        return last_error = cudaErrorMemoryAllocation;
    stream->next = queue.stream;
    queue.stream = stream;
    *out = stream;
    return cudaSuccess;
}

#define KNOWN_STREAM(call, s) do { if (!is_stream(s)) return refuse(cudaErrorInvalidResourceHandle, call ": this is no stream"); } while (0)
#define KNOWN_EVENT(call, e) do { if (!is_event(e)) return refuse(cudaErrorInvalidResourceHandle, call ": this is no event"); } while (0)

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaStreamDestroy", stream);
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
    begin_wait();
    queue.n_waits++;
    run(stream, NULL, 0);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    MY_TURN;
    if (flags != cudaEventDisableTiming)
        return refuse(cudaErrorInvalidValue, "cudaEventCreateWithFlags: only events without timing are known here");
    struct CUevent_st *event = calloc(1, sizeof *event);
    if (!event)
        return last_error = cudaErrorMemoryAllocation;
    event->next = queue.event;
    queue.event = event;
    *out = event;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    MY_TURN;
    KNOWN_EVENT("cudaEventDestroy", event);
    run_all();                                      /* no queue speaks of it any more */
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
    if (flags != 0)
        return refuse(cudaErrorInvalidValue, "cudaStreamWaitEvent: flags are %u, not 0", flags);
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
    begin_wait();
    queue.n_waits++;
    run(event->stream, event, event->n_recorded);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    MY_TURN;
    KNOWN_EVENT("cudaEventQuery", event);
    begin_wait();
    if (event->n_done == event->n_recorded)
        return cudaSuccess;
    nudge(event->stream);
    return last_error = cudaErrorNotReady;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaStreamQuery", stream);
    begin_wait();
    if (!stream->first)
        return cudaSuccess;
    nudge(stream);
    return last_error = cudaErrorNotReady;
}

bool emulate_queue_shared(struct CUstream_st *stream, bool (*advance)(void *context), void *context)
{
    MY_TURN;
    if (!is_stream(stream))
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
    if (!is_stream(stream))
        return false;
    struct operation *op = enqueue(stream, CALL, n_bytes);
    memcpy(op->args, args, n_bytes);
    op->call = call;
    return true;
}

/* ---- memory that is given back; copies ------------------------------------------------------------------------------------------------------- */

cudaError_t cudaFree(void *at)
{
    MY_TURN;
    size_t n_bytes = 0;
    if (!at)
        return cudaSuccess;
    run_all();                                      /* as the real one does */
    if (!forget(at, false, &n_bytes))
        return refuse(cudaErrorInvalidValue, "cudaFree: %p is not the start of an allocation", at);
    memory.in_use -= n_bytes;
    ASAN_POISON_MEMORY_REGION(at, n_bytes);
    uintptr_t first = up((uintptr_t)at, 4096), end = ((uintptr_t)at + n_bytes) / 4096 * 4096;
    if (end > first)
        madvise((void *)first, end - first, MADV_DONTNEED);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *at)
{
    MY_TURN;
    size_t n_bytes = 0;
    if (!at)
        return cudaSuccess;
    run_all();
    if (!forget(at, true, &n_bytes))
        return refuse(cudaErrorInvalidValue, "cudaFreeHost: %p was not allocated by cudaMallocHost", at);
    free(at);
    return cudaSuccess;
}

/* One end of a copy: is it what `kind` says, and whole within an allocation? */
static cudaError_t check_end(const void *at, size_t n_bytes, bool device, const char *what)
{
    if (is_device(at) != device)
        return refuse(cudaErrorInvalidValue, "cudaMemcpyAsync: %s %p is %s memory, the direction says the other", what, at, device ? "host" : "device");
    if (device && !find(at, n_bytes))
        return refuse(cudaErrorInvalidValue, "cudaMemcpyAsync: %s: %zu bytes at %p do not lie in one allocation", what, n_bytes, at);
    return cudaSuccess;
}

static bool overlap(const char *a, const char *b, size_t n_bytes) { return a < b + n_bytes && b < a + n_bytes; }

/* Pinned memory is read and written when the copy is done. Pageable memory as in the real library: the stream is waited for, what is read has been read on return, and what is
 * written has been written. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n_bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaMemcpyAsync", stream);
    if (n_bytes == 0)
        return cudaSuccess;
    if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost && kind != cudaMemcpyDeviceToDevice)
        return refuse(cudaErrorInvalidMemcpyDirection, "cudaMemcpyAsync: direction %d is not known here", (int)kind);
    cudaError_t error = check_end(to, n_bytes, kind != cudaMemcpyDeviceToHost, "target");
    if (error == cudaSuccess)
        error = check_end(from, n_bytes, kind != cudaMemcpyHostToDevice, "source");
    if (error != cudaSuccess)
        return error;
    if (kind == cudaMemcpyDeviceToDevice && overlap(to, from, n_bytes))
        return refuse(cudaErrorInvalidValue, "cudaMemcpyAsync: %zu bytes from %p to %p overlap", n_bytes, from, to);
    struct operation *op = enqueue(stream, COPY, 0);
    op->to = to, op->from = from, op->n_bytes = n_bytes;
    if (kind != cudaMemcpyDeviceToDevice && !find(kind == cudaMemcpyHostToDevice ? from : to, n_bytes)) {
        queue.n_waits++;
        run(stream, NULL, 0);
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *at, int value, size_t n_bytes, cudaStream_t stream)
{
    MY_TURN;
    KNOWN_STREAM("cudaMemsetAsync", stream);
    if (n_bytes == 0)
        return cudaSuccess;
    if (!is_device(at) || !find(at, n_bytes))
        return refuse(cudaErrorInvalidValue, "cudaMemsetAsync: %zu bytes at %p do not lie in one allocation of device memory", n_bytes, at);
    struct operation *op = enqueue(stream, SET, 0);
    op->to = at, op->value = value, op->n_bytes = n_bytes;
    return cudaSuccess;
}

/* ---- kernels --------------------------------------------------------------------------------------------------------------------------------- */

/* Kernels that have been allowed more than the default of dynamic shared memory. */
static struct { const void *function; int n_bytes; } allowed[256];
static int n_allowed;

static int allowed_shared(const void *function)
{
    for (int i = 0; i < n_allowed; i++)
        if (allowed[i].function == function)
            return allowed[i].n_bytes;
    return DEFAULT_SHARED;
}

static bool is_kernel(const void *function) { return function && ((const struct emulate_kernel *)function)->magic == EMULATE_KERNEL; }

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    if (!is_kernel(function))
        return refuse(cudaErrorInvalidDeviceFunction, "cudaFuncSetAttribute: this is no kernel");
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > MAX_SHARED)
        return refuse(cudaErrorInvalidValue, "cudaFuncSetAttribute: attribute %d of %d", (int)attribute, value);
    int i = 0;
    while (i < n_allowed && allowed[i].function != function)
        i++;
    if (i == (int)(sizeof allowed / sizeof *allowed))
        emulate_stop("more kernels than expected ask for shared memory");
    n_allowed = i == n_allowed ? n_allowed + 1 : n_allowed;
    allowed[i].function = function;
    allowed[i].n_bytes = value;
    return cudaSuccess;
}

static cudaError_t check_launch(const cudaLaunchConfig_t *c, const struct emulate_kernel *kernel)
{
    dim3 grid = c->gridDim, threads = c->blockDim;
    if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        return refuse(cudaErrorInvalidConfiguration, "kernel %s: a grid of (%u, %u, %u) blocks", kernel->name, grid.x, grid.y, grid.z);
    if (threads.x < 1 || threads.x > MAX_THREADS || threads.y != 1 || threads.z != 1)
        return refuse(cudaErrorInvalidConfiguration, "kernel %s: blocks of (%u, %u, %u) threads", kernel->name, threads.x, threads.y, threads.z);
    if (threads.x > (unsigned)kernel->max_threads)
        return refuse(cudaErrorLaunchOutOfResources, "kernel %s: %u threads, compiled for %d", kernel->name, threads.x, kernel->max_threads);
    if (c->dynamicSmemBytes > (size_t)allowed_shared(kernel))
        return refuse(cudaErrorInvalidValue, "kernel %s: %zu bytes of dynamic shared memory, %d are allowed", kernel->name, c->dynamicSmemBytes, allowed_shared(kernel));
    return cudaSuccess;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **args)
{
    MY_TURN;
    KNOWN_STREAM("cudaLaunchKernelExC", config->stream);
    if (!is_kernel(function))
        return refuse(cudaErrorInvalidDeviceFunction, "cudaLaunchKernelExC: this is no kernel");
    const struct emulate_kernel *kernel = function;
    if (config->numAttrs != 0 || kernel->args_bytes > MAX_ARGS)
        return refuse(cudaErrorInvalidValue, "kernel %s: launch attributes, or arguments of more than %d bytes", kernel->name, MAX_ARGS);
    cudaError_t error = check_launch(config, kernel);
    if (error != cudaSuccess)
        return error;
    struct operation *op = enqueue(config->stream, LAUNCH, kernel->args_bytes);
    memcpy(op->args, args[0], kernel->args_bytes);
    op->launch = (struct emulate_launch){kernel, op->args, {config->gridDim.x, config->gridDim.y, config->gridDim.z}, (int)config->blockDim.x, config->dynamicSmemBytes};
    return cudaSuccess;
}

/* ---- devices --------------------------------------------------------------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = N_DEVICES;
    return cudaSuccess;
}

static int current_device;

int emulate_device(void) { return current_device; }

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= N_DEVICES)
        return refuse(cudaErrorInvalidDevice, "cudaSetDevice: %d of %d devices", device, N_DEVICES);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int n_bytes, int device)
{
    if (device < 0 || device >= N_DEVICES || n_bytes < 13)
        return refuse(cudaErrorInvalidValue, "cudaDeviceGetPCIBusId: device %d of %d, %d bytes", device, N_DEVICES, n_bytes);
    snprintf(out, (size_t)n_bytes, "0000:%02x:00.0", (unsigned)(device + 1));
    return cudaSuccess;
}

/* An H100. */
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    if (device < 0 || device >= N_DEVICES)
        return refuse(cudaErrorInvalidDevice, "cudaDeviceGetAttribute: %d of %d devices", device, N_DEVICES);
    *value = attribute == cudaDevAttrMultiProcessorCount ? 132 : attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 0;
    return cudaSuccess;
}
