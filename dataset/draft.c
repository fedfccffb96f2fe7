/* draft: see draft.h. Tokens and raw bytes of a response's candidates lie one behind the other in memory that moves as it grows; so pointers into it are set at the end. */
#include "dataset/draft.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "dataset/score_line.h"

struct written written_parse(struct text raw, enum finish finish, bool keep_score_text)
{
    struct score_line line = score_line_parse(raw.bytes, raw.n_bytes);
    struct text critique = keep_score_text ? text_trim(raw) : score_line_critique(raw.bytes, line);
    return (struct written){raw, critique, line.found ? (float)line.score : NAN, finish};
}

void draft_close(struct draft *d)
{
    token_list_free(&d->prompt);
    for (int side = 0; side < 2; side++) {
        token_list_free(&d->response[side]);
        token_list_free(&d->side[side].text);
        free(d->side[side].candidate);
        free(d->side[side].raw);
    }
    *d = (struct draft){.encoder = d->encoder};
}

int draft_begin(struct draft *d, const struct pair_record *pair)
{
    CHECK(!pair->conversation, "this record is a conversation, but pairs are wanted");
    CHECK(!pair->diverges, "chosen and rejected have no common prompt");
    d->pair = pair;
    d->prompt.n = 0;
    TRY(encode_prompt(d->encoder, pair->message, pair->n_messages, &d->prompt));
    for (int side = 0; side < 2; side++) {
        struct draft_side *s = &d->side[side];
        s->n = d->response[side].n = s->text.n = 0;
        s->n_raw = 0;
        TRY(encode_bare_response(d->encoder, pair->response[side].text, pair->response[side].n_bytes, &d->response[side]));
    }
    return OK;
}

static int add_raw(struct draft_side *s, struct text raw)
{
    if (s->n_raw + raw.n_bytes > s->max_raw) {
        size_t max = 2 * (s->n_raw + raw.n_bytes) + 256;
        char *grown = realloc(s->raw, max);
        CHECK(grown, "out of memory for the candidates of one record");
        s->raw = grown;
        s->max_raw = max;
    }
    if (raw.n_bytes > 0)
        memcpy(s->raw + s->n_raw, raw.bytes, raw.n_bytes);
    s->n_raw += raw.n_bytes;
    return OK;
}

static int reserve(struct draft_side *s)
{
    int32_t max = 2 * s->max + 8;
    if (s->n < s->max)
        return OK;
    struct candidate *grown = realloc(s->candidate, (size_t)max * sizeof *grown);
    CHECK(grown, "out of memory for the candidates of one record");
    s->candidate = grown;
    s->max = max;
    return OK;
}

/* Pointers are set by draft_finish. */
int draft_add(struct draft *d, int side, const struct written *w)
{
    struct draft_side *s = &d->side[side];
    int32_t from = s->text.n;
    ASSERT(candidate_is_score(w->judge_score));
    TRY(reserve(s));
    if (w->text.n_bytes > 0)
        TRY(encode_critique(d->encoder, w->text.bytes, w->text.n_bytes, &s->text));
    TRY(add_raw(s, w->raw));
    s->candidate[s->n++] = (struct candidate){{NULL, s->text.n - from}, NULL, w->raw.n_bytes, w->judge_score, w->finish};
    return OK;
}

static void point(struct draft_side *s)
{
    size_t token = 0, raw = 0;
    for (int32_t i = 0; i < s->n; i++) {
        struct candidate *c = &s->candidate[i];
        c->text.token = c->text.n > 0 ? s->text.token + token : NULL;
        c->raw = c->n_raw_bytes > 0 ? s->raw + raw : "";
        token += (size_t)c->text.n;
        raw += c->n_raw_bytes;
    }
}

const struct candidate_record *draft_finish(struct draft *d)
{
    d->record = (struct candidate_record){.id = d->pair->id, .subset = d->pair->subset, .source = (uint64_t)d->pair->number, .prompt = {d->prompt.token, d->prompt.n}};
    for (int side = 0; side < 2; side++) {
        point(&d->side[side]);
        d->record.response[side] = (struct tokens){d->response[side].token, d->response[side].n};
        d->record.n_candidates[side] = d->side[side].n;
        d->record.candidate[side] = d->side[side].candidate;
    }
    return &d->record;
}
