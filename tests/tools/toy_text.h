/* toy_text: what is said in the toy task. A question asks to sort digits; an answer has them in order, or two neighbours exchanged; a critique says which.
 *
 *   question     sort 5 3 9 1 7
 *   answer       1 5 3 7 9
 *   critique     look: 5 stands before 3: wrong
 *   judgement    look: 5 stands before 3: wrong
 *                Score: 2
 *   rating       Score: 9                                   of a critique
 *
 * Everything is a function of the draws: a teacher for the toy backbone, and the answers that it will judge. */
#ifndef TESTS_TOOLS_TOY_TEXT_H
#define TESTS_TOOLS_TOY_TEXT_H

#include <stdbool.h>

#include "base/philox.h"

enum { TOY_DIGITS = 4, TOY_TEXT = 64, TOY_LIST = 8 * TOY_TEXT };

/* The draws of record `number` of a file; they go on from one call to the next. */
enum toy_file { TOY_TEACHING, TOY_PAIRS, TOY_READY };
struct toy_draw { struct philox random; uint32_t n; };
struct toy_draw toy_draw(enum toy_file file, int number);
/* True `percent` times in a hundred. */
bool toy_chance(struct toy_draw *d, int percent);
int toy_below(struct toy_draw *d, int n);

/* Different digits. The set of them belongs to teaching or to the pairs, never to both. */
struct toy_question { int sorted[TOY_DIGITS], shuffled[TOY_DIGITS]; };
struct toy_question toy_question(struct toy_draw *d, bool teaching);

/* exchanged: the place of the first of two neighbours that changed places; -1: in order. */
struct toy_answer { int digit[TOY_DIGITS], exchanged; };
struct toy_answer toy_answer(struct toy_draw *d, const struct toy_question *q, bool right);

/* What a critique claims of an answer: the truth; the opposite; or, of a wrong answer, the wrong neighbours (of a right one, the opposite). */
enum toy_claim { TOY_TRUE, TOY_OPPOSITE, TOY_MISPLACED };

void toy_write_question(const struct toy_question *q, char out[TOY_TEXT]);
void toy_write_answer(const struct toy_answer *a, char out[TOY_TEXT]);
/* Wording and claimed neighbours are drawn. */
void toy_write_critique(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT]);
/* A critique and its score: 7..10 where it calls the answer good, 1..4 where it does not. */
void toy_write_judgement(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT]);
/* The rating of a critique with this claim: 9 the truth, 5 misplaced, 2 the opposite. */
void toy_write_rating(const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT]);
/* n critiques as the summarise instruction shows them: "1. first\n\n2. second". */
void toy_write_list(char critique[][TOY_TEXT], int n, char out[TOY_LIST]);

#endif
