/* local_device: which of the GPUs that it sees a rank takes. Ranks of a host that see the same GPUs take them in turn; a batch system may as well have shown every rank GPUs of
 * its own, of which each then takes its first. */
#ifndef COMM_LOCAL_DEVICE_H
#define COMM_LOCAL_DEVICE_H

#include "comm/comm.h"

/* What a rank sees: the number of its host (host.h), of its GPUs, and a hash of which GPUs they are. */
struct device_sight { int host, n_devices; uint64_t devices; };

/* Of the sights of all ranks: rank's place among the GPUs it sees, 0 for the first. Status USAGE, with the numbers, when more ranks see the same GPUs than there are; with
 * `shared` they take them in turn again. */
int local_device_of(const struct device_sight *sight, int rank, bool shared, int *ordinal);

/* The same for this rank. Collective over the world. Ranks share a GPU only where NCCL_HOSTID is set, to another value for each of them: NCCL takes two ranks on one GPU of one
 * host for a mistake, and this makes them ranks of several hosts. For tests: they also share its memory and time. */
int local_device(struct comm *world, int n_devices, uint64_t devices, int *ordinal);

#endif
