/* scores: see scores.h. Items are found by their ids in a sorted list. */
#include "trainer/eval/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/lines.h"
#include "base/status.h"
#include "trainer/eval/item.h"

struct reading {
    const struct benchmark *benchmark;
    const char *path;
    char where[1200];
    int64_t *by_id;         /* items, [n_items] */
    int64_t *line;          /* of each item, 0: none yet */
    struct scores *out;
};

/* ---- items by id ----------------------------------------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b, void *items)
{
    const struct benchmark_item *item = items;
    return strcmp(item[*(const int64_t *)a].id, item[*(const int64_t *)b].id);
}

static void sort_items(struct reading *r)
{
    for (int64_t i = 0; i < r->benchmark->n_items; i++)
        r->by_id[i] = i;
    qsort_r(r->by_id, (size_t)r->benchmark->n_items, sizeof *r->by_id, by_id, r->benchmark->item);
}

/* The first in the sorted list that is not before id. */
static int64_t first_of(const struct reading *r, const char *id)
{
    int64_t low = 0, high = r->benchmark->n_items;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (strcmp(r->benchmark->item[r->by_id[middle]].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* group NULL: any */
static int find_item(const struct reading *r, const char *id, const char *group, int64_t *out)
{
    const struct benchmark *b = r->benchmark;
    int64_t n = 0;
    for (int64_t i = first_of(r, id); i < b->n_items && strcmp(b->item[r->by_id[i]].id, id) == 0; i++)
        if (!group || strcmp(b->item[r->by_id[i]].group, group) == 0) {
            *out = r->by_id[i];
            n++;
        }
    CHECK(n > 0, "%s: %s has no item with id \"%.64s\"%s%.64s", r->where, b->path, id, group ? " in group " : "", group ? group : "");
    CHECK(n == 1, "%s: %s has %lld items with id \"%.64s\": %s", r->where, b->path, (long long)n, id,
          group ? "give them ids of their own" : "tell them apart by \"group\", their subset, domain or source");
    return OK;
}

/* ---- lines ----------------------------------------------------------------------------------------------------------------------------------- */

static int read_score_list(struct reading *r, json_t *object, const struct benchmark_item *item)
{
    json_t *list, *one;
    size_t k;
    TRY(json_get_array(object, "scores", r->where, &list));
    CHECK(json_array_size(list) == (size_t)item->n, "%s: \"scores\" has %zu numbers, but item %.64s has %d responses", r->where, json_array_size(list), item->id, item->n);
    json_array_foreach(list, k, one) {
        CHECK(json_is_number(one) || json_is_null(one), "%s: score %zu is neither a number nor null", r->where, k + 1);
        r->out->score[item->first + (int64_t)k] = json_is_null(one) ? NAN : json_number_value(one);
    }
    return OK;
}

static int read_reply(struct reading *r, json_t *object, struct criticbench_reply *reply)
{
    const char *verdict = "";
    CHECK(json_object_get(object, "verdict"), "%s: \"verdict\" is missing: text with [[correct]] or [[wrong]], or null", r->where);
    TRY(json_opt_text(object, "verdict", r->where, &verdict));
    reply->verdict = criticbench_verdict(verdict);
    return item_text(r->out->pool, object, "answer", r->where, &reply->answer);
}

static int read_object(struct reading *r, json_t *object, int64_t number)
{
    const char *id, *group = NULL;
    int64_t i;
    CHECK(json_is_object(object), "%s: not a JSON object", r->where);
    TRY(item_text(r->out->pool, object, "id", r->where, &id));
    CHECK(id, "%s: \"id\" is missing", r->where);
    TRY(json_opt_text(object, "group", r->where, &group));
    TRY(find_item(r, id, group, &i));
    CHECK(r->line[i] == 0, "%s: item %.64s has its scores in line %lld already", r->where, id, (long long)r->line[i]);
    r->line[i] = number;
    return r->out->reply ? read_reply(r, object, &r->out->reply[i]) : read_score_list(r, object, &r->benchmark->item[i]);
}

static int read_lines(struct reading *r, struct lines *lines)
{
    for (;;) {
        json_t *object;
        int64_t number;
        TRY(json_next_line(lines, r->where, sizeof r->where, &number, &object));
        if (!object)
            return OK;
        CHECK(json_array_append_new(r->out->pool, object) == 0, "out of memory for %s", r->where);
        TRY(read_object(r, object, number));
    }
}

/* Every item has its line. */
static int check_all(const struct reading *r)
{
    const struct benchmark *b = r->benchmark;
    int64_t n_missing = 0, first = 0;
    for (int64_t i = b->n_items; i-- > 0;)
        if (r->line[i] == 0) {
            n_missing++;
            first = i;
        }
    CHECK(n_missing == 0, "%s has no line for %lld of the %lld items of %s (the first is id %.64s): add them; a response without a score is null", r->path, (long long)n_missing,
          (long long)b->n_items, b->path, b->item[first].id);
    return OK;
}

/* ---- file ------------------------------------------------------------------------------------------------------------------------------------ */

static int allocate(struct reading *r)
{
    const struct benchmark *b = r->benchmark;
    TRY(scores_alloc(b, r->out));
    r->by_id = calloc((size_t)b->n_items, sizeof *r->by_id);
    r->line = calloc((size_t)b->n_items, sizeof *r->line);
    CHECK(r->by_id && r->line, "out of memory for the scores of %s", b->path);
    return OK;
}

static int read_file(struct reading *r)
{
    struct lines *lines;
    TRY(lines_open(r->path, &lines));
    int status = read_lines(r, lines);
    lines_close(&lines);
    return status == OK ? check_all(r) : status;
}

int scores_read(const struct benchmark *benchmark, const char *path, struct scores *out)
{
    struct reading r = {.benchmark = benchmark, .path = path, .out = out};
    int status = allocate(&r);
    if (status == OK) {
        sort_items(&r);
        status = read_file(&r);
    }
    free(r.by_id);
    free(r.line);
    if (status != OK)
        scores_free(out);
    return status;
}

int scores_alloc(const struct benchmark *b, struct scores *out)
{
    bool replies = b->kind == CRITICBENCH;
    *out = (struct scores){.pool = json_array()};
    out->score = replies ? NULL : calloc((size_t)b->n_responses, sizeof *out->score);
    out->reply = replies ? calloc((size_t)b->n_items, sizeof *out->reply) : NULL;
    CHECK(out->pool && (replies ? out->reply != NULL : out->score != NULL), "out of memory for the scores of %s", b->path);
    return OK;
}

json_t *scores_json(const double *score, int n)
{
    json_t *list = json_array();
    for (int k = 0; k < n; k++)
        json_array_append_new(list, isfinite(score[k]) ? json_real(score[k]) : json_null());
    return list;
}

void scores_free(struct scores *s)
{
    free(s->score);
    free(s->reply);
    json_decref(s->pool);
    *s = (struct scores){0};
}
