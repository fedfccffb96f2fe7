#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "dataset/instruction.h"
#include "tests/tools/scratch.h"

static struct text text_of(const char *bytes) { return (struct text){bytes, strlen(bytes)}; }

/* ---- the grammar ----------------------------------------------------------------------------------------------------------------------------- */

static void expect_filled(enum instruction which, const char *source, const char *content, const char *wanted)
{
    struct instruction_text t;
    char *all;
    size_t n;
    if (instruction_parse(which, source, strlen(source), "own.txt", &t) != OK)
        fail_msg("%s", trace_sentence());
    assert_int_equal(instruction_fill(&t, text_of(content), &all, &n), OK);
    assert_int_equal(n, strlen(wanted));
    assert_string_equal(all, wanted);
    free(all);
    instruction_free(&t);
    assert_null(t.source);
}

static void a_content_takes_the_place_of_the_placeholder(void **state)
{
    (void)state;
    expect_filled(INSTRUCTION_RANK, "Grade {critique}!", "Good.", "Grade Good.!");
    expect_filled(INSTRUCTION_RANK, "{critique}", "Good.", "Good.");
    expect_filled(INSTRUCTION_RANK, "Grade:\n{critique}", "", "Grade:\n");
    expect_filled(INSTRUCTION_SUMMARISE, "{critiques} end", "1. a\n\n2. b", "1. a\n\n2. b end");
    expect_filled(INSTRUCTION_JUDGE, "Judge.", "", "Judge.");
    expect_filled(INSTRUCTION_CRITIQUE, "Was it good?", "", "Was it good?");
}

static void two_braces_are_one(void **state)
{
    (void)state;
    expect_filled(INSTRUCTION_JUDGE, "Write {{\"a\": 1}}, {{{{x}}}} or }}{{.", "", "Write {\"a\": 1}, {{x}} or }{.");
    expect_filled(INSTRUCTION_RANK, "{{{critique}}}", "Good.", "{Good.}");
    expect_filled(INSTRUCTION_RANK, "{{critique}} {critique} {{critiques}}", "Good.", "{critique} Good. {critiques}");
}

static void a_content_is_not_read_for_placeholders_again(void **state)
{
    (void)state;
    expect_filled(INSTRUCTION_RANK, "Grade {critique}.", "{critique} {{ }} { {critiques}", "Grade {critique} {{ }} { {critiques}.");
}

static void line_ends_at_the_end_are_left_off_and_no_other_white_space(void **state)
{
    (void)state;
    expect_filled(INSTRUCTION_CRITIQUE, "\n What?\n\nWhy? \n\n\n", "", "\n What?\n\nWhy? ");
    expect_filled(INSTRUCTION_RANK, "{critique}\nHow?\n", "A\n", "A\n\nHow?");
}

static void what_is_hashed_is_the_text_as_it_stands_in_the_file(void **state)
{
    (void)state;
    struct instruction_text t;
    static const char source[] = "{{a}} {critique}\n";
    assert_int_equal(instruction_parse(INSTRUCTION_RANK, source, sizeof source - 1, "own.txt", &t), OK);
    assert_string_equal(t.source, "{{a}} {critique}");
    assert_int_equal(t.n_source, sizeof source - 2);
    instruction_free(&t);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------------------------------- */

static void expect_refused_bytes(enum instruction which, const char *source, size_t n, const char *words)
{
    struct instruction_text t;
    trace_clear();
    assert_int_equal(instruction_parse(which, source, n, "own.txt", &t), FAILED);
    assert_null(t.source);
    assert_null(t.shown);
    assert_non_null(strstr(trace_sentence(), "own.txt"));
    assert_non_null(strstr(trace_sentence(), instruction_name(which)));
    if (!strstr(trace_sentence(), words))
        fail_msg("the sentence '%s' does not say %s", trace_sentence(), words);
}

static void expect_refused(enum instruction which, const char *source, const char *words) { expect_refused_bytes(which, source, strlen(source), words); }

static void a_placeholder_that_is_unknown_missing_or_there_twice_is_refused_by_name(void **state)
{
    (void)state;
    expect_refused(INSTRUCTION_RANK, "Grade it.", "lacks the placeholder {critique}");
    expect_refused(INSTRUCTION_SUMMARISE, "Write one.", "lacks the placeholder {critiques}");
    expect_refused(INSTRUCTION_RANK, "{critique} and {critique}", "the placeholder {critique} twice");
    expect_refused(INSTRUCTION_RANK, "{critiques}", "the placeholder '{critiques}', but it knows {critique}");
    expect_refused(INSTRUCTION_RANK, "{critique} of {response}", "'{response}'");
    expect_refused(INSTRUCTION_SUMMARISE, "{critique}", "'{critique}', but it knows {critiques}");
    expect_refused(INSTRUCTION_JUDGE, "Judge {critique}.", "'{critique}', but it knows none");
    expect_refused(INSTRUCTION_CRITIQUE, "Write {}.", "'{}', but it knows none");
    expect_refused(INSTRUCTION_RANK, "{critique }", "'{critique }'");
    expect_refused(INSTRUCTION_RANK, "{Critique}", "'{Critique}'");
    expect_refused(INSTRUCTION_RANK, "{{critique}}", "lacks");
}

static void a_single_brace_is_refused(void **state)
{
    (void)state;
    expect_refused(INSTRUCTION_JUDGE, "a { b", "stands alone");
    expect_refused(INSTRUCTION_JUDGE, "a } b", "stands alone");
    expect_refused(INSTRUCTION_JUDGE, "{", "stands alone");
    expect_refused(INSTRUCTION_JUDGE, "}", "stands alone");
    expect_refused(INSTRUCTION_JUDGE, "{{{", "stands alone");
    expect_refused(INSTRUCTION_RANK, "{critique}}", "stands alone");
    expect_refused(INSTRUCTION_RANK, "{critique\n}", "stands alone");
    expect_refused(INSTRUCTION_RANK, "{crit{ique}", "stands alone");
}

static void what_is_no_text_is_refused(void **state)
{
    (void)state;
    expect_refused(INSTRUCTION_CRITIQUE, "", "empty");
    expect_refused(INSTRUCTION_CRITIQUE, "\n\n", "empty");
    expect_refused(INSTRUCTION_JUDGE, "Judge \xff.", "UTF-8");
    expect_refused_bytes(INSTRUCTION_JUDGE, "Judge\0it", 8, "UTF-8");
}

/* ---- files ----------------------------------------------------------------------------------------------------------------------------------- */

static void the_built_in_texts_are_those_of_configs_prompts(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(config_load(NULL, NULL, 0, &config), OK);
    for (enum instruction i = 0; i < N_INSTRUCTIONS; i++) {
        struct instruction_text t;
        char path[1024], *bytes;
        size_t n;
        if (instruction_open(&config, i, &t) != OK)
            fail_msg("%s", trace_sentence());
        snprintf(path, sizeof path, TEST_SOURCE_DIR "/configs/prompts/%s.txt", instruction_name(i));
        assert_int_equal(file_read(path, &bytes, &n), OK);
        assert_int_equal(t.n_source, n - 1);            /* the line end */
        assert_memory_equal(t.source, bytes, n - 1);
        free(bytes);
        instruction_free(&t);
    }
}

static void each_key_names_a_file_of_its_own(void **state)
{
    (void)state;
    static const char *const text[N_INSTRUCTIONS] = {"A", "B", "C {critiques}", "D {critique}", "E", "F {critique}"};
    struct scratch s;
    scratch_make(&s);
    for (enum instruction i = 0; i < N_INSTRUCTIONS; i++) {
        struct config config;
        struct instruction_text t;
        char set[1024], *sets[] = {set};
        const char *path = scratch_write(&s, "own.txt", text[i], strlen(text[i]));
        snprintf(set, sizeof set, "data.%s_prompt=%s", instruction_name(i), path);
        assert_int_equal(config_load(NULL, sets, 1, &config), OK);
        assert_int_equal(instruction_open(&config, i, &t), OK);
        assert_string_equal(t.source, text[i]);
        instruction_free(&t);
        scratch_write(&s, "own.txt", "{x}", 3);
        trace_clear();
        assert_int_equal(instruction_open(&config, i, &t), FAILED);
        assert_non_null(strstr(trace_sentence(), path));
    }
    scratch_remove(&s);
}

static void critiques_are_numbered_and_parted_by_an_empty_line(void **state)
{
    (void)state;
    const struct text critique[] = {text_of("It is good."), text_of("It is\nbad."), text_of("")};
    char *list;
    size_t n;
    assert_int_equal(instruction_list(critique, 3, &list, &n), OK);
    assert_string_equal(list, "1. It is good.\n\n2. It is\nbad.\n\n3. ");
    assert_int_equal(n, strlen(list));
    free(list);
    assert_int_equal(instruction_list(critique, 1, &list, &n), OK);
    assert_string_equal(list, "1. It is good.");
    free(list);
    assert_int_equal(instruction_list(NULL, 0, &list, &n), OK);
    assert_int_equal(n, 0);
    assert_string_equal(list, "");
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_content_takes_the_place_of_the_placeholder),
        cmocka_unit_test(two_braces_are_one),
        cmocka_unit_test(a_content_is_not_read_for_placeholders_again),
        cmocka_unit_test(line_ends_at_the_end_are_left_off_and_no_other_white_space),
        cmocka_unit_test(what_is_hashed_is_the_text_as_it_stands_in_the_file),
        cmocka_unit_test(a_placeholder_that_is_unknown_missing_or_there_twice_is_refused_by_name),
        cmocka_unit_test(a_single_brace_is_refused),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(the_built_in_texts_are_those_of_configs_prompts),
        cmocka_unit_test(each_key_names_a_file_of_its_own),
        cmocka_unit_test(critiques_are_numbered_and_parted_by_an_empty_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
