/* criticbench_text: answers in words (TEXT) and answers to the letter (COPY), see criticbench.h. Nothing is allocated: texts are compared word by word, words sign by sign. */
#include <string.h>
#include <utf8proc.h>

#include "trainer/eval/criticbench_forms.h"

static struct text whole(const char *text) { return text_trim((struct text){text, strlen(text)}); }

/* ---- announced answers ----------------------------------------------------------------------------------------------------------------------- */

size_t announces(const char *at)
{
    static const char phrase[] = "answer is";
    if (begins(at, phrase) && !is_letter(at[sizeof phrase - 1]))
        return sizeof phrase - 1;
    return begins(at, "[[") && !begins(at, "[[correct]]") && !begins(at, "[[wrong]]") ? 2 : 0;
}

/* A line that holds nothing is passed over: the answer may stand below its announcement. */
static struct text following(const char *at, bool one_line)
{
    at += strspn(at, one_line ? " \t\r\n:*" : " \t\r\n:");
    return text_trim((struct text){at, one_line ? strcspn(at, "\n") : strlen(at)});
}

struct text announced_text(const char *text, bool one_line)
{
    struct text found = {0};
    for (const char *at = text; *at; at++) {
        size_t n = announces(at);
        const char *close = n && *at == '[' ? strstr(at, "]]") : NULL;
        if (close)
            found = text_trim((struct text){at + n, (size_t)(close - at) - n});
        else if (n && *at != '[')
            found = following(at + n, one_line);
    }
    return found;
}

/* ---- words ----------------------------------------------------------------------------------------------------------------------------------- */

/* Takes one character; a byte that is none is taken as it is. False at the end. */
static bool take(struct text *rest, int32_t *c)
{
    if (rest->n_bytes == 0)
        return false;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)rest->bytes, (utf8proc_ssize_t)rest->n_bytes, c);
    if (n <= 0) {
        n = 1;
        *c = (unsigned char)*rest->bytes;
    }
    *rest = (struct text){rest->bytes + n, rest->n_bytes - (size_t)n};
    return true;
}

static bool is_white(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return (c >= 9 && c <= 13) || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

/* Of ASCII every sign, of the rest what Unicode calls punctuation. */
static bool is_punctuation(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return c < 128 ? c > ' ' && c < 127 && (!is_word((char)c) || c == '_') : k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

/* The next character of a word that counts, in lower case; 0: no more. */
static int32_t next_sign(struct text *word)
{
    int32_t c;
    while (take(word, &c))
        if (!is_punctuation(c))
            return utf8proc_tolower(c);
    return 0;
}

static bool same_word(struct text a, struct text b)
{
    for (;;) {
        int32_t c = next_sign(&a);
        if (c != next_sign(&b))
            return false;
        if (c == 0)
            return true;
    }
}

/* An article, or nothing but punctuation. */
static bool counts_nothing(struct text word)
{
    static const struct text none[] = {{"", 0}, {"a", 1}, {"an", 2}, {"the", 3}};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (same_word(word, none[i]))
            return true;
    return false;
}

static bool next_word(struct text *rest, struct text *word)
{
    int32_t c;
    while (rest->n_bytes > 0) {
        struct text before = *rest;
        *word = *rest;
        while (take(rest, &c) && !is_white(c))
            before = *rest;
        word->n_bytes = (size_t)(before.bytes - word->bytes);
        if (!counts_nothing(*word))
            return true;
    }
    return false;
}

static bool same_words(struct text a, struct text b)
{
    struct text x, y;
    for (;;) {
        bool more = next_word(&a, &x);
        if (next_word(&b, &y) != more)
            return false;
        if (!more)
            return true;
        if (!same_word(x, y))
            return false;
    }
}

/* ---- TEXT and COPY --------------------------------------------------------------------------------------------------------------------------- */

bool criticbench_text_comparable(const char *reference)
{
    struct text rest = whole(reference), word;
    return next_word(&rest, &word);
}

bool criticbench_text_same(const char *reference, const char *reply)
{
    struct text announced = announced_text(reply, true);
    return same_words(whole(reference), announced.bytes ? announced : whole(reply));
}

bool criticbench_copy_comparable(const char *reference) { return whole(reference).n_bytes > 0; }

static bool same_bytes(struct text a, struct text b) { return a.n_bytes == b.n_bytes && memcmp(a.bytes, b.bytes, a.n_bytes) == 0; }

bool criticbench_copy_same(const char *reference, const char *reply)
{
    struct text right = whole(reference), given = whole(reply), announced = announced_text(reply, false);
    if (same_bytes(right, given))
        return true;
    if (!announced.bytes)
        return false;
    bool ends = announced.n_bytes > 0 && announced.bytes + announced.n_bytes == given.bytes + given.n_bytes && given.bytes[given.n_bytes - 1] == '.';
    return same_bytes(right, announced) || (ends && same_bytes(right, (struct text){announced.bytes, announced.n_bytes - 1}));
}
