/* cuda_attention: forest attention where every peer can do it too, 4 sequences of 4,096 tokens, and on the forest that training has: 16 pairs with 4 critiques a side. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/cuda/cuda_bench.h"
#include "trainer/model/attention_plan.h"

BENCH_CALL(attention_forward)
BENCH_CALL(attention_backward)

/* A forest of equal trees. */
static void make_forest(const struct forest_shape *shape, struct forest *out)
{
    uint32_t *token = calloc((size_t)(shape->prompt + shape->response + shape->critique), sizeof *token);
    struct tree_leaf *leaf = calloc((size_t)shape->n_critiques, sizeof *leaf);
    struct tree *tree = calloc((size_t)shape->n_pairs, sizeof *tree);
    bench_must(token && leaf && tree ? OK : FAIL("out of memory"));
    for (int k = 0; k < shape->n_critiques; k++)
        leaf[k] = (struct tree_leaf){{token, shape->critique}, 1.0f, true};
    for (int i = 0; i < shape->n_pairs; i++)
        tree[i] = (struct tree){.prompt = {token, shape->prompt}, .response = {{token, shape->response}, {token, shape->response}}, .n_leaves = {shape->n_critiques, shape->n_critiques},
                                .leaf = {leaf, leaf}};
    bench_must(forest_build(tree, shape->n_pairs, &(struct forest_layout){.share_prefix = true, .row_multiple = 1}, out));
    free(token), free(leaf), free(tree);
}

/* Sequences one behind the other. */
static void make_sequences(int n, int length, struct forest *out)
{
    *out = (struct forest){.n_tokens = n * length, .n_rows = n * length, .n_nodes = n, .node = calloc((size_t)n, sizeof *out->node)};
    bench_must(out->node ? OK : FAIL("out of memory"));
    for (int i = 0; i < n; i++)
        out->node[i] = (struct forest_node){i * length, length, -1, (i + 1) * length};
}

static void bench_forest(struct cuda_bench *c, const char *name, const struct forest *forest, const struct model_shape *m)
{
    struct bench *b = &c->b;
    struct attention_plan plan = {0};
    int64_t q = (int64_t)forest->n_rows * m->heads * m->head_dim, kv = (int64_t)forest->n_rows * m->kv_heads * m->head_dim, rows = (int64_t)forest->n_rows * m->heads;
    struct array x[] = {bench_draw(b, q, BF16), bench_draw(b, kv, BF16), bench_draw(b, kv, BF16), bench_draw(b, q, BF16), bench_draw(b, rows, F32), bench_draw(b, q, BF16),
                        bench_draw(b, q, BF16), bench_draw(b, kv, BF16), bench_draw(b, kv, BF16), bench_draw(b, rows, F32)};
    bench_must(attention_plan_make(&plan, forest));
    struct attention_args a = {.rows = forest->n_rows, .key_rows = forest->n_rows, .heads = m->heads, .kv_heads = m->kv_heads, .dim = m->head_dim, .scale = 1.0f / sqrtf((float)m->head_dim),
                               .dtype = BF16, .q_THD = x[0].memory, .k_SGD = x[1].memory, .v_SGD = x[2].memory, .o_THD = x[3].memory, .lse_HT = x[4].memory, .do_THD = x[5].memory,
                               .dq_THD = x[6].memory, .dk_SGD = x[7].memory, .dv_SGD = x[8].memory, .delta_HT = x[9].memory, .runs = plan.run, .n_runs = plan.n_runs, .ranges = plan.range,
                               .key_runs = plan.key_run, .n_key_runs = plan.n_runs};
    double pairs = bench_attention_pairs(&a), forward_s = bench_seconds(c, call_attention_forward, &a), backward_s = bench_seconds(c, call_attention_backward, &a);
    measure(4.0 * m->head_dim * pairs / forward_s / 1e12, "TFLOP/s", "attention forward, %s", name);
    measure(10.0 * m->head_dim * pairs / backward_s / 1e12, "TFLOP/s", "attention backward, %s", name);
    measure(1.0 / forward_s, "1/s", "attention forward, %s, per second", name);
    measure(1.0 / backward_s, "1/s", "attention backward, %s, per second", name);
    attention_plan_free(&plan);
    bench_drop(b, x, 10);
}

void cuda_bench_attention(struct cuda_bench *c)
{
    struct forest forest, sequences;
    make_forest(c->small ? &forest_small : &forest_16, &forest);
    make_sequences(c->small ? 2 : 4, c->small ? 80 : 4096, &sequences);
    bench_forest(c, "causal, 8B", &sequences, c->small ? &shape_small : &shape_8b);
    bench_forest(c, "forest, 8B", &forest, c->small ? &shape_small : &shape_8b);
    if (!c->small) {
        bench_forest(c, "causal, 70B / 8", &sequences, &shape_70b_share);
        bench_forest(c, "forest, 70B / 8", &forest, &shape_70b_share);
    }
    free(sequences.node);
    forest_free(&forest);
}
