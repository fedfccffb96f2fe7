/* judge: see judge.h. */
#include "trainer/infer/judge.h"

#include <math.h>
#include <stdlib.h>

#include "dataset/draft.h"
#include "trainer/infer/forced_score.h"

int judge_open(const struct config *config, const struct encoder *encoder, struct generator *generator, struct judge *out)
{
    *out = (struct judge){.config = config, .encoder = encoder, .generator = generator};
    out->rule = (struct generator_rule){.temperature = (float)config->generate.temperature, .top_p = (float)config->generate.top_p, .min_p = (float)config->generate.min_p,
                                        .top_k = (int32_t)config->generate.top_k, .max_new = config->data.max_critique_tokens, .stop = config->generate.stop, .satisfied = has_score_line};
    TRY(encode_instruction(encoder, INSTRUCTION_JUDGE, NULL, 0, &out->instruction));
    if (!config->generate.force_score)
        return OK;
    out->rule.forced = &out->forced;
    return forced_score_make(encoder->tokenizer, &out->forced);
}

void judge_close(struct judge *j)
{
    forced_score_free(&j->forced);
    token_list_free(&j->instruction);
}

/* ---- what the model wrote -------------------------------------------------------------------------------------------------------------------- */

/* The critique is encoded anew: it will stand behind another instruction than it was written under. */
static int fill(const struct judge *judge, struct candidate *c, struct token_list *tokens)
{
    struct written w = written_parse((struct text){c->raw, c->n_raw_bytes}, c->finish, judge->config->generate.keep_score_text);
    c->judge_score = w.judge_score;
    if (w.text.n_bytes > 0)
        TRY(encode_critique(judge->encoder, w.text.bytes, w.text.n_bytes, tokens));
    c->text = (struct tokens){tokens->token, tokens->n};
    return OK;
}

static int take(void *owner, const struct generator_sample *sample)
{
    char *raw;
    struct judging *j = owner;
    struct candidate *c = &j->candidate[sample->index];
    TRY(text_repair(sample->text, sample->n_bytes, &raw, &c->n_raw_bytes));
    c->raw = raw;
    c->finish = sample->finish;
    TRY(fill(j->judge, c, &j->text[sample->index]));
    return --j->n_left == 0 ? j->done(j->owner, j) : OK;
}

void judging_free(struct judging *j)
{
    for (int32_t i = 0; j->text && j->candidate && i < j->n; i++) {
        token_list_free(&j->text[i]);
        free((void *)(uintptr_t)j->candidate[i].raw);
    }
    free(j->text);
    free(j->candidate);
    *j = (struct judging){0};
}

int64_t judging_sum(const struct judging *j, int32_t *n_scored)
{
    int64_t sum = 0;
    *n_scored = 0;
    for (int32_t i = 0; i < j->n; i++)
        if (!isnan(j->candidate[i].judge_score)) {
            sum += (int64_t)j->candidate[i].judge_score;
            ++*n_scored;
        }
    return sum;
}

/* ---- asking ---------------------------------------------------------------------------------------------------------------------------------- */

bool judge_has_room(const struct judge *j, struct tokens prompt, struct tokens response)
{
    const struct tokens node[] = {prompt, response, {j->instruction.token, j->instruction.n}};
    return generator_fits(j->generator, node, 3, &j->rule) != GENERATOR_NO_CONTEXT;
}

int64_t judge_lacks_cache(const struct judge *j, struct tokens prompt, struct tokens response)
{
    const struct tokens node[] = {prompt, response, {j->instruction.token, j->instruction.n}};
    return generator_fits(j->generator, node, 3, &j->rule) == GENERATOR_NO_CACHE ? generator_kv_memory_mb(j->generator, node, 3, &j->rule) : 0;
}

int judge_ask(const struct judge *judge, struct tokens prompt, struct tokens response, int (*done)(void *owner, struct judging *judging), void *owner, struct judging *out)
{
    int32_t n = (int32_t)judge->config->generate.candidates;
    *out = (struct judging){.judge = judge, .n = n, .n_left = n, .done = done, .owner = owner};
    out->candidate = calloc((size_t)n, sizeof *out->candidate);
    out->text = calloc((size_t)n, sizeof *out->text);
    CHECK(out->candidate && out->text, "out of memory for %d candidates", n);
    struct generator_call call = {.n_nodes = 3, .node = {prompt, response, {judge->instruction.token, judge->instruction.n}}, .n_samples = n, .rule = judge->rule, .done = take, .owner = out};
    return generator_submit(judge->generator, &call);
}
