/* import: see import.h. */
#include "dataset/import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"

struct importing {
    const struct config *config;
    struct encoder *encoder;
    struct dsub_writer *writer;
    enum import_kind kind;
    struct import_counts *counts;
    struct token_list prompt, response[2], critique[2];
    struct shard_critique *list[2];
    int max_list[2], n_list[2];
};

static bool same_response(const struct pair_record *r)
{
    return r->response[0].n_bytes == r->response[1].n_bytes && memcmp(r->response[0].text, r->response[1].text, r->response[0].n_bytes) == 0;
}

/* The same after the template's trimming. */
static bool same_tokens(const struct token_list *a, const struct token_list *b) { return a->n == b->n && memcmp(a->token, b->token, (size_t)a->n * sizeof *a->token) == 0; }

static bool is_empty(const char *text, size_t n)
{
    while (n > 0 && strchr(" \t\r\n", *text)) {
        text++;
        n--;
    }
    return n == 0;
}

static int reserve(struct importing *m, int side, int n)
{
    if (n <= m->max_list[side])
        return OK;
    void *grown = realloc(m->list[side], (size_t)n * sizeof *m->list[side]);
    CHECK(grown, "out of memory for %d critiques", n);
    m->list[side] = grown;
    m->max_list[side] = n;
    return OK;
}

/* The tokens [from, end) of the side's critiques equal those of one already kept. The list holds offsets until all are encoded. */
static bool is_repeated(const struct importing *m, int side, int32_t from)
{
    const struct token_list *all = &m->critique[side];
    int32_t n = all->n - from, at = 0;
    for (int i = 0; i < m->n_list[side]; at += m->list[side][i++].text.n)
        if (m->list[side][i].text.n == n && memcmp(all->token + at, all->token + from, (size_t)n * sizeof *all->token) == 0)
            return true;
    return false;
}

/* Encodes critique c; keeps it unless it is repeated, too long, or above K. */
static int add_critique(struct importing *m, int side, const struct pair_critique *c)
{
    struct token_list *all = &m->critique[side];
    int32_t from = all->n, path = m->prompt.n + m->response[side].n;
    TRY(encode_critique(m->encoder, c->text, c->n_bytes, all));
    int32_t n = all->n - from;
    bool repeated = is_repeated(m, side, from);
    bool too_long = n > m->config->data.max_critique_tokens || path + n + 1 > m->config->data.max_path_tokens;
    bool above = m->n_list[side] >= m->config->data.critiques_per_response;
    if (repeated || too_long || above) {
        all->n = from;
        m->counts->repeated += repeated;
        m->counts->long_critiques += !repeated && too_long;
        m->counts->above_k += !repeated && !too_long && above;
        return OK;
    }
    m->list[side][m->n_list[side]++] = (struct shard_critique){{NULL, n}, c->judge_score, c->quality};
    return OK;
}

static int add_critiques(struct importing *m, const struct pair_record *r, int side)
{
    m->n_list[side] = m->critique[side].n = 0;
    TRY(reserve(m, side, r->response[side].n_critiques + 1));
    for (int i = 0; i < r->response[side].n_critiques; i++) {
        const struct pair_critique *c = &r->response[side].critique[i];
        if (is_empty(c->text, c->n_bytes))
            m->counts->empty++;
        else
            TRY(add_critique(m, side, c));
    }
    for (int i = 0, at = 0; i < m->n_list[side]; at += m->list[side][i++].text.n)
        m->list[side][i].text.token = m->critique[side].token + at;
    return OK;
}

static int put(struct importing *m, const struct pair_record *r)
{
    struct shard_record record = {.id = r->id, .subset = r->subset, .source = (uint64_t)r->number, .prompt = {m->prompt.token, m->prompt.n}};
    for (int side = 0; side < 2; side++) {
        record.response[side] = (struct tokens){m->response[side].token, m->response[side].n};
        record.n_critiques[side] = m->n_list[side];
        record.critique[side] = m->list[side];
        m->counts->critiques += m->n_list[side];
    }
    m->counts->kept++;
    return dsub_writer_put(m->writer, &record);
}

static int import_conversation(struct importing *m, const struct pair_record *r)
{
    m->n_list[0] = m->n_list[1] = m->critique[0].n = 0;
    TRY(reserve(m, 0, 1));
    TRY(reserve(m, 1, 1));
    TRY(encode_critique(m->encoder, r->response[0].text, r->response[0].n_bytes, &m->critique[0]));
    if (m->prompt.n + m->critique[0].n + 1 > m->config->data.max_path_tokens) {
        m->counts->long_paths++;
        return OK;
    }
    m->list[0][0] = (struct shard_critique){{m->critique[0].token, m->critique[0].n}, NAN, NAN};
    m->n_list[0] = 1;
    return put(m, r);
}

static int encode_responses(struct importing *m, const struct pair_record *r)
{
    for (int side = 0; side < 2; side++)
        TRY(encode_response(m->encoder, r->response[side].text, r->response[side].n_bytes, &m->response[side]));
    return OK;
}

static int import_pair(struct importing *m, const struct pair_record *r)
{
    TRY(encode_responses(m, r));
    if (same_response(r) || same_tokens(&m->response[0], &m->response[1])) {
        m->counts->equal_responses++;
        return OK;
    }
    m->n_list[0] = m->n_list[1] = 0;
    for (int side = 0; side < 2 && m->kind == IMPORT_CRITIQUES; side++)
        TRY(add_critiques(m, r, side));
    int32_t longest = m->response[0].n > m->response[1].n ? m->response[0].n : m->response[1].n;
    bool too_long = m->kind == IMPORT_PREFERENCES && m->prompt.n + longest - m->encoder->lead_in.n + 1 > m->config->data.max_path_tokens;
    bool empty_side = m->kind == IMPORT_CRITIQUES && (m->n_list[0] == 0 || m->n_list[1] == 0);
    m->counts->long_paths += too_long;
    m->counts->empty_sides += empty_side;
    return too_long || empty_side ? OK : put(m, r);
}

static int import_record(void *owner, const struct pair_record *r)
{
    struct importing *m = owner;
    m->counts->records++;
    m->prompt.n = m->response[0].n = m->response[1].n = 0;
    if (r->diverges) {
        m->counts->diverging++;
        return OK;
    }
    CHECK(r->conversation == (m->kind == IMPORT_CONVERSATIONS), "this record is %s", r->conversation ? "a conversation, but pairs are wanted" : "a pair, but conversations are wanted");
    TRY(encode_prompt(m->encoder, r->message, r->n_messages, &m->prompt));
    return r->conversation ? import_conversation(m, r) : import_pair(m, r);
}

static int import_all(struct importing *m, const char *path)
{
    TRY(pairs_each(path, import_record, m));
    CHECK(m->counts->records > 0, "%s holds no record", path);
    CHECK(m->counts->kept > 0, "nothing is left of the %lld records of %s: %lld have equal responses, %lld no common prompt, %lld too long paths, %lld a side without a critique",
          (long long)m->counts->records, path, (long long)m->counts->equal_responses, (long long)m->counts->diverging, (long long)m->counts->long_paths, (long long)m->counts->empty_sides);
    return OK;
}

static int importing_open(const struct config *config, enum import_kind kind, struct import_counts *counts, struct importing *m, struct shard_meta *meta)
{
    *m = (struct importing){.config = config, .kind = kind, .counts = counts};
    *counts = (struct import_counts){0};
    TRY(encoder_open(config, &m->encoder));
    TRY(encoder_meta(m->encoder, config->backbone.path, meta));
    if (kind == IMPORT_CONVERSATIONS)
        meta->n_lead_in = 0;
    return OK;
}

static void importing_close(struct importing *m)
{
    dsub_writer_abandon(&m->writer);
    encoder_close(&m->encoder);
    token_list_free(&m->prompt);
    for (int side = 0; side < 2; side++) {
        token_list_free(&m->response[side]);
        token_list_free(&m->critique[side]);
        free(m->list[side]);
    }
}

static int import_into(struct importing *m, const struct shard_meta *meta, const char *path, const char *folder)
{
    TRY(dsub_writer_create(folder, meta, m->config->data.pairs_per_shard, &m->writer));
    TRY(import_all(m, path));
    return dsub_writer_finish(&m->writer);
}

int import_file(const struct config *config, const char *path, const char *folder, enum import_kind kind, struct import_counts *counts)
{
    struct importing m;
    struct shard_meta meta;
    int status = importing_open(config, kind, counts, &m, &meta);
    if (status == OK)
        status = import_into(&m, &meta, path, folder);
    importing_close(&m);
    return status;
}

/* parent/NAME-HASH, the hash being of the file's bytes and of every option that the set depends on. */
static int name_folder(const struct importing *m, const struct shard_meta *meta, const char *path, const char *parent, const char *name, char *out, size_t size)
{
    char hex[HASH_HEX_SIZE], last[128];
    uint64_t file, n_bytes, tokenizer, template;
    TRY(hash_file(path, &file, &n_bytes));
    TRY(hash_from_hex(meta->tokenizer, &tokenizer));
    TRY(hash_from_hex(meta->template, &template));
    const uint64_t words[] = {file, n_bytes, tokenizer, template, (uint64_t)m->encoder->reward, (uint64_t)m->kind, (uint64_t)m->config->data.max_path_tokens,
                              (uint64_t)m->config->data.max_critique_tokens, (uint64_t)m->config->data.critiques_per_response};
    hash_to_hex(hash_bytes(words, sizeof words, 0), hex);
    snprintf(last, sizeof last, "%s-%s", name, hex);
    return path_join(out, size, parent, last);
}

int import_once(const struct config *config, const char *path, const char *parent, const char *name, enum import_kind kind, char *folder, size_t size, struct import_counts *counts)
{
    struct importing m;
    struct shard_meta meta;
    int status = importing_open(config, kind, counts, &m, &meta);
    if (status == OK)
        status = name_folder(&m, &meta, path, parent, name, folder, size);
    if (status == OK && !dsub_is_set(folder))
        status = import_into(&m, &meta, path, folder);
    importing_close(&m);
    return status;
}

/* The first pairs of a set may be those that got no critique: so pairs are read until one has some. */
int import_kind_of(const char *path, enum import_kind *out)
{
    struct pairs *pairs;
    const struct pair_record *r;
    TRY(pairs_open(path, &pairs));
    int status = pairs_next(pairs, &r);
    bool empty = status == OK && !r;
    *out = status == OK && r && r->conversation ? IMPORT_CONVERSATIONS : IMPORT_PREFERENCES;
    while (status == OK && r && *out == IMPORT_PREFERENCES) {
        if (r->response[0].n_critiques + r->response[1].n_critiques > 0)
            *out = IMPORT_CRITIQUES;
        else
            status = pairs_next(pairs, &r);
    }
    pairs_close(&pairs);
    CHECK(!empty, "%s holds no record", path);
    return status;
}
