/* dump_prompts: the judge's calls for another engine, one line a response. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "dataset/pairs.h"
#include "launch/dump.h"

struct asking { const struct config *config; struct instruction_text judge; int64_t diverging; };

static void add_message(json_t *list, const char *role, const char *text, size_t n_bytes)
{
    json_array_append_new(list, json_pack("{s:s, s:o}", "role", role, "content", json_stringn(text, n_bytes)));
}

/* x, y, and the judge's instruction. A system message of the engine's own template is the engine's affair. */
static json_t *messages_json(const struct asking *a, const struct pair_record *r, int side)
{
    json_t *list = json_array();
    const char *system = a->config->data.system;
    if (*system && strcmp(r->message[0].role, "system") != 0)
        add_message(list, "system", system, strlen(system));
    for (int i = 0; i < r->n_messages; i++)
        add_message(list, r->message[i].role, r->message[i].text, r->message[i].n_bytes);
    add_message(list, "assistant", r->response[side].text, r->response[side].n_bytes);
    add_message(list, "user", a->judge.shown, a->judge.n_shown);
    return list;
}

/* The texts of generate.stop, parted by |. */
static json_t *stops_json(const char *stop)
{
    json_t *list = json_array();
    for (size_t n; *stop; stop += n + (stop[n] == '|')) {
        n = strcspn(stop, "|");
        if (n > 0)
            json_array_append_new(list, json_stringn(stop, n));
    }
    return list;
}

/* Of 31 bits, which every engine takes. */
static json_int_t seed_of(const struct asking *a, int64_t record, int side)
{
    const int64_t words[] = {a->config->run.seed, record, side};
    return (json_int_t)(hash_bytes(words, sizeof words, 0) >> 33);
}

static json_t *body_json(const struct asking *a, const struct pair_record *r, int side)
{
    const struct config *c = a->config;
    json_t *body = json_pack("{s:s, s:o, s:I, s:f, s:f, s:I, s:I}", "model", c->backbone.path, "messages", messages_json(a, r, side), "n", (json_int_t)c->generate.candidates, "temperature",
                             c->generate.temperature, "top_p", c->generate.top_p, "max_tokens", (json_int_t)c->data.max_critique_tokens, "seed", seed_of(a, r->number, side));
    if (c->generate.top_k > 0)
        json_object_set_new(body, "top_k", json_integer(c->generate.top_k));
    if (c->generate.min_p > 0)
        json_object_set_new(body, "min_p", json_real(c->generate.min_p));
    if (*c->generate.stop)
        json_object_set_new(body, "stop", stops_json(c->generate.stop));
    return body;
}

static int dump_call(const struct asking *a, const struct pair_record *r, int side)
{
    char id[64];
    snprintf(id, sizeof id, "%lld-%d-0", (long long)r->number, side);
    return dump_line(json_pack("{s:s, s:s, s:s, s:o}", "custom_id", id, "method", "POST", "url", "/v1/chat/completions", "body", body_json(a, r, side)));
}

static int dump_pair(void *owner, const struct pair_record *r)
{
    struct asking *a = owner;
    a->diverging += r->diverges;
    if (r->diverges)
        return OK;
    CHECK(!r->conversation, "this record is a conversation, but pairs are wanted");
    CHECK(r->n_messages > 0, "a prompt must end with a user's message");
    TRY(dump_call(a, r, 0));
    return dump_call(a, r, 1);
}

int dump_prompts(const char *path, const struct config *config)
{
    int status = OK;
    struct asking a = {.config = config};
    CHECK_USAGE(*config->backbone.path, "backbone.path is not set: it is the model that the calls name");
    TRY_DONE(instruction_open(config, INSTRUCTION_JUDGE, &a.judge));
    TRY_DONE(pairs_each(path, dump_pair, &a));
    if (a.diverging > 0)
        log_info("%lld pairs without a common prompt are left out", (long long)a.diverging);
done:
    instruction_free(&a.judge);
    return status;
}
