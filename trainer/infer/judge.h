/* judge: N scored critiques of both responses of a record (method.md, section 2, step 1): two calls to the generator, whose samples become candidates. */
#ifndef TRAINER_INFER_JUDGE_H
#define TRAINER_INFER_JUDGE_H

#include "dataset/encode.h"
#include "dataset/pairs.h"
#include "trainer/infer/generator.h"

/* "Score: " and 1..10, for generate.force_score. */
int score_line_force(const struct tokenizer *tokenizer, struct forced_line *out);
void score_line_force_free(struct forced_line *forced);

struct judge {
    const struct config *config;
    const struct encoder *encoder;
    struct generator *generator;
    struct generator_rule rule;
    struct forced_line forced;
};

/* The rest is borrowed. */
int judge_open(const struct config *config, const struct encoder *encoder, struct generator *generator, struct judge *out);
void judge_close(struct judge *judge);

enum judge_skip { JUDGE_ASKED, JUDGE_EQUAL, JUDGE_DIVERGES, JUDGE_NO_ROOM };        /* why a record has no candidates */

/* A record being judged: owned memory. record is complete when n_left is 0. */
struct judged {
    struct candidate_record record;
    enum judge_skip skip;
    int64_t n_left;                         /* samples to come */
    const struct judge *judge;
    char *id, *subset;
    struct token_list prompt, response[2], *text[2];
    struct candidate *candidate[2];
    int (*done)(void *owner, struct judged *judged);
    void *owner;
};

/* Encodes the record and submits its calls; done is called, perhaps at once, when all candidates are there. It may free the record. */
int judge_submit(const struct judge *judge, const struct pair_record *record, int (*done)(void *owner, struct judged *judged), void *owner, struct judged **out);
void judged_free(struct judged **judged);

#endif
