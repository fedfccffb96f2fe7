/* tokenizer_bpe: byte-pair encoding: the pair of the lowest rank is merged first, the leftmost of equals; a heap of candidate pairs, stale ones skipped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"
#include "dataset/tokenizer_parts.h"

/* ---- lists ----------------------------------------------------------------------------------------------------------------------------------- */

int token_list_add(struct token_list *list, uint32_t token)
{
    if (list->n == list->max) {
        int32_t max = list->max * 2 + 64;
        uint32_t *grown = realloc(list->token, (size_t)max * sizeof *grown);
        CHECK(grown, "out of memory for a list of tokens");
        list->token = grown;
        list->max = max;
    }
    list->token[list->n++] = token;
    return OK;
}

void token_list_free(struct token_list *list)
{
    free(list->token);
    *list = (struct token_list){0};
}

/* ---- vocabulary ------------------------------------------------------------------------------------------------------------------------------ */

static uint64_t slot_of(const struct vocab *v, const char *bytes, size_t n) { return hash_bytes(bytes, n, 0) & (v->n_slots - 1); }

int64_t vocab_find(const struct vocab *v, const char *bytes, size_t n)
{
    if (v->n_slots == 0)
        return -1;
    for (uint64_t s = slot_of(v, bytes, n); v->slot[s] != UINT32_MAX; s = (s + 1) & (v->n_slots - 1)) {
        const struct piece *p = &v->piece[v->slot[s]];
        if (p->n == n && memcmp(p->bytes, bytes, n) == 0)
            return v->slot[s];
    }
    return -1;
}

int vocab_add(struct vocab *v, uint32_t id, const char *bytes, size_t n)
{
    ASSERT((int64_t)id < v->n_ids);
    if (v->piece[id].bytes || vocab_find(v, bytes, n) >= 0)
        return OK;
    char *copy = malloc(n + 1);
    CHECK(copy, "out of memory for the vocabulary");
    memcpy(copy, bytes, n);
    copy[n] = 0;
    v->piece[id] = (struct piece){copy, (uint32_t)n};
    uint64_t s = slot_of(v, bytes, n);
    while (v->slot[s] != UINT32_MAX)
        s = (s + 1) & (v->n_slots - 1);
    v->slot[s] = id;
    return OK;
}

/* GPT-2's table: printable bytes stand for themselves, the others for U+0100 and on. Returns the byte of a code point, or -1. */
static int byte_of(uint32_t code)
{
    if ((code >= 33 && code <= 126) || (code >= 161 && code <= 172) || (code >= 174 && code <= 255))
        return (int)code;
    if (code < 256 || code > 323)
        return -1;
    uint32_t n = code - 256;
    return (int)(n < 33 ? n : n < 67 ? n - 33 + 127 : 173);
}

static size_t code_point(const unsigned char *s, uint32_t *code)
{
    size_t n = *s < 0x80 ? 1 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
    *code = n == 1 ? *s : *s & (0x3fu >> (n - 1));
    for (size_t i = 1; i < n && s[i]; i++)
        *code = *code << 6 | (s[i] & 0x3fu);
    return n;
}

/* A vocabulary entry's bytes into out, which holds strlen(text) bytes: with a byte-level vocabulary its characters are bytes; else as it is. */
static size_t to_bytes(const struct vocab *v, const char *text, char *out)
{
    size_t n = 0, length = strlen(text);
    for (size_t i = 0; v->byte_level && i < length;) {
        uint32_t code;
        size_t step = code_point((const unsigned char *)text + i, &code);
        int byte = byte_of(code);
        if (byte < 0 || i + step > length) {            /* not in the byte alphabet: an added token's text, say */
            memcpy(out, text, length);
            return length;
        }
        out[n++] = (char)byte;
        i += step;
    }
    if (v->byte_level)
        return n;
    memcpy(out, text, length);
    return length;
}

static int reserve(struct vocab *v, json_t *vocab, const char *where)
{
    const char *text;
    json_t *id;
    size_t n = json_object_size(vocab);
    json_object_foreach(vocab, text, id) {
        CHECK(json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < (json_int_t)1 << 24, "%s: the id of token '%.40s' is not a number below 2^24", where, text);
        v->n_ids = json_integer_value(id) >= v->n_ids ? json_integer_value(id) + 1 : v->n_ids;
    }
    v->n_ids += 4096;           /* added tokens are checked against it */
    for (v->n_slots = 1024; v->n_slots < 3 * (n + 4096); v->n_slots *= 2) {}
    v->piece = calloc((size_t)v->n_ids, sizeof *v->piece);
    v->slot = malloc(v->n_slots * sizeof *v->slot);
    CHECK(v->piece && v->slot, "out of memory for the vocabulary of %s", where);
    memset(v->slot, 0xff, v->n_slots * sizeof *v->slot);
    return OK;
}

static int parse_vocab(struct vocab *v, json_t *vocab, const char *where)
{
    const char *text;
    json_t *id;
    TRY(reserve(v, vocab, where));
    json_object_foreach(vocab, text, id) {
        size_t length = strlen(text);
        char *bytes = malloc(length + 1);
        CHECK(bytes, "out of memory for the vocabulary of %s", where);
        int status = vocab_add(v, (uint32_t)json_integer_value(id), bytes, to_bytes(v, text, bytes));
        free(bytes);
        TRY(status);
    }
    return OK;
}

static void find_bytes(struct vocab *v)
{
    for (int b = 0; b < 256; b++) {
        char name[8], byte = (char)b;
        snprintf(name, sizeof name, "<0x%02X>", b);
        int64_t id = v->byte_level ? vocab_find(v, &byte, 1) : v->byte_fallback ? vocab_find(v, name, 6) : -1;
        v->byte_id[b] = id < 0 ? UINT32_MAX : (uint32_t)id;
    }
}

/* ---- merges ---------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t merge_slot(const struct vocab *v, uint64_t pair) { return (pair * 0x9E3779B97F4A7C15u >> 20) & (v->n_merge_slots - 1); }

static const struct merge *find_merge(const struct vocab *v, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    for (uint64_t s = merge_slot(v, pair); v->merge[s].pair != UINT64_MAX; s = (s + 1) & (v->n_merge_slots - 1))
        if (v->merge[s].pair == pair)
            return &v->merge[s];
    return NULL;
}

static void put_merge(struct vocab *v, uint32_t left, uint32_t right, uint32_t rank, uint32_t merged)
{
    if (find_merge(v, left, right))
        return;
    uint64_t pair = (uint64_t)left << 32 | right, s = merge_slot(v, pair);
    while (v->merge[s].pair != UINT64_MAX)
        s = (s + 1) & (v->n_merge_slots - 1);
    v->merge[s] = (struct merge){pair, rank, merged};
}

/* "left right", or ["left", "right"]. */
static int merge_texts(json_t *entry, const char *where, size_t rank, char **left, char **right)
{
    const char *text = json_string_value(entry), *a = json_string_value(json_array_get(entry, 0)), *b = json_string_value(json_array_get(entry, 1));
    const char *space = text ? strchr(text + (*text == ' '), ' ') : NULL;
    CHECK(space || (a && b && json_array_size(entry) == 2), "%s: merge %zu is neither 'left right' nor two texts", where, rank);
    *left = space ? strndup(text, (size_t)(space - text)) : strdup(a);
    *right = strdup(space ? space + 1 : b);
    return *left && *right ? OK : FAIL("out of memory for the merges of %s", where);
}

static int add_merge(struct vocab *v, json_t *entry, const char *where, size_t rank)
{
    int status = OK;
    char *left = NULL, *right = NULL, *bytes = NULL;
    TRY_DONE(merge_texts(entry, where, rank, &left, &right));
    bytes = malloc(strlen(left) + strlen(right) + 2);
    CHECK_DONE(bytes, "out of memory for the merges of %s", where);
    size_t n = to_bytes(v, left, bytes), m;
    int64_t a = vocab_find(v, bytes, n), b, merged;
    m = to_bytes(v, right, bytes + n);
    b = vocab_find(v, bytes + n, m);
    merged = vocab_find(v, bytes, n + m);
    CHECK_DONE(a >= 0 && b >= 0 && merged >= 0, "%s: merge %zu ('%.40s' and '%.40s') names tokens that the vocabulary lacks", where, rank, left, right);
    put_merge(v, (uint32_t)a, (uint32_t)b, (uint32_t)rank, (uint32_t)merged);
done:
    free(left);
    free(right);
    free(bytes);
    return status;
}

static int parse_merges(struct vocab *v, json_t *merges, const char *where)
{
    size_t n = json_array_size(merges);
    for (v->n_merge_slots = 1024; v->n_merge_slots < 3 * n; v->n_merge_slots *= 2) {}
    v->merge = malloc(v->n_merge_slots * sizeof *v->merge);
    CHECK(v->merge, "out of memory for the merges of %s", where);
    memset(v->merge, 0xff, v->n_merge_slots * sizeof *v->merge);
    for (size_t i = 0; i < n; i++)
        TRY(add_merge(v, json_array_get(merges, i), where, i));
    return OK;
}

int vocab_parse(json_t *model, bool byte_level, const char *where, struct vocab *out)
{
    const char *type = "BPE", *unknown = NULL, *prefix = "", *suffix = "";
    double dropout = 0.0;
    json_t *vocab, *merges;
    *out = (struct vocab){.byte_level = byte_level, .unknown = -1};
    TRY(json_opt_text(model, "type", where, &type));
    CHECK(strcmp(type, "BPE") == 0, "%s: a model of type %.40s is not supported: BPE is", where, type);
    TRY(json_opt_number(model, "dropout", where, &dropout));
    TRY(json_opt_text(model, "continuing_subword_prefix", where, &prefix));
    TRY(json_opt_text(model, "end_of_word_suffix", where, &suffix));
    CHECK(dropout == 0.0 && !*prefix && !*suffix, "%s: dropout, continuing_subword_prefix and end_of_word_suffix are not supported", where);
    TRY(json_opt_bool(model, "byte_fallback", where, &out->byte_fallback));
    TRY(json_opt_bool(model, "ignore_merges", where, &out->ignore_merges));
    TRY(json_opt_bool(model, "fuse_unk", where, &out->fuse_unknown));
    TRY(json_opt_text(model, "unk_token", where, &unknown));
    TRY(json_get_object(model, "vocab", where, &vocab));
    TRY(json_get_array(model, "merges", where, &merges));
    TRY(parse_vocab(out, vocab, where));
    TRY(parse_merges(out, merges, where));
    if (unknown)
        out->unknown = vocab_find(out, unknown, strlen(unknown));
    find_bytes(out);
    return OK;
}

void vocab_free(struct vocab *v)
{
    for (int64_t i = 0; v->piece && i < v->n_ids; i++)
        free((void *)(uintptr_t)v->piece[i].bytes);
    free(v->piece);
    free(v->slot);
    free(v->merge);
    *v = (struct vocab){0};
}

/* ---- encoding -------------------------------------------------------------------------------------------------------------------------------- */

struct symbol { uint32_t id; int32_t previous, next; };         /* next -2: merged into the one before it */
struct candidate { uint32_t rank, merged, left_id, right_id; int32_t left, right; };
struct heap { struct candidate *at; int32_t n, max; };

static bool before(const struct candidate *a, const struct candidate *b) { return a->rank != b->rank ? a->rank < b->rank : a->left < b->left; }

static int heap_push(struct heap *h, struct candidate c)
{
    if (h->n == h->max) {
        int32_t max = h->max * 2 + 64;
        struct candidate *grown = realloc(h->at, (size_t)max * sizeof *grown);
        CHECK(grown, "out of memory while encoding");
        h->at = grown;
        h->max = max;
    }
    int32_t i = h->n++;
    for (; i > 0 && before(&c, &h->at[(i - 1) / 2]); i = (i - 1) / 2)
        h->at[i] = h->at[(i - 1) / 2];
    h->at[i] = c;
    return OK;
}

static struct candidate heap_pop(struct heap *h)
{
    struct candidate top = h->at[0], last = h->at[--h->n];
    int32_t i = 0;
    for (int32_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && before(&h->at[child + 1], &h->at[child]))
            child++;
        if (!before(&h->at[child], &last))
            break;
        h->at[i] = h->at[child];
    }
    h->at[i] = last;
    return top;
}

static int propose(const struct vocab *v, const struct symbol *s, int32_t left, int32_t right, struct heap *h)
{
    if (left < 0 || right < 0)
        return OK;
    const struct merge *m = find_merge(v, s[left].id, s[right].id);
    return m ? heap_push(h, (struct candidate){m->rank, m->merged, s[left].id, s[right].id, left, right}) : OK;
}

static int merge_all(const struct vocab *v, struct symbol *s, int32_t n, struct heap *h)
{
    for (int32_t i = 0; i + 1 < n; i++)
        TRY(propose(v, s, i, i + 1, h));
    while (h->n > 0) {
        struct candidate c = heap_pop(h);
        bool stale = s[c.left].next != c.right || s[c.left].id != c.left_id || s[c.right].id != c.right_id;
        if (stale)
            continue;
        s[c.left].id = c.merged;
        s[c.left].next = s[c.right].next;
        s[c.right].next = -2;
        if (s[c.left].next >= 0)
            s[s[c.left].next].previous = c.left;
        TRY(propose(v, s, s[c.left].previous, c.left, h));
        TRY(propose(v, s, c.left, s[c.left].next, h));
    }
    return OK;
}

static int add_symbol(struct symbol *s, int32_t *n, uint32_t id)
{
    s[*n] = (struct symbol){id, *n - 1, *n + 1};
    (*n)++;
    return OK;
}

/* One character that the vocabulary lacks: its bytes, or the unknown token. */
static int add_unknown(const struct vocab *v, const char *bytes, size_t n_bytes, struct symbol *s, int32_t *n)
{
    bool all = true;
    for (size_t i = 0; i < n_bytes; i++)
        all = all && v->byte_id[(unsigned char)bytes[i]] != UINT32_MAX;
    for (size_t i = 0; all && i < n_bytes; i++)
        add_symbol(s, n, v->byte_id[(unsigned char)bytes[i]]);
    if (all)
        return OK;
    CHECK(v->unknown >= 0, "the vocabulary cannot express '%.*s', and has no unknown token", (int)n_bytes, bytes);
    bool fuse = v->fuse_unknown && *n > 0 && s[*n - 1].id == (uint32_t)v->unknown;
    return fuse ? OK : add_symbol(s, n, (uint32_t)v->unknown);
}

/* Id of the character at bytes, or -1. */
static int64_t character_id(const struct vocab *v, const char *bytes, size_t n)
{
    uint32_t id = v->byte_id[(unsigned char)*bytes];
    return !v->byte_level ? vocab_find(v, bytes, n) : id == UINT32_MAX ? -1 : (int64_t)id;
}

static int start_symbols(const struct vocab *v, const char *bytes, size_t n_bytes, struct symbol *s, int32_t *n)
{
    for (size_t i = 0; i < n_bytes;) {
        uint32_t code;
        size_t step = v->byte_level ? 1 : code_point((const unsigned char *)bytes + i, &code);
        step = step > n_bytes - i ? n_bytes - i : step;
        int64_t id = character_id(v, bytes + i, step);
        TRY(id >= 0 ? add_symbol(s, n, (uint32_t)id) : add_unknown(v, bytes + i, step, s, n));
        i += step;
    }
    if (*n > 0)
        s[*n - 1].next = -1;
    return OK;
}

int vocab_encode(const struct vocab *v, const char *bytes, size_t n_bytes, struct token_list *out)
{
    int status = OK;
    struct heap heap = {0};
    struct symbol few[256], *s = few;
    int32_t n = 0;
    int64_t whole = v->ignore_merges ? vocab_find(v, bytes, n_bytes) : -1;
    if (whole >= 0)
        return token_list_add(out, (uint32_t)whole);
    if (n_bytes > 256)
        s = malloc(n_bytes * sizeof *s);
    CHECK_DONE(s && n_bytes < INT32_MAX, "out of memory while encoding %zu bytes", n_bytes);
    TRY_DONE(start_symbols(v, bytes, n_bytes, s, &n));
    TRY_DONE(merge_all(v, s, n, &heap));
    for (int32_t i = 0; i >= 0 && i < n; i = s[i].next)
        TRY_DONE(token_list_add(out, s[i].id));
done:
    if (s != few)
        free(s);
    free(heap.at);
    return status;
}
