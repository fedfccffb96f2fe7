/* open_device: see open_device.h. */
#include "launch/open_device.h"

#include <sched.h>

#include "base/log.h"
#include "comm/agree.h"
#include "comm/host.h"
#include "comm/local_device.h"

static int cores_here(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static int open_cpu(const struct command *command, struct device_options *options, struct device **out)
{
    static const char *const isa[] = {"auto", "amx", "avx512", "avx2", "scalar"};
    const struct config *config = &command->config;
    struct host_place host;
    TRY(comm_host(command->world, &host));
    options->isa = isa[config->device.isa];
    options->n_threads = (int)config->device.threads;
    if (options->n_threads == 0) {
        int share = cores_here() / host.ranks_on_host;
        options->n_threads = share > 0 ? share : 1;
    }
    return agree_status(command->world, device_cpu_create(options, out));
}

static int open_cuda(const struct command *command, struct device_options *options, struct device **out)
{
    int n_gpus = 0;
    uint64_t gpus = 0;
    TRY(agree_status(command->world, device_cuda_look(&n_gpus, &gpus)));
    TRY(agree_status(command->world, local_device(command->world, n_gpus, gpus, &options->ordinal)));
    return agree_status(command->world, device_cuda_create(options, out));
}

int open_device(const struct command *command, bool batch_invariant, struct device **out)
{
    struct device_options options = {.batch_invariant = batch_invariant};
    return command->config.device.kind == DEVICE_CUDA ? open_cuda(command, &options, out) : open_cpu(command, &options, out);
}

int comm_memory_print(struct comm *world, const struct device *device)
{
    size_t n_bytes = device->comm_bytes;
    TRY(agree_largest(world, &n_bytes));
    if (n_bytes > 0)
        log_info("beside that NCCL holds up to %.1f MiB of a rank's GPU", (double)n_bytes * 0x1p-20);
    return OK;
}
