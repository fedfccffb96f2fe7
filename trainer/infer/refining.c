/* refining: see refining.h. */
#include "trainer/infer/refining.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/score_line.h"
#include "trainer/infer/forced_score.h"

static const struct config *config_of(const struct refining *r) { return r->refiner->config; }
static int mode_of(const struct refining *r) { return config_of(r)->generate.refine; }

/* ---- memory ---------------------------------------------------------------------------------------------------------------------------------- */

static int copy_tokens(struct tokens from, struct token_list *out)
{
    for (int32_t i = 0; i < from.n; i++)
        TRY(token_list_add(out, from.token[i]));
    return OK;
}

static int alloc_side(struct refining_side *s, int32_t n)
{
    size_t room = (size_t)n + 1;
    s->n = n;
    s->candidate = calloc(room, sizeof *s->candidate);
    s->text = calloc(room, sizeof *s->text);
    s->call = calloc(room, sizeof *s->call);
    s->quality = calloc(room, sizeof *s->quality);
    s->list = calloc(room, sizeof *s->list);
    s->critique = calloc(room, sizeof *s->critique);
    CHECK(s->candidate && s->text && s->call && s->quality && s->list && s->critique, "out of memory for %d critiques", n);
    return OK;
}

static void free_texts(struct refining_side *s)
{
    for (int32_t i = 0; s->text && i < s->n; i++)
        token_list_free(&s->text[i]);
    free(s->candidate);
    free(s->text);
    free(s->call);
    free(s->quality);
    free(s->list);
    free(s->critique);
    *s = (struct refining_side){.response = s->response, .n_bare = s->n_bare, .room = s->room};
}

void refining_free(struct refining **out)
{
    struct refining *r = *out;
    if (!r)
        return;
    for (int side = 0; side < 2; side++) {
        free_texts(&r->side[side]);
        token_list_free(&r->side[side].response);
    }
    token_list_free(&r->prompt);
    free(r->id);
    free(r->subset);
    free(r);
    *out = NULL;
}

/* The candidates that the filter kept may be asked about later: their tokens are copied, raw texts are not needed. */
static int copy_side(struct refining *r, const struct candidate_record *record, int side)
{
    struct refining_side *s = &r->side[side];
    const struct encoder *e = r->refiner->encoder;
    TRY(alloc_side(s, record->n_candidates[side]));
    for (int32_t i = 0; i < s->n; i++) {
        s->candidate[i] = record->candidate[side][i];
        s->candidate[i].raw = NULL;
        s->candidate[i].n_raw_bytes = 0;
        s->quality[i] = NAN;
        TRY(copy_tokens(s->candidate[i].text, &s->text[i]));
        s->candidate[i].text.token = s->text[i].token;
    }
    TRY(copy_tokens(record->response[side], &s->response));
    s->n_bare = s->response.n;
    TRY(copy_tokens((struct tokens){e->lead_in.token, e->lead_in.n}, &s->response));
    s->room = refine_room(record, side, e->lead_in.n, config_of(r)->data.max_path_tokens);
    r->from.response[side] = (struct tokens){s->response.token, s->n_bare};
    r->from.n_candidates[side] = s->n;
    r->from.candidate[side] = s->candidate;
    return OK;
}

static int copy_record(struct refining *r, const struct candidate_record *record)
{
    r->id = strdup(record->id);
    r->subset = strdup(record->subset);
    CHECK(r->id && r->subset, "out of memory for a record");
    TRY(copy_tokens(record->prompt, &r->prompt));
    r->from = (struct candidate_record){.id = r->id, .subset = r->subset, .source = record->source, .prompt = {r->prompt.token, r->prompt.n}};
    TRY(copy_side(r, record, 0));
    return copy_side(r, record, 1);
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------------------- */

static void list_side(struct refining *r, int side)
{
    struct refining_side *s = &r->side[side];
    bool graded = mode_of(r) == REFINE_RANK;
    if (graded)
        r->counts.ungraded += refine_ungraded(s->list, s->n_list, s->quality);
    s->n_list = refine_keep(s->list, s->n_list, graded ? s->quality : NULL, (int32_t)config_of(r)->data.critiques_per_response);
    refine_list(s->candidate, s->list, s->n_list, graded ? s->quality : NULL, s->critique);
    r->record.response[side] = (struct tokens){s->response.token, s->response.n};
    r->record.n_critiques[side] = s->n_list;
    r->record.critique[side] = s->critique;
}

/* What was written is a side's candidates now. */
static void take_summaries(struct refining *r, int side)
{
    struct refining_side *s = &r->side[side];
    s->n_list = refine_summaries(s->candidate, s->n, s->room, s->list, r->counts.summary);
}

static int settle(struct refining *r)
{
    r->record = (struct shard_record){.id = r->id, .subset = r->subset, .source = r->from.source, .prompt = r->from.prompt};
    for (int side = 0; side < 2; side++) {
        if (mode_of(r) == REFINE_SUMMARISE)
            take_summaries(r, side);
        list_side(r, side);
    }
    r->is_written = refine_settle(r->record.n_critiques, &r->counts);
    return r->done(r->owner, r);
}

/* ---- calls ----------------------------------------------------------------------------------------------------------------------------------- */

static int end_of_sample(struct refining *r) { return --r->n_left == 0 ? settle(r) : OK; }

static int take_grade(void *owner, const struct generator_sample *sample)
{
    const struct refining_call *call = owner;
    struct score_line line = score_line_parse(sample->text, sample->n_bytes);
    if (line.found)
        call->refining->side[call->side].quality[call->index] = (float)line.score;
    return end_of_sample(call->refining);
}

static int take_summary(void *owner, const struct generator_sample *sample)
{
    const struct refining_call *call = owner;
    struct refining_side *s = &call->refining->side[call->side];
    char *repaired;
    size_t n_bytes;
    TRY(text_repair(sample->text, sample->n_bytes, &repaired, &n_bytes));
    struct text text = text_trim((struct text){repaired, n_bytes});
    int status = text.n_bytes > 0 ? encode_critique(call->refining->refiner->encoder, text.bytes, text.n_bytes, &s->text[call->index]) : OK;
    free(repaired);
    TRY(status);
    s->candidate[call->index] = (struct candidate){.text = {s->text[call->index].token, s->text[call->index].n}, .judge_score = NAN, .finish = sample->finish};
    return end_of_sample(call->refining);
}

static struct generator_rule rule_of(const struct refining *r)
{
    const struct config *c = config_of(r);
    bool grades = mode_of(r) == REFINE_RANK;
    return (struct generator_rule){.temperature = grades ? 0.0f : (float)c->generate.temperature, .top_p = (float)c->generate.top_p, .min_p = (float)c->generate.min_p,
                                   .top_k = (int32_t)c->generate.top_k, .max_new = c->data.max_critique_tokens, .stop = c->generate.stop,
                                   .forced = grades ? r->refiner->forced : NULL, .satisfied = has_score_line};
}

/* The record's id is put in front of a refusal's sentence. */
static int submit(const struct refining *r, const struct generator_call *call)
{
    struct trace trace;
    int status = generator_submit(r->refiner->generator, call);
    if (status == OK)
        return OK;
    trace_take(&trace);
    return fail_at(__FILE__, __LINE__, status, "record %.64s: %s", r->id, trace.sentence);
}

static int ask(struct refining *r, int side, int32_t index, const struct token_list *instruction)
{
    struct refining_call *owner = &r->side[side].call[index];
    *owner = (struct refining_call){r, side, index};
    struct generator_call call = {.n_nodes = 3, .node = {r->from.prompt, r->from.response[side], {instruction->token, instruction->n}}, .first_sample = index, .n_samples = 1, .rule = rule_of(r),
                                  .done = mode_of(r) == REFINE_RANK ? take_grade : take_summary, .owner = owner};
    return submit(r, &call);
}

/* Most tokens of an instruction behind prompt and response: what the context leaves beside the answer. The cache has no say in it: where it is smaller the call is refused. */
static int64_t room_for_call(const struct refining *r, int side)
{
    return r->refiner->max_position - r->from.prompt.n - r->from.response[side].n - config_of(r)->data.max_critique_tokens;
}

/* A critique whose grading has no room stays without a quality. */
static int ask_grade(struct refining *r, int side, int32_t index)
{
    char *text;
    size_t n_bytes;
    struct token_list instruction = {0};
    const struct encoder *e = r->refiner->encoder;
    TRY(decode_critique(e, r->side[side].candidate[index].text, &text, &n_bytes));
    int status = encode_instruction(e, INSTRUCTION_RANK, text, n_bytes, &instruction);
    free(text);
    if (status == OK && instruction.n <= room_for_call(r, side)) {
        r->n_left++;
        status = ask(r, side, index, &instruction);
    }
    token_list_free(&instruction);
    return status;
}

static int ask_grades(struct refining *r, int side)
{
    for (int32_t i = 0; i < r->side[side].n_list; i++)
        TRY(ask_grade(r, side, r->side[side].list[i]));
    return OK;
}

static int decode_list(const struct refining *r, int side, struct text *out)
{
    const struct refining_side *s = &r->side[side];
    for (int32_t i = 0; i < s->n_list; i++) {
        char *text;
        TRY(decode_critique(r->refiner->encoder, s->candidate[s->list[i]].text, &text, &out[i].n_bytes));
        out[i].bytes = text;
    }
    return OK;
}

/* The k-th call of a side over its critiques in a fresh order. Texts stand in the order of the list. */
static int prepare_summary(struct refining *r, int side, int32_t k, const struct text *text, struct token_list *instruction, bool *shown)
{
    int n_shown = 0;
    const struct refining_side *s = &r->side[side];
    size_t n = (size_t)s->n_list;
    int32_t *order = malloc(n * sizeof *order);
    struct text *shuffled = malloc(n * sizeof *shuffled);
    int64_t room = room_for_call(r, side);
    int status = order && shuffled ? OK : FAIL("out of memory for %zu critiques", n);
    for (size_t i = 0; status == OK && i < n; i++)
        order[i] = (int32_t)i;
    if (status == OK) {
        refine_permutation((uint64_t)config_of(r)->run.seed, &r->from, side, (uint32_t)k, order, s->n_list);
        for (size_t i = 0; i < n; i++)
            shuffled[i] = text[order[i]];
        status = encode_summarise(r->refiner->encoder, shuffled, s->n_list, (int32_t)(room < INT32_MAX ? room : INT32_MAX), instruction, &n_shown);
    }
    free(order);
    free(shuffled);
    r->counts.not_shown += s->n_list - n_shown;
    *shown = n_shown > 0;
    return status;
}

/* All instructions are made before the side's candidates give place to its summaries. */
static int ask_summaries(struct refining *r, int side, const struct text *text)
{
    struct refining_side *s = &r->side[side];
    int32_t k = s->n_list > 0 ? (int32_t)config_of(r)->data.critiques_per_response : 0, n = 0;
    struct token_list *instruction = calloc((size_t)k + 1, sizeof *instruction);
    int status = instruction ? OK : FAIL("out of memory for %d summaries", k);
    for (int32_t i = 0; status == OK && i < k; i++) {
        bool shown;
        status = prepare_summary(r, side, i, text, &instruction[n], &shown);
        n += status == OK && shown;
    }
    free_texts(s);
    if (status == OK)
        status = alloc_side(s, n);
    r->n_left += n;
    for (int32_t i = 0; status == OK && i < n; i++)
        status = ask(r, side, i, &instruction[i]);
    for (int32_t i = 0; instruction && i < k; i++)
        token_list_free(&instruction[i]);
    free(instruction);
    return status;
}

static int summarise(struct refining *r, int side)
{
    int32_t n = r->side[side].n_list;
    struct text *text = calloc((size_t)n + 1, sizeof *text);
    CHECK(text, "out of memory for %d critiques", n);
    int status = decode_list(r, side, text);
    if (status == OK)
        status = ask_summaries(r, side, text);
    for (int32_t i = 0; i < n; i++)
        free((void *)(uintptr_t)text[i].bytes);
    free(text);
    return status;
}

/* A guard is held in n_left while calls are made, so that the record settles once. */
static int refine(struct refining *r)
{
    r->n_left = 1;
    for (int side = 0; side < 2; side++) {
        struct refining_side *s = &r->side[side];
        s->n_list = refine_usable(s->candidate, s->n, s->room, s->list, r->counts.critique);
        if (mode_of(r) == REFINE_RANK)
            TRY(ask_grades(r, side));
        if (mode_of(r) == REFINE_SUMMARISE)
            TRY(summarise(r, side));
    }
    return end_of_sample(r);
}

int refining_submit(const struct refiner *refiner, const struct candidate_record *record, int (*done)(void *owner, struct refining *refining), void *owner, struct refining **out)
{
    struct refining *r = calloc(1, sizeof *r);
    CHECK(r, "out of memory for a record");
    *out = r;
    r->refiner = refiner;
    r->done = done;
    r->owner = owner;
    TRY(copy_record(r, record));
    r->filtered = refine_filter(&r->from, refiner->config->generate.min_scored);
    r->counts.pair[r->filtered.verdict]++;
    return r->filtered.verdict == PAIR_KEPT ? refine(r) : done(owner, r);
}
