/* safetensors_writer: header first, from the declarations; then the data in their order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dtype.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "base/status.h"

struct st_writer {
    char path[1024];
    FILE *file;
    json_t *header;
    int n;
    struct { enum st_type type; int64_t n_elems; } *tensor;
    int64_t offset;
    int at;                     /* tensor being written; -1: header not yet written */
    int64_t written;            /* its elements */
};

int st_writer_create(const char *path, struct st_writer **out)
{
    struct st_writer *w = calloc(1, sizeof *w);
    CHECK(w, "out of memory while writing %s", path);
    w->header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");      /* transformers refuses files that do not say whose layout they have */
    w->at = -1;
    snprintf(w->path, sizeof w->path, "%s", path);
    w->file = fopen(path, "wb");
    if (!w->file) {
        int status = FAIL("cannot write %s: %s", path, strerror(errno));
        st_writer_abandon(&w);
        return status;
    }
    *out = w;
    return OK;
}

int st_writer_declare(struct st_writer *w, const char *name, enum st_type type, int n_dims, const int64_t *shape)
{
    ASSERT(w->at < 0 && type != ST_F16);
    json_t *dims = json_array();
    int64_t n_elems = 1;
    for (int i = 0; i < n_dims; i++) {
        json_array_append_new(dims, json_integer(shape[i]));
        n_elems *= shape[i];
    }
    int64_t end = w->offset + n_elems * (type == ST_F32 ? 4 : 2);
    json_object_set_new(w->header, name, json_pack("{s:s, s:o, s:[I,I]}", "dtype", type == ST_F32 ? "F32" : "BF16", "shape", dims, "data_offsets", (json_int_t)w->offset, (json_int_t)end));
    void *grown = realloc(w->tensor, ((size_t)w->n + 1) * sizeof *w->tensor);
    CHECK(grown, "out of memory while writing %s", w->path);
    w->tensor = grown;
    w->tensor[w->n].type = type;
    w->tensor[w->n++].n_elems = n_elems;
    w->offset = end;
    return OK;
}

static int put(struct st_writer *w, const void *bytes, size_t n_bytes)
{
    CHECK(fwrite(bytes, 1, n_bytes, w->file) == n_bytes, "cannot write %s: %s", w->path, strerror(errno));
    return OK;
}

static int put_header(struct st_writer *w)
{
    char *text = json_dumps(w->header, JSON_COMPACT);
    CHECK(text, "out of memory while writing %s", w->path);
    size_t n = strlen(text), padded = (n + 7) & ~(size_t)7;
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(padded >> (8 * i));
    int status = put(w, length, 8);
    if (status == OK)
        status = put(w, text, n);
    if (status == OK)
        status = put(w, "        ", padded - n);
    free(text);
    w->at = 0;
    return status;
}

static int put_converted(struct st_writer *w, const float *elems, int64_t n)
{
    bf16 block[4096];
    if (w->tensor[w->at].type == ST_F32)
        return put(w, elems, (size_t)n * 4);
    for (int64_t i = 0; i < n; i += 4096) {
        int64_t m = n - i < 4096 ? n - i : 4096;
        for (int64_t j = 0; j < m; j++)
            block[j] = f32_to_bf16(elems[i + j]);
        TRY(put(w, block, (size_t)m * 2));
    }
    return OK;
}

static void skip_complete(struct st_writer *w)
{
    while (w->at < w->n && w->written == w->tensor[w->at].n_elems) {
        w->at++;
        w->written = 0;
    }
}

int st_writer_put_f32(struct st_writer *w, const float *elems, int64_t n_elems)
{
    if (w->at < 0)
        TRY(put_header(w));
    skip_complete(w);
    if (n_elems == 0)
        return OK;
    ASSERT(w->at < w->n && w->written + n_elems <= w->tensor[w->at].n_elems);
    TRY(put_converted(w, elems, n_elems));
    w->written += n_elems;
    return OK;
}

static int close_complete(struct st_writer *w)
{
    if (w->at < 0)
        TRY(put_header(w));
    skip_complete(w);
    ASSERT(w->at == w->n);
    CHECK(fflush(w->file) == 0 && fsync(fileno(w->file)) == 0, "cannot write %s: %s", w->path, strerror(errno));
    int failed = fclose(w->file);
    w->file = NULL;
    CHECK(failed == 0, "cannot write %s: %s", w->path, strerror(errno));
    return OK;
}

int st_writer_close(struct st_writer **w)
{
    int status = close_complete(*w);
    st_writer_abandon(w);
    return status;
}

void st_writer_abandon(struct st_writer **out)
{
    struct st_writer *w = *out;
    if (!w)
        return;
    if (w->file)
        fclose(w->file);
    json_decref(w->header);
    free(w->tensor);
    free(w);
    *out = NULL;
}
