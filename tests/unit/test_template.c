#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "dataset/template.h"
#include "tests/tools/scratch.h"

static struct tokenizer *open_small(const char *name)
{
    char path[1024];
    struct tokenizer *t;
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/golden/text/%s.tokenizer.json", name);
    if (tokenizer_open(path, &t) != OK)
        fail_msg("%s", trace_sentence());
    return t;
}

static const char own[] = "# ours\nuser=<|im_start|>Q: {content}\\n\\\\end\\n\nassistant=A: \nsystem=S: {content} on {date}\\n\nend=<|im_end|>\ntrim=yes\nreward=<|endoftext|>\n";

static void a_template_file_is_read_with_its_escapes(void **state)
{
    (void)state;
    struct chat_template t;
    assert_int_equal(template_parse(own, sizeof own - 1, "own.txt", &t), OK);
    assert_string_equal(t.user, "<|im_start|>Q: {content}\n\\end\n");
    assert_string_equal(t.assistant, "A: ");
    assert_string_equal(t.end, "<|im_end|>");
    assert_string_equal(t.begin, "");
    assert_true(t.trim && !t.always_system && !t.system_in_user);
}

static void expect_refused(const char *text, const char *words)
{
    struct chat_template t;
    trace_clear();
    assert_int_equal(template_parse(text, strlen(text), "own.txt", &t), FAILED);
    assert_non_null(strstr(trace_sentence(), "own.txt"));
    if (!strstr(trace_sentence(), words))
        fail_msg("the sentence '%s' does not say %s", trace_sentence(), words);
}

static void a_wrong_template_is_refused_with_its_line(void **state)
{
    (void)state;
    char longer[TEMPLATE_TEXT + 64];
    expect_refused("user={content}\nusr=x\n", "line 2");
    expect_refused("user={content}\nusr=x\n", "usr");
    expect_refused("user={content}\n\nnothing\n", "line 3");
    expect_refused("user={content}\\t\nend=x\n", "backslash");
    expect_refused("user={content}\\", "backslash");
    expect_refused("user={content}\nend=x\nsystem={content}\ntrim=perhaps\n", "yes or no");
    expect_refused("user=x\nend=x\nsystem={content}\n", "{content}");
    expect_refused("user={content}\nsystem={content}\n", "end=");
    expect_refused("user={content}\nend=x\nsystem=x\n", "system=");
    expect_refused("", "user=");
    memset(longer, 'x', sizeof longer);
    memcpy(longer, "user=", 5);
    longer[sizeof longer - 1] = 0;
    expect_refused(longer, "longer");
}

static void the_template_is_chosen_by_the_tokenizers_special_tokens(void **state)
{
    (void)state;
    struct chat_template t;
    struct tokenizer *chatml = open_small("qwen"), *mistral = open_small("fallback");
    assert_int_equal(template_open("auto", chatml, "today", "", &t), OK);
    assert_string_equal(t.end, "<|im_end|>");
    assert_string_equal(t.after, "\n");
    assert_int_equal(template_open("auto", mistral, "today", "", &t), OK);
    assert_string_equal(t.end, "</s>");
    tokenizer_close(&chatml);
    tokenizer_close(&mistral);
}

static void a_template_of_another_family_is_refused(void **state)
{
    (void)state;
    struct chat_template t;
    struct tokenizer *chatml = open_small("qwen");
    trace_clear();
    assert_int_equal(template_open("llama3", chatml, "today", "", &t), FAILED);
    assert_non_null(strstr(trace_sentence(), "<|eot_id|>"));
    trace_clear();
    assert_int_equal(template_open("nowhere", chatml, "today", "", &t), USAGE);
    assert_non_null(strstr(trace_sentence(), "nowhere"));
    tokenizer_close(&chatml);
}

static void a_file_takes_the_date_and_the_system_message(void **state)
{
    (void)state;
    struct scratch s;
    struct chat_template t;
    struct tokenizer *chatml = open_small("qwen");
    scratch_make(&s);
    const char *path = scratch_write(&s, "own.txt", own, sizeof own - 1);
    assert_int_equal(template_open(path, chatml, "1 Jan 2030", "Be brief.", &t), OK);
    assert_string_equal(t.system, "S: {content} on 1 Jan 2030\n");
    assert_string_equal(t.default_system, "Be brief.");
    tokenizer_close(&chatml);
    scratch_remove(&s);
}

static void the_hash_is_of_what_makes_rendered_text(void **state)
{
    (void)state;
    struct chat_template a, b, c;
    struct tokenizer *chatml = open_small("qwen");
    assert_int_equal(template_open("chatml", chatml, "today", "", &a), OK);
    assert_int_equal(template_open("auto", chatml, "tomorrow", "", &b), OK);        /* ChatML has no date */
    assert_int_equal(template_open("chatml", chatml, "today", "Be brief.", &c), OK);
    assert_true(a.hash == b.hash);
    assert_true(a.hash != c.hash);
    tokenizer_close(&chatml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_template_file_is_read_with_its_escapes),
        cmocka_unit_test(a_wrong_template_is_refused_with_its_line),
        cmocka_unit_test(the_template_is_chosen_by_the_tokenizers_special_tokens),
        cmocka_unit_test(a_template_of_another_family_is_refused),
        cmocka_unit_test(a_file_takes_the_date_and_the_system_message),
        cmocka_unit_test(the_hash_is_of_what_makes_rendered_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
