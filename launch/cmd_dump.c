/* critic-rm dump: a set as JSON lines on standard output (dump.h); D_sub stands here, the other kinds in files of their own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "dataset/candidates.h"
#include "launch/command.h"
#include "launch/dump.h"

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

static int dump_critiques(struct dumping *d, const struct shard *s, int64_t index, int side, json_t *list)
{
    uint64_t first = s->critiques_of_response[2 * index + side], end = s->critiques_of_response[2 * index + side + 1];
    TRY(reserve(d, (int64_t)(s->critique[end] - s->critique[first])));
    TRY(shard_read_critiques(s, index, side, d->token));
    for (uint64_t c = first; c < end; c++) {
        json_t *one = json_object(), *text;
        json_array_append_new(list, one);
        TRY(dump_text(d->encoder, (struct tokens){d->token + (s->critique[c] - s->critique[first]), (int32_t)(s->critique[c + 1] - s->critique[c])}, &text));
        json_object_set_new(one, "text", text);
        dump_score(one, "judge_score", s->judge_score[c]);
        dump_score(one, "quality", s->quality[c]);
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
    TRY(dump_text(d->encoder, (struct tokens){d->token, (int32_t)(n - lead_in)}, &text));
    json_object_set_new(object, "text", text);
    return dump_critiques(d, s, index, side, list);
}

static int prompt_of(struct dumping *d, const struct shard *s, int64_t i, bool conversation, json_t **out)
{
    int64_t n = (int64_t)(s->prompt[i + 1] - s->prompt[i]);
    TRY(reserve(d, n));
    TRY(shard_read_prompt(s, i, d->token));
    return dump_prompt(d->encoder, (struct tokens){d->token, (int32_t)n}, conversation, out);
}

/* ---- records --------------------------------------------------------------------------------------------------------------------------------- */

/* The last message is the one critique of an empty response. */
static int dump_conversation(struct dumping *d, const struct shard *s, int64_t i, json_t *line)
{
    json_t *messages, *list, *text = NULL, *last = json_object();
    int status = prompt_of(d, s, i, true, &messages);
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
    TRY(prompt_of(d, s, i, false, &prompt));
    json_object_set_new(line, "prompt", prompt);
    TRY(dump_side(d, s, i, 0, line));
    return dump_side(d, s, i, 1, line);
}

static int dump_all(struct dumping *d)
{
    for (int64_t i = 0; i < d->dsub->n_pairs; i++) {
        json_t *line = json_object();
        int status = dump_pair(d, i, line);
        if (status != OK) {
            json_decref(line);
            return status;
        }
        TRY(dump_line(line));
    }
    return OK;
}

int dump_dsub(const char *folder, const struct encoder *encoder)
{
    struct dsub *dsub;
    TRY(dsub_open(folder, &dsub));
    struct dumping d = {.dsub = dsub, .encoder = encoder};
    int status = dump_check_tokenizer(encoder, &dsub->meta);
    if (status == OK)
        status = dump_all(&d);
    free(d.token);
    dsub_close(&dsub);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------------------- */

static int dump_set(const struct command *command)
{
    const char *folder = command->argv[0];
    struct encoder *encoder;
    TRY(encoder_open(&command->config, &encoder));
    int status = candidates_is_set(folder) ? dump_candidates(folder, encoder) : dump_dsub(folder, encoder);
    encoder_close(&encoder);
    return status;
}

int cmd_dump(const struct command *command)
{
    bool prompts = command->dump_what && strcmp(command->dump_what, "prompts") == 0;
    CHECK_USAGE(!command->dump_what || prompts, "dump --what %.40s: only prompts can be asked for", command->dump_what);
    CHECK_USAGE(command->argc == 1, prompts ? "dump --what prompts takes one argument: PAIRS.jsonl" : "dump takes one argument: the folder of a set");
    if (command->world->rank != 0)
        return OK;
    return prompts ? dump_prompts(command->argv[0], &command->config) : dump_set(command);
}
