/* Candidates from JSON lines and from an outside engine's answers, with a tokenizer whose tokens are bytes. */
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
#include "dataset/import_candidates.h"
#include "dataset/encode.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/scratch.h"

static struct scratch scratch;
static struct config config;
static struct import_candidates_counts counts;
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

static void must(int status)
{
    if (status != OK)
        fail_msg("%s", trace_sentence());
}

static void says(int status, const char *words)
{
    assert_int_equal(status, FAILED);
    if (!strstr(trace_sentence(), words))
        fail_msg("'%s' does not say '%s'", trace_sentence(), words);
    trace_clear();
    assert_false(candidates_is_set(folder));
}

static int import(const char *pairs, const char *answers)
{
    char path[512], *other = NULL;
    if (answers)
        other = strdup(scratch_write(&scratch, "answers.jsonl", answers, strlen(answers)));
    snprintf(path, sizeof path, "%s", scratch_write(&scratch, "in.jsonl", pairs, strlen(pairs)));
    int status = import_candidates(&config, path, other, folder, &counts);
    free(other);
    return status;
}

static struct candidates *open_set(void)
{
    struct candidates *c = NULL;
    must(candidates_open(folder, &c));
    return c;
}

/* Tokens are bytes, but for the special ones, which are written as < > |. */
static const char *spell(struct tokens tokens)
{
    static char text[8192];
    for (int32_t i = 0; i < tokens.n; i++)
        text[i] = tokens.token[i] == BYTE_TURN_START ? '<' : tokens.token[i] == BYTE_TURN_END ? '>' : tokens.token[i] == BYTE_END_OF_TEXT ? '|' : (char)tokens.token[i];
    text[tokens.n] = 0;
    return text;
}

static void is(const struct candidate *c, const char *text, const char *raw, float score, enum finish finish)
{
    assert_string_equal(spell(c->text), text);
    assert_string_equal(c->raw, raw);
    assert_true(isnan(score) ? isnan(c->judge_score) : c->judge_score == score);
    assert_int_equal(c->finish, finish);
}

#define SIDE(text, critiques) "{\"text\": \"" text "\", \"critiques\": [" critiques "]}"
#define PAIR(chosen, rejected) "{\"prompt\": \"Q?\", \"chosen\": " chosen ", \"rejected\": " rejected "}\n"

/* ---- critiques in the lines ------------------------------------------------------------------------------------------------------------------ */

static void nodes_stand_without_any_instruction(void **state)
{
    (void)state;
    struct candidate_record r;
    must(import("{\"id\": \"a1\", \"subset\": \"s\", \"prompt\": \"Q?\", \"chosen\": " SIDE("yes", "\"ok\"") ", \"rejected\": \"no\"}\n", NULL));
    struct candidates *c = open_set();
    must(candidates_read(c, 0, &r));
    assert_string_equal(r.id, "a1");
    assert_string_equal(r.subset, "s");
    assert_string_equal(spell(r.prompt), "<user\nQ?>\n<assistant\n");
    assert_string_equal(spell(r.response[0]), "yes>");
    assert_string_equal(spell(r.response[1]), "no>");
    assert_int_equal(r.n_candidates[1], 0);
    assert_int_equal(c->meta.n_lead_in, 0);
    assert_string_equal(c->meta.judge, "");
    candidates_close(&c);
}

static void a_critique_written_elsewhere_is_read_as_a_judges(void **state)
{
    (void)state;
    struct candidate_record r;
    must(import(PAIR(SIDE("yes", "\" good \\n\\nScore: 8\\n\", \"no score\", \"Score: 3\", {\"text\": \"twice\\nScore: 2\", \"judge_score\": 9.5}"),
                     SIDE("no", "{\"text\": \"cut\", \"finish\": \"limit\"}")), NULL));
    struct candidates *c = open_set();
    must(candidates_read(c, 0, &r));
    assert_int_equal(r.n_candidates[0], 4);
    is(&r.candidate[0][0], "good>", " good \n\nScore: 8\n", 8, FINISH_STOP);
    is(&r.candidate[0][1], "no score>", "no score", NAN, FINISH_STOP);
    is(&r.candidate[0][2], "", "Score: 3", 3, FINISH_STOP);
    is(&r.candidate[0][3], "twice>", "twice\nScore: 2", 9.5f, FINISH_STOP);
    is(&r.candidate[1][0], "cut>", "cut", NAN, FINISH_LIMIT);
    assert_int_equal(counts.candidates, 5);
    assert_int_equal(counts.scored, 3);
    assert_int_equal(counts.cut, 1);
    assert_int_equal(counts.empty, 1);
    candidates_close(&c);
}

static void a_critique_with_its_raw_text_is_kept_as_it_is(void **state)
{
    (void)state;
    struct candidate_record r;
    must(import(PAIR(SIDE("yes", "{\"text\": \"good\\nScore: 8\", \"raw\": \"other\\nScore: 4\"}, {\"text\": \"\", \"raw\": \"\", \"judge_score\": 1}"), SIDE("no", "")), NULL));
    struct candidates *c = open_set();
    must(candidates_read(c, 0, &r));
    is(&r.candidate[0][0], "good\nScore: 8>", "other\nScore: 4", NAN, FINISH_STOP);
    is(&r.candidate[0][1], "", "", 1, FINISH_STOP);
    candidates_close(&c);
}

static void keep_score_text_leaves_the_line(void **state)
{
    (void)state;
    struct candidate_record r;
    config.generate.keep_score_text = true;
    must(import(PAIR(SIDE("yes", "\" good\\nScore: 8\\n\""), "\"no\""), NULL));
    struct candidates *c = open_set();
    must(candidates_read(c, 0, &r));
    is(&r.candidate[0][0], "good\nScore: 8>", " good\nScore: 8\n", 8, FINISH_STOP);
    candidates_close(&c);
}

static void what_cannot_be_candidates_is_refused_with_its_line(void **state)
{
    (void)state;
    says(import(PAIR(SIDE("a", "\"x\""), "\"b\"") PAIR(SIDE("a", "{\"text\": \"x\", \"judge_score\": 11}"), "\"b\""), NULL), "in.jsonl, line 2: a judge_score is 11, not between 1 and 10");
    says(import(PAIR(SIDE("a", "{\"text\": \"x\", \"finish\": \"length\"}"), "\"b\""), NULL), "in.jsonl, line 1: \"finish\" is \"length\", not \"stop\" or \"limit\"");
    says(import(PAIR(SIDE("a", "{\"raw\": \"x\"}"), "\"b\""), NULL), "in.jsonl, line 1: \"text\" is missing");
    says(import("{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}]}\n", NULL), "in.jsonl, line 1: this record is a conversation");
    says(import(PAIR("\"a\"", "\"b\""), NULL), "no critique is there for the 1 records");
    says(import("", NULL), "holds no record");
}

static void pairs_without_a_common_prompt_are_counted_and_keep_their_number(void **state)
{
    (void)state;
    struct candidate_record r;
    must(import("{\"chosen\": \"\\n\\nHuman: a\\n\\nAssistant: b\", \"rejected\": \"\\n\\nHuman: c\\n\\nAssistant: b\"}\n" PAIR(SIDE("yes", "\"ok\""), "\"no\""), NULL));
    assert_int_equal(counts.diverging, 1);
    assert_int_equal(counts.kept, 1);
    struct candidates *c = open_set();
    must(candidates_read(c, 0, &r));
    assert_int_equal(r.source, 1);
    candidates_close(&c);
}

/* ---- answers --------------------------------------------------------------------------------------------------------------------------------- */

#define CHOICE(content, finish) "{\"message\": {\"role\": \"assistant\", \"content\": " content "}, \"finish_reason\": \"" finish "\"}"
#define ANSWER(id, choices) "{\"custom_id\": \"" id "\", \"response\": {\"status_code\": 200, \"body\": {\"choices\": [" choices "]}}, \"error\": null}\n"
#define TWO_PAIRS PAIR(SIDE("yes", "\"not looked at\""), "\"no\"") PAIR("\"a\"", "\"b\"")

static void answers_come_in_any_order_and_any_number_of_calls(void **state)
{
    (void)state;
    struct candidate_record r;
    must(import(TWO_PAIRS, ANSWER("1-1-0", CHOICE("\"poor\\nScore: 2\"", "stop")) "\n" ANSWER("0-0-2", CHOICE("\"third\"", "length")) ANSWER("1-0-0", CHOICE("\"fair\\nScore: 6\"", "stop"))
                ANSWER("0-1-0", CHOICE("\"bad\\nScore: 1\"", "stop")) ANSWER("0-0-0", CHOICE("\"first\\nScore: 9\"", "stop") ", " CHOICE("\"second\\nScore: 8\"", "stop"))));
    assert_int_equal(counts.candidates, 6);
    assert_int_equal(counts.unanswered + counts.failed, 0);
    struct candidates *c = open_set();
    must(candidates_read(c, 0, &r));
    assert_int_equal(r.n_candidates[0], 3);
    is(&r.candidate[0][0], "first>", "first\nScore: 9", 9, FINISH_STOP);
    is(&r.candidate[0][1], "second>", "second\nScore: 8", 8, FINISH_STOP);
    is(&r.candidate[0][2], "third>", "third", NAN, FINISH_LIMIT);
    is(&r.candidate[1][0], "bad>", "bad\nScore: 1", 1, FINISH_STOP);
    must(candidates_read(c, 1, &r));
    is(&r.candidate[1][0], "poor>", "poor\nScore: 2", 2, FINISH_STOP);
    assert_int_equal(strlen(c->meta.judge), 16);
    candidates_close(&c);
}

static void missing_and_failed_answers_are_counted(void **state)
{
    (void)state;
    struct candidate_record r;
    must(import(TWO_PAIRS, ANSWER("0-0-0", CHOICE("\"x\\nScore: 9\"", "stop") ", " CHOICE("null", "stop") ", " CHOICE("\"y\"", "content_filter") ", {}")
                "{\"custom_id\": \"0-1-0\", \"response\": null, \"error\": {\"message\": \"too long\"}}\n{\"custom_id\": \"1-0-0\", \"response\": {\"status_code\": 500, \"body\": {}}}\n"));
    assert_int_equal(counts.candidates, 1);
    assert_int_equal(counts.failed, 5);
    assert_int_equal(counts.unanswered, 1);
    assert_int_equal(counts.kept, 2);
    struct candidates *c = open_set();
    must(candidates_read(c, 1, &r));
    assert_int_equal(r.n_candidates[0] + r.n_candidates[1], 0);
    candidates_close(&c);
}

static void bad_answers_are_refused_with_their_line(void **state)
{
    (void)state;
#define GOOD ANSWER("0-0-0", CHOICE("\"x\"", "stop"))
    static const char *const ids[] = {"", "0-0", "0-0-0-0", "0-2-0", "-1-0-0", "00-0-0", "0-0-0 ", "0-0-a", "0--0", "+1-0-0", "99999999999999999999-0-0"};
    char line[256], answers[512];
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        snprintf(answers, sizeof answers, "%s{\"custom_id\": \"%s\"}\n", GOOD, ids[i]);
        snprintf(line, sizeof line, "answers.jsonl, line 2: the custom_id '%.60s' is not", ids[i]);
        says(import(TWO_PAIRS, answers), line);
    }
    says(import(TWO_PAIRS, GOOD "\n" ANSWER("1-0-0", CHOICE("\"x\"", "stop")) GOOD), "answers.jsonl, line 4: the custom_id 0-0-0 was there in line 1 already");
    says(import(TWO_PAIRS, ANSWER("2-1-0", CHOICE("\"x\"", "stop")) GOOD), "answers.jsonl, line 1: the custom_id 2-1-0 names a record that is not there");
    says(import(TWO_PAIRS, GOOD "{\"custom_id\": 7}\n"), "answers.jsonl, line 2: \"custom_id\" must be a string");
    says(import(TWO_PAIRS, GOOD "[]\n"), "answers.jsonl, line 2: expected a JSON object");
    says(import(TWO_PAIRS, GOOD "{\"custom_id\": \n"), "answers.jsonl, line 2: not valid JSON");
    says(import(TWO_PAIRS, "{\"custom_id\": \"0-0-0\", \"response\": {\"status_code\": 200, \"body\": {}}}\n"), "answers.jsonl, line 1: \"choices\" is missing");
    says(import(TWO_PAIRS, "\n \n"), "answers.jsonl holds no answer");
    says(import(TWO_PAIRS, ""), "answers.jsonl holds no answer");
    says(import(TWO_PAIRS, "\x1f\x8b\x08"), "answers.jsonl is packed by gzip");
    says(import(TWO_PAIRS, ANSWER("0-0-0", "")), "no critique is there for the 2 records");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nodes_stand_without_any_instruction),
        TEST(a_critique_written_elsewhere_is_read_as_a_judges),
        TEST(a_critique_with_its_raw_text_is_kept_as_it_is),
        TEST(keep_score_text_leaves_the_line),
        TEST(what_cannot_be_candidates_is_refused_with_its_line),
        TEST(pairs_without_a_common_prompt_are_counted_and_keep_their_number),
        TEST(answers_come_in_any_order_and_any_number_of_calls),
        TEST(missing_and_failed_answers_are_counted),
        TEST(bad_answers_are_refused_with_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
