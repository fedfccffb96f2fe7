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
        {"gsm8k", ANSWER_NUMBER}, {"GSM-8K", ANSWER_NUMBER}, {"TabMWP", ANSWER_MIXED}, {"Object Counting", ANSWER_NUMBER}, {"AQuA", ANSWER_LETTER}, {"csqa", ANSWER_LETTER},
        {"penguins_in_a_table", ANSWER_LETTER}, {"Colored Object", ANSWER_LETTER}, {"date", ANSWER_LETTER}, {"StrategyQA", ANSWER_YES_NO},
        {"CSQA", ANSWER_LETTER}, {"Penguins", ANSWER_LETTER}, {"Date", ANSWER_LETTER}, {"MATH", ANSWER_LATEX}, {"HotpotQA", ANSWER_TEXT}, {"AmbigNQ", ANSWER_TEXT},
        {"Repeat Copy", ANSWER_COPY}, {"repeat_copy", ANSWER_COPY}, {"HumanEval", ANSWER_NONE}, {"MBPP", ANSWER_NONE}, {"mathqa", ANSWER_NONE},
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
        {"So we get [[12]] of 15.", 12}, {"[[wrong]] 4 of 5", 5}, {"The answer isn't 3, it is 4", 4}, {"H2O", NAN}, {"none", NAN}, {"", NAN}, {"The answer is unknown, though 5 were seen", 5}, {"There are 5. The answer is unknown", NAN}, {"1.2.3", 1.2},
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
        {"DNA", NAN}, {"It's B's", NAN}, {"", NAN},
        {"b", 'B'}, {"c.", 'C'}, {"The answer is (b).", 'B'}, {"The answer is: **d**", 'D'}, {"So the answer is e) atlas", 'E'}, {"The answer is [[a]] jewelry store.", 'A'},
        {"(a) is wrong and (c) is right", 'C'}, {"the answer is a dog", NAN}, {"one apple(s)", NAN}, {"f(x) = x.", NAN}, {"list[i]", NAN}, {"e.g. this", NAN},
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
    static const struct answer_case letters[] = {{"A", 'A'}, {"(B)", 'B'}, {"C.", 'C'}, {"(B) red", NAN}, {"ignore", NAN}, {"d", 'D'}, {"(e)", 'E'}, {"a dog", NAN}};
    static const struct answer_case words[] = {{"yes", 1}, {"False", 0}, {"yes and no", NAN}};
    CHECK_ALL(criticbench_reference, ANSWER_NUMBER, numbers);
    CHECK_ALL(criticbench_reference, ANSWER_LETTER, letters);
    CHECK_ALL(criticbench_reference, ANSWER_YES_NO, words);
}

struct same_case { enum answer_form form; const char *reference, *reply; bool same; };

static void check_same(const struct same_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (criticbench_same(cases[i].form, cases[i].reference, cases[i].reply) != cases[i].same)
            fail_msg("'%s' for '%s' must %sbe the same", cases[i].reply, cases[i].reference, cases[i].same ? "" : "not ");
}
#define CHECK_SAME(cases) check_same(cases, sizeof(cases) / sizeof *(cases))

static void values_are_the_same_to_a_ten_thousandth(void **state)
{
    (void)state;
    static const struct same_case cases[] = {
        {ANSWER_NUMBER, "18", "The answer is 18.", true}, {ANSWER_NUMBER, "18", "The answer is 18.01", false}, {ANSWER_NUMBER, "20000", "so 20,001 in all", true},
        {ANSWER_NUMBER, "0.5", "50%", false}, {ANSWER_NUMBER, "50", "The answer is 0.5", false}, {ANSWER_NUMBER, "0", "0.00", true}, {ANSWER_NUMBER, "0", "0.00001", false},
        {ANSWER_NUMBER, "-3", "3", false}, {ANSWER_NUMBER, "0.3333", "1/3", true}, {ANSWER_NUMBER, "7", "The answer is [[7]]", true}, {ANSWER_NUMBER, "", "7", false},
        {ANSWER_LETTER, "b", "The answer is (B).", true}, {ANSWER_LETTER, "B", "(b)", true}, {ANSWER_LETTER, "B", "The answer is (C), not (B)", false}, {ANSWER_LETTER, "B", "", false},
        {ANSWER_YES_NO, "true", "Yes.", true}, {ANSWER_YES_NO, "yes", "The answer is no", false}, {ANSWER_YES_NO, "false", "[[No]]", true},
        {ANSWER_MIXED, "5/16", "The answer is 5/16.", true}, {ANSWER_MIXED, "5/16", "The answer is 0.3125", true}, {ANSWER_MIXED, "5/16", "The answer is 5/8", false},
        {ANSWER_MIXED, "1,250", "$1250.00", true}, {ANSWER_MIXED, "A", "The answer is [[A]]", true}, {ANSWER_MIXED, "A", "The answer is 1", false},
        {ANSWER_MIXED, "2:15 P.M.", "The answer is 2:15 PM.", true}, {ANSWER_MIXED, "2:15 P.M.", "The answer is 2:15 A.M.", false},
        {ANSWER_MIXED, "Saturday", "The answer is saturday", true}, {ANSWER_MIXED, "shortage", "a surplus", false},
        {ANSWER_NONE, "def f(): ...", "def f(): ...", false},
    };
    CHECK_SAME(cases);
}

static void words_are_the_same_without_case_punctuation_and_articles(void **state)
{
    (void)state;
    static const struct same_case cases[] = {
        {ANSWER_TEXT, "The Beatles", "beatles", true}, {ANSWER_TEXT, "Paris", "It is in France. The answer is Paris.", true}, {ANSWER_TEXT, "Paris", "The answer is: **Paris**", true},
        {ANSWER_TEXT, "Paris", "**The answer is:**\nParis\nThat is all.", true}, {ANSWER_TEXT, "Paris", "Paris", true}, {ANSWER_TEXT, "Paris", "Paris, France", false},
        {ANSWER_TEXT, "Paris", "The answer is Rome. No, the answer is Paris", true}, {ANSWER_TEXT, "Paris", "The answer is Paris. No, the answer is Rome", false},
        {ANSWER_TEXT, "Paris", "The answer is Paris\nor Rome", true}, {ANSWER_TEXT, "Paris", "The answer is Paris. It lies in France", false},
        {ANSWER_TEXT, "Jaime Meline", "The guest was [[Jaime Meline]].", true}, {ANSWER_TEXT, "us 60", "The answer is: [[US 60]]", true},
        {ANSWER_TEXT, "Rome", "[[wrong]] The answer is Rome. [[correct]]", false}, {ANSWER_TEXT, "Rome", "[[wrong]]\nThe answer is Rome.\n[[correct]]", true},
        {ANSWER_TEXT, "J. R. R. Tolkien", "the answer is J.R.R. Tolkien", false}, {ANSWER_TEXT, "O'Neil", "O\xe2\x80\x99neil", true},
        {ANSWER_TEXT, "1912\xe2\x80\x93""1915", "1912-1915", true}, {ANSWER_TEXT, "well-known", "well known", false}, {ANSWER_TEXT, "\xc3\x89""douard", "\xc3\xa9""DOUARD", true},
        {ANSWER_TEXT, "New York", "new\xc2\xa0  york", true}, {ANSWER_TEXT, "New York", "newyork", false}, {ANSWER_TEXT, "theatre", "atre", false},
        {ANSWER_TEXT, "a - b", "b", true}, {ANSWER_TEXT, "The", "the", false}, {ANSWER_TEXT, "?", "?", false}, {ANSWER_TEXT, "Rome", "", false}, {ANSWER_TEXT, "Rome", "The answer is", false},
        {ANSWER_TEXT, "Rome", "The answer is [[Rome", true}, {ANSWER_TEXT, "Rome", "So [[Rome", false}, {ANSWER_TEXT, "Rome", "\xff\xfe Rome", false}, {ANSWER_TEXT, "Rome", "The answer isn't known: Rome", false},
    };
    CHECK_SAME(cases);
}

static void copies_are_the_same_to_the_letter(void **state)
{
    (void)state;
    static const struct same_case cases[] = {
        {ANSWER_COPY, "pup pup", "pup pup", true}, {ANSWER_COPY, " pup pup\n", "\n pup pup ", true}, {ANSWER_COPY, "pup pup", "pup  pup", false}, {ANSWER_COPY, "pup pup", "Pup pup", false},
        {ANSWER_COPY, "pup pup", "pup pup.", false}, {ANSWER_COPY, "pup pup", "Twice: [[pup pup]]", true}, {ANSWER_COPY, "pup pup", "It is said twice.\nThe answer is pup pup.", true},
        {ANSWER_COPY, "pup.", "The answer is: pup.", true}, {ANSWER_COPY, "pup", "The answer is pup. Or not", false}, {ANSWER_COPY, "pup", "The answer is pup!", false}, {ANSWER_COPY, "one\ntwo", "The answer is:\none\ntwo", true},
        {ANSWER_COPY, "the answer is pup", "the answer is pup", true}, {ANSWER_COPY, "pup pup", "pup pup pup pup", false}, {ANSWER_COPY, "", "", false}, {ANSWER_COPY, "pup", "", false},
        {ANSWER_COPY, "pup", "The answer is", false}, {ANSWER_COPY, "pup", "[[pup", false},
    };
    CHECK_SAME(cases);
}

static void formulas_are_the_same_when_written_alike(void **state)
{
    (void)state;
    static const struct same_case cases[] = {
        {ANSWER_LATEX, "\\frac{3}{4}", "So it is $\\boxed{\\dfrac{3}{4}}$.", true}, {ANSWER_LATEX, "\\frac34", "\\boxed{\\tfrac 3 4}", true}, {ANSWER_LATEX, "\\frac{3}{4}", "[[3/4]]", true},
        {ANSWER_LATEX, "\\frac{3}{4}", "The answer is 3/4.", true}, {ANSWER_LATEX, "\\frac{3}{4}", "0.75", true}, {ANSWER_LATEX, "\\frac{3}{4}", "\\boxed{\\frac{4}{3}}", false},
        {ANSWER_LATEX, "12", "The answer is 12 apples.", true}, {ANSWER_LATEX, "12", "The answer is 12 x.", false}, {ANSWER_LATEX, "12", "The answer is 12\\sqrt{2} units", false}, {ANSWER_LATEX, "[[1,2],[3,4]]", "[[1,2],[3,4]]", true},
        {ANSWER_LATEX, "-\\frac{1}{2}", "\\boxed{\\frac{-1}{2}}", true}, {ANSWER_LATEX, "-\\frac{1}{2}", "\\boxed{-1/2}", true}, {ANSWER_LATEX, "-\\frac{1}{2}", "\\boxed{\\frac12}", false},
        {ANSWER_LATEX, "\\frac{11}{2}", "\\boxed{\\frac1{12}}", false}, {ANSWER_LATEX, "\\frac{\\sqrt{3}}{2}", "\\boxed{\\frac{\\sqrt3}2}", true},
        {ANSWER_LATEX, "\\frac{\\pi}{2}", "$\\boxed{\\frac\\pi2}$", true}, {ANSWER_LATEX, "\\frac{1}{\\frac{1}{2}}", "\\boxed{\\frac{1}{\\frac12}}", true},
        {ANSWER_LATEX, "(1,2)", "\\boxed{\\left( 1, \\, 2 \\right)}", true}, {ANSWER_LATEX, "(1,2)", "\\boxed{(2,1)}", false}, {ANSWER_LATEX, "\\leftarrow", "\\boxed{arrow}", false},
        {ANSWER_LATEX, "x^2+1", "\\boxed{x^{2} + 1}", true}, {ANSWER_LATEX, "x^{21}", "\\boxed{x^21}", false}, {ANSWER_LATEX, "5", "The answer is $x = 5$, as was shown.", true},
        {ANSWER_LATEX, "5", "The answer is \\(n=5\\).", true}, {ANSWER_LATEX, "5", "The answer is $$5$$", true}, {ANSWER_LATEX, "5", "\\boxed{abc=5}", false},
        {ANSWER_LATEX, "x=1=y", "\\boxed{1=y}", false}, {ANSWER_LATEX, "10000", "\\boxed{\\$10{,}000.00}", true}, {ANSWER_LATEX, "10,\\!000", "\\boxed{10000}", true},
        {ANSWER_LATEX, "30", "\\boxed{30\\%}", true}, {ANSWER_LATEX, "0.3", "\\boxed{30\\%}", false}, {ANSWER_LATEX, "45^\\circ", "\\boxed{45}", true}, {ANSWER_LATEX, "45^{\\circ}", "45\xc2\xb0", true},
        {ANSWER_LATEX, ".5", "\\boxed{0.50}", true}, {ANSWER_LATEX, "(0.5,2)", "\\boxed{(.5, 2.0)}", true}, {ANSWER_LATEX, "2.05", "\\boxed{2.5}", false}, {ANSWER_LATEX, "(2.05,1)", "\\boxed{(25,1)}", false},
        {ANSWER_LATEX, "12", "\\boxed{12\\text{ cm}}", true}, {ANSWER_LATEX, "12", "The answer is 12 \\mbox{ feet}.", true}, {ANSWER_LATEX, "\\text{Monday}", "\\boxed{Monday}", true},
        {ANSWER_LATEX, "\\text{Monday}", "\\boxed{\\text{Tuesday}}", false}, {ANSWER_LATEX, "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\boxed{\\begin{pmatrix}1\\\\2\\end{pmatrix}}", true},
        {ANSWER_LATEX, "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\boxed{\\begin{pmatrix}12\\end{pmatrix}}", false},
        {ANSWER_LATEX, "4", "\\boxed{3} is wrong, it is \\boxed{4}", true}, {ANSWER_LATEX, "3", "\\boxed{3} is right, and \\boxed{4", true}, {ANSWER_LATEX, "\\{1,2\\}", "\\boxed{\\{1,2\\}}", true},
        {ANSWER_LATEX, "3", "\\boxed{4}. The answer is 3", false}, {ANSWER_LATEX, "7", "First 5, then 7 at last", true}, {ANSWER_LATEX, "5", "First 5, then 7 at last", false},
        {ANSWER_LATEX, "\\frac{2}{3}", "\\frac{2}{3}", true}, {ANSWER_LATEX, "x", "it is 3", false}, {ANSWER_LATEX, "20001", "\\boxed{20000}", true}, {ANSWER_LATEX, "1001", "\\boxed{1000}", false},
        {ANSWER_LATEX, "-3", "\\boxed{\xe2\x88\x92""3}", true}, {ANSWER_LATEX, "We see $\\boxed{9}$.", "\\boxed{9}", true}, {ANSWER_LATEX, "\\frac{1}{0}", "\\boxed{\\frac{2}{0}}", false},
        {ANSWER_LATEX, "", "\\boxed{}", false}, {ANSWER_LATEX, "$.$", "\\boxed{}", false}, {ANSWER_LATEX, "3", "\\boxed{}", false}, {ANSWER_LATEX, "3", "", false},
        {ANSWER_LATEX, "x^", "\\boxed{x^}", true}, {ANSWER_LATEX, "\\frac", "\\boxed{\\frac{}}", false}, {ANSWER_LATEX, "\\", "\\", true}, {ANSWER_LATEX, "3", "\\boxed{3\\", true}, {ANSWER_LATEX, "x", "\\boxed{x\\", false},
        {ANSWER_LATEX, "\\sqrt[3]{2}", "\\boxed{\\sqrt[3]{2}}", true}, {ANSWER_LATEX, "{{{", "\\frac{{{", false}, {ANSWER_LATEX, "^^__", "^^__", true},
    };
    CHECK_SAME(cases);
}

/* The longest that is compared has 2,048 bytes; nothing is written beyond that, also where braces make it longer. */
static void formulas_that_are_too_long_are_not_compared(void **state)
{
    (void)state;
    char text[4096];
    memset(text, 'x', sizeof text);
    text[2048] = 0;
    assert_true(criticbench_same(ANSWER_LATEX, text, text));
    text[2048] = 'x', text[2049] = 0;
    assert_false(criticbench_comparable(ANSWER_LATEX, text));
    assert_false(criticbench_same(ANSWER_LATEX, text, text));
    memset(text, '^', 1500);
    text[1500] = 0;
    assert_false(criticbench_comparable(ANSWER_LATEX, text));
    memset(text, '{', 4000);
    text[4000] = 0;
    assert_false(criticbench_same(ANSWER_LATEX, "3", text));
    text[2000] = 0;
    assert_true(criticbench_same(ANSWER_LATEX, text, text));
}

static bool compares(const char *set, const char *answers)
{
    json_t *list = NULL;
    assert_int_equal(json_parse(answers, strlen(answers), "answers", &list), OK);
    bool can = criticbench_compares(set, list);
    json_decref(list);
    return can;
}

static void an_answer_is_compared_where_set_and_a_reference_allow_it(void **state)
{
    (void)state;
    assert_true(compares("GSM8K", "[\"18\"]"));
    assert_true(compares("GSM8K", "[\"2:15 PM\", \"18\"]"));
    assert_true(compares("StrategyQA", "[\"yes\"]"));
    assert_true(compares("MATH", "[\"18\"]"));
    assert_true(compares("TabMWP", "[\"2:15 PM\"]"));
    assert_true(compares("HotpotQA", "[\"Paris\"]"));
    assert_true(compares("Repeat Copy", "[\"pup pup\"]"));
    assert_false(compares("GSM8K", "[\"2:15 PM\"]"));
    assert_false(compares("HotpotQA", "[\"the\", \" \"]"));
    assert_false(compares("GSM8K", "[]"));
    assert_false(compares("MBPP", "[\"assert f(1) == 2\"]"));
    assert_false(compares("HumanEval", "[\"18\"]"));
    assert_false(criticbench_compares("GSM8K", NULL));
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

#define ROW(id, set, type, label, answer) \
    "{\"id\": " id ", \"question\": \"Q\", \"answer\": " answer ", \"response\": \"r\", \"response_label\": " label ", \"question_source\": \"" set "\", \"question_type\": \"" type "\"}\n"
static const char published[] =
    ROW("0", "GSM8K", "Mathematical Reasoning", "false", "[\"18\"]") ROW("1", "MATH", "Mathematical Reasoning", "true", "[\"\\\\frac{1}{2}\"]")
    ROW("2", "HotpotQA", "Commonsense Reasoning", "false", "[\"the Stones\", \"The Rolling Stones\", \"Jagger\"]") ROW("3", "MATH", "Mathematical Reasoning", "false", "[\"(1,2)\"]")
    ROW("4", "StrategyQA", "Commonsense Reasoning", "true", "[true]") ROW("5", "TabMWP", "Mathematical Reasoning", "false", "[1250]")
    ROW("6", "MBPP", "Code Generation", "false", "[\"assert f(1) == 2\"]") ROW("7", "Repeat Copy", "Algorithmic Tasks", "true", "[]");

/* Wrong responses: 0, 2, 3, 5, 6. Found: 0, 2, 6; missed: 3, 5. False alarms among 1, 4, 7: 4. Pooled: 2*3 / (2*3 + 1 + 2) = 2/3.
 * Mathematical (0, 1, 3, 5): 1 hit, 2 missed: 2/4. Commonsense (2, 4): 1 hit, 1 false alarm: 2/3. MATH (1, 3): 1 missed: 0.
 * Corrected: 0, 2 (by its second reference), 5; not 1, 3 (no answer), 4. Compared are 0 to 5: 3 of 6. Mathematical 2 of 4 (0, 5), Commonsense 1 of 2. */
static void the_published_form_has_rows_of_types_and_their_sets(void **state)
{
    (void)state;
    static const struct { int level; const char *name; } rows[] = {
        {0, "Mathematical Reasoning"}, {1, "GSM8K"}, {1, "MATH"}, {1, "TabMWP"}, {0, "Commonsense Reasoning"}, {1, "HotpotQA"}, {1, "StrategyQA"},
        {0, "Code Generation"}, {1, "MBPP"}, {0, "Algorithmic Tasks"}, {1, "Repeat Copy"}, {0, "Overall"}};
    static const struct criticbench_reply reply[] = {
        {VERDICT_WRONG, "The answer is 18"}, {VERDICT_CORRECT, "\\boxed{\\frac{1}{3}}"}, {VERDICT_WRONG, "The answer is: Rolling Stones."}, {VERDICT_CORRECT, NULL},
        {VERDICT_WRONG, "No."}, {VERDICT_NONE, "The answer is $1,250"}, {VERDICT_WRONG, NULL}, {VERDICT_CORRECT, "pup"}};
    evaluated_open(&bench, CRITICBENCH, published);
    evaluated_run(&bench, NULL, reply, false);
    const struct table *t = &bench.result.table;
    assert_int_equal(t->n_rows, sizeof rows / sizeof *rows);
    for (int i = 0; i < t->n_rows; i++) {
        assert_string_equal(t->row[i].name, rows[i].name);
        assert_int_equal(t->row[i].level, rows[i].level);
    }
    evaluated_is(&bench, "Overall", "f1", 2.0 / 3);
    evaluated_is(&bench, "Overall", "precision", 0.75);
    evaluated_is(&bench, "Overall", "recall", 0.6);
    evaluated_is(&bench, "Overall", "correction", 0.5);
    evaluated_is(&bench, "Overall", "compared", 6);
    evaluated_is(&bench, "Mathematical Reasoning", "f1", 0.5);
    evaluated_is(&bench, "Mathematical Reasoning", "items", 4);
    evaluated_is(&bench, "Mathematical Reasoning", "correction", 0.5);
    evaluated_is(&bench, "Commonsense Reasoning", "f1", 2.0 / 3);
    evaluated_is(&bench, "Commonsense Reasoning", "correction", 0.5);
    evaluated_is(&bench, "MATH", "f1", 0);
    evaluated_is(&bench, "MATH", "correction", 0);
    evaluated_is(&bench, "HotpotQA", "correction", 1);
    evaluated_is(&bench, "Code Generation", "compared", 0);
    evaluated_is(&bench, "Algorithmic Tasks", "compared", 0);
    assert_true(evaluated_notes(&bench, "1 of 8 verdicts could not be read"));
    assert_true(evaluated_notes(&bench, "answers of 2 of 8 items cannot be compared"));
}

static void without_all_types_the_rows_are_the_sets(void **state)
{
    (void)state;
    static const struct criticbench_reply reply[3] = {{VERDICT_WRONG, NULL}, {VERDICT_WRONG, NULL}, {VERDICT_WRONG, NULL}};
    evaluated_open(&bench, CRITICBENCH, ROW("0", "MATH", "M", "false", "[]") ROW("1", "MATH", "N", "false", "[]") ITEM("gsm8k", "false", "4"));
    evaluated_run(&bench, NULL, reply, false);
    assert_int_equal(bench.result.table.n_rows, 3);
    assert_string_equal(bench.result.table.row[0].name, "MATH");
    assert_string_equal(bench.result.table.row[1].name, "gsm8k");
    assert_int_equal(bench.result.table.row[1].level, 0);
}

/* MATH of type M: one hit; of type N: one missed. */
static void a_set_of_two_types_has_a_row_in_each(void **state)
{
    (void)state;
    static const struct criticbench_reply reply[2] = {{VERDICT_WRONG, NULL}, {VERDICT_CORRECT, NULL}};
    evaluated_open(&bench, CRITICBENCH, ROW("0", "MATH", "M", "false", "[]") ROW("1", "MATH", "N", "false", "[]"));
    evaluated_run(&bench, NULL, reply, false);
    const struct table *t = &bench.result.table;
    assert_int_equal(t->n_rows, 5);
    assert_true(t->row[1].value[0] == 1.0 && t->row[3].value[0] == 0.0 && t->row[3].value[3] == 1.0);
    assert_string_equal(t->row[3].name, "MATH");
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
        cmocka_unit_test(values_are_the_same_to_a_ten_thousandth),
        cmocka_unit_test(words_are_the_same_without_case_punctuation_and_articles),
        cmocka_unit_test(copies_are_the_same_to_the_letter),
        cmocka_unit_test(formulas_are_the_same_when_written_alike),
        cmocka_unit_test(formulas_that_are_too_long_are_not_compared),
        cmocka_unit_test(an_answer_is_compared_where_set_and_a_reference_allow_it),
        cmocka_unit_test_teardown(f1_is_pooled_and_unparsable_verdicts_are_mistaken, tear_down),
        cmocka_unit_test_teardown(correction_is_over_the_items_that_can_be_compared, tear_down),
        cmocka_unit_test_teardown(the_published_form_has_rows_of_types_and_their_sets, tear_down),
        cmocka_unit_test_teardown(without_all_types_the_rows_are_the_sets, tear_down),
        cmocka_unit_test_teardown(a_set_of_two_types_has_a_row_in_each, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
