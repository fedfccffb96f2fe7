/* host_memory: large buffers are anonymous maps, so that they start as untouched zero pages; small ones come from the heap. */
#include "kernels/host_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/status.h"

/* From this size on memory is mapped; below it is the heap's, where a sanitizer sees an access out of bounds. */
enum { MAP_FROM = 1 << 20, ALIGNMENT = 64, HUGE_FROM = 4 << 20 };

static void *map(size_t n_bytes)
{
    void *at = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    if (n_bytes >= HUGE_FROM)
        madvise(at, n_bytes, MADV_HUGEPAGE);
    return at;
}

static void *take(size_t n_bytes)
{
    void *at = NULL;
    if (posix_memalign(&at, ALIGNMENT, n_bytes ? n_bytes : 1) != 0)
        return NULL;
    return memset(at, 0, n_bytes ? n_bytes : 1);
}

int host_alloc(struct device *device, size_t n_bytes, void **out)
{
    (void)device;
    void *at = n_bytes >= MAP_FROM ? map(n_bytes) : take(n_bytes);
    CHECK(at, "cannot allocate %.2f GiB of memory: use more ranks, smaller micro-batches or device.recompute: layer", (double)n_bytes / 0x1p30);
    *out = at;
    return OK;
}

void host_release(struct device *device, void *memory, size_t n_bytes)
{
    (void)device;
    if (n_bytes >= MAP_FROM)
        munmap(memory, n_bytes);
    else
        free(memory);
}

int host_reserve(struct device *device, size_t n_bytes)
{
    (void)device, (void)n_bytes;
    return OK;
}

size_t host_left(struct device *device)
{
    (void)device;
    return 0;
}

int host_copy(struct stream *stream, void *to, const void *from, size_t n_bytes, enum device_copy kind)
{
    (void)stream, (void)kind;
    if (to != from && n_bytes > 0)
        memmove(to, from, n_bytes);
    return OK;
}

int host_zero(struct stream *stream, void *memory, size_t n_bytes)
{
    (void)stream;
    if (n_bytes > 0)
        memset(memory, 0, n_bytes);
    return OK;
}

int host_synchronize(struct stream *stream)
{
    (void)stream;
    return OK;
}

int host_event_record(struct event *event, struct stream *stream)
{
    (void)event, (void)stream;
    return OK;
}

int host_event_wait(struct event *event, struct stream *stream)
{
    (void)event, (void)stream;
    return OK;
}

int host_stream_open(struct device *device, struct stream *out)
{
    *out = (struct stream){.device = device};
    return OK;
}
