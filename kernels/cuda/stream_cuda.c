/* stream_cuda: streams, events, copies and launches. See cuda.h. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/attention_plan_cuda.h"
#include "kernels/cuda/cuda.h"

/* ---- streams --------------------------------------------------------------------------------------------------------------------------------- */

int cuda_stream_open(struct device *device, struct stream *out)
{
    struct cuda *cuda = cuda_of(device);
    struct cuda_stream *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory for a stream");
    s->next = cuda->streams;
    cuda->streams = s;
    CUDA_CHECK(cudaStreamCreateWithFlags(&s->handle, cudaStreamNonBlocking), "cannot make a stream on GPU %d", cuda->ordinal);
    *out = (struct stream){.device = device, .handle = s};
    return OK;
}

static void stream_close(struct cuda_stream *s)
{
    if (s->handle) {
        cudaStreamSynchronize(s->handle);
        cudaStreamDestroy(s->handle);
    }
    for (int i = 0; i < STAGING_SEGMENTS; i++)
        if (s->staged[i])
            cudaEventDestroy(s->staged[i]);
    cudaFreeHost(s->staging);
    cudaFreeHost(s->returned);
    cudaFree(s->scratch);
    cudaFree(s->workspace);
    cuda_attention_plan_free(s->attention);
    free(s);
}

void cuda_streams_close(struct cuda *cuda)
{
    while (cuda->streams) {
        struct cuda_stream *s = cuda->streams;
        cuda->streams = s->next;
        stream_close(s);
    }
    while (cuda->events) {
        struct cuda_event *e = cuda->events;
        cuda->events = e->next;
        if (e->handle)
            cudaEventDestroy(e->handle);
        free(e);
    }
}

/* ---- waiting --------------------------------------------------------------------------------------------------------------------------------- */

static bool is_pending(const struct cuda_stream *s, cudaEvent_t event)
{
    if ((event ? cudaEventQuery(event) : cudaStreamQuery(s->handle)) != cudaErrorNotReady)
        return false;
    cudaGetLastError();                 /* not ready is no error */
    return true;
}

/* Until the event, or with NULL all of the stream, is done; meanwhile device_watch looks after the other ranks. Errors of the GPU are told by the runtime's own wait behind it. */
static int look_around(struct stream *stream, cudaEvent_t event)
{
    const struct device_watch *watch = &stream->device->watch;
    int status = OK;
    if (!watch->waiting)
        return OK;
    while (status == OK && is_pending(cuda_stream_of(stream), event))
        status = watch->waiting(watch->state);
    watch->waited(watch->state);
    return status;
}

/* The runtime gives memory back when all streams are done, the other ranks' part of their work included. */
static int look_around_all(struct device *device)
{
    for (struct cuda_stream *s = cuda_of(device)->streams; s; s = s->next)
        TRY(look_around(&(struct stream){.device = device, .handle = s}, NULL));
    return OK;
}

/* ---- to the device: what is read has been read on return ------------------------------------------------------------------------------------- */

static int open_staging(struct cuda_stream *s)
{
    if (s->staging)
        return OK;
    for (int i = 0; i < STAGING_SEGMENTS; i++)
        CUDA_CHECK(cudaEventCreateWithFlags(&s->staged[i], cudaEventDisableTiming), "cannot make an event");
    CUDA_CHECK(cudaMallocHost((void **)&s->staging, (size_t)STAGING_SEGMENTS * STAGING_BYTES), "cannot pin %d MiB of host memory", STAGING_SEGMENTS * STAGING_BYTES >> 20);
    return OK;
}

/* The next segment, when the copies out of it are done. */
static int next_segment(struct stream *stream)
{
    struct cuda_stream *s = cuda_stream_of(stream);
    CUDA_CHECK(cudaEventRecord(s->staged[s->segment], s->handle), "cannot record an event");
    s->segment = (s->segment + 1) % STAGING_SEGMENTS;
    s->segment_used = 0;
    TRY(look_around(stream, s->staged[s->segment]));
    CUDA_CHECK(cudaEventSynchronize(s->staged[s->segment]), "a copy to the GPU failed");
    return OK;
}

static int copy_in(struct stream *stream, unsigned char *to, const unsigned char *from, size_t n_bytes)
{
    struct cuda_stream *s = cuda_stream_of(stream);
    TRY(open_staging(s));
    while (n_bytes > 0) {
        if (s->segment_used == STAGING_BYTES)
            TRY(next_segment(stream));
        size_t room = STAGING_BYTES - s->segment_used, n = n_bytes < room ? n_bytes : room;
        unsigned char *at = s->staging + (size_t)s->segment * STAGING_BYTES + s->segment_used;
        memcpy(at, from, n);
        CUDA_CHECK(cudaMemcpyAsync(to, at, n, cudaMemcpyHostToDevice, s->handle), "cannot copy %zu bytes to the GPU", n);
        s->segment_used += (n + 63) / 64 * 64;
        to += n, from += n, n_bytes -= n;
    }
    return OK;
}

/* ---- to the host: written when the stream is synchronized ------------------------------------------------------------------------------------ */

static bool returns_fit(const struct cuda_stream *s, size_t n_bytes) { return s->n_returns < MAX_RETURNS && n_bytes <= RETURN_BYTES - s->returned_used; }

/* Small copies wait in pinned memory, so that the host goes on. Larger ones are not for inner loops: the runtime waits. */
static int copy_out(struct stream *stream, void *to, const void *from, size_t n_bytes)
{
    struct cuda_stream *s = cuda_stream_of(stream);
    void *at = to;
    if (!s->returned)
        CUDA_CHECK(cudaMallocHost((void **)&s->returned, RETURN_BYTES), "cannot pin %d KiB of host memory", RETURN_BYTES >> 10);
    if (returns_fit(s, n_bytes)) {
        at = s->returned + s->returned_used;
        s->returns[s->n_returns++] = (struct cuda_return){to, at, n_bytes};
        s->returned_used += (n_bytes + 15) / 16 * 16;
    } else {
        TRY(look_around(stream, NULL));
    }
    CUDA_CHECK(cudaMemcpyAsync(at, from, n_bytes, cudaMemcpyDeviceToHost, s->handle), "cannot copy %zu bytes from the GPU", n_bytes);
    return OK;
}

int cuda_copy(struct stream *stream, void *to, const void *from, size_t n_bytes, enum device_copy kind)
{
    struct cuda_stream *s = cuda_stream_of(stream);
    if (n_bytes == 0 || to == from)
        return OK;
    if (kind == HOST_TO_DEVICE)
        return copy_in(stream, to, from, n_bytes);
    if (kind == DEVICE_TO_HOST)
        return copy_out(stream, to, from, n_bytes);
    CUDA_CHECK(cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyDeviceToDevice, s->handle), "cannot copy %zu bytes on the GPU", n_bytes);
    return OK;
}

int cuda_zero(struct stream *stream, void *memory, size_t n_bytes)
{
    if (n_bytes > 0)
        CUDA_CHECK(cudaMemsetAsync(memory, 0, n_bytes, cuda_stream_of(stream)->handle), "cannot clear %zu bytes on the GPU", n_bytes);
    return OK;
}

int cuda_synchronize(struct stream *stream)
{
    struct cuda_stream *s = cuda_stream_of(stream);
    TRY(look_around(stream, NULL));
    CUDA_CHECK(cudaStreamSynchronize(s->handle), "work on the GPU failed");
    for (int i = 0; i < s->n_returns; i++)
        memcpy(s->returns[i].to, s->returns[i].from, s->returns[i].n_bytes);
    s->n_returns = 0;
    s->returned_used = 0;
    return OK;
}

/* ---- events ---------------------------------------------------------------------------------------------------------------------------------- */

static int open_event(struct event *event, struct device *device)
{
    struct cuda *cuda = cuda_of(device);
    struct cuda_event *e = calloc(1, sizeof *e);
    CHECK(e, "out of memory for an event");
    e->next = cuda->events;
    cuda->events = e;
    CUDA_CHECK(cudaEventCreateWithFlags(&e->handle, cudaEventDisableTiming), "cannot make an event");
    event->device = device;
    event->handle = e;
    return OK;
}

int cuda_event_record(struct event *event, struct stream *stream)
{
    if (!event->handle)
        TRY(open_event(event, stream->device));
    CUDA_CHECK(cudaEventRecord(((struct cuda_event *)event->handle)->handle, cuda_stream_of(stream)->handle), "cannot record an event");
    return OK;
}

int cuda_event_wait(struct event *event, struct stream *stream)
{
    if (event->handle)
        CUDA_CHECK(cudaStreamWaitEvent(cuda_stream_of(stream)->handle, ((struct cuda_event *)event->handle)->handle, 0), "cannot wait for an event");
    return OK;
}

/* ---- scratch, launches ----------------------------------------------------------------------------------------------------------------------- */

int cuda_grow(struct stream *stream, size_t n_bytes, void **memory, size_t *memory_bytes)
{
    if (n_bytes <= *memory_bytes)
        return OK;
    size_t grown = n_bytes > 2 * *memory_bytes ? n_bytes : 2 * *memory_bytes;
    ASSERT(!cuda_of(stream->device)->recording);
    cuda_of(stream->device)->n_replaced++;
    TRY(look_around_all(stream->device));
    CUDA_CHECK(cudaStreamSynchronize(cuda_stream_of(stream)->handle), "work on the GPU failed");
    CUDA_CHECK(cudaFree(*memory), "cannot give memory of the GPU back");
    *memory = NULL, *memory_bytes = 0;
    CUDA_CHECK(cudaMalloc(memory, grown), "cannot allocate %zu bytes of working memory on the GPU", grown);
    *memory_bytes = grown;
    return OK;
}

int cuda_scratch(struct stream *stream, size_t n_bytes, void **out)
{
    struct cuda_stream *s = cuda_stream_of(stream);
    TRY(cuda_grow(stream, n_bytes, &s->scratch, &s->scratch_bytes));
    *out = s->scratch;
    return OK;
}

static unsigned at_least_1(unsigned x) { return x < 1 ? 1 : x; }

int gpu_launch(struct stream *stream, const struct gpu_kernel *kernel, struct gpu_grid grid, int n_threads, size_t shared_bytes, const void *args)
{
    enum { WITHOUT_ASKING = 48 * 1024 };
    ASSERT(n_threads > 0 && n_threads % 32 == 0 && n_threads <= kernel->max_threads);
    cudaLaunchConfig_t config = {.gridDim = {at_least_1(grid.x), at_least_1(grid.y), at_least_1(grid.z)}, .blockDim = {(unsigned)n_threads, 1, 1},
                                 .dynamicSmemBytes = shared_bytes, .stream = cuda_stream_of(stream)->handle};
    void *list[] = {(void *)(uintptr_t)args};
    if (shared_bytes > WITHOUT_ASKING)
        CUDA_CHECK(cudaFuncSetAttribute(kernel->entry, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes), "kernel %s cannot have %zu bytes of shared memory", kernel->name, shared_bytes);
    CUDA_CHECK(cudaLaunchKernelExC(&config, kernel->entry, list), "kernel %s does not start", kernel->name);
    return OK;
}
