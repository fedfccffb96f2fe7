/* replier: what a model replies on an item of CriticBench (method.md, section 6): asked for its verdict it writes a critique that ends with one; asked to answer anew, with the critique
 * before it, it writes a corrected answer. Both greedy, so that nothing hangs on chance. */
#ifndef TRAINER_INFER_REPLIER_H
#define TRAINER_INFER_REPLIER_H

#include "dataset/encode.h"
#include "trainer/infer/generator.h"

struct replier {
    const struct encoder *encoder;
    struct generator *generator;
    struct generator_rule critique, answer;
    struct token_list instruction;          /* verdict */
};

/* The rest is borrowed. */
int replier_open(const struct config *config, const struct encoder *encoder, struct generator *generator, struct replier *out);
void replier_close(struct replier *replier);

/* An item at work, or replied on. Owned memory: free it when it is done, or when the generator takes no further step. */
struct reply {
    const struct replier *replier;
    bool wants_answer;
    char *critique, *answer;                /* NULL: the context left no room for it; answer: or it was not wanted */
    int n_cut;                              /* of the two, by their limits */
    struct token_list prompt, response;
    int (*done)(void *owner, struct reply *reply);
    void *owner;
};

/* done is called, perhaps at once, when all is there. It may free what the reply owns. Free out also after a failure. */
int replier_ask(const struct replier *replier, const struct message *prompt, int n_messages, struct text response, bool wants_answer, int (*done)(void *owner, struct reply *reply), void *owner,
                struct reply *out);
void reply_free(struct reply *reply);

#endif
