/* open_device: the device of this rank, as the config names it. */
#ifndef LAUNCH_OPEN_DEVICE_H
#define LAUNCH_OPEN_DEVICE_H

#include "kernels/device.h"
#include "launch/command.h"

/* cpu: with device.threads 0, the host's cores divided by its ranks. cuda: the GPU that is this rank's on its host (comm/local_device.h). A failure of one rank is every rank's.
 * Collective over the world. */
int open_device(const struct command *command, bool batch_invariant, struct device **out);
/* To the log, where communicators hold memory of GPUs: how much on the rank where it is most. Collective over the world. */
int comm_memory_print(struct comm *world, const struct device *device);

#endif
