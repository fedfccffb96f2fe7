/* dump: D_sub -> JSON lines on standard output, such that import makes the same tokens of them: the prompt is a string or a list of messages where it can be read back
 * from its tokens, else the rendered text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"
#include "dataset/dsub.h"
#include "dataset/unrender.h"
#include "launch/command.h"

struct dumping { const struct dsub *dsub; const struct encoder *encoder; uint32_t *token; int64_t max; struct unrendered prompt; };

static int reserve(struct dumping *d, int64_t n)
{
    if (n <= d->max)
        return OK;
    uint32_t *grown = realloc(d->token, (size_t)n * sizeof *grown);
    CHECK(grown, "out of memory for %lld tokens", (long long)n);
    d->token = grown;
    d->max = n;
    return OK;
}

static int text_of(const struct dumping *d, const uint32_t *token, int64_t n, bool with_special, json_t **out)
{
    char *text;
    size_t n_bytes;
    TRY(tokenizer_decode(d->encoder->tokenizer, token, (int32_t)n, with_special, &text, &n_bytes));
    *out = json_stringn_nocheck(text, n_bytes);
    free(text);
    CHECK(*out, "out of memory while writing JSON");
    return OK;
}

static void put_score(json_t *object, const char *key, float score)
{
    if (isfinite(score))
        json_object_set_new(object, key, json_real((double)score));
}

static int dump_critiques(struct dumping *d, const struct shard *s, int64_t index, int side, json_t *list)
{
    uint64_t first = s->critiques_of_response[2 * index + side], end = s->critiques_of_response[2 * index + side + 1];
    TRY(reserve(d, (int64_t)(s->critique[end] - s->critique[first])));
    TRY(shard_read_critiques(s, index, side, d->token));
    for (uint64_t c = first; c < end; c++) {
        json_t *one = json_object(), *text;
        json_array_append_new(list, one);
        TRY(text_of(d, d->token + (s->critique[c] - s->critique[first]), (int64_t)(s->critique[c + 1] - s->critique[c]), false, &text));
        json_object_set_new(one, "text", text);
        put_score(one, "judge_score", s->judge_score[c]);
        put_score(one, "quality", s->quality[c]);
    }
    return OK;
}

static int dump_side(struct dumping *d, const struct shard *s, int64_t index, int side, json_t *line)
{
    json_t *object = json_object(), *list = json_array(), *text;
    int64_t n = (int64_t)(s->response[2 * index + side + 1] - s->response[2 * index + side]);
    json_object_set_new(line, side ? "rejected" : "chosen", object);
    json_object_set_new(object, "critiques", list);
    TRY(reserve(d, n));
    TRY(shard_read_response(s, index, side, d->token));
    int64_t lead_in = n >= s->meta.n_lead_in ? s->meta.n_lead_in : 0;
    TRY(text_of(d, d->token, n - lead_in, false, &text));
    json_object_set_new(object, "text", text);
    return dump_critiques(d, s, index, side, list);
}

/* ---- prompts --------------------------------------------------------------------------------------------------------------------------------- */

static json_t *message_json(const struct message *m)
{
    json_t *object = json_object();
    json_object_set_new(object, "role", json_string(m->role));
    json_object_set_new(object, "content", json_stringn_nocheck(m->text, m->n_bytes));
    return object;
}

/* One user message is a string, unless it would be taken for a transcript. */
static json_t *prompt_json(const struct unrendered *u, bool exact, bool conversation)
{
    static const char transcript[] = "\n\nHuman:";
    const struct message *first = &u->message[0];
    if (!exact)
        return json_string_nocheck(u->text);
    if (!conversation && u->n == 1 && strncmp(first->text, transcript, strlen(transcript)) != 0)
        return json_stringn_nocheck(first->text, first->n_bytes);
    json_t *list = json_array();
    for (int i = 0; i < u->n; i++)
        json_array_append_new(list, message_json(&u->message[i]));
    return list;
}

static int dump_prompt(struct dumping *d, const struct shard *s, int64_t i, bool conversation, json_t **out)
{
    int64_t n = (int64_t)(s->prompt[i + 1] - s->prompt[i]);
    bool exact;
    TRY(reserve(d, n));
    TRY(shard_read_prompt(s, i, d->token));
    int status = unrender_prompt(d->encoder, d->token, (int32_t)n, &d->prompt, &exact);
    if (status == OK)
        *out = prompt_json(&d->prompt, exact, conversation);
    unrendered_free(&d->prompt);
    return status;
}

/* ---- records --------------------------------------------------------------------------------------------------------------------------------- */

/* The last message is the one critique of an empty response. */
static int dump_conversation(struct dumping *d, const struct shard *s, int64_t i, json_t *line)
{
    json_t *messages, *list, *text = NULL, *last = json_object();
    int status = dump_prompt(d, s, i, true, &messages);
    if (status != OK || !json_is_array(messages)) {
        json_decref(last);
        json_object_set_new(line, "prompt", status == OK ? messages : json_null());
        return status == OK ? dump_side(d, s, i, 0, line) : status;
    }
    json_object_set_new(line, "messages", messages);
    json_array_append_new(messages, last);
    json_object_set_new(last, "role", json_string("assistant"));
    list = json_array();
    status = dump_critiques(d, s, i, 0, list);
    if (status == OK)
        text = json_object_get(json_array_get(list, 0), "text");
    json_object_set(last, "content", text ? text : json_null());
    json_decref(list);
    return status;
}

static int dump_pair(struct dumping *d, int64_t number, json_t *line)
{
    const struct shard *s = d->dsub->shard[d->dsub->pair[number].file];
    int64_t i = d->dsub->pair[number].index;
    json_t *prompt;
    json_object_set_new(line, "id", json_stringn_nocheck(s->id + s->id_offset[i], (size_t)(s->id_offset[i + 1] - s->id_offset[i])));
    json_object_set_new(line, "subset", json_stringn_nocheck(s->subset + s->subset_offset[i], (size_t)(s->subset_offset[i + 1] - s->subset_offset[i])));
    if (s->response[2 * i] == s->response[2 * i + 2])
        return dump_conversation(d, s, i, line);
    TRY(dump_prompt(d, s, i, false, &prompt));
    json_object_set_new(line, "prompt", prompt);
    TRY(dump_side(d, s, i, 0, line));
    return dump_side(d, s, i, 1, line);
}

static int dump_all(struct dumping *d)
{
    for (int64_t i = 0; i < d->dsub->n_pairs; i++) {
        json_t *line = json_object();
        int status = dump_pair(d, i, line);
        if (status == OK && (json_dumpf(line, stdout, JSON_COMPACT) != 0 || fputc('\n', stdout) == EOF))
            status = FAIL("cannot write standard output");
        json_decref(line);
        TRY(status);
    }
    return OK;
}

static int dump(const struct dsub *dsub, const struct encoder *encoder)
{
    char hex[HASH_HEX_SIZE];
    struct dumping *d = calloc(1, sizeof *d);
    CHECK(d, "out of memory for a dump");
    d->dsub = dsub;
    d->encoder = encoder;
    hash_to_hex(tokenizer_hash(encoder->tokenizer), hex);
    int status = strcmp(hex, dsub->meta.tokenizer) == 0 ? dump_all(d) : FAIL("the set was made with another tokenizer than backbone.path's: name the folder of %s", dsub->meta.model);
    free(d->token);
    free(d);
    return status;
}

int cmd_dump(const struct command *command)
{
    struct dsub *dsub;
    struct encoder *encoder = NULL;
    CHECK_USAGE(command->argc == 1, "dump takes one argument: DSUB_DIR");
    if (command->world->rank != 0)
        return OK;
    TRY(dsub_open(command->argv[0], &dsub));
    int status = encoder_open(&command->config, &encoder);
    if (status == OK)
        status = dump(dsub, encoder);
    encoder_close(&encoder);
    dsub_close(&dsub);
    return status;
}
