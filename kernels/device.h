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
struct comm;

/* An ordered queue of work. On the CPU it is always empty. On CUDA a handle points to a struct that begins with the cudaStream_t (cudaEvent_t): comm knows no more of it. */
struct stream { struct device *device; void *handle; };
struct event { struct device *device; void *handle; };

/* Recorded work. Starts with handle NULL. */
struct graph { struct device *device; void *handle; };

enum device_copy { HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE };

struct device_ops {
    int (*alloc)(struct device *device, size_t n_bytes, void **out);          /* 64-byte aligned, zeroed; fails with the size in words */
    void (*release)(struct device *device, void *memory, size_t n_bytes);
    int (*reserve)(struct device *device, size_t n_bytes);                    /* see device_reserve; on the CPU nothing: pages come when they are touched */
    size_t (*left)(struct device *device);                                    /* bytes of its memory that nobody has taken; 0: its memory is the host's */
    int (*copy)(struct stream *stream, void *to, const void *from, size_t n_bytes, enum device_copy kind);
    int (*zero)(struct stream *stream, void *memory, size_t n_bytes);
    int (*synchronize)(struct stream *stream);
    int (*event_record)(struct event *event, struct stream *stream);
    int (*event_wait)(struct event *event, struct stream *stream);            /* later work of stream waits for event */
    int (*stream_open)(struct device *device, struct stream *out);            /* one beside the device's own, for work that may run at the same time */
    /* NULL where a call costs nothing worth saving (the CPU). Between begin and end what is queued on stream is recorded, and not done; nothing is copied to or from the host, allocated or
     * waited for meanwhile, and no other stream comes in. run queues it all, with the memory and numbers of the recording; *ran false, and nothing queued: memory of the device's own that
     * was named has been replaced since, or nothing was recorded. end frees what out held; it is called after a failure in between too. */
    int (*graph_begin)(struct stream *stream);
    int (*graph_end)(struct stream *stream, struct graph *out);
    int (*graph_run)(struct graph *graph, struct stream *stream, bool *ran);
    void (*graph_free)(struct graph *graph);
    void (*destroy)(struct device *device);
};

/* What the host does while it waits for a device, so that it does not wait for ever on work that other ranks take part in. */
struct device_watch {
    int (*waiting)(void *state);        /* again and again; a failure ends the wait */
    void (*waited)(void *state);        /* once, when it is over */
    void *state;
};

struct device {
    const struct device_ops *ops;
    const struct kernels *kernels;
    struct stream stream;       /* compute */
    int n_threads;              /* CPU: threads of the pool, the caller included; else 1 */
    bool batch_invariant;       /* as it was asked for */
    char name[64];              /* for people: "2 threads", "NVIDIA H100 80GB HBM3" */
    size_t bytes_in_use;        /* sum of live allocations */
    size_t comm_bytes;          /* what connected communicators hold beside them (comm/prepare.h) */
    /* Of the ranks of `host`, which moves host memory, the communicator that moves this device's memory too and owns host. Collective. NULL: both memories are one. */
    int (*connect)(struct device *device, struct comm *host, struct comm **out);
    struct device_watch watch;  /* set by connect; else empty, and the host just waits */
    uint64_t n_plans;           /* numbers of attention plans that were given away (kernels.h, attention_args) */
    void *state;                /* the backend's own */
};

/* What `later` is given from now on waits for what `earlier` has been given so far; event is recorded for it. */
static inline int stream_order(struct stream *earlier, struct stream *later, struct event *event)
{
    const struct device_ops *ops = earlier->device->ops;
    if (earlier->handle == later->handle)
        return 0;
    int status = ops->event_record(event, earlier);
    return status ? status : ops->event_wait(event, later);
}

/* A number for an attention plan, above 0: no other plan on this device has it. */
static inline uint64_t device_plan_number(struct device *device) { return ++device->n_plans; }

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
/* The GPUs that this process sees (CUDA_VISIBLE_DEVICES or a batch system may hide some): their number, and a hash of which they are. Fails like device_cuda_create. */
int device_cuda_look(int *n_gpus, uint64_t *gpus);
/* `connect` of the CUDA backend: in its module, by comm/nccl.c. */
int cuda_module_connect(struct device *device, struct comm *host, struct comm **out);
void device_destroy(struct device **device);

int device_alloc(struct device *device, size_t n_bytes, void **out);
void device_free(struct device *device, void **memory, size_t n_bytes);

/* A GPU's memory is planned before it is taken: whoever knows the sum of what will be allocated, device_room of each, reserves it in one piece, or fails with what there is. Later
 * allocations are cut from it while they fit. It is given back with the last of them; a second reservation before that is the device's own to place. */
int device_reserve(struct device *device, size_t n_bytes);
static inline size_t device_room(size_t n_bytes) { return (n_bytes + 255) & ~(size_t)255; }

#endif
