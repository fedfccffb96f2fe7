/* rows: the rows of one pass and what each sees, laid out segment by segment. */
#ifndef TRAINER_INFER_ROWS_H
#define TRAINER_INFER_ROWS_H

#include "trainer/infer/prefix.h"

struct rows {
    int64_t n_rows, max_rows;
    uint32_t *token;
    int32_t *position, *slot;
    struct attention_run *run;
    struct attention_range *range;
    int n_runs, n_ranges, max_ranges;
};

/* Tokens under a path, in pages of their own. */
struct segment {
    const struct prefix_node *above;    /* the path's last node; NULL: nothing is above */
    const int32_t *page;
    int32_t first;                      /* position of token 0 */
    const uint32_t *token;
};

int rows_create(int64_t max_rows, struct rows *out);
void rows_free(struct rows *rows);
void rows_reset(struct rows *rows);
/* Rows of the segment's tokens [from, from + n), which see the path above, the segment before them, and themselves causally. store false: their keys are in the cache. */
int rows_add(struct rows *rows, const struct segment *segment, int32_t from, int32_t n, bool store);
/* Rows of nothing, up to a multiple. */
void rows_pad(struct rows *rows, int multiple);
static inline struct backbone_rows rows_of(const struct rows *r)
{
    return (struct backbone_rows){.n_rows = r->n_rows, .token = r->token, .position = r->position, .slot = r->slot, .run = r->run, .n_runs = r->n_runs, .range = r->range};
}

#endif
