/* shard: the reader. What the file says is checked before it is believed. */
#include "dataset/shard.h"

#include <stdlib.h>
#include <string.h>

#include "base/h5.h"
#include "base/status.h"
#include "dataset/candidates.h"
#include "dataset/set.h"

/* Offsets: n + 1 of them, from 0, never falling, ending at `end`. */
static int read_offsets(struct shard *s, const char *name, int64_t n, uint64_t end, uint64_t **out)
{
    uint64_t count;
    TRY(h5_read_all(s->file, name, H5_U64, (void **)out, &count));
    CHECK(count == (uint64_t)n + 1, "%s: %s has %llu entries, not %lld: the file is damaged, make it anew", h5_path(s->file), name, (unsigned long long)count, (long long)n + 1);
    for (int64_t i = 0; i < n; i++)
        CHECK((*out)[i] <= (*out)[i + 1], "%s: %s falls at entry %lld: the file is damaged, make it anew", h5_path(s->file), name, (long long)i);
    CHECK((*out)[0] == 0 && (*out)[n] == end, "%s: %s does not cover its data: the file is damaged, make it anew", h5_path(s->file), name);
    return OK;
}

static int read_column(struct shard *s, const char *name, enum h5_type type, int64_t n, void **out)
{
    uint64_t count;
    TRY(h5_read_all(s->file, name, type, out, &count));
    CHECK(count == (uint64_t)n, "%s: %s has %llu entries, not %lld: the file is damaged, make it anew", h5_path(s->file), name, (unsigned long long)count, (long long)n);
    return OK;
}

static int read_meta(struct shard *s)
{
    char format[64];
    uint64_t version, n_pairs, n_critiques;
    size_t n_lead_in;
    struct shard_meta *m = &s->meta;
    TRY(h5_attr_get_text(s->file, "format", format, sizeof format));
    TRY(h5_attr_get_u64(s->file, "version", &version));
    CHECK(strcmp(format, s->form->format) == 0 && version == SHARD_VERSION, "%s: not a %s of version %d", h5_path(s->file), s->form->what, SHARD_VERSION);
    TRY(h5_attr_get_text(s->file, "tokenizer", m->tokenizer, sizeof m->tokenizer));
    TRY(h5_attr_get_text(s->file, "template", m->template, sizeof m->template));
    if (s->form->candidates)
        TRY(h5_attr_get_text(s->file, "judge", m->judge, sizeof m->judge));
    TRY(h5_attr_get_text(s->file, "model", m->model, sizeof m->model));
    TRY(h5_attr_get_u64(s->file, "pairs", &n_pairs));
    TRY(h5_attr_get_u64(s->file, "critiques", &n_critiques));
    TRY(h5_attr_get_u32s(s->file, "lead_in", m->lead_in, SHARD_MAX_LEAD_IN, &n_lead_in));
    CHECK(n_pairs < (uint64_t)1 << 40 && n_critiques < (uint64_t)1 << 40, "%s: says it holds %llu pairs: the file is damaged, make it anew", h5_path(s->file), (unsigned long long)n_pairs);
    CHECK(!s->form->candidates || n_lead_in == 0, "%s: responses of candidates end with an instruction: the file is damaged, make it anew", h5_path(s->file));
    m->n_lead_in = (int32_t)n_lead_in;
    s->n_pairs = (int64_t)n_pairs;
    s->n_critiques = (int64_t)n_critiques;
    return OK;
}

static int check_sources(const struct shard *s)
{
    for (int64_t i = 1; i < s->n_pairs; i++)
        CHECK(s->source[i - 1] < s->source[i], "%s: /pair/source does not rise at entry %lld: the file is damaged, make it anew", h5_path(s->file), (long long)i);
    return OK;
}

static int check_lengths(const struct shard *s)
{
    for (int64_t i = 0; i < s->n_pairs; i++)
        CHECK(s->prompt[i + 1] - s->prompt[i] < 1u << 30, "%s: prompt %lld is too long to be true", h5_path(s->file), (long long)i);
    for (int64_t i = 0; i < 2 * s->n_pairs; i++)
        CHECK(s->response[i + 1] - s->response[i] < 1u << 30, "%s: response %lld is too long to be true", h5_path(s->file), (long long)i);
    for (int64_t i = 0; i < s->n_critiques; i++)
        CHECK(s->critique[i + 1] - s->critique[i] < 1u << 30, "%s: critique %lld is too long to be true", h5_path(s->file), (long long)i);
    return OK;
}

/* Every node has a last row, which predicts what hangs on it. A conversation has two empty responses and its text as a critique of the first. Of a candidate nothing may be left. */
static int check_empty(const struct shard *s)
{
    for (int64_t i = 0; i < s->n_pairs; i++) {
        bool empty[2] = {s->response[2 * i] == s->response[2 * i + 1], s->response[2 * i + 1] == s->response[2 * i + 2]};
        bool second = s->critiques_of_response[2 * i + 1] < s->critiques_of_response[2 * i + 2];
        CHECK(s->prompt[i] < s->prompt[i + 1], "%s: pair %lld has an empty prompt: the file is damaged, make it anew", h5_path(s->file), (long long)i);
        CHECK(empty[0] == empty[1] && !(empty[0] && (second || s->form->candidates)), "%s: pair %lld has an empty response: the file is damaged, make it anew", h5_path(s->file), (long long)i);
    }
    for (int64_t i = 0; i < s->n_critiques && !s->form->candidates; i++)
        CHECK(s->critique[i] < s->critique[i + 1], "%s: critique %lld is empty: the file is damaged, make it anew", h5_path(s->file), (long long)i);
    return OK;
}

static int check_candidates(const struct shard *s)
{
    for (int64_t i = 0; i < 2 * s->n_pairs; i++)
        CHECK(s->critiques_of_response[i + 1] - s->critiques_of_response[i] < 1u << 20, "%s: response %lld has too many candidates to be true", h5_path(s->file), (long long)i);
    for (int64_t i = 0; i < s->n_critiques; i++) {
        CHECK(candidate_is_score(s->judge_score[i]), "%s: candidate %lld has the score %g, not 1 to 10: the file is damaged, make it anew", h5_path(s->file), (long long)i, (double)s->judge_score[i]);
        CHECK(s->finish[i] <= FINISH_LIMIT, "%s: candidate %lld has the finish %u, not 0 or 1: the file is damaged, make it anew", h5_path(s->file), (long long)i, s->finish[i]);
        CHECK(s->raw[i + 1] - s->raw[i] < 1u << 30, "%s: the raw text of candidate %lld is too long to be true", h5_path(s->file), (long long)i);
    }
    return OK;
}

static int read_candidates(struct shard *s)
{
    uint64_t raw;
    TRY(read_column(s, "/candidate/finish", H5_U8, s->n_critiques, (void **)&s->finish));
    TRY(h5_extent(s->file, "/text/candidate", H5_U8, &raw));
    TRY(read_offsets(s, "/offset/candidate", s->n_critiques, raw, &s->raw));
    return check_candidates(s);
}

static int read_lists(struct shard *s)
{
    uint64_t prompts, responses, critiques, ids, subsets;
    TRY(h5_extent(s->file, "/token/prompt", H5_U32, &prompts));
    TRY(h5_extent(s->file, "/token/response", H5_U32, &responses));
    TRY(h5_extent(s->file, "/token/critique", H5_U32, &critiques));
    TRY(read_offsets(s, "/offset/prompt", s->n_pairs, prompts, &s->prompt));
    TRY(read_offsets(s, "/offset/response", 2 * s->n_pairs, responses, &s->response));
    TRY(read_offsets(s, "/offset/critique", s->n_critiques, critiques, &s->critique));
    TRY(read_offsets(s, "/offset/critiques_of_response", 2 * s->n_pairs, (uint64_t)s->n_critiques, &s->critiques_of_response));
    TRY(read_column(s, s->form->judge_score, H5_F32, s->n_critiques, (void **)&s->judge_score));
    if (!s->form->candidates)
        TRY(read_column(s, "/critique/quality", H5_F32, s->n_critiques, (void **)&s->quality));
    TRY(read_column(s, "/pair/source", H5_U64, s->n_pairs, (void **)&s->source));
    TRY(h5_read_all(s->file, "/text/id", H5_U8, (void **)&s->id, &ids));
    TRY(h5_read_all(s->file, "/text/subset", H5_U8, (void **)&s->subset, &subsets));
    TRY(read_offsets(s, "/offset/id", s->n_pairs, ids, &s->id_offset));
    TRY(read_offsets(s, "/offset/subset", s->n_pairs, subsets, &s->subset_offset));
    TRY(check_sources(s));
    TRY(check_lengths(s));
    TRY(check_empty(s));
    return s->form->candidates ? read_candidates(s) : OK;
}

int shard_open_as(const char *path, const struct set_form *form, struct shard **out)
{
    int status = OK;
    struct shard *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory while opening %s", path);
    s->form = form;
    TRY_DONE(h5_open(path, &s->file));
    TRY_DONE(read_meta(s));
    TRY_DONE(read_lists(s));
    *out = s;
    return OK;
done:
    shard_close(&s);
    return status;
}

int shard_open_any(const char *path, struct shard **out)
{
    char format[64];
    struct h5_file *file;
    TRY(h5_open(path, &file));
    int status = h5_attr_get_text(file, "format", format, sizeof format);
    h5_close(&file);
    TRY(status);
    return shard_open_as(path, strcmp(format, set_candidates.format) == 0 ? &set_candidates : &set_dsub, out);
}

int shard_open(const char *path, struct shard **out) { return shard_open_as(path, &set_dsub, out); }

void shard_close(struct shard **out)
{
    struct shard *s = *out;
    if (!s)
        return;
    h5_close(&s->file);
    free(s->prompt);
    free(s->response);
    free(s->critique);
    free(s->critiques_of_response);
    free(s->source);
    free(s->id_offset);
    free(s->subset_offset);
    free(s->judge_score);
    free(s->quality);
    free(s->finish);
    free(s->raw);
    free(s->id);
    free(s->subset);
    free(s);
    *out = NULL;
}

static int read_tokens(const struct shard *s, const char *name, uint64_t from, uint64_t to, uint32_t *out)
{
    return to > from ? h5_read(s->file, name, H5_U32, from, to - from, out) : OK;
}

int shard_read_prompt(const struct shard *s, int64_t pair, uint32_t *out) { return read_tokens(s, "/token/prompt", s->prompt[pair], s->prompt[pair + 1], out); }

int shard_read_response(const struct shard *s, int64_t pair, int side, uint32_t *out)
{
    return read_tokens(s, "/token/response", s->response[2 * pair + side], s->response[2 * pair + side + 1], out);
}

int shard_read_responses(const struct shard *s, int64_t pair, uint32_t *out) { return read_tokens(s, "/token/response", s->response[2 * pair], s->response[2 * pair + 2], out); }

int shard_read_critiques(const struct shard *s, int64_t pair, int side, uint32_t *out)
{
    uint64_t first = s->critiques_of_response[2 * pair + side], end = s->critiques_of_response[2 * pair + side + 1];
    return read_tokens(s, "/token/critique", s->critique[first], s->critique[end], out);
}

int shard_read_critiques_of_pair(const struct shard *s, int64_t pair, uint32_t *out)
{
    return read_tokens(s, "/token/critique", s->critique[s->critiques_of_response[2 * pair]], s->critique[s->critiques_of_response[2 * pair + 2]], out);
}

int shard_read_raw_of_pair(const struct shard *s, int64_t pair, char *out)
{
    uint64_t first = s->critiques_of_response[2 * pair], end = s->critiques_of_response[2 * pair + 2];
    uint64_t from = s->raw[first], to = s->raw[end];
    return to > from ? h5_read(s->file, "/text/candidate", H5_U8, from, to - from, out) : OK;
}

/* What opening has not read. */
int shard_verify(const struct shard *s)
{
    static const struct { const char *name; enum h5_type type; } all[] = {{"/token/prompt", H5_U32}, {"/token/response", H5_U32}, {"/token/critique", H5_U32}, {"/text/candidate", H5_U8}};
    for (int i = 0; i < (s->form->candidates ? 4 : 3); i++) {
        void *elems = NULL;
        uint64_t count;
        int status = h5_read_all(s->file, all[i].name, all[i].type, &elems, &count);
        free(elems);
        TRY(status);
    }
    return OK;
}
