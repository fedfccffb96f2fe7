/* open_device: the device of this rank, as the config names it. */
#ifndef LAUNCH_OPEN_DEVICE_H
#define LAUNCH_OPEN_DEVICE_H

#include "kernels/device.h"
#include "launch/command.h"

/* device.threads 0: the host's cores divided by its ranks. Collective over the world. */
int open_device(const struct command *command, bool batch_invariant, struct device **out);

#endif
