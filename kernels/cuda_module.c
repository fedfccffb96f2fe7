/* cuda_module: see the header. The module stays open until the program ends. */
#include "kernels/cuda_module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"

/* Where `cmake --install` puts the module, from the folder that bin/ is in. */
#define MODULE_FOLDER "lib/critic-rm"

enum { PATH_BYTES = 4096 };

/* The folder this program is in, "" when the system does not say. */
static void program_folder(char *out)
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_BYTES - 1);
    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
}

static int find_module(char *path)
{
    char folder[PATH_BYTES];
    const char *given = getenv("CRITIC_RM_CUDA_MODULE");
    if (given && *given) {
        CHECK(access(given, R_OK) == 0, "CRITIC_RM_CUDA_MODULE is %s, which cannot be read", given);
        snprintf(path, PATH_BYTES, "%s", given);
        return OK;
    }
    program_folder(folder);
    snprintf(path, PATH_BYTES, "%.3900s/critic-rm-cuda.so", folder);
    if (access(path, R_OK) != 0)
        snprintf(path, PATH_BYTES, "%.3900s/../" MODULE_FOLDER "/critic-rm-cuda.so", folder);
    CHECK(access(path, R_OK) == 0, "critic-rm-cuda.so is neither in %s nor in %s/../" MODULE_FOLDER ": build it (cmake --build, where a CUDA toolkit and NCCL are found), name it in CRITIC_RM_CUDA_MODULE, or use device.kind: cpu",
          folder, folder);
    return OK;
}

static int open_function(const char *name, void **function)
{
    char path[PATH_BYTES];
    TRY(find_module(path));
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(module, "the CUDA backend cannot be opened: %s; install the CUDA libraries it was built with, or use device.kind: cpu", dlerror());
    *function = dlsym(module, name);
    CHECK(*function, "%s is not the CUDA backend of critic-rm", path);
    return OK;
}

int device_cuda_create(const struct device_options *options, struct device **out)
{
    cuda_module_create_fn *create = NULL;
    TRY(open_function("cuda_module_create", (void **)&create));
    return create(options, out);
}

int device_cuda_look(int *n_gpus, uint64_t *gpus)
{
    cuda_module_look_fn *look = NULL;
    TRY(open_function("cuda_module_look", (void **)&look));
    return look(n_gpus, gpus);
}
