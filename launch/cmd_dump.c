/* dump: D_sub -> JSON lines on standard output. Texts are decoded: the prompt is the rendered one, without its special tokens' effect. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "dataset/dsub.h"
#include "dataset/encode.h"
#include "launch/command.h"

struct dumping { const struct dsub *dsub; const struct encoder *encoder; uint32_t *token; int64_t max; };

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

static int dump_pair(struct dumping *d, int64_t number, json_t *line)
{
    const struct shard *s = d->dsub->shard[d->dsub->pair[number].file];
    int64_t i = d->dsub->pair[number].index, n = (int64_t)(s->prompt[i + 1] - s->prompt[i]);
    json_t *text;
    json_object_set_new(line, "id", json_stringn_nocheck(s->id + s->id_offset[i], (size_t)(s->id_offset[i + 1] - s->id_offset[i])));
    json_object_set_new(line, "subset", json_stringn_nocheck(s->subset + s->subset_offset[i], (size_t)(s->subset_offset[i + 1] - s->subset_offset[i])));
    TRY(reserve(d, n));
    TRY(shard_read_prompt(s, i, d->token));
    TRY(text_of(d, d->token, n, true, &text));
    json_object_set_new(line, "prompt", text);
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

int cmd_dump(const struct command *command)
{
    struct dsub *dsub;
    struct encoder *encoder;
    CHECK_USAGE(command->argc == 1, "dump takes one argument: DSUB_DIR");
    if (command->world->rank != 0)
        return OK;
    TRY(dsub_open(command->argv[0], &dsub));
    int status = encoder_open(&command->config, &encoder);
    if (status == OK) {
        struct dumping dumping = {.dsub = dsub, .encoder = encoder};
        status = dump_all(&dumping);
        free(dumping.token);
        encoder_close(&encoder);
    }
    dsub_close(&dsub);
    return status;
}
