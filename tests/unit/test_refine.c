#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "dataset/refine.h"

enum { END = 99, MOST = 16 };
static const uint32_t X[] = {1, 2, 3}, Y[2][2] = {{4, END}, {5, END}};

/* Token lists of a word and the end of turn; word 0 is nothing. */
static struct tokens word(uint32_t w)
{
    static uint32_t memory[END][2];
    memory[w][0] = w;
    memory[w][1] = END;
    return (struct tokens){memory[w], w ? 2 : 0};
}

static struct candidate critique(uint32_t w, float score) { return (struct candidate){.text = word(w), .judge_score = score, .finish = FINISH_STOP}; }

static struct candidate_record record(const struct candidate *chosen, int32_t n_chosen, const struct candidate *rejected, int32_t n_rejected)
{
    return (struct candidate_record){.prompt = {X, 3}, .response = {{Y[0], 2}, {Y[1], 2}}, .n_candidates = {n_chosen, n_rejected}, .candidate = {chosen, rejected}};
}

/* ---- the filter ------------------------------------------------------------------------------------------------------------------------------ */

/* A score of 0 stands for none. */
static struct candidate_record scored(struct candidate memory[2][MOST], const float *chosen, int n_chosen, const float *rejected, int n_rejected)
{
    for (int i = 0; i < n_chosen; i++)
        memory[0][i] = critique(1, chosen[i] > 0 ? chosen[i] : NAN);
    for (int i = 0; i < n_rejected; i++)
        memory[1][i] = critique(1, rejected[i] > 0 ? rejected[i] : NAN);
    return record(memory[0], n_chosen, memory[1], n_rejected);
}

#define SCORES(...) (const float[]){__VA_ARGS__}, (int)(sizeof((float[]){__VA_ARGS__}) / sizeof(float))
#define VERDICT(chosen, rejected, share, wanted) do { \
        struct candidate memory[2][MOST]; \
        struct candidate_record r = scored(memory, chosen, rejected); \
        assert_int_equal(refine_filter(&r, share).verdict, wanted); \
    } while (0)

static void a_pair_is_kept_only_when_the_chosen_mean_is_higher(void **state)
{
    (void)state;
    VERDICT(SCORES(7), SCORES(6), 0.5, PAIR_KEPT);
    VERDICT(SCORES(6), SCORES(7), 0.5, PAIR_CONTRADICTS);
    VERDICT(SCORES(7), SCORES(7), 0.5, PAIR_TIE);
    VERDICT(SCORES(10, 1, 1), SCORES(3, 4, 5), 0.5, PAIR_TIE);              /* 12 / 3 = 12 / 3 */
    VERDICT(SCORES(7, 7, 8), SCORES(7, 8), 0.5, PAIR_CONTRADICTS);          /* 22 / 3 < 15 / 2 */
    VERDICT(SCORES(7, 8), SCORES(7, 7, 8), 0.5, PAIR_KEPT);
}

static void means_are_over_scored_candidates_and_compared_without_rounding(void **state)
{
    (void)state;
    VERDICT(SCORES(8, 0, 6, 0), SCORES(7, 7, 7, 7), 0.5, PAIR_TIE);
    VERDICT(SCORES(8, 0, 7, 0), SCORES(7, 7, 7, 7), 0.5, PAIR_KEPT);
    VERDICT(SCORES(3, 3, 4), SCORES(3, 3, 4, 3, 3, 4, 3, 3, 4), 0.1, PAIR_TIE);        /* thirds, which a float cannot hold */
    VERDICT(SCORES(7.1f, 7.3f), SCORES(7.3f, 7.1f), 0.5, PAIR_TIE);
    VERDICT(SCORES(nextafterf(7, 8), 7), SCORES(7, 7), 0.5, PAIR_KEPT);
}

static void a_side_with_too_few_scores_drops_the_pair(void **state)
{
    (void)state;
    VERDICT(SCORES(8, 0, 0, 0), SCORES(3, 3, 0, 0), 0.5, PAIR_TOO_FEW_SCORES);
    VERDICT(SCORES(8, 8, 0, 0), SCORES(3, 3, 0, 0), 0.5, PAIR_KEPT);
    VERDICT(SCORES(8, 8, 0, 0, 0), SCORES(3, 3, 3, 0, 0), 0.5, PAIR_TOO_FEW_SCORES);   /* half of 5 is 3 */
    VERDICT(SCORES(8, 8, 8, 0, 0), SCORES(3, 3, 3, 0, 0), 0.5, PAIR_KEPT);
    VERDICT(SCORES(8, 8, 8, 8), SCORES(3, 3, 3, 0), 1, PAIR_TOO_FEW_SCORES);
    VERDICT(SCORES(8, 8), SCORES(3, 3), 1, PAIR_KEPT);
    VERDICT(SCORES(0, 0), SCORES(3, 3), 0, PAIR_TOO_FEW_SCORES);            /* no mean, however little is asked for */
    VERDICT(SCORES(8, 0), SCORES(3, 0), 0, PAIR_KEPT);
    VERDICT(SCORES(8, 8, 8, 8), SCORES(3), 0.5, PAIR_TOO_FEW_SCORES);       /* half of the other side's four */
}

static void a_share_is_met_exactly_where_decimals_are_not_exact(void **state)
{
    (void)state;
    for (int n = 1; n <= 1000; n++)
        for (int k = 1; k <= n && k <= 10; k++) {
            static struct candidate list[1000];
            for (int i = 0; i < n; i++)
                list[i] = critique(1, i < k ? 5 : NAN);
            struct candidate_record r = record(list, n, list, n);
            assert_int_equal(refine_filter(&r, (double)k / n).verdict, PAIR_TIE);
            assert_int_equal(refine_filter(&r, nextafter((double)k / n, 2)).verdict, PAIR_TOO_FEW_SCORES);
        }
}

static void what_is_outside_one_to_ten_is_no_score(void **state)
{
    (void)state;
    const float odd[] = {NAN, INFINITY, -INFINITY, 0.5f, 10.5f, -3, 1e30f};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct candidate chosen[] = {critique(1, 8), critique(2, odd[i])}, rejected[] = {critique(1, 3), critique(2, 3)};
        struct candidate_record r = record(chosen, 2, rejected, 2);
        struct pair_filtered f = refine_filter(&r, 0.5);
        assert_int_equal(f.verdict, PAIR_KEPT);
        assert_int_equal(f.n_scored[0], 1);
        assert_int_equal(f.n_scored[1], 2);
        assert_true(f.mean[0] == 8 && f.mean[1] == 3);
    }
}

static void equal_responses_are_said_before_anything_else(void **state)
{
    (void)state;
    struct candidate list[] = {critique(1, 8)};
    struct candidate_record r = record(list, 1, list, 0);
    r.response[1] = r.response[0];
    struct pair_filtered f = refine_filter(&r, 0.5);
    assert_int_equal(f.verdict, PAIR_EQUAL_RESPONSES);
    assert_true(isnan(f.mean[1]));
    assert_int_equal(f.n_scored[1], 0);
}

static void a_record_without_candidates_has_too_few_scores(void **state)
{
    (void)state;
    struct candidate_record r = record(NULL, 0, NULL, 0);
    assert_int_equal(refine_filter(&r, 0).verdict, PAIR_TOO_FEW_SCORES);
}

/* ---- the critiques of a side ----------------------------------------------------------------------------------------------------------------- */

static void each_critique_that_is_left_out_is_counted_once_by_its_reason(void **state)
{
    (void)state;
    uint32_t length[] = {7, 8, 9, END};
    struct candidate list[] = {
        critique(1, 8), critique(0, 8), critique(1, 3), critique(2, NAN), critique(3, 5), critique(4, 5), {.text = {length, 4}, .judge_score = 5}, {.text = {length + 3, 1}, .judge_score = 5},
        critique(2, 6), critique(5, NAN),
    };
    int32_t kept[10];
    int64_t count[N_CRITIQUE_STATES] = {0};
    list[4].finish = FINISH_LIMIT;
    list[9].finish = FINISH_LIMIT;
    assert_int_equal(refine_usable(list, 10, 3, kept, count), 2);
    assert_int_equal(kept[0], 0);
    assert_int_equal(kept[1], 5);
    assert_int_equal(count[CRITIQUE_USABLE], 2);
    assert_int_equal(count[CRITIQUE_EMPTY], 2);             /* one is an end of turn alone */
    assert_int_equal(count[CRITIQUE_REPEATED], 2);          /* also of the unscored one */
    assert_int_equal(count[CRITIQUE_CUT], 2);               /* one of them unscored too */
    assert_int_equal(count[CRITIQUE_UNSCORED], 1);
    assert_int_equal(count[CRITIQUE_TOO_LONG], 1);
    assert_int_equal(refine_usable(list, 10, 4, kept, count), 3);
    assert_int_equal(kept[2], 6);
    assert_int_equal(count[CRITIQUE_USABLE], 5);            /* counts add up */
}

static void a_path_counts_everything_up_to_the_reward_token(void **state)
{
    (void)state;
    struct candidate list[] = {critique(1, 8)};             /* 2 tokens, behind 3 of x, 2 of y, 4 of the instruction; 1 follows */
    struct candidate_record r = record(list, 1, list, 1);
    int32_t kept[1];
    int64_t count[N_CRITIQUE_STATES] = {0};
    assert_int_equal(refine_room(&r, 0, 4, 12), 2);
    assert_int_equal(refine_usable(list, 1, refine_room(&r, 0, 4, 12), kept, count), 1);
    assert_int_equal(refine_usable(list, 1, refine_room(&r, 0, 4, 11), kept, count), 0);
    assert_int_equal(refine_usable(list, 1, refine_room(&r, 0, 4, 1), kept, count), 0);
    assert_int_equal(count[CRITIQUE_TOO_LONG], 2);
}

static void summaries_need_no_score(void **state)
{
    (void)state;
    struct candidate list[] = {critique(1, NAN), critique(2, NAN), critique(1, NAN), critique(0, NAN), critique(3, NAN)};
    int32_t kept[5];
    int64_t count[N_CRITIQUE_STATES] = {0};
    list[4].finish = FINISH_LIMIT;
    assert_int_equal(refine_summaries(list, 5, 10, kept, count), 2);
    assert_int_equal(kept[0], 0);
    assert_int_equal(kept[1], 1);
    assert_int_equal(count[CRITIQUE_REPEATED], 1);
    assert_int_equal(count[CRITIQUE_EMPTY], 1);
    assert_int_equal(count[CRITIQUE_CUT], 1);
    assert_int_equal(count[CRITIQUE_UNSCORED], 0);
}

static void expect_list(const int32_t *list, int32_t n, const int32_t *wanted, int32_t n_wanted)
{
    assert_int_equal(n, n_wanted);
    assert_memory_equal(list, wanted, (size_t)n * sizeof *list);
}

static void the_best_are_kept_equal_ones_in_order_ungraded_last(void **state)
{
    (void)state;
    const float quality[] = {5, NAN, 8, 1, 8, NAN, 10, 0, 5};
    int32_t list[] = {0, 1, 2, 3, 4, 5, 6, 7, 8}, some[] = {1, 3, 5, 8};
    expect_list(list, refine_keep(list, 9, quality, 100), (const int32_t[]){6, 2, 4, 0, 8, 3, 1, 5, 7}, 9);
    assert_int_equal(refine_ungraded(list, 9, quality), 3);
    expect_list(list, refine_keep(list, 9, quality, 4), (const int32_t[]){6, 2, 4, 0}, 4);
    expect_list(some, refine_keep(some, 4, quality, 3), (const int32_t[]){8, 3, 1}, 3);
}

static void without_a_quality_the_first_are_kept(void **state)
{
    (void)state;
    int32_t list[] = {1, 4, 5};
    expect_list(list, refine_keep(list, 3, NULL, 2), (const int32_t[]){1, 4}, 2);
    expect_list(list, refine_keep(list, 3, NULL, 7), (const int32_t[]){1, 4, 5}, 3);
    assert_int_equal(refine_keep(list, 0, NULL, 7), 0);
}

/* ---- orders ---------------------------------------------------------------------------------------------------------------------------------- */

static void an_order_depends_on_seed_prompt_response_and_k_alone(void **state)
{
    (void)state;
    struct candidate_record r = record(NULL, 0, NULL, 0), other = r;
    int32_t list[6][MOST];
    for (int i = 0; i < 6; i++)
        for (int32_t k = 0; k < MOST; k++)
            list[i][k] = k + 100;
    other.prompt.n = 2;
    refine_permutation(1, &r, 0, 0, list[0], MOST);
    refine_permutation(1, &r, 0, 0, list[1], MOST);
    assert_memory_equal(list[0], list[1], sizeof *list);
    for (int32_t k = 0; k < MOST; k++)
        list[1][k] = k + 100;
    refine_permutation(2, &r, 0, 0, list[1], MOST);
    refine_permutation(1, &other, 0, 0, list[2], MOST);
    refine_permutation(1, &r, 1, 0, list[3], MOST);
    refine_permutation(1, &r, 0, 1, list[4], MOST);
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++)
            assert_memory_not_equal(list[i], list[k], sizeof *list);
    for (int i = 0; i < 5; i++) {
        int seen[MOST] = {0};
        for (int k = 0; k < MOST; k++)
            seen[list[i][k] - 100]++;
        for (int k = 0; k < MOST; k++)
            assert_int_equal(seen[k], 1);
    }
}

static void every_order_of_four_comes_equally_often(void **state)
{
    (void)state;
    enum { ROUNDS = 24000 };
    struct candidate_record r = record(NULL, 0, NULL, 0);
    int count[256] = {0}, n_orders = 0;
    for (uint32_t k = 0; k < ROUNDS; k++) {
        int32_t list[4] = {0, 1, 2, 3};
        refine_permutation(7, &r, 0, k, list, 4);
        count[list[0] | list[1] << 2 | list[2] << 4 | list[3] << 6]++;
    }
    for (int i = 0; i < 256; i++)
        if (count[i] > 0) {
            assert_in_range(count[i], 840, 1160);       /* five standard deviations */
            n_orders++;
        }
    assert_int_equal(n_orders, 24);
}

/* ---- the record ------------------------------------------------------------------------------------------------------------------------------ */

static void a_list_becomes_critiques_with_their_scores(void **state)
{
    (void)state;
    struct candidate list[] = {critique(1, 8), critique(2, 3), critique(3, NAN)};
    const float quality[] = {4, NAN, 6};
    struct shard_critique out[3];
    refine_list(list, (const int32_t[]){2, 0, 1}, 3, quality, out);
    assert_ptr_equal(out[0].text.token, list[2].text.token);
    assert_int_equal(out[0].text.n, 2);
    assert_true(isnan(out[0].judge_score) && out[0].quality == 6);
    assert_true(out[1].judge_score == 8 && out[1].quality == 4);
    assert_true(out[2].judge_score == 3 && isnan(out[2].quality));
    refine_list(list, (const int32_t[]){0}, 1, NULL, out);
    assert_true(out[0].judge_score == 8 && isnan(out[0].quality));
}

static void a_pair_with_an_empty_side_is_dropped_and_counted(void **state)
{
    (void)state;
    struct refine_counts counts = {0}, all = {.pair = {[PAIR_TIE] = 5}, .written = 1, .critiques_written = 2};
    assert_true(refine_settle((const int32_t[]){2, 3}, &counts));
    assert_false(refine_settle((const int32_t[]){0, 3}, &counts));
    assert_false(refine_settle((const int32_t[]){2, 0}, &counts));
    assert_false(refine_settle((const int32_t[]){0, 0}, &counts));
    assert_int_equal(counts.written, 1);
    assert_int_equal(counts.empty_sides, 3);
    assert_int_equal(counts.critiques_written, 5);
    refine_counts_add(&all, &counts);
    assert_int_equal(all.pair[PAIR_TIE], 5);
    assert_int_equal(all.written, 2);
    assert_int_equal(all.empty_sides, 3);
    assert_int_equal(all.critiques_written, 7);
}

static void every_verdict_and_state_has_a_name(void **state)
{
    (void)state;
    for (enum pair_verdict i = 0; i < N_PAIR_VERDICTS; i++)
        for (enum pair_verdict k = 0; k < i; k++)
            assert_string_not_equal(pair_verdict_name(i), pair_verdict_name(k));
    for (enum critique_state i = 0; i < N_CRITIQUE_STATES; i++)
        for (enum critique_state k = 0; k < i; k++)
            assert_string_not_equal(critique_state_name(i), critique_state_name(k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_kept_only_when_the_chosen_mean_is_higher),
        cmocka_unit_test(means_are_over_scored_candidates_and_compared_without_rounding),
        cmocka_unit_test(a_side_with_too_few_scores_drops_the_pair),
        cmocka_unit_test(a_share_is_met_exactly_where_decimals_are_not_exact),
        cmocka_unit_test(what_is_outside_one_to_ten_is_no_score),
        cmocka_unit_test(equal_responses_are_said_before_anything_else),
        cmocka_unit_test(a_record_without_candidates_has_too_few_scores),
        cmocka_unit_test(each_critique_that_is_left_out_is_counted_once_by_its_reason),
        cmocka_unit_test(a_path_counts_everything_up_to_the_reward_token),
        cmocka_unit_test(summaries_need_no_score),
        cmocka_unit_test(the_best_are_kept_equal_ones_in_order_ungraded_last),
        cmocka_unit_test(without_a_quality_the_first_are_kept),
        cmocka_unit_test(an_order_depends_on_seed_prompt_response_and_k_alone),
        cmocka_unit_test(every_order_of_four_comes_equally_often),
        cmocka_unit_test(a_list_becomes_critiques_with_their_scores),
        cmocka_unit_test(a_pair_with_an_empty_side_is_dropped_and_counted),
        cmocka_unit_test(every_verdict_and_state_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
