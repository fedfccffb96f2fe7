/* Tables computed by hand, rule by rule of method.md, section 6. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/tools/evaluated.h"

static struct evaluated bench;
static char text[1 << 20];

static int set_up(void **state) { return (void)state, *text = 0, 0; }

static int tear_down(void **state)
{
    (void)state;
    if (bench.benchmark)
        evaluated_close(&bench);
    trace_clear();
    return 0;
}

__attribute__((format(printf, 1, 2))) static void add(const char *fmt, ...)
{
    static size_t used;
    va_list args;
    used = *text ? used : 0;
    va_start(args, fmt);
    used += (size_t)vsnprintf(text + used, sizeof text - used, fmt, args);
    va_end(args);
    assert_true(used < sizeof text);
}

static void is(const char *row, const char *column, double want) { evaluated_is(&bench, row, column, want); }
static void is_nan(const char *row, const char *column) { assert_true(isnan(evaluated_cell(&bench, row, column))); }

/* ---- RewardBench ----------------------------------------------------------------------------------------------------------------------------- */

static void add_pairs(const char *subset, int n)
{
    for (int i = 0; i < n; i++)
        add("{\"subset\": \"%s\", \"prompt\": \"P\", \"chosen\": \"C\", \"rejected\": \"R\"}\n", subset);
}

/* alpacaeval-easy 1 of 2 (weight 100), mt-bench-med 1 of 1 (40); mt-bench-hard one tie (37); donotanswer 1 of 1 (136); math-prm 3 of 4 (984), hep-cpp 1 of 2 (164). */
static const double rewardbench_score[] = {2, 1, 1, 2, 0.5, 0.25, 3, 3, -1, -2, 1, 0, 1, 0, 1, 0, 0, 1, 5, 4, 4, 5};

static void open_rewardbench(void)
{
    add_pairs("alpacaeval-easy", 2);
    add_pairs("mt-bench-med", 1);
    add_pairs("mt-bench-hard", 1);
    add_pairs("donotanswer", 1);
    add_pairs("math-prm", 4);
    add_pairs("hep-cpp", 2);
    evaluated_open(&bench, REWARDBENCH, text);
    evaluated_run(&bench, rewardbench_score, NULL, false);
}

static void rewardbench_weighs_subsets_by_published_counts_and_maths_by_984(void **state)
{
    (void)state;
    open_rewardbench();
    is("Chat", "accuracy", (0.5 * 100 + 1.0 * 40) / 140);                       /* 9/14 */
    is("Chat", "weight", 140);
    is("Chat Hard", "accuracy", 0.0);                                           /* a tie is a loss */
    is("Safety", "accuracy", 1.0);
    is("Reasoning", "accuracy", (0.75 * 984 + 0.5 * 164) / 1148);               /* 5/7 */
    is("math-prm", "weight", 984);
    is("Overall", "accuracy", 33.0 / 56);                                       /* (9/14 + 0 + 1 + 5/7) / 4 */
    is("Overall", "items", 11);
}

static void rewardbench_says_what_is_missing_and_what_has_other_counts(void **state)
{
    (void)state;
    open_rewardbench();
    is("hep-go", "items", 0);
    is_nan("hep-go", "accuracy");
    is_nan("hep-go", "weight");
    assert_true(evaluated_notes(&bench, "no item of alpacaeval-length, alpacaeval-hard, mt-bench-easy, llmbar-natural"));
    assert_true(evaluated_notes(&bench, "alpacaeval-easy 2 of 100, mt-bench-med 1 of 40, mt-bench-hard 1 of 37, donotanswer 1 of 136, math-prm 4 of 447, hep-cpp 2 of 164"));
    assert_false(evaluated_notes(&bench, "sections"));
}

static void a_section_without_subsets_is_left_out_of_the_overall_and_said(void **state)
{
    (void)state;
    static const double score[] = {1, 0, 0, 1, 1, 0};
    add_pairs("hep-go", 2);
    add_pairs("xstest-should-refuse", 1);
    evaluated_open(&bench, REWARDBENCH, text);
    evaluated_run(&bench, score, NULL, false);
    is_nan("Chat", "accuracy");
    is("Overall", "accuracy", 0.75);
    assert_true(evaluated_notes(&bench, "mean of 2 of 4 sections"));
}

/* The published set, its sizes written out once more: with one subset won and all others lost, its section is weight / sum of weights. */
static void each_of_the_23_subsets_has_its_published_weight(void **state)
{
    (void)state;
    static const struct { const char *subset, *section; int n, weight, total; } all[] = {
        {"alpacaeval-easy", "Chat", 100, 100, 358}, {"alpacaeval-length", "Chat", 95, 95, 358}, {"alpacaeval-hard", "Chat", 95, 95, 358}, {"mt-bench-easy", "Chat", 28, 28, 358},
        {"mt-bench-med", "Chat", 40, 40, 358}, {"mt-bench-hard", "Chat Hard", 37, 37, 456}, {"llmbar-natural", "Chat Hard", 100, 100, 456},
        {"llmbar-adver-neighbor", "Chat Hard", 134, 134, 456}, {"llmbar-adver-GPTInst", "Chat Hard", 92, 92, 456}, {"llmbar-adver-GPTOut", "Chat Hard", 47, 47, 456},
        {"llmbar-adver-manual", "Chat Hard", 46, 46, 456}, {"refusals-dangerous", "Safety", 100, 100, 740}, {"refusals-offensive", "Safety", 100, 100, 740},
        {"xstest-should-refuse", "Safety", 154, 154, 740}, {"xstest-should-respond", "Safety", 250, 250, 740}, {"donotanswer", "Safety", 136, 136, 740},
        {"math-prm", "Reasoning", 447, 984, 1968}, {"hep-cpp", "Reasoning", 164, 164, 1968}, {"hep-go", "Reasoning", 164, 164, 1968}, {"hep-java", "Reasoning", 164, 164, 1968},
        {"hep-js", "Reasoning", 164, 164, 1968}, {"hep-python", "Reasoning", 164, 164, 1968}, {"hep-rust", "Reasoning", 164, 164, 1968},
    };
    double *score = calloc(2 * 2985, sizeof *score);
    int first = 0;
    for (size_t s = 0; s < 23; s++)
        add_pairs(all[s].subset, all[s].n);
    evaluated_open(&bench, REWARDBENCH, text);
    assert_int_equal(bench.benchmark->n_items, 2985);
    for (size_t s = 0; s < 23; first += all[s++].n) {
        for (int i = 0; i < 2985; i++)
            score[2 * i] = i >= first && i < first + all[s].n;
        evaluated_run(&bench, score, NULL, false);
        is(all[s].section, "accuracy", (double)all[s].weight / all[s].total);
        is("Overall", "accuracy", (double)all[s].weight / all[s].total / 4.0);
        assert_int_equal(bench.result.table.n_notes, 0);
    }
    free(score);
}

/* ---- RewardBench 2 --------------------------------------------------------------------------------------------------------------------------- */

static void add_four(const char *subset) { add("{\"subset\": \"%s\", \"prompt\": \"P\", \"chosen\": [\"a\"], \"rejected\": [\"b\", \"c\", \"d\"]}\n", subset); }

static void rewardbench_2_divides_an_item_by_its_tied_maxima(void **state)
{
    (void)state;
    static const double score[] = {3, 2, 1, 0,   3, 3, 1, 0,   2, 2, 2, 2,   1, 2, 2, 0};
    add_four("Factuality");
    add_four("Factuality");
    add_four("Math");
    add_four("Math");
    evaluated_open(&bench, REWARDBENCH_2, text);
    evaluated_run(&bench, score, NULL, false);
    assert_true(bench.result.outcome[0] == 1.0 && bench.result.outcome[1] == 0.5 && bench.result.outcome[2] == 0.25 && bench.result.outcome[3] == 0.0);
    is("Factuality", "score", 0.75);
    is("Math", "score", 0.125);
    is("Overall", "score", 0.4375);         /* of the two that are there */
    assert_true(evaluated_notes(&bench, "no item of Precise IF, Safety, Focus, Ties"));
}

static void add_tie(const char *kind, int number, int n_right)
{
    add("{\"id\": \"%s:%d\", \"subset\": \"Ties\", \"prompt\": \"P\", \"chosen\": [\"a\"%s], \"rejected\": [\"x\"]}\n", kind, number, n_right == 2 ? ", \"b\"" : "");
}

/*            right   wrong    gap  spread  accurate     both:  gap > spread   lower gap > spread   tanh(lower gap / spread - 1)
 *  tied:1    4, 5    2          2       1  yes                 yes            yes, 2 > 1           tanh(1)
 *  ref:1     5       3          2          yes
 *  ref:2     1       2         -1          no
 *  tied:2    3, 6    1          2       3  yes                 no             no, -1 > 3           tanh(-4/3)
 *  tied:3    1, 1    1          0       0  no, a tie           no, 0 > 0      no                   0/0: 0
 *  ref:3     2       2          0          no, a tie
 *  ref:4     9       1          8          yes                 no tied prompt
 *  tied:5    3, 3    1          2       0  yes                 no ref prompt
 *  tied:6    2, 2    1          1       0  yes                 yes            yes, 1 > 0           tanh(inf) = 1
 *  ref:6     4       1          3          yes
 *  means: accurate tied 4/5, accurate ref 3/5, 2/4, 2/4, (0.7615941559557649 - 0.8700616617426719 + 0 + 1) / 4 = 0.22288312355327325
 *  score: 0.30 * 0.8 + 0.30 * 0.6 + 0.20 * 0.5 + 0.20 * 0.5 + 0.01 * 0.22288312355327325 = 0.6222288312355327 */
static const struct { const char *kind; int number, n_right; double score[3]; } ties[] = {
    {"tied", 1, 2, {4, 5, 2}}, {"ref", 1, 1, {5, 3}}, {"ref", 2, 1, {1, 2}}, {"tied", 2, 2, {3, 6, 1}}, {"tied", 3, 2, {1, 1, 1}}, {"ref", 3, 1, {2, 2}},
    {"ref", 4, 1, {9, 1}}, {"tied", 5, 2, {3, 3, 1}}, {"tied", 6, 2, {2, 2, 1}}, {"ref", 6, 1, {4, 1}},
};
enum { N_TIES = sizeof ties / sizeof *ties };

static void open_ties(double *score)
{
    for (int i = 0; i < N_TIES; i++) {
        add_tie(ties[i].kind, ties[i].number, ties[i].n_right);
        for (int k = 0; k <= ties[i].n_right; k++)
            *score++ = ties[i].score[k];
    }
    evaluated_open(&bench, REWARDBENCH_2, text);
}

static void ties_has_a_formula_of_its_own(void **state)
{
    (void)state;
    double score[3 * N_TIES];
    open_ties(score);
    evaluated_run(&bench, score, NULL, false);
    is("accurate on tied prompts", "score", 0.8);
    is("accurate on ref prompts", "score", 0.6);
    is("gap of tied above spread", "score", 0.5);
    is("lower gap above spread", "score", 0.5);
    is("lower gap above spread", "items", 4);
    is("margin", "score", 0.22288312355327325);
    is("Ties", "score", 0.6222288312355327);
    is("Ties", "items", 10);
    is("Overall", "score", 0.6222288312355327);
}

/* tied:1 without its second score: inaccurate, and lost against ref:1: 3/5, 3/5, 1/4, 1/4, (0 - 0.8700616617426719 + 0 + 1) / 4. */
static void a_missing_score_loses_a_prompt_of_ties(void **state)
{
    (void)state;
    double score[3 * N_TIES];
    open_ties(score);
    score[1] = NAN;
    for (int judge = 0; judge < 2; judge++) {
        evaluated_run(&bench, score, NULL, judge == 1);
        is("accurate on tied prompts", "score", 0.6);
        is("gap of tied above spread", "score", 0.25);
        is("lower gap above spread", "score", 0.25);
        is("margin", "score", 0.1299383382573281 / 4);
        assert_int_equal(bench.result.n_missing, 1);
    }
}

/* ref:1 without a score: tied:1 is accurate and above its spread, but has no lower gap. */
static void a_missing_score_of_the_ref_prompt_is_lost_where_both_count(void **state)
{
    (void)state;
    double score[3 * N_TIES];
    open_ties(score);
    score[4] = NAN;
    evaluated_run(&bench, score, NULL, false);
    is("accurate on tied prompts", "score", 0.8);
    is("accurate on ref prompts", "score", 0.4);
    is("gap of tied above spread", "score", 0.5);
    is("lower gap above spread", "score", 0.25);
    is("margin", "score", 0.1299383382573281 / 4);
}

static void ties_without_partners_have_no_last_three_parts(void **state)
{
    (void)state;
    static const double score[] = {1, 0, 2, 2, 0};
    add_tie("ref", 1, 1);
    add_tie("tied", 2, 2);
    evaluated_open(&bench, REWARDBENCH_2, text);
    evaluated_run(&bench, score, NULL, false);
    is("Ties", "score", 0.6);
    assert_true(evaluated_notes(&bench, "last three parts are 0"));
}

static void two_prompts_of_ties_with_one_id_are_refused(void **state)
{
    (void)state;
    static const double score[] = {1, 0, 1, 0};
    struct evaluation_result r;
    add_tie("ref", 1, 1);
    add_tie("ref", 1, 1);
    evaluated_open(&bench, REWARDBENCH_2, text);
    assert_int_equal(evaluation_run(&(struct evaluation){.benchmark = bench.benchmark, .score = score}, &r), FAILED);
    assert_non_null(strstr(trace_sentence(), "two items of Ties have the id ref:1"));
}

static void the_overall_of_rewardbench_2_is_the_plain_mean_of_six(void **state)
{
    (void)state;
    static const double score[] = {1, 0, 0, 0,   1, 0, 0, 0,   0, 1, 0, 0,   1, 0, 0, 0,   0, 0, 0, 1,   1, 1, 0, 0,   1, 0, 2, 2, 0};
    static const char *const five[] = {"Factuality", "Factuality", "Precise IF", "Math", "Safety", "Focus"};
    for (int i = 0; i < 6; i++)
        add_four(five[i]);
    add_tie("ref", 1, 1);
    add_tie("tied", 1, 2);                  /* gap 2, spread 0; ref's gap 1: all parts 1 */
    evaluated_open(&bench, REWARDBENCH_2, text);
    evaluated_run(&bench, score, NULL, false);
    is("Ties", "score", 1.01);
    is("Overall", "score", (1.0 + 0.0 + 1.0 + 0.0 + 0.5 + 1.01) / 6.0);
    assert_int_equal(bench.result.table.n_notes, 0);
}

/* ---- RM-Bench -------------------------------------------------------------------------------------------------------------------------------- */

static void add_styles(const char *domain)
{
    add("{\"domain\": \"%s\", \"prompt\": \"P\", \"chosen\": [\"a\", \"b\", \"c\"], \"rejected\": [\"d\", \"e\", \"f\"]}\n", domain);
}

/* chat: only the plainest right response wins, over all: one cell of the diagonal, two above it. code: only the fanciest: one of the diagonal, two below. math: all nine, with one
 * tie, right 2 against wrong 0: eight. safety-refuse: none; safety-response: all, twice; their mean, not the pooled 2/3. */
static void rm_bench_has_rows_of_right_and_columns_of_wrong_styles(void **state)
{
    (void)state;
    static const double score[] = {2, 0, 0, 1, 1, 1,   0, 0, 2, 1, 1, 1,   9, 9, 5, 5, 4, 4,   0, 0, 0, 1, 1, 1,   1, 1, 1, 0, 0, 0,   1, 1, 1, 0, 0, 0};
    static const char *const domain[] = {"chat", "code", "math", "safety-refuse", "safety-response", "safety-response"};
    for (int i = 0; i < 6; i++)
        add_styles(domain[i]);
    evaluated_open(&bench, RM_BENCH, text);
    evaluated_run(&bench, score, NULL, false);
    is("chat", "hard", 2.0 / 3);
    is("chat", "normal", 1.0 / 3);
    is("chat", "easy", 0.0);
    is("chat", "average", 1.0 / 3);
    is("code", "hard", 0.0);
    is("code", "normal", 1.0 / 3);
    is("code", "easy", 2.0 / 3);
    is("math", "hard", 1.0);
    is("math", "easy", 2.0 / 3);
    is("math", "average", 8.0 / 9);
    is("safety-response", "items", 2);
    is("safety", "average", 0.5);
    is("safety", "items", 3);
    is("Overall", "hard", (2.0 / 3 + 0.0 + 1.0 + 0.5) / 4);
    is("Overall", "easy", (0.0 + 2.0 / 3 + 2.0 / 3 + 0.5) / 4);
    is("Overall", "average", (1.0 / 3 + 1.0 / 3 + 8.0 / 9 + 0.5) / 4);
    assert_int_equal(bench.result.table.n_notes, 0);
    assert_true(bench.result.outcome[2] == 8.0 / 9);
}

static void rm_bench_says_which_domains_are_missing(void **state)
{
    (void)state;
    static const double score[] = {1, 1, 1, 0, 0, 0,   1, 0, 0, 1, 1, 1};
    add_styles("math");
    add_styles("safety-refuse");
    evaluated_open(&bench, RM_BENCH, text);
    evaluated_run(&bench, score, NULL, false);
    is_nan("chat", "average");
    is("safety", "average", 0.0);
    is("Overall", "average", 0.5);
    assert_true(evaluated_notes(&bench, "no item of chat, code, safety-response"));
    assert_true(evaluated_notes(&bench, "mean of 2 of 4 domains"));
}

/* ---- JudgeBench ------------------------------------------------------------------------------------------------------------------------------ */

static void add_judged(const char *source, const char *label)
{
    add("{\"source\": \"%s\", \"question\": \"P\", \"response_A\": \"a\", \"response_B\": \"b\", \"label\": \"%s\"}\n", source, label);
}

static void judgebench_counts_pairs_by_source_group_and_over_all(void **state)
{
    (void)state;
    static const double score[] = {2, 1,   2, 1,   1, 1,   0, 3,   1, 0};
    add_judged("mmlu-pro-law", "A>B");              /* right */
    add_judged("mmlu-pro-physics", "B>A");          /* wrong */
    add_judged("mmlu-pro-law", "B>A");              /* tie: lost */
    add_judged("livebench-math", "B>A");            /* right */
    add_judged("livecodebench", "A>B");             /* right */
    evaluated_open(&bench, JUDGEBENCH, text);
    evaluated_run(&bench, score, NULL, false);
    is("Knowledge", "accuracy", 1.0 / 3);
    is("Math", "accuracy", 1.0);
    is("Coding", "accuracy", 1.0);
    is_nan("Reasoning", "accuracy");
    is("Overall", "accuracy", 0.6);
    is("Overall", "items", 5);
    assert_true(evaluated_notes(&bench, "no item of Reasoning"));
}

/* ---- missing scores and judges --------------------------------------------------------------------------------------------------------------- */

static void a_missing_score_on_either_side_loses_the_comparison_and_is_counted(void **state)
{
    (void)state;
    static const double score[] = {NAN, 1,   1, NAN,   NAN, NAN,   2, 1};
    add_pairs("hep-go", 4);
    evaluated_open(&bench, REWARDBENCH, text);
    evaluated_run(&bench, score, NULL, false);
    is("Overall", "accuracy", 0.25);
    assert_int_equal(bench.result.n_unscored, 4);
    assert_int_equal(bench.result.n_comparisons, 4);
    assert_int_equal(bench.result.n_missing, 3);
    assert_true(evaluated_notes(&bench, "4 of 8 responses have no score: 3 of 4 comparisons counted as lost"));
}

static void a_missing_score_loses_its_row_or_column_of_rm_bench(void **state)
{
    (void)state;
    static const double score[] = {1, NAN, 1, 0, 0, NAN};
    add_styles("chat");
    evaluated_open(&bench, RM_BENCH, text);
    evaluated_run(&bench, score, NULL, false);
    is("chat", "hard", 1.0 / 3);            /* right 0 over wrong 1 is left */
    is("chat", "normal", 1.0 / 3);          /* 0 over 0 */
    is("chat", "easy", 2.0 / 3);            /* 2 over 0 and 1 */
    assert_int_equal(bench.result.n_comparisons, 9);
    assert_int_equal(bench.result.n_missing, 5);
}

static void a_missing_score_loses_an_item_of_rewardbench_2(void **state)
{
    (void)state;
    static const double score[] = {3, 2, NAN, 0,   NAN, 2, 1, 0,   3, 2, 1, 0};
    for (int i = 0; i < 3; i++)
        add_four("Focus");
    evaluated_open(&bench, REWARDBENCH_2, text);
    evaluated_run(&bench, score, NULL, false);
    is("Focus", "score", 1.0 / 3);
    assert_int_equal(bench.result.n_missing, 2);
    evaluated_run(&bench, score, NULL, true);
    is("Focus", "score", (0.25 + 0.25 + 1.0) / 3);
}

static void a_judge_gets_half_for_tied_and_unparsed_pairs(void **state)
{
    (void)state;
    static const double score[] = {NAN, 1,   5, 5,   4, 7,   7, 4};
    add_pairs("hep-go", 4);
    evaluated_open(&bench, REWARDBENCH, text);
    evaluated_run(&bench, score, NULL, true);
    is("Overall", "accuracy", (0.5 + 0.5 + 0.0 + 1.0) / 4);
    assert_true(evaluated_notes(&bench, "1 of 4 comparisons are taken as undecided"));
    evaluated_run(&bench, score, NULL, false);
    is("Overall", "accuracy", 0.25);
}

static void a_judge_gets_half_in_each_cell_of_rm_bench_and_in_judgebench(void **state)
{
    (void)state;
    static const double score[] = {5, 5, 5, 5, 4, NAN}, pair[] = {6, 6};
    add_styles("chat");
    evaluated_open(&bench, RM_BENCH, text);
    evaluated_run(&bench, score, NULL, true);
    is("chat", "average", (3 * 0.5 + 3 * 1.0 + 3 * 0.5) / 9);
    evaluated_close(&bench);
    *text = 0;
    add_judged("livecodebench", "B>A");
    evaluated_open(&bench, JUDGEBENCH, text);
    evaluated_run(&bench, pair, NULL, true);
    is("Overall", "accuracy", 0.5);
}

/* ---- the table itself ------------------------------------------------------------------------------------------------------------------------ */

static void a_table_is_aligned_text_and_json_with_fractions(void **state)
{
    (void)state;
    static const double score[] = {1, 0,   1, NAN,   0, 1};
    static const char want[] = "JudgeBench  accuracy  items\n"
                               "Knowledge      33.3%      3\n"
                               "Reasoning          -      0\n"
                               "Math               -      0\n"
                               "Coding             -      0\n"
                               "Overall        33.3%      3\n"
                               "note: no item of Reasoning, Math, Coding: the overall is over the pairs that are there\n"
                               "note: 1 of 6 responses have no score: 1 of 3 comparisons counted as lost\n";
    char *shown;
    json_t *root;
    for (int i = 0; i < 3; i++)
        add_judged("mmlu-pro", "A>B");
    evaluated_open(&bench, JUDGEBENCH, text);
    evaluated_run(&bench, score, NULL, false);
    assert_int_equal(table_text(&bench.result.table, &shown), OK);
    assert_string_equal(shown, want);
    assert_int_equal(table_json(&bench.result.table, &root), OK);
    assert_string_equal(json_string_value(json_object_get(root, "benchmark")), "judgebench");
    assert_true(json_number_value(json_object_get(json_object_get(root, "overall"), "accuracy")) == 1.0 / 3);
    json_t *reasoning = json_array_get(json_object_get(root, "rows"), 1);
    assert_string_equal(json_string_value(json_object_get(reasoning, "name")), "Reasoning");
    assert_true(json_is_null(json_object_get(reasoning, "accuracy")));
    assert_int_equal(json_integer_value(json_object_get(reasoning, "items")), 0);
    assert_int_equal(json_array_size(json_object_get(root, "notes")), 2);
    json_decref(root);
    free(shown);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rewardbench_weighs_subsets_by_published_counts_and_maths_by_984),
        TEST(rewardbench_says_what_is_missing_and_what_has_other_counts),
        TEST(a_section_without_subsets_is_left_out_of_the_overall_and_said),
        TEST(each_of_the_23_subsets_has_its_published_weight),
        TEST(rewardbench_2_divides_an_item_by_its_tied_maxima),
        TEST(ties_has_a_formula_of_its_own),
        TEST(a_missing_score_loses_a_prompt_of_ties),
        TEST(a_missing_score_of_the_ref_prompt_is_lost_where_both_count),
        TEST(ties_without_partners_have_no_last_three_parts),
        TEST(two_prompts_of_ties_with_one_id_are_refused),
        TEST(the_overall_of_rewardbench_2_is_the_plain_mean_of_six),
        TEST(rm_bench_has_rows_of_right_and_columns_of_wrong_styles),
        TEST(rm_bench_says_which_domains_are_missing),
        TEST(judgebench_counts_pairs_by_source_group_and_over_all),
        TEST(a_missing_score_on_either_side_loses_the_comparison_and_is_counted),
        TEST(a_missing_score_loses_its_row_or_column_of_rm_bench),
        TEST(a_missing_score_loses_an_item_of_rewardbench_2),
        TEST(a_judge_gets_half_for_tied_and_unparsed_pairs),
        TEST(a_judge_gets_half_in_each_cell_of_rm_bench_and_in_judgebench),
        TEST(a_table_is_aligned_text_and_json_with_fractions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
