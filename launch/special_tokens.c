/* special_tokens: looked up among the added tokens and the vocabulary of tokenizer.json. */
#include "launch/special_tokens.h"

#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"

/* The reward token is one that the family's texts never use; the end of turn tells the families apart. */
static const struct { const char *family, *end_of_turn, *reward; } families[] = {
    {"llama3", "<|eot_id|>", "<|reserved_special_token_0|>"},
    {"chatml", "<|im_end|>", "<|endoftext|>"},
    {"mistral", "</s>", "<unk>"},
};

static int64_t find_token(json_t *tokenizer, const char *text)
{
    size_t i;
    json_t *entry, *vocab = json_object_get(json_object_get(tokenizer, "model"), "vocab"), *id = json_object_get(vocab, text);
    if (json_is_integer(id))
        return json_integer_value(id);
    json_array_foreach(json_object_get(tokenizer, "added_tokens"), i, entry) {
        const char *content = json_string_value(json_object_get(entry, "content"));
        if (content && strcmp(content, text) == 0)
            return json_integer_value(json_object_get(entry, "id"));
    }
    return -1;
}

static int choose(const struct config *config, json_t *tokenizer, const char *where, struct special_tokens *out)
{
    int n = (int)(sizeof families / sizeof *families), f = 0;
    while (f < n && (find_token(tokenizer, families[f].end_of_turn) < 0 ||
                     (strcmp(config->data.template, "auto") != 0 && strncmp(config->data.template, families[f].family, strlen(families[f].family)) != 0)))
        f++;
    CHECK(f < n, "%s has the end of turn of none of the templates llama3, chatml and mistral: is it the tokenizer of a chat model?", where);
    const char *reward = *config->reward.token ? config->reward.token : families[f].reward;
    CHECK_USAGE(strlen(reward) < sizeof out->reward_text, "reward.token is longer than %zu bytes", sizeof out->reward_text - 1);
    memcpy(out->reward_text, reward, strlen(reward) + 1);
    out->reward = find_token(tokenizer, reward);
    out->end_of_turn = find_token(tokenizer, families[f].end_of_turn);
    CHECK_USAGE(out->reward >= 0, "%s has no token %s: set reward.token to a special token that texts never use", where, reward);
    return OK;
}

int special_tokens_read(const struct config *config, struct special_tokens *out)
{
    char path[2048];
    uint64_t hash, n_bytes;
    json_t *tokenizer;
    memset(out, 0, sizeof *out);
    TRY(path_join(path, sizeof path, config->backbone.path, "tokenizer.json"));
    TRY(hash_file(path, &hash, &n_bytes));
    hash_to_hex(hash, out->tokenizer);
    TRY(json_parse_file(path, &tokenizer));
    int status = choose(config, tokenizer, path, out);
    json_decref(tokenizer);
    return status;
}

int special_tokens_check(const struct special_tokens *tokens, const struct dsub *dsub)
{
    CHECK(strcmp(tokens->tokenizer, dsub->meta.tokenizer) == 0, "the set was made with another tokenizer (%s, the backbone's is %s): import it again with this backbone", dsub->meta.tokenizer,
          tokens->tokenizer);
    return OK;
}
