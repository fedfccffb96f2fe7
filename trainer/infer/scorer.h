/* scorer: rewards of responses (method.md, section 4): m critiques are sampled under prompt and response, the reward token is appended to each, and the mean of the rewards
 * is the response's. A model trained reward-only reads the response itself. A score does not depend on what is scored beside it. */
#ifndef TRAINER_INFER_SCORER_H
#define TRAINER_INFER_SCORER_H

#include "dataset/encode.h"
#include "trainer/infer/generator.h"

struct scorer {
    const struct encoder *encoder;
    struct generator *generator;
    struct generator_rule rule;
    bool reads_critique;            /* false: reward-only */
    int32_t n_samples;
    struct scored *first;           /* all that are not freed, in no order */
};

/* mode: that the model was trained in (enum objective_mode). The rest is borrowed. */
void scorer_make(const struct config *config, int mode, const struct encoder *encoder, struct generator *generator, struct scorer *out);

/* What became of one response: owned memory. */
struct scored {
    int32_t n;                      /* m; 1 without critique */
    float *reward;                  /* [n] */
    char **critique;                /* [n], NULL entries without critique */
    int32_t n_cut;                  /* critiques that the limit cut */
    bool no_room;                   /* nothing was computed: the context leaves no room for a critique */
    int64_t lacks_mb;               /* nothing was computed: the cache could never hold path and critique, and this generate.kv_memory_mb would; 0: it could */
    int64_t n_path;                 /* tokens of prompt, response and instruction */
    int32_t n_left;
    struct scorer *scorer;
    struct scored *next, **at;      /* in the scorer's list; what points to this one */
    int (*done)(void *owner, struct scored *scored);
    void *owner;
};

/* done is called, perhaps at once, when the response is scored. It may free it. */
int scorer_submit(struct scorer *scorer, const struct message *prompt, int n_messages, const char *response, size_t n_bytes, int (*done)(void *owner, struct scored *scored), void *owner);
void scored_free(struct scored **scored);
/* Frees the scores that will never be done, after the generator's last step: drop gets the owner of each. */
void scorer_drop(struct scorer *scorer, void (*drop)(void *owner));
/* Mean of the rewards; NAN without any. */
double scored_mean(const struct scored *scored);

#endif
