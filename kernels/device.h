/* device: memory, streams and events of one device, and its table of operations.
 *
 * Calls that take a stream are asynchronous: they are done, and host memory they wrote may be read, after stream_synchronize. The CPU backend
 * runs them before returning. A device owns its streams and events; memory is owned by whoever allocated it. One host thread uses a device.
 */
#ifndef KERNELS_DEVICE_H
#define KERNELS_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;
struct kernels;

/* An ordered queue of work. The CPU backend has one that is always empty. */
struct stream { struct device *device; void *handle; };
struct event { struct device *device; void *handle; };

enum device_copy { HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE };

struct device_ops {
    int (*alloc)(struct device *device, size_t n_bytes, void **out);          /* 64-byte aligned, zeroed; fails with the size in words */
    void (*release)(struct device *device, void *memory, size_t n_bytes);
    int (*copy)(struct stream *stream, void *to, const void *from, size_t n_bytes, enum device_copy kind);
    int (*zero)(struct stream *stream, void *memory, size_t n_bytes);
    int (*synchronize)(struct stream *stream);
    int (*event_record)(struct event *event, struct stream *stream);
    int (*event_wait)(struct event *event, struct stream *stream);            /* later work of stream waits for event */
    void (*destroy)(struct device *device);
};

struct device {
    const struct device_ops *ops;
    const struct kernels *kernels;
    struct stream stream;       /* compute */
    int n_threads;              /* CPU: threads of the pool, the caller included */
    size_t bytes_in_use;        /* sum of live allocations */
    void *state;                /* the backend's own */
};

struct device_options {
    int n_threads;              /* 0: one per core this process may run on */
    const char *isa;            /* CPU: "auto", "amx" (AVX-512 and matrix registers), "avx512", "avx2", "scalar": the highest instruction set to use; "auto" is what CRITIC_RM_ISA says, or the best there is */
    int ordinal;                /* CUDA: which of the GPUs that this process sees */
    bool batch_invariant;       /* a row of a matrix product is the same bits whatever the number of rows, and so is every row of every other operation */
};

/* The reference backend: plain C, one thread. */
int device_ref_create(struct device **out);
/* The CPU backend. One per process (it owns the thread pool). Fails when `isa` is not one of these or this processor lacks it. */
int device_cpu_create(const struct device_options *options, struct device **out);
/* The CUDA backend, from its module (cuda_module.h). Fails when the module, a library it needs, the driver or the GPU is missing. */
int device_cuda_create(const struct device_options *options, struct device **out);
void device_destroy(struct device **device);

int device_alloc(struct device *device, size_t n_bytes, void **out);
void device_free(struct device *device, void **memory, size_t n_bytes);

#endif
