/* item: the fields of one object of a benchmark file, checked. Used inside trainer/eval only. FAILED with `where` and the field. */
#ifndef TRAINER_EVAL_ITEM_H
#define TRAINER_EVAL_ITEM_H

#include "trainer/eval/benchmark.h"

int item_id(struct benchmark *b, json_t *object, const char *key, const char *where, struct benchmark_item *item);
int item_prompt(json_t *object, const char *key, const char *where, struct benchmark_item *item);
/* Append one response, or a list of min to max of them, *n. */
int item_response(struct benchmark *b, json_t *object, const char *key, const char *where, struct benchmark_item *item);
int item_responses(struct benchmark *b, json_t *object, const char *key, const char *where, int min, int max, struct benchmark_item *item, int *n);
/* item->group_index of item->group among the names. */
int item_find_group(const char *key, const char *const *name, int n, const char *where, struct benchmark_item *item);
/* A number as text: whole, or in 15 digits at most. Returns text. */
enum { ITEM_NUMBER = 48 };
const char *item_number(const json_t *number, char text[ITEM_NUMBER]);
/* Text or a whole or decimal number under key as text; *out is NULL where there is none. */
int item_text(json_t *pool, json_t *object, const char *key, const char *where, const char **out);

#endif
