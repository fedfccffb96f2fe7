/* Preferences in every accepted form, and sentences for the rest. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/status.h"
#include "dataset/pairs.h"
#include "tests/tools/scratch.h"

static struct scratch scratch;

static int set_up(void **state) { return (void)state, scratch_make(&scratch), 0; }
static int tear_down(void **state) { return (void)state, scratch_remove(&scratch), trace_clear(), 0; }

static struct pairs *open_text(const char *text)
{
    struct pairs *p = NULL;
    assert_int_equal(pairs_open(scratch_write(&scratch, "in.jsonl", text, strlen(text)), &p), OK);
    return p;
}

static const struct pair_record *next(struct pairs *p)
{
    const struct pair_record *r;
    int status = pairs_next(p, &r);
    if (status != OK)
        fail_msg("%s", trace_sentence());
    return r;
}

static void is_message(const struct message *m, const char *role, const char *text)
{
    assert_string_equal(m->role, role);
    assert_int_equal(m->n_bytes, strlen(text));
    assert_memory_equal(m->text, text, m->n_bytes);
}

static void is_response(const struct pair_record *r, int side, const char *text)
{
    assert_int_equal(r->response[side].n_bytes, strlen(text));
    assert_memory_equal(r->response[side].text, text, strlen(text));
}

static void strings_ids_and_subsets_are_read_and_blank_lines_passed(void **state)
{
    (void)state;
    struct pairs *p = open_text("{\"id\": \"a7\", \"subset\": \"chat\", \"prompt\": \"Q\", \"chosen\": \"yes\", \"rejected\": \"no\"}\n  \n"
                                "{\"id\": 12, \"prompt\": \"R\", \"chosen\": \"1\", \"rejected\": \"2\"}\r\n{\"prompt\": \"S\", \"chosen\": \"\", \"rejected\": \"2\"}");
    const struct pair_record *r = next(p);
    assert_string_equal(r->id, "a7");
    assert_string_equal(r->subset, "chat");
    assert_int_equal(r->n_messages, 1);
    is_message(&r->message[0], "user", "Q");
    is_response(r, 0, "yes");
    is_response(r, 1, "no");
    r = next(p);
    assert_string_equal(r->id, "12");
    assert_string_equal(r->subset, "");
    assert_int_equal(r->number, 1);
    assert_non_null(strstr(r->where, "line 3"));
    r = next(p);
    assert_string_equal(r->id, "2");
    is_response(r, 0, "");
    assert_null(next(p));
    assert_null(next(p));
    pairs_close(&p);
}

static void message_lists_with_a_prompt_give_their_last_message(void **state)
{
    (void)state;
    struct pairs *p = open_text("{\"prompt\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"Q\"}],"
                                " \"chosen\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}], \"rejected\": [{\"role\": \"assistant\", \"content\": \"B\"}]}\n");
    const struct pair_record *r = next(p);
    assert_int_equal(r->n_messages, 2);
    is_message(&r->message[0], "system", "S");
    is_message(&r->message[1], "user", "Q");
    is_response(r, 0, "A");
    is_response(r, 1, "B");
    pairs_close(&p);
}

static void messages_before_a_response_that_the_prompt_does_not_end_with_make_the_pair_diverge(void **state)
{
    (void)state;
    struct pairs *p = open_text("{\"prompt\": \"Q\", \"chosen\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}], \"rejected\": \"B\"}\n"
                                "{\"prompt\": \"Q\", \"chosen\": [{\"role\": \"user\", \"content\": \"P\"}, {\"role\": \"assistant\", \"content\": \"A\"}], \"rejected\": \"B\"}\n"
                                "{\"prompt\": \"Q\", \"chosen\": \"A\", \"rejected\": [{\"role\": \"assistant\", \"content\": \"B\"}, {\"role\": \"user\", \"content\": \"R\"},"
                                " {\"role\": \"assistant\", \"content\": \"C\"}]}\n");
    assert_false(next(p)->diverges);
    assert_true(next(p)->diverges);
    assert_true(next(p)->diverges);
    pairs_close(&p);
}

static void without_a_prompt_the_common_beginning_is_it(void **state)
{
    (void)state;
    struct pairs *p = open_text("{\"chosen\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}],"
                                " \"rejected\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"B\"}]}\n"
                                "{\"chosen\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}],"
                                " \"rejected\": [{\"role\": \"user\", \"content\": \"P\"}, {\"role\": \"assistant\", \"content\": \"B\"}]}\n"
                                "{\"chosen\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}],"
                                " \"rejected\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}\n");
    const struct pair_record *r = next(p);
    assert_false(r->diverges);
    assert_int_equal(r->n_messages, 1);
    is_message(&r->message[0], "user", "Q");
    is_response(r, 1, "B");
    assert_true(next(p)->diverges);
    r = next(p);
    assert_false(r->diverges);
    is_response(r, 0, "A");
    is_response(r, 1, "A");
    pairs_close(&p);
}

static void transcripts_are_cut_into_turns(void **state)
{
    (void)state;
    struct pairs *p = open_text("{\"chosen\": \"\\n\\nHuman: one\\n\\nAssistant: two\\n\\nHuman: three\\n\\nAssistant: four \", \"rejected\": \"\\n\\nHuman: one\\n\\nAssistant: two\\n\\nHuman: three\\n\\nAssistant:\"}\n"
                                "{\"prompt\": \"\\n\\nHuman: x\\n\\nAssistant:\", \"chosen\": \"y\", \"rejected\": \"z\"}\n");
    const struct pair_record *r = next(p);
    assert_int_equal(r->n_messages, 3);
    is_message(&r->message[0], "user", "one");
    is_message(&r->message[1], "assistant", "two");
    is_message(&r->message[2], "user", "three");
    is_response(r, 0, "four");
    is_response(r, 1, "");
    r = next(p);
    assert_int_equal(r->n_messages, 1);
    is_message(&r->message[0], "user", "x");
    is_response(r, 1, "z");
    pairs_close(&p);
}

static void a_mark_of_the_one_who_speaks_already_stays_in_the_text(void **state)
{
    (void)state;
    struct pairs *p = open_text("{\"chosen\": \"\\n\\nHuman: one\\n\\nAssistant: two Human: three\\n\\nAssistant: four\", \"rejected\": \"\\n\\nHuman: one\\n\\nAssistant: five\"}\n");
    const struct pair_record *r = next(p);
    assert_false(r->diverges);
    assert_int_equal(r->n_messages, 1);
    is_response(r, 0, "two Human: three\n\nAssistant: four");
    is_response(r, 1, "five");
    pairs_close(&p);
}

static void critiques_are_strings_or_objects_with_scores(void **state)
{
    (void)state;
    struct pairs *p = open_text("{\"prompt\": \"Q\", \"chosen\": {\"text\": \"A\", \"critiques\": [\"good\", {\"text\": \"fine\", \"judge_score\": 8, \"quality\": 2.5}]}, \"rejected\": {\"text\": \"B\"}}\n");
    const struct pair_record *r = next(p);
    assert_int_equal(r->response[0].n_critiques, 2);
    assert_int_equal(r->response[1].n_critiques, 0);
    assert_memory_equal(r->response[0].critique[0].text, "good", 5);
    assert_true(isnan(r->response[0].critique[0].judge_score));
    assert_true(r->response[0].critique[1].judge_score == 8.0f && r->response[0].critique[1].quality == 2.5f);
    pairs_close(&p);
}

static void a_conversation_is_learnt_from_its_last_message(void **state)
{
    (void)state;
    struct pairs *p = open_text("{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}\n");
    const struct pair_record *r = next(p);
    assert_true(r->conversation);
    assert_int_equal(r->n_messages, 1);
    is_response(r, 0, "A");
    pairs_close(&p);
}

static void gzip_is_read_like_plain_text(void **state)
{
    (void)state;
    struct pairs *p;
    static const char text[] = "{\"prompt\": \"Q\", \"chosen\": \"A\", \"rejected\": \"B\"}\n";
    gzFile f = gzopen(scratch_path(&scratch, "in.jsonl.gz"), "wb");
    assert_int_equal(gzwrite(f, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(gzclose(f), Z_OK);
    assert_int_equal(pairs_open(scratch.path, &p), OK);
    is_response(next(p), 1, "B");
    assert_null(next(p));
    pairs_close(&p);
}

/* The second line is bad. */
static void refused(const char *line, const char *words)
{
    char text[4096];
    const struct pair_record *r;
    snprintf(text, sizeof text, "{\"prompt\": \"Q\", \"chosen\": \"A\", \"rejected\": \"B\"}\n%s\n", line);
    struct pairs *p = open_text(text);
    assert_non_null(next(p));
    trace_clear();
    assert_int_equal(pairs_next(p, &r), FAILED);
    assert_null(r);
    if (!strstr(trace_sentence(), "line 2") || !strstr(trace_sentence(), "in.jsonl") || !strstr(trace_sentence(), words))
        fail_msg("'%s' does not say line 2 and '%s'", trace_sentence(), words);
    trace_clear();
    pairs_close(&p);
}

static void a_bad_record_is_named_by_file_and_line(void **state)
{
    (void)state;
    refused("{\"prompt\": \"Q\", \"chosen\": \"A\"", "JSON");
    refused("[1, 2]", "not a JSON object");
    refused("{\"prompt\": \"Q\", \"chosen\": \"A\"}", "rejected");
    refused("{\"prompt\": 7, \"chosen\": \"A\", \"rejected\": \"B\"}", "\"prompt\"");
    refused("{\"prompt\": \"Q\", \"chosen\": 5, \"rejected\": \"B\"}", "\"chosen\" is not a response");
    refused("{\"prompt\": [], \"chosen\": \"A\", \"rejected\": \"B\"}", "empty");
    refused("{\"prompt\": [{\"role\": \"user\"}], \"chosen\": \"A\", \"rejected\": \"B\"}", "content");
    refused("{\"chosen\": \"A\", \"rejected\": \"B\"}", "without \"prompt\"");
    refused("{\"chosen\": \"\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: c\", \"rejected\": \"\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: d\"}", "not the assistant's");
    refused("{\"prompt\": \"Q\", \"chosen\": {\"text\": \"A\", \"critiques\": \"x\"}, \"rejected\": \"B\"}", "must be a list");
    refused("{\"prompt\": \"Q\", \"chosen\": {\"text\": \"A\", \"critiques\": [3]}, \"rejected\": \"B\"}", "critique");
    refused("{\"prompt\": \"Q\xff\", \"chosen\": \"A\", \"rejected\": \"B\"}", "UTF-8");
    refused("{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}]}", "not the assistant's");
}

static void a_missing_file_is_a_sentence(void **state)
{
    (void)state;
    struct pairs *p = NULL;
    assert_int_equal(pairs_open(scratch_path(&scratch, "none.jsonl"), &p), FAILED);
    assert_null(p);
    assert_non_null(strstr(trace_sentence(), "none.jsonl"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(strings_ids_and_subsets_are_read_and_blank_lines_passed),
        TEST(message_lists_with_a_prompt_give_their_last_message),
        TEST(messages_before_a_response_that_the_prompt_does_not_end_with_make_the_pair_diverge),
        TEST(without_a_prompt_the_common_beginning_is_it),
        TEST(transcripts_are_cut_into_turns),
        TEST(a_mark_of_the_one_who_speaks_already_stays_in_the_text),
        TEST(critiques_are_strings_or_objects_with_scores),
        TEST(a_conversation_is_learnt_from_its_last_message),
        TEST(gzip_is_read_like_plain_text),
        TEST(a_bad_record_is_named_by_file_and_line),
        TEST(a_missing_file_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
