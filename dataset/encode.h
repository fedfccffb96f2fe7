/* encode: records to nodes. Each node's part of the rendered template is encoded by itself, so that no token spans a border:
 *   prompt     begin, turns, and the header of the assistant's turn that follows
 *   response   its text, end of turn, [lead-in: what follows the end of turn, the critique instruction as a user turn, the next assistant header]
 *   critique   its text, end of turn
 * Special tokens come from the template alone: a message's text never yields one. */
#ifndef DATASET_ENCODE_H
#define DATASET_ENCODE_H

#include "base/config.h"
#include "dataset/end_tokens.h"
#include "dataset/instruction.h"
#include "dataset/shard.h"
#include "dataset/template.h"

struct message { const char *role; const char *text; size_t n_bytes; };      /* role: system, user, assistant */

struct encoder {
    struct tokenizer *tokenizer;
    struct chat_template template;
    struct instruction_text instruction[N_INSTRUCTIONS];
    int64_t reward, end_of_turn;
    struct end_tokens ends;     /* at which a text that the model writes ends too; never the reward token */
    struct token_list lead_in;  /* as encode_instruction makes it of INSTRUCTION_CRITIQUE */
};

int encoder_open(const struct config *config, struct encoder **out);
void encoder_close(struct encoder **encoder);
/* What a set made with it says of itself. */
int encoder_meta(const struct encoder *encoder, const char *model, struct shard_meta *out);

/* All append to out. FAILED when the reward token would occur. */
int encode_prompt(const struct encoder *encoder, const struct message *message, int n, struct token_list *out);
int encode_response(const struct encoder *encoder, const char *text, size_t n_bytes, struct token_list *out);      /* with lead-in */
int encode_critique(const struct encoder *encoder, const char *text, size_t n_bytes, struct token_list *out);
/* A response without lead-in is a node of the same form: an assistant's text and its end of turn. Any instruction can follow it. */
static inline int encode_bare_response(const struct encoder *encoder, const char *text, size_t n_bytes, struct token_list *out) { return encode_critique(encoder, text, n_bytes, out); }

/* What stands between a response's end of turn and what the model writes next: the template's `after`, the instruction as a user turn, the next assistant header.
 * content: what its placeholder stands for, NULL where it has none. It is text as messages are: it never yields a special token. */
int encode_instruction(const struct encoder *encoder, enum instruction which, const char *content, size_t n_bytes, struct token_list *out);
/* INSTRUCTION_SUMMARISE over the first critiques of a list, as many whole ones as keep what is appended at or below max_tokens. *n_shown 0: not even one does, and
 * nothing is appended. */
int encode_summarise(const struct encoder *encoder, const struct text *critique, int n, int32_t max_tokens, struct token_list *out, int *n_shown);
/* A critique's or bare response's node back to its text, malloc'd, a 0 behind it. */
int decode_critique(const struct encoder *encoder, struct tokens node, char **text, size_t *n_bytes);

/* Of the template and the instruction: what a text asked for with it depends on, beside the model. That of INSTRUCTION_CRITIQUE is shard_meta's `template`. */
uint64_t encoder_instruction_hash(const struct encoder *encoder, enum instruction which);

#endif
