/* bench_cuda [PART...]: how fast is the CUDA backend? All parts where none is named. CRITIC_RM_GPU_TEST=small: tiny sizes (cuda_bench.h).
 *
 *   copy        bytes read and written by a copy on the card: what its memory reaches
 *   kernels     each fused kernel's bytes by its own formula: to be set beside copy
 *   products    matrix products at the shapes of 8B and of a tensor rank's share of 70B
 *   attention   on one causal shape and on the forest of 16 pairs
 *   step_8b, step_70b    a whole training step with its update, as many layers as fit
 *   profile     where the time of a step goes, operation by operation (cuda_profile.c)
 *   compare     the training step that torch_cuda_step.py runs too: K = 1 unshared, K = 4 shared
 *   generate    10 branches under each of 16 prefixes
 *
 * A rate is operations or bytes over the seconds between two idle moments of the stream. Attention is 4 D operations forward and 10 D backward for each pair of a query row and a key it
 * sees and each query head; what a pass computes again is not counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/cuda/cuda_bench.h"
#include "tests/tools/scratch.h"

static const struct { const char *name; void (*run)(struct cuda_bench *); } parts[] = {
    {"copy", cuda_bench_copy}, {"kernels", cuda_bench_kernels}, {"products", cuda_bench_products}, {"attention", cuda_bench_attention}, {"step_8b", cuda_bench_step_8b},
    {"step_70b", cuda_bench_step_70b}, {"profile", cuda_bench_profile}, {"compare", cuda_bench_compare}, {"generate", cuda_bench_generate},
};
enum { N_PARTS = sizeof parts / sizeof *parts };

const struct model_shape shape_8b = {.model_type = "llama", .layers = 32, .heads = 32, .kv_heads = 8, .head_dim = 128, .hidden = 4096, .ffn = 14336, .vocab = 128256, .max_position = 8192};
const struct model_shape shape_70b_share = {.model_type = "llama", .layers = 80, .heads = 8, .kv_heads = 1, .head_dim = 128, .hidden = 8192, .ffn = 3584, .vocab = 128256 / 8,
                                            .max_position = 8192};
const struct model_shape shape_small = {.model_type = "llama", .layers = 1, .heads = 4, .kv_heads = 2, .head_dim = 16, .hidden = 64, .ffn = 64, .vocab = 300, .max_position = 512};
const struct forest_shape forest_16 = {.n_pairs = 16, .prompt = 400, .response = 400, .critique = 160, .n_critiques = 4};
const struct forest_shape forest_small = {.n_pairs = 1, .prompt = 6, .response = 6, .critique = 3, .n_critiques = 2};

static double seconds_of(const struct bench *b, bench_call *call, const void *args, int n)
{
    double start_s = bench_now_s();
    for (int i = 0; i < n; i++)
        bench_must(call(&b->device->stream, args));
    bench_must(b->device->ops->synchronize(&b->device->stream));
    return (bench_now_s() - start_s) / n;
}

double bench_seconds(const struct cuda_bench *c, bench_call *call, const void *args)
{
    enum { WARM = 3, RUNS = 7, MOST_CALLS = 500 };
    const double run_s = 0.02;
    double took[RUNS];
    struct bench b = c->b;
    bench_must(b.device->ops->synchronize(&b.device->stream));
    if (c->small)
        return seconds_of(&b, call, args, 1);
    seconds_of(&b, call, args, WARM);
    double calls = run_s / seconds_of(&b, call, args, WARM);
    for (int i = 0; i < RUNS; i++)
        took[i] = seconds_of(&b, call, args, calls < 1.0 ? 1 : calls > MOST_CALLS ? MOST_CALLS : (int)calls);
    return bench_median(took, RUNS);
}

static int find(const char *name)
{
    for (int i = 0; i < N_PARTS; i++)
        if (strcmp(parts[i].name, name) == 0)
            return i;
    fprintf(stderr, "bench_cuda: there is no part '%s'; the parts are", name);
    for (int i = 0; i < N_PARTS; i++)
        fprintf(stderr, " %s", parts[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

int main(int argc, char **argv)
{
    const char *sizes = getenv("CRITIC_RM_GPU_TEST");
    struct scratch scratch;
    struct cuda_bench c = {.b.random = {1}, .small = sizes && strcmp(sizes, "small") == 0};
    bool wanted[N_PARTS] = {false};
    for (int i = 1; i < argc; i++)
        wanted[find(argv[i])] = true;
    bench_must(comm_self_create(&c.self));
    bench_must(device_cuda_create(&(struct device_options){0}, &c.b.device));
    c.b.kernels = c.b.device->kernels;
    scratch_make(&scratch);
    snprintf(c.folder, sizeof c.folder, "%s", scratch.dir);
    for (int i = 0; i < N_PARTS; i++)
        if (argc < 2 || wanted[i])
            parts[i].run(&c);
    scratch_remove(&scratch);
    device_destroy(&c.b.device);
    comm_destroy(&c.self);
    return 0;
}
