/* scorer: see scorer.h. */
#include "trainer/infer/scorer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/text.h"

void scorer_make(const struct config *config, int mode, const struct encoder *encoder, struct generator *generator, struct scorer *out)
{
    bool reads = mode != MODE_REWARD_ONLY;
    *out = (struct scorer){.encoder = encoder, .generator = generator, .reads_critique = reads, .n_samples = reads ? (int32_t)config->generate.samples : 1};
    out->rule = (struct generator_rule){.temperature = out->n_samples > 1 ? (float)config->generate.score_temperature : 0.0f, .top_p = (float)config->generate.top_p,
                                        .min_p = (float)config->generate.min_p, .top_k = (int32_t)config->generate.top_k, .max_new = reads ? config->data.max_critique_tokens : 0,
                                        .stop = config->generate.stop, .read_reward = true};
}

static int take(void *owner, const struct generator_sample *sample)
{
    struct scored *s = owner;
    size_t n_bytes;
    s->reward[sample->index] = sample->reward;
    s->n_cut += sample->finish == FINISH_LIMIT;
    if (s->scorer->reads_critique)
        TRY(text_repair(sample->text, sample->n_bytes, &s->critique[sample->index], &n_bytes));
    return --s->n_left == 0 ? s->done(s->owner, s) : OK;
}

void scored_free(struct scored **out)
{
    struct scored *s = *out;
    if (!s)
        return;
    for (int32_t i = 0; s->critique && i < s->n; i++)
        free(s->critique[i]);
    *s->at = s->next;
    if (s->next)
        s->next->at = s->at;
    free(s->critique);
    free(s->reward);
    free(s);
    *out = NULL;
}

void scorer_drop(struct scorer *scorer, void (*drop)(void *owner))
{
    while (scorer->first) {
        struct scored *s = scorer->first;
        drop(s->owner);
        scored_free(&s);
    }
}

static void link_in(struct scorer *scorer, struct scored *s)
{
    s->scorer = scorer;
    s->next = scorer->first;
    s->at = &scorer->first;
    if (s->next)
        s->next->at = &s->next;
    scorer->first = s;
}

static int make(struct scorer *scorer, struct scored **out)
{
    struct scored *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory for a score");
    link_in(scorer, s);
    s->n = s->n_left = scorer->n_samples;
    s->reward = calloc((size_t)s->n, sizeof *s->reward);
    s->critique = calloc((size_t)s->n, sizeof *s->critique);
    if (!s->reward || !s->critique) {
        scored_free(&s);
        return FAIL("out of memory for %d critiques", scorer->n_samples);
    }
    *out = s;
    return OK;
}

static int submit(struct scorer *scorer, struct scored *s, const struct token_list *prompt, const struct token_list *response)
{
    struct generator_call call = {.n_nodes = 2, .node = {{prompt->token, prompt->n}, {response->token, response->n}}, .n_samples = s->n, .rule = scorer->rule, .done = take, .owner = s};
    s->n_path = prompt->n + response->n;
    enum generator_fit fit = generator_fits(scorer->generator, call.node, call.n_nodes, &scorer->rule);
    s->no_room = fit == GENERATOR_NO_CONTEXT;
    s->lacks_mb = fit == GENERATOR_NO_CACHE ? generator_kv_memory_mb(scorer->generator, call.node, call.n_nodes, &scorer->rule) : 0;
    if (fit != GENERATOR_FITS) {
        s->n = 0;
        return s->done(s->owner, s);
    }
    int status = generator_submit(scorer->generator, &call);
    if (status != OK)
        scored_free(&s);
    return status;
}

int scorer_submit(struct scorer *scorer, const struct message *message, int n_messages, const char *text, size_t n_bytes, int (*done)(void *owner, struct scored *scored), void *owner)
{
    struct token_list prompt = {0}, response = {0};
    struct scored *s = NULL;
    int status = encode_prompt(scorer->encoder, message, n_messages, &prompt);
    if (status == OK)
        status = scorer->reads_critique ? encode_response(scorer->encoder, text, n_bytes, &response) : encode_bare_response(scorer->encoder, text, n_bytes, &response);
    if (status == OK)
        status = make(scorer, &s);
    if (status == OK) {
        s->done = done;
        s->owner = owner;
        status = submit(scorer, s, &prompt, &response);
    }
    token_list_free(&prompt);
    token_list_free(&response);
    return status;
}

double scored_mean(const struct scored *s)
{
    double sum = 0.0;
    for (int32_t i = 0; i < s->n; i++)
        sum += (double)s->reward[i];
    return s->n > 0 ? sum / s->n : NAN;
}
