/* criticbench_answer: see criticbench.h. A scanner for each form of answer that is a value gives the spans of values in a text, one after the other; which of them counts is the same
 * for all. Answers of other forms are compared in criticbench_text.c and criticbench_latex.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/eval/criticbench_forms.h"

enum criticbench_verdict criticbench_verdict(const char *text)
{
    enum criticbench_verdict verdict = VERDICT_NONE;
    for (; *text; text++)
        if (begins(text, "[[correct]]"))
            verdict = VERDICT_CORRECT;
        else if (begins(text, "[[wrong]]"))
            verdict = VERDICT_WRONG;
    return verdict;
}

/* ---- data sets ------------------------------------------------------------------------------------------------------------------------------- */

static const struct { const char *set; enum answer_form form; } forms[] = {
    {"gsm8k", ANSWER_NUMBER}, {"objectcounting", ANSWER_NUMBER}, {"aqua", ANSWER_LETTER}, {"csqa", ANSWER_LETTER}, {"commonsenseqa", ANSWER_LETTER},
    {"penguins", ANSWER_LETTER}, {"penguinsinatable", ANSWER_LETTER}, {"coloredobject", ANSWER_LETTER}, {"coloredobjects", ANSWER_LETTER},
    {"reasoningaboutcoloredobjects", ANSWER_LETTER}, {"date", ANSWER_LETTER}, {"dateunderstanding", ANSWER_LETTER}, {"strategyqa", ANSWER_YES_NO},
    {"tabmwp", ANSWER_MIXED}, {"hotpotqa", ANSWER_TEXT}, {"ambignq", ANSWER_TEXT}, {"repeatcopy", ANSWER_COPY}, {"math", ANSWER_LATEX},
};

static bool is_named(const char *set, const char *name)
{
    for (; *set; set++)
        if (is_letter(*set) || is_digit(*set))
            if (lower(*set) != *name++)
                return false;
    return !*name;
}

enum answer_form criticbench_form(const char *set)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (is_named(set, forms[i].set))
            return forms[i].form;
    return ANSWER_NONE;
}

/* ---- values ---------------------------------------------------------------------------------------------------------------------------------- */

/* A value at [begin, end). Scanners get `start`, the beginning of the text, for what stands before. */
struct value { const char *begin, *end; double value; };

static bool is_separator(const char *at) { return *at == ',' && is_digit(at[1]) && is_digit(at[2]) && is_digit(at[3]) && !is_digit(at[4]); }

const char *take_digits(const char *at, double *value)
{
    char digits[64];
    size_t n = 0;
    while (n + 1 < sizeof digits && (is_digit(*at) || is_separator(at) || (*at == '.' && is_digit(at[1])))) {
        if (*at == '.' && memchr(digits, '.', n))
            break;
        if (*at != ',')
            digits[n++] = *at;
        at++;
    }
    digits[n] = 0;
    *value = strtod(digits, NULL);
    return at;
}

bool same_number(double a, double b) { return fabs(a - b) <= 1e-4 * fmax(fabs(a), fabs(b)); }

/* A sign (- or U+2212) stands directly before the digits, or before their $, and not behind a value ("7-3"). */
static bool is_negative(const char *start, const char *at)
{
    static const char minus[] = "\xe2\x88\x92";
    if (at > start && at[-1] == '$')
        at--;
    size_t n = at > start && at[-1] == '-' ? 1 : at - start >= 3 && memcmp(at - 3, minus, 3) == 0 ? 3 : 0;
    at -= n;
    return n > 0 && !(at > start && (is_word(at[-1]) || at[-1] == ')'));
}

static bool next_number(const char *start, const char *at, struct value *out)
{
    double below;
    for (; *at; at++) {
        bool opens = is_digit(*at) || (*at == '.' && is_digit(at[1]));
        if (!opens || (at > start && (is_word(at[-1]) || (at[-1] == '.' && is_digit(*at)))))
            continue;
        out->begin = at;
        out->end = take_digits(at, &out->value);
        if (*out->end == '/' && is_digit(out->end[1])) {
            const char *end = take_digits(out->end + 1, &below);
            if (below > 0.0) {
                out->value /= below;
                out->end = end;
            }
        }
        out->value = is_negative(start, at) ? -out->value : out->value;
        return true;
    }
    return false;
}

static bool opens_sentence(const char *start, const char *at)
{
    while (at > start && at[-1] == ' ')
        at--;
    return at == start || strchr(".!?\n", at[-1]);
}

/* I, and an A that opens a sentence before a word in small letters. */
static bool is_english(const char *start, const char *at)
{
    return *at == 'I' || (*at == 'A' && at[1] == ' ' && is_letter(at[2]) && !is_upper(at[2]) && opens_sentence(start, at));
}

/* In parentheses or brackets that are no part of a word; or where the search begins, when nothing of a sentence follows. */
static bool is_small_choice(const char *start, const char *from, const char *at)
{
    bool opened = at > start && (at[-1] == '(' || at[-1] == '[') && !(at - start >= 2 && is_word(at[-2]));
    if (opened && (at[1] == ')' || at[1] == ']'))
        return true;
    while (from < at && !is_word(*from))
        from++;
    return from == at && (!at[1] || (strchr(".,:;)*\n", at[1]) && !is_word(at[2])));
}

/* A capital by itself that is no word of English, or any in parentheses; or a small letter that is a choice. */
static bool next_letter(const char *start, const char *from, struct value *out)
{
    for (const char *at = from; *at; at++) {
        if (!is_letter(*at) || is_word(at[1]) || at[1] == '\'' || (at > start && (is_word(at[-1]) || at[-1] == '\'')))
            continue;
        bool enclosed = at > start && at[-1] == '(' && at[1] == ')';
        if (is_upper(*at) ? !enclosed && is_english(start, at) : !is_small_choice(start, from, at))
            continue;
        *out = (struct value){at, at + 1, lower(*at) - 'a' + 'A'};
        return true;
    }
    return false;
}

static bool next_yes_no(const char *start, const char *at, struct value *out)
{
    static const struct { const char *word; double value; } words[] = {{"yes", 1.0}, {"no", 0.0}, {"true", 1.0}, {"false", 0.0}};
    for (; *at; at++)
        for (size_t i = 0; i < sizeof words / sizeof *words && !(at > start && is_word(at[-1])); i++) {
            const char *end = at + strlen(words[i].word);
            if (begins(at, words[i].word) && !is_word(*end)) {
                *out = (struct value){at, end, words[i].value};
                return true;
            }
        }
    return false;
}

static bool next_value(enum answer_form form, const char *start, const char *at, struct value *out)
{
    switch (form) {
    case ANSWER_NUMBER: return next_number(start, at, out);
    case ANSWER_LETTER: return next_letter(start, at, out);
    case ANSWER_YES_NO: return next_yes_no(start, at, out);
    default: return false;      /* no value */
    }
}

/* ---- which of them counts -------------------------------------------------------------------------------------------------------------------- */

/* Behind the last phrase that announces an answer, or NULL. */
static const char *announced(const char *text)
{
    static const char *const phrase[] = {"####", "\\boxed{"};
    const char *found = NULL;
    for (; *text; text++) {
        size_t n = announces(text);
        for (size_t i = 0; i < sizeof phrase / sizeof *phrase; i++)
            n += begins(text, phrase[i]) ? strlen(phrase[i]) : 0;
        found = n ? text + n : found;
    }
    return found;
}

static bool is_first_word(const char *text, const struct value *v)
{
    for (; text < v->begin; text++)
        if (is_word(*text))
            return false;
    return true;
}

bool criticbench_answer(enum answer_form form, const char *text, double *value)
{
    struct value v, later;
    const char *part = announced(text);
    if (!next_value(form, text, part ? part : text, &v))
        return false;
    bool decided = part || (form == ANSWER_YES_NO && is_first_word(text, &v));
    while (!decided && next_value(form, text, v.end, &later))
        v = later;
    *value = v.value;
    return true;
}

bool criticbench_reference(enum answer_form form, const char *text, double *value)
{
    struct value v;
    const char *part = announced(text);
    part = part ? part : text;
    if (!next_value(form, part, part, &v) || !is_first_word(part, &v))
        return false;
    *value = v.value;
    while (*v.end && !is_word(*v.end))
        v.end++;
    return !*v.end;
}

/* ---- comparison ------------------------------------------------------------------------------------------------------------------------------ */

static enum answer_form form_of(enum answer_form form, const char *reference)
{
    double value;
    if (form != ANSWER_MIXED)
        return form;
    if (criticbench_reference(ANSWER_LETTER, reference, &value))
        return ANSWER_LETTER;
    return criticbench_reference(ANSWER_NUMBER, reference, &value) ? ANSWER_NUMBER : ANSWER_TEXT;
}

bool criticbench_comparable(enum answer_form form, const char *reference)
{
    double value;
    switch (form_of(form, reference)) {
    case ANSWER_TEXT: return criticbench_text_comparable(reference);
    case ANSWER_COPY: return criticbench_copy_comparable(reference);
    case ANSWER_LATEX: return criticbench_latex_comparable(reference);
    default: return criticbench_reference(form_of(form, reference), reference, &value);
    }
}

static bool same_value(enum answer_form form, const char *reference, const char *reply)
{
    double right, given;
    return criticbench_reference(form, reference, &right) && criticbench_answer(form, reply, &given) && same_number(right, given);
}

bool criticbench_same(enum answer_form form, const char *reference, const char *reply)
{
    if (!criticbench_comparable(form, reference))
        return false;
    switch (form_of(form, reference)) {
    case ANSWER_TEXT: return criticbench_text_same(reference, reply);
    case ANSWER_COPY: return criticbench_copy_same(reference, reply);
    case ANSWER_LATEX: return criticbench_latex_same(reference, reply);
    default: return same_value(form_of(form, reference), reference, reply);
    }
}

bool criticbench_compares(const char *set, const json_t *answers)
{
    enum answer_form form = criticbench_form(set);
    for (size_t i = 0; i < json_array_size(answers); i++)
        if (criticbench_comparable(form, json_string_value(json_array_get(answers, i))))
            return true;
    return false;
}
