/* prepare: see prepare.h. */
#include "comm/prepare.h"

#include "comm/agree.h"
#include "comm/watchdog.h"

enum { STEP = 4 };          /* from one count to the next: an algorithm is the best one for a wider range of sizes */

static size_t scratch_bytes(const struct comm *comm, const struct comm_use *use)
{
    int64_t parts = use->kind == COMM_ALL_REDUCE || use->kind == COMM_BROADCAST ? 1 : use->kind == COMM_ALL_TO_ALL ? 2 * comm->size : comm->size;
    return (size_t)(parts * use->count) * comm_type_bytes(use->type);
}

/* In place, but for all_to_all. */
static int call(struct comm *comm, const struct comm_use *use, int64_t count, char *scratch, struct stream *stream)
{
    size_t part = (size_t)count * comm_type_bytes(use->type);
    char *own = scratch + (size_t)comm->rank * part;
    switch (use->kind) {
    case COMM_ALL_REDUCE: return all_reduce(comm, scratch, count, use->type, use->op, stream);
    case COMM_REDUCE_SCATTER: return reduce_scatter(comm, scratch, own, count, use->type, use->op, stream);
    case COMM_ALL_GATHER: return all_gather(comm, own, scratch, count, use->type, stream);
    case COMM_ALL_TO_ALL: return all_to_all(comm, scratch, scratch + (size_t)comm->size * part, count, use->type, stream);
    case COMM_BROADCAST: break;
    }
    return broadcast(comm, scratch, count, use->type, 0, stream);
}

static int call_all(struct comm *comm, struct device *device, const struct comm_use *use, int n_uses, char *scratch)
{
    for (int i = 0; i < n_uses; i++)
        for (int64_t count = use[i].count; count > 0; count = count > 1 ? (count + STEP - 1) / STEP : 0)
            TRY(call(comm, &use[i], count, scratch, &device->stream));
    return device->ops->synchronize(&device->stream);
}

int prepare_comm(struct comm *comm, struct device *device, const struct comm_use *use, int n_uses)
{
    size_t n_bytes = 0;
    void *scratch = NULL;
    if (!device->connect || comm->size == 1)
        return OK;
    watchdog_phase("connect", WATCHDOG_COMPUTE);
    for (int i = 0; i < n_uses; i++)
        n_bytes = scratch_bytes(comm, &use[i]) > n_bytes ? scratch_bytes(comm, &use[i]) : n_bytes;
    int status = agree_status(comm, device->ops->alloc(device, n_bytes, &scratch));
    if (status == OK)
        status = call_all(comm, device, use, n_uses, scratch);
    if (scratch)
        device->ops->release(device, scratch, n_bytes);
    return status;
}

void prepare_count(struct device *device, size_t left)
{
    size_t now = device->ops->left(device);
    device->comm_bytes += left > now ? left - now : 0;
}
