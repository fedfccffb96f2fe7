/* dump: see dump.h; what the three kinds share. */
#include "launch/dump.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "dataset/text.h"
#include "dataset/unrender.h"

int dump_check_tokenizer(const struct encoder *encoder, const struct shard_meta *meta)
{
    char hex[HASH_HEX_SIZE];
    hash_to_hex(tokenizer_hash(encoder->tokenizer), hex);
    CHECK(strcmp(hex, meta->tokenizer) == 0, "the set was made with another tokenizer than backbone.path's: name the folder of %s", meta->model);
    return OK;
}

static int repaired(const char *bytes, size_t n_bytes, json_t **out)
{
    char *text;
    size_t n_text;
    TRY(text_repair(bytes, n_bytes, &text, &n_text));
    *out = json_stringn_nocheck(text, n_text);
    free(text);
    CHECK(*out, "out of memory while writing JSON");
    return OK;
}

int dump_text(const struct encoder *encoder, struct tokens tokens, json_t **out)
{
    char *bytes;
    size_t n_bytes;
    TRY(tokenizer_decode(encoder->tokenizer, tokens.token, tokens.n, false, &bytes, &n_bytes));
    int status = repaired(bytes, n_bytes, out);
    free(bytes);
    return status;
}

void dump_score(json_t *object, const char *key, float score)
{
    if (isfinite(score))
        json_object_set_new(object, key, json_real((double)score));
}

int dump_line(json_t *line)
{
    bool written = json_dumpf(line, stdout, JSON_COMPACT) == 0 && fputc('\n', stdout) != EOF;
    json_decref(line);
    CHECK(written, "cannot write standard output");
    return OK;
}

/* ---- prompts --------------------------------------------------------------------------------------------------------------------------------- */

static int message_json(const struct message *m, json_t **out)
{
    json_t *content;
    TRY(repaired(m->text, m->n_bytes, &content));
    *out = json_pack("{s:s, s:o}", "role", m->role, "content", content);
    return OK;
}

/* One user message is a string, unless it would be taken for a transcript. */
static int prompt_json(const struct unrendered *u, bool exact, bool conversation, json_t **out)
{
    static const char transcript[] = "\n\nHuman:";
    const struct message *first = &u->message[0];
    if (!exact) {
        log_warn("a prompt quotes the chat template's own words, or was rendered by another one, and is written as it was rendered; import would render it once more: %.80s", u->text);
        return repaired(u->text, strlen(u->text), out);
    }
    if (!conversation && u->n == 1 && strncmp(first->text, transcript, strlen(transcript)) != 0)
        return repaired(first->text, first->n_bytes, out);
    *out = json_array();
    for (int i = 0; i < u->n; i++) {
        json_t *message;
        TRY(message_json(&u->message[i], &message));
        json_array_append_new(*out, message);
    }
    return OK;
}

int dump_prompt(const struct encoder *encoder, struct tokens tokens, bool conversation, json_t **out)
{
    bool exact;
    struct unrendered *u = calloc(1, sizeof *u);
    CHECK(u, "out of memory for a prompt");
    int status = unrender_prompt(encoder, tokens.token, tokens.n, u, &exact);
    if (status == OK)
        status = prompt_json(u, exact, conversation, out);
    unrendered_free(u);
    free(u);
    return status;
}
