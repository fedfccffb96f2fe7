/* rows: see rows.h. */
#include "trainer/infer/rows.h"

#include <stdlib.h>

int rows_create(int64_t max_rows, struct rows *r)
{
    size_t n = (size_t)max_rows;
    *r = (struct rows){.max_rows = max_rows};
    r->token = calloc(n, sizeof *r->token);
    r->position = calloc(n, sizeof *r->position);
    r->slot = calloc(n, sizeof *r->slot);
    r->run = calloc(n, sizeof *r->run);
    CHECK(r->token && r->position && r->slot && r->run, "out of memory for passes of %zu rows", n);
    return OK;
}

void rows_free(struct rows *r)
{
    free(r->token);
    free(r->position);
    free(r->slot);
    free(r->run);
    free(r->range);
    *r = (struct rows){0};
}

void rows_reset(struct rows *r) { r->n_rows = r->n_runs = r->n_ranges = 0; }

static int reserve_ranges(struct rows *r, int n)
{
    if (r->n_ranges + n <= r->max_ranges)
        return OK;
    int max = 2 * (r->n_ranges + n);
    void *grown = realloc(r->range, (size_t)max * sizeof *r->range);
    CHECK(grown, "out of memory for %d key ranges", max);
    r->range = grown;
    r->max_ranges = max;
    return OK;
}

/* Root first. */
static int add_path(struct rows *r, const struct prefix_node *node)
{
    if (!node)
        return OK;
    TRY(add_path(r, node->parent));
    TRY(reserve_ranges(r, kv_pages(node->n_tokens)));
    r->n_ranges += pages_to_ranges(node->page, node->n_tokens, r->range + r->n_ranges);
    return OK;
}

/* How far from `from` the segment's pages follow each other: rows of one run end with the piece that holds them. */
static int32_t joined(const struct segment *s, int32_t from, int32_t end)
{
    int32_t at = (from / ATTENTION_PAGE + 1) * ATTENTION_PAGE;
    while (at < end && page_slot(s->page, at) == page_slot(s->page, at - 1) + 1)
        at += ATTENTION_PAGE;
    return at < end ? at : end;
}

static int add_run(struct rows *r, const struct segment *s, int32_t from, int32_t end, bool store)
{
    int first_range = r->n_ranges;
    TRY(add_path(r, s->above));
    TRY(reserve_ranges(r, kv_pages(end)));
    r->n_ranges += pages_to_ranges(s->page, end, r->range + r->n_ranges);
    r->run[r->n_runs++] = (struct attention_run){(int32_t)r->n_rows, end - from, first_range, r->n_ranges - first_range};
    for (int32_t i = from; i < end; i++) {
        r->token[r->n_rows] = s->token[i];
        r->position[r->n_rows] = s->first + i;
        r->slot[r->n_rows++] = store ? page_slot(s->page, i) : -1;
    }
    return OK;
}

int rows_add(struct rows *r, const struct segment *s, int32_t from, int32_t n, bool store)
{
    ASSERT(r->n_rows + n <= r->max_rows);
    for (int32_t at = from, end = from + n, next; at < end; at = next) {
        next = joined(s, at, end);
        TRY(add_run(r, s, at, next, store));
    }
    return OK;
}

void rows_pad(struct rows *r, int multiple)
{
    for (; r->n_rows % multiple != 0; r->n_rows++) {
        r->token[r->n_rows] = 0;
        r->position[r->n_rows] = 0;
        r->slot[r->n_rows] = -1;
    }
}
