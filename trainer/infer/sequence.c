/* sequence: see sequence.h. */
#include "trainer/infer/sequence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int32_t longest_choice(const struct forced_line *f)
{
    int32_t most = 0;
    for (int i = 0; i < f->n_choices; i++)
        most = f->choice[i].n > most ? f->choice[i].n : most;
    return most;
}

int64_t sequence_most_tokens(const struct generator_rule *r)
{
    if (r->max_new == 0)
        return 1;
    return r->max_new + (r->forced ? r->forced->begin.n + longest_choice(r->forced) : 0) + (r->read_reward ? 2 : 0);
}

static void append(struct sequence *s, uint32_t token)
{
    ASSERT(s->n < s->max_tokens);
    s->token[s->n++] = token;
}

int sequence_begin(const struct generator_rule *rule, const struct generator_options *options, const struct tokenizer *tokenizer, const struct philox *random, struct sequence *s)
{
    *s = (struct sequence){.rule = rule, .tokenizer = tokenizer, .random = *random, .reward_token = options->reward_token, .end_of_turn = options->end_of_turn,
                           .ends = options->ends, .reward = NAN};
    s->max_tokens = (int32_t)sequence_most_tokens(rule);
    s->token = malloc((size_t)s->max_tokens * sizeof *s->token);
    CHECK(s->token, "out of memory for a text of %d tokens", s->max_tokens);
    if (rule->max_new > 0)
        return OK;
    s->phase = SEQUENCE_REWARD;
    append(s, (uint32_t)s->reward_token);
    return OK;
}

void sequence_end(struct sequence *s)
{
    free(s->token);
    free(s->stop_rest);
    *s = (struct sequence){0};
}

/* ---- stop texts ------------------------------------------------------------------------------------------------------------------------------ */

/* The first place in text where one of the stop texts stands; NULL: none. */
static const char *find_stop(const char *text, size_t n, const char *stop)
{
    const char *first = NULL;
    while (*stop) {
        size_t length = strcspn(stop, "|");
        const char *at = length > 0 ? memmem(text, n, stop, length) : NULL;
        first = at && (!first || at < first) ? at : first;
        stop += length + (stop[length] == '|');
    }
    return first;
}

static int32_t longest_stop(const char *stop)
{
    size_t most = 0;
    for (; *stop; stop += strcspn(stop, "|") + (stop[strcspn(stop, "|")] == '|'))
        most = strcspn(stop, "|") > most ? strcspn(stop, "|") : most;
    return (int32_t)most;
}

/* The text is cut before byte `at` of what tokens [from, n) say: whole tokens stay, of the one that is cut its first bytes. */
static int cut_at(struct sequence *s, int32_t from, size_t at)
{
    size_t n_bytes = 0, before = 0;
    char *text = NULL;
    int32_t kept = from - 1;
    while (n_bytes <= at) {
        free(text);
        before = n_bytes;
        kept++;
        TRY(tokenizer_decode(s->tokenizer, s->token + from, kept - from + 1, false, &text, &n_bytes));
    }
    s->n = kept;
    s->n_fed = s->n_fed < s->n ? s->n_fed : s->n;
    s->stop_rest = strndup(text + before, at - before);
    free(text);
    CHECK(s->stop_rest, "out of memory for a text");
    return OK;
}

/* Looks only at the end, where a stop text may just have been completed: every token but special ones has a byte or more. */
static int cut_stop(struct sequence *s, bool *stopped)
{
    char *text;
    size_t n_bytes;
    int32_t from = s->n - longest_stop(s->rule->stop) - 8;
    *stopped = false;
    if (!*s->rule->stop)
        return OK;
    from = from < 0 ? 0 : from;
    TRY(tokenizer_decode(s->tokenizer, s->token + from, s->n - from, false, &text, &n_bytes));
    const char *at = find_stop(text, n_bytes, s->rule->stop);
    int status = OK;
    *stopped = at != NULL;
    if (at)
        status = cut_at(s, from, (size_t)(at - text));
    free(text);
    return status;
}

/* ---- what follows ---------------------------------------------------------------------------------------------------------------------------- */

int sequence_text(const struct sequence *s, char **text, size_t *n_bytes)
{
    TRY(tokenizer_decode(s->tokenizer, s->token, s->n_text, false, text, n_bytes));
    size_t rest = s->stop_rest && !s->was_forced ? strlen(s->stop_rest) : 0;
    if (rest == 0)
        return OK;
    char *grown = realloc(*text, *n_bytes + rest + 1);
    CHECK(grown, "out of memory for a text");
    memcpy(grown + *n_bytes, s->stop_rest, rest + 1);
    *text = grown;
    *n_bytes += rest;
    return OK;
}

static int is_satisfied(const struct sequence *s, bool *out)
{
    char *text;
    size_t n_bytes;
    TRY(sequence_text(s, &text, &n_bytes));
    *out = s->rule->satisfied && s->rule->satisfied(text, n_bytes);
    free(text);
    return OK;
}

static void after_forced(struct sequence *s)
{
    s->n_text = s->n;
    s->phase = s->rule->read_reward ? SEQUENCE_REWARD : SEQUENCE_ENDED;
    if (s->phase == SEQUENCE_REWARD) {
        append(s, (uint32_t)s->end_of_turn);
        append(s, (uint32_t)s->reward_token);
    }
}

static int after_text(struct sequence *s, enum finish finish)
{
    bool satisfied = true;
    s->finish = finish;
    s->n_text = s->n;
    if (s->rule->forced)
        TRY(is_satisfied(s, &satisfied));
    if (satisfied) {
        after_forced(s);
        return OK;
    }
    s->phase = SEQUENCE_FORCED;
    s->was_forced = true;
    for (int32_t i = 0; i < s->rule->forced->begin.n; i++)
        append(s, s->rule->forced->begin.token[i]);
    return OK;
}

static bool is_end(const struct sequence *s, uint32_t token) { return token == (uint32_t)s->end_of_turn || (s->ends && end_tokens_have(s->ends, token)); }

static int take_text(struct sequence *s, uint32_t token)
{
    bool stopped;
    if (!s->rule->ignore_end && is_end(s, token))
        return after_text(s, FINISH_STOP);
    append(s, token);
    TRY(cut_stop(s, &stopped));
    if (stopped)
        return after_text(s, FINISH_STOP);
    return s->n == s->rule->max_new ? after_text(s, FINISH_LIMIT) : OK;
}

/* ---- the forced line ------------------------------------------------------------------------------------------------------------------------- */

/* Choice i begins with what was chosen so far. */
static bool goes_on(const struct sequence *s, int i)
{
    const struct token_list *c = &s->rule->forced->choice[i];
    return c->n >= s->n_chosen && memcmp(c->token, s->token + s->n - s->n_chosen, (size_t)s->n_chosen * sizeof *c->token) == 0;
}

/* The tokens that may follow: the next ones of choices that go on; the end of turn where one is complete. */
static int32_t may_follow(const struct sequence *s, uint32_t *allowed)
{
    int32_t n = 0;
    for (int i = 0; i < s->rule->forced->n_choices; i++) {
        const struct token_list *c = &s->rule->forced->choice[i];
        if (goes_on(s, i))
            allowed[n++] = c->n == s->n_chosen ? (uint32_t)s->end_of_turn : c->token[s->n_chosen];
    }
    return n;
}

static int take_forced(struct sequence *s, uint32_t token)
{
    uint32_t next[GENERATOR_MAX_FORCED];
    if (token != (uint32_t)s->end_of_turn) {
        append(s, token);
        s->n_chosen++;
        if (may_follow(s, next) > 1 || next[0] != (uint32_t)s->end_of_turn)
            return OK;
    }
    after_forced(s);
    return OK;
}

/* ---- drawing --------------------------------------------------------------------------------------------------------------------------------- */

bool sequence_draws(const struct sequence *s) { return s->n_fed == s->n && (s->phase == SEQUENCE_TEXT || s->phase == SEQUENCE_FORCED); }

void sequence_rule(const struct sequence *s, struct sample_rule *rule, uint32_t *allowed, int32_t *n_allowed)
{
    const struct generator_rule *r = s->rule;
    *rule = (struct sample_rule){.temperature = r->temperature, .top_p = r->top_p, .min_p = r->min_p, .top_k = r->top_k, .banned = s->reward_token,
                                 .uniform = philox_uniform(&s->random, (uint32_t)s->n)};
    *n_allowed = s->phase == SEQUENCE_FORCED ? may_follow(s, allowed) : 0;
}

int sequence_take(struct sequence *s, uint32_t token) { return s->phase == SEQUENCE_TEXT ? take_text(s, token) : take_forced(s, token); }
