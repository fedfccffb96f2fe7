/* template: chat templates as a few lines of text, no code. Built in: llama3, llama3.1, chatml, mistral; or a file of the same grammar.
 *
 *   key=text          one a line; in text \n is a line end, \\ a backslash, and special tokens stand as they are written
 *   begin=            once, before everything
 *   system= user=     a turn; {content} is the message, {date} today's date as configured
 *   assistant=        what stands before an assistant's message
 *   end=              the end-of-turn token, after it
 *   after=            what follows the end of turn before the next turn
 *   default_system=   system message of conversations that have none (data.system; with data.template auto, else the one that the model's own chat template writes)
 *   always_system=yes a system turn is written even with an empty message
 *   system_in_user=yes there is no system turn: its message and an empty line are put before the first user message
 *   trim=yes          messages lose white space at both ends
 *   reward=           the reward token of the family
 * Lines that begin with # are comments.
 */
#ifndef DATASET_TEMPLATE_H
#define DATASET_TEMPLATE_H

#include "dataset/tokenizer.h"

enum { TEMPLATE_TEXT = 1024 };

struct chat_template {
    char begin[TEMPLATE_TEXT], system[TEMPLATE_TEXT], user[TEMPLATE_TEXT], assistant[TEMPLATE_TEXT], end[TEMPLATE_TEXT], after[TEMPLATE_TEXT], default_system[TEMPLATE_TEXT], reward[TEMPLATE_TEXT];
    bool always_system, system_in_user, trim;
    uint64_t hash;              /* of everything that makes rendered text */
};

/* name: a built-in, "auto" (by the tokenizer's special tokens), or a file. system overrides default_system unless empty. */
int template_open(const char *name, const struct tokenizer *tokenizer, const char *today_date, const char *system, struct chat_template *out);
/* The system message that the model's own chat template (chat_template.jinja, else tokenizer_config.json, of its folder) writes for conversations that have none: SmolLM2 and Qwen do. out is "" when
 * there is no such file or message. FAILED for a file that is not JSON. */
int template_model_system(const char *folder, char out[TEMPLATE_TEXT]);
int template_parse(const char *text, size_t n_bytes, const char *where, struct chat_template *out);

#endif
