/* tokenizer: added tokens are cut out of the text first, longest at each place; what lies between is normalised, split and encoded. */
#include "dataset/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <zlib.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"
#include "dataset/tokenizer_parts.h"

struct added { char *text; size_t n; uint32_t id; bool special, lstrip, rstrip, single_word, normalized; };

struct tokenizer {
    struct vocab vocab;
    struct splitter splitter;
    struct added *added;
    int n_added;
    bool starts[256];           /* bytes that begin an added token */
    uint64_t hash;
    int64_t size;
};

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

static int parse_added(json_t *entry, const char *where, struct tokenizer *t, struct added *a)
{
    const char *text;
    int64_t id;
    TRY(json_get_text(entry, "content", where, &text));
    TRY(json_get_int(entry, "id", where, 0, t->vocab.n_ids - 1, &id));
    TRY(json_opt_bool(entry, "special", where, &a->special));
    TRY(json_opt_bool(entry, "lstrip", where, &a->lstrip));
    TRY(json_opt_bool(entry, "rstrip", where, &a->rstrip));
    TRY(json_opt_bool(entry, "single_word", where, &a->single_word));
    TRY(json_opt_bool(entry, "normalized", where, &a->normalized));
    CHECK(*text, "%s: an added token is empty", where);
    a->text = strdup(text);
    CHECK(a->text, "out of memory for the added tokens of %s", where);
    a->n = strlen(text);
    a->id = (uint32_t)id;
    t->starts[(unsigned char)*text] = true;
    return vocab_add(&t->vocab, a->id, a->text, a->n);
}

static int parse_all_added(json_t *root, const char *where, struct tokenizer *t)
{
    json_t *list = json_object_get(root, "added_tokens"), *entry;
    size_t i, n = json_array_size(list);
    t->added = calloc(n + 1, sizeof *t->added);
    CHECK(t->added, "out of memory for the added tokens of %s", where);
    json_array_foreach(list, i, entry) {
        t->n_added++;
        TRY(parse_added(entry, where, t, &t->added[i]));
    }
    for (int64_t id = 0; id < t->vocab.n_ids; id++)
        if (t->vocab.piece[id].bytes)
            t->size = id + 1;
    for (int a = 0; a < t->n_added; a++)
        t->size = (int64_t)t->added[a].id + 1 > t->size ? (int64_t)t->added[a].id + 1 : t->size;
    return OK;
}

static int parse(json_t *root, const char *where, struct tokenizer *t)
{
    json_t *model;
    TRY(json_get_object(root, "model", where, &model));
    TRY(splitter_parse(root, where, &t->splitter));
    TRY(vocab_parse(model, t->splitter.byte_level, where, &t->vocab));
    return parse_all_added(root, where, t);
}

int tokenizer_open_memory(const char *json, size_t n_bytes, const char *where, struct tokenizer **out)
{
    json_t *root = NULL;
    struct tokenizer *t = calloc(1, sizeof *t);
    CHECK(t, "out of memory for the tokenizer");
    t->hash = hash_bytes(json, n_bytes, 0);
    int status = json_parse(json, n_bytes, where, &root);
    if (status == OK)
        status = parse(root, where, t);
    json_decref(root);
    if (status != OK)
        tokenizer_close(&t);
    else
        *out = t;
    return status;
}

/* A file, plain or gzip: zlib tells. */
static int read_unpacked(const char *path, char **bytes, size_t *n_bytes)
{
    enum { BLOCK = 1 << 20 };
    size_t n = 0, max = 0;
    char *all = NULL;
    int got = 0;
    gzFile file = gzopen(path, "rb");
    CHECK(file, "cannot open %s", path);
    do {
        if (n + BLOCK > max) {
            char *grown = realloc(all, max = (n + BLOCK) * 2);
            if (!grown)
                break;
            all = grown;
        }
        got = gzread(file, all + n, BLOCK);
        n += got > 0 ? (size_t)got : 0;
    } while (got > 0 && n < (size_t)1 << 30);
    gzclose(file);
    if (got == 0 && all) {
        *bytes = all;
        *n_bytes = n;
        return OK;
    }
    free(all);
    return FAIL("cannot read %s: it is damaged or too large", path);
}

int tokenizer_open(const char *path, struct tokenizer **out)
{
    char file[2048], packed[2048], *json;
    size_t n_bytes;
    TRY(path_join(file, sizeof file, path, "tokenizer.json"));
    TRY(path_join(packed, sizeof packed, path, "tokenizer.json.gz"));
    const char *chosen = file_exists(file) ? file : file_exists(packed) ? packed : path;
    CHECK(chosen != path || (file_exists(path) && !file_is_folder(path)), "there is no tokenizer.json in %s: name the folder of a Hugging Face model on this machine", path);
    TRY(read_unpacked(chosen, &json, &n_bytes));
    int status = tokenizer_open_memory(json, n_bytes, chosen, out);
    free(json);
    return status;
}

void tokenizer_close(struct tokenizer **out)
{
    struct tokenizer *t = *out;
    if (!t)
        return;
    for (int i = 0; i < t->n_added; i++)
        free(t->added[i].text);
    free(t->added);
    vocab_free(&t->vocab);
    splitter_free(&t->splitter);
    free(t);
    *out = NULL;
}

/* ---- encoding -------------------------------------------------------------------------------------------------------------------------------- */

struct encoding { const struct tokenizer *t; struct token_list *out; bool first, goes_on; };

static int on_piece(void *context, const char *bytes, size_t n)
{
    struct encoding *e = context;
    return vocab_encode(&e->t->vocab, bytes, n, e->out);
}

/* The character that begins at text[0], and the one that ends at text[n - 1]; its bytes, 0 when there is none. */
static size_t first_character(const char *text, size_t n, int32_t *c)
{
    utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, c);
    return step > 0 ? (size_t)step : 0;
}

static size_t last_character(const char *text, size_t n, int32_t *c)
{
    size_t step = n > 0;
    while (step < n && ((unsigned char)text[n - step] & 0xc0) == 0x80)
        step++;
    return first_character(text + n - step, step, c);
}

/* What a regular expression's \w and \s are in Unicode. */
static bool is_word(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d;
}

static bool is_space(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return (c >= 9 && c <= 13) || c == 0x85 || (k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_ZP);
}

/* Whether [start, end) touches a word on either side. */
static bool inside_word(const char *text, size_t n, size_t start, size_t end)
{
    int32_t before, after;
    return (last_character(text, start, &before) > 0 && is_word(before)) || (first_character(text + end, n - end, &after) > 0 && is_word(after));
}

/* The longest added token at text[i] of the wanted kind, or NULL. */
static const struct added *added_at(const struct tokenizer *t, const char *text, size_t n, size_t i, bool normalized)
{
    const struct added *best = NULL;
    if (!t->starts[(unsigned char)text[i]])
        return NULL;
    for (int k = 0; k < t->n_added; k++) {
        const struct added *a = &t->added[k];
        if (a->normalized != normalized || a->n > n - i || memcmp(text + i, a->text, a->n) != 0 || (best && best->n >= a->n))
            continue;
        if (!a->single_word || !inside_word(text, n, i, i + a->n))
            best = a;
    }
    return best;
}

/* Cuts text at added tokens of a kind; what lies between goes to plain. */
static int cut_added(struct encoding *e, const char *text, size_t n, bool normalized, int (*plain)(struct encoding *, const char *, size_t))
{
    size_t from = 0;
    for (size_t i = 0; i < n;) {
        const struct added *a = added_at(e->t, text, n, i, normalized);
        if (!a) {
            i++;
            continue;
        }
        size_t start = i, end = i + a->n, step;
        int32_t c;
        while (a->lstrip && (step = last_character(text + from, start - from, &c)) > 0 && is_space(c))
            start -= step;
        while (a->rstrip && (step = first_character(text + end, n - end, &c)) > 0 && is_space(c))
            end += step;
        if (start > from)
            TRY(plain(e, text + from, start - from));
        TRY(token_list_add(e->out, a->id));
        e->first = false;
        from = i = end;
    }
    return n > from ? plain(e, text + from, n - from) : OK;
}

static int encode_words(struct encoding *e, const char *text, size_t n)
{
    bool first = e->first;
    e->first = false;
    return splitter_split(&e->t->splitter, text, n, first, on_piece, e);
}

static int encode_segment(struct encoding *e, const char *text, size_t n, bool special)
{
    char *normal;
    size_t m;
    TRY(splitter_normalise(&e->t->splitter, text, n, !e->goes_on, &normal, &m));
    int status = special ? cut_added(e, normal, m, true, encode_words) : encode_words(e, normal, m);
    free(normal);
    return status;
}

static int encode_special_segment(struct encoding *e, const char *text, size_t n) { return encode_segment(e, text, n, true); }

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, int flags, struct token_list *out)
{
    bool goes_on = flags & TOKENIZER_CONTINUE;
    struct encoding e = {t, out, !goes_on, goes_on};
    CHECK(utf8_valid(text, n), "a text of %zu bytes is not UTF-8", n);
    if (flags & TOKENIZER_SPECIAL)
        return cut_added(&e, text, n, false, encode_special_segment);
    return n > 0 ? encode_segment(&e, text, n, false) : OK;
}

bool tokenizer_next_special(const struct tokenizer *t, const char *text, size_t n, size_t *at, size_t *length, uint32_t *id)
{
    for (size_t i = 0; i < n; i++) {
        const struct added *a = added_at(t, text, n, i, false);
        a = a ? a : added_at(t, text, n, i, true);
        if (!a)
            continue;
        *at = i;
        *length = a->n;
        *id = a->id;
        return true;
    }
    return false;
}

/* ---- decoding -------------------------------------------------------------------------------------------------------------------------------- */

bool tokenizer_is_special(const struct tokenizer *t, uint32_t token)
{
    for (int i = 0; i < t->n_added; i++)
        if (t->added[i].id == token)
            return t->added[i].special;
    return false;
}

/* A token's part of the text: <0xXX> is a byte, the space mark a space. */
static size_t token_text(const struct tokenizer *t, uint32_t token, char *out)
{
    const struct piece *p = &t->vocab.piece[token];
    size_t n = 0;
    for (int b = 0; !t->vocab.byte_level && b < 256; b++)
        if (t->vocab.byte_id[b] == token) {
            *out = (char)b;
            return 1;
        }
    for (uint32_t i = 0; i < p->n;) {
        bool mark = !t->vocab.byte_level && p->n - i >= 3 && memcmp(p->bytes + i, "\xe2\x96\x81", 3) == 0;
        out[n++] = mark ? ' ' : p->bytes[i];
        i += mark ? 3 : 1;
    }
    return n;
}

int tokenizer_decode(const struct tokenizer *t, const uint32_t *token, int32_t n, bool with_special, char **text, size_t *n_bytes)
{
    size_t total = 0, used = 0;
    for (int32_t i = 0; i < n; i++) {
        CHECK((int64_t)token[i] < t->size && t->vocab.piece[token[i]].bytes, "token %u is not in the vocabulary", token[i]);
        total += t->vocab.piece[token[i]].n;
    }
    char *out = malloc(total + 1);
    CHECK(out, "out of memory for a text of %zu bytes", total);
    for (int32_t i = 0; i < n; i++)
        if (with_special || !tokenizer_is_special(t, token[i]))
            used += token_text(t, token[i], out + used);
    out[used] = 0;
    *text = out;
    *n_bytes = used;
    return OK;
}

int64_t tokenizer_find(const struct tokenizer *t, const char *text)
{
    for (int i = 0; i < t->n_added; i++)
        if (strcmp(t->added[i].text, text) == 0)
            return t->added[i].id;
    return vocab_find(&t->vocab, text, strlen(text));
}

int64_t tokenizer_size(const struct tokenizer *t) { return t->size; }
uint64_t tokenizer_hash(const struct tokenizer *t) { return t->hash; }
