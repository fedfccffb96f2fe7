/* judge: see judge.h. */
#include "trainer/infer/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/score_line.h"

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

int score_line_force(const struct tokenizer *t, struct forced_line *out)
{
    char text[8];
    static const char label[] = "\n" SCORE_LINE_LABEL;
    size_t n_label = strlen(label);
    *out = (struct forced_line){.n_choices = SCORE_MOST};
    while (n_label > 0 && label[n_label - 1] == ' ')        /* byte-level vocabularies put a space to the word that follows */
        n_label--;
    TRY(tokenizer_encode(t, label, n_label, TOKENIZER_CONTINUE, &out->begin));
    for (int i = 0; i < SCORE_MOST; i++) {
        int n = snprintf(text, sizeof text, " %d", i + SCORE_LEAST);
        TRY(tokenizer_encode(t, text, (size_t)n, TOKENIZER_CONTINUE, &out->choice[i]));
    }
    return OK;
}

void score_line_force_free(struct forced_line *f)
{
    token_list_free(&f->begin);
    for (int i = 0; i < f->n_choices; i++)
        token_list_free(&f->choice[i]);
}

static bool has_score(const char *text, size_t n_bytes) { return score_line_parse(text, n_bytes).found; }

int judge_open(const struct config *config, const struct encoder *encoder, struct generator *generator, struct judge *out)
{
    *out = (struct judge){.config = config, .encoder = encoder, .generator = generator};
    out->rule = (struct generator_rule){.temperature = (float)config->generate.temperature, .top_p = (float)config->generate.top_p, .min_p = (float)config->generate.min_p,
                                        .top_k = (int32_t)config->generate.top_k, .max_new = config->data.max_critique_tokens, .stop = config->generate.stop, .satisfied = has_score};
    if (!config->generate.force_score)
        return OK;
    out->rule.forced = &out->forced;
    return score_line_force(encoder->tokenizer, &out->forced);
}

void judge_close(struct judge *j) { score_line_force_free(&j->forced); }

/* ---- what the model wrote -------------------------------------------------------------------------------------------------------------------- */

/* The critique is encoded anew: it will stand behind another instruction than it was written under. */
static int fill(const struct judged *d, const char *raw, size_t n_bytes, struct token_list *tokens, struct candidate *c)
{
    struct score_line line = score_line_parse(raw, n_bytes);
    struct text text = d->judge->config->generate.keep_score_text ? text_trim((struct text){raw, n_bytes}) : score_line_critique(raw, line);
    c->raw = raw;
    c->n_raw_bytes = n_bytes;
    c->judge_score = line.found ? (float)line.score : NAN;
    if (text.n_bytes > 0)
        TRY(encode_critique(d->judge->encoder, text.bytes, text.n_bytes, tokens));
    c->text = (struct tokens){tokens->token, tokens->n};
    return OK;
}

static int end_of_sample(struct judged *d) { return --d->n_left == 0 ? d->done(d->owner, d) : OK; }

static int take(struct judged *d, int side, const struct generator_sample *sample)
{
    char *raw;
    size_t n_bytes;
    struct candidate *c = &d->candidate[side][sample->index];
    TRY(text_repair(sample->text, sample->n_bytes, &raw, &n_bytes));
    c->finish = sample->finish;
    int status = fill(d, raw, n_bytes, &d->text[side][sample->index], c);
    if (status != OK)
        free(raw);
    return status == OK ? end_of_sample(d) : status;
}

static int take_chosen(void *owner, const struct generator_sample *sample) { return take(owner, 0, sample); }
static int take_rejected(void *owner, const struct generator_sample *sample) { return take(owner, 1, sample); }

/* ---- records --------------------------------------------------------------------------------------------------------------------------------- */

void judged_free(struct judged **out)
{
    struct judged *d = *out;
    if (!d)
        return;
    token_list_free(&d->prompt);
    for (int side = 0; side < 2; side++) {
        token_list_free(&d->response[side]);
        for (int64_t i = 0; d->text[side] && d->candidate[side] && i < d->judge->config->generate.candidates; i++) {
            token_list_free(&d->text[side][i]);
            free((void *)(uintptr_t)d->candidate[side][i].raw);
        }
        free(d->text[side]);
        free(d->candidate[side]);
    }
    free(d->id);
    free(d->subset);
    free(d);
    *out = NULL;
}

static bool same(const struct token_list *a, const struct token_list *b) { return a->n == b->n && memcmp(a->token, b->token, (size_t)a->n * sizeof *a->token) == 0; }

/* The nodes, and whether there is anything to ask. */
static int encode(struct judged *d, const struct pair_record *r, int32_t n_instruction)
{
    const struct encoder *e = d->judge->encoder;
    if (r->diverges) {
        d->skip = JUDGE_DIVERGES;
        return OK;
    }
    TRY(encode_prompt(e, r->message, r->n_messages, &d->prompt));
    for (int side = 0; side < 2; side++) {
        TRY(encode_bare_response(e, r->response[side].text, r->response[side].n_bytes, &d->response[side]));
        int64_t n_path = d->prompt.n + d->response[side].n + n_instruction;
        if (generator_room(d->judge->generator, n_path, &d->judge->rule) <= 0)
            d->skip = JUDGE_NO_ROOM;
    }
    if (same(&d->response[0], &d->response[1]))
        d->skip = JUDGE_EQUAL;
    return OK;
}

static int make(const struct judge *judge, const struct pair_record *r, struct judged **out)
{
    size_t n = (size_t)judge->config->generate.candidates;
    struct judged *d = calloc(1, sizeof *d);
    CHECK(d, "out of memory for a record");
    *out = d;
    d->judge = judge;
    d->id = strdup(r->id);
    d->subset = strdup(r->subset);
    CHECK(d->id && d->subset, "out of memory for a record");
    for (int side = 0; side < 2; side++) {
        d->text[side] = calloc(n, sizeof *d->text[side]);
        d->candidate[side] = calloc(n, sizeof *d->candidate[side]);
        CHECK(d->text[side] && d->candidate[side], "out of memory for %zu candidates", n);
    }
    return OK;
}

static int ask(struct judged *d, const struct token_list *instruction)
{
    int32_t n = (int32_t)d->judge->config->generate.candidates;
    d->n_left = 2 * n;
    for (int side = 0; side < 2; side++) {
        struct generator_call call = {.n_nodes = 3, .node = {{d->prompt.token, d->prompt.n}, {d->response[side].token, d->response[side].n}, {instruction->token, instruction->n}},
                                      .n_samples = n, .rule = d->judge->rule, .done = side ? take_rejected : take_chosen, .owner = d};
        d->record.n_candidates[side] = n;
        TRY(generator_submit(d->judge->generator, &call));
    }
    return OK;
}

static void describe(struct judged *d, const struct pair_record *r)
{
    d->record.id = d->id;
    d->record.subset = d->subset;
    d->record.source = (uint64_t)r->number;
    d->record.prompt = (struct tokens){d->prompt.token, d->prompt.n};
    for (int side = 0; side < 2; side++) {
        d->record.response[side] = (struct tokens){d->response[side].token, d->response[side].n};
        d->record.candidate[side] = d->candidate[side];
    }
}

int judge_submit(const struct judge *judge, const struct pair_record *r, int (*done)(void *owner, struct judged *judged), void *owner, struct judged **out)
{
    struct token_list instruction = {0};
    int status = make(judge, r, out);
    struct judged *d = *out;
    if (status == OK)
        status = encode_instruction(judge->encoder, INSTRUCTION_JUDGE, NULL, 0, &instruction);
    if (status == OK)
        status = encode(d, r, instruction.n);
    if (status == OK) {
        d->done = done;
        d->owner = owner;
        describe(d, r);
        status = d->skip == JUDGE_ASKED ? ask(d, &instruction) : done(owner, d);
    }
    token_list_free(&instruction);
    return status;
}
