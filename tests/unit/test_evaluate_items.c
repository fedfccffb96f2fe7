/* What a model gave for a benchmark's items, as JSON and back: every bit of a score, what is missing, texts, counts; sentences for what was damaged. */
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
#include "launch/evaluate_items.h"
#include "tests/tools/evaluated.h"
#include "tests/tools/random_values.h"

enum { ITEMS = 500 };
static struct evaluated bench;
static struct scores scores, back_scores;
static struct evaluate_items items, back;

static void must(int status)
{
    if (status != OK)
        fail_msg("%s", trace_sentence());
}

static void open_items(enum benchmark_kind kind, const char *text)
{
    evaluated_open(&bench, kind, text);
    must(evaluate_items_open(bench.benchmark, &scores, &items));
    must(evaluate_items_open(bench.benchmark, &back_scores, &back));
}

static int tear_down(void **state)
{
    (void)state;
    evaluate_items_close(&items);
    evaluate_items_close(&back);
    scores_free(&scores);
    scores_free(&back_scores);
    evaluated_close(&bench);
    trace_clear();
    return 0;
}

/* The text of items [first, end), read into `back`. */
static struct evaluate_counts through_text(int64_t first, int64_t end)
{
    json_t *json, *read;
    struct evaluate_counts total = {0};
    must(evaluate_items_json(&items, first, end, &json));
    char *text = json_dumps(json, JSON_INDENT(1));
    must(json_parse(text, strlen(text), "text", &read));
    must(evaluate_items_read(&back, read, "text", &total));
    json_decref(json);
    json_decref(read);
    free(text);
    return total;
}

/* Doubles of any sign and size. */
static void draw(double *out, int64_t n)
{
    struct random random = {7};
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = random_u64(&random);
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static void open_pairs(void)
{
    static char text[ITEMS * 128];
    size_t n = 0;
    for (int i = 0; i < ITEMS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"id\": %d, \"subset\": \"hep-go\", \"prompt\": \"P\", \"chosen\": \"C\", \"rejected\": \"R\"}\n", i);
    open_items(REWARDBENCH, text);
}

static void scores_come_back_bit_for_bit_and_none_stays_none(void **state)
{
    (void)state;
    open_pairs();
    draw(scores.score, 2 * ITEMS);
    scores.score[0] = 1.0 / 3;
    scores.score[1] = 5e-324;
    scores.score[2] = -0.0;
    scores.score[3] = NAN;
    for (int64_t first = 0; first < ITEMS; first += 7)
        through_text(first, first + 7 < ITEMS ? first + 7 : ITEMS);
    for (int i = 0; i < 2 * ITEMS; i++)
        assert_true(!isfinite(scores.score[i]) ? isnan(back_scores.score[i]) : memcmp(&scores.score[i], &back_scores.score[i], sizeof(double)) == 0);
}

static void a_score_that_is_not_finite_is_none(void **state)
{
    (void)state;
    open_pairs();
    scores.score[0] = INFINITY;
    scores.score[1] = -INFINITY;
    through_text(0, 1);
    assert_true(isnan(back_scores.score[0]) && isnan(back_scores.score[1]));
}

static void counts_are_added_up(void **state)
{
    (void)state;
    open_pairs();
    for (int i = 0; i < ITEMS; i++)
        items.counts[i] = (struct evaluate_counts){.responses = 2, .no_room = i == 3, .texts = 4, .cut = i % 2, .parsed = 3};
    struct evaluate_counts n = through_text(2, 12);
    assert_true(n.responses == 20 && n.no_room == 1 && n.texts == 40 && n.cut == 5 && n.parsed == 30);
}

#define ITEM(id) "{\"id\": " #id ", \"dataset\": \"gsm8k\", \"question\": \"P\", \"response\": \"r\", \"response_label\": true, \"answer\": 5}\n"

static void replies_come_back_with_their_texts(void **state)
{
    (void)state;
    open_items(CRITICBENCH, ITEM(0) ITEM(1) ITEM(2));
    scores.reply[0] = (struct criticbench_reply){VERDICT_WRONG, "It is \"7\"\n\xc3\xa9"};
    scores.reply[1] = (struct criticbench_reply){VERDICT_CORRECT, NULL};
    through_text(0, 3);
    assert_int_equal(back_scores.reply[0].verdict, VERDICT_WRONG);
    assert_string_equal(back_scores.reply[0].answer, scores.reply[0].answer);
    assert_int_equal(back_scores.reply[1].verdict, VERDICT_CORRECT);
    assert_null(back_scores.reply[1].answer);
    assert_int_equal(back_scores.reply[2].verdict, VERDICT_NONE);
}

/* {"first": FIRST, "items": ITEMS} is refused with these words. */
static void refused(int first, const char *list, const char *words)
{
    struct evaluate_counts total = {0};
    json_t *json = json_pack("{s:i, s:i, s:i, s:i, s:i, s:o}", "first", first, "no_room", 0, "texts", 0, "cut", 0, "parsed", 0, "items", json_loads(list, 0, NULL));
    assert_non_null(json);
    assert_int_equal(evaluate_items_read(&back, json, "out, part 4", &total), FAILED);
    if (!strstr(trace_sentence(), words) || !strstr(trace_sentence(), "out, part 4"))
        fail_msg("'%s' does not say '%s'", trace_sentence(), words);
    trace_clear();
    json_decref(json);
}

static void damaged_scores_are_named(void **state)
{
    (void)state;
    open_pairs();
    refused(ITEMS, "[]", "\"first\"");
    refused(-1, "[]", "\"first\"");
    refused(ITEMS - 1, "[[1, 2], [1, 2]]", "there are no items 499 to 500");
    refused(0, "[[1, 2], [1]]", "item 1 has not the 2 scores");
    refused(0, "[7]", "item 0 has not the 2 scores");
    refused(0, "[[1, \"2\"]]", "score 1 of item 0 is neither a number nor null");
    refused(0, "{}", "\"items\"");
}

static void a_count_that_no_part_has_is_refused(void **state)
{
    (void)state;
    open_pairs();
    static const char *const key[] = {"no_room", "texts", "cut", "parsed"};
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
        struct evaluate_counts total = {0};
        json_t *json = json_pack("{s:i, s:i, s:i, s:i, s:i, s:[]}", "first", 0, "no_room", 0, "texts", 0, "cut", 0, "parsed", 0, "items");
        json_object_set_new(json, key[i], json_integer((json_int_t)1 << 62));
        assert_int_equal(evaluate_items_read(&back, json, "out, part 4", &total), FAILED);
        assert_non_null(strstr(trace_sentence(), key[i]));
        trace_clear();
        json_decref(json);
    }
}

static void damaged_replies_are_named(void **state)
{
    (void)state;
    open_items(CRITICBENCH, ITEM(0) ITEM(1));
    refused(0, "[[1, null], [3, null]]", "item 1 is not a verdict and an answer");
    refused(0, "[[-1, null]]", "item 0 is not");
    refused(0, "[[1.5, null]]", "item 0 is not");
    refused(0, "[[1]]", "item 0 is not");
    refused(0, "[[1, 7]]", "item 0 is not");
    refused(0, "[null]", "item 0 is not");
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scores_come_back_bit_for_bit_and_none_stays_none),
        TEST(a_score_that_is_not_finite_is_none),
        TEST(counts_are_added_up),
        TEST(replies_come_back_with_their_texts),
        TEST(damaged_scores_are_named),
        TEST(a_count_that_no_part_has_is_refused),
        TEST(damaged_replies_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
