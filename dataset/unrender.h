/* unrender: a prompt's tokens back to the messages they were made from, so that what is dumped can be imported again. */
#ifndef DATASET_UNRENDER_H
#define DATASET_UNRENDER_H

#include "dataset/encode.h"

enum { UNRENDER_MAX_MESSAGES = 1024 };

/* Messages borrow from text. */
struct unrendered { char *text; int n; struct message message[UNRENDER_MAX_MESSAGES]; };

/* *exact: the messages, rendered and encoded, give the same tokens. Where not (another template, a text that holds the template's own marks), out->n is 0 and out->text
 * is the rendered prompt. Free with unrendered_free. */
int unrender_prompt(const struct encoder *encoder, const uint32_t *token, int32_t n, struct unrendered *out, bool *exact);
void unrendered_free(struct unrendered *unrendered);

#endif
