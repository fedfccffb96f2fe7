/* special_tokens: what training must know of the text's side, without reading text: two tokens by number, and which tokenizer and template a set must come from. */
#ifndef LAUNCH_SPECIAL_TOKENS_H
#define LAUNCH_SPECIAL_TOKENS_H

#include "base/config.h"
#include "dataset/dsub.h"

struct special_tokens { int64_t reward, end_of_turn; char reward_text[64]; char tokenizer[17], template[17]; };

int special_tokens_read(const struct config *config, struct special_tokens *out);
/* FAILED when the set was made with another tokenizer, or another template or critique instruction. where: its name. */
int special_tokens_check(const struct special_tokens *tokens, const struct dsub *dsub, const char *where);

#endif
