/* answers: see answers.h. First every line is parsed for its id; the lines are then found, and parsed again, by record: so memory holds the ids, and not the texts. */
#include "dataset/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

struct call { int64_t record; int side; int64_t call, line; const char *bytes; size_t n_bytes; };

struct answers {
    char path[1024];
    struct file_map map;
    struct call *call;          /* by record, side, call */
    size_t n, max;
    json_t *found;              /* the lines that the last list borrows from */
    struct answer *answer;
    int n_answers, max_answers;
};

static void name_place(const struct answers *a, int64_t line, char out[1100]) { snprintf(out, 1100, "%s, line %lld", a->path, (long long)line); }

/* ---- ids ------------------------------------------------------------------------------------------------------------------------------------- */

/* Exactly as it is printed: no sign, no zero in front. */
static bool parse_id(const char *id, struct call *out)
{
    char again[80];
    long long record, call;
    int side;
    if (strlen(id) >= sizeof again || sscanf(id, "%18lld-%1d-%18lld", &record, &side, &call) != 3 || record < 0 || side < 0 || side > 1 || call < 0)
        return false;
    snprintf(again, sizeof again, "%lld-%d-%lld", record, side, call);
    *out = (struct call){.record = record, .side = side, .call = call};
    return strcmp(id, again) == 0;
}

static int read_id(const struct answers *a, const char *bytes, size_t n_bytes, int64_t line, struct call *out)
{
    int status = OK;
    char where[1100];
    json_t *json;
    const char *id;
    name_place(a, line, where);
    TRY(json_parse(bytes, n_bytes, where, &json));
    TRY_DONE(json_get_text(json, "custom_id", where, &id));
    CHECK_DONE(parse_id(id, out), "%s: the custom_id '%.60s' is not <record>-<0 or 1>-<call>, as dump --what prompts writes it", where, id);
    out->line = line;
    out->bytes = bytes;
    out->n_bytes = n_bytes;
done:
    json_decref(json);
    return status;
}

static int add_call(struct answers *a, const struct call *call)
{
    if (a->n == a->max) {
        size_t max = 2 * a->max + 256;
        struct call *grown = realloc(a->call, max * sizeof *grown);
        CHECK(grown, "out of memory for the lines of %s", a->path);
        a->call = grown;
        a->max = max;
    }
    a->call[a->n++] = *call;
    return OK;
}

static bool is_blank(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", bytes[i]))
            return false;
    return true;
}

static int read_ids(struct answers *a)
{
    const char *all = (const char *)a->map.bytes;
    size_t n = a->map.n_bytes;
    int64_t line = 1;
    for (size_t at = 0, n_bytes; at < n; at += n_bytes + 1, line++) {
        const char *stop = memchr(all + at, '\n', n - at);
        struct call call;
        n_bytes = stop ? (size_t)(stop - all) - at : n - at;
        if (is_blank(all + at, n_bytes))
            continue;
        TRY(read_id(a, all + at, n_bytes, line, &call));
        TRY(add_call(a, &call));
    }
    CHECK(a->n > 0, "%s holds no answer", a->path);
    return OK;
}

static int by_id(const void *x, const void *y)
{
    const struct call *a = x, *b = y;
    if (a->record != b->record)
        return a->record < b->record ? -1 : 1;
    if (a->side != b->side)
        return a->side - b->side;
    return a->call != b->call ? (a->call < b->call ? -1 : 1) : a->line < b->line ? -1 : a->line > b->line;
}

static int sort_ids(struct answers *a)
{
    qsort(a->call, a->n, sizeof *a->call, by_id);
    for (size_t i = 1; i < a->n; i++) {
        const struct call *p = &a->call[i - 1], *q = &a->call[i];
        CHECK(p->record != q->record || p->side != q->side || p->call != q->call, "%s, line %lld: the custom_id %lld-%d-%lld was there in line %lld already", a->path, (long long)q->line,
              (long long)q->record, q->side, (long long)q->call, (long long)p->line);
    }
    return OK;
}

int answers_open(const char *path, struct answers **out)
{
    int status = OK;
    struct answers *a = calloc(1, sizeof *a);
    CHECK(a, "out of memory while opening %s", path);
    CHECK_DONE(strlen(path) < sizeof a->path, "the path %s is too long", path);
    strcpy(a->path, path);
    TRY_DONE(file_map_open(path, &a->map));
    CHECK_DONE(a->map.n_bytes < 2 || a->map.bytes[0] != 0x1f || a->map.bytes[1] != 0x8b, "%s is packed by gzip: unpack it first", path);
    TRY_DONE(read_ids(a));
    TRY_DONE(sort_ids(a));
    *out = a;
    return OK;
done:
    answers_close(&a);
    return status;
}

void answers_close(struct answers **out)
{
    struct answers *a = *out;
    if (!a)
        return;
    json_decref(a->found);
    file_map_close(&a->map);
    free(a->call);
    free(a->answer);
    free(a);
    *out = NULL;
}

int answers_check_records(const struct answers *a, int64_t n_records, const char *pairs)
{
    const struct call *last = &a->call[a->n - 1];
    CHECK(last->record < n_records, "%s, line %lld: the custom_id %lld-%d-%lld names a record that is not there: %s has %lld records", a->path, (long long)last->line, (long long)last->record,
          last->side, (long long)last->call, pairs, (long long)n_records);
    return OK;
}

/* ---- texts ----------------------------------------------------------------------------------------------------------------------------------- */

static int add_answer(struct answers *a, const struct answer *answer)
{
    if (a->n_answers == a->max_answers) {
        int max = 2 * a->max_answers + 16;
        struct answer *grown = realloc(a->answer, (size_t)max * sizeof *grown);
        CHECK(grown, "out of memory for the answers of %s", a->path);
        a->answer = grown;
        a->max_answers = max;
    }
    a->answer[a->n_answers++] = *answer;
    return OK;
}

/* False when it has no text, or ended otherwise than by itself or by the limit. */
static bool read_choice(json_t *choice, struct answer *out)
{
    json_t *content = json_object_get(json_object_get(choice, "message"), "content");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (!json_is_string(content) || !finish)
        return false;
    *out = (struct answer){{json_string_value(content), json_string_length(content)}, strcmp(finish, "length") == 0};
    return out->cut || strcmp(finish, "stop") == 0;
}

static int read_choices(struct answers *a, json_t *choices, struct answer_list *out)
{
    size_t i;
    json_t *choice;
    json_array_foreach(choices, i, choice) {
        struct answer answer;
        if (read_choice(choice, &answer))
            TRY(add_answer(a, &answer));
        else
            out->n_failed++;
    }
    return OK;
}

static int read_call(struct answers *a, const struct call *call, struct answer_list *out)
{
    char where[1100];
    json_t *json, *response, *body, *choices, *error;
    name_place(a, call->line, where);
    TRY(json_parse(call->bytes, call->n_bytes, where, &json));
    json_array_append_new(a->found, json);
    response = json_object_get(json, "response");
    error = json_object_get(json, "error");
    out->n_calls++;
    if ((error && !json_is_null(error)) || json_integer_value(json_object_get(response, "status_code")) != 200) {
        out->n_failed++;
        return OK;
    }
    TRY(json_get_object(response, "body", where, &body));
    TRY(json_get_array(body, "choices", where, &choices));
    return read_choices(a, choices, out);
}

/* The first call that does not come before (record, side). */
static size_t find(const struct answers *a, int64_t record, int side)
{
    const struct call key = {.record = record, .side = side, .call = -1};
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_id(&a->call[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int answers_find(struct answers *a, int64_t record, int side, struct answer_list *out)
{
    *out = (struct answer_list){0};
    json_decref(a->found);
    a->found = json_array();
    a->n_answers = 0;
    for (size_t i = find(a, record, side); i < a->n && a->call[i].record == record && a->call[i].side == side; i++)
        TRY(read_call(a, &a->call[i], out));
    out->answer = a->answer;
    out->n = a->n_answers;
    return OK;
}
