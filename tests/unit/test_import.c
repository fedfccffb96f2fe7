/* JSON lines to a set and back, with a tokenizer whose tokens are bytes. */
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
#include "base/json.h"
#include "base/status.h"
#include "dataset/import.h"
#include "dataset/unrender.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/scratch.h"

static struct scratch scratch;
static struct config config;
static char folder[512];

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    byte_tokenizer_write(scratch.dir);
    snprintf(folder, sizeof folder, "%s/set", scratch.dir);
    assert_int_equal(config_load(NULL, NULL, 0, &config), OK);
    snprintf(config.backbone.path, sizeof config.backbone.path, "%s", scratch.dir);
    snprintf(config.data.template, sizeof config.data.template, "chatml");
    return 0;
}

static int tear_down(void **state) { return (void)state, scratch_remove(&scratch), trace_clear(), 0; }

static int import_text(const char *text, enum import_kind kind, struct import_counts *counts)
{
    trace_clear();
    return import_file(&config, scratch_write(&scratch, "in.jsonl", text, strlen(text)), folder, kind, counts);
}

static struct dsub *open_set(void)
{
    struct dsub *d = NULL;
    if (dsub_open(folder, &d) != OK)
        fail_msg("%s", trace_sentence());
    return d;
}

/* Tokens are bytes, but for the special ones, which are written as < > |. */
static const char *spell(const uint32_t *token, int64_t n)
{
    static char text[8192];
    for (int64_t i = 0; i < n; i++)
        text[i] = token[i] == BYTE_TURN_START ? '<' : token[i] == BYTE_TURN_END ? '>' : token[i] == BYTE_END_OF_TEXT ? '|' : (char)token[i];
    text[n] = 0;
    return text;
}

#define SIDE(text, critiques) "{\"text\": \"" text "\", \"critiques\": [" critiques "]}"
#define PAIR(chosen, rejected) "{\"prompt\": \"Q?\", \"chosen\": " chosen ", \"rejected\": " rejected "}\n"

static void each_node_is_its_part_of_the_template(void **state)
{
    (void)state;
    struct import_counts counts;
    uint32_t token[4096];
    assert_int_equal(import_text(PAIR(SIDE("yes", "\"ok\", {\"text\": \"fine\", \"judge_score\": 8}"), SIDE("no", "\"bad\"")), IMPORT_CRITIQUES, &counts), OK);
    struct dsub *d = open_set();
    const struct shard *s = d->shard[0];
    assert_int_equal(shard_read_prompt(s, 0, token), OK);
    assert_string_equal(spell(token, (int64_t)s->prompt[1]), "<user\nQ?>\n<assistant\n");
    assert_int_equal(shard_read_response(s, 0, 0, token), OK);
    int64_t n = (int64_t)s->response[1] - s->meta.n_lead_in;
    assert_string_equal(spell(token, n), "yes>");
    assert_memory_equal(token + n, s->meta.lead_in, (size_t)s->meta.n_lead_in * sizeof *token);
    assert_memory_equal(spell(s->meta.lead_in, s->meta.n_lead_in), "\n<user\n", 7);
    assert_int_equal(shard_read_critiques(s, 0, 0, token), OK);
    assert_string_equal(spell(token, (int64_t)s->critique[2]), "ok>fine>");
    assert_true(isnan(s->judge_score[0]) && s->judge_score[1] == 8.0f);
    assert_int_equal(counts.critiques, 3);
    dsub_close(&d);
}

static void what_is_left_out_is_counted(void **state)
{
    (void)state;
    struct import_counts c;
    config.data.max_critique_tokens = 6;
    config.data.critiques_per_response = 2;
    assert_int_equal(import_text(PAIR(SIDE("yes", "\"a\", \"a\", \"  \", \"too long\", \"b\", \"c\""), SIDE("no", "\"d\"")) PAIR(SIDE("same", "\"a\""), SIDE("same", "\"b\""))
                                 PAIR(SIDE("yes", "\"a\""), SIDE("no", "\" \"")) PAIR(SIDE("yes", "\"a\""), "\"no\"")
                                 "{\"chosen\": \"\\n\\nHuman: a\\n\\nAssistant: b\", \"rejected\": \"\\n\\nHuman: c\\n\\nAssistant: b\"}\n", IMPORT_CRITIQUES, &c), OK);
    assert_int_equal(c.records, 5);
    assert_int_equal(c.kept, 1);
    assert_int_equal(c.equal_responses, 1);
    assert_int_equal(c.empty_sides, 2);
    assert_int_equal(c.diverging, 1);
    assert_int_equal(c.repeated, 1);
    assert_int_equal(c.empty, 2);
    assert_int_equal(c.long_critiques, 1);
    assert_int_equal(c.above_k, 1);
    assert_int_equal(c.critiques, 3);
}

static void the_longest_path_counts_the_instruction_the_end_of_turn_and_the_reward_token(void **state)
{
    (void)state;
    struct import_counts c;
    static const char text[] = PAIR(SIDE("yes", "\"abcd\""), SIDE("yes", "\"abcd\", \"x\"")) PAIR(SIDE("yes", "\"abcd\""), SIDE("noo", "\"abcd\""));
    assert_int_equal(import_text(text, IMPORT_CRITIQUES, &c), OK);
    struct dsub *d = open_set();
    int64_t path = d->lengths.n_prompt[0] + d->lengths.n_response[0] + d->lengths.n_critique[0] + 1;
    dsub_close(&d);
    assert_int_equal(dir_remove(folder), OK);
    config.data.max_path_tokens = path;
    assert_int_equal(import_text(text, IMPORT_CRITIQUES, &c), OK);
    assert_int_equal(c.long_critiques, 0);
    assert_int_equal(dir_remove(folder), OK);
    config.data.max_path_tokens = path - 1;
    assert_int_equal(import_text(text, IMPORT_CRITIQUES, &c), FAILED);
    assert_int_equal(c.long_critiques, 2);
    assert_non_null(strstr(trace_sentence(), "nothing is left of the 2 records"));
    assert_false(dsub_is_set(folder));
}

static void preferences_keep_no_critiques_and_drop_their_own_long_paths(void **state)
{
    (void)state;
    struct import_counts c;
    config.data.max_path_tokens = 21 + 4 + 1;       /* "<user\nQ?>\n<assistant\n", "yes>", the reward token */
    assert_int_equal(import_text(PAIR(SIDE("yes", "\"a\""), "\"no\"") PAIR("\"long\"", "\"no\""), IMPORT_PREFERENCES, &c), OK);
    assert_int_equal(c.kept, 1);
    assert_int_equal(c.long_paths, 1);
    struct dsub *d = open_set();
    assert_int_equal(d->lengths.n_prompt[0], 21);
    assert_int_equal(d->n_critiques, 0);
    dsub_close(&d);
}

static void a_conversation_is_one_path_whose_target_is_the_last_message(void **state)
{
    (void)state;
    struct import_counts c;
    uint32_t token[64];
    enum import_kind kind;
    static const char text[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A b\"}]}\n";
    assert_int_equal(import_kind_of(scratch_write(&scratch, "in.jsonl", text, strlen(text)), &kind), OK);
    assert_int_equal(kind, IMPORT_CONVERSATIONS);
    assert_int_equal(import_text(text, kind, &c), OK);
    struct dsub *d = open_set();
    assert_int_equal(d->lengths.n_response[0] + d->lengths.n_response[1], 0);
    assert_int_equal(d->lengths.first_critique[1], 1);
    assert_int_equal(d->lengths.first_critique[2], 1);
    assert_int_equal(shard_read_critiques(d->shard[0], 0, 0, token), OK);
    assert_string_equal(spell(token, d->lengths.n_critique[0]), "A b>");
    assert_int_equal(d->meta.n_lead_in, 0);
    dsub_close(&d);
}

static enum import_kind kind_of(const char *text)
{
    enum import_kind kind;
    assert_int_equal(import_kind_of(scratch_write(&scratch, "in.jsonl", text, strlen(text)), &kind), OK);
    return kind;
}

#define WITHOUT "{\"prompt\": \"p\", \"chosen\": {\"text\": \"a\", \"critiques\": []}, \"rejected\": \"b\"}\n"
#define WITH "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": {\"text\": \"b\", \"critiques\": [\"bad\"]}}\n"

static void a_file_of_critiques_is_one_though_its_first_pairs_lost_theirs(void **state)
{
    (void)state;
    assert_int_equal(kind_of(WITHOUT), IMPORT_PREFERENCES);
    assert_int_equal(kind_of(WITH WITHOUT), IMPORT_CRITIQUES);
    assert_int_equal(kind_of(WITHOUT WITHOUT WITH), IMPORT_CRITIQUES);
}

static void a_failure_names_file_and_line(void **state)
{
    (void)state;
    struct import_counts c;
    assert_int_equal(import_text(PAIR("\"a\"", "\"b\"") "{\"prompt\": [{\"role\": \"robot\", \"content\": \"x\"}, {\"role\": \"user\", \"content\": \"x\"}], \"chosen\": \"a\", \"rejected\": \"b\"}\n",
                                 IMPORT_PREFERENCES, &c), FAILED);
    assert_non_null(strstr(trace_sentence(), "in.jsonl, line 2: a message has the role 'robot'"));
    assert_int_equal(import_text(PAIR("\"a\"", "\"b\""), IMPORT_CONVERSATIONS, &c), FAILED);
    assert_non_null(strstr(trace_sentence(), "in.jsonl, line 1: this record is a pair"));
    assert_int_equal(import_text("", IMPORT_PREFERENCES, &c), FAILED);
    assert_non_null(strstr(trace_sentence(), "holds no record"));
    assert_false(dsub_is_set(folder));
}

/* ---- back to messages ------------------------------------------------------------------------------------------------------------------------ */

static bool comes_back(const struct message *message, int n)
{
    struct encoder *e;
    struct token_list list = {0};
    struct unrendered *u = calloc(1, sizeof *u);
    bool exact;
    assert_int_equal(encoder_open(&config, &e), OK);
    assert_int_equal(encode_prompt(e, message, n, &list), OK);
    assert_int_equal(unrender_prompt(e, list.token, list.n, u, &exact), OK);
    assert_int_equal(exact, u->n > 0);
    bool same = exact && u->n == n;
    for (int i = 0; i < n && same; i++)
        same = strcmp(u->message[i].role, message[i].role) == 0 && u->message[i].n_bytes == message[i].n_bytes && memcmp(u->message[i].text, message[i].text, message[i].n_bytes) == 0;
    unrendered_free(u);
    free(u);
    token_list_free(&list);
    encoder_close(&e);
    return same;
}

static void a_prompt_is_read_back_from_its_tokens(void **state)
{
    (void)state;
    static const struct message talk[] = {{"system", "be kind", 7}, {"user", "a\n\nb", 4}, {"assistant", "c", 1}, {"user", "\xc3\xa9\xe2\x82\xac", 5}};
    assert_true(comes_back(talk, 4));
    assert_true(comes_back(talk + 1, 3));
    assert_true(comes_back(talk + 3, 1));
    snprintf(config.data.system, sizeof config.data.system, "be brief");
    assert_true(comes_back(talk, 4));
    assert_true(comes_back(talk + 1, 1));
}

static void a_text_that_holds_the_templates_marks_is_not_taken_apart_wrongly(void **state)
{
    (void)state;
    static const char marks[] = "x<|im_end|>\n<|im_start|>user\ny";
    struct message message = {"user", marks, sizeof marks - 1};
    assert_false(comes_back(&message, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_node_is_its_part_of_the_template),
        TEST(what_is_left_out_is_counted),
        TEST(the_longest_path_counts_the_instruction_the_end_of_turn_and_the_reward_token),
        TEST(preferences_keep_no_critiques_and_drop_their_own_long_paths),
        TEST(a_conversation_is_one_path_whose_target_is_the_last_message),
        TEST(a_file_of_critiques_is_one_though_its_first_pairs_lost_theirs),
        TEST(a_failure_names_file_and_line),
        TEST(a_prompt_is_read_back_from_its_tokens),
        TEST(a_text_that_holds_the_templates_marks_is_not_taken_apart_wrongly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
