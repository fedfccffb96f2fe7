/* encode: literal text of the template and messages are joined between special tokens and encoded together, as Hugging Face would. */
#include "dataset/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"

/* ---- joining --------------------------------------------------------------------------------------------------------------------------------- */

struct joint { const struct encoder *e; struct token_list *out; char *plain; size_t n, max; };

static int add_plain(struct joint *j, const char *text, size_t n)
{
    if (n == 0)
        return OK;
    if (j->n + n > j->max) {
        char *grown = realloc(j->plain, (j->n + n) * 2 + 256);
        CHECK(grown, "out of memory while rendering a conversation");
        j->plain = grown;
        j->max = (j->n + n) * 2 + 256;
    }
    memcpy(j->plain + j->n, text, n);
    j->n += n;
    return OK;
}

static int flush(struct joint *j)
{
    if (j->n > 0)
        TRY(tokenizer_encode(j->e->tokenizer, j->plain, j->n, TOKENIZER_CONTINUE, j->out));
    j->n = 0;
    return OK;
}

/* The template's own text: its special tokens become ids. */
static int add_literal(struct joint *j, const char *text, size_t n)
{
    while (n > 0) {
        size_t at, length;
        uint32_t id;
        if (!tokenizer_next_special(j->e->tokenizer, text, n, &at, &length, &id))
            return add_plain(j, text, n);
        TRY(add_plain(j, text, at));
        TRY(flush(j));
        TRY(token_list_add(j->out, id));
        text += at + length;
        n -= at + length;
    }
    return OK;
}

static int add_text(struct joint *j, const char *literal) { return add_literal(j, literal, strlen(literal)); }

static int add_content(struct joint *j, const char *text, size_t n)
{
    struct text t = {text, n};
    if (j->e->template.trim)
        t = text_trim(t);
    return add_plain(j, t.bytes, t.n_bytes);
}

/* A turn "before {content} after". */
static int add_turn(struct joint *j, const char *format, const char *lead, const char *text, size_t n)
{
    const char *at = strstr(format, "{content}");
    TRY(add_literal(j, format, (size_t)(at - format)));
    if (*lead) {
        TRY(add_content(j, lead, strlen(lead)));
        TRY(add_plain(j, "\n\n", 2));
    }
    TRY(add_content(j, text, n));
    return add_text(j, at + 9);
}

static int finish(struct joint *j, int status, int32_t from)
{
    if (status == OK)
        status = flush(j);
    free(j->plain);
    for (int32_t i = from; status == OK && i < j->out->n; i++)
        if (j->out->token[i] == (uint32_t)j->e->reward)
            status = FAIL("the reward token occurs in a rendered text: set reward.token to a token that texts never use");
    return status;
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------------------------------- */

static int add_message(struct joint *j, const struct message *m, const char *lead)
{
    const struct chat_template *t = &j->e->template;
    if (strcmp(m->role, "system") == 0) {
        CHECK(strstr(t->system, "{content}"), "a conversation has a system message that is not its first, for which the template has no turn");
        return add_turn(j, t->system, "", m->text, m->n_bytes);
    }
    if (strcmp(m->role, "user") == 0)
        return add_turn(j, t->user, lead, m->text, m->n_bytes);
    CHECK(strcmp(m->role, "assistant") == 0, "a message has the role '%.40s': system, user and assistant are known", m->role);
    TRY(add_text(j, t->assistant));
    TRY(add_content(j, m->text, m->n_bytes));
    TRY(add_text(j, t->end));
    return add_text(j, t->after);
}

static int render_prompt(struct joint *j, const struct message *message, int n)
{
    const struct chat_template *t = &j->e->template;
    bool has = n > 0 && strcmp(message[0].role, "system") == 0;
    struct message system = has ? message[0] : (struct message){"system", t->default_system, strlen(t->default_system)};
    char *lead = NULL;
    CHECK(n > has && strcmp(message[n - 1].role, "user") == 0, "a prompt must end with a user's message");
    TRY(add_text(j, t->begin));
    if (t->system_in_user && system.n_bytes > 0) {
        lead = strndup(system.text, system.n_bytes);
        CHECK(lead, "out of memory while rendering a conversation");
    } else if (!t->system_in_user && (has || system.n_bytes > 0 || t->always_system)) {
        TRY(add_message(j, &system, ""));
    }
    int status = OK;
    for (int i = has; i < n && status == OK; i++)
        status = add_message(j, &message[i], lead && i == (int)has ? lead : "");
    free(lead);
    TRY(status);
    return add_text(j, t->assistant);
}

int encode_prompt(const struct encoder *e, const struct message *message, int n, struct token_list *out)
{
    struct joint j = {.e = e, .out = out};
    int32_t from = out->n;
    return finish(&j, render_prompt(&j, message, n), from);
}

int encode_critique(const struct encoder *e, const char *text, size_t n, struct token_list *out)
{
    struct joint j = {.e = e, .out = out};
    int32_t from = out->n;
    int status = add_content(&j, text, n);
    if (status == OK)
        status = add_text(&j, e->template.end);
    return finish(&j, status, from);
}

int encode_response(const struct encoder *e, const char *text, size_t n, struct token_list *out)
{
    TRY(encode_critique(e, text, n, out));
    for (int32_t i = 0; i < e->lead_in.n; i++)
        TRY(token_list_add(out, e->lead_in.token[i]));
    return OK;
}

/* ---- instructions ---------------------------------------------------------------------------------------------------------------------------- */

static int render_instruction(struct joint *j, const char *text, size_t n)
{
    const struct chat_template *t = &j->e->template;
    TRY(add_text(j, t->after));
    TRY(add_turn(j, t->user, "", text, n));
    return add_text(j, t->assistant);
}

int encode_instruction(const struct encoder *e, enum instruction which, const char *content, size_t n_bytes, struct token_list *out)
{
    struct joint j = {.e = e, .out = out};
    int32_t from = out->n;
    char *text;
    size_t n;
    ASSERT((content != NULL) == instruction_has_content(which));
    TRY(instruction_fill(&e->instruction[which], (struct text){content, n_bytes}, &text, &n));
    int status = finish(&j, render_instruction(&j, text, n), from);
    free(text);
    return status;
}

static int encode_list(const struct encoder *e, const struct text *critique, int n, struct token_list *out)
{
    char *list;
    size_t n_bytes;
    TRY(instruction_list(critique, n, &list, &n_bytes));
    int status = encode_instruction(e, INSTRUCTION_SUMMARISE, list, n_bytes, out);
    free(list);
    return status;
}

/* Bisection: each further critique makes the list longer. */
int encode_summarise(const struct encoder *e, const struct text *critique, int n, int32_t max_tokens, struct token_list *out, int *n_shown)
{
    int32_t from = out->n;
    int low = 0, high = n, tried = -1;
    for (int attempt = n; low < high; attempt = low + (high - low + 1) / 2) {
        out->n = from;
        TRY(encode_list(e, critique, attempt, out));
        tried = attempt;
        if (out->n - from <= max_tokens)
            low = attempt;
        else
            high = attempt - 1;
    }
    *n_shown = low;
    if (tried == low)
        return OK;
    out->n = from;
    return low > 0 ? encode_list(e, critique, low, out) : OK;
}

int decode_critique(const struct encoder *e, struct tokens node, char **text, size_t *n_bytes) { return tokenizer_decode(e->tokenizer, node.token, node.n, false, text, n_bytes); }

uint64_t encoder_instruction_hash(const struct encoder *e, enum instruction which)
{
    return hash_bytes(e->instruction[which].source, e->instruction[which].n_source, e->template.hash);
}

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

static int open_ends(const char *folder, struct encoder *e)
{
    struct end_tokens all;
    TRY(end_tokens_read(folder, &all));
    for (int i = 0; i < all.n; i++)
        if (all.id[i] != e->reward)
            e->ends.id[e->ends.n++] = all.id[i];
    return OK;
}

static int open_parts(const struct config *config, struct encoder *e)
{
    CHECK_USAGE(*config->backbone.path, "backbone.path is not set: name a Hugging Face folder");
    TRY(tokenizer_open(config->backbone.path, &e->tokenizer));
    char system[TEMPLATE_TEXT] = "";
    if (!*config->data.system && strcmp(config->data.template, "auto") == 0)
        TRY(template_model_system(config->backbone.path, system));
    TRY(template_open(config->data.template, e->tokenizer, config->data.today_date, *system ? system : config->data.system, &e->template));
    for (enum instruction i = 0; i < N_INSTRUCTIONS; i++)
        TRY(instruction_open(config, i, &e->instruction[i]));
    const char *reward = *config->reward.token ? config->reward.token : e->template.reward;
    e->reward = tokenizer_find(e->tokenizer, reward);
    e->end_of_turn = tokenizer_find(e->tokenizer, e->template.end);
    CHECK_USAGE(e->reward >= 0 && e->reward != e->end_of_turn, "the tokenizer has no token '%s' of its own for the reward: set reward.token to a special token that texts never use", reward);
    TRY(open_ends(config->backbone.path, e));
    return encode_instruction(e, INSTRUCTION_CRITIQUE, NULL, 0, &e->lead_in);
}

int encoder_open(const struct config *config, struct encoder **out)
{
    struct encoder *e = calloc(1, sizeof *e);
    CHECK(e, "out of memory for the encoder");
    int status = open_parts(config, e);
    if (status != OK)
        encoder_close(&e);
    else
        *out = e;
    return status;
}

void encoder_close(struct encoder **out)
{
    struct encoder *e = *out;
    if (!e)
        return;
    tokenizer_close(&e->tokenizer);
    token_list_free(&e->lead_in);
    for (enum instruction i = 0; i < N_INSTRUCTIONS; i++)
        instruction_free(&e->instruction[i]);
    free(e);
    *out = NULL;
}

int encoder_meta(const struct encoder *e, const char *model, struct shard_meta *out)
{
    memset(out, 0, sizeof *out);
    CHECK(e->lead_in.n <= SHARD_MAX_LEAD_IN, "the critique instruction has %d tokens, more than %d: shorten it", e->lead_in.n, SHARD_MAX_LEAD_IN);
    hash_to_hex(tokenizer_hash(e->tokenizer), out->tokenizer);
    hash_to_hex(encoder_instruction_hash(e, INSTRUCTION_CRITIQUE), out->template);
    snprintf(out->model, sizeof out->model, "%.500s", model);
    out->n_lead_in = e->lead_in.n;
    memcpy(out->lead_in, e->lead_in.token, (size_t)e->lead_in.n * sizeof *out->lead_in);
    return OK;
}
