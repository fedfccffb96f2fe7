/* Sampling of the reference, on probabilities that can be checked by hand: 1/8, 1/2, 1/8, 1/4 of columns 0 to 3. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "kernels/kernels.h"

enum { COLS = 4 };

/* Columns 0 and 1 in the first part, 2 and 3 in the second, with a stride of 3. */
static uint32_t drawn(const double *probability, struct sample_rule rule, const uint32_t *allowed)
{
    float logits[6] = {0};
    uint32_t token = 99;
    for (int i = 0; i < COLS; i++)
        logits[i / 2 * 3 + i % 2] = (float)log(probability[i]) + 5.0f;
    const int64_t first[] = {0, 2, 4};
    struct sample_args a = {.rows = 1, .parts = 2, .part_first = first, .part_stride = 3, .logits = logits, .rule = &rule, .allowed = allowed, .token = &token};
    assert_int_equal(kernels_ref.sample(NULL, &a), OK);
    return token;
}

static const double eighths[COLS] = {0.125, 0.5, 0.125, 0.25};

static struct sample_rule rule_with(double uniform) { return (struct sample_rule){.temperature = 1.0f, .top_p = 1.0f, .uniform = (float)uniform, .banned = -1}; }

static void a_draw_is_the_first_column_whose_cumulative_probability_is_above_the_uniform_number(void **state)
{
    (void)state;
    const struct { double uniform; uint32_t token; } cases[] = {{0.0, 0}, {0.12, 0}, {0.13, 1}, {0.62, 1}, {0.63, 2}, {0.74, 2}, {0.76, 3}, {0.999, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(drawn(eighths, rule_with(cases[i].uniform), NULL), cases[i].token);
}

static void a_temperature_of_a_half_squares_the_odds_and_zero_takes_the_first_of_the_most_probable(void **state)
{
    (void)state;
    struct sample_rule rule = rule_with(0.046);         /* 1, 16, 1, 4 of 22 */
    rule.temperature = 0.5f;
    assert_int_equal(drawn(eighths, rule, NULL), 1);
    rule.uniform = 0.044f;
    assert_int_equal(drawn(eighths, rule, NULL), 0);
    rule.temperature = 0.0f;
    assert_int_equal(drawn(eighths, rule, NULL), 1);
    assert_int_equal(drawn((const double[]){0.1, 0.4, 0.4, 0.1}, rule, NULL), 1);
}

/* The last column that can be drawn, and the first. */
static void assert_left(struct sample_rule rule, const uint32_t *allowed, uint32_t first, uint32_t last)
{
    rule.uniform = 0.0f;
    assert_int_equal(drawn(eighths, rule, allowed), first);
    rule.uniform = 0.9999f;
    assert_int_equal(drawn(eighths, rule, allowed), last);
}

static void top_k_leaves_the_most_probable_columns_and_of_equal_ones_the_lower(void **state)
{
    (void)state;
    struct sample_rule rule = rule_with(0.0);
    rule.top_k = 1;
    assert_left(rule, NULL, 1, 1);
    rule.top_k = 2;
    assert_left(rule, NULL, 1, 3);
    rule.top_k = 3;
    assert_left(rule, NULL, 0, 3);
    rule.uniform = 0.13f;           /* of 7 eighths column 0 has one */
    assert_int_equal(drawn(eighths, rule, NULL), 0);
    rule.uniform = 0.15f;
    assert_int_equal(drawn(eighths, rule, NULL), 1);
}

static void top_p_leaves_the_smallest_set_that_reaches_it_of_what_top_k_left(void **state)
{
    (void)state;
    struct sample_rule rule = rule_with(0.0);
    rule.top_p = 0.49f;
    assert_left(rule, NULL, 1, 1);
    rule.top_p = 0.74f;
    assert_left(rule, NULL, 1, 3);
    rule.top_p = 0.76f;
    assert_left(rule, NULL, 0, 3);
    rule.top_p = 0.65f;             /* column 1 has two thirds of what top_k leaves */
    rule.top_k = 2;
    assert_left(rule, NULL, 1, 1);
}

static void min_p_is_a_share_of_the_largest_probability(void **state)
{
    (void)state;
    struct sample_rule rule = rule_with(0.0);
    rule.min_p = 0.26f;
    assert_left(rule, NULL, 1, 3);
    rule.min_p = 0.51f;
    assert_left(rule, NULL, 1, 1);
    rule.min_p = 0.24f;
    assert_left(rule, NULL, 0, 3);
}

static void a_banned_column_is_not_drawn_and_a_list_leaves_nothing_else(void **state)
{
    (void)state;
    struct sample_rule rule = rule_with(0.0);
    rule.banned = 0;
    assert_left(rule, NULL, 1, 3);
    rule.banned = 3;
    assert_left(rule, NULL, 0, 2);
    rule.first_allowed = 1, rule.n_allowed = 3;
    assert_left(rule, (const uint32_t[]){1, 3, 2, 0}, 0, 2);
    rule.temperature = 0.0f;
    assert_int_equal(drawn(eighths, rule, (const uint32_t[]){1, 3, 2, 0}), 0);
    rule.banned = -1;
    assert_int_equal(drawn(eighths, rule, (const uint32_t[]){1, 3, 2, 0}), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_draw_is_the_first_column_whose_cumulative_probability_is_above_the_uniform_number),
        cmocka_unit_test(a_temperature_of_a_half_squares_the_odds_and_zero_takes_the_first_of_the_most_probable),
        cmocka_unit_test(top_k_leaves_the_most_probable_columns_and_of_equal_ones_the_lower),
        cmocka_unit_test(top_p_leaves_the_smallest_set_that_reaches_it_of_what_top_k_left),
        cmocka_unit_test(min_p_is_a_share_of_the_largest_probability),
        cmocka_unit_test(a_banned_column_is_not_drawn_and_a_list_leaves_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
