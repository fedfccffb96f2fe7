/* evaluate_items: what a model gave for a benchmark's items, and JSON of a run of them: what a part of an evaluation keeps, and what a rank hands to rank 0.
 *
 *   {"first": 12, "no_room": 1, "texts": 7, "cut": 0, "parsed": 0, "items": [[-0.25, null], [1.5, 0.75]]}       scores of items 12 and 13, in the order of their responses; null: none
 *   {"first": 12, ..., "items": [[1, "The answer is 7"], [0, null]]}                                             CriticBench: verdict (enum criticbench_verdict) and corrected answer
 *
 * Numbers have all their digits, so they come back bit for bit. */
#ifndef LAUNCH_EVALUATE_ITEMS_H
#define LAUNCH_EVALUATE_ITEMS_H

#include "trainer/eval/scores.h"

/* responses: those that are done. texts: critiques and answers that the model wrote; cut: by the limit; parsed: those with a score, or a verdict. */
struct evaluate_counts { int64_t responses, no_room, texts, cut, parsed; };

struct evaluate_items {
    const struct benchmark *benchmark;
    struct scores *scores;              /* the owner's */
    struct evaluate_counts *counts;     /* [n_items] */
};

/* Room for all items, nothing done. Free counts with evaluate_items_close and scores with scores_free, also after a failure. */
int evaluate_items_open(const struct benchmark *benchmark, struct scores *scores, struct evaluate_items *out);
void evaluate_items_close(struct evaluate_items *items);

/* Items [first, end), which are done; new reference. A score that is not finite is none. */
int evaluate_items_json(const struct evaluate_items *items, int64_t first, int64_t end, json_t **out);
/* Takes them back into the scores, and adds their counts to *total. FAILED, naming `where`, for what is not as above. */
int evaluate_items_read(const struct evaluate_items *items, json_t *json, const char *where, struct evaluate_counts *total);

#endif
