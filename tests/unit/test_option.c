#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"
#include "base/status.h"

struct fruit {
    struct { char name[OPTION_TEXT_SIZE]; int64_t count; bool ripe; } apple;
    struct { double weight; int colour; } pear;
};

static const struct option options[] = {
    {"apple", "name", OPTION_TEXT, NUMBERS, offsetof(struct fruit, apple.name), "gala", 0, 0, NULL, "what it is called"},
    {"apple", "count", OPTION_INT, PLACE, offsetof(struct fruit, apple.count), "3", 0, 10, NULL, "how many"},
    {"apple", "ripe", OPTION_BOOL, NUMBERS, offsetof(struct fruit, apple.ripe), "true", 0, 0, NULL, "to be eaten"},
    {"pear", "weight", OPTION_NUMBER, NUMBERS, offsetof(struct fruit, pear.weight), "0.1", -1, 1e3, NULL, "in kilograms"},
    {"pear", "colour", OPTION_CHOICE, NUMBERS, offsetof(struct fruit, pear.colour), "green", 0, 0, "green|yellow|red", "outside"},
};
static const struct option_table table = {options, sizeof options / sizeof *options};

static struct fruit defaults(void)
{
    struct fruit f;
    memset(&f, 0, sizeof f);
    options_default(&table, &f);
    return f;
}

static struct fruit parsed(const char *text)
{
    struct fruit f = defaults();
    if (options_parse_yaml(&table, text, strlen(text), "f.yaml", &f) != OK)
        fail_msg("%s", trace_sentence());
    return f;
}

static void refused(const char *text, const char *sentence)
{
    struct fruit f = defaults();
    assert_int_equal(options_parse_yaml(&table, text, strlen(text), "f.yaml", &f), USAGE);
    if (!strstr(trace_sentence(), sentence))
        fail_msg("'%s' does not say '%s'", trace_sentence(), sentence);
    trace_clear();
}

static void defaults_are_the_table_s(void **state)
{
    (void)state;
    struct fruit f = defaults();
    assert_string_equal(f.apple.name, "gala");
    assert_true(f.apple.count == 3 && f.apple.ripe && f.pear.weight == 0.1 && f.pear.colour == 0);
}

static void yaml_fills_fields(void **state)
{
    (void)state;
    struct fruit f = parsed("# fruit\npear: {colour: red}\napple:\n  name: 'it''s: \xc3\xa9'\n  count: 10\n  ripe: false\n");
    assert_string_equal(f.apple.name, "it's: \xc3\xa9");
    assert_true(f.apple.count == 10 && !f.apple.ripe && f.pear.weight == 0.1 && f.pear.colour == 2);
}

static void empty_files_and_sections_change_nothing(void **state)
{
    (void)state;
    static const char *const text[] = {"", "# nothing\n", "---\n", "apple:\n", "apple:\n  # name: x\npear:\n  weight: 0.1\n", "{}"};
    struct fruit f = defaults();
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        struct fruit g = parsed(text[i]);
        assert_memory_equal(&f, &g, sizeof f);
    }
}

static void mistakes_are_told_with_line_and_key(void **state)
{
    (void)state;
    refused("apple:\n  nmae: x\n", "f.yaml, line 2: there is no option apple.nmae; did you mean apple.name?");
    refused("aple:\n  name: x\n", "f.yaml, line 1: there is no section aple; did you mean apple?");
    refused("apple:\n  count: 3\n  count: 4\n", "f.yaml, line 3: apple.count is set twice");
    refused("apple:\n  count: 3\npear:\n  weight: 1\napple:\n  count: 4\n", "f.yaml, line 6: apple.count is set twice");
    refused("apple:\n  count: 11\n", "f.yaml, line 2: apple.count is 11, not between 0 and 10");
    refused("apple:\n  count: 1.5\n", "apple.count is '1.5', not a whole number");
    refused("apple:\n  count: 99999999999999999999\n", "apple.count");
    refused("apple:\n  count:\n", "apple.count is '', not a whole number");
    refused("pear:\n  weight: nan\n", "pear.weight");
    refused("pear:\n  weight: heavy\n", "pear.weight is 'heavy', not a number");
    refused("pear:\n  colour: blue\n", "pear.colour is 'blue'; it must be one of green|yellow|red");
    refused("apple:\n  ripe: yes\n", "apple.ripe is 'yes'; it must be true or false");
    refused("apple:\n  name: \"a\\nb\"\n", "apple.name must be one line");
    refused("apple:\n  name: \"a\\0b\"\n", "zero byte");
}

static void what_is_no_config_is_refused(void **state)
{
    (void)state;
    refused("just text\n", "f.yaml, line 1");
    refused("- a\n- b\n", "lists and aliases");
    refused("apple: gala\n", "f.yaml, line 1");
    refused("apple:\n  name:\n    first: x\n", "plain 'key: value' lines");
    refused("apple:\n  name: [a, b]\n", "lists");
    refused("apple: &a\n  name: x\npear: *a\n", "aliases");
    refused("apple:\n\tname: x\n", "not valid YAML");
    refused("apple: {\n", "not valid YAML");
    refused("\xff\xfe\xfd", "f.yaml");
}

static void a_text_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char text[2100] = "apple:\n  name: ";
    memset(text + 15, 'x', OPTION_TEXT_SIZE);
    refused(text, "apple.name is longer than 1023 bytes");
    text[15 + OPTION_TEXT_SIZE - 1] = 0;
    assert_int_equal(strlen(parsed(text).apple.name), OPTION_TEXT_SIZE - 1);
}

static void assignments_set_one_key(void **state)
{
    (void)state;
    struct fruit f = defaults();
    assert_int_equal(options_set(&table, "apple.name=a=b", &f), OK);
    assert_string_equal(f.apple.name, "a=b");
    assert_int_equal(options_set(&table, "apple.name=", &f), OK);
    assert_string_equal(f.apple.name, "");
    assert_int_equal(options_set(&table, "apple.cont=4", &f), USAGE);
    assert_non_null(strstr(trace_sentence(), "did you mean apple.count?"));
    trace_clear();
    assert_int_equal(options_set(&table, "count=4", &f), USAGE);        /* without its section */
    assert_non_null(strstr(trace_sentence(), "did you mean apple.count?"));
    trace_clear();
    assert_int_equal(options_set(&table, "apple.count", &f), USAGE);
    assert_non_null(strstr(trace_sentence(), "section.key=value"));
    trace_clear();
    assert_int_equal(options_set(&table, "apple.count=x", &f), USAGE);
    trace_clear();
    assert_int_equal(f.apple.count, 3);
}

static void a_shorter_text_leaves_no_old_bytes(void **state)
{
    (void)state;
    struct fruit f = defaults(), g = defaults();
    assert_int_equal(options_set(&table, "apple.name=a much longer name", &f), OK);
    assert_int_equal(options_set(&table, "apple.name=gala", &f), OK);
    assert_memory_equal(&f, &g, sizeof f);
}

static void what_is_written_parses_to_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"", " ", "~", "true", "'", "''", "\"", "a: b", "# no", "- x", "\\n", "{x}", "\xf0\x9f\x8d\x8e", "  both  "};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct fruit f = parsed("apple: {count: 7}\npear: {weight: 0.30000000000000004, colour: yellow}\n"), g;
        char *text;
        strcpy(f.apple.name, names[i]);
        memset(f.apple.name + strlen(names[i]), 0, OPTION_TEXT_SIZE - strlen(names[i]));
        assert_int_equal(options_write_yaml(&table, &f, &text), OK);
        g = parsed(text);
        assert_memory_equal(&f, &g, sizeof f);
        free(text);
    }
}

static void only_options_that_change_the_result_are_hashed_and_compared(void **state)
{
    (void)state;
    struct fruit f = defaults(), g = defaults();
    char a[OPTION_TEXT_SIZE], b[OPTION_TEXT_SIZE];
    g.apple.count = 9;
    assert_true(options_hash(&table, NUMBERS, &f) == options_hash(&table, NUMBERS, &g));
    assert_null(options_difference(&table, NUMBERS, &f, &g, a, b));
    g.pear.weight = 0.2;
    g.pear.colour = 1;
    assert_true(options_hash(&table, NUMBERS, &f) != options_hash(&table, NUMBERS, &g));
    assert_ptr_equal(options_difference(&table, NUMBERS, &f, &g, a, b), &options[3]);
    assert_true(atof(a) == 0.1 && atof(b) == 0.2);
}

static void help_tells_every_key(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n;
    FILE *stream = open_memstream(&text, &n);
    assert_non_null(stream);
    options_help(&table, stream);
    fclose(stream);
    for (int i = 0; i < table.n; i++) {
        assert_non_null(strstr(text, options[i].key));
        assert_non_null(strstr(text, options[i].help));
    }
    assert_non_null(strstr(text, "green|yellow|red"));
    assert_non_null(strstr(text, "integer, 0 to 10"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_table_s),
        cmocka_unit_test(yaml_fills_fields),
        cmocka_unit_test(empty_files_and_sections_change_nothing),
        cmocka_unit_test(mistakes_are_told_with_line_and_key),
        cmocka_unit_test(what_is_no_config_is_refused),
        cmocka_unit_test(a_text_that_is_too_long_is_refused),
        cmocka_unit_test(assignments_set_one_key),
        cmocka_unit_test(a_shorter_text_leaves_no_old_bytes),
        cmocka_unit_test(what_is_written_parses_to_the_same),
        cmocka_unit_test(only_options_that_change_the_result_are_hashed_and_compared),
        cmocka_unit_test(help_tells_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
