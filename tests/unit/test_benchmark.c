/* Benchmark files with their published field names, as a list or as lines, and sentences for the rest. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/status.h"
#include "tests/tools/evaluated.h"

#define PAIR "{\"id\": 30, \"subset\": \"hep-go\", \"prompt\": \"P\", \"chosen\": \"C\", \"rejected\": \"R\", \"chosen_model\": \"m\"}"

static struct evaluated bench;

static int tear_down(void **state)
{
    (void)state;
    if (bench.benchmark)
        evaluated_close(&bench);
    trace_clear();
    return 0;
}

/* Response i: its item, the one user message before it, its text. */
static void is_response(int64_t i, int64_t item, const char *prompt, const char *text)
{
    int n;
    const struct message *m = benchmark_prompt(bench.benchmark, i, &n);
    const struct benchmark_response *r = &bench.benchmark->response[i];
    assert_int_equal(n, 1);
    assert_string_equal(m->role, "user");
    assert_string_equal(m->text, prompt);
    assert_int_equal(m->n_bytes, strlen(prompt));
    assert_int_equal(r->item, item);
    assert_string_equal(r->text, text);
    assert_int_equal(r->n_bytes, strlen(text));
}

static void is_item(int64_t i, const char *id, const char *group, int64_t first, int n, int first_right, int n_right)
{
    const struct benchmark_item *item = &bench.benchmark->item[i];
    assert_string_equal(item->id, id);
    assert_string_equal(item->group, group);
    assert_int_equal(item->first, first);
    assert_int_equal(item->n, n);
    assert_int_equal(item->first_right, first_right);
    assert_int_equal(item->n_right, n_right);
}

static void rewardbench_is_pairs_chosen_first(void **state)
{
    (void)state;
    evaluated_open(&bench, REWARDBENCH, PAIR "\n \n{\"subset\": \"donotanswer\", \"prompt\": \"Q\", \"chosen\": \"no\", \"rejected\": \"\"}");
    assert_int_equal(bench.benchmark->n_items, 2);
    assert_int_equal(bench.benchmark->n_responses, 4);
    is_item(0, "30", "hep-go", 0, 2, 0, 1);
    is_item(1, "1", "donotanswer", 2, 2, 0, 1);
    is_response(0, 0, "P", "C");
    is_response(1, 0, "P", "R");
    is_response(2, 1, "Q", "no");
    is_response(3, 1, "Q", "");
}

static void rewardbench_2_has_lists_of_any_length_in_ties(void **state)
{
    (void)state;
    evaluated_open(&bench, REWARDBENCH_2,
                   "{\"id\": \"7\", \"subset\": \"Precise IF\", \"prompt\": \"P\","
                   " \"chosen\": [\"a\"], \"rejected\": [\"b\", \"c\", \"d\"], \"num_correct\": 1, \"total_completions\": 4}\n"
                   "{\"id\": \"tied:12\", \"subset\": \"Ties\", \"prompt\": \"T\", \"chosen\": [\"e\", \"f\"], \"rejected\": [\"g\"], \"num_correct\": 2, \"num_incorrect\": 1}\n"
                   "{\"id\": \"ref:12\", \"subset\": \"Ties\", \"prompt\": \"U\", \"chosen\": [\"h\"], \"rejected\": [\"i\"]}\n");
    is_item(0, "7", "Precise IF", 0, 4, 0, 1);
    is_item(1, "tied:12", "Ties", 4, 3, 0, 2);
    is_item(2, "ref:12", "Ties", 7, 2, 0, 1);
    assert_true(bench.benchmark->item[1].tied && !bench.benchmark->item[2].tied);
    assert_int_equal(bench.benchmark->item[1].tie, 12);
    assert_int_equal(bench.benchmark->item[2].tie, 12);
    is_response(3, 0, "P", "d");
    is_response(6, 1, "T", "g");
}

static void rm_bench_has_three_of_each_and_its_chat_file_no_domain(void **state)
{
    (void)state;
    evaluated_open(&bench, RM_BENCH, "{\"id\": 1, \"domain\": \"safety-refuse\", \"prompt\": \"P\", \"chosen\": [\"a\", \"b\", \"c\"], \"rejected\": [\"d\", \"e\", \"f\"]}\n"
                                     "{\"id\": 2, \"subset\": \"alpacaeval\", \"prompt\": \"Q\", \"chosen\": [\"g\", \"h\", \"i\"], \"rejected\": [\"j\", \"k\", \"l\"]}\n");
    is_item(0, "1", "safety-refuse", 0, 6, 0, 3);
    is_item(1, "2", "chat", 6, 6, 0, 3);
    is_response(2, 0, "P", "c");
    is_response(9, 1, "Q", "j");
}

static void judgebench_keeps_a_and_b_and_knows_the_better_one(void **state)
{
    (void)state;
    evaluated_open(&bench, JUDGEBENCH, "{\"pair_id\": \"u\", \"source\": \"mmlu-pro-law\", \"question\": \"P\", \"response_model\": \"m\","
                                       " \"response_A\": \"a\", \"response_B\": \"b\", \"label\": \"B>A\"}\n"
                                       "{\"pair_id\": \"v\", \"source\": \"livecodebench\", \"question\": \"Q\","
                                       " \"response_A\": \"c\", \"response_B\": \"d\", \"label\": \"A>B\"}\n");
    is_item(0, "u", "mmlu-pro-law", 0, 2, 1, 1);
    is_item(1, "v", "livecodebench", 2, 2, 0, 1);
    is_response(1, 0, "P", "b");
    is_response(2, 1, "Q", "c");
}

static void is_answer(int64_t item, size_t n, size_t i, const char *text)
{
    assert_int_equal(json_array_size(bench.benchmark->item[item].answers), n);
    assert_string_equal(json_string_value(json_array_get(bench.benchmark->item[item].answers, i)), text);
}

static void criticbench_has_one_response_that_is_right_or_not(void **state)
{
    (void)state;
    evaluated_open(&bench, CRITICBENCH, "{\"id\": 4, \"dataset\": \"GSM8K\", \"question\": \"P\", \"response\": \"r\", \"response_label\": true, \"answer\": 18}\n"
                                        "{\"id\": 5, \"source\": \"csqa\", \"prompt\": \"Q\", \"response\": \"s\", \"response_label\": 0, \"answer\": \"B\"}\n"
                                        "{\"question\": \"R\", \"response\": \"t\", \"response_label\": false}\n");
    is_item(0, "4", "GSM8K", 0, 1, 0, 1);
    is_item(1, "5", "csqa", 1, 1, 0, 0);
    is_item(2, "2", "unnamed", 2, 1, 0, 0);
    is_answer(0, 1, 0, "18");
    is_answer(1, 1, 0, "B");
    assert_null(bench.benchmark->item[0].type);
    assert_null(bench.benchmark->item[2].answers);
    is_response(1, 1, "Q", "s");
}

static void criticbench_is_read_as_it_was_published(void **state)
{
    (void)state;
    evaluated_open(&bench, CRITICBENCH, "{\"id\": 0, \"question\": \"P\", \"answer\": [\"B\", 18, 0.5, true, false], \"response\": \"r\", \"response_label\": true, \"dataset\": \"d\","
                                        " \"question_source\": \"Object Counting\", \"question_type\": \"Algorithmic Tasks\"}\n"
                                        "{\"id\": 1, \"question\": \"Q\", \"answer\": [], \"response\": \"s\", \"response_label\": false, \"question_source\": \"MATH\", \"question_type\": null}\n"
                                        "{\"id\": 2, \"question\": \"R\", \"answer\": false, \"response\": \"t\", \"response_label\": false}\n");
    static const char *const five[] = {"B", "18", "0.5", "true", "false"};
    is_item(0, "0", "Object Counting", 0, 1, 0, 1);
    assert_string_equal(bench.benchmark->item[0].type, "Algorithmic Tasks");
    for (size_t i = 0; i < 5; i++)
        is_answer(0, 5, i, five[i]);
    is_item(1, "1", "MATH", 1, 1, 0, 0);
    assert_null(bench.benchmark->item[1].type);
    assert_int_equal(json_array_size(bench.benchmark->item[1].answers), 0);
    is_answer(2, 1, 0, "false");
    is_response(1, 1, "Q", "s");
}

static void a_list_and_lines_and_gzip_read_alike(void **state)
{
    (void)state;
    static const char list[] = "\xef\xbb\xbf\n [\n" PAIR ",\n" PAIR "\n]\n";
    struct benchmark *b;
    evaluated_open(&bench, REWARDBENCH, list);
    assert_int_equal(bench.benchmark->n_items, 2);
    is_response(3, 1, "P", "R");
    gzFile f = gzopen(scratch_path(&bench.scratch, "list.gz"), "wb");
    assert_int_equal(gzwrite(f, list, sizeof list - 1), sizeof list - 1);
    assert_int_equal(gzclose(f), Z_OK);
    assert_int_equal(benchmark_open(REWARDBENCH, bench.scratch.path, &b), OK);
    assert_int_equal(b->n_responses, 4);
    benchmark_close(&b);
    assert_null(b);
}

static void the_published_chat_file_of_rm_bench_is_read_whole(void **state)
{
    (void)state;
    char path[1024];
    struct stat st;
    struct benchmark *b;
    snprintf(path, sizeof path, "%s/rm_bench_chat.json", getenv("CRITIC_RM_TEST_DATA") ? getenv("CRITIC_RM_TEST_DATA") : "");
    if (stat(path, &st) != 0)
        skip();
    assert_int_equal(benchmark_open(RM_BENCH, path, &b), OK);
    assert_int_equal(b->n_items, 129);
    assert_int_equal(b->n_responses, 774);
    assert_string_equal(b->item[0].id, "8");
    assert_string_equal(b->item[0].prompt.text, "What are different drawers I should have for clothes?");
    for (int64_t i = 0; i < b->n_items; i++)
        assert_string_equal(b->item[i].group, "chat");
    benchmark_close(&b);
}

static void names_of_benchmarks_are_known(void **state)
{
    (void)state;
    enum benchmark_kind kind;
    for (int i = 0; i < N_BENCHMARKS; i++) {
        assert_int_equal(benchmark_find(benchmark_name((enum benchmark_kind)i), &kind), OK);
        assert_int_equal(kind, i);
    }
    assert_int_equal(benchmark_find("rewardbench2", &kind), USAGE);
    assert_non_null(strstr(trace_sentence(), "rewardbench-2"));
}

/* ---- refused --------------------------------------------------------------------------------------------------------------------------------- */

static void files_that_are_no_benchmark_are_named(void **state)
{
    (void)state;
    struct benchmark *b;
    evaluated_refused(REWARDBENCH, "", "holds no items", "RewardBench");
    evaluated_refused(REWARDBENCH, "[]", "holds no items", "RewardBench");
    evaluated_refused(REWARDBENCH, PAIR "\n{\"id\": ", "line 2", "JSON");
    evaluated_refused(REWARDBENCH, PAIR "\n\n[7]\n", "line 3", "not a JSON object");
    evaluated_refused(REWARDBENCH, "[" PAIR ", 7]", "item 2", "not a JSON object");
    evaluated_refused(REWARDBENCH, "\n[\n" PAIR ",\n" PAIR, "line 4", "JSON");
    evaluated_refused(REWARDBENCH, "[" PAIR "] 8", "JSON", "end of file expected");
    evaluated_refused(REWARDBENCH, PAIR "\n\xff\n", "line 2", "UTF-8");
    assert_int_equal(benchmark_open(REWARDBENCH, "/nowhere/bench.json", &b), FAILED);
    assert_non_null(strstr(trace_sentence(), "/nowhere/bench.json"));
}

static void a_bad_rewardbench_item_is_named_by_line_and_field(void **state)
{
    (void)state;
    evaluated_refused(REWARDBENCH, PAIR "\n{\"subset\": \"hep-go\", \"prompt\": \"P\", \"chosen\": \"C\"}", "line 2", "\"rejected\" is missing");
    evaluated_refused(REWARDBENCH, "[" PAIR ", {\"subset\": \"hep-go\", \"prompt\": \"P\", \"chosen\": [\"C\"], \"rejected\": \"R\"}]", "item 2", "\"chosen\" must be a string");
    evaluated_refused(REWARDBENCH, "{\"subset\": \"hep-rs\", \"prompt\": \"P\", \"chosen\": \"C\", \"rejected\": \"R\"}", "line 1", "\"hep-rs\", none of alpacaeval-easy");
    evaluated_refused(REWARDBENCH, "{\"prompt\": \"P\", \"chosen\": \"C\", \"rejected\": \"R\"}", "line 1", "\"subset\" is missing");
    evaluated_refused(REWARDBENCH, "{\"subset\": \"hep-go\", \"chosen\": \"C\", \"rejected\": \"R\"}", "line 1", "\"prompt\" is missing");
    evaluated_refused(REWARDBENCH, "{\"id\": [], \"subset\": \"hep-go\", \"prompt\": \"P\", \"chosen\": \"C\", \"rejected\": \"R\"}", "line 1", "\"id\"");
}

#define TIES(id, chosen) "{\"id\": \"" id "\", \"subset\": \"Ties\", \"prompt\": \"P\", \"chosen\": " chosen ", \"rejected\": [\"x\"]}"

static void a_bad_rewardbench_2_item_is_named_by_line_and_field(void **state)
{
    (void)state;
    evaluated_refused(REWARDBENCH_2, "{\"id\": \"1\", \"subset\": \"Math\", \"prompt\": \"P\", \"chosen\": [\"a\", \"b\"], \"rejected\": [\"c\"]}",
                      "line 1", "\"chosen\" has 2 responses, not 1");
    evaluated_refused(REWARDBENCH_2, "{\"id\": \"1\", \"subset\": \"Math\", \"prompt\": \"P\", \"chosen\": [\"a\"], \"rejected\": []}", "line 1", "\"rejected\" has 0 responses");
    evaluated_refused(REWARDBENCH_2, "{\"id\": \"1\", \"subset\": \"Math\", \"prompt\": \"P\", \"chosen\": [\"a\"], \"rejected\": [\"c\", 4]}",
                      "line 1", "response 2 of \"rejected\"");
    evaluated_refused(REWARDBENCH_2, "{\"id\": \"1\", \"subset\": \"Math\", \"prompt\": \"P\", \"chosen\": [\"a\"], \"rejected\": [\"c\"], \"total_completions\": 4}",
                      "line 1", "\"total_completions\" is 4");
    evaluated_refused(REWARDBENCH_2, "{\"id\": \"1\", \"subset\": \"Math\", \"prompt\": \"P\", \"chosen\": [\"a\"], \"rejected\": [\"c\"], \"num_incorrect\": 3}",
                      "line 1", "\"num_incorrect\" is 3");
    evaluated_refused(REWARDBENCH_2, TIES("ref:1", "[\"a\"]") "\n" TIES("12", "[\"a\"]"), "line 2", "\"12\", not \"ref:N\"");
    evaluated_refused(REWARDBENCH_2, TIES("both:1", "[\"a\"]"), "line 1", "\"both:1\"");
    evaluated_refused(REWARDBENCH_2, TIES("ref:one", "[\"a\"]"), "line 1", "no number");
    evaluated_refused(REWARDBENCH_2, TIES("tied:1", "[\"a\"]"), "line 1", "two or more");
}

static void bad_items_of_the_other_benchmarks_are_named_by_line_and_field(void **state)
{
    (void)state;
    evaluated_refused(RM_BENCH, "{\"prompt\": \"P\", \"chosen\": [\"a\", \"b\", \"c\"], \"rejected\": [\"d\", \"e\", \"f\"]}", "line 1", "\"domain\" is missing");
    evaluated_refused(RM_BENCH, "{\"domain\": \"safety\", \"prompt\": \"P\", \"chosen\": [\"a\", \"b\", \"c\"], \"rejected\": [\"d\", \"e\", \"f\"]}",
                      "line 1", "none of chat, code");
    evaluated_refused(RM_BENCH, "{\"domain\": \"code\", \"prompt\": \"P\", \"chosen\": [\"a\", \"b\"], \"rejected\": [\"d\", \"e\", \"f\"]}",
                      "line 1", "\"chosen\" has 2 responses, not 3");
    evaluated_refused(JUDGEBENCH, "{\"source\": \"trivia\", \"question\": \"P\", \"response_A\": \"a\", \"response_B\": \"b\", \"label\": \"A>B\"}", "line 1", "\"trivia\"");
    evaluated_refused(JUDGEBENCH, "{\"source\": \"mmlu-pro\", \"question\": \"P\", \"response_A\": \"a\", \"response_B\": \"b\", \"label\": \"A=B\"}", "line 1", "\"A=B\"");
    evaluated_refused(JUDGEBENCH, "{\"source\": \"mmlu-pro\", \"question\": \"P\", \"response_A\": \"a\", \"label\": \"A>B\"}", "line 1", "\"response_B\" is missing");
    evaluated_refused(CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\"}", "line 1", "\"response_label\" is missing");
    evaluated_refused(CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": \"yes\"}", "line 1", "\"response_label\" must be true or false");
    evaluated_refused(CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": 2}", "line 1", "\"response_label\" must be true or false");
    evaluated_refused(CRITICBENCH, "{\"response\": \"r\", \"response_label\": true}", "line 1", "\"question\" is missing");
    evaluated_refused(CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true, \"answer\": {}}", "line 1", "\"answer\" must be a string, a number");
    evaluated_refused(CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true, \"answer\": [1, [2]]}", "line 1", "answer 2 of \"answer\" must be a string");
    evaluated_refused(CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true, \"answer\": [null]}", "line 1", "answer 1 of \"answer\" must be a string");
    evaluated_refused(CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true, \"question_source\": 3}", "line 1", "\"question_source\"");
    evaluated_refused(CRITICBENCH, "{\"question\": \"P\", \"response\": \"r\", \"response_label\": true, \"question_type\": []}", "line 1", "\"question_type\"");
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rewardbench_is_pairs_chosen_first),
        TEST(rewardbench_2_has_lists_of_any_length_in_ties),
        TEST(rm_bench_has_three_of_each_and_its_chat_file_no_domain),
        TEST(judgebench_keeps_a_and_b_and_knows_the_better_one),
        TEST(criticbench_has_one_response_that_is_right_or_not),
        TEST(criticbench_is_read_as_it_was_published),
        TEST(a_list_and_lines_and_gzip_read_alike),
        TEST(the_published_chat_file_of_rm_bench_is_read_whole),
        TEST(names_of_benchmarks_are_known),
        TEST(files_that_are_no_benchmark_are_named),
        TEST(a_bad_rewardbench_item_is_named_by_line_and_field),
        TEST(a_bad_rewardbench_2_item_is_named_by_line_and_field),
        TEST(bad_items_of_the_other_benchmarks_are_named_by_line_and_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
