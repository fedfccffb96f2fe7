/* Verdicts and answers in generated text, F1 and correction. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "tests/tools/evaluated.h"

static void a_verdict_is_the_last_marker(void **state)
{
    (void)state;
    static const struct { const char *text; enum criticbench_verdict verdict; } cases[] = {
        {"[[correct]]", VERDICT_CORRECT}, {"The sum is off. [[wrong]]", VERDICT_WRONG}, {"Verdict: **[[Correct]]**.", VERDICT_CORRECT}, {"[[WRONG]]\n", VERDICT_WRONG},
        {"Is it [[correct]] or [[wrong]]? It is [[correct]]", VERDICT_CORRECT}, {"[[correct]] ... no: [[wrong]]", VERDICT_WRONG},
        {"", VERDICT_NONE}, {"correct", VERDICT_NONE}, {"[correct]", VERDICT_NONE}, {"[[ correct ]]", VERDICT_NONE}, {"[[incorrect]]", VERDICT_NONE}, {"[[correct]", VERDICT_NONE},
        {"[[[wrong]]]", VERDICT_WRONG}, {"[[right]]", VERDICT_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (criticbench_verdict(cases[i].text) != cases[i].verdict)
            fail_msg("'%s' is read as %d", cases[i].text, (int)criticbench_verdict(cases[i].text));
}

static void data_sets_are_known_by_their_letters_and_digits(void **state)
{
    (void)state;
    static const struct { const char *set; enum answer_form form; } cases[] = {
        {"gsm8k", ANSWER_NUMBER}, {"GSM-8K", ANSWER_NUMBER}, {"TabMWP", ANSWER_NUMBER}, {"Object Counting", ANSWER_NUMBER}, {"AQuA", ANSWER_LETTER}, {"csqa", ANSWER_LETTER},
        {"penguins_in_a_table", ANSWER_LETTER}, {"Colored Object", ANSWER_LETTER}, {"date", ANSWER_LETTER}, {"StrategyQA", ANSWER_YES_NO},
        {"MATH", ANSWER_NONE}, {"humaneval", ANSWER_NONE}, {"mbpp", ANSWER_NONE}, {"hotpotqa", ANSWER_NONE}, {"ambignq", ANSWER_NONE}, {"repeat_copy", ANSWER_NONE},
        {"gsm", ANSWER_NONE}, {"gsm8k2", ANSWER_NONE}, {"", ANSWER_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (criticbench_form(cases[i].set) != cases[i].form)
            fail_msg("'%s' is compared as %d", cases[i].set, (int)criticbench_form(cases[i].set));
}

struct answer_case { const char *text; double value; };     /* NAN: none */

static void check(bool (*read)(enum answer_form, const char *, double *), enum answer_form form, const struct answer_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value = NAN;
        bool found = read(form, cases[i].text, &value);
        if (found == isnan(cases[i].value) || (found && (value < cases[i].value || value > cases[i].value)))
            fail_msg("'%s' gives %g, not %g", cases[i].text, found ? value : NAN, cases[i].value);
    }
}
#define CHECK_ALL(read, form, cases) check(read, form, cases, sizeof(cases) / sizeof *(cases))

static void numbers_are_read_from_text(void **state)
{
    (void)state;
    static const struct answer_case cases[] = {
        {"42", 42}, {"The answer is 42.", 42}, {"so 3 + 4 = 7", 7}, {"The answer is $1,234.50 for 3 people", 1234.5}, {"5 * 3 = 15\n#### 15", 15}, {"\\boxed{-7}", -7},
        {"First the answer is 3. No: the answer is 4, not 9", 4}, {"THE ANSWER IS: 12", 12}, {"-$5", -5}, {"$-5", -5}, {"10-3", 3}, {"x = -3", -3}, {"\xe2\x88\x92""8", -8},
        {"3/4", 0.75}, {"1/5", 0.2}, {"4/0", 0}, {"0.25", 0.25}, {".5", 0.5}, {"1,2,3", 3}, {"12,345,678", 12345678}, {"1,2345", 2345}, {"50%", 50}, {"42cm", 42},
        {"H2O", NAN}, {"none", NAN}, {"", NAN}, {"The answer is unknown, though 5 were seen", 5}, {"There are 5. The answer is unknown", NAN}, {"1.2.3", 1.2},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890", 1.2345678901234568e62},
    };
    CHECK_ALL(criticbench_answer, ANSWER_NUMBER, cases);
}

static void letters_are_read_from_text(void **state)
{
    (void)state;
    static const struct answer_case cases[] = {
        {"B", 'B'}, {"(C)", 'C'}, {"The answer is (D) blue.", 'D'}, {"The answer is B because A is too small", 'B'}, {"the answer is A because of that", 'A'},
        {"I think (A) is wrong and (B) is right", 'B'}, {"A dog is none", NAN}, {"I am", NAN},
        {"(I)", 'I'}, {"The answer is, I think, E", 'E'}, {"The correct one: \xe2\x80\x9c""C\xe2\x80\x9d", 'C'},
        {"DNA", NAN}, {"b", NAN}, {"It's B's", NAN}, {"", NAN},
    };
    CHECK_ALL(criticbench_answer, ANSWER_LETTER, cases);
}

static void yes_and_no_are_read_from_text(void **state)
{
    (void)state;
    static const struct answer_case cases[] = {
        {"yes", 1}, {"No.", 0}, {"True", 1}, {"FALSE", 0}, {"Yes, there is no doubt", 1}, {"There is no doubt: yes", 1}, {"So the answer is no. Yes?", 0}, {"**No**, yes", 0},
        {"nobody", NAN}, {"yesterday", NAN}, {"", NAN},
    };
    double value;
    CHECK_ALL(criticbench_answer, ANSWER_YES_NO, cases);
    assert_false(criticbench_answer(ANSWER_NONE, "yes 5 (A)", &value));
}

static void a_reference_holds_its_value_and_no_other_word(void **state)
{
    (void)state;
    static const struct answer_case numbers[] = {{"18", 18}, {" $1,000.", 1000}, {"long sum\n#### 72", 72}, {"-3", -3}, {"2:15 PM", NAN}, {"5 apples", NAN},
                                                 {"about 5", NAN}, {"", NAN}, {"1 2", NAN}};
    static const struct answer_case letters[] = {{"A", 'A'}, {"(B)", 'B'}, {"C.", 'C'}, {"(B) red", NAN}, {"ignore", NAN}};
    static const struct answer_case words[] = {{"yes", 1}, {"False", 0}, {"yes and no", NAN}};
    CHECK_ALL(criticbench_reference, ANSWER_NUMBER, numbers);
    CHECK_ALL(criticbench_reference, ANSWER_LETTER, letters);
    CHECK_ALL(criticbench_reference, ANSWER_YES_NO, words);
}

static void an_answer_is_compared_where_set_and_reference_allow_it(void **state)
{
    (void)state;
    assert_true(criticbench_compares("GSM8K", "18"));
    assert_true(criticbench_compares("StrategyQA", "yes"));
    assert_false(criticbench_compares("GSM8K", NULL));
    assert_false(criticbench_compares("GSM8K", "2:15 PM"));
    assert_false(criticbench_compares("MATH", "18"));
}

/* ---- table ----------------------------------------------------------------------------------------------------------------------------------- */

static struct evaluated bench;

static int tear_down(void **state)
{
    (void)state;
    if (bench.benchmark)
        evaluated_close(&bench);
    trace_clear();
    return 0;
}

#define ITEM(set, label, answer) "{\"dataset\": \"" set "\", \"question\": \"P\", \"response\": \"r\", \"response_label\": " label ", \"answer\": " answer "}\n"
static const char six[] = ITEM("gsm8k", "false", "\"4\"") ITEM("gsm8k", "false", "\"5\"") ITEM("gsm8k", "true", "6") ITEM("csqa", "false", "\"A\"") ITEM("csqa", "true", "\"B\"")
    ITEM("mbpp", "true", "\"def f(): ...\"");

/* Wrong responses: items 0, 1, 3. Found: 0 and 3; missed: 1, whose verdict is unparsable. Right responses: false alarms at 2 (called wrong) and 4 (unparsable); 5 is called right.
 * Pooled: 2 hits, 2 false alarms, 1 miss: F1 = 4 / 7, precision 1/2, recall 2/3. gsm8k: 1, 1, 1: 1/2. csqa: 1, 1, 0: 2/3. */
static void f1_is_pooled_and_unparsable_verdicts_are_mistaken(void **state)
{
    (void)state;
    static const struct criticbench_reply reply[] = {{VERDICT_WRONG, NULL}, {VERDICT_NONE, NULL}, {VERDICT_WRONG, NULL},
                                                     {VERDICT_WRONG, NULL}, {VERDICT_NONE, NULL}, {VERDICT_CORRECT, NULL}};
    evaluated_open(&bench, CRITICBENCH, six);
    evaluated_run(&bench, NULL, reply, false);
    evaluated_is(&bench, "Overall", "f1", 4.0 / 7);
    evaluated_is(&bench, "Overall", "precision", 0.5);
    evaluated_is(&bench, "Overall", "recall", 2.0 / 3);
    evaluated_is(&bench, "Overall", "items", 6);
    evaluated_is(&bench, "gsm8k", "f1", 0.5);
    evaluated_is(&bench, "csqa", "f1", 2.0 / 3);
    assert_true(isnan(evaluated_cell(&bench, "mbpp", "f1")));           /* neither a wrong response nor a false alarm */
    assert_true(isnan(evaluated_cell(&bench, "Overall", "correction")));
    assert_true(evaluated_notes(&bench, "2 of 6 verdicts could not be read"));
    assert_true(bench.result.outcome[0] == 1.0 && bench.result.outcome[1] == 0.0 && bench.result.outcome[2] == 0.0 && bench.result.outcome[5] == 1.0);
}

/* gsm8k: 4 right, none, 6 right: 2 of 3. csqa: C for A, B right: 1 of 2. mbpp cannot be compared. Overall 3 of 5. */
static void correction_is_over_the_items_that_can_be_compared(void **state)
{
    (void)state;
    static const struct criticbench_reply reply[] = {{VERDICT_WRONG, "The answer is 4.0 apples"}, {VERDICT_WRONG, NULL}, {VERDICT_CORRECT, "6"},
                                                     {VERDICT_WRONG, "The answer is (C)"}, {VERDICT_CORRECT, "(B)"}, {VERDICT_CORRECT, "def f(): ..."}};
    evaluated_open(&bench, CRITICBENCH, six);
    evaluated_run(&bench, NULL, reply, false);
    evaluated_is(&bench, "gsm8k", "correction", 2.0 / 3);
    evaluated_is(&bench, "csqa", "correction", 0.5);
    assert_true(isnan(evaluated_cell(&bench, "mbpp", "correction")));
    evaluated_is(&bench, "mbpp", "compared", 0);
    evaluated_is(&bench, "Overall", "correction", 0.6);
    evaluated_is(&bench, "Overall", "compared", 5);
    evaluated_is(&bench, "Overall", "f1", 1.0);
    assert_true(evaluated_notes(&bench, "answers of 1 of 6 items cannot be compared"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verdict_is_the_last_marker),
        cmocka_unit_test(data_sets_are_known_by_their_letters_and_digits),
        cmocka_unit_test(numbers_are_read_from_text),
        cmocka_unit_test(letters_are_read_from_text),
        cmocka_unit_test(yes_and_no_are_read_from_text),
        cmocka_unit_test(a_reference_holds_its_value_and_no_other_word),
        cmocka_unit_test(an_answer_is_compared_where_set_and_reference_allow_it),
        cmocka_unit_test_teardown(f1_is_pooled_and_unparsable_verdicts_are_mistaken, tear_down),
        cmocka_unit_test_teardown(correction_is_over_the_items_that_can_be_compared, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
