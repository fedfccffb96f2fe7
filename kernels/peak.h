/* peak: what a device reaches in a matrix product, the yardstick of utilisation. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include "base/dtype.h"
#include "kernels/device.h"

/* Operations per second of the best of a few [1024 x 1024] x [1024 x 1024] products. Takes some 0.1 s and 16 MiB. */
int device_peak(struct device *device, enum dtype dtype, double *flops);

#endif
