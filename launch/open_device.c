/* open_device: see open_device.h. */
#include "launch/open_device.h"

#include <sched.h>

#include "comm/host.h"

static int cores_here(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

int open_device(const struct command *command, bool batch_invariant, struct device **out)
{
    static const char *const isa[] = {"auto", "avx512", "avx2", "scalar"};
    const struct config *config = &command->config;
    struct host_place host;
    TRY(comm_host(command->world, &host));
    struct device_options options = {.n_threads = (int)config->device.threads, .isa = isa[config->device.isa], .batch_invariant = batch_invariant};
    if (options.n_threads == 0) {
        int share = cores_here() / host.ranks_on_host;
        options.n_threads = share > 0 ? share : 1;
    }
    return device_cpu_create(&options, out);
}
