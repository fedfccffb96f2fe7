/* Existing scores from JSON lines, sentences for bad ones, and the files of a result. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "tests/tools/evaluated.h"
#include "trainer/eval/scores.h"

static struct evaluated bench;
static struct scores scores;

static int tear_down(void **state)
{
    (void)state;
    scores_free(&scores);
    if (bench.benchmark)
        evaluated_close(&bench);
    trace_clear();
    return 0;
}

static int read_text(const char *text) { return scores_read(bench.benchmark, scratch_write(&bench.scratch, "scores.jsonl", text, strlen(text)), &scores); }

static void must(int status)
{
    if (status != OK)
        fail_msg("%s", trace_sentence());
}

#define PAIR(id, subset) "{\"id\": " id ", \"subset\": \"" subset "\", \"prompt\": \"P\", \"chosen\": \"C\", \"rejected\": \"R\"}\n"
static const char pairs[] = PAIR("30", "hep-go") PAIR("\"b\"", "hep-go") PAIR("30", "hep-js");

static void lines_come_in_any_order_and_null_is_no_score(void **state)
{
    (void)state;
    evaluated_open(&bench, REWARDBENCH, pairs);
    must(read_text("{\"id\": 30, \"group\": \"hep-js\", \"scores\": [null, -2e1], \"more\": 1}\n\n"
                   "{\"id\": \"b\", \"scores\": [1, 2.5]}\r\n{\"id\": \"30\", \"group\": \"hep-go\", \"scores\": [3, 4]}"));
    static const double want[] = {3, 4, 1, 2.5, NAN, -20};
    for (int i = 0; i < 6; i++)
        assert_true(isnan(want[i]) ? isnan(scores.score[i]) : scores.score[i] == want[i]);
    assert_null(scores.reply);
}

static void replies_of_criticbench_have_a_verdict_and_an_answer(void **state)
{
    (void)state;
    evaluated_open(&bench, CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true}\n"
                                        "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true}\n"
                                        "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true}\n");
    must(read_text("{\"id\": 2, \"verdict\": \"Fine. [[correct]]\", \"answer\": \"12\"}\n"
                   "{\"id\": 0, \"verdict\": null, \"answer\": 1.5}\n{\"id\": 1, \"verdict\": \"[[wrong]]\"}\n"));
    assert_null(scores.score);
    assert_int_equal(scores.reply[0].verdict, VERDICT_NONE);
    assert_string_equal(scores.reply[0].answer, "1.5");
    assert_int_equal(scores.reply[1].verdict, VERDICT_WRONG);
    assert_null(scores.reply[1].answer);
    assert_int_equal(scores.reply[2].verdict, VERDICT_CORRECT);
    assert_string_equal(scores.reply[2].answer, "12");
}

static void refused(const char *text, const char *where, const char *words)
{
    trace_clear();
    assert_int_equal(read_text(text), FAILED);
    assert_null(scores.score);
    if (!strstr(trace_sentence(), "scores.jsonl") || !strstr(trace_sentence(), where) || !strstr(trace_sentence(), words))
        fail_msg("'%s' does not say '%s' and '%s'", trace_sentence(), where, words);
}

#define GOOD "{\"id\": \"b\", \"scores\": [1, 2]}\n"

static void a_bad_line_of_scores_is_named(void **state)
{
    (void)state;
    evaluated_open(&bench, REWARDBENCH, pairs);
    refused(GOOD "{\"id\": ", "line 2", "JSON");
    refused(GOOD "[1]", "line 2", "not a JSON object");
    refused(GOOD "{\"scores\": [1, 2]}", "line 2", "\"id\" is missing");
    refused(GOOD "{\"id\": [], \"scores\": [1, 2]}", "line 2", "\"id\"");
    refused(GOOD "{\"id\": \"c\", \"scores\": [1, 2]}", "line 2", "no item with id \"c\"");
    refused(GOOD "{\"id\": 30, \"scores\": [1, 2]}", "line 2", "2 items with id \"30\": tell them apart by \"group\"");
    refused(GOOD "{\"id\": 30, \"group\": \"hep-cpp\", \"scores\": [1, 2]}", "line 2", "in group hep-cpp");
    refused(GOOD "\n" GOOD, "line 3", "item b has its scores in line 1 already");
    refused("{\"id\": \"b\"}", "line 1", "\"scores\" is missing");
    refused("{\"id\": \"b\", \"scores\": 1}", "line 1", "\"scores\" must be a list");
    refused("{\"id\": \"b\", \"scores\": [1, 2, 3]}", "line 1", "3 numbers, but item b has 2 responses");
    refused("{\"id\": \"b\", \"scores\": [1, \"2\"]}", "line 1", "score 2 is neither a number nor null");
    refused("{\"id\": \"b\", \"scores\": [1, 1e999]}", "line 1", "JSON");
    refused("{\"id\": \"b\", \"scores\": [1, NaN]}", "line 1", "JSON");
}

static void missing_items_are_counted(void **state)
{
    (void)state;
    evaluated_open(&bench, REWARDBENCH, pairs);
    refused(GOOD, "no line for 2 of the 3 items", "the first is id 30");
    refused("", "no line for 3 of the 3 items", "add them");
}

static void items_that_cannot_be_told_apart_are_refused(void **state)
{
    (void)state;
    evaluated_open(&bench, REWARDBENCH, PAIR("1", "hep-go") PAIR("1", "hep-go"));
    refused("{\"id\": 1, \"group\": \"hep-go\", \"scores\": [1, 2]}", "line 1", "ids of their own");
}

static void a_reply_without_a_verdict_is_refused(void **state)
{
    (void)state;
    evaluated_open(&bench, CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true}\n");
    refused("{\"id\": 0, \"answer\": \"1\"}", "line 1", "\"verdict\" is missing");
    refused("{\"id\": 0, \"verdict\": true}", "line 1", "\"verdict\" must be a string");
    refused("{\"id\": 0, \"verdict\": \"[[wrong]]\", \"answer\": [1]}", "line 1", "\"answer\"");
}

/* ---- the files of a result ------------------------------------------------------------------------------------------------------------------- */

static char *file_text(const char *name)
{
    char *bytes, path[64];
    size_t n;
    snprintf(path, sizeof path, "out/%s", name);
    must(file_read(scratch_path(&bench.scratch, path), &bytes, &n));
    return bytes;
}

static void write_result(const struct evaluation_labels *labels)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch_path(&bench.scratch, "out"));
    must(evaluation_write(&bench.evaluation, &bench.result, labels, folder));
}

static void file_is(const char *name, const char *want)
{
    char *text = file_text(name);
    assert_string_equal(text, want);
    free(text);
}

static void items_hold_scores_and_outcomes(void **state)
{
    (void)state;
    static const double score[] = {3, 4, 1, 0.5, NAN, -20};
    evaluated_open(&bench, REWARDBENCH, pairs);
    evaluated_run(&bench, score, NULL, false);
    write_result(&(struct evaluation_labels){.model = "m", .model_type = "Custom Classifier"});
    file_is("items.jsonl", "{\"id\":30,\"group\":\"hep-go\",\"scores\":[3.0,4.0],\"outcome\":0.0}\n{\"id\":\"b\",\"group\":\"hep-go\",\"scores\":[1.0,0.5],\"outcome\":1.0}\n"
                           "{\"id\":30,\"group\":\"hep-js\",\"scores\":[null,-20.0],\"outcome\":0.0}\n");
}

static void the_items_of_rm_bench_hold_their_matrix(void **state)
{
    (void)state;
    static const double score[] = {2, 0, 0, 1, 1, 1};
    evaluated_open(&bench, RM_BENCH, "{\"id\": \"x\", \"domain\": \"code\", \"prompt\": \"P\", \"chosen\": [\"a\", \"b\", \"c\"], \"rejected\": [\"d\", \"e\", \"f\"]}\n");
    evaluated_run(&bench, score, NULL, false);
    write_result(&(struct evaluation_labels){.model = "m"});
    char *text = file_text("items.jsonl");
    assert_non_null(strstr(text, "\"wins\":[[1.0,1.0,1.0],[0.0,0.0,0.0],[0.0,0.0,0.0]]"));
    free(text);
}

static void the_items_of_criticbench_hold_verdict_and_correction(void **state)
{
    (void)state;
    static const struct criticbench_reply reply[] = {{VERDICT_WRONG, "5"}, {VERDICT_NONE, NULL}};
    evaluated_open(&bench, CRITICBENCH, "{\"id\": 1, \"dataset\": \"gsm8k\", \"question\": \"P\", \"response\": \"r\", \"response_label\": false, \"answer\": 5}\n"
                                        "{\"id\": 2, \"dataset\": \"gsm8k\", \"question\": \"P\", \"response\": \"r\", \"response_label\": true, \"answer\": 6}\n");
    evaluated_run(&bench, NULL, reply, false);
    write_result(&(struct evaluation_labels){.model = "m"});
    file_is("items.jsonl", "{\"id\":1,\"group\":\"gsm8k\",\"outcome\":1.0,\"verdict\":\"[[wrong]]\",\"answer\":\"5\",\"corrected\":true}\n"
                           "{\"id\":2,\"group\":\"gsm8k\",\"outcome\":0.0,\"verdict\":null,\"answer\":null,\"corrected\":null}\n");
}

/* A third and a tenth have no short decimal form: all digits must come back. */
static void scores_read_back_from_items_give_the_same_table(void **state)
{
    (void)state;
    double score[] = {1.0 / 3, 0.1, 0.1, 0.1 + 1e-17 * 3, NAN, 5};
    char *before, *after;
    evaluated_open(&bench, REWARDBENCH, pairs);
    evaluated_run(&bench, score, NULL, false);
    write_result(&(struct evaluation_labels){.model = "m", .model_type = "t"});
    must(table_text(&bench.result.table, &before));
    must(scores_read(bench.benchmark, scratch_path(&bench.scratch, "out/items.jsonl"), &scores));
    assert_memory_equal(scores.score, score, 4 * sizeof *score);
    evaluated_run(&bench, scores.score, NULL, false);
    must(table_text(&bench.result.table, &after));
    assert_string_equal(before, after);
    file_is("table.txt", before);
    free(before);
    free(after);
}

static void rewardbench_has_its_own_result_files(void **state)
{
    (void)state;
    static const double score[] = {3, 4, 1, 0.5, NAN, -20};
    evaluated_open(&bench, REWARDBENCH, pairs);
    evaluated_run(&bench, score, NULL, false);
    write_result(&(struct evaluation_labels){.model = "m", .model_type = "Custom Classifier", .chat_template = "tokenizer"});
    file_is("eval-set.json", "{\n    \"chat_template\": \"tokenizer\",\n    \"hep-go\": 0.5,\n    \"hep-js\": 0.0,\n    \"model\": \"m\",\n    \"model_type\": \"Custom Classifier\"\n}");
    char *text = file_text("eval-set-scores.json");
    json_t *root, *want = json_pack("{s:[i,s,i], s:[s,s,s], s:[i,i,i], s:[s,s,s], s:[s,s,s], s:[f,f,n], s:[f,f,f], s:s, s:s, s:s}", "id", 30, "b", 30, "subset", "hep-go",
                                    "hep-go", "hep-js",
                                    "results", 0, 1, 0, "text_chosen", "C", "C", "C", "text_rejected", "R", "R", "R", "scores_chosen", 3.0, 1.0, "scores_rejected", 4.0, 0.5, -20.0,
                                    "model", "m", "model_type", "Custom Classifier", "chat_template", "tokenizer");
    assert_non_null(want);
    must(json_parse(text, strlen(text), "eval-set-scores.json", &root));
    assert_true(json_equal(root, want));
    json_decref(root);
    json_decref(want);
    free(text);
}

static void the_json_of_a_table_counts_what_had_no_score(void **state)
{
    (void)state;
    static const double score[] = {3, 4, 1, 0.5, NAN, -20};
    json_t *root;
    evaluated_open(&bench, REWARDBENCH, pairs);
    evaluated_run(&bench, score, NULL, false);
    write_result(&(struct evaluation_labels){.model = "m", .model_type = "t"});
    must(json_parse_file(scratch_path(&bench.scratch, "out/table.json"), &root));
    assert_int_equal(json_integer_value(json_object_get(root, "responses_without_score")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "comparisons_without_score")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "comparisons")), 3);
    assert_string_equal(json_string_value(json_object_get(root, "model")), "m");
    json_decref(root);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_come_in_any_order_and_null_is_no_score),
        TEST(replies_of_criticbench_have_a_verdict_and_an_answer),
        TEST(a_bad_line_of_scores_is_named),
        TEST(missing_items_are_counted),
        TEST(items_that_cannot_be_told_apart_are_refused),
        TEST(a_reply_without_a_verdict_is_refused),
        TEST(items_hold_scores_and_outcomes),
        TEST(the_items_of_rm_bench_hold_their_matrix),
        TEST(the_items_of_criticbench_hold_verdict_and_correction),
        TEST(scores_read_back_from_items_give_the_same_table),
        TEST(rewardbench_has_its_own_result_files),
        TEST(the_json_of_a_table_counts_what_had_no_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
