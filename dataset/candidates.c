/* candidates: see candidates.h. A record's tokens lie one behind the other in one block of memory, its texts in another. */
#include "dataset/candidates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/lines.h"
#include "base/status.h"
#include "dataset/encode.h"
#include "dataset/set.h"

int candidates_meta(const struct encoder *e, const char *judge, const char *model, struct shard_meta *out)
{
    memset(out, 0, sizeof *out);
    hash_to_hex(tokenizer_hash(e->tokenizer), out->tokenizer);
    hash_to_hex(e->template.hash, out->template);
    if (judge)
        hash_to_hex(hash_text(judge), out->judge);
    snprintf(out->model, sizeof out->model, "%.500s", model);
    return OK;
}

int candidates_writer_create(const char *folder, const struct shard_meta *meta, int64_t pairs_per_file, struct dsub_writer **out)
{
    return dsub_writer_create_as(folder, &set_candidates, meta, pairs_per_file, out);
}

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

bool candidates_is_set(const char *folder) { return set_is(folder, &set_candidates); }
int candidates_verify(const char *folder) { return set_verify(folder, &set_candidates); }

int candidates_open(const char *folder, struct candidates **out)
{
    struct candidates *c = calloc(1, sizeof *c);
    CHECK(c, "out of memory while opening %s", folder);
    int status = dsub_open_as(folder, &set_candidates, &c->set);
    if (status != OK) {
        candidates_close(&c);
        return status;
    }
    c->meta = c->set->meta;
    c->hash = c->set->hash;
    c->n_records = c->set->n_pairs;
    c->n_candidates = c->set->n_critiques;
    c->n_files = c->set->n_files;
    *out = c;
    return OK;
}

void candidates_close(struct candidates **out)
{
    struct candidates *c = *out;
    if (!c)
        return;
    dsub_close(&c->set);
    free(c->record.token);
    free(c->record.text);
    free(c->record.candidate);
    free(c);
    *out = NULL;
}

/* ---- a record -------------------------------------------------------------------------------------------------------------------------------- */

/* Where pair `index` of a file lies in the file's lists. */
struct place { const struct shard *shard; int64_t index; uint64_t first, middle, end; };      /* candidates [first, middle) of the chosen, [middle, end) of the rejected response */

static struct place place_of(const struct candidates *c, int64_t number)
{
    struct place p = {.shard = c->set->shard[c->set->pair[number].file], .index = c->set->pair[number].index};
    const uint64_t *owner = p.shard->critiques_of_response + 2 * p.index;
    p.first = owner[0];
    p.middle = owner[1];
    p.end = owner[2];
    return p;
}

static int grow(void **memory, size_t *max, size_t n, size_t size)
{
    if (n <= *max)
        return OK;
    void *grown = realloc(*memory, n * size);
    CHECK(grown, "out of memory for a record of candidates");
    *memory = grown;
    *max = n;
    return OK;
}

static int reserve(struct candidates *c, const struct place *p)
{
    const struct shard *s = p->shard;
    int64_t i = p->index;
    size_t n_candidates = (size_t)(p->end - p->first);
    size_t n_tokens = (size_t)(s->prompt[i + 1] - s->prompt[i] + s->response[2 * i + 2] - s->response[2 * i] + s->critique[p->end] - s->critique[p->first]);
    size_t n_bytes = (size_t)(s->id_offset[i + 1] - s->id_offset[i] + s->subset_offset[i + 1] - s->subset_offset[i] + s->raw[p->end] - s->raw[p->first]) + 2 + n_candidates;
    TRY(grow((void **)&c->record.token, &c->record.max_tokens, n_tokens, sizeof *c->record.token));
    TRY(grow((void **)&c->record.text, &c->record.max_bytes, n_bytes, 1));
    return grow((void **)&c->record.candidate, &c->record.max_candidates, n_candidates + 1, sizeof *c->record.candidate);
}

static int read_nodes(struct candidates *c, const struct place *p, struct candidate_record *out)
{
    const struct shard *s = p->shard;
    int64_t i = p->index;
    uint32_t *at = c->record.token;
    TRY(shard_read_prompt(s, i, at));
    out->prompt = (struct tokens){at, (int32_t)(s->prompt[i + 1] - s->prompt[i])};
    at += out->prompt.n;
    TRY(shard_read_responses(s, i, at));
    for (int side = 0; side < 2; at += out->response[side++].n)
        out->response[side] = (struct tokens){at, (int32_t)(s->response[2 * i + side + 1] - s->response[2 * i + side])};
    TRY(shard_read_critiques_of_pair(s, i, at));
    for (uint64_t k = p->first; k < p->end; at += c->record.candidate[k++ - p->first].text.n)
        c->record.candidate[k - p->first] = (struct candidate){.text = {at, (int32_t)(s->critique[k + 1] - s->critique[k])}, .judge_score = s->judge_score[k], .finish = (enum finish)s->finish[k]};
    return OK;
}

static char *copy_text(char **at, const char *bytes, uint64_t n)
{
    char *text = *at;
    memcpy(text, bytes, (size_t)n);
    text[n] = 0;
    *at += n + 1;
    return text;
}

/* The raw texts are read as far back as the zeros behind them need room, then moved forward one by one. */
static int read_texts(struct candidates *c, const struct place *p, struct candidate_record *out)
{
    const struct shard *s = p->shard;
    int64_t i = p->index;
    char *at = c->record.text;
    out->id = copy_text(&at, s->id + s->id_offset[i], s->id_offset[i + 1] - s->id_offset[i]);
    out->subset = copy_text(&at, s->subset + s->subset_offset[i], s->subset_offset[i + 1] - s->subset_offset[i]);
    const char *raw = at + (p->end - p->first);
    TRY(shard_read_raw_of_pair(s, i, at + (p->end - p->first)));
    for (uint64_t k = p->first; k < p->end; k++) {
        struct candidate *one = &c->record.candidate[k - p->first];
        one->n_raw_bytes = (size_t)(s->raw[k + 1] - s->raw[k]);
        one->raw = memmove(at, raw, one->n_raw_bytes);
        raw += one->n_raw_bytes;
        at += one->n_raw_bytes;
        *at++ = 0;
        CHECK(utf8_valid(one->raw, one->n_raw_bytes), "the raw text of candidate %llu of source record %llu is not UTF-8: the file is damaged, make it anew", (unsigned long long)(k - p->first),
              (unsigned long long)s->source[i]);
    }
    return OK;
}

int candidates_read(struct candidates *c, int64_t number, struct candidate_record *out)
{
    ASSERT(number >= 0 && number < c->n_records);
    struct place p = place_of(c, number);
    TRY(reserve(c, &p));
    *out = (struct candidate_record){.source = p.shard->source[p.index], .n_candidates = {(int32_t)(p.middle - p.first), (int32_t)(p.end - p.middle)}};
    TRY(read_nodes(c, &p, out));
    TRY(read_texts(c, &p, out));
    out->candidate[0] = c->record.candidate;
    out->candidate[1] = c->record.candidate + out->n_candidates[0];
    return OK;
}
