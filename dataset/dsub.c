/* dsub: see dsub.h. */
#include "dataset/dsub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"

/* ---- writing --------------------------------------------------------------------------------------------------------------------------------- */

struct dsub_writer {
    char folder[1024];
    struct shard_meta meta;
    int64_t pairs_per_shard, n_pairs;
    struct shard_writer *shard;
    int n_files;
    json_t *files;
};

static void part_path(const struct dsub_writer *w, int file, char out[2048]) { snprintf(out, 2048, "%s/dsub-%05d.part", w->folder, file); }

int dsub_writer_create(const char *folder, const struct shard_meta *meta, int64_t pairs_per_shard, struct dsub_writer **out)
{
    CHECK(strlen(folder) < 1000, "the path %s is too long", folder);
    CHECK(!dsub_is_set(folder), "%s already holds a complete set: choose another folder, or remove it", folder);
    TRY(dir_make(folder));
    struct dsub_writer *w = calloc(1, sizeof *w);
    CHECK(w, "out of memory while writing %s", folder);
    strcpy(w->folder, folder);
    w->meta = *meta;
    w->pairs_per_shard = pairs_per_shard;
    w->files = json_array();
    *out = w;
    return OK;
}

static int finish_shard(struct dsub_writer *w)
{
    char path[2048];
    int64_t pairs = w->shard ? shard_writer_pairs(w->shard) : 0;
    if (pairs == 0)
        return OK;
    part_path(w, w->n_files, path);
    TRY(shard_writer_finish(&w->shard, path));
    json_array_append_new(w->files, json_pack("{s:I}", "pairs", (json_int_t)pairs));
    w->n_files++;
    return OK;
}

int dsub_writer_put(struct dsub_writer *w, const struct shard_record *record)
{
    if (!w->shard)
        TRY(shard_writer_create(&w->meta, &w->shard));
    TRY(shard_writer_put(w->shard, record));
    w->n_pairs++;
    return shard_writer_pairs(w->shard) == w->pairs_per_shard ? finish_shard(w) : OK;
}

/* The number of files is known now: final names, sizes and hashes. */
static int name_files(struct dsub_writer *w)
{
    for (int i = 0; i < w->n_files; i++) {
        char from[2048], name[64], to[2048], hex[HASH_HEX_SIZE];
        uint64_t hash, n_bytes;
        json_t *entry = json_array_get(w->files, (size_t)i);
        part_path(w, i, from);
        snprintf(name, sizeof name, "dsub-%05d-of-%05d.h5", i, w->n_files);
        TRY(path_join(to, sizeof to, w->folder, name));
        TRY(file_publish(from, to));
        TRY(hash_file(to, &hash, &n_bytes));
        hash_to_hex(hash, hex);
        json_object_set_new(entry, "name", json_string(name));
        json_object_set_new(entry, "size", json_integer((json_int_t)n_bytes));
        json_object_set_new(entry, "xxh3", json_string(hex));
    }
    return OK;
}

static int write_list(struct dsub_writer *w)
{
    char path[2048];
    json_t *list = json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:O}", "format", "critic-rm D_sub", "version", SHARD_VERSION, "tokenizer", w->meta.tokenizer, "template", w->meta.template,
                             "model", w->meta.model, "pairs", (json_int_t)w->n_pairs, "files", w->files);
    char *text = json_dumps(list, JSON_INDENT(1));
    json_decref(list);
    CHECK(text, "out of memory while writing %s", w->folder);
    int status = path_join(path, sizeof path, w->folder, "dsub.json");
    if (status == OK)
        status = file_write_atomic(path, text, strlen(text));
    free(text);
    return status;
}

int dsub_writer_finish(struct dsub_writer **out)
{
    int status = OK;
    struct dsub_writer *w = *out;
    CHECK_DONE(w->n_pairs > 0, "no pair is left for %s: the set would be empty", w->folder);
    TRY_DONE(finish_shard(w));
    TRY_DONE(name_files(w));
    TRY_DONE(write_list(w));
done:
    dsub_writer_abandon(out);
    return status;
}

void dsub_writer_abandon(struct dsub_writer **out)
{
    struct dsub_writer *w = *out;
    if (!w)
        return;
    shard_writer_abandon(&w->shard);
    json_decref(w->files);
    free(w);
    *out = NULL;
}

/* ---- the list -------------------------------------------------------------------------------------------------------------------------------- */

bool dsub_is_set(const char *folder)
{
    char path[2048];
    return snprintf(path, sizeof path, "%s/dsub.json", folder) < (int)sizeof path && file_exists(path);
}

static int load_list(const char *folder, char path[2048], json_t **out, uint64_t *hash)
{
    char *text;
    size_t n_bytes;
    TRY(path_join(path, 2048, folder, "dsub.json"));
    CHECK(file_exists(path), "%s holds no complete set (no dsub.json): run import or refine again", folder);
    TRY(file_read(path, &text, &n_bytes));
    *hash = hash_bytes(text, n_bytes, 0);
    int status = json_parse(text, n_bytes, path, out);
    free(text);
    return status;
}

/* Entry i: file path, pairs, size, hash. */
struct listed { char path[2048]; int64_t pairs, size; const char *hex; };

static int listed_at(const char *folder, const char *where, json_t *files, size_t i, struct listed *out)
{
    const char *name;
    json_t *entry = json_array_get(files, i);
    TRY(json_get_text(entry, "name", where, &name));
    TRY(json_get_text(entry, "xxh3", where, &out->hex));
    TRY(json_get_int(entry, "pairs", where, 1, (int64_t)1 << 31, &out->pairs));
    TRY(json_get_int(entry, "size", where, 1, INT64_MAX, &out->size));
    CHECK(!strchr(name, '/'), "%s: '%s' is not a file's name", where, name);
    TRY(path_join(out->path, sizeof out->path, folder, name));
    uint64_t size;
    TRY(file_size(out->path, &size));
    CHECK(size == (uint64_t)out->size, "%s has %llu bytes, %s says %lld: it is cut off or another file, copy it again", out->path, (unsigned long long)size, where, (long long)out->size);
    return OK;
}

int dsub_verify(const char *folder)
{
    int status = OK;
    char path[2048];
    uint64_t list_hash;
    json_t *list, *files;
    TRY(load_list(folder, path, &list, &list_hash));
    TRY_DONE(json_get_array(list, "files", path, &files));
    for (size_t i = 0; i < json_array_size(files); i++) {
        struct listed entry;
        uint64_t want, have, n_bytes;
        TRY_DONE(listed_at(folder, path, files, i, &entry));
        TRY_DONE(hash_from_hex(entry.hex, &want));
        TRY_DONE(hash_file(entry.path, &have, &n_bytes));
        CHECK_DONE(want == have, "%s does not have the checksum that %s lists: it is damaged, copy or make it anew", entry.path, path);
    }
done:
    json_decref(list);
    return status;
}

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

static int open_files(struct dsub *d, const char *folder, const char *where, json_t *list)
{
    json_t *files;
    TRY(json_get_array(list, "files", where, &files));
    size_t n = json_array_size(files);
    CHECK(n > 0 && n < 1000000, "%s lists no files", where);
    d->shard = calloc(n, sizeof *d->shard);
    CHECK(d->shard, "out of memory while opening %s", folder);
    for (size_t i = 0; i < n; i++) {
        struct listed entry;
        TRY(listed_at(folder, where, files, i, &entry));
        TRY(shard_open(entry.path, &d->shard[i]));
        d->n_files++;
        struct shard *s = d->shard[i];
        CHECK(s->n_pairs == entry.pairs, "%s holds %lld pairs, %s says %lld", entry.path, (long long)s->n_pairs, where, (long long)entry.pairs);
        CHECK(memcmp(&s->meta, &d->shard[0]->meta, sizeof s->meta) == 0, "%s was made with another tokenizer, template or model than the first shard of %s", entry.path, folder);
        d->n_pairs += s->n_pairs;
        d->n_critiques += s->n_critiques;
    }
    d->meta = d->shard[0]->meta;
    return OK;
}

struct numbered { uint64_t source; struct dsub_pair at; };

static int by_source(const void *a, const void *b)
{
    uint64_t x = ((const struct numbered *)a)->source, y = ((const struct numbered *)b)->source;
    return (x > y) - (x < y);
}

static int number_pairs(struct dsub *d, const char *folder, uint64_t *source)
{
    int status = OK;
    int64_t n = 0;
    struct numbered *all = calloc((size_t)d->n_pairs, sizeof *all);
    CHECK(all, "out of memory for the %lld pairs of %s", (long long)d->n_pairs, folder);
    for (int f = 0; f < d->n_files; f++)
        for (int64_t i = 0; i < d->shard[f]->n_pairs; i++)
            all[n++] = (struct numbered){d->shard[f]->source[i], {f, (int32_t)i}};
    qsort(all, (size_t)n, sizeof *all, by_source);
    for (int64_t i = 0; i < n; i++) {
        CHECK_DONE(i == 0 || all[i].source != all[i - 1].source, "%s holds source record %llu twice", folder, (unsigned long long)all[i].source);
        source[i] = all[i].source;
        d->pair[i] = all[i].at;
    }
done:
    free(all);
    return status;
}

struct lengths { uint64_t *source; int32_t *n_prompt, *n_response, *n_critique; int64_t *first_critique; };

static int lengths_alloc(int64_t n_pairs, int64_t n_critiques, struct lengths *l)
{
    size_t n = (size_t)n_pairs;
    *l = (struct lengths){calloc(n + 1, 8), calloc(n + 1, 4), calloc(2 * n + 1, 4), calloc((size_t)n_critiques + 1, 4), calloc(2 * n + 1, 8)};
    CHECK(l->source && l->n_prompt && l->n_response && l->n_critique && l->first_critique, "out of memory for the lengths of %lld pairs", (long long)n_pairs);
    return OK;
}

static struct plan_set set_of(const struct lengths *l, int64_t n_pairs)
{
    return (struct plan_set){n_pairs, l->source, l->n_prompt, l->n_response, l->first_critique, l->n_critique};
}

static void set_free(struct plan_set *set)
{
    free((void *)(uintptr_t)set->source);
    free((void *)(uintptr_t)set->n_prompt);
    free((void *)(uintptr_t)set->n_response);
    free((void *)(uintptr_t)set->first_critique);
    free((void *)(uintptr_t)set->n_critique);
    *set = (struct plan_set){0};
}

static void fill_lengths(struct dsub *d, struct lengths *l)
{
    int64_t at = 0;
    for (int64_t p = 0; p < d->n_pairs; p++) {
        const struct shard *s = d->shard[d->pair[p].file];
        int64_t i = d->pair[p].index;
        l->n_prompt[p] = (int32_t)(s->prompt[i + 1] - s->prompt[i]);
        for (int side = 0; side < 2; side++) {
            int64_t r = 2 * i + side;
            l->n_response[2 * p + side] = (int32_t)(s->response[r + 1] - s->response[r]);
            l->first_critique[2 * p + side] = at;
            for (uint64_t c = s->critiques_of_response[r]; c < s->critiques_of_response[r + 1]; c++)
                l->n_critique[at++] = (int32_t)(s->critique[c + 1] - s->critique[c]);
        }
    }
    l->first_critique[2 * d->n_pairs] = at;
}

int dsub_open(const char *folder, struct dsub **out)
{
    int status = OK;
    char path[2048];
    json_t *list = NULL;
    struct lengths lengths = {0};
    struct dsub *d = calloc(1, sizeof *d);
    CHECK(d, "out of memory while opening %s", folder);
    TRY_DONE(load_list(folder, path, &list, &d->hash));
    TRY_DONE(open_files(d, folder, path, list));
    status = lengths_alloc(d->n_pairs, d->n_critiques, &lengths);
    d->lengths = set_of(&lengths, d->n_pairs);
    if (status != OK)
        goto done;
    d->pair = calloc((size_t)d->n_pairs, sizeof *d->pair);
    CHECK_DONE(d->pair, "out of memory for the %lld pairs of %s", (long long)d->n_pairs, folder);
    TRY_DONE(number_pairs(d, folder, lengths.source));
    fill_lengths(d, &lengths);
    json_decref(list);
    *out = d;
    return OK;
done:
    json_decref(list);
    dsub_close(&d);
    return status;
}

void dsub_close(struct dsub **out)
{
    struct dsub *d = *out;
    if (!d)
        return;
    for (int i = 0; i < d->n_files; i++)
        shard_close(&d->shard[i]);
    free(d->shard);
    free(d->pair);
    set_free(&d->lengths);
    free(d);
    *out = NULL;
}

/* ---- views ----------------------------------------------------------------------------------------------------------------------------------- */

static void copy_pair(const struct plan_set *from, int64_t p, int64_t q, int64_t *at, struct lengths *to)
{
    to->source[q] = from->source[p];
    to->n_prompt[q] = from->n_prompt[p];
    for (int64_t side = 0; side < 2; side++) {
        to->n_response[2 * q + side] = from->n_response[2 * p + side];
        to->first_critique[2 * q + side] = *at;
        for (int64_t c = from->first_critique[2 * p + side]; c < from->first_critique[2 * p + side + 1]; c++)
            to->n_critique[(*at)++] = from->n_critique[c];
    }
    to->first_critique[2 * q + 2] = *at;
}

int dsub_view_make(const struct dsub *d, bool (*keep)(const void *, const struct dsub *, int64_t), const void *context, struct dsub_view *out)
{
    struct lengths lengths;
    int64_t n = 0, at = 0;
    *out = (struct dsub_view){.dsub = d, .number = calloc((size_t)d->n_pairs + 1, sizeof *out->number)};
    int status = lengths_alloc(d->n_pairs, d->n_critiques, &lengths);
    out->lengths = set_of(&lengths, 0);
    if (status == OK && !out->number)
        status = FAIL("out of memory for a view of %lld pairs", (long long)d->n_pairs);
    for (int64_t p = 0; p < d->n_pairs && status == OK; p++)
        if (keep(context, d, p)) {
            copy_pair(&d->lengths, p, n, &at, &lengths);
            out->number[n++] = p;
        }
    out->n_pairs = out->lengths.n_pairs = n;
    if (status != OK)
        dsub_view_free(out);
    return status;
}

void dsub_view_free(struct dsub_view *view)
{
    free(view->number);
    set_free(&view->lengths);
    *view = (struct dsub_view){0};
}
