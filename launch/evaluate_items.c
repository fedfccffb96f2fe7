/* evaluate_items: see evaluate_items.h. */
#include "launch/evaluate_items.h"

#include <math.h>
#include <stdlib.h>

#include "base/status.h"

int evaluate_items_open(const struct benchmark *b, struct scores *scores, struct evaluate_items *out)
{
    *out = (struct evaluate_items){.benchmark = b, .scores = scores, .counts = calloc((size_t)b->n_items, sizeof *out->counts)};
    TRY(scores_alloc(b, scores));
    CHECK(out->counts, "out of memory for the %lld items of %s", (long long)b->n_items, b->path);
    return OK;
}

void evaluate_items_close(struct evaluate_items *items)
{
    free(items->counts);
    items->counts = NULL;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------------------------- */

static json_t *reply_json(const struct criticbench_reply *reply) { return json_pack("[i, s?]", (int)reply->verdict, reply->answer); }

static json_t *item_json(const struct evaluate_items *t, int64_t i)
{
    const struct benchmark_item *item = &t->benchmark->item[i];
    return t->scores->reply ? reply_json(&t->scores->reply[i]) : scores_json(t->scores->score + item->first, item->n);
}

static void add(struct evaluate_counts *sum, const struct evaluate_counts *n)
{
    sum->responses += n->responses;
    sum->no_room += n->no_room;
    sum->texts += n->texts;
    sum->cut += n->cut;
    sum->parsed += n->parsed;
}

int evaluate_items_json(const struct evaluate_items *t, int64_t first, int64_t end, json_t **out)
{
    struct evaluate_counts n = {0};
    json_t *list = json_array();
    bool whole = true;
    for (int64_t i = first; i < end; i++) {
        add(&n, &t->counts[i]);
        whole = json_array_append_new(list, item_json(t, i)) == 0 && whole;
    }
    *out = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "first", (json_int_t)first, "no_room", (json_int_t)n.no_room, "texts", (json_int_t)n.texts, "cut", (json_int_t)n.cut, "parsed",
                     (json_int_t)n.parsed, "items", list);
    if (!whole) {
        json_decref(*out);
        *out = NULL;
    }
    CHECK(*out, "out of memory for what the model gave for items %lld to %lld of %s", (long long)first, (long long)end - 1, t->benchmark->path);
    return OK;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------------------- */

static int read_reply(const struct evaluate_items *t, int64_t i, json_t *list, const char *where)
{
    json_t *verdict = json_array_get(list, 0), *answer = json_array_get(list, 1);
    json_int_t v = json_integer_value(verdict);
    CHECK(json_array_size(list) == 2 && json_is_integer(verdict) && v >= VERDICT_NONE && v <= VERDICT_WRONG && (json_is_string(answer) || json_is_null(answer)),
          "%s: item %lld is not a verdict and an answer", where, (long long)i);
    CHECK(json_array_append(t->scores->pool, list) == 0, "out of memory for replies");
    t->scores->reply[i] = (struct criticbench_reply){(enum criticbench_verdict)v, json_string_value(answer)};
    return OK;
}

static int read_scores(const struct evaluate_items *t, int64_t i, json_t *list, const char *where)
{
    const struct benchmark_item *item = &t->benchmark->item[i];
    json_t *one;
    size_t k;
    CHECK(json_is_array(list) && json_array_size(list) == (size_t)item->n, "%s: item %lld has not the %d scores of its responses", where, (long long)i, item->n);
    json_array_foreach(list, k, one) {
        CHECK(json_is_number(one) || json_is_null(one), "%s: score %zu of item %lld is neither a number nor null", where, k, (long long)i);
        t->scores->score[item->first + (int64_t)k] = json_is_null(one) ? NAN : json_number_value(one);
    }
    return OK;
}

/* Counts of one part are below 2^31, and so are parts: their sum is below 2^62. */
static int read_counts(json_t *json, const char *where, struct evaluate_counts *total)
{
    struct evaluate_counts n = {0};
    TRY(json_get_int(json, "no_room", where, 0, INT32_MAX, &n.no_room));
    TRY(json_get_int(json, "texts", where, 0, INT32_MAX, &n.texts));
    TRY(json_get_int(json, "cut", where, 0, INT32_MAX, &n.cut));
    TRY(json_get_int(json, "parsed", where, 0, INT32_MAX, &n.parsed));
    add(total, &n);
    return OK;
}

int evaluate_items_read(const struct evaluate_items *t, json_t *json, const char *where, struct evaluate_counts *total)
{
    json_t *list;
    int64_t first;
    TRY(json_get_int(json, "first", where, 0, t->benchmark->n_items - 1, &first));
    TRY(json_get_array(json, "items", where, &list));
    int64_t n = (int64_t)json_array_size(list);
    CHECK(n <= t->benchmark->n_items - first, "%s: there are no items %lld to %lld in %s", where, (long long)first, (long long)(first + n - 1), t->benchmark->path);
    for (int64_t k = 0; k < n; k++) {
        json_t *one = json_array_get(list, (size_t)k);
        TRY(t->scores->reply ? read_reply(t, first + k, one, where) : read_scores(t, first + k, one, where));
        total->responses += t->benchmark->item[first + k].n;
    }
    return read_counts(json, where, total);
}
