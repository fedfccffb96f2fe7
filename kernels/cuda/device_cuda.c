/* device_cuda: the CUDA backend's device and its table. The module's doors are cuda_module_create and cuda_module_look; cuda_module.c finds them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "kernels/cuda/attention_sm90.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda_module.h"

int cuda_failed(const char *file, int line, cudaError_t error, const char *fmt, ...)
{
    char what[512];
    va_list list;
    va_start(list, fmt);
    vsnprintf(what, sizeof what, fmt, list);
    va_end(list);
    cudaGetLastError();                 /* this error is told; it is not the next call's */
    return fail_at(file, line, FAILED, "%s: CUDA says '%s' (%d)", what, cudaGetErrorString(error), (int)error), FAILED;
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------------------------- */

static int too_little(const struct device *device, size_t n_bytes)
{
    size_t n_free = 0, n_total = 0;
    char held[48] = "";
    CUDA_CHECK(cudaMemGetInfo(&n_free, &n_total), "cannot ask the GPU for its memory");
    if (device->comm_bytes > 0)
        snprintf(held, sizeof held, ", NCCL holds %.2f", (double)device->comm_bytes / 0x1p30);
    return FAIL("cannot allocate %.2f GiB on GPU %d: %.2f of its %.2f GiB are free%s; use more ranks; in training smaller micro-batches or device.recompute: layer, else less generate.kv_memory_mb or "
                "generate.batch_tokens", (double)n_bytes / 0x1p30, cuda_of(device)->ordinal, (double)n_free / 0x1p30, (double)n_total / 0x1p30, held);
}

int cuda_take(struct device *device, size_t n_bytes, void **out)
{
    void *at = NULL;
    cudaError_t error = cudaMalloc(&at, n_bytes);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return too_little(device, n_bytes);
    }
    CUDA_CHECK(error, "cannot allocate %zu bytes on GPU %d", n_bytes, cuda_of(device)->ordinal);
    int status = cuda_zero(&device->stream, at, n_bytes);
    if (status == OK)
        status = cuda_synchronize(&device->stream);         /* zero for every stream */
    if (status == OK)
        *out = at;
    else
        cudaFree(at);
    return status;
}

static int cuda_reserve(struct device *device, size_t n_bytes)
{
    struct cuda_arena *arena = &cuda_of(device)->arena;
    void *at = NULL;
    if (arena->n_live > 0 || n_bytes == 0)
        return OK;
    cudaFree(arena->at);                /* of a reservation that nothing came of */
    *arena = (struct cuda_arena){NULL, 0, 0, 0};
    TRY(cuda_take(device, n_bytes, &at));
    *arena = (struct cuda_arena){.at = at, .n_bytes = n_bytes};
    return OK;
}

static size_t cuda_left(struct device *device)
{
    size_t n_free = 0, n_total = 0;
    (void)device;
    return cudaMemGetInfo(&n_free, &n_total) == cudaSuccess ? n_free : 0;
}

/* What was given out is not given out again: it is zero. */
static int cuda_alloc(struct device *device, size_t n_bytes, void **out)
{
    struct cuda_arena *arena = &cuda_of(device)->arena;
    size_t room = device_room(n_bytes ? n_bytes : 1);
    if (!arena->at || room > arena->n_bytes - arena->used)
        return cuda_take(device, n_bytes ? n_bytes : 1, out);
    *out = arena->at + arena->used;
    arena->used += room;
    arena->n_live++;
    return OK;
}

static void cuda_release(struct device *device, void *memory, size_t n_bytes)
{
    struct cuda_arena *arena = &cuda_of(device)->arena;
    (void)n_bytes;
    if (!arena->at || (char *)memory < arena->at || (char *)memory >= arena->at + arena->n_bytes) {
        cudaFree(memory);
    } else if (--arena->n_live == 0) {
        cudaFree(arena->at);
        *arena = (struct cuda_arena){NULL, 0, 0, 0};
    }
}

/* ---- device ---------------------------------------------------------------------------------------------------------------------------------- */

static void cuda_destroy(struct device *device)
{
    cuda_streams_close(cuda_of(device));
    cuda_gemm_close(cuda_of(device));
    cudaFree(cuda_of(device)->arena.at);
    free(device->state);
    free(device);
}

static const struct device_ops cuda_ops = {cuda_alloc, cuda_release, cuda_reserve, cuda_left, cuda_copy, cuda_zero, cuda_synchronize, cuda_event_record, cuda_event_wait, cuda_stream_open,
                                           cuda_graph_begin, cuda_graph_end, cuda_graph_run, cuda_graph_free, cuda_destroy};

static void fill_table(struct kernels *table)
{
    cuda_gemm_table(table);
    cuda_elementwise_table(table);
    cuda_rows_table(table);
    cuda_norm_table(table);
    cuda_loss_table(table);
    cuda_sample_table(table);
    cuda_attention_table(table);
}

/* The first call that needs the driver. */
static int count_gpus(int *n_gpus)
{
    cudaError_t error = cudaGetDeviceCount(n_gpus);
    CHECK(error != cudaErrorInsufficientDriver, "no CUDA driver, or one older than the CUDA runtime of this build: install or update the NVIDIA driver, or use device.kind: cpu");
    CHECK(error != cudaErrorNoDevice, "no GPU is visible to this process: see nvidia-smi and CUDA_VISIBLE_DEVICES, or use device.kind: cpu");
    CUDA_CHECK(error, "cannot count the GPUs");
    return OK;
}

static int choose_gpu(int ordinal, struct cudaDeviceProp *out)
{
    int n_devices = 0, major = 0, minor = 0;
    TRY(count_gpus(&n_devices));
    CHECK(ordinal >= 0 && ordinal < n_devices, "GPU %d is asked for, and this process sees %d", ordinal, n_devices);
    CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal), "cannot ask GPU %d what it is", ordinal);
    CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal), "cannot ask GPU %d what it is", ordinal);
    CHECK(major >= 8, "GPU %d has compute capability %d.%d: 8.0 is the least", ordinal, major, minor);
    CUDA_CHECK(cudaSetDevice(ordinal), "cannot use GPU %d", ordinal);
    CUDA_CHECK(cudaGetDeviceProperties(out, ordinal), "cannot ask GPU %d what it is", ordinal);
    return OK;
}

/* By their places on the bus: what number a GPU has depends on which ones are hidden. */
int cuda_module_look(int *n_gpus, uint64_t *gpus)
{
    char place[32];
    *gpus = 0;
    TRY(count_gpus(n_gpus));
    for (int i = 0; i < *n_gpus; i++) {
        CUDA_CHECK(cudaDeviceGetPCIBusId(place, (int)sizeof place, i), "cannot ask GPU %d where it is", i);
        *gpus = hash_bytes(place, strnlen(place, sizeof place), *gpus);
    }
    return OK;
}

int cuda_module_create(const struct device_options *options, struct device **out)
{
    struct cudaDeviceProp properties;
    TRY(choose_gpu(options->ordinal, &properties));
    struct device *device = calloc(1, sizeof *device);
    struct cuda *cuda = calloc(1, sizeof *cuda);
    if (!device || !cuda) {
        free(device), free(cuda);
        return FAIL("out of memory for the device");
    }
    cuda->ordinal = options->ordinal;
    cuda->batch_invariant = options->batch_invariant;
    *device = (struct device){.ops = &cuda_ops, .kernels = &cuda->kernels, .n_threads = 1, .batch_invariant = options->batch_invariant, .connect = cuda_module_connect, .state = cuda};
    snprintf(device->name, sizeof device->name, "%.60s", properties.name);
    fill_table(&cuda->kernels);
    int status = cuda_stream_open(device, &device->stream);
    if (status == OK)
        status = cuda_gemm_open(device);
    if (status == OK)
        status = attention_sm90_open(cuda);
    if (status != OK) {
        cuda_destroy(device);
        return status;
    }
    *out = device;
    return OK;
}
