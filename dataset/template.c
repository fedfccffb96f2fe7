/* template: built-in templates are texts of the same grammar as files. */
#include "dataset/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"

static const struct { const char *name, *text; } builtin[] = {
    {"llama3", "begin=<|begin_of_text|>\nsystem=<|start_header_id|>system<|end_header_id|>\\n\\n{content}<|eot_id|>\nuser=<|start_header_id|>user<|end_header_id|>\\n\\n{content}<|eot_id|>\n"
               "assistant=<|start_header_id|>assistant<|end_header_id|>\\n\\n\nend=<|eot_id|>\ntrim=yes\nreward=<|reserved_special_token_0|>\n"},
    {"llama3.1", "begin=<|begin_of_text|>\nsystem=<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: {date}\\n\\n{content}<|eot_id|>\n"
                 "user=<|start_header_id|>user<|end_header_id|>\\n\\n{content}<|eot_id|>\nassistant=<|start_header_id|>assistant<|end_header_id|>\\n\\n\nend=<|eot_id|>\nalways_system=yes\n"
                 "trim=yes\nreward=<|reserved_special_token_0|>\n"},
    {"chatml", "system=<|im_start|>system\\n{content}<|im_end|>\\n\nuser=<|im_start|>user\\n{content}<|im_end|>\\n\nassistant=<|im_start|>assistant\\n\nend=<|im_end|>\nafter=\\n\n"
               "reward=<|endoftext|>\n"},
    {"mistral", "begin=<s>\nuser=[INST] {content}[/INST]\nassistant= \nend=</s>\nsystem_in_user=yes\nreward=<unk>\n"},
};

struct field { const char *key; size_t offset; };
#define FIELD(name) {#name, offsetof(struct chat_template, name)}
static const struct field texts[] = {FIELD(begin), FIELD(system), FIELD(user), FIELD(assistant), FIELD(end), FIELD(after), FIELD(default_system), FIELD(reward)};
static const struct field switches[] = {FIELD(always_system), FIELD(system_in_user), FIELD(trim)};

static int unescape(const char *from, size_t n, const char *where, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        CHECK(used + 1 < TEMPLATE_TEXT, "%s: a text is longer than %d bytes", where, TEMPLATE_TEXT - 1);
        CHECK(from[i] != '\\' || (i + 1 < n && (from[i + 1] == 'n' || from[i + 1] == '\\')), "%s: a backslash is followed by neither n nor a backslash", where);
        out[used++] = from[i] != '\\' ? from[i] : from[++i] == 'n' ? '\n' : '\\';
    }
    out[used] = 0;
    return OK;
}

static int parse_line(const char *line, size_t n, const char *where, struct chat_template *t)
{
    const char *equals = memchr(line, '=', n);
    CHECK(equals, "%s: '%.*s' is not key=text", where, (int)(n < 40 ? n : 40), line);
    size_t k = (size_t)(equals - line), m = n - k - 1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i].key) == k && memcmp(texts[i].key, line, k) == 0)
            return unescape(equals + 1, m, where, (char *)t + texts[i].offset);
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++)
        if (strlen(switches[i].key) == k && memcmp(switches[i].key, line, k) == 0) {
            CHECK((m == 3 && memcmp(equals + 1, "yes", 3) == 0) || (m == 2 && memcmp(equals + 1, "no", 2) == 0), "%s: %s must be yes or no", where, switches[i].key);
            *(bool *)((char *)t + switches[i].offset) = m == 3;
            return OK;
        }
    return FAIL("%s: there is no key '%.*s'", where, (int)(k < 40 ? k : 40), line);
}

int template_parse(const char *text, size_t n_bytes, const char *where, struct chat_template *out)
{
    memset(out, 0, sizeof *out);
    for (size_t at = 0, line = 1; at < n_bytes; line++) {
        char place[1200];
        const char *lf = memchr(text + at, '\n', n_bytes - at);
        size_t n = lf ? (size_t)(lf - text) - at : n_bytes - at;
        snprintf(place, sizeof place, "%s, line %zu", where, line);
        if (n > 0 && text[at] != '#')
            TRY(parse_line(text + at, n, place, out));
        at += n + 1;
    }
    CHECK(strstr(out->user, "{content}") && *out->end, "%s: a template needs user= with {content}, and end=", where);
    CHECK(out->system_in_user || strstr(out->system, "{content}"), "%s: a template needs system= with {content}, or system_in_user=yes", where);
    return OK;
}

/* Llama 3 and 3.1 have the same special tokens but one that 3.1 added. */
static const char *guess(const struct tokenizer *t)
{
    if (tokenizer_find(t, "<|eot_id|>") >= 0)
        return tokenizer_find(t, "<|eom_id|>") >= 0 ? "llama3.1" : "llama3";
    if (tokenizer_find(t, "<|im_end|>") >= 0)
        return "chatml";
    return tokenizer_find(t, "[INST]") >= 0 || tokenizer_find(t, "</s>") >= 0 ? "mistral" : NULL;
}

static int load(const char *name, struct chat_template *out)
{
    for (size_t i = 0; i < sizeof builtin / sizeof *builtin; i++)
        if (strcmp(builtin[i].name, name) == 0)
            return template_parse(builtin[i].text, strlen(builtin[i].text), name, out);
    char *text;
    size_t n_bytes;
    CHECK_USAGE(file_exists(name), "data.template %s is neither built in (auto, llama3, llama3.1, chatml, mistral) nor a file", name);
    TRY(file_read(name, &text, &n_bytes));
    int status = template_parse(text, n_bytes, name, out);
    free(text);
    return status;
}

static int put_date(struct chat_template *t, const char *date)
{
    char out[TEMPLATE_TEXT], *at = strstr(t->system, "{date}");
    if (!at)
        return OK;
    int n = snprintf(out, sizeof out, "%.*s%s%s", (int)(at - t->system), t->system, date, at + 6);
    CHECK_USAGE(n < TEMPLATE_TEXT, "data.today_date is too long");
    strcpy(t->system, out);
    return OK;
}

int template_open(const char *name, const struct tokenizer *tokenizer, const char *today_date, const char *system, struct chat_template *out)
{
    const char *chosen = strcmp(name, "auto") == 0 ? guess(tokenizer) : name;
    CHECK_USAGE(chosen, "the tokenizer has the special tokens of none of the built-in templates: set data.template");
    TRY(load(chosen, out));
    TRY(put_date(out, today_date));
    CHECK_USAGE(strlen(system) < TEMPLATE_TEXT, "data.system is longer than %d bytes", TEMPLATE_TEXT - 1);
    if (*system)
        strcpy(out->default_system, system);
    CHECK(tokenizer_find(tokenizer, out->end) >= 0, "the template %s ends turns with %s, which the tokenizer lacks: choose another data.template", chosen, out->end);
    out->hash = hash_bytes(out, offsetof(struct chat_template, hash), 0);
    return OK;
}
