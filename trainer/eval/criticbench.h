/* criticbench: what a model's replies on CriticBench say. The verdict is that on the response; the answer is the corrected one, compared where that needs no running of code. */
#ifndef TRAINER_EVAL_CRITICBENCH_H
#define TRAINER_EVAL_CRITICBENCH_H

#include <stdbool.h>

enum criticbench_verdict { VERDICT_NONE, VERDICT_CORRECT, VERDICT_WRONG };

/* verdict NONE: unparsable, counts as mistaken. answer NULL: none; it is a generated text or the answer alone. */
struct criticbench_reply { enum criticbench_verdict verdict; const char *answer; };

/* The last [[correct]] or [[wrong]] in the text, in any letter case. */
enum criticbench_verdict criticbench_verdict(const char *text);

/* How the answers of a data set are compared. Names are matched by their letters and digits alone, in any case:
 *   NUMBER   gsm8k, tabmwp, object counting
 *   LETTER   aqua, csqa (commonsenseqa), penguins (in a table), (reasoning about) colored object(s), date (understanding)
 *   YES_NO   strategyqa
 *   NONE     every other: math (LaTeX), hotpotqa and ambignq (free text), repeat copy, humaneval and mbpp (code) */
enum answer_form { ANSWER_NONE, ANSWER_NUMBER, ANSWER_LETTER, ANSWER_YES_NO };
enum answer_form criticbench_form(const char *set);

/* The answer that a text gives: the first value after its last "answer is", "####" or "\boxed{", else the last value in it (yes or no: the first when the text begins with
 * it). Values: a number (sign, $, thousands separators, decimals, a fraction a/b); a capital letter in parentheses or by itself (not the pronoun I, nor the article A that opens
 * a sentence); yes, no, true, false in any case. *value is the number, the letter, or 1 for yes and true. False when there is none. */
bool criticbench_answer(enum answer_form form, const char *text, double *value);
/* The same, of a reference: nothing else but signs may stand beside its value ("2:15 PM" is no number). */
bool criticbench_reference(enum answer_form form, const char *text, double *value);
/* Can corrected answers of this set be compared with this reference (NULL: there is none)? */
bool criticbench_compares(const char *set, const char *reference);

#endif
