/* judged: see judged.h. */
#include "trainer/infer/judged.h"

#include <stdlib.h>
#include <string.h>

void judged_free(struct judged **out)
{
    struct judged *d = *out;
    if (!d)
        return;
    token_list_free(&d->prompt);
    for (int side = 0; side < 2; side++) {
        token_list_free(&d->response[side]);
        judging_free(&d->side[side]);
    }
    free(d->why);
    free(d->id);
    free(d->subset);
    free(d);
    *out = NULL;
}

static struct tokens node(const struct token_list *list) { return (struct tokens){list->token, list->n}; }
static bool same(const struct token_list *a, const struct token_list *b) { return a->n == b->n && memcmp(a->token, b->token, (size_t)a->n * sizeof *a->token) == 0; }

/* The nodes, and whether there is anything to ask. */
static int encode(const struct judge *judge, const struct pair_record *r, struct judged *d)
{
    if (r->diverges) {
        d->skip = JUDGE_DIVERGES;
        return OK;
    }
    TRY(encode_prompt(judge->encoder, r->message, r->n_messages, &d->prompt));
    for (int side = 0; side < 2; side++) {
        TRY(encode_bare_response(judge->encoder, r->response[side].text, r->response[side].n_bytes, &d->response[side]));
        if (!judge_has_room(judge, node(&d->prompt), node(&d->response[side])))
            d->skip = JUDGE_NO_ROOM;
    }
    if (same(&d->response[0], &d->response[1]))
        d->skip = JUDGE_EQUAL;
    return OK;
}

/* One record that cannot be rendered does not end a long job: it is named, and counted, by the command. Memory that is not there is no record's fault. */
static int encode_or_refuse(const struct judge *judge, const struct pair_record *r, struct judged *d)
{
    struct trace trace;
    int status = encode(judge, r, d);
    if (status != FAILED)
        return status;
    trace_take(&trace);
    if (trace_is_out_of_memory(&trace)) {
        trace_put(&trace);
        return status;
    }
    d->skip = JUDGE_REFUSED;
    d->why = strdup(trace.sentence);
    CHECK(d->why, "out of memory for a record");
    return OK;
}

static int name(struct judged *d, const struct pair_record *r)
{
    d->id = strdup(r->id);
    d->subset = strdup(r->subset);
    CHECK(d->id && d->subset, "out of memory for a record");
    return OK;
}

static void describe(struct judged *d, const struct pair_record *r)
{
    d->record = (struct candidate_record){.id = d->id, .subset = d->subset, .source = (uint64_t)r->number, .prompt = node(&d->prompt)};
    for (int side = 0; side < 2; side++)
        d->record.response[side] = node(&d->response[side]);
}

static int take(void *owner, struct judging *judging)
{
    struct judged *d = owner;
    (void)judging;
    return --d->n_left == 0 ? d->done(d->owner, d) : OK;
}

static int ask(const struct judge *judge, struct judged *d)
{
    d->n_left = 2;
    for (int side = 0; side < 2; side++) {
        TRY(judge_ask(judge, node(&d->prompt), node(&d->response[side]), take, d, &d->side[side]));
        d->record.n_candidates[side] = d->side[side].n;
        d->record.candidate[side] = d->side[side].candidate;
    }
    return OK;
}

/* The record's place is put in front of a failure's sentence. */
static int ask_here(const struct judge *judge, const struct pair_record *r, struct judged *d)
{
    struct trace trace;
    int status = ask(judge, d);
    if (status == OK)
        return OK;
    trace_take(&trace);
    return fail_at(__FILE__, __LINE__, status, "%s: %s", r->where, trace.sentence);
}

int judged_submit(const struct judge *judge, const struct pair_record *r, int (*done)(void *owner, struct judged *judged), void *owner, struct judged **out)
{
    struct judged *d = calloc(1, sizeof *d);
    CHECK(d, "out of memory for a record");
    *out = d;
    d->done = done;
    d->owner = owner;
    TRY(name(d, r));
    TRY(encode_or_refuse(judge, r, d));
    describe(d, r);
    return d->skip == JUDGE_ASKED ? ask_here(judge, r, d) : done(owner, d);
}
