/* encode: literal text of the template and messages are joined between special tokens and encoded together, as Hugging Face would. */
#include "dataset/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "dataset/critique_prompt.h"

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

/* White space as Jinja's trim (Python's strip) knows it. */
static bool is_white(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Bytes of the white space character at text, 0 when there is none. */
static size_t white_at(const char *text, size_t n)
{
    int32_t c;
    utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &c);
    return step > 0 && is_white(c) ? (size_t)step : 0;
}

static void trimmed(const struct encoder *e, const char **text, size_t *n)
{
    size_t step;
    if (!e->template.trim)
        return;
    for (; *n > 0 && (step = white_at(*text, *n)) > 0; *n -= step)
        *text += step;
    while (*n > 0) {
        for (step = 1; step < *n && ((unsigned char)(*text)[*n - step] & 0xc0) == 0x80; step++) {}
        if (white_at(*text + *n - step, step) != step)
            return;
        *n -= step;
    }
}

static int add_content(struct joint *j, const char *text, size_t n)
{
    trimmed(j->e, &text, &n);
    return add_plain(j, text, n);
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

static int render_lead_in(struct joint *j)
{
    const struct chat_template *t = &j->e->template;
    TRY(add_text(j, t->after));
    TRY(add_turn(j, t->user, "", j->e->instruction, strlen(j->e->instruction)));
    return add_text(j, t->assistant);
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

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

static int read_instruction(const struct config *config, char **out)
{
    size_t n;
    if (!*config->data.critique_prompt) {
        *out = strdup(CRITIQUE_PROMPT);
        CHECK(*out, "out of memory for the critique instruction");
    } else {
        TRY(file_read(config->data.critique_prompt, out, &n));
    }
    n = strlen(*out);
    while (n > 0 && (*out)[n - 1] == '\n')
        (*out)[--n] = 0;
    CHECK(n > 0, "the critique instruction %s is empty", config->data.critique_prompt);
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
    TRY(read_instruction(config, &e->instruction));
    const char *reward = *config->reward.token ? config->reward.token : e->template.reward;
    e->reward = tokenizer_find(e->tokenizer, reward);
    e->end_of_turn = tokenizer_find(e->tokenizer, e->template.end);
    CHECK_USAGE(e->reward >= 0 && e->reward != e->end_of_turn, "the tokenizer has no token '%s' of its own for the reward: set reward.token to a special token that texts never use", reward);
    struct joint j = {.e = e, .out = &e->lead_in};
    return finish(&j, render_lead_in(&j), 0);
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
    free(e->instruction);
    free(e);
    *out = NULL;
}

int encoder_meta(const struct encoder *e, const char *model, struct shard_meta *out)
{
    memset(out, 0, sizeof *out);
    CHECK(e->lead_in.n <= SHARD_MAX_LEAD_IN, "the critique instruction has %d tokens, more than %d: shorten it", e->lead_in.n, SHARD_MAX_LEAD_IN);
    hash_to_hex(tokenizer_hash(e->tokenizer), out->tokenizer);
    hash_to_hex(hash_bytes(e->instruction, strlen(e->instruction), e->template.hash), out->template);
    snprintf(out->model, sizeof out->model, "%.500s", model);
    out->n_lead_in = e->lead_in.n;
    memcpy(out->lead_in, e->lead_in.token, (size_t)e->lead_in.n * sizeof *out->lead_in);
    return OK;
}
