/* judge: N scored critiques of one response (method.md, section 2, step 1): a call to the generator, whose samples become candidates. */
#ifndef TRAINER_INFER_JUDGE_H
#define TRAINER_INFER_JUDGE_H

#include "dataset/candidates.h"
#include "dataset/encode.h"
#include "trainer/infer/generator.h"

struct judge {
    const struct config *config;
    const struct encoder *encoder;
    struct generator *generator;
    struct generator_rule rule;
    struct forced_line forced;
    struct token_list instruction;
};

/* The rest is borrowed. */
int judge_open(const struct config *config, const struct encoder *encoder, struct generator *generator, struct judge *out);
void judge_close(struct judge *judge);

/* A response being judged, or judged. Owned memory: free it when the generator has handed over all its samples, or takes no further step. */
struct judging {
    const struct judge *judge;
    int32_t n, n_left;                  /* candidates; samples to come */
    struct candidate *candidate;        /* [n] */
    struct token_list *text;            /* [n], the candidates' tokens */
    int (*done)(void *owner, struct judging *judging);
    void *owner;
};

/* Does the context leave room for a critique? prompt and response are nodes without any instruction. */
bool judge_has_room(const struct judge *judge, struct tokens prompt, struct tokens response);
/* Where the context does and the cache does not: the generate.kv_memory_mb that would; 0: it does. */
int64_t judge_lacks_cache(const struct judge *judge, struct tokens prompt, struct tokens response);
/* Submits the call; the nodes are copied. USAGE where the cache could never hold it. done is called when all candidates are there. Free out also after a failure. */
int judge_ask(const struct judge *judge, struct tokens prompt, struct tokens response, int (*done)(void *owner, struct judging *judging), void *owner, struct judging *out);
void judging_free(struct judging *judging);

/* Sum and number of the candidates' scores, which are whole numbers. */
int64_t judging_sum(const struct judging *judging, int32_t *n_scored);

#endif
