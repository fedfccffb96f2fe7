/* end_tokens: the tokens at which a model's text ends, beside its template's end of turn: eos_token_id of generation_config.json or, where there is none, of config.json, a
 * number or a list. Llama 3.1 may end a text by <|end_of_text|> or <|eom_id|> where its template has <|eot_id|>. */
#ifndef DATASET_END_TOKENS_H
#define DATASET_END_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

enum { END_TOKENS_MAX = 16 };

struct end_tokens { int n; int64_t id[END_TOKENS_MAX]; };

/* Of a Hugging Face folder; none where neither file names one. FAILED when the value is anything else, or more than END_TOKENS_MAX. */
int end_tokens_read(const char *folder, struct end_tokens *out);

static inline bool end_tokens_have(const struct end_tokens *ends, int64_t id)
{
    for (int i = 0; i < ends->n; i++)
        if (ends->id[i] == id)
            return true;
    return false;
}

#endif
