/* Trees laid out in a forest, by hand and against counting. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "dataset/tree.h"

enum { REWARD = 99 };

static const uint32_t prompt_tokens[] = {1, 2, 3}, chosen_tokens[] = {10, 11}, rejected_tokens[] = {20};
static const uint32_t z0[] = {30, 31}, z1[] = {30, 32, 33}, z2[] = {40, 41};
static const struct tree_leaf chosen_leaves[] = {{{z0, 2}, 0.5f, true}, {{z1, 3}, 0.5f, false}}, rejected_leaves[] = {{{z2, 2}, 0.25f, true}};
static const struct tree_comparison comparison = {0, 0, 0.125f};

static struct tree example(void)
{
    return (struct tree){.prompt = {prompt_tokens, 3}, .response = {{chosen_tokens, 2}, {rejected_tokens, 1}}, .n_leaves = {2, 1}, .leaf = {chosen_leaves, rejected_leaves},
                         .n_comparisons = 1, .comparison = &comparison};
}

static struct forest build(const struct tree *tree, int n, bool share, int multiple)
{
    struct forest f;
    assert_int_equal(forest_build(tree, n, &(struct forest_layout){REWARD, share, multiple}, &f), OK);
    return f;
}

static void a_pair_is_laid_out_depth_first(void **state)
{
    (void)state;
    struct tree tree = example();
    struct forest f = build(&tree, 1, true, 1);
    static const uint32_t token[] = {1, 2, 3, 10, 11, 30, 31, REWARD, 30, 32, 33, 20, 40, 41, REWARD};
    static const int32_t position[] = {0, 1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 3, 4, 5, 6};
    static const struct forest_node node[] = {{0, 3, -1, 15}, {3, 2, 0, 11}, {5, 3, 1, 8}, {8, 3, 1, 11}, {11, 1, 0, 15}, {12, 3, 4, 15}};
    assert_int_equal(f.n_tokens, 15);
    assert_memory_equal(f.token, token, sizeof token);
    assert_memory_equal(f.position, position, sizeof position);
    assert_int_equal(f.n_nodes, 6);
    assert_memory_equal(f.node, node, sizeof node);
    forest_free(&f);
}

static void the_last_row_of_a_response_predicts_the_first_token_of_each_critique_and_equal_ones_are_merged(void **state)
{
    (void)state;
    struct tree tree = example();
    struct forest f = build(&tree, 1, true, 1);
    static const struct forest_prediction want[] = {{4, 30, 1.0f}, {5, 31, 0.5f}, {8, 32, 0.5f}, {9, 33, 0.5f}, {11, 40, 0.25f}, {12, 41, 0.25f}};
    assert_int_equal(f.n_predictions, 6);
    assert_memory_equal(f.prediction, want, sizeof want);
    forest_free(&f);
}

static void rewards_are_read_at_the_reward_tokens_and_compared(void **state)
{
    (void)state;
    struct tree trees[2] = {example(), example()};
    struct forest f = build(trees, 2, true, 1);
    static const int32_t rows[] = {7, 14, 22, 29};
    assert_int_equal(f.n_rewards, 4);
    assert_memory_equal(f.reward_row, rows, sizeof rows);
    assert_int_equal(f.n_comparisons, 2);
    assert_int_equal(f.comparison[1].chosen, 2);
    assert_int_equal(f.comparison[1].rejected, 3);
    assert_true(f.comparison[1].weight == 0.125f);
    forest_free(&f);
}

/* Sum of weights by (path of tokens up to the row, target) is what training sees. */
static uint64_t path_hash(const struct forest *f, int32_t row)
{
    uint64_t sum = 0;
    int32_t node = 0;
    for (int32_t i = 0; i < f->n_nodes; i++)
        if (f->node[i].first <= row && row < f->node[i].first + f->node[i].count)
            node = i;
    for (int32_t last = row; node >= 0; node = f->node[node].parent, last = node >= 0 ? f->node[node].first + f->node[node].count - 1 : 0)
        for (int32_t r = f->node[node].first; r <= last; r++)
            sum += (f->token[r] + 1u) * 2654435761u * (uint64_t)(f->position[r] + 1) * (uint64_t)(f->position[r] + 7);
    return sum;
}

static double weight_of(const struct forest *f, uint64_t path, uint32_t target)
{
    double sum = 0.0;
    for (int32_t i = 0; i < f->n_predictions; i++)
        if (f->prediction[i].target == target && path_hash(f, f->prediction[i].row) == path)
            sum += (double)f->prediction[i].weight;
    return sum;
}

static void copied_prefixes_carry_the_same_predictions_and_comparisons(void **state)
{
    (void)state;
    struct tree tree = example();
    struct forest shared = build(&tree, 1, true, 1), copied = build(&tree, 1, false, 1);
    assert_int_equal(copied.n_tokens, 3 * 3 + 2 + 2 + 1 + 3 + 3 + 3);
    assert_int_equal(copied.n_predictions, 7);
    for (int32_t i = 0; i < shared.n_predictions; i++) {
        uint64_t path = path_hash(&shared, shared.prediction[i].row);
        assert_true(fabs(weight_of(&shared, path, shared.prediction[i].target) - weight_of(&copied, path, shared.prediction[i].target)) < 1e-7);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(path_hash(&shared, shared.reward_row[i]), path_hash(&copied, copied.reward_row[i]));
    assert_int_equal(copied.comparison[0].chosen, 0);
    assert_int_equal(copied.comparison[0].rejected, 1);
    forest_free(&shared);
    forest_free(&copied);
}

static void a_leaf_without_weight_has_no_predictions_and_one_without_text_is_a_reward_token_alone(void **state)
{
    (void)state;
    static const struct tree_leaf only[] = {{{NULL, 0}, 0.0f, true}}, silent[] = {{{z2, 2}, 0.0f, true}};
    struct tree tree = {.prompt = {prompt_tokens, 3}, .response = {{chosen_tokens, 2}, {rejected_tokens, 1}}, .n_leaves = {1, 1}, .leaf = {only, silent}, .n_comparisons = 1,
                        .comparison = &comparison};
    struct forest f = build(&tree, 1, true, 1);
    assert_int_equal(f.n_predictions, 0);
    assert_int_equal(f.n_tokens, 3 + 2 + 1 + 1 + 3);
    assert_int_equal(f.node[2].first, 5);
    assert_int_equal(f.node[2].count, 1);
    assert_int_equal(f.node[2].parent, 1);
    assert_int_equal(f.token[5], REWARD);
    assert_int_equal(f.position[5], 5);
    forest_free(&f);
}

static void a_conversation_is_one_path_of_two_nodes(void **state)
{
    (void)state;
    struct tree tree = {.prompt = {prompt_tokens, 3}, .n_leaves = {1, 0}, .leaf = {chosen_leaves + 1, NULL}};
    struct forest f = build(&tree, 1, true, 1);
    static const struct forest_prediction want[] = {{2, 30, 0.5f}, {3, 32, 0.5f}, {4, 33, 0.5f}};
    assert_int_equal(f.n_nodes, 2);
    assert_int_equal(f.node[1].parent, 0);
    assert_int_equal(f.position[5], 5);
    assert_int_equal(f.n_predictions, 3);
    assert_memory_equal(f.prediction, want, sizeof want);
    forest_free(&f);
}

static void rows_are_padded_to_the_tensor_axis(void **state)
{
    (void)state;
    struct tree tree = example();
    struct forest f = build(&tree, 1, true, 4);
    assert_int_equal(f.n_tokens, 15);
    assert_int_equal(f.n_rows, 16);
    assert_int_equal(f.token[15], 0);
    assert_int_equal(f.position[15], 0);
    forest_free(&f);
}

static void no_trees_make_an_empty_forest(void **state)
{
    (void)state;
    struct forest f = build(NULL, 0, true, 4);
    assert_int_equal(f.n_rows, 0);
    assert_int_equal(f.n_nodes, 0);
    forest_free(&f);
}

static int64_t pairs_in(const struct forest *f)
{
    int64_t n = 0;
    for (int32_t i = 0; i < f->n_nodes; i++) {
        int64_t above = 0, count = f->node[i].count;
        for (int32_t p = f->node[i].parent; p >= 0; p = f->node[p].parent)
            above += f->node[p].count;
        n += count * above + count * (count + 1) / 2;
    }
    return n;
}

static void the_cost_of_a_tree_is_what_its_forest_holds(void **state)
{
    (void)state;
    static const int32_t chosen_rows[] = {3, 3}, rejected_rows[] = {3};
    struct tree_shape shape = {3, {2, 1}, {2, 1}, {chosen_rows, rejected_rows}};
    struct tree tree = example();
    for (int share = 0; share < 2; share++) {
        struct forest f = build(&tree, 1, share, 1);
        struct tree_cost cost = tree_cost(&shape, share);
        assert_int_equal(cost.tokens, f.n_tokens);
        assert_int_equal(cost.attention_pairs, pairs_in(&f));
        forest_free(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_laid_out_depth_first),
        cmocka_unit_test(the_last_row_of_a_response_predicts_the_first_token_of_each_critique_and_equal_ones_are_merged),
        cmocka_unit_test(rewards_are_read_at_the_reward_tokens_and_compared),
        cmocka_unit_test(copied_prefixes_carry_the_same_predictions_and_comparisons),
        cmocka_unit_test(a_leaf_without_weight_has_no_predictions_and_one_without_text_is_a_reward_token_alone),
        cmocka_unit_test(a_conversation_is_one_path_of_two_nodes),
        cmocka_unit_test(rows_are_padded_to_the_tensor_axis),
        cmocka_unit_test(no_trees_make_an_empty_forest),
        cmocka_unit_test(the_cost_of_a_tree_is_what_its_forest_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
