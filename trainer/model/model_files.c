/* model_files: see model_files.h. */
#include "trainer/model/model_files.h"

#include <stddef.h>

#include "base/file.h"
#include "base/status.h"

const struct model_file model_files[] = {
    {"tokenizer.json", false}, {"tokenizer.json.gz", false}, {"tokenizer_config.json", true}, {"special_tokens_map.json", true}, {"tokenizer.model", false}, {"vocab.json", false},
    {"merges.txt", false}, {"added_tokens.json", false}, {"chat_template.jinja", false}, {"chat_template.json", false}, {"generation_config.json", false}, {"critic-rm.json", false}, {NULL, false}};

static int remove_one(const char *folder, const char *name)
{
    char path[1200];
    TRY(path_join(path, sizeof path, folder, name));
    return file_remove(path);
}

int model_files_remove(const char *folder)
{
    TRY(remove_one(folder, "config.json"));
    for (const struct model_file *file = model_files; file->name; file++)
        TRY(remove_one(folder, file->name));
    return OK;
}

static int copy_one(const char *from, const char *to, const char *name)
{
    char source[1200], target[1200];
    TRY(path_join(source, sizeof source, from, name));
    TRY(path_join(target, sizeof target, to, name));
    return file_exists(source) && !file_exists(target) ? file_copy(source, target) : OK;
}

int model_files_copy(const char *from, const char *to)
{
    TRY(dir_make(to));
    for (const struct model_file *file = model_files; file->name; file++)
        TRY(copy_one(from, to, file->name));
    return copy_one(from, to, "config.json");      /* last: its presence says that the folder is whole */
}
