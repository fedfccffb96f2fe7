/* cuda_kernels: what the card's memory reaches, and what the fused kernels reach of it; matrix products. Activations of 16,384 tokens of an 8B model, which no cache holds. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/cuda/cuda_bench.h"

struct sizes { int64_t tokens, hidden, ffn, heads, dim, vocab, logit_rows, elems, copy_bytes, sample_rows; };

static const struct sizes large = {.tokens = 16384, .hidden = 4096, .ffn = 14336, .heads = 32, .dim = 128, .vocab = 128256, .logit_rows = 1024, .elems = (int64_t)1 << 27,
                                   .copy_bytes = (int64_t)1 << 31, .sample_rows = 160};
static const struct sizes tiny = {.tokens = 64, .hidden = 64, .ffn = 96, .heads = 4, .dim = 16, .vocab = 300, .logit_rows = 16, .elems = 1 << 12, .copy_bytes = 1 << 16, .sample_rows = 4};

static const struct sizes *sizes_of(const struct cuda_bench *c) { return c->small ? &tiny : &large; }

BENCH_CALL(gemm)
BENCH_CALL(bias_forward)
BENCH_CALL(bias_backward)
BENCH_CALL(rmsnorm_forward)
BENCH_CALL(rmsnorm_backward)
BENCH_CALL(rope)
BENCH_CALL(swiglu_forward)
BENCH_CALL(swiglu_backward)
BENCH_CALL(embedding_forward)
BENCH_CALL(embedding_backward)
BENCH_CALL(gather_rows)
BENCH_CALL(scatter_add_rows)
BENCH_CALL(scatter_rows)
BENCH_CALL(add)
BENCH_CALL(cast)
BENCH_CALL(cross_entropy_max)
BENCH_CALL(cross_entropy_sum)
BENCH_CALL(cross_entropy_backward)
BENCH_CALL(reward_forward)
BENCH_CALL(reward_backward)
BENCH_CALL(adamw)
BENCH_CALL(norm_squared)
BENCH_CALL(sample)

static void report_bytes(const char *name, double bytes, double seconds) { measure(bytes / seconds / 1e9, "GB/s", "kernel %s", name); }

/* ---- copy ------------------------------------------------------------------------------------------------------------------------------------ */

struct copy_args { void *to; const void *from; size_t n_bytes; };

static int call_copy(struct stream *s, const void *args)
{
    const struct copy_args *a = args;
    return s->device->ops->copy(s, a->to, a->from, a->n_bytes, DEVICE_TO_DEVICE);
}

void cuda_bench_copy(struct cuda_bench *c)
{
    int64_t n = sizes_of(c)->copy_bytes / 2;
    struct array x[] = {bench_draw(&c->b, n, BF16), bench_draw(&c->b, n, BF16)};
    struct copy_args a = {x[0].memory, x[1].memory, x[0].n_bytes};
    measure(2.0 * (double)a.n_bytes / bench_seconds(c, call_copy, &a) / 1e9, "GB/s", "copy");
    bench_drop(&c->b, x, 2);
}

/* ---- fused kernels: bytes that must move ----------------------------------------------------------------------------------------------------- */

static void bench_norms(struct cuda_bench *c, const struct sizes *z)
{
    struct bench *b = &c->b;
    int64_t n = z->tokens * z->hidden;
    double bytes = 2.0 * (double)n, residual_bytes = 4.0 * (double)n;
    struct array x[] = {bench_draw(b, n, F32), bench_draw(b, n, BF16), bench_draw(b, z->hidden, BF16), bench_draw(b, n, BF16), bench_draw(b, z->tokens, F32), bench_draw(b, n, F32),
                        bench_draw(b, z->hidden, F32), bench_draw(b, n, F32)};
    struct rmsnorm_args a = {.rows = z->tokens, .cols = z->hidden, .dtype = BF16, .dtype_x = F32, .eps = 1e-5f, .x = x[0].memory, .add = x[1].memory, .weight = x[2].memory, .sum = x[7].memory,
                             .y = x[3].memory, .rstd = x[4].memory, .dy = x[1].memory, .dx = x[5].memory, .dweight = x[6].memory, .accumulate = true};
    report_bytes("rmsnorm_forward, with add", 2 * residual_bytes + 2 * bytes, bench_seconds(c, call_rmsnorm_forward, &a));
    report_bytes("rmsnorm_backward, accumulated", 3 * residual_bytes + bytes, bench_seconds(c, call_rmsnorm_backward, &a));
    struct bias_args bias = {.rows = z->tokens, .cols = z->hidden, .dtype = BF16, .x = x[3].memory, .bias = x[2].memory, .dy = x[1].memory, .dbias = x[6].memory};
    report_bytes("bias_forward", 2 * bytes, bench_seconds(c, call_bias_forward, &bias));
    report_bytes("bias_backward", bytes, bench_seconds(c, call_bias_backward, &bias));
    bench_drop(b, x, 8);
}

static void bench_elementwise(struct cuda_bench *c, const struct sizes *z)
{
    struct bench *b = &c->b;
    int64_t n = z->tokens * z->ffn;
    double bytes = 2.0 * (double)n;
    struct array x[] = {bench_draw(b, n, BF16), bench_draw(b, n, BF16), bench_draw(b, n, BF16), bench_draw(b, n, BF16), bench_draw(b, n, BF16), bench_draw(b, n, F32)};
    struct swiglu_args swiglu = {.n_elems = n, .dtype = BF16, .gate = x[0].memory, .up = x[1].memory, .y = x[2].memory, .dy = x[2].memory, .dgate = x[3].memory, .dup = x[4].memory};
    struct map_args add = {.n_elems = n, .dtype = BF16, .dtype_y = BF16, .x = x[0].memory, .y = x[1].memory};
    struct map_args cast = {.n_elems = n, .dtype = F32, .dtype_y = BF16, .x = x[5].memory, .y = x[0].memory};
    report_bytes("swiglu_forward", 3 * bytes, bench_seconds(c, call_swiglu_forward, &swiglu));
    report_bytes("swiglu_backward", 5 * bytes, bench_seconds(c, call_swiglu_backward, &swiglu));
    report_bytes("add", 3 * bytes, bench_seconds(c, call_add, &add));
    report_bytes("cast, float32 to bf16", 3 * bytes, bench_seconds(c, call_cast, &cast));
    bench_drop(b, x, 6);
}

static void bench_rope(struct cuda_bench *c, const struct sizes *z)
{
    struct bench *b = &c->b;
    int64_t n = z->tokens * z->heads * z->dim;
    int32_t *position = calloc((size_t)z->tokens, sizeof *position);
    struct array x[] = {bench_draw(b, n, BF16), bench_draw(b, z->tokens * z->dim / 2, F32), bench_draw(b, z->tokens, F32)};
    bench_must(position ? OK : FAIL("out of memory"));
    for (int32_t i = 0; i < z->tokens; i++)
        position[i] = i;
    bench_must(b->device->ops->copy(&b->device->stream, x[2].memory, position, x[2].n_bytes, HOST_TO_DEVICE));
    struct rope_args a = {.rows = z->tokens, .heads = (int)z->heads, .dim = (int)z->dim, .dtype = BF16, .x = x[0].memory, .position = x[2].memory, .cos = x[1].memory, .sin = x[1].memory};
    report_bytes("rope", 4.0 * (double)n, bench_seconds(c, call_rope, &a));
    free(position);
    bench_drop(b, x, 3);
}

/* n whole numbers in device memory: below `below` at random, or, with below 0, rising by 1. */
static struct array draw_whole(struct bench *b, int64_t n, int64_t below)
{
    struct array x = {.n_bytes = (size_t)n * sizeof(int32_t)};
    int32_t *host = malloc(x.n_bytes);
    bench_must(host ? device_alloc(b->device, x.n_bytes, &x.memory) : FAIL("out of memory"));
    for (int64_t i = 0; i < n; i++)
        host[i] = (int32_t)(below ? random_int(&b->random, 0, below - 1) : i);
    bench_must(b->device->ops->copy(&b->device->stream, x.memory, host, x.n_bytes, HOST_TO_DEVICE));
    bench_must(b->device->ops->synchronize(&b->device->stream));
    free(host);
    return x;
}

static void bench_rows(struct cuda_bench *c, const struct sizes *z)
{
    struct bench *b = &c->b;
    int64_t n = z->tokens * z->hidden;
    double bytes = 2.0 * (double)n;
    struct array x[] = {bench_draw(b, z->vocab * z->hidden, BF16), bench_draw(b, z->vocab * z->hidden, F32), bench_draw(b, n, BF16), bench_draw(b, n, BF16),
                        draw_whole(b, z->tokens, z->vocab), draw_whole(b, z->tokens, 0)};
    struct embedding_args a = {.rows = z->tokens, .cols = z->hidden, .dtype = BF16, .token = x[4].memory, .vocab_count = z->vocab, .table = x[0].memory, .y = x[2].memory, .dy = x[2].memory,
                               .dtable = x[1].memory};
    struct rows_args rows = {.n_index = z->tokens, .cols = z->hidden, .dtype = BF16, .index = x[5].memory, .x = x[2].memory, .y = x[3].memory};
    report_bytes("embedding_forward", 2 * bytes, bench_seconds(c, call_embedding_forward, &a));
    report_bytes("embedding_backward", 5 * bytes, bench_seconds(c, call_embedding_backward, &a));
    report_bytes("gather_rows", 2 * bytes, bench_seconds(c, call_gather_rows, &rows));
    report_bytes("scatter_rows", 2 * bytes, bench_seconds(c, call_scatter_rows, &rows));
    report_bytes("scatter_add_rows", 3 * bytes, bench_seconds(c, call_scatter_add_rows, &rows));
    bench_drop(b, x, 6);
}

/* A chunk of logits with one prediction a row. */
static void bench_entropy(struct cuda_bench *c, const struct sizes *z)
{
    struct bench *b = &c->b;
    int64_t n = z->logit_rows * z->vocab;
    struct array x[] = {bench_draw(b, n, F32), bench_draw(b, n, BF16), bench_draw(b, z->logit_rows, F32), bench_draw(b, z->logit_rows, F32), bench_draw(b, z->logit_rows, F32),
                        bench_draw(b, z->logit_rows, F32), draw_whole(b, z->logit_rows + 1, 0), draw_whole(b, z->logit_rows, z->vocab)};
    bench_fill_with(b, x[2].memory, z->logit_rows, F32, 1.0f);
    bench_fill_with(b, x[3].memory, z->logit_rows, F32, (float)z->vocab);
    struct cross_entropy_args a = {.rows = z->logit_rows, .cols = z->vocab, .logits = x[0].memory, .dlogits = x[1].memory, .max = x[2].memory, .sum = x[3].memory, .weight = x[4].memory,
                                   .target_logit = x[5].memory, .prediction_first = x[6].memory, .target = x[7].memory, .dtype = BF16, .scale = 1.0f};
    report_bytes("cross_entropy_backward", 6.0 * (double)n, bench_seconds(c, call_cross_entropy_backward, &a));
    report_bytes("cross_entropy_max", 4.0 * (double)n, bench_seconds(c, call_cross_entropy_max, &a));
    report_bytes("cross_entropy_sum", 4.0 * (double)n, bench_seconds(c, call_cross_entropy_sum, &a));
    bench_drop(b, x, 8);
}

static void bench_reward(struct cuda_bench *c, const struct sizes *z)
{
    struct bench *b = &c->b;
    int64_t n = z->tokens * z->hidden;
    struct array x[] = {bench_draw(b, n, BF16), bench_draw(b, n, BF16), bench_draw(b, z->hidden, F32), bench_draw(b, z->tokens, F32), bench_draw(b, z->hidden, F32)};
    struct reward_args a = {.rows = z->tokens, .cols = z->hidden, .dtype = BF16, .h = x[0].memory, .w = x[2].memory, .r = x[3].memory, .dr = x[3].memory, .dh = x[1].memory,
                            .dw = x[4].memory};
    report_bytes("reward_forward", 2.0 * (double)n, bench_seconds(c, call_reward_forward, &a));
    report_bytes("reward_backward", 4.0 * (double)n, bench_seconds(c, call_reward_backward, &a));
    bench_drop(b, x, 5);
}

static void bench_optimizer(struct cuda_bench *c, const struct sizes *z)
{
    struct bench *b = &c->b;
    int64_t n = z->elems;
    struct array x[] = {bench_draw(b, n, F32), bench_draw(b, n, F32), bench_draw(b, n, F32), bench_draw(b, n, F32), bench_draw(b, n, BF16), bench_draw(b, 2, F32)};
    bench_fill_with(b, x[2].memory, n, F32, 0.5f);      /* a second moment is never below 0 */
    struct adamw_args a = {.n_elems = n, .master = x[0].memory, .m = x[1].memory, .v = x[2].memory, .grad = x[3].memory, .param = x[4].memory, .dtype = BF16, .lr = 1e-4f, .beta1 = 0.9f,
                           .beta2 = 0.95f, .eps = 1e-8f, .grad_scale = 1.0f, .step = 3};
    struct norm_args norm = {.n_elems = n, .x = x[3].memory, .sum = x[5].memory};
    report_bytes("adamw", 30.0 * (double)n, bench_seconds(c, call_adamw, &a));
    report_bytes("norm_squared", 4.0 * (double)n, bench_seconds(c, call_norm_squared, &norm));
    bench_drop(b, x, 6);
}

static void bench_sample(struct cuda_bench *c, const struct sizes *z, const char *name, struct sample_rule rule)
{
    struct bench *b = &c->b;
    int64_t first[] = {0, z->vocab};
    struct sample_rule *rules = calloc((size_t)z->sample_rows, sizeof *rules);
    struct array x[] = {bench_draw(b, z->sample_rows * z->vocab, F32), bench_draw(b, z->sample_rows, F32)};
    bench_must(rules ? OK : FAIL("out of memory"));
    for (int64_t r = 0; r < z->sample_rows; r++)
        rules[r] = rule, rules[r].top_p = 1.0f, rules[r].banned = -1, rules[r].uniform = (float)r / (float)z->sample_rows;
    struct sample_args a = {.rows = z->sample_rows, .parts = 1, .part_first = first, .part_stride = z->vocab, .logits = x[0].memory, .rule = rules, .token = x[1].memory};
    measure(4.0 * (double)(z->sample_rows * z->vocab) / bench_seconds(c, call_sample, &a) / 1e9, "GB/s", "sample, %s", name);
    free(rules);
    bench_drop(b, x, 2);
}

void cuda_bench_kernels(struct cuda_bench *c)
{
    const struct sizes *z = sizes_of(c);
    bench_norms(c, z);
    bench_elementwise(c, z);
    bench_rope(c, z);
    bench_rows(c, z);
    bench_entropy(c, z);
    bench_reward(c, z);
    bench_optimizer(c, z);
    bench_sample(c, z, "greedy", (struct sample_rule){.temperature = 0.0f});
    bench_sample(c, z, "temperature 1", (struct sample_rule){.temperature = 1.0f});
}

/* ---- products -------------------------------------------------------------------------------------------------------------------------------- */

struct product { int64_t m, n, k; bool trans_a, trans_b, accumulate, wide; };

static double product_seconds(struct cuda_bench *c, const struct product *p)
{
    struct bench *b = &c->b;
    enum dtype dtype_c = p->wide ? F32 : BF16;
    struct array x[] = {bench_draw(b, p->m * p->k, BF16), bench_draw(b, p->k * p->n, BF16), bench_draw(b, p->m * p->n, dtype_c)};
    struct gemm_args a = {.m = p->m, .n = p->n, .k = p->k, .trans_a = p->trans_a, .trans_b = p->trans_b, .accumulate = p->accumulate, .a = x[0].memory, .b = x[1].memory,
                          .c = x[2].memory, .lda = p->trans_a ? p->m : p->k, .ldb = p->trans_b ? p->k : p->n, .ldc = p->n, .dtype_ab = BF16, .dtype_c = dtype_c};
    double seconds = bench_seconds(c, call_gemm, &a);
    bench_drop(b, x, 3);
    return seconds;
}

/* y = x W^T, dx = dy W and dW += dy^T x of W [n, k] for T rows: TFLOP/s of each, and the seconds of all three. */
static double bench_linear(struct cuda_bench *c, const char *model, const char *what, int64_t rows, int64_t n, int64_t k)
{
    const struct { const char *name; struct product product; } way[] = {{"y = x W^T", {rows, n, k, false, true, false, false}}, {"dx = dy W", {rows, k, n, false, false, false, false}},
                                                                        {"dW += dy^T x", {n, k, rows, true, false, true, true}}};
    double sum = 0.0;
    for (int i = 0; i < 3; i++) {
        double seconds = product_seconds(c, &way[i].product);
        measure(2.0 * (double)(rows * n * k) / seconds / 1e12, "TFLOP/s", "product %s, %s, %s [%lld, %lld, %lld]", model, what, way[i].name, (long long)way[i].product.m,
                (long long)way[i].product.n, (long long)way[i].product.k);
        sum += seconds;
    }
    return sum;
}

static void bench_layer(struct cuda_bench *c, const char *model, const struct model_shape *m, int64_t rows, int64_t logit_rows)
{
    int64_t q = (int64_t)m->heads * m->head_dim, kv = (int64_t)m->kv_heads * m->head_dim;
    double seconds = bench_linear(c, model, "query", rows, q, m->hidden) + 2.0 * bench_linear(c, model, "key and value", rows, kv, m->hidden) +
                     bench_linear(c, model, "output", rows, m->hidden, q) + 2.0 * bench_linear(c, model, "gate and up", rows, m->ffn, m->hidden) + bench_linear(c, model, "down", rows, m->hidden, m->ffn);
    double weights = (double)(m->hidden * (2 * q + 2 * kv) + 3 * m->hidden * m->ffn);
    measure(6.0 * weights * (double)rows / seconds / 1e12, "TFLOP/s", "products of a layer, %s", model);
    bench_linear(c, model, "LM head", logit_rows, m->vocab, m->hidden);
}

void cuda_bench_products(struct cuda_bench *c)
{
    const struct sizes *z = sizes_of(c);
    bench_layer(c, "8B", c->small ? &shape_small : &shape_8b, z->tokens, z->logit_rows);
    if (!c->small)
        bench_layer(c, "70B / 8", &shape_70b_share, z->tokens, z->logit_rows);
}
