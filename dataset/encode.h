/* encode: records to nodes. Each node's part of the rendered template is encoded by itself, so that no token spans a border:
 *   prompt     begin, turns, and the header of the assistant's turn that follows
 *   response   its text, end of turn, [lead-in: what follows the end of turn, the critique instruction as a user turn, the next assistant header]
 *   critique   its text, end of turn
 * Special tokens come from the template alone: a message's text never yields one. */
#ifndef DATASET_ENCODE_H
#define DATASET_ENCODE_H

#include "base/config.h"
#include "dataset/shard.h"
#include "dataset/template.h"

struct message { const char *role; const char *text; size_t n_bytes; };      /* role: system, user, assistant */

struct encoder {
    struct tokenizer *tokenizer;
    struct chat_template template;
    char *instruction;          /* of the critique */
    int64_t reward, end_of_turn;
    struct token_list lead_in;
};

int encoder_open(const struct config *config, struct encoder **out);
void encoder_close(struct encoder **encoder);
/* What a set made with it says of itself. */
int encoder_meta(const struct encoder *encoder, const char *model, struct shard_meta *out);

/* All append to out. FAILED when the reward token would occur. */
int encode_prompt(const struct encoder *encoder, const struct message *message, int n, struct token_list *out);
int encode_response(const struct encoder *encoder, const char *text, size_t n_bytes, struct token_list *out);      /* with lead-in */
int encode_critique(const struct encoder *encoder, const char *text, size_t n_bytes, struct token_list *out);

#endif
