#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "dataset/encode.h"
#include "dataset/score_line.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/scratch.h"
#include "tests/tools/toy_lesson.h"

enum { LESSONS = 2000 };

/* ---- lessons and calls ----------------------------------------------------------------------------------------------------------------------- */

/* The toy's own config over a byte tokenizer; its paths begin at the source folder. */
static struct encoder *open_encoder(struct scratch *s)
{
    char backbone[600];
    struct config config;
    struct encoder *e = NULL;
    scratch_make(s);
    byte_tokenizer_write(s->dir);
    snprintf(backbone, sizeof backbone, "backbone.path=%s", s->dir);
    char *sets[] = {backbone};
    assert_int_equal(chdir(TEST_SOURCE_DIR), 0);
    if (config_load("configs/toy/run.yaml", sets, 1, &config) != OK || encoder_open(&config, &e) != OK)
        fail_msg("%s", trace_sentence());
    return e;
}

static struct message message(const char *role, const char *text) { return (struct message){role, text, strlen(text)}; }

/* As train encodes a conversation: what comes before the last message, and that message. */
static void encode_taught(const struct encoder *e, const struct toy_lesson *l, struct token_list *out)
{
    char *instruction;
    assert_int_equal(toy_lesson_instruction(l, e->instruction, &instruction), OK);
    const struct message m[] = {message("user", l->question), message("assistant", l->answer), message("user", instruction)};
    assert_int_equal(encode_prompt(e, m, 3, out), OK);
    assert_int_equal(encode_critique(e, l->target, strlen(l->target), out), OK);
    free(instruction);
}

/* As critique, refine and score ask: prompt, bare response and instruction are nodes, and what the model writes is the last. */
static void encode_asked(const struct encoder *e, const struct toy_lesson *l, struct token_list *out)
{
    const struct message m = message("user", l->question);
    struct text shown[TOY_CANDIDATES];
    int n_shown = 0;
    for (int i = 0; i < l->n_critiques; i++)
        shown[i] = (struct text){l->critique[i], strlen(l->critique[i])};
    assert_int_equal(encode_prompt(e, &m, 1, out), OK);
    assert_int_equal(encode_bare_response(e, l->answer, strlen(l->answer), out), OK);
    if (l->instruction == INSTRUCTION_SUMMARISE)
        assert_int_equal(encode_summarise(e, shown, l->n_critiques, 1000, out, &n_shown), OK);
    else
        assert_int_equal(encode_instruction(e, l->instruction, l->n_critiques ? shown[0].bytes : NULL, l->n_critiques ? shown[0].n_bytes : 0, out), OK);
    assert_int_equal(n_shown, l->instruction == INSTRUCTION_SUMMARISE ? l->n_critiques : 0);
    assert_int_equal(encode_critique(e, l->target, strlen(l->target), out), OK);
}

static void a_lesson_has_the_tokens_of_the_call_that_it_is_for(void **state)
{
    (void)state;
    struct scratch s;
    struct encoder *e = open_encoder(&s);
    int n[N_INSTRUCTIONS] = {0};
    for (int i = 0; i < LESSONS; i++) {
        struct toy_lesson l = toy_lesson(i);
        struct token_list taught = {0}, asked = {0};
        if (l.is_answer)
            continue;
        encode_taught(e, &l, &taught);
        encode_asked(e, &l, &asked);
        assert_int_equal(taught.n, asked.n);
        assert_memory_equal(taught.token, asked.token, (size_t)asked.n * sizeof *asked.token);
        token_list_free(&taught);
        token_list_free(&asked);
        n[l.instruction]++;
    }
    for (int i = INSTRUCTION_CRITIQUE; i <= INSTRUCTION_RANK; i++)
        assert_true(n[i] >= LESSONS / 20);
    encoder_close(&e);
    scratch_remove(&s);
}

/* ---- what is said ---------------------------------------------------------------------------------------------------------------------------- */

static bool ends_with(struct text t, const char *end) { return t.n_bytes >= strlen(end) && memcmp(t.bytes + t.n_bytes - strlen(end), end, strlen(end)) == 0; }

static void a_judgement_ends_with_a_score_that_fits_its_verdict(void **state)
{
    (void)state;
    int n_good = 0, n_false = 0, n = 0;
    for (int i = 0; i < LESSONS; i++) {
        struct toy_lesson l = toy_lesson(i);
        if (l.is_answer || l.instruction != INSTRUCTION_JUDGE)
            continue;
        struct score_line line = score_line_parse(l.target, strlen(l.target));
        struct text critique = score_line_critique(l.target, line);
        bool good = ends_with(critique, ": good"), sorted = l.answer[0] < l.answer[1] && l.answer[1] < l.answer[2] && l.answer[2] < l.answer[3];
        assert_true(line.found && good != ends_with(critique, ": wrong"));
        assert_true(good ? line.score >= 8 : line.score <= 3);
        n_good += good;
        n_false += good != sorted;
        n++;
    }
    assert_in_range(n_good * 100 / n, 40, 60);
    assert_in_range(n_false * 100 / n, 10, 20);
}

/* What a critique says of the neighbours of an answer that is longer than three: how many it calls falling, and how many of all it describes falsely. */
static void read_critique(const char *critique, const char *answer, int *n_blamed, int *n_false)
{
    *n_blamed = *n_false = 0;
    for (int i = 0; i + 1 < TOY_DIGITS; i++) {
        const char pair[] = {answer[i], answer[i + 1], ' ', 0}, *at = strstr(critique, pair);
        assert_non_null(at);
        bool blames = strncmp(at + 3, "down", 4) == 0 || strncmp(at + 3, "no", 2) == 0;
        assert_true(blames || strncmp(at + 3, "up", 2) == 0 || strncmp(at + 3, "ok", 2) == 0);
        *n_blamed += blames;
        *n_false += blames != (answer[i] > answer[i + 1]);
    }
}

static void a_rating_is_high_where_every_neighbour_is_described_truly(void **state)
{
    (void)state;
    int n[3] = {0};
    for (int i = 0; i < LESSONS; i++) {
        struct toy_lesson l = toy_lesson(i);
        int n_blamed, n_false;
        if (l.is_answer || l.instruction != INSTRUCTION_RANK)
            continue;
        read_critique(l.critique[0], l.answer, &n_blamed, &n_false);
        struct text critique = {l.critique[0], strlen(l.critique[0])};
        assert_true(ends_with(critique, n_blamed ? ": wrong" : ": good"));
        assert_int_equal(score_line_parse(l.target, strlen(l.target)).score, n_false == 0 ? 9 : n_false == 1 ? 2 : 5);
        n[n_false]++;
    }
    assert_true(n[0] > 300 && n[1] > 200 && n[2] > 30);
}

static void a_summary_is_true(void **state)
{
    (void)state;
    for (int i = 0; i < LESSONS; i++) {
        struct toy_lesson l = toy_lesson(i);
        int n_blamed, n_false;
        if (l.is_answer || l.instruction != INSTRUCTION_SUMMARISE)
            continue;
        read_critique(l.target, l.answer, &n_blamed, &n_false);
        assert_int_equal(n_false, 0);
    }
}

/* ---- questions ------------------------------------------------------------------------------------------------------------------------------- */

static unsigned set_of(const struct toy_question *q)
{
    unsigned set = 0;
    for (int i = 0; i < TOY_DIGITS; i++)
        set |= 1u << q->sorted[i];
    return set;
}

static void a_set_of_digits_occurs_in_one_file_only(void **state)
{
    (void)state;
    int file_of[1 << 10] = {0}, n_sets[3] = {0};
    for (int i = 0; i < 3 * LESSONS; i++) {
        struct toy_draw d = toy_draw((enum toy_file)(i % 3), i);
        struct toy_question q = toy_question(&d);
        int *file = &file_of[set_of(&q)];
        n_sets[i % 3] += *file == 0;
        assert_true(*file == 0 || *file == 1 + i % 3);
        *file = 1 + i % 3;
    }
    assert_int_equal(n_sets[0] + n_sets[1] + n_sets[2], 210);       /* 4 of 10 digits */
    assert_true(n_sets[0] > n_sets[1] && n_sets[1] > n_sets[2] && n_sets[2] > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lesson_has_the_tokens_of_the_call_that_it_is_for),
        cmocka_unit_test(a_judgement_ends_with_a_score_that_fits_its_verdict),
        cmocka_unit_test(a_rating_is_high_where_every_neighbour_is_described_truly),
        cmocka_unit_test(a_summary_is_true),
        cmocka_unit_test(a_set_of_digits_occurs_in_one_file_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
