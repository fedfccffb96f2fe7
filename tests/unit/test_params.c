#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "trainer/model/params.h"

static const struct model_config model = {.family = FAMILY_QWEN2, .layers = 2, .heads = 8, .kv_heads = 2, .head_dim = 4, .hidden = 12, .ffn = 16, .vocab = 13, .qkv_bias = true,
                                          .head_norms = true};

/* Every element of a tensor is held by `copies` ranks of the axis. */
static void shards_cover_each_tensor_as_often_as_there_are_copies(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 8; tp *= 2) {
        struct param_table *t[8];
        for (int r = 0; r < tp; r++)
            assert_int_equal(params_build(&model, tp, r, &t[r]), OK);
        for (int i = 0; i < t[0]->n; i++) {
            const struct param *p = &t[0]->params[i];
            int *seen = calloc((size_t)(p->shape[0] * p->shape[1]), sizeof *seen);
            for (int r = 0; r < tp; r++) {
                const struct param *q = &t[r]->params[i];
                for (int64_t e = 0; e < q->n_local; e++)
                    seen[(q->box_offset[0] + e / q->local_shape[1]) * p->shape[1] + q->box_offset[1] + e % q->local_shape[1]]++;
            }
            for (int64_t e = 0; e < p->shape[0] * p->shape[1]; e++)
                assert_int_equal(seen[e], p->copies);
            free(seen);
        }
        for (int r = 0; r < tp; r++)
            params_free(&t[r]);
    }
}

static void key_value_heads_are_copied_when_there_are_more_ranks(void **state)
{
    (void)state;
    struct param_table *t;
    assert_int_equal(params_build(&model, 8, 5, &t), OK);
    const struct param *p = &t->params[params_find(t, "model.layers.1.self_attn.k_proj.weight")];
    assert_int_equal(p->copies, 4);
    assert_int_equal(p->box_offset[0], 4);      /* ranks 4 to 7 hold head 1 */
    assert_int_equal(p->local_shape[0], 4);
    params_free(&t);
}

static void buckets_lie_one_behind_the_other(void **state)
{
    (void)state;
    struct param_table *t;
    assert_int_equal(params_build(&model, 2, 1, &t), OK);
    assert_int_equal(t->n_buckets, model.layers + 3);
    for (int b = 0, next = 0; b < t->n_buckets; b++) {
        int64_t at = 0;
        assert_int_equal(t->bucket[b].first_param, next);
        for (int i = 0; i < t->bucket[b].n_params; i++, next++) {
            assert_int_equal(t->params[next].bucket, b);
            assert_int_equal(t->params[next].offset, at);
            at += t->params[next].n_local;
        }
        assert_int_equal(t->bucket[b].n_elems, at);
    }
    assert_int_equal(t->params[params_find(t, "score.weight")].group, GROUP_REWARD);
    assert_int_equal(t->params[params_find(t, "score.weight")].bucket, t->n_buckets - 1);
    params_free(&t);
}

static void tied_embeddings_have_no_lm_head(void **state)
{
    (void)state;
    struct param_table *t;
    struct model_config tied = model;
    tied.tie_embeddings = true;
    assert_int_equal(params_build(&tied, 1, 0, &t), OK);
    assert_int_equal(params_find(t, "lm_head.weight"), -1);
    params_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_cover_each_tensor_as_often_as_there_are_copies),
        cmocka_unit_test(key_value_heads_are_copied_when_there_are_more_ranks),
        cmocka_unit_test(buckets_lie_one_behind_the_other),
        cmocka_unit_test(tied_embeddings_have_no_lm_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
