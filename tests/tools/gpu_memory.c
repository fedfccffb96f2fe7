/* gpu_memory: see the header. Nothing of CUDA is linked. */
#include "tests/tools/gpu_memory.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "base/status.h"

typedef int memory_fn(size_t *free_bytes, size_t *total_bytes);

static memory_fn *find(const char *library, const char *name, int how)
{
    void *handle = library && *library ? dlopen(library, RTLD_LAZY | how) : NULL;
    return handle ? (memory_fn *)dlsym(handle, name) : NULL;
}

int gpu_memory_free(size_t *n_bytes)
{
    size_t total;
    memory_fn *ask = find(getenv("CRITIC_RM_CUDA_MODULE"), "cudaMemGetInfo", RTLD_NOLOAD);
    if (!ask)
        ask = find("libcuda.so.1", "cuMemGetInfo_v2", 0);
    CHECK(ask, "neither libcuda.so.1 nor the module says how much memory is free");
    CHECK(ask(n_bytes, &total) == 0, "the GPU does not say how much of its memory is free");
    return OK;
}
