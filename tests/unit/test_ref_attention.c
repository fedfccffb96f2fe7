/* Attention of the reference on random forests: against softmax over the rows that the parents say are seen, and by finite differences. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/tools/finite_difference.h"
#include "tests/tools/random_forest.h"
#include "tests/tools/random_values.h"

struct problem { struct random_forest forest; struct attention_args args; float *q, *k, *v, *o, *lse, *do_, *dq, *dk, *dv, *delta; int64_t n_q, n_k; };

static float *values(struct random *random, int64_t n_elems)
{
    float *x = malloc((size_t)n_elems * sizeof *x);
    assert_non_null(x);
    random_fill(random, x, n_elems, 1.0, F32);
    return x;
}

static void create(struct problem *p, uint64_t seed, int heads, int kv_heads, int dim)
{
    struct random random = {seed};
    p->forest = random_forest_create(&random, &(struct random_forest_shape){.n_trees = 2, .max_depth = 3, .max_children = 2, .max_count = 4, .n_padding = 3});
    int64_t rows = p->forest.n_rows;
    p->n_q = rows * heads * dim, p->n_k = rows * kv_heads * dim;
    p->q = values(&random, p->n_q), p->k = values(&random, p->n_k), p->v = values(&random, p->n_k);
    p->o = values(&random, p->n_q), p->do_ = values(&random, p->n_q), p->dq = values(&random, p->n_q);
    p->dk = values(&random, p->n_k), p->dv = values(&random, p->n_k);
    p->lse = values(&random, rows * heads), p->delta = values(&random, rows * heads);
    p->args = (struct attention_args){.rows = rows, .key_rows = rows, .heads = heads, .kv_heads = kv_heads, .dim = dim, .scale = 1.0f / sqrtf((float)dim),
        .q_THD = p->q, .k_SGD = p->k, .v_SGD = p->v, .o_THD = p->o, .lse_HT = p->lse, .runs = p->forest.runs, .n_runs = p->forest.n_runs,
        .ranges = p->forest.ranges, .do_THD = p->do_, .dq_THD = p->dq, .dk_SGD = p->dk, .dv_SGD = p->dv, .delta_HT = p->delta,
        .key_runs = p->forest.key_runs, .n_key_runs = p->forest.n_key_runs};
}

static void destroy(struct problem *p)
{
    float *all[] = {p->q, p->k, p->v, p->o, p->lse, p->do_, p->dq, p->dk, p->dv, p->delta};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    random_forest_destroy(&p->forest);
}

/* Softmax over the rows that the forest's parents say are seen; o_D and lse of one row and head. */
static double dense(const struct problem *p, int32_t t, int h, double *o_D)
{
    const struct attention_args *a = &p->args;
    int kv = h * a->kv_heads / a->heads;
    double sum = 0.0;
    for (int d = 0; d < a->dim; d++)
        o_D[d] = 0.0;
    for (int32_t key = 0; key < p->forest.n_rows; key++) {
        if (!random_forest_sees(&p->forest, t, key))
            continue;
        double s = 0.0;
        for (int d = 0; d < a->dim; d++)
            s += (double)p->q[(t * a->heads + h) * a->dim + d] * (double)p->k[(key * a->kv_heads + kv) * a->dim + d];
        double e = exp((double)a->scale * s);
        sum += e;
        for (int d = 0; d < a->dim; d++)
            o_D[d] += e * (double)p->v[(key * a->kv_heads + kv) * a->dim + d];
    }
    for (int d = 0; d < a->dim && sum > 0.0; d++)
        o_D[d] /= sum;
    return log(sum);
}

static const struct { int heads, kv_heads, dim; } shapes[] = {{1, 1, 4}, {4, 2, 3}, {3, 1, 5}, {6, 3, 8}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void each_row_sees_its_ancestors_and_its_own_node_up_to_itself(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3 * N_SHAPES; i++) {
        struct problem p;
        create(&p, 10 + i, shapes[i % N_SHAPES].heads, shapes[i % N_SHAPES].kv_heads, shapes[i % N_SHAPES].dim);
        assert_int_equal(kernels_ref.attention_forward(NULL, &p.args), OK);
        for (int32_t t = 0; t < p.forest.n_rows; t++)
            for (int h = 0; h < p.args.heads; h++) {
                double o_D[16], lse = dense(&p, t, h, o_D);
                for (int d = 0; d < p.args.dim; d++)
                    assert_float_equal(p.o[(t * p.args.heads + h) * p.args.dim + d], (float)o_D[d], 1e-6f);
                if (t < p.forest.n_tokens)
                    assert_float_equal(p.lse[h * p.args.rows + t], (float)lse, 1e-5f);
            }
        destroy(&p);
    }
}

/* In generation keys lie in cache slots: here node by node from the last to the first, after some unused slots. */
static void a_key_store_in_another_order_gives_the_same_bits(void **state)
{
    (void)state;
    enum { UNUSED = 3 };
    struct problem p;
    create(&p, 30, 4, 2, 4);
    int64_t width = 2 * 4, slots = p.args.rows + UNUSED;
    assert_int_equal(kernels_ref.attention_forward(NULL, &p.args), OK);
    struct random random = {31};
    float *k = values(&random, slots * width), *v = values(&random, slots * width), *o = values(&random, p.n_q);
    int32_t tokens = p.forest.n_tokens;
    for (int32_t i = 0; i < p.forest.n_nodes; i++) {
        const struct forest_node *node = &p.forest.node[i];
        int64_t slot = UNUSED + tokens - node->first - node->count;
        memcpy(k + slot * width, p.k + node->first * width, (size_t)(node->count * width) * sizeof(float));
        memcpy(v + slot * width, p.v + node->first * width, (size_t)(node->count * width) * sizeof(float));
    }
    for (int i = 0; i < p.forest.n_ranges; i++) {       /* every range starts at its node's first row */
        struct attention_range *range = &p.forest.ranges[i];
        int32_t n = 0;
        while (p.forest.node[n].first != range->first)
            n++;
        range->first = UNUSED + tokens - range->first - p.forest.node[n].count;
    }
    struct attention_args args = p.args;
    args.k_SGD = k, args.v_SGD = v, args.o_THD = o, args.key_rows = slots;
    assert_int_equal(kernels_ref.attention_forward(NULL, &args), OK);
    assert_memory_equal(o, p.o, (size_t)p.n_q * sizeof(float));
    free(k), free(v), free(o);
    destroy(&p);
}

static double attention_loss(void *context)
{
    struct problem *p = context;
    assert_int_equal(kernels_ref.attention_forward(NULL, &p->args), OK);
    return weighted_sum(p->o, p->do_, p->n_q);
}

static void the_backward_of_forest_attention_agrees_with_finite_differences(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < N_SHAPES; i++) {
        struct problem p;
        create(&p, 40 + i, shapes[i].heads, shapes[i].kv_heads, shapes[i].dim);
        attention_loss(&p);
        assert_int_equal(kernels_ref.attention_backward(NULL, &p.args), OK);
        assert_gradient("dq", p.q, p.dq, p.n_q, attention_loss, &p, 2e-4);
        assert_gradient("dk", p.k, p.dk, p.n_k, attention_loss, &p, 2e-4);
        assert_gradient("dv", p.v, p.dv, p.n_k, attention_loss, &p, 2e-4);
        destroy(&p);
    }
}

static void padding_rows_give_and_get_nothing(void **state)
{
    (void)state;
    struct problem p;
    create(&p, 50, 4, 2, 4);
    attention_loss(&p);
    assert_int_equal(kernels_ref.attention_backward(NULL, &p.args), OK);
    for (int64_t i = (int64_t)p.forest.n_tokens * 16; i < p.n_q; i++)
        assert_true(p.o[i] == 0.0f && p.dq[i] == 0.0f);
    for (int64_t i = (int64_t)p.forest.n_tokens * 8; i < p.n_k; i++)
        assert_true(p.dk[i] == 0.0f && p.dv[i] == 0.0f);
    destroy(&p);
}

static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    struct problem p;
    create(&p, 60, 2, 1, 4);
    p.args.scale = 1e4f;
    attention_loss(&p);
    assert_int_equal(kernels_ref.attention_backward(NULL, &p.args), OK);
    for (int64_t i = 0; i < p.n_q; i++)
        assert_true(isfinite(p.o[i]) && isfinite(p.dq[i]));
    destroy(&p);
}

static void an_empty_forest_is_no_work(void **state)
{
    (void)state;
    struct attention_args args = {.heads = 2, .kv_heads = 1, .dim = 4, .scale = 1.0f};
    assert_int_equal(kernels_ref.attention_forward(NULL, &args), OK);
    assert_int_equal(kernels_ref.attention_backward(NULL, &args), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_sees_its_ancestors_and_its_own_node_up_to_itself),
        cmocka_unit_test(a_key_store_in_another_order_gives_the_same_bits),
        cmocka_unit_test(the_backward_of_forest_attention_agrees_with_finite_differences),
        cmocka_unit_test(padding_rows_give_and_get_nothing),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(an_empty_forest_is_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
