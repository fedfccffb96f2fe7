/* unrender: the template read backwards over the decoded text. It may guess wrong where a message holds the template's marks as plain text; encoding the result anew
 * decides. */
#include "dataset/unrender.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* One turn "before CONTENT after" at *at; moves behind it. */
static bool take_turn(char **at, const char *before, size_t n_before, const char *after, const char *role, struct message *out)
{
    if (strncmp(*at, before, n_before) != 0)
        return false;
    char *begin = *at + n_before, *end = strstr(begin, after);
    if (!end || !*after)
        return false;
    *out = (struct message){role, begin, (size_t)(end - begin)};
    *at = end + strlen(after);
    return true;
}

static bool take_formatted(char **at, const char *format, const char *role, struct message *out)
{
    const char *content = strstr(format, "{content}");
    return content && take_turn(at, format, (size_t)(content - format), content + strlen("{content}"), role, out);
}

static bool take_assistant(char **at, const struct chat_template *t, struct message *out)
{
    char after[2 * TEMPLATE_TEXT];
    memcpy(after, t->end, strlen(t->end));
    memcpy(after + strlen(t->end), t->after, strlen(t->after) + 1);
    return take_turn(at, t->assistant, strlen(t->assistant), after, "assistant", out);
}

/* The whole text, up to the header of the turn that follows; 0 messages when it does not fit. */
static void parse(const struct chat_template *t, struct unrendered *u)
{
    char *at = u->text;
    if (strncmp(at, t->begin, strlen(t->begin)) != 0)
        return;
    at += strlen(t->begin);
    int n = take_formatted(&at, t->system, "system", &u->message[0]);
    while (strcmp(at, t->assistant) != 0) {
        if (n == UNRENDER_MAX_MESSAGES || (!take_formatted(&at, t->user, "user", &u->message[n]) && !take_assistant(&at, t, &u->message[n])))
            return;
        n++;
    }
    u->n = n;
}

/* Does it give the same tokens? A failure to encode is a no. */
static bool gives(const struct encoder *e, const struct message *message, int n, const uint32_t *token, int32_t n_tokens)
{
    struct token_list list = {0};
    struct trace ignored;
    bool same = n > 0 && encode_prompt(e, message, n, &list) == OK && list.n == n_tokens && memcmp(list.token, token, (size_t)n_tokens * sizeof *token) == 0;
    trace_take(&ignored);
    token_list_free(&list);
    return same;
}

/* A system message that the template would add by itself is left out. */
static bool settle(const struct encoder *e, const uint32_t *token, int32_t n, struct unrendered *u)
{
    if (u->n > 1 && strcmp(u->message[0].role, "system") == 0 && gives(e, u->message + 1, u->n - 1, token, n)) {
        memmove(u->message, u->message + 1, (size_t)(--u->n) * sizeof *u->message);
        return true;
    }
    bool same = gives(e, u->message, u->n, token, n);
    if (!same)
        u->n = 0;
    return same;
}

int unrender_prompt(const struct encoder *e, const uint32_t *token, int32_t n, struct unrendered *out, bool *exact)
{
    size_t n_bytes;
    out->n = 0;
    out->text = NULL;
    TRY(tokenizer_decode(e->tokenizer, token, n, true, &out->text, &n_bytes));
    parse(&e->template, out);
    *exact = settle(e, token, n, out);
    return OK;
}

void unrendered_free(struct unrendered *u)
{
    free(u->text);
    u->text = NULL;
    u->n = 0;
}
