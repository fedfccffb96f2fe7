/* instruction: see instruction.h. */
#include "dataset/instruction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/lines.h"
#include "base/status.h"
#include "dataset/built_in_instructions.h"

static const struct { const char *name, *placeholder, *built_in; size_t key; } known[N_INSTRUCTIONS] = {
    [INSTRUCTION_CRITIQUE] = {"critique", "", CRITIQUE_INSTRUCTION, offsetof(struct config, data.critique_prompt)},
    [INSTRUCTION_JUDGE] = {"judge", "", JUDGE_INSTRUCTION, offsetof(struct config, data.judge_prompt)},
    [INSTRUCTION_SUMMARISE] = {"summarise", "{critiques}", SUMMARISE_INSTRUCTION, offsetof(struct config, data.summarise_prompt)},
    [INSTRUCTION_RANK] = {"rank", "{critique}", RANK_INSTRUCTION, offsetof(struct config, data.rank_prompt)},
    [INSTRUCTION_VERDICT] = {"verdict", "", VERDICT_INSTRUCTION, offsetof(struct config, data.verdict_prompt)},
    [INSTRUCTION_CORRECT] = {"correct", "{critique}", CORRECT_INSTRUCTION, offsetof(struct config, data.correct_prompt)},
};

const char *instruction_name(enum instruction which) { return known[which].name; }
bool instruction_has_content(enum instruction which) { return *known[which].placeholder != 0; }

/* ---- reading --------------------------------------------------------------------------------------------------------------------------------- */

/* A brace that is not doubled: *n bytes of it are the instruction's placeholder, seen for the first time. */
static int take_placeholder(enum instruction which, const char *at, const char *where, bool *seen, size_t *n)
{
    const char *name = known[which].name, *wanted = known[which].placeholder;
    size_t inside = strcspn(at + 1, "{}\n") + 1;
    CHECK(*at == '{' && at[inside] == '}', "%s: a brace stands alone in the %s instruction, at '%.20s': write {{ or }} for a brace", where, name, at);
    *n = inside + 1;
    CHECK(*n == strlen(wanted) && memcmp(at, wanted, *n) == 0, "%s: the %s instruction has the placeholder '%.*s', but it knows %s: write {{ and }} for braces", where, name,
          (int)(*n < 40 ? *n : 40), at, *wanted ? wanted : "none");
    CHECK(!*seen, "%s: the %s instruction has the placeholder %s twice: it must stand there once", where, name, wanted);
    *seen = true;
    return OK;
}

/* source to shown, which has room for as many bytes. */
static int unbrace(enum instruction which, const char *where, struct instruction_text *t, bool *seen)
{
    size_t n;
    for (const char *at = t->source; *at; at += n) {
        n = strcspn(at, "{}");
        memcpy(t->shown + t->n_shown, at, n);
        t->n_shown += n;
        if (n > 0 || !*at)
            continue;
        if (at[1] == at[0]) {
            t->shown[t->n_shown++] = *at;
            n = 2;
            continue;
        }
        TRY(take_placeholder(which, at, where, seen, &n));
        t->n_before = t->n_shown;
    }
    t->shown[t->n_shown] = 0;
    return OK;
}

static int parse(enum instruction which, const char *text, size_t n, const char *where, struct instruction_text *t)
{
    bool seen = false;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    CHECK(n > 0, "the %s instruction %s is empty", known[which].name, where);
    CHECK(utf8_valid(text, n) && !memchr(text, 0, n), "%s: the %s instruction is not text in UTF-8", where, known[which].name);
    t->source = strndup(text, n);
    t->shown = malloc(n + 1);
    CHECK(t->source && t->shown, "out of memory for the %s instruction", known[which].name);
    t->n_source = n;
    TRY(unbrace(which, where, t, &seen));
    CHECK(seen || !instruction_has_content(which), "%s: the %s instruction lacks the placeholder %s", where, known[which].name, known[which].placeholder);
    return OK;
}

int instruction_parse(enum instruction which, const char *text, size_t n_bytes, const char *where, struct instruction_text *out)
{
    *out = (struct instruction_text){0};
    int status = parse(which, text, n_bytes, where, out);
    if (status != OK)
        instruction_free(out);
    return status;
}

int instruction_open(const struct config *config, enum instruction which, struct instruction_text *out)
{
    char *text;
    size_t n_bytes;
    const char *path = (const char *)config + known[which].key;
    if (!*path)
        return instruction_parse(which, known[which].built_in, strlen(known[which].built_in), "the built-in text", out);
    TRY(file_read(path, &text, &n_bytes));
    int status = instruction_parse(which, text, n_bytes, path, out);
    free(text);
    return status;
}

void instruction_free(struct instruction_text *t)
{
    free(t->source);
    free(t->shown);
    *t = (struct instruction_text){0};
}

/* ---- writing --------------------------------------------------------------------------------------------------------------------------------- */

static size_t append(char *to, const char *bytes, size_t n)
{
    if (n > 0)
        memcpy(to, bytes, n);
    return n;
}

int instruction_fill(const struct instruction_text *t, struct text content, char **out, size_t *n_bytes)
{
    size_t used;
    char *all = malloc(t->n_shown + content.n_bytes + 1);
    CHECK(all, "out of memory for an instruction of %zu bytes", t->n_shown + content.n_bytes);
    used = append(all, t->shown, t->n_before);
    used += append(all + used, content.bytes, content.n_bytes);
    used += append(all + used, t->shown + t->n_before, t->n_shown - t->n_before);
    all[used] = 0;
    *out = all;
    *n_bytes = used;
    return OK;
}

int instruction_list(const struct text *critique, int n, char **out, size_t *n_bytes)
{
    size_t most = 1, used = 0;
    for (int i = 0; i < n; i++)
        most += critique[i].n_bytes + 16;
    char *all = malloc(most);
    CHECK(all, "out of memory for a list of %d critiques", n);
    for (int i = 0; i < n; i++) {
        used += (size_t)snprintf(all + used, most - used, "%s%d. ", i > 0 ? "\n\n" : "", i + 1);
        used += append(all + used, critique[i].bytes, critique[i].n_bytes);
    }
    all[used] = 0;
    *out = all;
    *n_bytes = used;
    return OK;
}
