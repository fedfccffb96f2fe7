/* launch: kernels and devices of the stand-in of the CUDA runtime. A kernel is run by block.c when its turn in the stream comes. */
#include "tests/emulate/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_DEVICES = 8, MAX_THREADS = 1024, DEFAULT_SHARED = 48 * 1024, MAX_SHARED = 227 * 1024, MAX_ARGS = 4096 };

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
        return runtime_refuse(cudaErrorInvalidDeviceFunction, "cudaFuncSetAttribute: this is no kernel");
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > MAX_SHARED)
        return runtime_refuse(cudaErrorInvalidValue, "cudaFuncSetAttribute: attribute %d of %d", (int)attribute, value);
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
        return runtime_refuse(cudaErrorInvalidConfiguration, "kernel %s: a grid of (%u, %u, %u) blocks", kernel->name, grid.x, grid.y, grid.z);
    if (threads.x < 1 || threads.x > MAX_THREADS || threads.y != 1 || threads.z != 1)
        return runtime_refuse(cudaErrorInvalidConfiguration, "kernel %s: blocks of (%u, %u, %u) threads", kernel->name, threads.x, threads.y, threads.z);
    if (threads.x > (unsigned)kernel->max_threads)
        return runtime_refuse(cudaErrorLaunchOutOfResources, "kernel %s: %u threads, compiled for %d", kernel->name, threads.x, kernel->max_threads);
    if (c->dynamicSmemBytes > (size_t)allowed_shared(kernel))
        return runtime_refuse(cudaErrorInvalidValue, "kernel %s: %zu bytes of dynamic shared memory, %d are allowed", kernel->name, c->dynamicSmemBytes, allowed_shared(kernel));
    return cudaSuccess;
}

/* As it stands in a stream; of args only the kernel's bytes. */
struct packed_launch { struct emulate_launch launch; unsigned char args[MAX_ARGS] __attribute__((aligned(16))); };

static void launch(const void *packed)
{
    const struct packed_launch *p = packed;
    struct emulate_launch whole = p->launch;
    unsigned char args[MAX_ARGS] __attribute__((aligned(128)));
    memcpy(args, p->args, whole.kernel->args_bytes);
    whole.args = args;
    emulate_run(&whole);
}

static int64_t n_launches;

int64_t emulate_n_launches(void) { return n_launches; }

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **args)
{
    MY_TURN;
    KNOWN_STREAM("cudaLaunchKernelExC", config->stream);
    if (!is_kernel(function))
        return runtime_refuse(cudaErrorInvalidDeviceFunction, "cudaLaunchKernelExC: this is no kernel");
    const struct emulate_kernel *kernel = function;
    if (config->numAttrs != 0 || kernel->args_bytes > MAX_ARGS)
        return runtime_refuse(cudaErrorInvalidValue, "kernel %s: launch attributes, or arguments of more than %d bytes", kernel->name, MAX_ARGS);
    cudaError_t error = check_launch(config, kernel);
    if (error != cudaSuccess)
        return error;
    n_launches++;
    struct packed_launch p = {.launch = {kernel, NULL, {config->gridDim.x, config->gridDim.y, config->gridDim.z}, (int)config->blockDim.x, config->dynamicSmemBytes}};
    memcpy(p.args, args[0], kernel->args_bytes);
    emulate_queue(config->stream, launch, &p, offsetof(struct packed_launch, args) + kernel->args_bytes);
    return cudaSuccess;
}

/* ---- devices --------------------------------------------------------------------------------------------------------------------------------- */

/* What CUDA_VISIBLE_DEVICES shows of the machine's GPUs, in its order. As the driver does, it is read once, and what stands behind an entry that is no GPU's number is hidden. */
static struct { bool is_read; int n, number[N_DEVICES]; } visible;

static void read_visible(void)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    char *end;
    visible.is_read = true;
    for (int i = 0; !list && i < N_DEVICES; i++)
        visible.number[visible.n++] = i;
    while (list && visible.n < N_DEVICES) {
        long number = strtol(list, &end, 10);
        if (end == list || number < 0 || number >= N_DEVICES)
            return;
        visible.number[visible.n++] = (int)number;
        list = *end == ',' ? end + 1 : NULL;
    }
}

static int n_visible(void)
{
    if (!visible.is_read)
        read_visible();
    return visible.n;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = n_visible();
    return *count > 0 ? cudaSuccess : runtime_fail(cudaErrorNoDevice);
}

static int current_device;

int emulate_device(void) { return n_visible() > 0 ? visible.number[current_device] : 0; }

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= n_visible())
        return runtime_refuse(cudaErrorInvalidDevice, "cudaSetDevice: %d of %d devices", device, n_visible());
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int n_bytes, int device)
{
    if (device < 0 || device >= n_visible() || n_bytes < 13)
        return runtime_refuse(cudaErrorInvalidValue, "cudaDeviceGetPCIBusId: device %d of %d, %d bytes", device, n_visible(), n_bytes);
    snprintf(out, (size_t)n_bytes, "0000:%02x:00.0", (unsigned)(visible.number[device] + 1));
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device)
{
    if (device < 0 || device >= n_visible())
        return runtime_refuse(cudaErrorInvalidDevice, "cudaGetDeviceProperties: device %d of %d", device, n_visible());
    snprintf(out->name, sizeof out->name, "emulated GPU");
    return cudaSuccess;
}

/* "9.0", an H100's, where CRITIC_RM_EMULATE_CAPABILITY says nothing else. */
static int capability(bool minor)
{
    const char *set = getenv("CRITIC_RM_EMULATE_CAPABILITY"), *said = set && *set ? set : "9.0", *point = strchr(said, '.');
    return minor ? point ? atoi(point + 1) : 0 : atoi(said);
}

/* As many multiprocessors as an H100 has. */
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    if (device < 0 || device >= n_visible())
        return runtime_refuse(cudaErrorInvalidDevice, "cudaDeviceGetAttribute: %d of %d devices", device, n_visible());
    *value = attribute == cudaDevAttrMultiProcessorCount ? 132 : attribute == cudaDevAttrComputeCapabilityMajor ? capability(false) : attribute == cudaDevAttrComputeCapabilityMinor ? capability(true) : 0;
    return cudaSuccess;
}
