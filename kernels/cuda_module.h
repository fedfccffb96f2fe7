/* cuda_module: the CUDA backend is a shared object that is opened at run time, so that one program serves machines with and without GPU libraries.
 *
 * critic-rm-cuda.so is looked for at $CRITIC_RM_CUDA_MODULE, beside the program, and in the install folder's lib/critic-rm. It takes what it needs of base/ from the program.
 */
#ifndef KERNELS_CUDA_MODULE_H
#define KERNELS_CUDA_MODULE_H

#include "kernels/device.h"

/* The one function that the module exports. */
__attribute__((visibility("default"))) int cuda_module_create(const struct device_options *options, struct device **out);
typedef int cuda_module_create_fn(const struct device_options *options, struct device **out);

#endif
