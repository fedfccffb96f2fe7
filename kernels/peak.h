/* peak: what a device reaches in a matrix product, the yardstick of utilisation. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include "base/dtype.h"
#include "kernels/device.h"

/* Operations per second of the best of many [1024 x 1024] x [1024 x 1024] products. Takes some 0.4 s and 12 MiB. */
int device_peak(struct device *device, enum dtype dtype, double *flops);

#endif
