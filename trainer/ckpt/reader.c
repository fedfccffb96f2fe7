/* reader: files are mapped once; a slice's bytes are hashed the first time they are touched. */
#include "trainer/ckpt/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors.h"
#include "base/status.h"

struct opened { char name[64]; struct safetensors *st; };

struct reader {
    char dir[1024];
    struct manifest *manifest;
    int n_files;
    struct opened *file;
    bool *verified;             /* [n_slices] */
};

int reader_open(const char *dir, struct reader **out)
{
    int status = OK;
    char path[1100];
    struct reader *r = calloc(1, sizeof *r);
    CHECK(r, "out of memory while opening %s", dir);
    CHECK_DONE((size_t)snprintf(r->dir, sizeof r->dir, "%s", dir) < sizeof r->dir, "the path %s is too long", dir);
    TRY_DONE(path_join(path, sizeof path, dir, "manifest.json"));
    CHECK_DONE(file_exists(path), "%s holds no manifest.json: it is not a finished checkpoint", dir);
    TRY_DONE(manifest_read(path, &r->manifest));
    r->verified = calloc((size_t)r->manifest->n_slices + 1, sizeof *r->verified);
    CHECK_DONE(r->verified, "out of memory while opening %s", dir);
done:
    if (status != OK)
        reader_close(&r);
    *out = r;
    return status;
}

void reader_close(struct reader **reader)
{
    struct reader *r = *reader;
    if (!r)
        return;
    for (int i = 0; i < r->n_files; i++)
        safetensors_close(&r->file[i].st);
    manifest_free(&r->manifest);
    free(r->file);
    free(r->verified);
    free(r);
    *reader = NULL;
}

const struct manifest *reader_manifest(const struct reader *r) { return r->manifest; }

static int open_data(struct reader *r, const char *name, const struct safetensors **out)
{
    char path[1200];
    for (int i = 0; i < r->n_files; i++)
        if (strcmp(r->file[i].name, name) == 0) {
            *out = r->file[i].st;
            return OK;
        }
    struct opened *grown = realloc(r->file, ((size_t)r->n_files + 1) * sizeof *grown);
    CHECK(grown, "out of memory while opening %s", r->dir);
    r->file = grown;
    TRY(path_join(path, sizeof path, r->dir, name));
    CHECK(file_exists(path), "%s is missing, though the checkpoint's manifest names it: copy the folder again, or remove it to use an older checkpoint", path);
    TRY(safetensors_open_file(path, &grown[r->n_files].st));
    strcpy(grown[r->n_files].name, name);
    *out = grown[r->n_files++].st;
    return OK;
}

/* The slice's bytes, checked. */
static int touch(struct reader *r, const struct slice *s, const unsigned char **bytes)
{
    const struct safetensors *st;
    TRY(open_data(r, s->file, &st));
    const struct st_tensor *t = safetensors_find(st, s->key);
    CHECK(t, "%s/%s holds no %s, though the manifest names it", r->dir, s->file, s->key);
    CHECK(t->type == ST_F32 && t->n_elems == s->count, "%s/%s: %s has %lld elements where the manifest says %lld of float32", r->dir, s->file, s->key, (long long)t->n_elems,
          (long long)s->count);
    *bytes = t->data;
    bool *verified = &r->verified[s - r->manifest->slice];
    if (*verified)
        return OK;
    CHECK(hash_bytes(t->data, (size_t)s->count * 4, 0) == s->hash, "%s/%s: the checksum of %s does not match, the file is damaged: remove the folder to use an older checkpoint",
          r->dir, s->file, s->key);
    *verified = true;
    return OK;
}

int reader_read(struct reader *r, int tensor, enum state_kind state, const struct box *box, int64_t first, int64_t count, float *out)
{
    int n;
    int64_t copied = 0;
    const struct slice *s = manifest_slices(r->manifest, tensor, state, &n);
    const struct tensor_entry *t = &r->manifest->tensor[tensor];
    for (int i = 0; i < 2; i++)
        ASSERT(box->offset[i] >= 0 && box->size[i] >= 0 && box->offset[i] + box->size[i] <= t->shape[i]);
    ASSERT(first >= 0 && count >= 0 && first + count <= box->size[0] * box->size[1]);
    for (int i = 0; i < n && copied < count; i++) {
        const unsigned char *bytes = NULL;
        if (!slice_meets(&s[i], box, first, count))
            continue;
        TRY(touch(r, &s[i], &bytes));
        copied += slice_copy(&s[i], bytes, box, first, count, out);
    }
    ASSERT(copied == count);    /* the manifest's cover was checked */
    return OK;
}

int reader_verify(struct reader *r)
{
    for (int i = 0; i < r->manifest->n_slices; i++) {
        const unsigned char *bytes = NULL;
        TRY(touch(r, &r->manifest->slice[i], &bytes));
    }
    return OK;
}
