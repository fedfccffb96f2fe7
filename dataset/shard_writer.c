/* shard_writer: columns that grow, then one append each. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/h5.h"
#include "base/status.h"
#include "dataset/shard.h"

enum column_name { TOKEN_PROMPT, TOKEN_RESPONSE, TOKEN_CRITIQUE, OFFSET_PROMPT, OFFSET_RESPONSE, OFFSET_CRITIQUE, OFFSET_CRITIQUES, JUDGE_SCORE, QUALITY, SOURCE, TEXT_ID,
                   TEXT_SUBSET, OFFSET_ID, OFFSET_SUBSET, N_COLUMNS };

static const struct { const char *name; enum h5_type type; } columns[N_COLUMNS] = {
    [TOKEN_PROMPT] = {"/token/prompt", H5_U32}, [TOKEN_RESPONSE] = {"/token/response", H5_U32}, [TOKEN_CRITIQUE] = {"/token/critique", H5_U32},
    [OFFSET_PROMPT] = {"/offset/prompt", H5_U64}, [OFFSET_RESPONSE] = {"/offset/response", H5_U64}, [OFFSET_CRITIQUE] = {"/offset/critique", H5_U64},
    [OFFSET_CRITIQUES] = {"/offset/critiques_of_response", H5_U64}, [JUDGE_SCORE] = {"/critique/judge_score", H5_F32}, [QUALITY] = {"/critique/quality", H5_F32},
    [SOURCE] = {"/pair/source", H5_U64}, [TEXT_ID] = {"/text/id", H5_U8}, [TEXT_SUBSET] = {"/text/subset", H5_U8}, [OFFSET_ID] = {"/offset/id", H5_U64},
    [OFFSET_SUBSET] = {"/offset/subset", H5_U64},
};

struct column { char *bytes; size_t n_elems, max_elems; };
struct shard_writer { struct shard_meta meta; struct column column[N_COLUMNS]; int64_t n_pairs; };

static int put(struct shard_writer *w, enum column_name name, const void *elems, size_t n)
{
    struct column *c = &w->column[name];
    size_t e = h5_type_bytes(columns[name].type);
    if (c->n_elems + n > c->max_elems) {
        size_t size = (c->n_elems + n) * 2 + 256;
        char *grown = realloc(c->bytes, size * e);
        CHECK(grown, "out of memory for a shard of %lld pairs: lower data.pairs_per_shard", (long long)w->n_pairs);
        c->bytes = grown;
        c->max_elems = size;
    }
    if (n > 0)
        memcpy(c->bytes + c->n_elems * e, elems, n * e);
    c->n_elems += n;
    return OK;
}

static int put_end(struct shard_writer *w, enum column_name offsets, enum column_name of)
{
    uint64_t end = w->column[of].n_elems;
    return put(w, offsets, &end, 1);
}

int shard_writer_create(const struct shard_meta *meta, struct shard_writer **out)
{
    static const enum column_name from_zero[] = {OFFSET_PROMPT, OFFSET_RESPONSE, OFFSET_CRITIQUE, OFFSET_CRITIQUES, OFFSET_ID, OFFSET_SUBSET};
    struct shard_writer *w = calloc(1, sizeof *w);
    CHECK(w, "out of memory for a shard");
    w->meta = *meta;
    for (int i = 0; i < 6; i++) {
        uint64_t zero = 0;
        int status = put(w, from_zero[i], &zero, 1);
        if (status != OK) {
            shard_writer_abandon(&w);
            return status;
        }
    }
    *out = w;
    return OK;
}

static int put_side(struct shard_writer *w, const struct shard_record *r, int side)
{
    TRY(put(w, TOKEN_RESPONSE, r->response[side].token, (size_t)r->response[side].n));
    TRY(put_end(w, OFFSET_RESPONSE, TOKEN_RESPONSE));
    for (int32_t i = 0; i < r->n_critiques[side]; i++) {
        const struct shard_critique *c = &r->critique[side][i];
        TRY(put(w, TOKEN_CRITIQUE, c->text.token, (size_t)c->text.n));
        TRY(put_end(w, OFFSET_CRITIQUE, TOKEN_CRITIQUE));
        TRY(put(w, JUDGE_SCORE, &c->judge_score, 1));
        TRY(put(w, QUALITY, &c->quality, 1));
    }
    return put_end(w, OFFSET_CRITIQUES, JUDGE_SCORE);
}

int shard_writer_put(struct shard_writer *w, const struct shard_record *r)
{
    TRY(put(w, TOKEN_PROMPT, r->prompt.token, (size_t)r->prompt.n));
    TRY(put_end(w, OFFSET_PROMPT, TOKEN_PROMPT));
    TRY(put_side(w, r, 0));
    TRY(put_side(w, r, 1));
    TRY(put(w, SOURCE, &r->source, 1));
    TRY(put(w, TEXT_ID, r->id, strlen(r->id)));
    TRY(put_end(w, OFFSET_ID, TEXT_ID));
    TRY(put(w, TEXT_SUBSET, r->subset, strlen(r->subset)));
    TRY(put_end(w, OFFSET_SUBSET, TEXT_SUBSET));
    w->n_pairs++;
    return OK;
}

int64_t shard_writer_pairs(const struct shard_writer *w) { return w->n_pairs; }

static int write_columns(struct shard_writer *w, struct h5_file *file)
{
    for (int i = 0; i < N_COLUMNS; i++) {
        TRY(h5_dataset_create(file, columns[i].name, columns[i].type));
        TRY(h5_append(file, columns[i].name, w->column[i].bytes, w->column[i].n_elems));
    }
    TRY(h5_attr_put_text(file, "format", "critic-rm D_sub"));
    TRY(h5_attr_put_u64(file, "version", SHARD_VERSION));
    TRY(h5_attr_put_text(file, "tokenizer", w->meta.tokenizer));
    TRY(h5_attr_put_text(file, "template", w->meta.template));
    TRY(h5_attr_put_text(file, "model", w->meta.model));
    TRY(h5_attr_put_u64(file, "pairs", (uint64_t)w->n_pairs));
    TRY(h5_attr_put_u64(file, "critiques", w->column[JUDGE_SCORE].n_elems));
    TRY(h5_attr_put_u64(file, "lead_in_length", (uint64_t)w->meta.n_lead_in));
    return h5_attr_put_u32s(file, "lead_in", w->meta.lead_in, (size_t)w->meta.n_lead_in);
}

int shard_writer_finish(struct shard_writer **w, const char *path)
{
    int status = OK;
    char tmp[2048];
    struct h5_file *file = NULL;
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    TRY_DONE(h5_create(tmp, &file));
    TRY_DONE(write_columns(*w, file));
    TRY_DONE(h5_close(&file));
    TRY_DONE(file_publish(tmp, path));
done:
    if (status != OK) {
        h5_close(&file);
        remove(tmp);
    }
    shard_writer_abandon(w);
    return status;
}

void shard_writer_abandon(struct shard_writer **w)
{
    for (int i = 0; *w && i < N_COLUMNS; i++)
        free((*w)->column[i].bytes);
    free(*w);
    *w = NULL;
}
