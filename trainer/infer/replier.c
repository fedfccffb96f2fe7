/* replier: see replier.h. */
#include "trainer/infer/replier.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/eval/criticbench.h"
#include "trainer/infer/forced_score.h"

static bool has_verdict(const char *text, size_t n_bytes)
{
    (void)n_bytes;
    return criticbench_verdict(text) != VERDICT_NONE;
}

/* A line end, and one of two verdicts. */
static int make_forced(const struct tokenizer *t, struct forced_line *out)
{
    static const char *const choice[] = {"[[correct]]", "[[wrong]]"};
    out->n_choices = 2;
    TRY(tokenizer_encode(t, "\n", 1, TOKENIZER_CONTINUE, &out->begin));
    for (int i = 0; i < 2; i++)
        TRY(tokenizer_encode(t, choice[i], strlen(choice[i]), TOKENIZER_CONTINUE, &out->choice[i]));
    return OK;
}

int replier_open(const struct config *config, const struct encoder *encoder, struct generator *generator, struct replier *out)
{
    *out = (struct replier){.encoder = encoder, .generator = generator};
    out->critique = (struct generator_rule){.top_p = 1.0f, .max_new = config->data.max_critique_tokens, .stop = config->generate.stop};
    out->answer = out->critique;
    out->answer.max_new = config->generate.max_response_tokens;
    TRY(encode_instruction(encoder, INSTRUCTION_VERDICT, NULL, 0, &out->instruction));
    if (!config->generate.force_score)
        return OK;
    out->critique.forced = &out->forced;
    out->critique.satisfied = has_verdict;
    return make_forced(encoder->tokenizer, &out->forced);
}

void replier_close(struct replier *r)
{
    forced_score_free(&r->forced);
    token_list_free(&r->instruction);
}

void reply_free(struct reply *r)
{
    free(r->critique);
    free(r->answer);
    token_list_free(&r->prompt);
    token_list_free(&r->response);
    *r = (struct reply){0};
}

/* One text under the response and an instruction; *asked false: the context leaves no room for it. */
static int ask(struct reply *r, const struct token_list *instruction, const struct generator_rule *rule, int (*done)(void *, const struct generator_sample *), bool *asked)
{
    struct generator_call call = {.n_nodes = 3, .node = {{r->prompt.token, r->prompt.n}, {r->response.token, r->response.n}, {instruction->token, instruction->n}}, .n_samples = 1, .rule = *rule,
                                  .done = done, .owner = r};
    *asked = generator_fits(r->replier->generator, call.node, call.n_nodes, rule) != GENERATOR_NO_CONTEXT;
    return *asked ? generator_submit(r->replier->generator, &call) : OK;
}

static int take(struct reply *r, const struct generator_sample *sample, char **text, size_t *n_bytes)
{
    r->n_cut += sample->finish == FINISH_LIMIT;
    return text_repair(sample->text, sample->n_bytes, text, n_bytes);
}

static int take_answer(void *owner, const struct generator_sample *sample)
{
    struct reply *r = owner;
    size_t n_bytes;
    TRY(take(r, sample, &r->answer, &n_bytes));
    return r->done(r->owner, r);
}

static int take_critique(void *owner, const struct generator_sample *sample)
{
    struct reply *r = owner;
    struct token_list instruction = {0};
    size_t n_bytes;
    bool asked;
    TRY(take(r, sample, &r->critique, &n_bytes));
    if (!r->wants_answer)
        return r->done(r->owner, r);
    struct text critique = text_trim((struct text){r->critique, n_bytes});
    int status = encode_instruction(r->replier->encoder, INSTRUCTION_CORRECT, critique.bytes, critique.n_bytes, &instruction);
    if (status == OK)
        status = ask(r, &instruction, &r->replier->answer, take_answer, &asked);
    token_list_free(&instruction);
    TRY(status);
    return asked ? OK : r->done(r->owner, r);
}

int replier_ask(const struct replier *replier, const struct message *prompt, int n_messages, struct text response, bool wants_answer, int (*done)(void *owner, struct reply *reply), void *owner,
                struct reply *out)
{
    bool asked;
    *out = (struct reply){.replier = replier, .wants_answer = wants_answer, .done = done, .owner = owner};
    TRY(encode_prompt(replier->encoder, prompt, n_messages, &out->prompt));
    TRY(encode_bare_response(replier->encoder, response.bytes, response.n_bytes, &out->response));
    TRY(ask(out, &replier->instruction, &replier->critique, take_critique, &asked));
    return asked ? OK : done(owner, out);
}
