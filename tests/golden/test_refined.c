/* The filter, rank, none and summarise against a plain Python oracle on 1,000 random candidate sets. Golden file: make_refine.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"
#include "dataset/encode.h"
#include "dataset/refine.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/scratch.h"

enum { CASES = 1000, MOST = 16 };

struct side { struct candidate candidate[MOST], summary[MOST]; float quality[MOST]; int32_t n, k; };
struct golden {
    int64_t number;
    json_t *json, *want;
    struct encoder *encoder;
    struct candidate_record record;
    struct side side[2];
    struct token_list memory[2 + 4 * MOST + 1];     /* every node's tokens */
    int n_nodes;
};

static void must(int status)
{
    if (status != OK)
        fail_msg("%s", trace_sentence());
}

static int64_t number(json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }

/* ---- reading --------------------------------------------------------------------------------------------------------------------------------- */

static struct tokens node(struct golden *g, json_t *text)
{
    struct token_list *list = &g->memory[g->n_nodes++];
    list->n = 0;
    assert_true(g->n_nodes <= (int)(sizeof g->memory / sizeof *g->memory));
    must(encode_critique(g->encoder, json_string_value(text), json_string_length(text), list));
    return (struct tokens){list->token, json_string_length(text) > 0 ? list->n : 0};
}

static float score_of(json_t *value) { return json_is_null(value) ? NAN : (float)json_number_value(value); }

static int32_t read_list(struct golden *g, json_t *from, bool scored, struct candidate *out)
{
    size_t i;
    json_t *one;
    assert_true(json_array_size(from) <= MOST);
    json_array_foreach(from, i, one) {
        bool cut = json_integer_value(json_array_get(one, scored ? 2 : 1)) != 0;
        out[i] = (struct candidate){.text = node(g, json_array_get(one, 0)), .judge_score = scored ? score_of(json_array_get(one, 1)) : NAN, .finish = cut ? FINISH_LIMIT : FINISH_STOP};
    }
    return (int32_t)json_array_size(from);
}

static void read_side(struct golden *g, int side)
{
    struct side *s = &g->side[side];
    json_t *quality = json_array_get(json_object_get(g->json, "qualities"), (size_t)side);
    s->n = read_list(g, json_array_get(json_object_get(g->json, "candidates"), (size_t)side), true, s->candidate);
    s->k = read_list(g, json_array_get(json_object_get(g->json, "summaries"), (size_t)side), false, s->summary);
    for (int32_t i = 0; i < s->n; i++)
        s->quality[i] = score_of(json_array_get(quality, (size_t)i));
    g->record.response[side] = node(g, json_array_get(json_object_get(g->json, "responses"), (size_t)side));
    g->record.n_candidates[side] = s->n;
    g->record.candidate[side] = s->candidate;
}

static void read_case(struct golden *g)
{
    g->n_nodes = 0;
    g->want = json_object_get(g->json, "want");
    g->record.prompt = node(g, json_object_get(g->json, "prompt"));
    for (int side = 0; side < 2; side++)
        read_side(g, side);
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------------------------- */

static void expect_list(const struct golden *g, const char *what, const int32_t *list, int32_t n, json_t *wanted)
{
    bool equal = (size_t)n == json_array_size(wanted);
    for (int32_t i = 0; equal && i < n; i++)
        equal = list[i] == json_integer_value(json_array_get(wanted, (size_t)i));
    if (!equal)
        fail_msg("case %lld, %s: %d of ours differ from %s", (long long)g->number, what, n, json_dumps(wanted, 0));
}

static void expect_states(const struct golden *g, const char *what, const int64_t *state, json_t *wanted)
{
    assert_int_equal(json_array_size(wanted), N_CRITIQUE_STATES);
    for (int i = 0; i < N_CRITIQUE_STATES; i++)
        if (state[i] != json_integer_value(json_array_get(wanted, (size_t)i)))
            fail_msg("case %lld, %s: %lld %s, expected %s", (long long)g->number, what, (long long)state[i], critique_state_name((enum critique_state)i), json_dumps(wanted, 0));
}

static void check_filter(struct golden *g)
{
    json_t *scored = json_object_get(g->want, "scored");
    struct pair_filtered f = refine_filter(&g->record, strtod(json_string_value(json_object_get(g->json, "min_scored")), NULL));
    const char *verdict = json_string_value(json_object_get(g->want, "verdict"));
    if (strcmp(pair_verdict_name(f.verdict), verdict) != 0)
        fail_msg("case %lld is %s, expected %s", (long long)g->number, pair_verdict_name(f.verdict), verdict);
    for (int side = 0; side < 2; side++)
        assert_int_equal(f.n_scored[side], json_integer_value(json_array_get(scored, (size_t)side)));
}

/* The texts of the list as the model is shown them. */
static int32_t n_shown(struct golden *g, const struct side *s, const int32_t *list, int32_t n)
{
    struct text text[MOST];
    struct token_list out = {0};
    int shown;
    for (int32_t i = 0; i < n; i++) {
        char *decoded;
        must(decode_critique(g->encoder, s->candidate[list[i]].text, &decoded, &text[i].n_bytes));
        text[i].bytes = decoded;
    }
    must(encode_summarise(g->encoder, text, n, (int32_t)number(g->json, "summarise_tokens"), &out, &shown));
    for (int32_t i = 0; i < n; i++)
        free((void *)(uintptr_t)text[i].bytes);
    token_list_free(&out);
    return shown;
}

static void check_orders(struct golden *g, int side, const int32_t *usable, int32_t n, json_t *want)
{
    const struct side *s = &g->side[side];
    json_t *orders = json_object_get(want, "orders"), *shown = json_object_get(want, "shown");
    assert_int_equal(json_array_size(orders), s->k);
    for (int32_t k = 0; k < s->k; k++) {
        int32_t order[MOST];
        memcpy(order, usable, (size_t)n * sizeof *order);
        refine_permutation((uint64_t)number(g->json, "seed"), &g->record, side, (uint32_t)k, order, n);
        expect_list(g, "an order", order, n, json_array_get(orders, (size_t)k));
        if (n_shown(g, s, order, n) != json_integer_value(json_array_get(shown, (size_t)k)))
            fail_msg("case %lld, call %d: not as many critiques are shown as expected", (long long)g->number, k);
    }
}

static int32_t check_rank(struct golden *g, int side, const int32_t *usable, int32_t n, json_t *want)
{
    const struct side *s = &g->side[side];
    int32_t list[MOST];
    memcpy(list, usable, (size_t)n * sizeof *list);
    assert_int_equal(refine_ungraded(list, n, s->quality), number(want, "ungraded"));
    n = refine_keep(list, n, s->quality, s->k);
    expect_list(g, "rank", list, n, json_object_get(want, "rank"));
    return n;
}

static int32_t check_summaries(struct golden *g, int side, int64_t room, json_t *want)
{
    int32_t list[MOST];
    int64_t state[N_CRITIQUE_STATES] = {0};
    int32_t n = refine_summaries(g->side[side].summary, g->side[side].k, room, list, state);
    expect_list(g, "summaries", list, n, json_object_get(want, "summaries"));
    expect_states(g, "summaries", state, json_object_get(want, "summary_states"));
    return n;
}

enum { BY_RANK, BY_NONE, BY_SUMMARIES, N_WAYS };

static void check_side(struct golden *g, int side, int32_t n_kept[N_WAYS][2])
{
    const struct side *s = &g->side[side];
    int32_t usable[MOST];
    int64_t state[N_CRITIQUE_STATES] = {0}, room = refine_room(&g->record, side, (int32_t)number(g->json, "lead_in"), number(g->json, "max_path_tokens"));
    json_t *want = json_array_get(json_object_get(g->want, "sides"), (size_t)side);
    int32_t n = refine_usable(s->candidate, s->n, room, usable, state);
    expect_list(g, "usable", usable, n, json_object_get(want, "usable"));
    expect_states(g, "candidates", state, json_object_get(want, "states"));
    check_orders(g, side, usable, n, want);
    n_kept[BY_RANK][side] = check_rank(g, side, usable, n, want);
    n_kept[BY_SUMMARIES][side] = check_summaries(g, side, room, want);
    n_kept[BY_NONE][side] = refine_keep(usable, n, NULL, s->k);
    expect_list(g, "none", usable, n_kept[BY_NONE][side], json_object_get(want, "none"));
}

static void check_case(struct golden *g)
{
    static const char *const way[N_WAYS] = {"rank", "none", "summaries"};
    struct refine_counts counts = {0};
    int32_t n_kept[N_WAYS][2];
    check_filter(g);
    for (int side = 0; side < 2; side++)
        check_side(g, side, n_kept);
    for (int i = 0; i < N_WAYS; i++)
        assert_int_equal(refine_settle(n_kept[i], &counts), json_is_true(json_object_get(json_object_get(g->want, "written"), way[i])));
}

/* ---- the cases ------------------------------------------------------------------------------------------------------------------------------- */

static void open_encoder(struct scratch *s, struct encoder **out)
{
    struct config config;
    char backbone[600], prompt[600], *sets[] = {backbone, prompt};
    byte_tokenizer_write(s->dir);
    snprintf(backbone, sizeof backbone, "backbone.path=%s", s->dir);
    snprintf(prompt, sizeof prompt, "data.summarise_prompt=%s", scratch_write(s, "summarise.txt", "Of {critiques} make one.", 24));
    must(config_load(NULL, sets, 2, &config));
    must(encoder_open(&config, out));
}

static void all_choices_are_those_of_the_oracle(void **state)
{
    (void)state;
    struct scratch s;
    struct lines *lines;
    const char *line;
    size_t n;
    int64_t n_cases = 0;
    static struct golden g;
    scratch_make(&s);
    open_encoder(&s, &g.encoder);
    must(lines_open(TEST_SOURCE_DIR "/tests/golden/refine/cases.jsonl.gz", &lines));
    for (must(lines_next(lines, &line, &n, &g.number)); line; must(lines_next(lines, &line, &n, &g.number)), n_cases++) {
        must(json_parse(line, n, "a case", &g.json));
        read_case(&g);
        check_case(&g);
        json_decref(g.json);
    }
    assert_int_equal(n_cases, CASES);
    for (size_t i = 0; i < sizeof g.memory / sizeof *g.memory; i++)
        token_list_free(&g.memory[i]);
    lines_close(&lines);
    encoder_close(&g.encoder);
    scratch_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_choices_are_those_of_the_oracle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
