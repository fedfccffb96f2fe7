/* set: see set.h. */
#include "dataset/set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"

const struct set_form set_dsub = {"dsub", "critic-rm D_sub", "D_sub shard", "import or refine", "/critique/judge_score", false};
const struct set_form set_candidates = {"candidates", "critic-rm candidates", "file of candidates", "critique or import --as candidates", "/candidate/judge_score", true};

static int list_path(const char *folder, const struct set_form *form, char out[2048])
{
    char name[64];
    snprintf(name, sizeof name, "%s.json", form->name);
    return path_join(out, 2048, folder, name);
}

/* ---- writing --------------------------------------------------------------------------------------------------------------------------------- */

int set_file_describe(const char *folder, const char *name, int64_t n_pairs, struct set_file *out)
{
    char path[2048];
    *out = (struct set_file){.n_pairs = n_pairs};
    CHECK(strlen(name) < sizeof out->name, "the name %s is too long", name);
    strcpy(out->name, name);
    TRY(path_join(path, sizeof path, folder, name));
    return hash_file(path, &out->hash, &out->n_bytes);
}

static json_t *file_json(const struct set_file *file)
{
    char hex[HASH_HEX_SIZE];
    hash_to_hex(file->hash, hex);
    return json_pack("{s:I, s:s, s:I, s:s}", "pairs", (json_int_t)file->n_pairs, "name", file->name, "size", (json_int_t)file->n_bytes, "xxh3", hex);
}

static json_t *list_json(const struct set_form *form, const struct shard_meta *meta, const struct set_file *file, int n)
{
    int64_t n_pairs = 0;
    json_t *files = json_array(), *list;
    for (int i = 0; i < n; i++) {
        json_array_append_new(files, file_json(&file[i]));
        n_pairs += file[i].n_pairs;
    }
    list = json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:o}", "format", form->format, "version", SHARD_VERSION, "tokenizer", meta->tokenizer, "template", meta->template, "model", meta->model,
                     "pairs", (json_int_t)n_pairs, "files", files);
    if (form->candidates)
        json_object_set_new(list, "judge", json_string(meta->judge));
    return list;
}

int set_list_write(const char *folder, const struct set_form *form, const struct shard_meta *meta, const struct set_file *file, int n)
{
    char path[2048];
    json_t *list = list_json(form, meta, file, n);
    char *text = json_dumps(list, JSON_INDENT(1));
    json_decref(list);
    CHECK(text, "out of memory while writing %s", folder);
    int status = list_path(folder, form, path);
    if (status == OK)
        status = file_write_atomic(path, text, strlen(text));
    free(text);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------------------- */

bool set_is(const char *folder, const struct set_form *form)
{
    char path[2048];
    return snprintf(path, sizeof path, "%s/%s.json", folder, form->name) < (int)sizeof path && file_exists(path);
}

static int parse_file(json_t *entry, const char *where, struct set_file *out)
{
    const char *name, *hex;
    int64_t n_bytes;
    TRY(json_get_text(entry, "name", where, &name));
    TRY(json_get_text(entry, "xxh3", where, &hex));
    TRY(json_get_int(entry, "pairs", where, 1, (int64_t)1 << 31, &out->n_pairs));
    TRY(json_get_int(entry, "size", where, 1, INT64_MAX, &n_bytes));
    CHECK(!strchr(name, '/') && strlen(name) < sizeof out->name, "%s: '%.128s' is not a file's name", where, name);
    CHECK(strspn(hex, "0123456789abcdef") == 16 && !hex[16], "%s: '%.32s' is not a checksum of 16 hexadecimal digits", where, hex);
    TRY(hash_from_hex(hex, &out->hash));
    strcpy(out->name, name);
    out->n_bytes = (uint64_t)n_bytes;
    return OK;
}

static int check_size(const char *folder, const char *where, const struct set_file *file)
{
    char path[2048];
    uint64_t n_bytes;
    TRY(path_join(path, sizeof path, folder, file->name));
    TRY(file_size(path, &n_bytes));
    CHECK(n_bytes == file->n_bytes, "%s has %llu bytes, %s says %llu: it is cut off or another file, copy it again", path, (unsigned long long)n_bytes, where, (unsigned long long)file->n_bytes);
    return OK;
}

static int read_files(const char *folder, json_t *list, struct set_list *out)
{
    json_t *files;
    TRY(json_get_array(list, "files", out->path, &files));
    size_t n = json_array_size(files);
    CHECK(n > 0 && n < 1000000, "%s lists no files", out->path);
    out->file = calloc(n, sizeof *out->file);
    CHECK(out->file, "out of memory for the %zu files of %s", n, folder);
    for (size_t i = 0; i < n; i++) {
        TRY(parse_file(json_array_get(files, i), out->path, &out->file[i]));
        TRY(check_size(folder, out->path, &out->file[i]));
    }
    out->n = (int)n;
    return OK;
}

int set_list_read(const char *folder, const struct set_form *form, struct set_list *out)
{
    char *text;
    size_t n_bytes;
    json_t *list = NULL;
    *out = (struct set_list){0};
    TRY(list_path(folder, form, out->path));
    CHECK(file_exists(out->path), "%s holds no complete set (no %s.json): run %s again", folder, form->name, form->maker);
    TRY(file_read(out->path, &text, &n_bytes));
    out->hash = hash_bytes(text, n_bytes, 0);
    int status = json_parse(text, n_bytes, out->path, &list);
    if (status == OK)
        status = read_files(folder, list, out);
    free(text);
    json_decref(list);
    if (status != OK)
        set_list_free(out);
    return status;
}

void set_list_free(struct set_list *list)
{
    free(list->file);
    list->file = NULL;
    list->n = 0;
}

static int verify_file(const char *folder, const char *where, const struct set_file *file)
{
    char path[2048];
    uint64_t hash, n_bytes;
    TRY(path_join(path, sizeof path, folder, file->name));
    TRY(hash_file(path, &hash, &n_bytes));
    CHECK(hash == file->hash, "%s does not have the checksum that %s lists: it is damaged, copy or make it anew", path, where);
    return OK;
}

int set_verify(const char *folder, const struct set_form *form)
{
    int status = OK;
    struct set_list list;
    TRY(set_list_read(folder, form, &list));
    for (int i = 0; i < list.n && status == OK; i++)
        status = verify_file(folder, list.path, &list.file[i]);
    set_list_free(&list);
    return status;
}
