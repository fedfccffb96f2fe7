/* host_memory: device_ops of a backend that computes in host memory, shared by ref and cpu. Everything is done when the call returns. */
#ifndef KERNELS_HOST_MEMORY_H
#define KERNELS_HOST_MEMORY_H

#include "kernels/device.h"

int host_alloc(struct device *device, size_t n_bytes, void **out);
void host_release(struct device *device, void *memory, size_t n_bytes);
int host_reserve(struct device *device, size_t n_bytes);
size_t host_left(struct device *device);
int host_copy(struct stream *stream, void *to, const void *from, size_t n_bytes, enum device_copy kind);
int host_zero(struct stream *stream, void *memory, size_t n_bytes);
int host_synchronize(struct stream *stream);
int host_event_record(struct event *event, struct stream *stream);
int host_event_wait(struct event *event, struct stream *stream);
int host_stream_open(struct device *device, struct stream *out);

#endif
