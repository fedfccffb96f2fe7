/* The step plan over made-up lengths: what every rank must agree on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "dataset/plan.h"

enum { PAIRS = 23, MOST = 6, PATH = 40 };

/* Lengths by a small generator; critiques 1..MOST a side. */
struct lengths { uint64_t source[PAIRS]; int32_t prompt[PAIRS], response[2 * PAIRS], critique[2 * PAIRS * MOST]; int64_t first[2 * PAIRS + 1]; };

static struct plan_set make_set(struct lengths *l)
{
    uint64_t x = 12345;
    int64_t n = 0;
    for (int p = 0; p < PAIRS; p++) {
        l->source[p] = (uint64_t)p * 3;
        l->prompt[p] = 1 + (int32_t)((x = x * 6364136223846793005u + 99) >> 33) % 12;
        for (int side = 0; side < 2; side++) {
            l->response[2 * p + side] = 4 + (int32_t)((x = x * 6364136223846793005u + 99) >> 33) % 12;
            l->first[2 * p + side] = n;
            int k = 1 + (int)((x = x * 6364136223846793005u + 99) >> 33) % MOST;
            for (int i = 0; i < k; i++)
                l->critique[n++] = 1 + (int32_t)((x = x * 6364136223846793005u + 99) >> 33) % 12;
        }
    }
    l->first[2 * PAIRS] = n;
    return (struct plan_set){PAIRS, l->source, l->prompt, l->response, l->first, l->critique};
}

static double lambda_half(const void *context, int64_t step) { return (void)context, (void)step, 0.5; }
static double lambda_one(const void *context, int64_t step) { return (void)context, (void)step, 1.0; }
static double lambda_zero(const void *context, int64_t step) { return (void)context, (void)step, 0.0; }

static struct plan_options options(void)
{
    return (struct plan_options){.set_name = "a set", .seed = 7, .mode = MODE_CRITIC_RM, .pairing = PAIRING_ZIP, .critique_norm = NORM_TOKEN, .pairs_per_step = 5, .epochs = 2, .micro_batch_tokens = 2 * PATH,
                                 .max_path_tokens = PATH, .data_size = 1, .row_multiple = 1, .share_prefix = true, .token_cost = 100, .attention_cost = 1, .lambda = lambda_half};
}

static struct plan *open_plan(const struct plan_set *set, const struct plan_options *o)
{
    struct plan *plan = NULL;
    assert_int_equal(plan_create(set, o, &plan), OK);
    return plan;
}

static const struct step_plan *at(struct plan *plan, int64_t step)
{
    const struct step_plan *s;
    assert_int_equal(plan_step(plan, step, &s), OK);
    return s;
}

static void refused(const struct plan_set *set, const struct plan_options *o, int status, const char *words)
{
    struct plan *plan = NULL;
    trace_clear();
    assert_int_equal(plan_create(set, o, &plan), status);
    assert_null(plan);
    assert_non_null(strstr(trace_sentence(), words));
    trace_clear();
}

/* ---- order ----------------------------------------------------------------------------------------------------------------------------------- */

static void every_epoch_visits_every_pair_once_and_its_last_step_is_short(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    o.micro_batch_tokens = 100000;
    struct plan *plan = open_plan(&set, &o);
    assert_int_equal(plan_steps_per_epoch(plan), 5);
    int64_t order[2][PAIRS];
    for (int epoch = 0; epoch < 2; epoch++) {
        int seen[PAIRS] = {0}, n = 0;
        for (int step = 0; step < 5; step++) {
            const struct step_plan *s = at(plan, epoch * 5 + step);
            assert_int_equal(s->epoch, epoch);
            assert_int_equal(s->n_pairs, step < 4 ? 5 : 3);
            for (int64_t i = 0; i < s->n_parts; i++) {
                seen[s->part[i].pair]++;
                order[epoch][n++] = s->part[i].pair;
            }
        }
        for (int p = 0; p < PAIRS; p++)
            assert_int_equal(seen[p], 1);
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    plan_free(&plan);
}

static void the_order_does_not_know_the_mesh(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options one = options(), many = options();
    many.data_size = 5;
    many.row_multiple = 4;
    struct plan *a = open_plan(&set, &one), *b = open_plan(&set, &many);
    for (int64_t step = 9; step >= 0; step--) {
        const struct step_plan *x = at(a, step), *y = at(b, step);
        assert_int_equal(x->n_parts, y->n_parts);
        assert_int_equal(x->n_targets, y->n_targets);
        for (int64_t i = 0; i < x->n_parts; i++)
            assert_int_equal(x->part[i].pair, y->part[i].pair);
    }
    plan_free(&a);
    plan_free(&b);
}

/* ---- the sums of a step ------------------------------------------------------------------------------------------------------------------------ */

struct sums { double targets, comparisons; int64_t leaves, rewards, compared; uint64_t ends; int leaf[PAIRS][2][MOST]; };

/* ends: of the compared critique numbers, whatever part they are in */
static struct sums add_up(const struct plan_set *set, const struct step_plan *s)
{
    struct sums sum = {0};
    for (int64_t i = 0; i < s->n_parts; i++) {
        const struct plan_part *part = &s->part[i];
        for (int side = 0; side < 2; side++)
            for (int32_t k = 0; k < part->n_leaves[side]; k++) {
                struct plan_leaf leaf = s->leaf[part->first_leaf[side] + k];
                int32_t n = leaf.critique < 0 ? 0 : set->n_critique[set->first_critique[2 * part->pair + side] + leaf.critique];
                sum.targets += part->leaf_weight[side] * n;
                sum.leaf[part->pair][side][leaf.critique < 0 ? 0 : leaf.critique]++;
                sum.leaves++;
                sum.rewards += leaf.reward;
            }
        for (int32_t k = 0; k < part->n_comparisons; k++) {
            struct plan_comparison c = s->comparison[part->first_comparison + k];
            struct plan_leaf a = s->leaf[part->first_leaf[0] + c.chosen], b = s->leaf[part->first_leaf[1] + c.rejected];
            assert_true(c.chosen < part->n_leaves[0] && c.rejected < part->n_leaves[1] && a.reward && b.reward);
            sum.ends += (uint64_t)(part->pair * 1000003 + (a.critique + 2) * 1009 + (b.critique + 2) * 13) * 0x9e3779b97f4a7c15u;
            sum.comparisons += part->comparison_weight;
            sum.compared++;
        }
    }
    return sum;
}

static void token_weights_sum_to_one_and_comparison_weights_too(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    for (int pairing = PAIRING_ZIP; pairing <= PAIRING_CROSS; pairing++) {
        struct plan_options o = options();
        o.pairing = pairing;
        o.micro_batch_tokens = pairing == PAIRING_CROSS ? 400 : 2 * PATH;
        struct plan *plan = open_plan(&set, &o);
        for (int64_t step = 0; step < 10; step++) {
            const struct step_plan *s = at(plan, step);
            struct sums sum = add_up(&set, s);
            assert_true(fabs(sum.targets - 1.0) < 1e-12);
            assert_true(fabs(sum.comparisons - 1.0) < 1e-12);
            assert_int_equal(sum.compared, s->n_comparisons);
        }
        plan_free(&plan);
    }
}

static void sequence_weights_make_each_response_one_over_the_pairs(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    o.critique_norm = NORM_SEQUENCE;
    struct plan *plan = open_plan(&set, &o);
    const struct step_plan *s = at(plan, 0);
    double sum[PAIRS][2] = {{0}};
    for (int64_t i = 0; i < s->n_parts; i++)
        for (int side = 0; side < 2; side++)
            sum[s->part[i].pair][side] += s->part[i].leaf_weight[side] * s->part[i].n_leaves[side];
    for (int64_t i = 0; i < s->n_parts; i++)
        for (int side = 0; side < 2; side++)
            assert_true(fabs(sum[s->part[i].pair][side] - 1.0 / 5.0) < 1e-12);
    plan_free(&plan);
}

static void a_split_tree_keeps_its_critiques_and_comparisons(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    for (int pairing = PAIRING_ZIP; pairing <= PAIRING_SAMPLE; pairing++) {
        struct plan_options small = options(), large = options();
        small.pairing = large.pairing = pairing;
        large.micro_batch_tokens = 100000;
        struct plan *a = open_plan(&set, &small), *b = open_plan(&set, &large);
        int64_t split = 0;
        for (int64_t step = 0; step < 10; step++) {
            const struct step_plan *x = at(a, step), *y = at(b, step);
            struct sums p = add_up(&set, x), q = add_up(&set, y);
            split += x->n_parts - y->n_parts;
            assert_memory_equal(p.leaf, q.leaf, sizeof p.leaf);
            assert_int_equal(p.compared, q.compared);
            assert_int_equal(p.ends, q.ends);
            assert_int_equal(x->n_targets, y->n_targets);
            assert_int_equal(x->tokens_unshared, y->tokens_unshared);
            assert_true(x->tokens >= y->tokens);
            for (int64_t i = 0; i < x->n_parts; i++)
                assert_true(x->part[i].tokens <= small.micro_batch_tokens);
        }
        assert_true(split > 0);
        plan_free(&a);
        plan_free(&b);
    }
}

static void only_what_carries_a_loss_is_planned(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    o.lambda = lambda_one;
    struct plan *plan = open_plan(&set, &o);
    struct sums sum = add_up(&set, at(plan, 0));
    assert_int_equal(sum.rewards, 0);
    assert_int_equal(sum.compared, 0);
    plan_free(&plan);
    o.lambda = lambda_zero;
    o.pairing = PAIRING_SAMPLE;
    plan = open_plan(&set, &o);
    const struct step_plan *s = at(plan, 0);
    sum = add_up(&set, s);
    assert_int_equal(s->n_targets, 0);
    assert_true(sum.targets == 0.0);
    assert_int_equal(sum.leaves, 10);
    assert_int_equal(sum.rewards, 10);
    assert_int_equal(sum.compared, 5);
    plan_free(&plan);
}

static int64_t comparisons_of(const struct plan_set *set, const struct plan_options *o, int64_t pair)
{
    struct plan *plan = open_plan(set, o);
    int64_t n = 0;
    for (int64_t step = 0; step < 5; step++) {
        const struct step_plan *s = at(plan, step);
        for (int64_t i = 0; i < s->n_parts; i++)
            n += s->part[i].pair == pair ? s->part[i].n_comparisons : 0;
    }
    plan_free(&plan);
    return n;
}

static void zip_stops_at_the_shorter_sample_draws_one_and_cross_takes_all(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    o.micro_batch_tokens = 1000;
    for (int64_t p = 0; p < PAIRS; p++) {
        int64_t a = set.first_critique[2 * p + 1] - set.first_critique[2 * p], b = set.first_critique[2 * p + 2] - set.first_critique[2 * p + 1];
        o.pairing = PAIRING_ZIP;
        assert_int_equal(comparisons_of(&set, &o, p), a < b ? a : b);
        o.pairing = PAIRING_SAMPLE;
        assert_int_equal(comparisons_of(&set, &o, p), 1);
        o.pairing = PAIRING_CROSS;
        assert_int_equal(comparisons_of(&set, &o, p), a * b);
    }
}

static void reward_only_leaves_the_instruction_off(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    o.mode = MODE_REWARD_ONLY;
    o.lambda = lambda_zero;
    o.lead_in = 3;
    struct plan *plan = open_plan(&set, &o);
    const struct step_plan *s = at(plan, 0);
    assert_int_equal(s->n_parts, 5);
    for (int64_t i = 0; i < s->n_parts; i++) {
        int64_t p = s->part[i].pair;
        assert_int_equal(s->part[i].tokens, l.prompt[p] + l.response[2 * p] + l.response[2 * p + 1] - 6 + 2);
        assert_int_equal(s->leaf[s->part[i].first_leaf[0]].critique, -1);
        assert_int_equal(s->part[i].n_comparisons, 1);
    }
    plan_free(&plan);
}

/* ---- who computes what ------------------------------------------------------------------------------------------------------------------------- */

static void micro_batches_stay_in_the_budget_and_ranks_are_even(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    o.data_size = 3;
    o.pairs_per_step = PAIRS;
    struct plan *plan = open_plan(&set, &o);
    const struct step_plan *s = at(plan, 0);
    int64_t load[3] = {0}, largest = 0, *rows = calloc((size_t)(3 * s->n_micro_batches), sizeof *rows);
    int used[3] = {0};
    for (int64_t i = 0; i < s->n_parts; i++) {
        const struct plan_part *part = &s->part[i];
        assert_in_range(part->data_rank, 0, 2);
        assert_in_range(part->micro_batch, 0, s->n_micro_batches - 1);
        load[part->data_rank] += part->operations;
        rows[part->data_rank * s->n_micro_batches + part->micro_batch] += part->tokens;
        used[part->data_rank] = part->micro_batch + 1 > used[part->data_rank] ? part->micro_batch + 1 : used[part->data_rank];
        largest = part->operations > largest ? part->operations : largest;
    }
    for (int i = 0; i < 3 * s->n_micro_batches; i++)
        assert_true(rows[i] <= o.micro_batch_tokens);
    for (int r = 0; r < 3; r++)
        for (int q = 0; q < 3; q++)
            assert_true(load[r] - load[q] <= largest);
    assert_true(used[0] == s->n_micro_batches || used[1] == s->n_micro_batches || used[2] == s->n_micro_batches);
    free(rows);
    plan_free(&plan);
}

static void an_evaluation_reads_every_critique_of_its_pairs_in_order(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    struct plan *plan = open_plan(&set, &o);
    const struct step_plan *s;
    assert_int_equal(plan_evaluation(plan, 4, 6, &s), OK);
    struct sums sum = add_up(&set, s);
    int64_t tokens = 0;
    for (int64_t i = 1; i < s->n_parts; i++)
        assert_true(s->part[i].pair >= s->part[i - 1].pair);
    for (int64_t i = set.first_critique[8]; i < set.first_critique[20]; i++)
        tokens += set.n_critique[i];
    assert_int_equal(sum.leaves, set.first_critique[20] - set.first_critique[8]);
    assert_int_equal(sum.rewards, sum.leaves);
    assert_int_equal(sum.compared, 0);
    assert_int_equal(s->n_targets, tokens);
    assert_true(sum.targets == (double)tokens);
    plan_free(&plan);
}

/* ---- refusals -------------------------------------------------------------------------------------------------------------------------------- */

static void what_cannot_work_is_refused_with_the_sizes(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    o.micro_batch_tokens = 2 * PATH - 1;
    refused(&set, &o, USAGE, "79");
    o = options();
    o.data_size = 6;
    refused(&set, &o, USAGE, "data axis of 6");
    o = options();
    l.prompt[11] = PATH;
    refused(&set, &o, FAILED, "a set: record 33 has a path of");
    l.prompt[11] = 3;
    set.n_pairs = 0;
    refused(&set, &o, FAILED, "empty");
}

static void a_cross_tree_above_the_budget_is_refused_counting_copied_prefixes(void **state)
{
    (void)state;
    struct lengths l;
    struct plan_set set = make_set(&l);
    struct plan_options o = options();
    o.pairing = PAIRING_CROSS;
    refused(&set, &o, USAGE, "pairing cross keeps a tree whole");
    o.micro_batch_tokens = 200;
    struct plan *plan = open_plan(&set, &o);
    plan_free(&plan);
    o.share_prefix = false;
    refused(&set, &o, USAGE, "pairing cross keeps a tree whole");
}

static void a_pair_without_critiques_is_refused_where_they_are_read(void **state)
{
    (void)state;
    struct lengths l = {.source = {5}, .prompt = {3}, .response = {4, 4}, .critique = {2}, .first = {0, 1, 1}};
    struct plan_set set = {1, l.source, l.prompt, l.response, l.first, l.critique};
    struct plan_options o = options();
    refused(&set, &o, USAGE, "a set: record 5 has no critique of its rejected response");
    l.first[1] = l.first[2] = 0;
    o.mode = MODE_CRITIQUE_ONLY;
    refused(&set, &o, USAGE, "a set: record 5 has neither");
    o.mode = MODE_REWARD_ONLY;
    struct plan *plan = open_plan(&set, &o);
    plan_free(&plan);
    l.response[0] = l.response[1] = 0;
    refused(&set, &o, USAGE, "a set: record 5 is a conversation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_visits_every_pair_once_and_its_last_step_is_short),
        cmocka_unit_test(the_order_does_not_know_the_mesh),
        cmocka_unit_test(token_weights_sum_to_one_and_comparison_weights_too),
        cmocka_unit_test(sequence_weights_make_each_response_one_over_the_pairs),
        cmocka_unit_test(a_split_tree_keeps_its_critiques_and_comparisons),
        cmocka_unit_test(only_what_carries_a_loss_is_planned),
        cmocka_unit_test(zip_stops_at_the_shorter_sample_draws_one_and_cross_takes_all),
        cmocka_unit_test(reward_only_leaves_the_instruction_off),
        cmocka_unit_test(micro_batches_stay_in_the_budget_and_ranks_are_even),
        cmocka_unit_test(an_evaluation_reads_every_critique_of_its_pairs_in_order),
        cmocka_unit_test(what_cannot_work_is_refused_with_the_sizes),
        cmocka_unit_test(a_cross_tree_above_the_budget_is_refused_counting_copied_prefixes),
        cmocka_unit_test(a_pair_without_critiques_is_refused_where_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
