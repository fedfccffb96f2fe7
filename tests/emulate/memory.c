/* memory: device and pinned memory of the stand-in of the CUDA runtime, and copies.
 *
 * Device memory is one range of addresses that is closed (PROT_NONE) but while operations run: host code that touches it dies. No address is given out twice. Under
 * AddressSanitizer what lies between and behind allocations, and freed memory, is poisoned; without it only the range is guarded.
 */
#include "tests/emulate/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, n_bytes) ((void)(at), (void)(n_bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, n_bytes) ((void)(at), (void)(n_bytes))
#endif

enum { ALIGNMENT = 256 };
static const size_t range_bytes = (size_t)1 << 40, device_bytes = (size_t)8 << 30;

struct allocation { char *at; size_t n_bytes; bool pinned; struct allocation *next; };

static struct { struct allocation *first; char *range; size_t used, in_use; int64_t taken, n_allocations, n_uploads; bool open; } memory;

int64_t emulate_n_allocations(void) { return memory.n_allocations; }

static size_t up(size_t n_bytes, size_t to) { return (n_bytes + to - 1) / to * to; }

void runtime_protect(int how)
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

int64_t emulate_n_uploads(void) { return memory.n_uploads; }

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
    NO_CAPTURE("cudaMalloc");
    reserve();
    *out = NULL;
    if (n_bytes == 0)
        return cudaSuccess;
    size_t whole = ALIGNMENT + up(n_bytes, ALIGNMENT);
    if (n_bytes > device_bytes - memory.in_use)
        return runtime_fail(cudaErrorMemoryAllocation);
    if (whole > range_bytes - memory.used - ALIGNMENT)
        emulate_stop("all addresses of device memory have been given out");
    char *gap = memory.range + memory.used;
    memory.used += whole;
    runtime_protect(PROT_READ | PROT_WRITE);
    ASAN_POISON_MEMORY_REGION(gap, whole);
    ASAN_UNPOISON_MEMORY_REGION(gap + ALIGNMENT, n_bytes);
    memset(gap + ALIGNMENT, 0xff, n_bytes);         /* not zero: NaN of either type */
    runtime_protect(PROT_NONE);
    memory.in_use += n_bytes;
    memory.n_allocations++;
    keep(gap + ALIGNMENT, n_bytes, false);
    *out = gap + ALIGNMENT;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t n_bytes)
{
    MY_TURN;
    if (posix_memalign(out, ALIGNMENT, n_bytes ? n_bytes : 1) != 0)
        return runtime_fail(cudaErrorMemoryAllocation);
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

bool emulate_take(int64_t n_bytes)
{
    MY_TURN;
    if (n_bytes > (int64_t)(device_bytes - memory.in_use))
        return false;
    memory.in_use += (size_t)n_bytes;
    memory.taken += n_bytes;
    return true;
}

int64_t emulate_taken(void) { return memory.taken; }

cudaError_t cudaFree(void *at)
{
    MY_TURN;
    NO_CAPTURE("cudaFree");
    size_t n_bytes = 0;
    if (!at)
        return cudaSuccess;
    runtime_run_all();                                      /* as the real one does */
    if (!forget(at, false, &n_bytes))
        return runtime_refuse(cudaErrorInvalidValue, "cudaFree: %p is not the start of an allocation", at);
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
    runtime_run_all();
    if (!forget(at, true, &n_bytes))
        return runtime_refuse(cudaErrorInvalidValue, "cudaFreeHost: %p was not allocated by cudaMallocHost", at);
    free(at);
    return cudaSuccess;
}

/* ---- copies ---------------------------------------------------------------------------------------------------------------------------------- */

struct transfer { void *to; const void *from; size_t n_bytes; int value; };

static void copy(const void *args)
{
    const struct transfer *t = args;
    memcpy(t->to, t->from, t->n_bytes);
}

static void set(const void *args)
{
    const struct transfer *t = args;
    memset(t->to, t->value, t->n_bytes);
}

/* One end of a copy: is it what `kind` says, and whole within an allocation? */
static cudaError_t check_end(const void *at, size_t n_bytes, bool device, const char *what)
{
    if (is_device(at) != device)
        return runtime_refuse(cudaErrorInvalidValue, "cudaMemcpyAsync: %s %p is %s memory, the direction says the other", what, at, device ? "host" : "device");
    if (device && !find(at, n_bytes))
        return runtime_refuse(cudaErrorInvalidValue, "cudaMemcpyAsync: %s: %zu bytes at %p do not lie in one allocation", what, n_bytes, at);
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
        return runtime_refuse(cudaErrorInvalidMemcpyDirection, "cudaMemcpyAsync: direction %d is not known here", (int)kind);
    cudaError_t error = check_end(to, n_bytes, kind != cudaMemcpyDeviceToHost, "target");
    if (error == cudaSuccess)
        error = check_end(from, n_bytes, kind != cudaMemcpyHostToDevice, "source");
    if (error != cudaSuccess)
        return error;
    if (kind != cudaMemcpyDeviceToDevice)           /* it would be read or written at each run: not known here */
        NO_CAPTURE("cudaMemcpyAsync of host memory");
    if (kind == cudaMemcpyDeviceToDevice && overlap(to, from, n_bytes))
        return runtime_refuse(cudaErrorInvalidValue, "cudaMemcpyAsync: %zu bytes from %p to %p overlap", n_bytes, from, to);
    memory.n_uploads += kind == cudaMemcpyHostToDevice;
    emulate_queue(stream, copy, &(struct transfer){.to = to, .from = from, .n_bytes = n_bytes}, sizeof(struct transfer));
    if (kind != cudaMemcpyDeviceToDevice && !find(kind == cudaMemcpyHostToDevice ? from : to, n_bytes)) {
        runtime_count_wait();
        runtime_finish(stream);
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
        return runtime_refuse(cudaErrorInvalidValue, "cudaMemsetAsync: %zu bytes at %p do not lie in one allocation of device memory", n_bytes, at);
    emulate_queue(stream, set, &(struct transfer){.to = at, .value = value, .n_bytes = n_bytes}, sizeof(struct transfer));
    return cudaSuccess;
}
