/* messages: conversations in JSON. A message list is [{"role", "content"}, ...]; a transcript is text marked "\n\nHuman:" and "\n\nAssistant:" (HH). Texts are borrowed from the JSON. */
#ifndef DATASET_MESSAGES_H
#define DATASET_MESSAGES_H

#include <jansson.h>

#include "dataset/encode.h"

enum { MAX_MESSAGES = 1024 };

/* A message list into out [MAX_MESSAGES]. */
int messages_of_list(json_t *list, const char *where, struct message *out, int *n);
bool messages_is_transcript(json_t *value);
int messages_of_transcript(const char *text, const char *where, struct message *out, int *n);
/* "prompt": a user's text, a list, or a transcript (without its empty last turn of the assistant). */
int messages_of_prompt(json_t *prompt, const char *where, struct message *out, int *n);
/* A response: text, or a list of one message, the assistant's. */
int messages_of_response(json_t *response, const char *where, struct message *scratch, struct text *out);

#endif
