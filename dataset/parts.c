/* parts: see parts.h. */
#include "dataset/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"

enum { PARTS_VERSION = 1, MOST_PARTS = 999999 };
static const char FORMAT[] = "critic-rm parts";

int parts_input_file(const char *path, int64_t n_records, struct parts_input *out)
{
    *out = (struct parts_input){.path = path, .n_records = n_records};
    return hash_file(path, &out->hash, &out->n_bytes);
}

static int write_json(const char *path, json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(1));
    CHECK(text, "out of memory while writing %s", path);
    int status = file_write_atomic(path, text, strlen(text));
    free(text);
    return status;
}

/* ---- parts.json ------------------------------------------------------------------------------------------------------------------------------ */

/* Texts are borrowed from json. */
struct begun { json_t *json; const char *input, *input_hash, *as, *options, *tokenizer, *template, *judge, *model, *fingerprint; int64_t input_bytes, n_records, records_per_part; };

static int parse(const char *path, const struct set_form *form, struct begun *b)
{
    json_t *input;
    const char *format, *set;
    int64_t version;
    TRY(json_get_text(b->json, "format", path, &format));
    TRY(json_get_int(b->json, "version", path, 0, INT64_MAX, &version));
    CHECK(strcmp(format, FORMAT) == 0 && version == PARTS_VERSION, "%s is not a %s of version %d", path, FORMAT, PARTS_VERSION);
    TRY(json_get_text(b->json, "set", path, &set));
    CHECK(strcmp(set, form->name) == 0, "%s is of a set of %.40s, not %s: choose another folder", path, set, form->name);
    TRY(json_get_object(b->json, "input", path, &input));
    TRY(json_opt_text(input, "path", path, &b->input));
    TRY(json_opt_text(input, "as", path, &b->as));
    TRY(json_get_text(input, "hash", path, &b->input_hash));
    TRY(json_get_int(input, "size", path, 0, INT64_MAX, &b->input_bytes));
    TRY(json_get_int(input, "records", path, 1, (int64_t)1 << 40, &b->n_records));
    TRY(json_get_int(b->json, "records_per_part", path, 1, (int64_t)1 << 40, &b->records_per_part));
    TRY(json_get_text(b->json, "tokenizer", path, &b->tokenizer));
    TRY(json_get_text(b->json, "template", path, &b->template));
    TRY(json_get_text(b->json, "judge", path, &b->judge));
    TRY(json_get_text(b->json, "model", path, &b->model));
    TRY(json_opt_text(b->json, "model_xxh3", path, &b->fingerprint));
    TRY(json_get_text(b->json, "options", path, &b->options));
    CHECK((b->n_records - 1) / b->records_per_part < MOST_PARTS, "%s makes more than %d parts: the file is damaged, make the set anew", path, MOST_PARTS);
    return OK;
}

static int load(const char *folder, const struct set_form *form, struct begun *out)
{
    char path[2048];
    *out = (struct begun){.input = "", .as = "", .fingerprint = ""};
    TRY(path_join(path, sizeof path, folder, "parts.json"));
    CHECK(file_exists(path), "%s was never begun (no parts.json)", folder);
    TRY(json_parse_file(path, &out->json));
    int status = parse(path, form, out);
    if (status != OK) {
        json_decref(out->json);
        out->json = NULL;
    }
    return status;
}

static json_t *begun_json(const struct set_form *form, const struct parts_input *input, const struct shard_meta *meta, uint64_t fingerprint, int64_t records_per_part, const char *options)
{
    char hex[HASH_HEX_SIZE], model_hex[HASH_HEX_SIZE];
    hash_to_hex(input->hash, hex);
    hash_to_hex(fingerprint, model_hex);
    json_t *from = json_pack("{s:s, s:I, s:I}", "hash", hex, "size", (json_int_t)input->n_bytes, "records", (json_int_t)input->n_records);
    json_object_set_new(from, "path", json_string(input->path));                /* left out when it is no UTF-8 */
    if (input->as)
        json_object_set_new(from, "as", json_string(input->as));
    return json_pack("{s:s, s:i, s:s, s:o, s:I, s:s, s:s, s:s, s:s, s:s, s:s}", "format", FORMAT, "version", PARTS_VERSION, "set", form->name, "input", from, "records_per_part",
                     (json_int_t)records_per_part, "tokenizer", meta->tokenizer, "template", meta->template, "judge", meta->judge, "model", meta->model, "model_xxh3", model_hex,
                     "options", options);
}

/* Sidecars without their parts.json could be of anything. */
static int check_no_parts(const char *folder, const struct set_form *form)
{
    struct dir_list list;
    char prefix[64];
    const char *found = NULL;
    TRY(dir_list(folder, &list));
    snprintf(prefix, sizeof prefix, "%s-", form->name);
    for (int i = 0; i < list.n && !found; i++) {
        const char *end = strrchr(list.name[i], '.');
        if (end && strcmp(end, ".json") == 0 && strncmp(list.name[i], prefix, strlen(prefix)) == 0)
            found = list.name[i];
    }
    int status = found ? FAIL("%s holds %s but no parts.json that says what it is part of: choose another folder, or remove it", folder, found) : OK;
    dir_list_free(&list);
    return status;
}

static int begin_anew(const char *folder, const char *path, const struct set_form *form, const struct parts_input *input, const struct shard_meta *meta, uint64_t fingerprint,
                      const struct config *config)
{
    char *options;
    int64_t per_part = config->generate.records_per_part;
    CHECK(!set_is(folder, form), "%s already holds a complete set: choose another folder, or remove it", folder);
    CHECK(input->n_records > 0, "%s holds no record", input->path);
    CHECK_USAGE((input->n_records - 1) / per_part < MOST_PARTS, "%lld records of %s in parts of %lld make more than %d parts: raise generate.records_per_part", (long long)input->n_records,
                input->path, (long long)per_part, MOST_PARTS);
    TRY(check_no_parts(folder, form));
    TRY(options_write_yaml(config_options(), config, &options));
    json_t *json = begun_json(form, input, meta, fingerprint, per_part, options);
    int status = write_json(path, json);
    json_decref(json);
    free(options);
    return status;
}

/* ---- going on -------------------------------------------------------------------------------------------------------------------------------- */

static int same_input(const char *folder, const struct begun *b, const struct parts_input *input)
{
    char hex[HASH_HEX_SIZE];
    const char *as = input->as ? input->as : "";
    hash_to_hex(input->hash, hex);
    CHECK_USAGE(strcmp(as, b->as) == 0, "%s was begun as %.100s, and this is %.100s: choose another folder, or remove it", folder, b->as, as);
    CHECK_USAGE(strcmp(hex, b->input_hash) == 0 && input->n_records == b->n_records && input->n_bytes == (uint64_t)b->input_bytes,
                "%s was begun with another input: %.300s (%lld records, hash %.16s), not %.300s (%lld records, hash %s): give that one, or choose another folder", folder, b->input,
                (long long)b->n_records, b->input_hash, input->path, (long long)input->n_records, hex);
    return OK;
}

static int same_model(const char *folder, const struct begun *b, const char *model, uint64_t fingerprint)
{
    char hex[HASH_HEX_SIZE];
    hash_to_hex(fingerprint, hex);
    CHECK_USAGE(!*b->fingerprint || strcmp(hex, b->fingerprint) == 0, "%s was begun with another model: '%.300s', and the contents of '%.300s' now are others: give that one, or choose another folder",
                folder, b->model, model);
    CHECK_USAGE(*b->fingerprint || strcmp(model, b->model) == 0, "%s was begun with another model: '%.300s', now '%.300s': set it as it was, or choose another folder", folder, b->model, model);
    return OK;
}

static int same_meta(const char *folder, const struct begun *b, const struct shard_meta *meta)
{
    const struct { const char *what, *before, *now; } all[] = {
        {"tokenizer", b->tokenizer, meta->tokenizer}, {"chat template or instruction", b->template, meta->template}, {"judge instruction", b->judge, meta->judge}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CHECK_USAGE(strcmp(all[i].before, all[i].now) == 0, "%s was begun with another %s: '%.300s', now '%.300s': set it as it was, or choose another folder", folder, all[i].what, all[i].before,
                    all[i].now);
    return OK;
}

static int same_options(const char *folder, const struct begun *b, const struct config *config)
{
    int status = OK;
    char where[1100], before[OPTION_TEXT_SIZE], now[OPTION_TEXT_SIZE];
    struct config *then = calloc(1, sizeof *then);
    CHECK(then, "out of memory for the options of %s", folder);
    snprintf(where, sizeof where, "%s/parts.json", folder);
    options_default(config_options(), then);
    TRY_DONE(options_parse_yaml(config_options(), b->options, strlen(b->options), where, then));
    const struct option *o = options_difference(config_options(), GENERATES, then, config, before, now);
    if (o)
        status = FAIL_USAGE("%s was begun with %s.%s '%.300s', now it is '%.300s': set it as it was, or choose another folder", folder, o->section, o->key, before, now);
done:
    free(then);
    return status;
}

static int go_on(const char *folder, const struct set_form *form, const struct parts_input *input, const struct shard_meta *meta, uint64_t fingerprint, const struct config *config)
{
    struct begun b;
    TRY(load(folder, form, &b));
    int status = same_input(folder, &b, input);
    if (status == OK)
        status = same_options(folder, &b, config);
    if (status == OK)
        status = same_model(folder, &b, meta->model, fingerprint);
    if (status == OK)
        status = same_meta(folder, &b, meta);
    json_decref(b.json);
    return status;
}

int parts_begin(const char *folder, const struct set_form *form, const struct parts_input *input, const struct shard_meta *meta, uint64_t fingerprint, const struct config *config)
{
    char path[2048];
    CHECK(strlen(folder) < 1000, "the path %s is too long", folder);
    TRY(dir_make(folder));
    TRY(path_join(path, sizeof path, folder, "parts.json"));
    return file_exists(path) ? go_on(folder, form, input, meta, fingerprint, config) : begin_anew(folder, path, form, input, meta, fingerprint, config);
}

/* ---- parts ----------------------------------------------------------------------------------------------------------------------------------- */

int parts_open(const char *folder, const struct set_form *form, struct parts *out)
{
    struct begun b;
    memset(out, 0, sizeof *out);
    CHECK(strlen(folder) < 1000, "the path %s is too long", folder);
    TRY(load(folder, form, &b));
    strcpy(out->folder, folder);
    out->form = form;
    out->n_records = b.n_records;
    out->records_per_part = b.records_per_part;
    out->n_parts = (int32_t)((b.n_records - 1) / b.records_per_part + 1);
    snprintf(out->meta.tokenizer, sizeof out->meta.tokenizer, "%s", b.tokenizer);
    snprintf(out->meta.template, sizeof out->meta.template, "%s", b.template);
    snprintf(out->meta.judge, sizeof out->meta.judge, "%s", b.judge);
    snprintf(out->meta.model, sizeof out->meta.model, "%s", b.model);
    json_decref(b.json);
    return OK;
}

struct parts_range parts_range(const struct parts *p, int32_t part)
{
    int64_t first = part * p->records_per_part, end = first + p->records_per_part;
    return (struct parts_range){first, end < p->n_records ? end : p->n_records};
}

static void part_name(const struct parts *p, int32_t part, const char *end, char out[128]) { snprintf(out, 128, "%s-%05d-of-%05d.%s", p->form->name, part, p->n_parts, end); }

static int part_path(const struct parts *p, int32_t part, const char *end, char out[2048])
{
    char name[128];
    part_name(p, part, end, name);
    return path_join(out, 2048, p->folder, name);
}

int parts_path(const struct parts *p, int32_t part, char out[2048]) { return part_path(p, part, "h5", out); }

bool parts_is_done(const struct parts *p, int32_t part)
{
    char path[2048];
    return part_path(p, part, "json", path) == OK && file_exists(path);
}

bool parts_is_complete(const struct parts *p) { return set_is(p->folder, p->form); }

int32_t parts_done(const struct parts *p, uint8_t *done)
{
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_parts; i++) {
        done[i] = parts_is_done(p, i);
        n += done[i];
    }
    return n;
}

int32_t parts_deal(const struct parts *p, const uint8_t *done, int rank, int size, int32_t *mine)
{
    int64_t turn = 0;
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_parts; i++)
        if (!done[i] && turn++ % size == rank)
            mine[n++] = i;
    return n;
}

/* ---- finishing ------------------------------------------------------------------------------------------------------------------------------- */

/* An empty part has no file, also where an earlier attempt left one. */
static int publish(const struct parts *p, int32_t part, struct shard_writer **writer, struct set_file *out)
{
    char path[2048], name[128];
    int64_t n_pairs = *writer ? shard_writer_pairs(*writer) : 0;
    part_name(p, part, "h5", name);
    TRY(parts_path(p, part, path));
    *out = (struct set_file){.n_pairs = 0};
    if (n_pairs == 0)
        return file_remove(path);
    TRY(shard_writer_finish(writer, path));
    return set_file_describe(p->folder, name, n_pairs, out);
}

static int write_sidecar(const struct parts *p, int32_t part, const struct set_file *file, json_t *summary)
{
    char path[2048], hex[HASH_HEX_SIZE];
    TRY(part_path(p, part, "json", path));
    hash_to_hex(file->hash, hex);
    json_t *json = json_pack("{s:I, s:I, s:s, s:o}", "pairs", (json_int_t)file->n_pairs, "size", (json_int_t)file->n_bytes, "xxh3", hex, "summary", summary ? json_incref(summary) : json_object());
    int status = write_json(path, json);
    json_decref(json);
    return status;
}

int parts_finish_part(const struct parts *p, int32_t part, struct shard_writer **writer, json_t *summary)
{
    struct shard_writer *none = NULL, **w = writer ? writer : &none;
    struct set_file file;
    ASSERT(part >= 0 && part < p->n_parts);
    int status = publish(p, part, w, &file);
    shard_writer_abandon(w);
    return status == OK ? write_sidecar(p, part, &file, summary) : status;
}

/* ---- reading back ---------------------------------------------------------------------------------------------------------------------------- */

static int load_sidecar(const struct parts *p, int32_t part, char path[2048], json_t **out)
{
    TRY(part_path(p, part, "json", path));
    CHECK(file_exists(path), "part %d of the %d of %s is not done: run the same command again", part, p->n_parts, p->folder);
    return json_parse_file(path, out);
}

int parts_summary(const struct parts *p, int32_t part, json_t **out)
{
    char path[2048];
    json_t *json, *summary;
    TRY(load_sidecar(p, part, path, &json));
    int status = json_get_object(json, "summary", path, &summary);
    if (status == OK)
        *out = json_incref(summary);
    json_decref(json);
    return status;
}

static int parse_sidecar(const struct parts *p, int32_t part, json_t *json, const char *path, struct set_file *out)
{
    const char *hex;
    int64_t n_bytes;
    *out = (struct set_file){0};
    TRY(json_get_int(json, "pairs", path, 0, (int64_t)1 << 31, &out->n_pairs));
    TRY(json_get_int(json, "size", path, 0, INT64_MAX, &n_bytes));
    TRY(json_get_text(json, "xxh3", path, &hex));
    TRY(hash_from_hex(hex, &out->hash));
    out->n_bytes = (uint64_t)n_bytes;
    part_name(p, part, "h5", out->name);
    return OK;
}

static int check_file(const struct parts *p, int32_t part, const struct set_file *file)
{
    char path[2048];
    uint64_t n_bytes = 0;
    TRY(parts_path(p, part, path));
    if (file_exists(path))
        TRY(file_size(path, &n_bytes));
    CHECK(n_bytes == file->n_bytes, "%s has %llu bytes and should have %llu: remove the file of that name ending in .json, and run the same command again", path, (unsigned long long)n_bytes,
          (unsigned long long)file->n_bytes);
    return OK;
}

/* Part i behind the *n files that are listed already; a part without pairs is not. */
static int add_file(const struct parts *p, int32_t part, struct set_file *file, int *n)
{
    char path[2048];
    json_t *json;
    TRY(load_sidecar(p, part, path, &json));
    int status = parse_sidecar(p, part, json, path, &file[*n]);
    json_decref(json);
    TRY(status);
    if (file[*n].n_pairs == 0)
        return OK;
    TRY(check_file(p, part, &file[*n]));
    ++*n;
    return OK;
}

int parts_complete(const struct parts *p, const char *why_empty, int64_t *n_pairs)
{
    int status = OK, n = 0;
    struct set_file *file = calloc((size_t)p->n_parts, sizeof *file);
    CHECK(file, "out of memory for the files of %s", p->folder);
    for (int32_t i = 0; i < p->n_parts; i++)
        TRY_DONE(add_file(p, i, file, &n));
    *n_pairs = 0;
    for (int i = 0; i < n; i++)
        *n_pairs += file[i].n_pairs;
    CHECK_DONE(n > 0, "%s", why_empty);
    TRY_DONE(set_list_write(p->folder, p->form, &p->meta, file, n));
done:
    free(file);
    return status;
}

int parts_clear(const struct parts *p)
{
    char path[2048];
    for (int32_t i = 0; i < p->n_parts; i++) {
        TRY(part_path(p, i, "json", path));
        TRY(file_remove(path));
    }
    return OK;
}
