/* serve_request: see serve_request.h. */
#include "launch/serve_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "launch/progress.h"
#include "launch/score_item.h"

char *serve_error(const char *sentence)
{
    char *text, *answer = NULL;
    size_t n;
    if (text_repair(sentence, strlen(sentence), &text, &n) == OK) {
        json_t *error = json_pack("{s:s}", "error", text);
        answer = error ? json_dumps(error, JSON_COMPACT) : NULL;
        json_decref(error);
        free(text);
    }
    trace_clear();
    return answer;
}

/* ---- items ----------------------------------------------------------------------------------------------------------------------------------- */

static void leave(struct serve_item *item)
{
    struct serve_request *r = item->request;
    free(item->text);
    item->text = NULL;
    if (--r->n_left > 0)
        return;
    r->answer_s = clock_s();
    if (r->ready)
        r->ready(r);
}

void serve_item_answer(struct serve_item *item, char *answer)
{
    item->answer = answer;
    item->request->n_dropped += !answer;
    leave(item);
}

void serve_item_refuse(struct serve_item *item, const char *sentence)
{
    item->request->n_errors++;
    serve_item_answer(item, serve_error(sentence));
}

void serve_item_drop(struct serve_item *item) { serve_item_answer(item, NULL); }

/* ---- reading --------------------------------------------------------------------------------------------------------------------------------- */

static int add_item(struct serve_request *r, int64_t i, json_t *json, const char *where)
{
    struct message prompt[MAX_MESSAGES];
    struct text response;
    struct trace trace;
    int n;
    r->item[i].request = r;
    if (score_item_read(json, where, prompt, &n, &response) != OK) {
        trace_take(&trace);
        serve_item_refuse(&r->item[i], trace.sentence);
        return OK;
    }
    r->item[i].text = json_dumps(json, JSON_COMPACT);
    CHECK(r->item[i].text, "out of memory for an item");
    return OK;
}

static int add_items(struct serve_request *r, json_t *list, json_t *only)
{
    char where[32] = "the request";
    r->n_items = r->n_left = list ? (int64_t)json_array_size(list) : 1;
    CHECK(r->n_items <= SERVE_MAX_ITEMS, "the request has %lld items, and may have %d: send the rest in another", (long long)r->n_items, SERVE_MAX_ITEMS);
    r->item = calloc((size_t)r->n_items + 1, sizeof *r->item);
    CHECK(r->item, "out of memory for %lld items", (long long)r->n_items);
    for (int64_t i = 0; i < r->n_items; i++) {
        if (list)
            snprintf(where, sizeof where, "items[%lld]", (long long)i);
        TRY(add_item(r, i, list ? json_array_get(list, (size_t)i) : only, where));
    }
    return OK;
}

static int read_root(struct serve_request *r, json_t *root)
{
    CHECK(json_is_object(root), "the request is not a JSON object: send {\"prompt\", \"response\"}, or {\"items\": [...]} of such");
    json_t *list = json_object_get(root, "items");
    r->is_list = list != NULL;
    CHECK(!list || json_is_array(list), "\"items\" of the request is not a list");
    return add_items(r, list, root);
}

int serve_request_parse(const char *bytes, size_t n_bytes, struct serve_request *out)
{
    json_t *root;
    TRY(json_parse(bytes, n_bytes, "the request", &root));
    int status = read_root(out, root);
    json_decref(root);
    return status;
}

/* ---- answering ------------------------------------------------------------------------------------------------------------------------------- */

static void write_list(FILE *out, const struct serve_request *r)
{
    fputs("{\"items\":[", out);
    for (int64_t i = 0; i < r->n_items; i++) {
        fputs(i > 0 ? "," : "", out);
        fputs(r->item[i].answer, out);
    }
    fputs("]}", out);
}

char *serve_request_answer(const struct serve_request *r)
{
    char *text = NULL;
    size_t n;
    ASSERT(r->n_left == 0 && r->n_dropped == 0);
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return NULL;
    if (r->is_list)
        write_list(out, r);
    else
        fputs(r->item[0].answer, out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

void serve_request_free(struct serve_request *r)
{
    for (int64_t i = 0; r->item && i < r->n_items; i++) {
        free(r->item[i].text);
        free(r->item[i].answer);
    }
    free(r->item);
    r->item = NULL;
}
