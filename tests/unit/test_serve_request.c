#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "launch/serve_request.h"

#define GOOD "{\"prompt\":\"a\",\"response\":\"b\"}"

/* Where it is: items point to their request. */
static void parse(const char *text, struct serve_request *out)
{
    memset(out, 0, sizeof *out);
    assert_int_equal(serve_request_parse(text, strlen(text), out), OK);
}

static void refused(const char *text, size_t n, const char *part)
{
    struct serve_request r = {0};
    assert_int_equal(serve_request_parse(text, n, &r), FAILED);
    if (!strstr(trace_sentence(), part))
        fail_msg("'%s' is not in '%s'", part, trace_sentence());
    trace_clear();
    serve_request_free(&r);
}

static void answers(struct serve_request *r, const char *want)
{
    char *text = serve_request_answer(r);
    assert_non_null(text);
    assert_string_equal(text, want);
    free(text);
    serve_request_free(r);
}

static void one_item_keeps_its_other_members_and_their_order(void **state)
{
    (void)state;
    struct serve_request r;
    parse(" {\"id\": 7, \"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"x\": [1.5, null], \"response\": \"b\\u00e9\"} ", &r);
    assert_false(r.is_list);
    assert_int_equal(r.n_items, 1);
    assert_int_equal(r.n_left, 1);
    assert_string_equal(r.item[0].text, "{\"id\":7,\"prompt\":[{\"role\":\"user\",\"content\":\"a\"}],\"x\":[1.5,null],\"response\":\"b\xc3\xa9\"}");
    serve_item_answer(&r.item[0], strdup("{\"reward\":1.0}"));
    answers(&r, "{\"reward\":1.0}");
}

static void a_list_is_answered_in_its_order_whatever_order_the_answers_come_in(void **state)
{
    (void)state;
    struct serve_request r;
    parse("{\"items\": [" GOOD "," GOOD "," GOOD "]}", &r);
    assert_true(r.is_list);
    assert_int_equal(r.n_left, 3);
    for (int i = 2; i >= 0; i--) {
        char text[] = "{\"n\":0}";
        text[5] = (char)('0' + i);
        serve_item_answer(&r.item[i], strdup(text));
    }
    answers(&r, "{\"items\":[{\"n\":0},{\"n\":1},{\"n\":2}]}");
}

static void a_bad_item_has_its_error_in_its_place(void **state)
{
    (void)state;
    struct serve_request r;
    parse("{\"items\": [7," GOOD ",{\"prompt\": \"a\"}]}", &r);
    assert_int_equal(r.n_left, 1);
    assert_int_equal(r.n_errors, 2);
    assert_null(r.item[0].text);
    serve_item_answer(&r.item[1], strdup("{}"));
    answers(&r, "{\"items\":[{\"error\":\"items[0]: not a JSON object\"},{},{\"error\":\"items[2]: \\\"response\\\" is missing\"}]}");
}

static void nothing_to_score_is_answered_at_once(void **state)
{
    (void)state;
    struct serve_request none, bad;
    parse("{\"items\": []}", &none);
    parse("{\"prompt\": 1, \"response\": \"b\"}", &bad);
    assert_int_equal(none.n_left, 0);
    answers(&none, "{\"items\":[]}");
    assert_int_equal(bad.n_left, 0);
    assert_int_equal(bad.n_errors, 1);
    answers(&bad, "{\"error\":\"the request: \\\"prompt\\\" is neither a string nor a list of messages\"}");
}

static void what_is_no_request_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct { const char *text, *part; } cases[] = {
        {"", "not valid JSON"}, {"{", "not valid JSON"}, {"[" GOOD "]", "not a JSON object"}, {"{\"items\": {}}", "\"items\" of the request is not a list"},
        {"{\"items\": null}", "is not a list"}, {"{\"prompt\": \"\xff\", \"response\": \"b\"}", "not valid JSON"}, {GOOD GOOD, "not valid JSON"}, {"{\"prompt\": \"a\", \"prompt\": \"b\"}", "not valid JSON"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].part);
    refused("{\"a\": 1}\0", 9, "not valid JSON");
}

static void more_items_than_are_allowed_are_refused(void **state)
{
    (void)state;
    char *text = malloc(SERVE_MAX_ITEMS * 2 + 64), *at = text + sprintf(text, "{\"items\": [0");
    for (int i = 0; i < SERVE_MAX_ITEMS; i++)
        at += sprintf(at, ",0");
    strcpy(at, "]}");
    refused(text, strlen(text), "4097 items, and may have 4096");
    free(text);
}

static int n_ready;
static void count_ready(struct serve_request *r) { n_ready += r->n_left == 0; }

static void ready_is_called_once_with_the_last_item_dropped_ones_included(void **state)
{
    (void)state;
    struct serve_request r;
    parse("{\"items\": [" GOOD "," GOOD "," GOOD "]}", &r);
    r.ready = count_ready;
    n_ready = 0;
    serve_item_drop(&r.item[1]);
    serve_item_refuse(&r.item[0], "no \xff room");
    assert_int_equal(n_ready, 0);
    assert_string_equal(r.item[0].answer, "{\"error\":\"no \xef\xbf\xbd room\"}");
    serve_item_answer(&r.item[2], strdup("{}"));
    assert_int_equal(n_ready, 1);
    assert_int_equal(r.n_dropped, 1);
    assert_int_equal(r.n_errors, 1);
    serve_request_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_item_keeps_its_other_members_and_their_order),
        cmocka_unit_test(a_list_is_answered_in_its_order_whatever_order_the_answers_come_in),
        cmocka_unit_test(a_bad_item_has_its_error_in_its_place),
        cmocka_unit_test(nothing_to_score_is_answered_at_once),
        cmocka_unit_test(what_is_no_request_is_refused_with_a_sentence),
        cmocka_unit_test(more_items_than_are_allowed_are_refused),
        cmocka_unit_test(ready_is_called_once_with_the_last_item_dropped_ones_included),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
