/* template_model: what a model's own chat template says, without running it: its default system message stands there as a literal. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "dataset/template.h"

/* A literal of ChatML, "<|im_start|>system\n" TEXT "<|im_end|>", in the template's source: \n may be written as a line end or as backslash n; a TEXT with a quote or a brace is
 * code, not a literal. */
static void find_literal(const char *source, char out[TEMPLATE_TEXT])
{
    static const char begin[] = "<|im_start|>system", end[] = "<|im_end|>";
    for (const char *at = strstr(source, begin); at; at = strstr(at, begin)) {
        at += sizeof begin - 1;
        const char *text = at + (*at == '\n' ? 1 : strncmp(at, "\\n", 2) == 0 ? 2 : 0), *stop = strstr(text, end);
        size_t n = stop ? (size_t)(stop - text) : 0;
        if (text == at || n == 0 || n >= TEMPLATE_TEXT || strcspn(text, "'\"{}\\") < n)
            continue;
        memcpy(out, text, n);
        out[n] = 0;
        return;
    }
}

/* A text, or a list of named texts of which "default" counts. */
static const char *source_of(json_t *template)
{
    size_t i;
    json_t *entry;
    json_array_foreach(template, i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(entry, "template"));
    }
    return json_string_value(template);
}

/* Newer folders keep the source in a file of its own. */
static int read_jinja(const char *path, char out[TEMPLATE_TEXT])
{
    char *source;
    size_t n_bytes;
    TRY(file_read(path, &source, &n_bytes));
    find_literal(source, out);
    free(source);
    return OK;
}

int template_model_system(const char *folder, char out[TEMPLATE_TEXT])
{
    char path[2048];
    json_t *root;
    *out = 0;
    TRY(path_join(path, sizeof path, folder, "chat_template.jinja"));
    if (file_exists(path))
        return read_jinja(path, out);
    TRY(path_join(path, sizeof path, folder, "tokenizer_config.json"));
    if (!file_exists(path))
        return OK;
    TRY(json_parse_file(path, &root));
    const char *source = source_of(json_object_get(root, "chat_template"));
    if (source)
        find_literal(source, out);
    json_decref(root);
    return OK;
}
