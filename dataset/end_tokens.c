/* end_tokens: see end_tokens.h. */
#include "dataset/end_tokens.h"

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

static int add(json_t *id, const char *path, struct end_tokens *out)
{
    CHECK(json_is_integer(id) && json_integer_value(id) >= 0, "%s: \"eos_token_id\" must be a token's number, or a list of them", path);
    CHECK(out->n < END_TOKENS_MAX, "%s: \"eos_token_id\" has more than %d tokens", path, END_TOKENS_MAX);
    out->id[out->n++] = json_integer_value(id);
    return OK;
}

static int add_all(json_t *root, const char *path, struct end_tokens *out)
{
    size_t i;
    json_t *one, *value = json_object_get(root, "eos_token_id");
    if (!value || json_is_null(value))
        return OK;
    if (!json_is_array(value))
        return add(value, path, out);
    json_array_foreach(value, i, one)
        TRY(add(one, path, out));
    return OK;
}

int end_tokens_read(const char *folder, struct end_tokens *out)
{
    static const char *const file[] = {"generation_config.json", "config.json"};
    char path[2048];
    json_t *root;
    *out = (struct end_tokens){0};
    for (size_t i = 0; i < sizeof file / sizeof *file && out->n == 0; i++) {
        TRY(path_join(path, sizeof path, folder, file[i]));
        if (!file_exists(path))
            continue;
        TRY(json_parse_file(path, &root));
        int status = add_all(root, path, out);
        json_decref(root);
        TRY(status);
    }
    return OK;
}
