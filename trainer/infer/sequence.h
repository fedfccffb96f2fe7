/* sequence: one sample at work. Its tokens are fed to the backbone, row by row; what follows the last of them depends on its phase:
 *
 *   TEXT      a token is drawn: the text goes on, or ends (end of turn or another end, stop text, limit)
 *   FORCED    a token of the forced line's end is drawn among the few that may follow
 *   REWARD    the reward is read
 *   ENDED     nothing: the sample is complete
 *
 *   TEXT -> [FORCED] -> [REWARD] -> ENDED          without a text (max_new 0): REWARD -> ENDED, the reward token standing under the path itself
 */
#ifndef TRAINER_INFER_SEQUENCE_H
#define TRAINER_INFER_SEQUENCE_H

#include "trainer/infer/generator.h"

enum sequence_phase { SEQUENCE_TEXT, SEQUENCE_FORCED, SEQUENCE_REWARD, SEQUENCE_ENDED };

struct sequence {
    const struct generator_rule *rule;
    const struct tokenizer *tokenizer;
    struct philox random;
    int64_t reward_token, end_of_turn;
    const struct end_tokens *ends;      /* NULL: the end of turn alone */
    enum sequence_phase phase;
    uint32_t *token;                    /* [max_tokens] text, forced line, end of turn, reward token */
    int32_t n, n_fed, max_tokens;       /* tokens known; tokens whose keys are in the cache */
    int32_t n_text;                     /* of the text and the forced line */
    int32_t n_chosen;                   /* of the forced line's end */
    enum finish finish;
    bool was_forced;
    char *stop_rest;                    /* bytes before the stop text in the token that it cut; NULL: none */
    float reward;
};

/* Tokens that a sequence of this rule may come to have. */
int64_t sequence_most_tokens(const struct generator_rule *rule);
int sequence_begin(const struct generator_rule *rule, const struct generator_options *options, const struct tokenizer *tokenizer, const struct philox *random, struct sequence *out);
void sequence_end(struct sequence *sequence);

/* True when all its tokens are fed and one must be drawn; the rule for it. allowed receives what may be drawn (room for GENERATOR_MAX_FORCED + 1), *n_allowed how many. */
bool sequence_draws(const struct sequence *sequence);
void sequence_rule(const struct sequence *sequence, struct sample_rule *rule, uint32_t *allowed, int32_t *n_allowed);
/* Takes the token that was drawn. */
int sequence_take(struct sequence *sequence, uint32_t token);
/* The text so far as bytes, malloc'd. */
int sequence_text(const struct sequence *sequence, char **text, size_t *n_bytes);

#endif
