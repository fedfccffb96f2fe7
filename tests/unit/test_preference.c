#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataset/preference.h"

enum { NONE = -1 };

/* chosen NONE: no pair is expected */
static void expect(const struct judge_scores *response, int n, double min_scored, double margin, int chosen, int rejected)
{
    int got[2] = {NONE, NONE};
    assert_int_equal(preference_find(response, n, min_scored, margin, &got[0], &got[1]), chosen != NONE);
    assert_int_equal(got[0], chosen);
    assert_int_equal(got[1], rejected);
}

static void the_highest_mean_is_chosen_and_the_lowest_rejected(void **state)
{
    (void)state;
    const struct judge_scores r[] = {{20, 4, 4}, {30, 4, 4}, {8, 4, 4}, {24, 4, 4}};
    expect(r, 4, 0.5, 1.0, 1, 2);
    expect(r, 2, 0.5, 1.0, 1, 0);
}

static void means_count_and_not_sums(void **state)
{
    (void)state;
    const struct judge_scores r[] = {{20, 4, 4}, {18, 2, 4}, {12, 4, 4}};
    expect(r, 3, 0.5, 1.0, 1, 2);
}

static void of_equal_means_the_first_response_is_taken(void **state)
{
    (void)state;
    const struct judge_scores r[] = {{10, 3, 4}, {7, 1, 1}, {20, 6, 6}, {14, 2, 2}, {7, 1, 1}};
    expect(r, 5, 0.5, 1.0, 1, 0);
}

static void the_means_must_differ_by_more_than_the_margin(void **state)
{
    (void)state;
    const struct judge_scores whole[] = {{28, 4, 4}, {24, 4, 4}}, third[] = {{19, 3, 3}, {16, 3, 3}}, equal[] = {{10, 3, 4}, {20, 6, 6}};
    expect(whole, 2, 0.5, 1.0, NONE, NONE);
    expect(whole, 2, 0.5, 0.99, 0, 1);
    expect(third, 2, 0.5, 1.0, NONE, NONE);      /* 6 1/3 and 5 1/3: exactly 1 apart, though not in doubles */
    expect(equal, 2, 0.5, 0.0, NONE, NONE);
}

static void a_response_with_too_few_scores_does_not_count(void **state)
{
    (void)state;
    const struct judge_scores r[] = {{20, 4, 4}, {10, 1, 4}, {1, 1, 4}, {10, 2, 4}, {0, 0, 0}};
    expect(r, 5, 0.5, 0.0, NONE, NONE);
    expect(r, 5, 0.25, 0.0, 1, 2);
    expect(r, 5, 0.0, 0.0, 1, 2);
}

static void without_two_responses_there_is_no_pair(void **state)
{
    (void)state;
    const struct judge_scores r[] = {{0, 0, 4}, {20, 4, 4}};
    expect(r, 0, 0.5, 0.0, NONE, NONE);
    expect(r, 1, 0.5, 0.0, NONE, NONE);
    expect(r, 2, 0.0, 0.0, NONE, NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_mean_is_chosen_and_the_lowest_rejected),
        cmocka_unit_test(means_count_and_not_sums),
        cmocka_unit_test(of_equal_means_the_first_response_is_taken),
        cmocka_unit_test(the_means_must_differ_by_more_than_the_margin),
        cmocka_unit_test(a_response_with_too_few_scores_does_not_count),
        cmocka_unit_test(without_two_responses_there_is_no_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
