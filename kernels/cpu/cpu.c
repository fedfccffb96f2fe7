/* cpu: the CPU backend. Its table starts as a copy of the reference; what is overridden is proven against it (test_kernels_agree). */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/host_memory.h"

static void cpu_destroy(struct device *device)
{
    struct cpu *cpu = device->state;
    if (cpu) {
        cpu_gemm_close(cpu);
        pool_destroy(&cpu->pool);
        free(cpu->scratch.memory);
        free(cpu->parts.memory);
        free(cpu);
    }
    free(device);
}

static const struct device_ops cpu_ops = {host_alloc, host_release, host_copy, host_zero, host_synchronize, host_event_record, host_event_wait, cpu_destroy};

/* CRITIC_RM_ISA holds "auto" down: so that every program and test may be run as on a lesser processor. */
static const char *asked_isa(const char *option)
{
    const char *held = getenv("CRITIC_RM_ISA");
    return strcmp(option, "auto") == 0 && held && *held ? held : option;
}

static int choose_isa(const char *name, enum cpu_isa *out)
{
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    enum cpu_isa best = avx512 ? CPU_AVX512 : avx2 ? CPU_AVX2 : CPU_SCALAR, want = best;
    if (strcmp(name, "auto") != 0) {
        want = strcmp(name, "avx512") == 0 ? CPU_AVX512 : strcmp(name, "avx2") == 0 ? CPU_AVX2 : CPU_SCALAR;
        CHECK_USAGE(want != CPU_SCALAR || strcmp(name, "scalar") == 0, "device.isa '%s' is not one of auto, avx512, avx2, scalar", name);
        CHECK_USAGE(want <= best, "device.isa is %s, which this processor does not have: use auto", name);
    }
    *out = want;
    return OK;
}

static void fill_table(struct cpu *cpu)
{
    cpu->kernels = kernels_ref;
    cpu->kernels.gemm = cpu_gemm;
    cpu_vector_table(cpu, &cpu->kernels);
}

static int open_parts(struct cpu *cpu, const struct device_options *options)
{
    TRY(choose_isa(asked_isa(options->isa), &cpu->isa));
    cpu->batch_invariant = options->batch_invariant;
    TRY(pool_create(options->n_threads > 0 ? options->n_threads : 1, &cpu->pool));
    return cpu_gemm_open(cpu);
}

int device_cpu_create(const struct device_options *options, struct device **out)
{
    struct device *device = calloc(1, sizeof *device);
    struct cpu *cpu = calloc(1, sizeof *cpu);
    CHECK(device && cpu, "out of memory for the device");
    *device = (struct device){.ops = &cpu_ops, .kernels = &cpu->kernels, .state = cpu};
    device->stream.device = device;
    int status = open_parts(cpu, options);
    if (status != OK) {
        cpu_destroy(device);
        return status;
    }
    fill_table(cpu);
    device->n_threads = pool_threads(cpu->pool);
    *out = device;
    return OK;
}
