/* dsub: see dsub.h. */
#include "dataset/dsub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "dataset/set.h"

/* ---- writing --------------------------------------------------------------------------------------------------------------------------------- */

struct dsub_writer {
    char folder[1024];
    const struct set_form *form;
    struct shard_meta meta;
    int64_t pairs_per_shard, n_pairs;
    struct shard_writer *shard;
    int n_files;
    struct set_file *file;      /* n_pairs first; the rest when the number of files is known */
};

static void part_path(const struct dsub_writer *w, int file, char out[2048]) { snprintf(out, 2048, "%s/%s-%05d.part", w->folder, w->form->name, file); }

int dsub_writer_create_as(const char *folder, const struct set_form *form, const struct shard_meta *meta, int64_t pairs_per_shard, struct dsub_writer **out)
{
    CHECK(strlen(folder) < 1000, "the path %s is too long", folder);
    CHECK(!set_is(folder, form), "%s already holds a complete set: choose another folder, or remove it", folder);
    TRY(dir_make(folder));
    struct dsub_writer *w = calloc(1, sizeof *w);
    CHECK(w, "out of memory while writing %s", folder);
    strcpy(w->folder, folder);
    w->form = form;
    w->meta = *meta;
    w->pairs_per_shard = pairs_per_shard;
    *out = w;
    return OK;
}

int dsub_writer_create(const char *folder, const struct shard_meta *meta, int64_t pairs_per_shard, struct dsub_writer **out)
{
    return dsub_writer_create_as(folder, &set_dsub, meta, pairs_per_shard, out);
}

static int finish_shard(struct dsub_writer *w)
{
    char path[2048];
    int64_t pairs = w->shard ? shard_writer_pairs(w->shard) : 0;
    if (pairs == 0)
        return OK;
    struct set_file *grown = realloc(w->file, ((size_t)w->n_files + 1) * sizeof *grown);
    CHECK(grown, "out of memory for the files of %s", w->folder);
    w->file = grown;
    part_path(w, w->n_files, path);
    TRY(shard_writer_finish(&w->shard, path));
    w->file[w->n_files++] = (struct set_file){.n_pairs = pairs};
    return OK;
}

static int begin_put(struct dsub_writer *w) { return w->shard ? OK : shard_writer_create_as(w->form, &w->meta, &w->shard); }

static int end_put(struct dsub_writer *w)
{
    w->n_pairs++;
    return shard_writer_pairs(w->shard) == w->pairs_per_shard ? finish_shard(w) : OK;
}

int dsub_writer_put(struct dsub_writer *w, const struct shard_record *record)
{
    TRY(begin_put(w));
    TRY(shard_writer_put(w->shard, record));
    return end_put(w);
}

int candidates_writer_put(struct dsub_writer *w, const struct candidate_record *record)
{
    TRY(begin_put(w));
    TRY(candidates_part_put(w->shard, record));
    return end_put(w);
}

/* The number of files is known now: final names, sizes and hashes. */
static int name_files(struct dsub_writer *w)
{
    for (int i = 0; i < w->n_files; i++) {
        char from[2048], name[128], to[2048];
        part_path(w, i, from);
        snprintf(name, sizeof name, "%s-%05d-of-%05d.h5", w->form->name, i, w->n_files);
        TRY(path_join(to, sizeof to, w->folder, name));
        TRY(file_publish(from, to));
        TRY(set_file_describe(w->folder, name, w->file[i].n_pairs, &w->file[i]));
    }
    return OK;
}

int dsub_writer_finish(struct dsub_writer **out)
{
    int status = OK;
    struct dsub_writer *w = *out;
    CHECK_DONE(w->n_pairs > 0, "no pair is left for %s: the set would be empty", w->folder);
    TRY_DONE(finish_shard(w));
    TRY_DONE(name_files(w));
    TRY_DONE(set_list_write(w->folder, w->form, &w->meta, w->file, w->n_files));
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
    free(w->file);
    free(w);
    *out = NULL;
}

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

bool dsub_is_set(const char *folder) { return set_is(folder, &set_dsub); }
int dsub_verify(const char *folder) { return set_verify(folder, &set_dsub); }

static int open_file(struct dsub *d, const char *folder, const struct set_form *form, const struct set_file *file)
{
    char path[2048];
    struct shard *s;
    TRY(path_join(path, sizeof path, folder, file->name));
    TRY(shard_open_as(path, form, &s));
    d->shard[d->n_files++] = s;
    CHECK(s->n_pairs == file->n_pairs, "%s holds %lld pairs, %s.json says %lld", path, (long long)s->n_pairs, form->name, (long long)file->n_pairs);
    CHECK(memcmp(&s->meta, &d->shard[0]->meta, sizeof s->meta) == 0, "%s was made with another tokenizer, template or model than the first file of %s", path, folder);
    d->n_pairs += s->n_pairs;
    d->n_critiques += s->n_critiques;
    return OK;
}

static int open_files(struct dsub *d, const char *folder, const struct set_form *form)
{
    int status = OK;
    struct set_list list;
    TRY(set_list_read(folder, form, &list));
    d->hash = list.hash;
    d->shard = calloc((size_t)list.n, sizeof *d->shard);
    CHECK_DONE(d->shard, "out of memory while opening %s", folder);
    for (int i = 0; i < list.n; i++)
        TRY_DONE(open_file(d, folder, form, &list.file[i]));
    d->meta = d->shard[0]->meta;
done:
    set_list_free(&list);
    return status;
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

int dsub_open_as(const char *folder, const struct set_form *form, struct dsub **out)
{
    int status = OK;
    struct lengths lengths = {0};
    struct dsub *d = calloc(1, sizeof *d);
    CHECK(d, "out of memory while opening %s", folder);
    TRY_DONE(open_files(d, folder, form));
    status = lengths_alloc(d->n_pairs, d->n_critiques, &lengths);
    d->lengths = set_of(&lengths, d->n_pairs);
    if (status != OK)
        goto done;
    d->pair = calloc((size_t)d->n_pairs, sizeof *d->pair);
    CHECK_DONE(d->pair, "out of memory for the %lld pairs of %s", (long long)d->n_pairs, folder);
    TRY_DONE(number_pairs(d, folder, lengths.source));
    fill_lengths(d, &lengths);
    *out = d;
    return OK;
done:
    dsub_close(&d);
    return status;
}

int dsub_open(const char *folder, struct dsub **out) { return dsub_open_as(folder, &set_dsub, out); }

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
