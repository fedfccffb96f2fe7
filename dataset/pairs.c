/* pairs: see pairs.h. One record at a time; its texts are borrowed from its JSON, or from pieces of transcripts kept beside it. */
#include "dataset/pairs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"
#include "dataset/messages.h"

struct pairs {
    struct lines *lines;
    char where[1200], id[32];
    json_t *json;
    int64_t number;
    struct pair_record record;
    struct message message[2][MAX_MESSAGES];    /* of chosen and rejected, where the prompt is common to both */
};

/* ---- responses ------------------------------------------------------------------------------------------------------------------------------- */

static int parse_finish(json_t *critique, const char *where, bool *cut)
{
    const char *finish = "stop";
    TRY(json_opt_text(critique, "finish", where, &finish));
    *cut = strcmp(finish, "limit") == 0;
    CHECK(*cut || strcmp(finish, "stop") == 0, "%s: \"finish\" is \"%.40s\", not \"stop\" or \"limit\"", where, finish);
    return OK;
}

static int parse_written(json_t *critique, const char *where, struct pair_critique *out)
{
    double judge = NAN, quality = NAN;
    json_t *raw = json_object_get(critique, "raw");
    TRY(json_opt_number(critique, "judge_score", where, &judge));
    TRY(json_opt_number(critique, "quality", where, &quality));
    TRY(json_opt_text(critique, "raw", where, &out->raw));
    TRY(parse_finish(critique, where, &out->cut));
    out->n_raw_bytes = json_string_length(raw);
    out->judge_score = (float)judge;
    out->quality = (float)quality;
    return OK;
}

static int parse_critique(json_t *value, const char *where, struct pair_critique *out)
{
    json_t *text = value;
    *out = (struct pair_critique){.judge_score = NAN, .quality = NAN};
    if (json_is_object(value)) {
        TRY(json_get(value, "text", where, &text));
        TRY(parse_written(value, where, out));
    }
    CHECK(json_is_string(text), "%s: a critique is neither a string nor an object with \"text\"", where);
    out->text = json_string_value(text);
    out->n_bytes = json_string_length(text);
    return OK;
}

static int parse_critiques(json_t *response, const char *where, int side, struct pair_record *r)
{
    json_t *list = json_object_get(response, "critiques");
    if (!list || json_is_null(list))
        return OK;
    CHECK(json_is_array(list), "%s: \"critiques\" must be a list", where);
    size_t n = json_array_size(list);
    r->response[side].critique = calloc(n + 1, sizeof *r->response[side].critique);
    CHECK(r->response[side].critique, "out of memory for the critiques of %s", where);
    for (size_t i = 0; i < n; i++)
        TRY(parse_critique(json_array_get(list, i), where, &r->response[side].critique[i]));
    r->response[side].n_critiques = (int)n;
    return OK;
}

static int set_response(struct pair_record *r, int side, const struct message *m, const char *where)
{
    CHECK(strcmp(m->role, "assistant") == 0, "%s: the last message of %s is not the assistant's", where, side ? "rejected" : "chosen");
    r->response[side].text = m->text;
    r->response[side].n_bytes = m->n_bytes;
    return OK;
}

static bool same_message(const struct message *a, const struct message *b)
{
    return strcmp(a->role, b->role) == 0 && a->n_bytes == b->n_bytes && memcmp(a->text, b->text, a->n_bytes) == 0;
}

/* Does the prompt end with these n messages? */
static bool ends_with(const struct pair_record *r, const struct message *message, int n)
{
    for (int i = 0; i < n; i++)
        if (n > r->n_messages || !same_message(&r->message[r->n_messages - n + i], &message[i]))
            return false;
    return true;
}

/* A response of its own, the prompt being given. A list of messages may repeat the prompt's last ones; other ones in front of the response would be lost. */
static int parse_response(struct pairs *p, json_t *value, int side)
{
    struct pair_record *r = &p->record;
    json_t *text = value;
    int n;
    if (json_is_array(value)) {
        TRY(messages_of_list(value, p->where, p->message[1], &n));
        r->diverges = r->diverges || !ends_with(r, p->message[1], n - 1);
        return set_response(r, side, &p->message[1][n - 1], p->where);
    }
    if (json_is_object(value)) {
        TRY(json_get(value, "text", p->where, &text));
        TRY(parse_critiques(value, p->where, side, r));
    }
    CHECK(json_is_string(text), "%s: \"%s\" is not a response: a string, a list of messages, or an object with \"text\"", p->where, side ? "rejected" : "chosen");
    r->response[side].text = json_string_value(text);
    r->response[side].n_bytes = json_string_length(text);
    return OK;
}

/* ---- records --------------------------------------------------------------------------------------------------------------------------------- */

static int parse_prompt(struct pairs *p, json_t *prompt)
{
    p->record.message = p->message[0];
    return messages_of_prompt(prompt, p->where, p->record.message, &p->record.n_messages);
}

static int whole_conversation(struct pairs *p, json_t *value, int side, int *n)
{
    if (json_is_array(value))
        return messages_of_list(value, p->where, p->message[side], n);
    CHECK(messages_is_transcript(value), "%s: without \"prompt\", \"%s\" must be a list of messages or a transcript that begins with a Human turn", p->where, side ? "rejected" : "chosen");
    return messages_of_transcript(json_string_value(value), p->where, p->message[side], n);
}

static int parse_common(struct pairs *p, json_t *chosen, json_t *rejected)
{
    int n[2], common = 0;
    TRY(whole_conversation(p, chosen, 0, &n[0]));
    TRY(whole_conversation(p, rejected, 1, &n[1]));
    while (common < n[0] && common < n[1] && same_message(&p->message[0][common], &p->message[1][common]))
        common++;
    common = common == n[0] && common == n[1] ? common - 1 : common;            /* equal responses: dropped later, and counted */
    p->record.diverges = common != n[0] - 1 || common != n[1] - 1;
    if (p->record.diverges)
        return OK;
    TRY(set_response(&p->record, 0, &p->message[0][common], p->where));
    TRY(set_response(&p->record, 1, &p->message[1][common], p->where));
    p->record.message = p->message[0];
    p->record.n_messages = common;
    return OK;
}

static int parse_conversation(struct pairs *p, json_t *messages)
{
    int n;
    CHECK(json_is_array(messages), "%s: \"messages\" must be a list", p->where);
    TRY(messages_of_list(messages, p->where, p->message[0], &n));
    p->record.conversation = true;
    p->record.message = p->message[0];
    p->record.n_messages = n - 1;
    return set_response(&p->record, 0, &p->message[0][n - 1], p->where);
}

static int parse_names(struct pairs *p)
{
    snprintf(p->id, sizeof p->id, "%lld", (long long)p->record.number);
    p->record.id = p->id;
    p->record.subset = "";
    json_t *id = json_object_get(p->json, "id");
    if (json_is_integer(id))
        snprintf(p->id, sizeof p->id, "%lld", (long long)json_integer_value(id));
    else
        TRY(json_opt_text(p->json, "id", p->where, &p->record.id));
    return json_opt_text(p->json, "subset", p->where, &p->record.subset);
}

static int parse_record(struct pairs *p)
{
    json_t *prompt, *chosen, *rejected, *messages;
    CHECK(json_is_object(p->json), "%s: not a JSON object", p->where);
    TRY(parse_names(p));
    messages = json_object_get(p->json, "messages");
    if (messages)
        return parse_conversation(p, messages);
    TRY(json_get(p->json, "chosen", p->where, &chosen));
    TRY(json_get(p->json, "rejected", p->where, &rejected));
    prompt = json_object_get(p->json, "prompt");
    if (!prompt || json_is_null(prompt))
        return parse_common(p, chosen, rejected);
    TRY(parse_prompt(p, prompt));
    TRY(parse_response(p, chosen, 0));
    return parse_response(p, rejected, 1);
}

static void clear(struct pairs *p)
{
    for (int side = 0; side < 2; side++)
        free(p->record.response[side].critique);
    json_decref(p->json);
    p->json = NULL;
    p->record = (struct pair_record){0};
}

int pairs_open(const char *path, struct pairs **out)
{
    struct pairs *p = calloc(1, sizeof *p);
    CHECK(p, "out of memory while opening %s", path);
    int status = lines_open(path, &p->lines);
    if (status != OK)
        pairs_close(&p);
    else
        *out = p;
    return status;
}

int pairs_next(struct pairs *p, const struct pair_record **record)
{
    *record = NULL;
    clear(p);
    TRY(json_next_line(p->lines, p->where, sizeof p->where, NULL, &p->json));
    if (!p->json)
        return OK;
    p->record.number = p->number++;
    p->record.where = p->where;
    TRY(parse_record(p));
    *record = &p->record;
    return OK;
}

void pairs_close(struct pairs **out)
{
    struct pairs *p = *out;
    if (!p)
        return;
    clear(p);
    lines_close(&p->lines);
    free(p);
    *out = NULL;
}

/* What was done with a record failed: its sentence gets the record's place in front. */
static int located(const struct pair_record *r, int status)
{
    struct trace trace;
    trace_take(&trace);
    fail_at(__FILE__, __LINE__, status, "%s: %s", r->where, trace.sentence);
    return status;
}

int pairs_each(const char *path, int (*take)(void *owner, const struct pair_record *record), void *owner)
{
    struct pairs *pairs;
    const struct pair_record *record = NULL;
    TRY(pairs_open(path, &pairs));
    int status = pairs_next(pairs, &record);
    while (status == OK && record) {
        status = take(owner, record);
        status = status == OK ? pairs_next(pairs, &record) : located(record, status);
    }
    pairs_close(&pairs);
    return status;
}
