/* peak: what a device reaches in a matrix product, the yardstick of utilisation. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include "base/dtype.h"
#include "kernels/device.h"

/* Operations per second of the best of many square products: of side 1024, and where one takes less than half a millisecond of up to 8192. Takes some 0.4 s a side, and 12 MiB (768 MiB). */
int device_peak(struct device *device, enum dtype dtype, double *flops);

#endif
