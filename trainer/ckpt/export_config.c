/* export_config: see export_config.h. */
#include "trainer/ckpt/export_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "trainer/model/model_files.h"

/* ---- config.json ---- */

/* The id of a key that holds one or, like eos_token_id at times, a list; -1: none. */
static int64_t token_of(json_t *config, const char *key)
{
    json_t *value = json_object_get(config, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* The first of the config's own tokens that is not the reward token: scoring finds the last token that is not padding. */
static int64_t choose_pad(json_t *config, int64_t reward_token)
{
    static const char *const keys[] = {"pad_token_id", "eos_token_id", "bos_token_id"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t id = token_of(config, keys[i]);
        if (id >= 0 && id != reward_token)
            return id;
    }
    return reward_token == 0 ? 1 : 0;
}

static void set_dtype(json_t *config, enum dtype dtype)
{
    const char *name = dtype == F32 ? "float32" : "bfloat16";
    json_object_set_new(config, "dtype", json_string(name));
    if (json_object_get(config, "torch_dtype"))     /* the older name of the key */
        json_object_set_new(config, "torch_dtype", json_string(name));
}

static int edit_config(json_t *config, const char *where, enum dtype dtype, int64_t reward_token, const char *reward_token_text, int64_t *pad_token)
{
    CHECK(json_is_object(config), "%s: expected a JSON object", where);
    *pad_token = choose_pad(config, reward_token);
    set_dtype(config, dtype);
    json_object_set_new(config, "pad_token_id", json_integer((json_int_t)*pad_token));
    json_object_set_new(config, "num_labels", json_integer(1));
    json_object_set_new(config, "id2label", json_pack("{s:s}", "0", "reward"));
    json_object_set_new(config, "label2id", json_pack("{s:i}", "reward", 0));
    json_object_set_new(config, "problem_type", json_string("regression"));
    json_object_del(config, "_name_or_path");
    if (reward_token < 0)
        return OK;
    json_object_set_new(config, "reward_token_id", json_integer((json_int_t)reward_token));
    json_object_set_new(config, "reward_token", json_string(reward_token_text));
    return OK;
}

int export_config(const char *json, size_t n_bytes, const char *where, enum dtype dtype, int64_t reward_token, const char *reward_token_text, char **out, int64_t *pad_token)
{
    json_t *config = NULL;
    TRY(json_parse(json, n_bytes, where, &config));
    int status = edit_config(config, where, dtype, reward_token, reward_token_text, pad_token);
    *out = status == OK ? json_dumps(config, JSON_INDENT(2)) : NULL;
    json_decref(config);
    if (status == OK && !*out)
        return FAIL("%s: out of memory", where);
    return status;
}

/* ---- tokenizer ---- */

static int write_json(json_t *root, const char *path)
{
    char *text = json_dumps(root, JSON_INDENT(2));
    CHECK(text, "out of memory while writing %s", path);
    int status = file_write_atomic(path, text, strlen(text));
    free(text);
    return status;
}

/* The text of a token of tokenizer.json's added_tokens, where special tokens stand; "" when it is not there. */
static int token_text(const char *folder, int64_t id, char *out, size_t size)
{
    char path[1200];
    json_t *root = NULL, *token;
    size_t i;
    *out = 0;
    TRY(path_join(path, sizeof path, folder, "tokenizer.json"));
    if (!file_exists(path))
        return OK;
    TRY(json_parse_file(path, &root));
    json_array_foreach(json_object_get(root, "added_tokens"), i, token) {
        const char *text = json_string_value(json_object_get(token, "content"));
        if (text && strlen(text) < size && json_integer_value(json_object_get(token, "id")) == id)
            strcpy(out, text);
    }
    json_decref(root);
    return OK;
}

/* A copy of a JSON file with "pad_token" set. */
static int copy_with_pad(const char *from, const char *to, const char *pad)
{
    json_t *root = NULL;
    TRY(json_parse_file(from, &root));
    if (json_is_object(root) && *pad)
        json_object_set_new(root, "pad_token", json_string(pad));
    int status = write_json(root, to);
    json_decref(root);
    return status;
}

static int copy_tokenizer(const char *from, const char *to, int64_t pad_token)
{
    char source[1200], target[1200], pad[128];
    TRY(token_text(from, pad_token, pad, sizeof pad));
    for (const struct model_file *file = model_files; file->name; file++) {
        TRY(path_join(source, sizeof source, from, file->name));
        TRY(path_join(target, sizeof target, to, file->name));
        if (!file_exists(source))
            continue;
        TRY(file->has_pad ? copy_with_pad(source, target, pad) : file_copy(source, target));
    }
    if (!*pad)
        log_warn("%s: the padding token %lld has no text in tokenizer.json; pad with it by its id", from, (long long)pad_token);
    return OK;
}

int export_texts(const struct export_options *options, const struct checkpoint_info *info, char **config)
{
    char path[1200], *json = NULL;
    size_t n_bytes;
    int64_t pad_token = 0;
    TRY(path_join(path, sizeof path, options->model, "config.json"));
    TRY(file_read(path, &json, &n_bytes));
    int status = export_config(json, n_bytes, path, options->dtype, info->reward_token, info->reward_token_text, config, &pad_token);
    free(json);
    TRY(status);
    return copy_tokenizer(options->model, options->out, pad_token);
}

int export_config_write(const struct export_options *options, const char *config)
{
    char path[1200];
    TRY(path_join(path, sizeof path, options->out, "config.json"));
    return file_write_atomic(path, config, strlen(config));
}
