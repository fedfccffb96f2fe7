/* device: allocation with accounting. */
#include "kernels/device.h"

#include "base/status.h"

int device_alloc(struct device *device, size_t n_bytes, void **out)
{
    TRY(device->ops->alloc(device, n_bytes, out));
    device->bytes_in_use += n_bytes;
    return OK;
}

int device_reserve(struct device *device, size_t n_bytes) { return device->ops->reserve(device, n_bytes); }

void device_free(struct device *device, void **memory, size_t n_bytes)
{
    if (!*memory)
        return;
    device->ops->release(device, *memory, n_bytes);
    device->bytes_in_use -= n_bytes;
    *memory = NULL;
}

void device_destroy(struct device **device)
{
    if (*device)
        (*device)->ops->destroy(*device);
    *device = NULL;
}
