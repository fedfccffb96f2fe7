/* score_item: one response to be scored, as JSON, and what became of it: the same in a line of `score` and in an answer of `score --serve`. */
#ifndef LAUNCH_SCORE_ITEM_H
#define LAUNCH_SCORE_ITEM_H

#include "dataset/messages.h"
#include "trainer/infer/scorer.h"

/* "prompt" into prompt [MAX_MESSAGES], and "response". Texts are borrowed from the item. `where` names it in the sentence of a failure. */
int score_item_read(json_t *item, const char *where, struct message *prompt, int *n, struct text *response);

/* Adds "reward" (the mean), "rewards" [m] and "critiques" [m] to the item. FAILED, with nothing added, where a model that reads max_position tokens had no room for a critique. */
int score_item_finish(json_t *item, const struct scored *scored, int64_t max_position);

#endif
