/* cuda: what the host files of the CUDA backend share. C11; the runtime is the toolkit's or, in tests, the stand-in of tests/emulate.
 *
 * A stream owns what its calls need for a while: pinned memory that host arrays pass through on their way to the device and back, and device memory for host arrays of an
 * operation and partial results. Both are used again in stream order, so an operation takes scratch once, at its start, and nobody else's is in the way. The plan of attention stays
 * longer, in memory of its own (attention_plan_cuda.h).
 */
#ifndef KERNELS_CUDA_CUDA_H
#define KERNELS_CUDA_CUDA_H

#include <cuda_runtime.h>

#include "kernels/cuda/launch.h"
#include "kernels/kernels.h"

/* Host memory is copied through a ring of segments: a segment is filled again when the event behind its copies is done. */
enum { STAGING_SEGMENTS = 4, STAGING_BYTES = 1 << 20, RETURN_BYTES = 64 << 10, MAX_RETURNS = 64 };

struct cuda_return { void *to; const void *from; size_t n_bytes; };      /* a small copy to the host that synchronize brings to its end */

struct cuda_stream {
    cudaStream_t handle;                /* first: device.h */
    unsigned char *staging;             /* pinned; [STAGING_SEGMENTS][STAGING_BYTES], made when first used, as all that follows */
    cudaEvent_t staged[STAGING_SEGMENTS];
    int segment;
    size_t segment_used;
    unsigned char *returned;            /* pinned; [RETURN_BYTES] */
    size_t returned_used;
    struct cuda_return returns[MAX_RETURNS];
    int n_returns;
    void *scratch;                      /* device memory */
    size_t scratch_bytes;
    void *workspace;                    /* of matrix products (gemm.c): device memory that is counted in bytes_in_use */
    struct cuda_attention_plan *attention;      /* kept between calls (attention_plan_cuda.h) */
    struct cuda_stream *next;
};

struct cuda_event { cudaEvent_t handle; struct cuda_event *next; };

/* Reserved memory: `used` bytes of it are given out, in n_live allocations that live. */
struct cuda_arena { char *at; size_t n_bytes, used; int64_t n_live; };

struct cuda_gemm;

struct cuda {
    struct kernels kernels;
    int ordinal;
    bool batch_invariant;
    struct cuda_gemm *gemm;
    struct cuda_arena arena;
    void *encode_tensor_map;            /* the driver's function where Hopper's kernels work, else NULL: attention_sm90.c */
    struct cuda_stream *streams;        /* all of the device's */
    struct cuda_event *events;
    bool recording;                     /* between graph_begin and graph_end */
    int64_t n_replaced;                 /* how often working memory was allocated, or given back for more: graphs made before name what is gone */
};

static inline struct cuda *cuda_of(const struct device *device) { return device->state; }
static inline struct cuda_stream *cuda_stream_of(const struct stream *stream) { return stream->handle; }

/* A call of the runtime that failed becomes a sentence: what was done, and the runtime's words. `what` is for people: "cannot copy to the device". */
#define CUDA_CHECK(call, ...) do { cudaError_t error_ = (call); if (error_ != cudaSuccess) return cuda_failed(__FILE__, __LINE__, error_, __VA_ARGS__); } while (0)
int cuda_failed(const char *file, int line, cudaError_t error, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* device_cuda.c: zeroed memory of its own, not of what is reserved; cudaFree gives it back. Fails with what there is. */
int cuda_take(struct device *device, size_t n_bytes, void **out);

/* stream_cuda.c. Streams beside the device's first one; the device owns them. */
int cuda_stream_open(struct device *device, struct stream *out);
void cuda_streams_close(struct cuda *cuda);
int cuda_copy(struct stream *stream, void *to, const void *from, size_t n_bytes, enum device_copy kind);
int cuda_zero(struct stream *stream, void *memory, size_t n_bytes);
int cuda_synchronize(struct stream *stream);
/* An event starts with handle NULL and gets one when it is first recorded; one never recorded is not waited for. */
int cuda_event_record(struct event *event, struct stream *stream);
int cuda_event_wait(struct event *event, struct stream *stream);
/* At least n_bytes of device memory, on 256 bytes, until the next call for the same stream. */
int cuda_scratch(struct stream *stream, size_t n_bytes, void **out);
/* *memory becomes at least n_bytes of device memory; where it must grow the stream is waited for, and what stood there is lost. */
int cuda_grow(struct stream *stream, size_t n_bytes, void **memory, size_t *memory_bytes);

/* graph_cuda.c */
int cuda_graph_begin(struct stream *stream);
int cuda_graph_end(struct stream *stream, struct graph *out);
int cuda_graph_run(struct graph *graph, struct stream *stream, bool *ran);
void cuda_graph_free(struct graph *graph);

/* gemm.c: what matrix products need. The device's first stream has its workspace from the start, another from its first product on. */
int cuda_gemm_open(struct device *device);
void cuda_gemm_close(struct cuda *cuda);
int cuda_gemm_workspace(struct stream *stream);

/* The wrappers: operations of kernels.h. */
void cuda_gemm_table(struct kernels *table);
void cuda_elementwise_table(struct kernels *table);
void cuda_rows_table(struct kernels *table);
void cuda_norm_table(struct kernels *table);
void cuda_loss_table(struct kernels *table);
void cuda_sample_table(struct kernels *table);
void cuda_attention_table(struct kernels *table);

/* Blocks of `each` elements that n make, at least 1 and at most `most`. */
static inline unsigned cuda_blocks(int64_t n, int64_t each, int64_t most)
{
    int64_t blocks = (n + each - 1) / each;
    return (unsigned)(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

#endif
