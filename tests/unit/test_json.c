#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "tests/tools/scratch.h"

static json_t *parsed(const char *text)
{
    json_t *out = NULL;
    assert_int_equal(json_parse(text, strlen(text), "here", &out), OK);
    return out;
}

static void refused(int status, const char *part)
{
    assert_int_equal(status, FAILED);
    assert_non_null(strstr(trace_sentence(), "here"));
    assert_non_null(strstr(trace_sentence(), part));
    trace_clear();
}

static void members_come_out_with_their_types(void **state)
{
    (void)state;
    json_t *o = parsed("{\"t\": \"x\", \"n\": 5, \"f\": 1.5, \"o\": {}, \"a\": [1], \"b\": true, \"z\": null}"), *value;
    const char *text;
    int64_t n = 0;
    double f = 0;
    bool b = false;
    assert_int_equal(json_get_text(o, "t", "here", &text), OK);
    assert_string_equal(text, "x");
    assert_int_equal(json_get_int(o, "n", "here", 0, 5, &n), OK);
    assert_int_equal(n, 5);
    assert_int_equal(json_get_number(o, "f", "here", &f), OK);
    assert_true(f == 1.5);
    assert_int_equal(json_get_number(o, "n", "here", &f), OK);
    assert_true(f == 5.0);
    assert_int_equal(json_get_object(o, "o", "here", &value), OK);
    assert_int_equal(json_get_array(o, "a", "here", &value), OK);
    assert_int_equal(json_array_size(value), 1);
    assert_int_equal(json_opt_bool(o, "b", "here", &b), OK);
    assert_true(b);
    json_decref(o);
}

static void an_absent_or_null_optional_member_keeps_the_default(void **state)
{
    (void)state;
    json_t *o = parsed("{\"z\": null}");
    int64_t n = 7;
    double f = 2;
    bool b = true;
    const char *text = "d";
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "z" : "none";
        assert_int_equal(json_opt_int(o, key, "here", 0, 9, &n), OK);
        assert_int_equal(json_opt_number(o, key, "here", &f), OK);
        assert_int_equal(json_opt_bool(o, key, "here", &b), OK);
        assert_int_equal(json_opt_text(o, key, "here", &text), OK);
    }
    assert_true(n == 7 && f == 2.0 && b && strcmp(text, "d") == 0);
    json_decref(o);
}

static void wrong_members_are_named(void **state)
{
    (void)state;
    json_t *o = parsed("{\"t\": \"x\", \"n\": 5}"), *list = parsed("[1]"), *value;
    const char *text;
    int64_t n;
    double f;
    bool b;
    refused(json_get_text(o, "n", "here", &text), "\"n\" must be a string");
    refused(json_get_int(o, "t", "here", 0, 9, &n), "\"t\" must be an integer");
    refused(json_get_int(o, "n", "here", 6, 9, &n), "5, not between 6 and 9");
    refused(json_get_number(o, "t", "here", &f), "number");
    refused(json_get_object(o, "t", "here", &value), "object");
    refused(json_get_array(o, "t", "here", &value), "list");
    refused(json_opt_bool(o, "n", "here", &b), "true or false");
    refused(json_get_text(o, "none", "here", &text), "\"none\" is missing");
    refused(json_get_text(list, "none", "here", &text), "expected a JSON object");
    json_decref(o);
    json_decref(list);
}

static void what_is_no_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "{", "{\"a\": 1} x", "{\"a\": \"\\u0000\"}", "{\"a\": 1e999}", "{\"a\": \"\xff\"}", "nul"};
    json_t *out;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(json_parse(bad[i], strlen(bad[i]), "here", &out), "not valid JSON");
    refused(json_parse("{\n\"a\": x}", 9, "here", &out), "line 2");
    refused(json_parse("{\"a\": 1, \"a\": 2}", 16, "here", &out), "duplicate");
}

static void an_integer_beyond_64_bits_is_a_real_and_the_others_stay_integers(void **state)
{
    (void)state;
    static const char text[] = "{\"model_max_length\": 1000000000000000019884624838656, \"n\": 7, \"list\": [2, -3, 2.5], \"inner\": {\"m\": 8}}";
    json_t *out, *list, *inner;
    int64_t n = 0, m = 0;
    assert_int_equal(json_parse(text, strlen(text), "here", &out), OK);
    assert_true(json_real_value(json_object_get(out, "model_max_length")) == 1e30);
    assert_int_equal(json_get_int(out, "n", "here", 0, 9, &n), OK);
    assert_int_equal(n, 7);
    assert_int_equal(json_get_array(out, "list", "here", &list), OK);
    assert_int_equal(json_integer_value(json_array_get(list, 1)), -3);
    assert_true(json_real_value(json_array_get(list, 2)) == 2.5);
    assert_int_equal(json_get_object(out, "inner", "here", &inner), OK);
    assert_int_equal(json_get_int(inner, "m", "here", 0, 9, &m), OK);
    assert_int_equal(m, 8);
    json_decref(out);
}

static void deep_nesting_is_refused_not_a_crash(void **state)
{
    (void)state;
    enum { DEPTH = 1 << 20 };
    char *text = malloc(DEPTH);
    json_t *out;
    assert_non_null(text);
    memset(text, '[', DEPTH);
    refused(json_parse(text, DEPTH, "here", &out), "depth");
    free(text);
}

static void a_file_is_named(void **state)
{
    (void)state;
    struct scratch scratch;
    json_t *out;
    scratch_make(&scratch);
    assert_int_equal(json_parse_file(scratch_write(&scratch, "good.json", "{}", 2), &out), OK);
    json_decref(out);
    assert_int_equal(json_parse_file(scratch_write(&scratch, "bad.json", "{", 1), &out), FAILED);
    assert_non_null(strstr(trace_sentence(), "bad.json: not valid JSON"));
    trace_clear();
    scratch_remove(&scratch);
}

static void lines_of_json_come_one_by_one_with_their_places(void **state)
{
    static const char text[] = "{\"a\": 1}\n\n \t\r\n[2]\r\nx\n{}";
    (void)state;
    struct lines *lines;
    json_t *out;
    char where[32];
    int64_t number = 0;
    assert_int_equal(lines_open_memory(text, sizeof text - 1, "here", &lines), OK);
    assert_int_equal(json_next_line(lines, where, sizeof where, &number, &out), OK);
    assert_int_equal(json_integer_value(json_object_get(out, "a")), 1);
    json_decref(out);
    assert_int_equal(json_next_line(lines, where, sizeof where, &number, &out), OK);
    assert_true(json_is_array(out));
    assert_int_equal(number, 4);
    assert_string_equal(where, "here, line 4");
    json_decref(out);
    refused(json_next_line(lines, where, sizeof where, &number, &out), "line 5: not valid JSON");
    assert_null(out);
    assert_int_equal(json_next_line(lines, where, sizeof where, NULL, &out), OK);
    assert_true(json_is_object(out));
    json_decref(out);
    assert_int_equal(json_next_line(lines, where, sizeof where, NULL, &out), OK);
    assert_null(out);
    lines_close(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_out_with_their_types),
        cmocka_unit_test(an_absent_or_null_optional_member_keeps_the_default),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(what_is_no_json_is_refused_with_its_place),
        cmocka_unit_test(an_integer_beyond_64_bits_is_a_real_and_the_others_stay_integers),
        cmocka_unit_test(deep_nesting_is_refused_not_a_crash),
        cmocka_unit_test(a_file_is_named),
        cmocka_unit_test(lines_of_json_come_one_by_one_with_their_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
