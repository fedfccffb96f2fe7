/* local_device: see the header. */
#include "comm/local_device.h"

#include <stdlib.h>

#include "comm/host.h"

static bool is_alike(const struct device_sight *a, const struct device_sight *b) { return a->host == b->host && a->n_devices == b->n_devices && a->devices == b->devices; }

int local_device_of(const struct device_sight *sight, int rank, bool shared, int *ordinal)
{
    const struct device_sight *mine = &sight[rank];
    int place = 0;
    for (int i = 0; i < rank; i++)
        place += is_alike(&sight[i], mine);
    CHECK_USAGE(mine->n_devices > 0, "rank %d sees no GPU: see nvidia-smi and CUDA_VISIBLE_DEVICES, or use device.kind: cpu", rank);
    CHECK_USAGE(place < mine->n_devices || shared,
                "rank %d is number %d of the ranks to which host %d shows the same %d GPUs: start at most as many ranks on a host as it has GPUs (to share one in a test, set "
                "NCCL_HOSTID to another value for each rank)", rank, place + 1, mine->host, mine->n_devices);
    *ordinal = place % mine->n_devices;
    return OK;
}

int local_device(struct comm *world, int n_devices, uint64_t devices, int *ordinal)
{
    int status = OK;
    struct host_place host;
    const char *id = getenv("NCCL_HOSTID");
    struct device_sight *all = calloc((size_t)world->size, sizeof *all);
    CHECK(all, "out of memory for what %d ranks see", world->size);
    TRY_DONE(comm_host(world, &host));
    struct device_sight mine = {host.host, n_devices, devices};
    TRY_DONE(all_gather(world, &mine, all, (int64_t)sizeof mine, COMM_U8, NULL));
    TRY_DONE(local_device_of(all, world->rank, id && *id, ordinal));
done:
    free(all);
    return status;
}
