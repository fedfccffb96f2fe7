/* forced_score: generate.force_score: a judge that did not end with its score's line has it begun, and only 1..10 may follow. */
#ifndef TRAINER_INFER_FORCED_SCORE_H
#define TRAINER_INFER_FORCED_SCORE_H

#include "trainer/infer/generator.h"

/* A line end, "Score:", and the ten scores. */
int forced_score_make(const struct tokenizer *tokenizer, struct forced_line *out);
void forced_score_free(struct forced_line *forced);
/* The text's last line is a score's. */
bool has_score_line(const char *text, size_t n_bytes);

#endif
