/* criticbench: what a model's replies on CriticBench say. The verdict is that on the response; the answer is the corrected one, compared where that needs no running of code. */
#ifndef TRAINER_EVAL_CRITICBENCH_H
#define TRAINER_EVAL_CRITICBENCH_H

#include "base/json.h"

enum criticbench_verdict { VERDICT_NONE, VERDICT_CORRECT, VERDICT_WRONG };

/* verdict NONE: unparsable, counts as mistaken. answer NULL: none; it is a generated text or the answer alone. */
struct criticbench_reply { enum criticbench_verdict verdict; const char *answer; };

/* The last [[correct]] or [[wrong]] in the text, in any letter case. */
enum criticbench_verdict criticbench_verdict(const char *text);

/* How the answers of a data set are compared. Names are matched by their letters and digits alone, in any case:
 *   NUMBER   gsm8k, object counting
 *   LETTER   aqua, csqa (commonsenseqa), penguins (in a table), (reasoning about) colored object(s), date (understanding)
 *   YES_NO   strategyqa
 *   MIXED    tabmwp: LETTER where the reference is one letter, NUMBER where it is a number, else TEXT
 *   TEXT     hotpotqa, ambignq
 *   COPY     repeat copy
 *   LATEX    math
 *   NONE     every other: humaneval and mbpp (code) */
enum answer_form { ANSWER_NONE, ANSWER_NUMBER, ANSWER_LETTER, ANSWER_YES_NO, ANSWER_MIXED, ANSWER_TEXT, ANSWER_COPY, ANSWER_LATEX };
enum answer_form criticbench_form(const char *set);

/* NUMBER, LETTER, YES_NO: the answer that a text gives is the first value after its last "answer is", "[[", "####" or "\boxed{", else the last value in it (yes or no: the first
 * when the text begins with it). Values: a number (sign, $, thousands separators, decimals, a fraction a/b); a capital letter in parentheses or by itself (not the pronoun I, nor
 * the article A that opens a sentence), a small one in parentheses or brackets, or alone where the text or the announced answer begins; yes, no, true, false in any case. *value is
 * the number, the capital letter, or 1 for yes and true. False when there is none. */
bool criticbench_answer(enum answer_form form, const char *text, double *value);
/* The same, of a reference: nothing else but signs may stand beside its value ("2:15 PM" is no number). */
bool criticbench_reference(enum answer_form form, const char *text, double *value);

/* Can an answer be compared with this reference? */
bool criticbench_comparable(enum answer_form form, const char *reference);
/* Does the reply give the reference as its answer? False where they cannot be compared. Numbers are the same to 1e-4 of the larger, with no factor of 100 for percent.
 *   TEXT     the words are the same: in lower case, without punctuation, without a, an and the. The answer is what [[ ]] enclose or what follows "answer is" (and a colon) in its
 *            line, whichever comes last, else the reply
 *   COPY     the bytes are the same, white space at the ends aside, of the reply or of what [[ ]] enclose or "answer is" announces, there up to a full stop at the reply's end
 *   LATEX    both are the same number, or the same text when written alike (criticbench_latex.c). The answer is the content of the last whole \boxed{}, else as for TEXT (the
 *            formula alone where one follows), else the reply or the last number in it */
bool criticbench_same(enum answer_form form, const char *reference, const char *reply);

/* Can corrected answers of this set be compared with one of these texts at least (NULL: there are none)? */
bool criticbench_compares(const char *set, const json_t *answers);

#endif
