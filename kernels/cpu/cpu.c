/* cpu: the CPU backend. Its table starts as a copy of the reference; what is overridden is proven against it (test_kernels_agree). */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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
        free(cpu->packed.memory);
        free(cpu->sampling.memory);
        free(cpu);
    }
    free(device);
}

int cpu_keep(struct kept *kept, size_t n_bytes)
{
    if (n_bytes <= kept->n_bytes)
        return OK;
    free(kept->memory);
    kept->n_bytes = 0;
    kept->memory = aligned_alloc(64, (n_bytes + 63) / 64 * 64);
    CHECK(kept->memory, "out of memory for %zu bytes of working memory", n_bytes);
    kept->n_bytes = n_bytes;
    return OK;
}

static const struct device_ops cpu_ops = {host_alloc, host_release, host_reserve, host_left, host_copy, host_zero, host_synchronize, host_event_record, host_event_wait, host_stream_open, NULL, NULL, NULL, NULL, cpu_destroy};

/* CRITIC_RM_ISA holds "auto" down: so that every program and test may be run as on a lesser processor. */
static const char *asked_isa(const char *option)
{
    const char *held = getenv("CRITIC_RM_ISA");
    return strcmp(option, "auto") == 0 && held && *held ? held : option;
}

/* The processor has matrix registers, and the system lets this process use them: they are asked for, once. */
static bool has_amx(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(edx & AMX_BF16) || !(edx & AMX_TILE) || !__builtin_cpu_supports("avx512bf16"))
        return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

static enum cpu_isa best_isa(void)
{
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx512 && has_amx() ? CPU_AMX : avx512 ? CPU_AVX512 : avx2 ? CPU_AVX2 : CPU_SCALAR;
}

static int choose_isa(const char *name, enum cpu_isa *out)
{
    static const char *const names[] = {[CPU_SCALAR] = "scalar", [CPU_AVX2] = "avx2", [CPU_AVX512] = "avx512", [CPU_AMX] = "amx"};
    enum cpu_isa best = best_isa(), want = best;
    if (strcmp(name, "auto") != 0) {
        for (want = CPU_SCALAR; want < CPU_AMX && strcmp(name, names[want]) != 0; want++) {}
        CHECK_USAGE(strcmp(name, names[want]) == 0, "device.isa '%s' is not one of auto, amx, avx512, avx2, scalar", name);
        CHECK_USAGE(want <= best, "device.isa is %s, which this processor does not have: use auto", name);
    }
    *out = want;
    return OK;
}

static void fill_table(struct cpu *cpu)
{
    cpu->kernels = kernels_ref;
    cpu->kernels.gemm = cpu_gemm;
    cpu->kernels.sample = cpu_sample;
    cpu_rows_table(&cpu->kernels);
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
    *device = (struct device){.ops = &cpu_ops, .kernels = &cpu->kernels, .batch_invariant = options->batch_invariant, .state = cpu};
    device->stream.device = device;
    int status = open_parts(cpu, options);
    if (status != OK) {
        cpu_destroy(device);
        return status;
    }
    fill_table(cpu);
    device->n_threads = pool_threads(cpu->pool);
    snprintf(device->name, sizeof device->name, "%d CPU thread%s", device->n_threads, device->n_threads == 1 ? "" : "s");
    *out = device;
    return OK;
}
