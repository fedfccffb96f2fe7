/* sampler: see sampler.h. */
#include "trainer/infer/sampler.h"

#include <stdlib.h>

void sampler_make(const struct config *config, const struct judge *judge, struct sampler *out)
{
    *out = (struct sampler){.judge = judge, .n_responses = (int32_t)config->generate.responses};
    out->rule = (struct generator_rule){.temperature = (float)config->generate.temperature, .top_p = (float)config->generate.top_p, .min_p = (float)config->generate.min_p,
                                        .top_k = (int32_t)config->generate.top_k, .max_new = config->generate.max_response_tokens, .stop = config->generate.stop};
}

int sampler_check_cache(const struct sampler *sampler)
{
    const struct tokens shortest = {.n = 1};
    const struct generator *g = sampler->judge->generator;
    return generator_fits(g, &shortest, 1, &sampler->rule) == GENERATOR_NO_CACHE ? generator_refuse_cache(g, &shortest, 1, &sampler->rule, USAGE) : OK;
}

void sampled_free(struct sampled *s)
{
    for (int32_t i = 0; s->response && i < s->n; i++) {
        free(s->response[i].text);
        token_list_free(&s->response[i].node);
        judging_free(&s->response[i].judging);
    }
    free(s->response);
    token_list_free(&s->prompt);
    *s = (struct sampled){0};
}

static int end_of_response(struct sampled *s) { return --s->n_left == 0 ? s->done(s->owner, s) : OK; }

static int take_judged(void *owner, struct judging *judging)
{
    (void)judging;
    return end_of_response(owner);
}

/* The text is encoded anew, as it will be read from the file of pairs. */
static int take(void *owner, const struct generator_sample *sample)
{
    struct sampled *s = owner;
    const struct judge *judge = s->sampler->judge;
    struct sampled_response *r = &s->response[sample->index];
    struct tokens prompt = {s->prompt.token, s->prompt.n};
    r->finish = sample->finish;
    TRY(text_repair(sample->text, sample->n_bytes, &r->text, &r->n_bytes));
    TRY(encode_bare_response(judge->encoder, r->text, r->n_bytes, &r->node));
    struct tokens response = {r->node.token, r->node.n};
    int64_t lacks_mb = judge_lacks_cache(judge, prompt, response);
    if (lacks_mb > 0) {
        s->lacks_mb = lacks_mb > s->lacks_mb ? lacks_mb : s->lacks_mb;
        return end_of_response(s);
    }
    return judge_has_room(judge, prompt, response) ? judge_ask(judge, prompt, response, take_judged, s, &r->judging) : end_of_response(s);
}

int sampler_submit(const struct sampler *sampler, const struct message *prompt, int n_messages, int (*done)(void *owner, struct sampled *sampled), void *owner, struct sampled *out)
{
    int32_t n = sampler->n_responses;
    *out = (struct sampled){.sampler = sampler, .n = n, .n_left = n, .done = done, .owner = owner};
    out->response = calloc((size_t)n, sizeof *out->response);
    CHECK(out->response, "out of memory for %d responses", n);
    TRY(encode_prompt(sampler->judge->encoder, prompt, n_messages, &out->prompt));
    struct generator *g = sampler->judge->generator;
    struct generator_call call = {.n_nodes = 1, .node = {{out->prompt.token, out->prompt.n}}, .n_samples = n, .rule = sampler->rule, .done = take, .owner = out};
    if (generator_fits(g, call.node, 1, &call.rule) == GENERATOR_NO_CACHE)
        return generator_refuse_cache(g, call.node, 1, &call.rule, FAILED);
    return generator_submit(g, &call);
}
