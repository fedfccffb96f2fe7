/* sampler: responses to a prompt, and what the judge, the same model, says of each (design.md, `sample`): N scored critiques of every response, asked for as soon as it is written. */
#ifndef TRAINER_INFER_SAMPLER_H
#define TRAINER_INFER_SAMPLER_H

#include "trainer/infer/judge.h"

struct sampler {
    const struct judge *judge;
    struct generator_rule rule;     /* of responses */
    int32_t n_responses;
};

/* The judge is borrowed; responses are drawn from its generator. */
void sampler_make(const struct config *config, const struct judge *judge, struct sampler *out);
/* USAGE when the cache could not hold a response of generate.max_response_tokens under any prompt. */
int sampler_check_cache(const struct sampler *sampler);

struct sampled_response {
    char *text;
    size_t n_bytes;
    enum finish finish;             /* LIMIT: cut by generate.max_response_tokens */
    struct token_list node;
    struct judging judging;         /* n 0: the context left no room for a critique */
};

/* A prompt at work, or done with. Owned memory: free it when it is done, or when the generator takes no further step. */
struct sampled {
    const struct sampler *sampler;
    struct token_list prompt;
    int32_t n, n_left;              /* responses; those that are not judged yet */
    struct sampled_response *response;
    int64_t lacks_mb;               /* a response could not be judged for want of cache, and this generate.kv_memory_mb would do; 0: all could */
    int (*done)(void *owner, struct sampled *sampled);
    void *owner;
};

/* done is called when all responses are judged. FAILED when the context or the cache leaves no room for a response to the prompt. Free out also after a failure. */
int sampler_submit(const struct sampler *sampler, const struct message *prompt, int n_messages, int (*done)(void *owner, struct sampled *sampled), void *owner, struct sampled *out);
void sampled_free(struct sampled *sampled);

#endif
