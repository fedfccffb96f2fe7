/* special_tokens: the two tokens that training must know by number, from the backbone's tokenizer and the chat template. */
#ifndef LAUNCH_SPECIAL_TOKENS_H
#define LAUNCH_SPECIAL_TOKENS_H

#include "base/config.h"
#include "dataset/dsub.h"

struct special_tokens { int64_t reward, end_of_turn; char reward_text[64]; char tokenizer[17]; };

int special_tokens_read(const struct config *config, struct special_tokens *out);
/* FAILED when the set was made with another tokenizer. */
int special_tokens_check(const struct special_tokens *tokens, const struct dsub *dsub);

#endif
