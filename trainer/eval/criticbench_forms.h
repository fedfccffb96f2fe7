/* criticbench_forms: what the forms of answers share, and the forms that have a file of their own. Used inside trainer/eval only. */
#ifndef TRAINER_EVAL_CRITICBENCH_FORMS_H
#define TRAINER_EVAL_CRITICBENCH_FORMS_H

#include "dataset/text.h"
#include "trainer/eval/criticbench.h"

/* ASCII: bytes above 127 are mostly quotes, dashes and signs in these texts. */
static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static inline bool is_letter(char c) { return is_upper(c) || (c >= 'a' && c <= 'z'); }
static inline bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '_'; }
static inline char lower(char c) { return is_upper(c) ? (char)(c - 'A' + 'a') : c; }

/* Does the text begin with this word, which is in small letters, in any case? */
static inline bool begins(const char *text, const char *word)
{
    for (; *word; text++, word++)
        if (lower(*text) != *word)
            return false;
    return true;
}

/* Digits with thousands separators and decimals, one at least; returns where they end. */
const char *take_digits(const char *at, double *value);
bool same_number(double a, double b);

/* The length of a phrase that announces an answer at this place, "answer is" or "[[" (but of a verdict), or 0. */
size_t announces(const char *at);
/* What is announced last, trimmed: to "]]", or to the end of the line or, without one_line, of the text. bytes NULL: nothing. */
struct text announced_text(const char *text, bool one_line);

bool criticbench_text_comparable(const char *reference);
bool criticbench_text_same(const char *reference, const char *reply);
bool criticbench_copy_comparable(const char *reference);
bool criticbench_copy_same(const char *reference, const char *reply);
bool criticbench_latex_comparable(const char *reference);
bool criticbench_latex_same(const char *reference, const char *reply);

#endif
