/* bench_kernels: how fast are the CPU's kernels? Prints GFLOP/s of products and attention and GB/s of the vector operations, best of a few runs each.
 *
 *   bench_kernels [THREADS [ISA [PRODUCT]]]       defaults: 2 auto, everything; PRODUCT: that matrix product alone, as "1024^3", or "generation"
 *
 * Generation: products of few rows beside oneDNN's, with weights that are not in the cache (GB/s are of weights), decoding attention (GB/s are of keys and values, each counted
 * once), sampling (GB/s are of logits).
 *
 * Shapes are SmolLM2-135M's (hidden 576, inner 1536, 9 query and 3 key/value heads of 64, vocabulary 49,152) with T = 1,600 tokens. A product of m x n x k is
 * 2 m n k operations; attention is 4 D per pair of a query row and a key it sees and head forward, 10 D backward (what a pass recomputes is not counted).
 * Numbers of one run may be compared with one another; other runs have other minutes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "kernels/cpu/cpu.h"
#include "kernels/kernels.h"
#include "tests/tools/bench.h"

enum { REPEATS = 7, TOKENS = 1600, HIDDEN = 576, INNER = 1536, HEADS = 9, KV_HEADS = 3, DIM = 64, VOCABULARY = 49152, LOGIT_ROWS = 256 };

/* Seconds of the fastest of REPEATS calls, after one that is not counted. */
static double fastest(struct bench *b, bench_call *call, const void *args)
{
    double best = 1e30;
    for (int i = 0; i <= REPEATS; i++) {
        double start = bench_now_s();
        bench_must(call(&b->device->stream, args));
        bench_must(b->device->ops->synchronize(&b->device->stream));
        double took = bench_now_s() - start;
        best = i > 0 && took < best ? took : best;
    }
    return best;
}

static void report(const char *name, enum dtype dtype, double amount, const char *unit, double seconds)
{
    printf("%-44s %-8s %9.1f %-8s %9.3f ms\n", name, dtype_name(dtype), amount / seconds / 1e9, unit, seconds * 1e3);
    fflush(stdout);
}

/* The same with the bytes that must be read. */
static void report_with_bytes(const char *name, enum dtype dtype, double operations, double bytes, double seconds)
{
    printf("%-44s %-8s %9.1f %-8s %9.3f ms %9.1f GB/s\n", name, dtype_name(dtype), operations / seconds / 1e9, "GFLOP/s", seconds * 1e3, bytes / seconds / 1e9);
    fflush(stdout);
}

/* ---- products -------------------------------------------------------------------------------------------------------------------------------- */

BENCH_CALL(gemm)
BENCH_CALL(attention_forward)
BENCH_CALL(attention_backward)
BENCH_CALL(rmsnorm_forward)
BENCH_CALL(rmsnorm_backward)
BENCH_CALL(rope)
BENCH_CALL(swiglu_forward)
BENCH_CALL(swiglu_backward)
BENCH_CALL(add)
BENCH_CALL(embedding_forward)
BENCH_CALL(embedding_backward)
BENCH_CALL(cross_entropy_max)
BENCH_CALL(cross_entropy_sum)
BENCH_CALL(cross_entropy_backward)
BENCH_CALL(adamw)
BENCH_CALL(norm_squared)
BENCH_CALL(sample)

struct product { const char *what; int64_t m, n, k; bool trans_a, trans_b, accumulate, wide; };

/* y = x W^T, dx = dy W, dW += dy^T x (float32) of each matrix of the model. */
static const struct product products[] = {
    {"1024^3", 1024, 1024, 1024, false, false, false, false},
    {"y = x W^T, query", TOKENS, HIDDEN, HIDDEN, false, true, false, false},
    {"y = x W^T, key and value", TOKENS, KV_HEADS * DIM, HIDDEN, false, true, false, false},
    {"y = x W^T, gate and up", TOKENS, INNER, HIDDEN, false, true, false, false},
    {"y = x W^T, down", TOKENS, HIDDEN, INNER, false, true, false, false},
    {"dx = dy W, gate and up", TOKENS, HIDDEN, INNER, false, false, false, false},
    {"dx = dy W, down", TOKENS, INNER, HIDDEN, false, false, false, false},
    {"dW += dy^T x, query", HIDDEN, HIDDEN, TOKENS, true, false, true, true},
    {"dW += dy^T x, key and value", KV_HEADS * DIM, HIDDEN, TOKENS, true, false, true, true},
    {"dW += dy^T x, gate and up", INNER, HIDDEN, TOKENS, true, false, true, true},
    {"dW += dy^T x, down", HIDDEN, INNER, TOKENS, true, false, true, true},
    {"logits = h E^T", LOGIT_ROWS, VOCABULARY, HIDDEN, false, true, false, true},
    {"dh = dlogits E", LOGIT_ROWS, HIDDEN, VOCABULARY, false, false, false, false},
    {"dE += dlogits^T h", VOCABULARY, HIDDEN, LOGIT_ROWS, true, false, true, true},
};

static void bench_product(struct bench *b, const struct product *p, enum dtype dtype)
{
    enum dtype dtype_c = p->wide ? F32 : dtype;
    struct array x[] = {bench_draw(b, p->m * p->k, dtype), bench_draw(b, p->k * p->n, dtype), bench_draw(b, p->m * p->n, dtype_c)};
    struct gemm_args a = {.m = p->m, .n = p->n, .k = p->k, .trans_a = p->trans_a, .trans_b = p->trans_b, .accumulate = p->accumulate, .a = x[0].memory, .b = x[1].memory,
                          .c = x[2].memory, .lda = p->trans_a ? p->m : p->k, .ldb = p->trans_b ? p->k : p->n, .ldc = p->n, .dtype_ab = dtype, .dtype_c = dtype_c};
    char name[96];
    snprintf(name, sizeof name, "%s [%lld x %lld x %lld]", p->what, (long long)p->m, (long long)p->n, (long long)p->k);
    report(name, dtype, 2.0 * (double)(p->m * p->n * p->k), "GFLOP/s", fastest(b, call_gemm, &a));
    bench_drop(b, x, 3);
}

/* ---- products of few rows -------------------------------------------------------------------------------------------------------------------- */

/* One product after the other with `copies` matrices of weights: what a token's way through the layers does. */
struct few_rows { struct gemm_args a; int copies; int (*multiply)(struct cpu *, const struct gemm_args *); };

static int call_few_rows(struct stream *s, const void *args)
{
    const struct few_rows *f = args;
    for (int i = 0; i < f->copies; i++) {
        struct gemm_args a = f->a;
        a.b = dtype_at_const(a.b, a.dtype_ab, i * a.n * a.k);
        TRY(f->multiply(cpu_of(s), &a));
    }
    return OK;
}

static void bench_few_rows(struct bench *b, int64_t n, int64_t k, enum dtype dtype)
{
    enum { WEIGHTS = 1 << 26 };
    int copies = (int)(WEIGHTS / (n * k)) + 1;
    struct array x[] = {bench_draw(b, 64 * k, dtype), bench_draw(b, copies * n * k, dtype), bench_draw(b, 64 * n, dtype)};
    for (int64_t m = 1; m <= 64; m *= 8)
        for (int dots = 0; dots < 2; dots++) {
            struct few_rows f = {.a = {.m = m, .n = n, .k = k, .trans_b = true, .a = x[0].memory, .b = x[1].memory, .c = x[2].memory, .lda = k, .ldb = k, .ldc = n, .dtype_ab = dtype,
                                       .dtype_c = dtype}, .copies = copies, .multiply = dots ? cpu_gemm_dots : cpu_gemm_dnnl};
            char name[96];
            double seconds = fastest(b, call_few_rows, &f) / copies;
            snprintf(name, sizeof name, "few rows, %s [%lld x %lld x %lld]", dots ? "dot products" : "oneDNN", (long long)m, (long long)n, (long long)k);
            report_with_bytes(name, dtype, 2.0 * (double)(m * n * k), (double)(n * k) * (double)dtype_bytes(dtype), seconds);
        }
    bench_drop(b, x, 3);
}

static void bench_generation_products(struct bench *b, enum dtype dtype)
{
    static const int64_t shapes[][2] = {{HIDDEN, HIDDEN}, {INNER, HIDDEN}, {HIDDEN, INNER}, {VOCABULARY, HIDDEN}, {4096, 4096}, {14336, 4096}, {4096, 14336}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_few_rows(b, shapes[i][0], shapes[i][1], dtype);
}

/* ---- attention ------------------------------------------------------------------------------------------------------------------------------- */

/* One causal path of TOKENS, or a prompt of 400 with a response of 400 and five critiques of 160 that share both. */
static const struct attention_run runs_path[] = {{0, TOKENS, 0, 1}};
static const struct attention_range ranges_path[] = {{0, TOKENS}};
static const struct attention_key_run keys_path[] = {{0, TOKENS, TOKENS}};
static const struct attention_run runs_tree[] = {{0, 800, 0, 1}, {800, 160, 1, 2}, {960, 160, 3, 2}, {1120, 160, 5, 2}, {1280, 160, 7, 2}, {1440, 160, 9, 2}};
static const struct attention_range ranges_tree[] = {{0, 800}, {0, 800}, {800, 160}, {0, 800}, {960, 160}, {0, 800}, {1120, 160}, {0, 800}, {1280, 160}, {0, 800}, {1440, 160}};
static const struct attention_key_run keys_tree[] = {{0, 800, 1600}, {800, 160, 960}, {960, 160, 1120}, {1120, 160, 1280}, {1280, 160, 1440}, {1440, 160, 1600}};

static void bench_attention(struct bench *b, const char *what, struct attention_args a)
{
    int64_t q = TOKENS * HEADS * DIM, kv = TOKENS * KV_HEADS * DIM, rows = TOKENS * HEADS;
    struct array x[] = {bench_draw(b, q, a.dtype), bench_draw(b, kv, a.dtype), bench_draw(b, kv, a.dtype), bench_draw(b, q, a.dtype), bench_draw(b, rows, F32),
                        bench_draw(b, q, a.dtype), bench_draw(b, q, a.dtype), bench_draw(b, kv, a.dtype), bench_draw(b, kv, a.dtype), bench_draw(b, rows, F32)};
    char name[96];
    a.rows = a.key_rows = TOKENS, a.heads = HEADS, a.kv_heads = KV_HEADS, a.dim = DIM, a.scale = 0.125f;
    a.q_THD = x[0].memory, a.k_SGD = x[1].memory, a.v_SGD = x[2].memory, a.o_THD = x[3].memory, a.lse_HT = x[4].memory;
    a.do_THD = x[5].memory, a.dq_THD = x[6].memory, a.dk_SGD = x[7].memory, a.dv_SGD = x[8].memory, a.delta_HT = x[9].memory;
    snprintf(name, sizeof name, "attention forward, %s", what);
    report(name, a.dtype, 4.0 * DIM * bench_attention_pairs(&a), "GFLOP/s", fastest(b, call_attention_forward, &a));
    snprintf(name, sizeof name, "attention backward, %s", what);
    report(name, a.dtype, 10.0 * DIM * bench_attention_pairs(&a), "GFLOP/s", fastest(b, call_attention_backward, &a));
    bench_drop(b, x, 10);
}

static void bench_attentions(struct bench *b, enum dtype dtype)
{
    bench_attention(b, "one path", (struct attention_args){.dtype = dtype, .runs = runs_path, .n_runs = 1, .ranges = ranges_path, .key_runs = keys_path, .n_key_runs = 1});
    bench_attention(b, "a tree", (struct attention_args){.dtype = dtype, .runs = runs_tree, .n_runs = 6, .ranges = ranges_tree, .key_runs = keys_tree, .n_key_runs = 6});
}

/* n_prompts prompts with `branches` under each, all asked for their next token. Keys lie in pages that follow each other only by chance. */
static void bench_decode(struct bench *b, const char *what, int n_prompts, int prompt, int branches, int own, enum dtype dtype)
{
    enum { MOST_RUNS = 64, MOST_RANGES = 2048 };
    static struct attention_run run[MOST_RUNS];
    static struct attention_range range[MOST_RANGES];
    int n_runs = n_prompts * branches, n_ranges = 0, page = 0, pages = (prompt + ATTENTION_PAGE - 1) / ATTENTION_PAGE;
    for (int p = 0; p < n_prompts; p++, page += pages)
        for (int i = 0; i < branches; i++) {
            int r = p * branches + i, first = n_ranges, at = n_prompts * pages + r * ((own + ATTENTION_PAGE - 1) / ATTENTION_PAGE);
            for (int k = 0; k < prompt; k += ATTENTION_PAGE)
                range[n_ranges++] = (struct attention_range){2 * (page * ATTENTION_PAGE + k), prompt - k < ATTENTION_PAGE ? prompt - k : ATTENTION_PAGE};
            for (int k = 0; k < own; k += ATTENTION_PAGE)
                range[n_ranges++] = (struct attention_range){2 * (at * ATTENTION_PAGE + k), own - k < ATTENTION_PAGE ? own - k : ATTENTION_PAGE};
            run[r] = (struct attention_run){r, 1, first, n_ranges - first};
        }
    int64_t slots = 2 * (n_prompts * pages + n_runs * ((own + ATTENTION_PAGE - 1) / ATTENTION_PAGE)) * ATTENTION_PAGE, kv = KV_HEADS * DIM, q = HEADS * DIM * n_runs;
    struct array x[] = {bench_draw(b, q, dtype), bench_draw(b, slots * kv, dtype), bench_draw(b, slots * kv, dtype), bench_draw(b, q, dtype), bench_draw(b, n_runs * HEADS, F32)};
    struct attention_args a = {.rows = n_runs, .key_rows = slots, .heads = HEADS, .kv_heads = KV_HEADS, .dim = DIM, .scale = 0.125f, .dtype = dtype, .q_THD = x[0].memory,
                               .k_SGD = x[1].memory, .v_SGD = x[2].memory, .o_THD = x[3].memory, .lse_HT = x[4].memory, .runs = run, .n_runs = n_runs, .ranges = range};
    char name[96];
    double seconds = fastest(b, call_attention_forward, &a);
    snprintf(name, sizeof name, "decoding, %s", what);
    report_with_bytes(name, dtype, 4.0 * DIM * bench_attention_pairs(&a), 2.0 * (double)((n_prompts * prompt + n_runs * own) * kv) * (double)dtype_bytes(dtype), seconds);
    bench_drop(b, x, 5);
}

/* ---- sampling -------------------------------------------------------------------------------------------------------------------------------- */

static void bench_sample(struct bench *b, const char *what, int64_t cols, struct sample_rule rule)
{
    enum { ROWS = 8 };
    struct sample_rule rules[ROWS];
    int64_t first[] = {0, cols};
    uint32_t token[ROWS];
    struct array x[] = {bench_draw(b, ROWS * cols, F32)};
    float *logits = x[0].memory;
    for (int64_t i = 0; i < ROWS * cols; i++)           /* some tokens stand out, as in a text */
        logits[i] = 2.0f * logits[i] + (random_int(&b->random, 0, 2000) == 0 ? 14.0f : 0.0f);
    for (int r = 0; r < ROWS; r++)
        rules[r] = rule, rules[r].banned = -1, rules[r].uniform = (float)r / ROWS;
    struct sample_args a = {.rows = ROWS, .parts = 1, .part_first = first, .part_stride = cols, .logits = logits, .rule = rules, .token = token};
    char name[96];
    snprintf(name, sizeof name, "sample, %s [%d x %lld]", what, ROWS, (long long)cols);
    report(name, F32, 4.0 * (double)(ROWS * cols), "GB/s", fastest(b, call_sample, &a));
    bench_drop(b, x, 1);
}

static void bench_samples(struct bench *b, int64_t cols)
{
    bench_sample(b, "greedy", cols, (struct sample_rule){.temperature = 0.0f, .top_p = 1.0f});
    bench_sample(b, "temperature 1", cols, (struct sample_rule){.temperature = 1.0f, .top_p = 1.0f});
    bench_sample(b, "top_k 50", cols, (struct sample_rule){.temperature = 1.0f, .top_p = 1.0f, .top_k = 50});
    bench_sample(b, "top_p 0.95", cols, (struct sample_rule){.temperature = 1.0f, .top_p = 0.95f});
    bench_sample(b, "min_p 0.05", cols, (struct sample_rule){.temperature = 1.0f, .top_p = 1.0f, .min_p = 0.05f});
}

/* ---- vectors: bytes that must move ----------------------------------------------------------------------------------------------------------- */

static void bench_norm(struct bench *b, enum dtype dtype)
{
    int64_t n = TOKENS * HIDDEN;
    double bytes = (double)n * (double)dtype_bytes(dtype), residual_bytes = 4.0 * (double)n;
    struct array x[] = {bench_draw(b, n, F32), bench_draw(b, n, dtype), bench_draw(b, HIDDEN, dtype), bench_draw(b, n, dtype), bench_draw(b, TOKENS, F32),
                        bench_draw(b, n, F32), bench_draw(b, HIDDEN, F32)};
    struct rmsnorm_args a = {.rows = TOKENS, .cols = HIDDEN, .dtype = dtype, .dtype_x = F32, .eps = 1e-5f, .x = x[0].memory, .add = x[1].memory, .weight = x[2].memory, .sum = x[0].memory,
                             .y = x[3].memory, .rstd = x[4].memory, .dy = x[1].memory, .dx = x[5].memory, .dweight = x[6].memory, .accumulate = true};
    report("rmsnorm forward with add", dtype, 2 * residual_bytes + 2 * bytes, "GB/s", fastest(b, call_rmsnorm_forward, &a));
    report("rmsnorm backward, accumulated", dtype, 3 * residual_bytes + bytes, "GB/s", fastest(b, call_rmsnorm_backward, &a));
    bench_drop(b, x, 7);
}

static void bench_elementwise(struct bench *b, enum dtype dtype)
{
    int64_t n = TOKENS * INNER;
    double bytes = (double)n * (double)dtype_bytes(dtype);
    int32_t position[TOKENS];
    struct array x[] = {bench_draw(b, n, dtype), bench_draw(b, n, dtype), bench_draw(b, n, dtype), bench_draw(b, n, dtype), bench_draw(b, n, dtype), bench_draw(b, TOKENS * DIM / 2, F32)};
    for (int32_t i = 0; i < TOKENS; i++)
        position[i] = i;
    struct swiglu_args swiglu = {.n_elems = n, .dtype = dtype, .gate = x[0].memory, .up = x[1].memory, .y = x[2].memory, .dy = x[2].memory, .dgate = x[3].memory, .dup = x[4].memory};
    struct map_args add = {.n_elems = n, .dtype = dtype, .dtype_y = dtype, .x = x[0].memory, .y = x[1].memory};
    struct rope_args rope = {.rows = TOKENS, .heads = HEADS, .dim = DIM, .dtype = dtype, .x = x[0].memory, .position = position, .cos = x[5].memory, .sin = x[5].memory};
    report("swiglu forward", dtype, 3 * bytes, "GB/s", fastest(b, call_swiglu_forward, &swiglu));
    report("swiglu backward", dtype, 5 * bytes, "GB/s", fastest(b, call_swiglu_backward, &swiglu));
    report("add", dtype, 3 * bytes, "GB/s", fastest(b, call_add, &add));
    report("rope", dtype, 2 * bytes * HEADS * DIM / INNER, "GB/s", fastest(b, call_rope, &rope));
    bench_drop(b, x, 6);
}

static void bench_embedding(struct bench *b, enum dtype dtype)
{
    int64_t n = TOKENS * HIDDEN;
    uint32_t token[TOKENS];
    struct array x[] = {bench_draw(b, (int64_t)VOCABULARY * HIDDEN, dtype), bench_draw(b, (int64_t)VOCABULARY * HIDDEN, F32), bench_draw(b, n, dtype)};
    for (int i = 0; i < TOKENS; i++)
        token[i] = (uint32_t)random_int(&b->random, 0, VOCABULARY - 1);
    struct embedding_args a = {.rows = TOKENS, .cols = HIDDEN, .dtype = dtype, .token = token, .vocab_count = VOCABULARY, .table = x[0].memory, .y = x[2].memory, .dy = x[2].memory,
                               .dtable = x[1].memory};
    report("embedding forward", dtype, 2.0 * (double)n * (double)dtype_bytes(dtype), "GB/s", fastest(b, call_embedding_forward, &a));
    report("embedding backward", dtype, (double)n * (8.0 + (double)dtype_bytes(dtype)), "GB/s", fastest(b, call_embedding_backward, &a));
    bench_drop(b, x, 3);
}

static void bench_entropy(struct bench *b, enum dtype dtype)
{
    int64_t n = (int64_t)LOGIT_ROWS * VOCABULARY;
    int32_t first[LOGIT_ROWS + 1];
    uint32_t target[LOGIT_ROWS];
    float weight[LOGIT_ROWS], logit[LOGIT_ROWS];
    struct array x[] = {bench_draw(b, n, F32), bench_draw(b, n, dtype), bench_draw(b, LOGIT_ROWS, F32), bench_draw(b, LOGIT_ROWS, F32)};
    for (int32_t r = 0; r < LOGIT_ROWS; r++)
        first[r] = r, target[r] = (uint32_t)random_int(&b->random, 0, VOCABULARY - 1), weight[r] = 1.0f;
    first[LOGIT_ROWS] = LOGIT_ROWS;
    struct cross_entropy_args a = {.rows = LOGIT_ROWS, .cols = VOCABULARY, .logits = x[0].memory, .prediction_first = first, .target = target, .weight = weight, .max = x[2].memory,
                                   .sum = x[3].memory, .target_logit = logit, .dlogits = x[1].memory, .dtype = dtype, .scale = 1.0f};
    report("cross-entropy max", F32, 4.0 * (double)n, "GB/s", fastest(b, call_cross_entropy_max, &a));
    report("cross-entropy sum", F32, 4.0 * (double)n, "GB/s", fastest(b, call_cross_entropy_sum, &a));
    report("cross-entropy backward", dtype, (4.0 + (double)dtype_bytes(dtype)) * (double)n, "GB/s", fastest(b, call_cross_entropy_backward, &a));
    bench_drop(b, x, 4);
}

static void bench_optimizer(struct bench *b, enum dtype dtype)
{
    enum { N = 1 << 23 };
    double total = 0.0;
    struct array x[] = {bench_draw(b, N, F32), bench_draw(b, N, F32), bench_draw(b, N, F32), bench_draw(b, N, F32), bench_draw(b, N, dtype)};
    struct adamw_args a = {.n_elems = N, .master = x[0].memory, .m = x[1].memory, .v = x[2].memory, .grad = x[3].memory, .param = dtype == F32 ? x[0].memory : x[4].memory, .dtype = dtype,
                           .lr = 1e-4f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .grad_scale = 1.0f, .step = 3};
    struct norm_args norm = {.n_elems = N, .x = x[3].memory, .sum = &total};
    for (int64_t i = 0; i < N; i++)
        a.v[i] *= a.v[i];
    report("adamw", dtype, N * (28.0 + (dtype == BF16 ? 2.0 : 0.0)), "GB/s", fastest(b, call_adamw, &a));
    report("norm squared", F32, N * 4.0, "GB/s", fastest(b, call_norm_squared, &norm));
    bench_drop(b, x, 5);
}

static void bench_generation(struct bench *b, enum dtype dtype)
{
    bench_generation_products(b, dtype);
    bench_decode(b, "8 branches of 100 under 500", 1, 500, 8, 100, dtype);
    bench_decode(b, "64 sequences of 300", 64, 0, 1, 300, dtype);
    if (dtype == F32) {
        bench_samples(b, VOCABULARY);
        bench_samples(b, 128256);
    }
}

int main(int argc, char **argv)
{
    struct device_options options = {.n_threads = argc > 1 ? atoi(argv[1]) : 2, .isa = argc > 2 ? argv[2] : "auto"};
    struct bench b = {.random = {1}};
    bench_must(device_cpu_create(&options, &b.device));
    b.kernels = b.device->kernels;
    printf("%d threads, instruction set %s\n", b.device->n_threads, options.isa);
    for (int dtype = F32; dtype <= BF16; dtype++) {
        for (size_t i = 0; i < sizeof products / sizeof *products; i++)
            if (argc < 4 || strcmp(argv[3], products[i].what) == 0)
                bench_product(&b, &products[i], (enum dtype)dtype);
        if (argc < 4 || strcmp(argv[3], "generation") == 0)
            bench_generation(&b, (enum dtype)dtype);
        if (argc > 3)
            continue;
        bench_attentions(&b, (enum dtype)dtype);
        bench_norm(&b, (enum dtype)dtype);
        bench_elementwise(&b, (enum dtype)dtype);
        bench_embedding(&b, (enum dtype)dtype);
        bench_entropy(&b, (enum dtype)dtype);
        bench_optimizer(&b, (enum dtype)dtype);
    }
    device_destroy(&b.device);
    return 0;
}
