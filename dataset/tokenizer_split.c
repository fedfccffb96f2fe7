/* tokenizer_split: normaliser and pre-tokeniser of tokenizer.json, each a short list of steps. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/json.h"
#include "base/status.h"
#include "dataset/tokenizer_parts.h"

static const char SPACE_MARK[] = "\xe2\x96\x81";        /* U+2581, SentencePiece's space */
static const char GPT2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* ---- parsing --------------------------------------------------------------------------------------------------------------------------------- */

static int type_of(json_t *step, const char *where, const char **out) { return json_get_text(step, "type", where, out); }

static int parse_normal(json_t *step, const char *where, struct splitter *s)
{
    const char *type, *text, *pattern;
    json_t *list, *what;
    size_t i;
    TRY(type_of(step, where, &type));
    if (strcmp(type, "Sequence") == 0) {
        TRY(json_get_array(step, "normalizers", where, &list));
        json_array_foreach(list, i, what)
            TRY(parse_normal(what, where, s));
        return OK;
    }
    CHECK(s->n_normal < NORMAL_MAX_STEPS, "%s: more than %d normalizers", where, NORMAL_MAX_STEPS);
    struct normal_step *n = &s->normal[s->n_normal];
    if (strcmp(type, "NFC") == 0) {
        n->nfc = true;
    } else if (strcmp(type, "Prepend") == 0) {
        TRY(json_get_text(step, "prepend", where, &text));
        n->prepend = strdup(text);
    } else if (strcmp(type, "Replace") == 0) {
        TRY(json_get_object(step, "pattern", where, &what));
        TRY(json_get_text(what, "String", where, &pattern));
        TRY(json_get_text(step, "content", where, &text));
        CHECK(*pattern, "%s: a normalizer replaces nothing", where);
        n->pattern = strdup(pattern);
        n->content = strdup(text);
    } else {
        return FAIL("%s: a normalizer of type %.40s is not supported: NFC, Prepend and Replace are", where, type);
    }
    s->n_normal++;
    return OK;
}

/* \s and \S written as a property, malloc'd: PCRE2's own \s takes U+180E for a space, which Unicode (and Hugging Face's Oniguruma) does not. */
static char *exact_spaces(const char *pattern)
{
    enum { NAME = sizeof "\\p{White_Space}" - 1 };
    char *out = malloc(strlen(pattern) * NAME + 1), *at = out;
    for (const char *p = pattern; out && *p; p++) {
        if (p[0] != '\\' || !p[1]) {
            *at++ = *p;
        } else if (p[1] == 's' || p[1] == 'S') {
            memcpy(at, *++p == 's' ? "\\p{White_Space}" : "\\P{White_Space}", NAME);
            at += NAME;
        } else {
            *at++ = *p++;
            *at++ = *p;
        }
    }
    if (out)
        *at = 0;
    return out;
}

static int add_regex(struct splitter *s, const char *pattern, const char *where)
{
    int error;
    PCRE2_SIZE at;
    CHECK(s->n_steps < SPLIT_MAX_STEPS, "%s: more than %d pre-tokenizers", where, SPLIT_MAX_STEPS);
    char *exact = exact_spaces(pattern);
    CHECK(exact, "out of memory for the patterns of %s", where);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)exact, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
    free(exact);
    CHECK(code, "%s: the pre-tokenizer's pattern cannot be read at byte %zu", where, at);
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    s->step[s->n_steps++].regex = code;
    return OK;
}

static int parse_split(json_t *step, const char *where, struct splitter *s)
{
    const char *behavior, *pattern;
    bool invert = false;
    json_t *what;
    TRY(json_get_text(step, "behavior", where, &behavior));
    TRY(json_opt_bool(step, "invert", where, &invert));
    CHECK(strcmp(behavior, "Isolated") == 0 && !invert, "%s: a Split with behavior %.40s is not supported: Isolated is", where, behavior);
    TRY(json_get_object(step, "pattern", where, &what));
    TRY(json_get_text(what, "Regex", where, &pattern));
    return add_regex(s, pattern, where);
}

static int parse_byte_level(json_t *step, const char *where, struct splitter *s)
{
    bool use_regex = true;
    TRY(json_opt_bool(step, "use_regex", where, &use_regex));
    TRY(json_opt_bool(step, "add_prefix_space", where, &s->add_prefix_space));
    s->byte_level = true;
    return use_regex ? add_regex(s, GPT2, where) : OK;
}

static int parse_metaspace(json_t *step, const char *where, struct splitter *s)
{
    const char *scheme = "always", *replacement = SPACE_MARK;
    bool add = true, split = true;
    CHECK(s->n_steps < SPLIT_MAX_STEPS, "%s: more than %d pre-tokenizers", where, SPLIT_MAX_STEPS);
    TRY(json_opt_text(step, "replacement", where, &replacement));
    TRY(json_opt_bool(step, "add_prefix_space", where, &add));
    TRY(json_opt_text(step, "prepend_scheme", where, &scheme));
    TRY(json_opt_bool(step, "split", where, &split));
    CHECK(strcmp(replacement, SPACE_MARK) == 0, "%s: a Metaspace with another replacement than U+2581 is not supported", where);
    enum prepend prepend = !add || strcmp(scheme, "never") == 0 ? PREPEND_NEVER : strcmp(scheme, "first") == 0 ? PREPEND_FIRST : PREPEND_ALWAYS;
    s->step[s->n_steps++] = (struct split_step){.metaspace = true, .split_at_space = split, .prepend = prepend};
    return OK;
}

static int parse_step(json_t *step, const char *where, struct splitter *s)
{
    const char *type;
    json_t *list, *inner;
    size_t i;
    bool individual = false;
    TRY(type_of(step, where, &type));
    if (strcmp(type, "Sequence") == 0) {
        TRY(json_get_array(step, "pretokenizers", where, &list));
        json_array_foreach(list, i, inner)
            TRY(parse_step(inner, where, s));
        return OK;
    }
    if (strcmp(type, "Split") == 0)
        return parse_split(step, where, s);
    if (strcmp(type, "ByteLevel") == 0)
        return parse_byte_level(step, where, s);
    if (strcmp(type, "Metaspace") == 0)
        return parse_metaspace(step, where, s);
    CHECK(strcmp(type, "Digits") == 0, "%s: a pre-tokenizer of type %.40s is not supported: Split, ByteLevel, Digits and Metaspace are", where, type);
    TRY(json_opt_bool(step, "individual_digits", where, &individual));
    return add_regex(s, individual ? "\\p{N}" : "\\p{N}+", where);
}

int splitter_parse(json_t *tokenizer, const char *where, struct splitter *out)
{
    json_t *normalizer = json_object_get(tokenizer, "normalizer"), *pre = json_object_get(tokenizer, "pre_tokenizer");
    *out = (struct splitter){0};
    if (normalizer && !json_is_null(normalizer))
        TRY(parse_normal(normalizer, where, out));
    return pre && !json_is_null(pre) ? parse_step(pre, where, out) : OK;
}

void splitter_free(struct splitter *s)
{
    for (int i = 0; i < s->n_normal; i++) {
        free(s->normal[i].prepend);
        free(s->normal[i].pattern);
        free(s->normal[i].content);
    }
    for (int i = 0; i < s->n_steps; i++)
        pcre2_code_free(s->step[i].regex);
    *s = (struct splitter){0};
}

/* ---- normalising ----------------------------------------------------------------------------------------------------------------------------- */

/* text with every `pattern` replaced, and `prepend` before it; malloc'd */
static char *rewrite(const char *text, size_t n, const char *prepend, const char *pattern, const char *content, size_t *n_out)
{
    size_t k = pattern ? strlen(pattern) : 0, m = content ? strlen(content) : 0, p = strlen(prepend), used = p;
    char *out = malloc(p + n * (m > 1 ? m : 1) + 1);
    if (!out)
        return NULL;
    memcpy(out, prepend, p);
    for (size_t i = 0; i < n;) {
        if (k > 0 && n - i >= k && memcmp(text + i, pattern, k) == 0) {
            memcpy(out + used, content, m);
            used += m;
            i += k;
        } else {
            out[used++] = text[i++];
        }
    }
    out[used] = 0;
    *n_out = used;
    return out;
}

static char *compose(const char *text, size_t n, size_t *n_out)
{
    utf8proc_uint8_t *out = NULL;
    utf8proc_ssize_t m = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &out, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    *n_out = m < 0 ? 0 : (size_t)m;
    return m < 0 ? NULL : (char *)out;
}

int splitter_normalise(const struct splitter *s, const char *text, size_t n, bool first, char **out, size_t *n_out)
{
    char *at = malloc(n + 1);
    CHECK(at, "out of memory while encoding %zu bytes", n);
    memcpy(at, text, n);
    at[n] = 0;
    for (int i = 0; i < s->n_normal && n > 0; i++) {
        const struct normal_step *step = &s->normal[i];
        char *next = step->nfc ? compose(at, n, &n) : rewrite(at, n, step->prepend && first ? step->prepend : "", step->pattern, step->content, &n);
        free(at);
        CHECK(next, "out of memory while normalising a text");
        at = next;
    }
    *out = at;
    *n_out = n;
    return OK;
}

/* ---- splitting ------------------------------------------------------------------------------------------------------------------------------- */

struct walk {
    const struct splitter *s;
    bool first;                 /* the next piece begins the text */
    int (*piece)(void *context, const char *bytes, size_t n_bytes);
    void *context;
};

static int split_from(struct walk *w, int step, const char *text, size_t n);

static int split_regex(struct walk *w, int step, const char *text, size_t n)
{
    int status = OK;
    size_t at = 0;
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    CHECK(match, "out of memory while encoding");
    for (size_t from = 0; from < n;) {
        int found = pcre2_match(w->s->step[step].regex, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, match, NULL);
        if (found == PCRE2_ERROR_NOMATCH)
            break;
        CHECK_DONE(found != PCRE2_ERROR_NOMEMORY, "out of memory while encoding");
        CHECK_DONE(found >= 0, "a text could not be cut into words (pcre2 says %d)", found);
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
        if (range[1] == range[0]) {
            from = range[1] + 1;
            while (from < n && ((unsigned char)text[from] & 0xc0) == 0x80)
                from++;
            continue;
        }
        if (range[0] > at)
            TRY_DONE(split_from(w, step + 1, text + at, range[0] - at));
        TRY_DONE(split_from(w, step + 1, text + range[0], range[1] - range[0]));
        at = from = range[1];
    }
    if (at < n)
        status = split_from(w, step + 1, text + at, n - at);
done:
    pcre2_match_data_free(match);
    return status;
}

/* Spaces become marks; one is put before the text by the scheme; pieces begin at marks. */
static int split_metaspace(struct walk *w, int step, const char *text, size_t n)
{
    int status = OK;
    const struct split_step *s = &w->s->step[step];
    bool put = s->prepend == PREPEND_ALWAYS || (s->prepend == PREPEND_FIRST && w->first);
    bool has = n > 0 && (*text == ' ' || (n >= 3 && memcmp(text, SPACE_MARK, 3) == 0));
    size_t m;
    char *marked = rewrite(text, n, put && !has ? SPACE_MARK : "", " ", SPACE_MARK, &m);
    CHECK(marked, "out of memory while encoding %zu bytes", n);
    w->first = false;
    for (size_t from = 0; from < m;) {
        size_t skip = m - from >= 3 && memcmp(marked + from, SPACE_MARK, 3) == 0 ? 3 : 0;
        char *next = s->split_at_space ? memmem(marked + from + skip, m - from - skip, SPACE_MARK, 3) : NULL;
        size_t end = next ? (size_t)(next - marked) : m;
        TRY_DONE(split_from(w, step + 1, marked + from, end - from));
        from = end;
    }
done:
    free(marked);
    return status;
}

static int split_from(struct walk *w, int step, const char *text, size_t n)
{
    if (n == 0)
        return OK;
    if (step == w->s->n_steps)
        return w->piece(w->context, text, n);
    return w->s->step[step].metaspace ? split_metaspace(w, step, text, n) : split_regex(w, step, text, n);
}

int splitter_split(const struct splitter *s, const char *text, size_t n, bool first, int (*piece)(void *, const char *, size_t), void *context)
{
    struct walk walk = {s, first, piece, context};
    if (!s->add_prefix_space || n == 0 || *text == ' ' || !first)
        return split_from(&walk, 0, text, n);
    size_t m;
    char *spaced = rewrite(text, n, " ", NULL, NULL, &m);
    CHECK(spaced, "out of memory while encoding %zu bytes", n);
    int status = split_from(&walk, 0, spaced, m);
    free(spaced);
    return status;
}
