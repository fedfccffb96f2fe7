/* dump: what a set holds as JSON lines on standard output, such that import makes the same of them; and the judge's prompts for another engine. */
#ifndef LAUNCH_DUMP_H
#define LAUNCH_DUMP_H

#include <jansson.h>

#include "dataset/dsub.h"
#include "dataset/encode.h"

/* Every set is dumped with the tokenizer it was made with. */
int dump_check_tokenizer(const struct encoder *encoder, const struct shard_meta *meta);

/* The text of tokens, as a JSON string; bytes that are no UTF-8 become U+FFFD. */
int dump_text(const struct encoder *encoder, struct tokens tokens, json_t **out);
/* A prompt: a string or a list of messages where it can be read back from its tokens (a list always, for conversations), else the rendered text, with a warning. */
int dump_prompt(const struct encoder *encoder, struct tokens tokens, bool conversation, json_t **out);
/* A member of an object, left out where there is no score. */
void dump_score(json_t *object, const char *key, float score);
/* One line; releases it. */
int dump_line(json_t *line);

int dump_dsub(const char *folder, const struct encoder *encoder);
int dump_candidates(const char *folder, const struct encoder *encoder);
/* For every response of a file of pairs, the judge's call in OpenAI's batch format, as answers.h reads its answers: generate.candidates choices (n) of at most data.max_critique_tokens
 * (max_tokens), sampled by generate.temperature and generate.top_p, and top_k, min_p and stop where they are set. The model is backbone.path, a system message data.system, the seed
 * of run.seed and the response's number. Forced scores (generate.force_score) cannot be asked for. */
int dump_prompts(const char *path, const struct config *config);

#endif
