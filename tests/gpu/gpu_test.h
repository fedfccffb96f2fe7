/* gpu_test: what the programs of label gpu share. They open the CUDA backend as the program does, by its module, and link nothing of CUDA: with the module of tests/emulate
 * (CRITIC_RM_CUDA_MODULE) and CRITIC_RM_GPU_TEST=small, which makes sizes tiny, the same programs run where there is no GPU. */
#ifndef TESTS_GPU_GPU_TEST_H
#define TESTS_GPU_GPU_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "comm/local_device.h"
#include "kernels/kernels.h"

enum { GPU_TEST_SKIPPED = 77 };

static inline bool gpu_test_is(const char *word)
{
    const char *is = getenv("CRITIC_RM_GPU_TEST");
    return is && strcmp(is, word) == 0;
}

static inline bool gpu_test_is_small(void) { return gpu_test_is("small"); }

/* Ranks that are more than the GPUs share them, which NCCL allows to ranks of different hosts only: each says that it is one. */
static inline int gpu_test_share(const struct comm *world, int n_gpus)
{
    char id[32];
    snprintf(id, sizeof id, "rank-%d", world->rank);
    if (world->size > n_gpus && (setenv("NCCL_HOSTID", id, 1) != 0 || setenv("NCCL_SOCKET_IFNAME", "lo", 1) != 0))
        return FAIL("cannot set NCCL_HOSTID");
    return OK;
}

/* This rank's GPU. Collective over the world. */
static inline int gpu_test_open(struct comm *world, struct device **out)
{
    int n_gpus, ordinal;
    uint64_t gpus;
    TRY(device_cuda_look(&n_gpus, &gpus));
    TRY(gpu_test_share(world, n_gpus));
    TRY(local_device(world, n_gpus, gpus, &ordinal));
    return device_cuda_create(&(struct device_options){.ordinal = ordinal}, out);
}

/* For main where there is no GPU to test: the exit status that ctest counts as skipped; ci/gpu.sh takes it for a failure, and so it is where the module was named. */
static inline int gpu_test_skipped(void)
{
    const char *module = getenv("CRITIC_RM_CUDA_MODULE");
    bool named = module && *module;
    fprintf(stderr, "%s: %s\n", named ? "failed" : "skipped", trace_sentence());
    return named ? 1 : GPU_TEST_SKIPPED;
}

#endif
