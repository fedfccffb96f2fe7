/* shard_writer: columns that grow, then one append each; of D_sub and of candidates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/h5.h"
#include "base/status.h"
#include "dataset/candidates.h"
#include "dataset/set.h"
#include "dataset/text.h"

enum column_name { TOKEN_PROMPT, TOKEN_RESPONSE, TOKEN_CRITIQUE, OFFSET_PROMPT, OFFSET_RESPONSE, OFFSET_CRITIQUE, OFFSET_CRITIQUES, JUDGE_SCORE, QUALITY, CANDIDATE_SCORE, FINISH,
                   TEXT_CANDIDATE, OFFSET_CANDIDATE, SOURCE, TEXT_ID, TEXT_SUBSET, OFFSET_ID, OFFSET_SUBSET, N_COLUMNS };
enum { DSUB = 1, CANDIDATES = 2, BOTH = 3 };       /* forms of a set that have the column */

static const struct { const char *name; enum h5_type type; int forms; } columns[N_COLUMNS] = {
    [TOKEN_PROMPT] = {"/token/prompt", H5_U32, BOTH}, [TOKEN_RESPONSE] = {"/token/response", H5_U32, BOTH}, [TOKEN_CRITIQUE] = {"/token/critique", H5_U32, BOTH},
    [OFFSET_PROMPT] = {"/offset/prompt", H5_U64, BOTH}, [OFFSET_RESPONSE] = {"/offset/response", H5_U64, BOTH}, [OFFSET_CRITIQUE] = {"/offset/critique", H5_U64, BOTH},
    [OFFSET_CRITIQUES] = {"/offset/critiques_of_response", H5_U64, BOTH}, [JUDGE_SCORE] = {"/critique/judge_score", H5_F32, DSUB}, [QUALITY] = {"/critique/quality", H5_F32, DSUB},
    [CANDIDATE_SCORE] = {"/candidate/judge_score", H5_F32, CANDIDATES}, [FINISH] = {"/candidate/finish", H5_U8, CANDIDATES}, [TEXT_CANDIDATE] = {"/text/candidate", H5_U8, CANDIDATES},
    [OFFSET_CANDIDATE] = {"/offset/candidate", H5_U64, CANDIDATES}, [SOURCE] = {"/pair/source", H5_U64, BOTH}, [TEXT_ID] = {"/text/id", H5_U8, BOTH},
    [TEXT_SUBSET] = {"/text/subset", H5_U8, BOTH}, [OFFSET_ID] = {"/offset/id", H5_U64, BOTH}, [OFFSET_SUBSET] = {"/offset/subset", H5_U64, BOTH},
};

struct column { char *bytes; size_t n_elems, max_elems; };
struct shard_writer { const struct set_form *form; struct shard_meta meta; struct column column[N_COLUMNS]; int64_t n_pairs; };

static int put(struct shard_writer *w, enum column_name name, const void *elems, size_t n)
{
    struct column *c = &w->column[name];
    size_t e = h5_type_bytes(columns[name].type);
    if (c->n_elems + n > c->max_elems) {
        size_t size = (c->n_elems + n) * 2 + 256;
        char *grown = realloc(c->bytes, size * e);
        CHECK(grown, "out of memory for a file of %lld pairs: lower data.pairs_per_shard or generate.records_per_part", (long long)w->n_pairs);
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

static int begin_offsets(struct shard_writer *w)
{
    static const enum column_name from_zero[] = {OFFSET_PROMPT, OFFSET_RESPONSE, OFFSET_CRITIQUE, OFFSET_CRITIQUES, OFFSET_CANDIDATE, OFFSET_ID, OFFSET_SUBSET};
    uint64_t zero = 0;
    for (size_t i = 0; i < sizeof from_zero / sizeof *from_zero; i++)
        TRY(put(w, from_zero[i], &zero, 1));
    return OK;
}

int shard_writer_create_as(const struct set_form *form, const struct shard_meta *meta, struct shard_writer **out)
{
    struct shard_writer *w = calloc(1, sizeof *w);
    CHECK(w, "out of memory for a shard");
    w->form = form;
    w->meta = *meta;
    int status = begin_offsets(w);
    if (status != OK)
        shard_writer_abandon(&w);
    else
        *out = w;
    return status;
}

int shard_writer_create(const struct shard_meta *meta, struct shard_writer **out) { return shard_writer_create_as(&set_dsub, meta, out); }
int candidates_part_create(const struct shard_meta *meta, struct shard_writer **out) { return shard_writer_create_as(&set_candidates, meta, out); }

static int put_node(struct shard_writer *w, enum column_name name, enum column_name offsets, const struct tokens *node)
{
    TRY(put(w, name, node->token, (size_t)node->n));
    return put_end(w, offsets, name);
}

static int put_bytes(struct shard_writer *w, enum column_name name, enum column_name offsets, const char *bytes, size_t n_bytes)
{
    TRY(put(w, name, bytes, n_bytes));
    return put_end(w, offsets, name);
}

/* What both forms say of a pair itself. */
static int put_pair(struct shard_writer *w, const char *id, const char *subset, uint64_t source)
{
    TRY(put(w, SOURCE, &source, 1));
    TRY(put_bytes(w, TEXT_ID, OFFSET_ID, id, strlen(id)));
    TRY(put_bytes(w, TEXT_SUBSET, OFFSET_SUBSET, subset, strlen(subset)));
    w->n_pairs++;
    return OK;
}

/* ---- D_sub ----------------------------------------------------------------------------------------------------------------------------------- */

static int put_side(struct shard_writer *w, const struct shard_record *r, int side)
{
    TRY(put_node(w, TOKEN_RESPONSE, OFFSET_RESPONSE, &r->response[side]));
    for (int32_t i = 0; i < r->n_critiques[side]; i++) {
        const struct shard_critique *c = &r->critique[side][i];
        TRY(put_node(w, TOKEN_CRITIQUE, OFFSET_CRITIQUE, &c->text));
        TRY(put(w, JUDGE_SCORE, &c->judge_score, 1));
        TRY(put(w, QUALITY, &c->quality, 1));
    }
    return put_end(w, OFFSET_CRITIQUES, JUDGE_SCORE);
}

int shard_writer_put(struct shard_writer *w, const struct shard_record *r)
{
    ASSERT(!w->form->candidates);
    TRY(put_node(w, TOKEN_PROMPT, OFFSET_PROMPT, &r->prompt));
    TRY(put_side(w, r, 0));
    TRY(put_side(w, r, 1));
    return put_pair(w, r->id, r->subset, r->source);
}

/* ---- candidates ------------------------------------------------------------------------------------------------------------------------------ */

static int put_raw(struct shard_writer *w, const struct candidate *c)
{
    char *text;
    size_t n_bytes;
    TRY(text_repair(c->raw, c->n_raw_bytes, &text, &n_bytes));
    int status = put_bytes(w, TEXT_CANDIDATE, OFFSET_CANDIDATE, text, n_bytes);
    free(text);
    return status;
}

static int put_candidate(struct shard_writer *w, const struct candidate *c)
{
    uint8_t finish = (uint8_t)c->finish;
    ASSERT(candidate_is_score(c->judge_score) && (c->finish == FINISH_STOP || c->finish == FINISH_LIMIT));
    TRY(put_node(w, TOKEN_CRITIQUE, OFFSET_CRITIQUE, &c->text));
    TRY(put(w, CANDIDATE_SCORE, &c->judge_score, 1));
    TRY(put(w, FINISH, &finish, 1));
    return put_raw(w, c);
}

static int put_candidates(struct shard_writer *w, const struct candidate_record *r, int side)
{
    TRY(put_node(w, TOKEN_RESPONSE, OFFSET_RESPONSE, &r->response[side]));
    for (int32_t i = 0; i < r->n_candidates[side]; i++)
        TRY(put_candidate(w, &r->candidate[side][i]));
    return put_end(w, OFFSET_CRITIQUES, CANDIDATE_SCORE);
}

int candidates_part_put(struct shard_writer *w, const struct candidate_record *r)
{
    ASSERT(w->form->candidates);
    TRY(put_node(w, TOKEN_PROMPT, OFFSET_PROMPT, &r->prompt));
    TRY(put_candidates(w, r, 0));
    TRY(put_candidates(w, r, 1));
    return put_pair(w, r->id, r->subset, r->source);
}

/* ---- the file -------------------------------------------------------------------------------------------------------------------------------- */

int64_t shard_writer_pairs(const struct shard_writer *w) { return w->n_pairs; }

static int write_columns(struct shard_writer *w, struct h5_file *file)
{
    for (int i = 0; i < N_COLUMNS; i++) {
        if (!(columns[i].forms & (w->form->candidates ? CANDIDATES : DSUB)))
            continue;
        TRY(h5_dataset_create(file, columns[i].name, columns[i].type));
        TRY(h5_append(file, columns[i].name, w->column[i].bytes, w->column[i].n_elems));
    }
    return OK;
}

static int write_attributes(struct shard_writer *w, struct h5_file *file)
{
    TRY(h5_attr_put_text(file, "format", w->form->format));
    TRY(h5_attr_put_u64(file, "version", SHARD_VERSION));
    TRY(h5_attr_put_text(file, "tokenizer", w->meta.tokenizer));
    TRY(h5_attr_put_text(file, "template", w->meta.template));
    if (w->form->candidates)
        TRY(h5_attr_put_text(file, "judge", w->meta.judge));
    TRY(h5_attr_put_text(file, "model", w->meta.model));
    TRY(h5_attr_put_u64(file, "pairs", (uint64_t)w->n_pairs));
    TRY(h5_attr_put_u64(file, "critiques", w->column[OFFSET_CRITIQUE].n_elems - 1));
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
    TRY_DONE(write_attributes(*w, file));
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
