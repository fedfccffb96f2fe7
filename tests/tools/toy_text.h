/* toy_text: what is said in the toy task. A question asks to sort digits; an answer has them in order, or two neighbours exchanged; a critique goes through its neighbours.
 *
 *   question     sort 5 3 9 1
 *   answer       1539
 *   critique     look: 15 ok, 53 no, 39 ok: wrong
 *   judgement    look: 15 ok, 53 no, 39 ok: wrong
 *                Score: 2
 *   rating       Score: 9                                   of a critique
 *
 * The answer has no spaces: the digit behind a digit is then found in it and not in the question, which small models learn early.
 */
#ifndef TESTS_TOOLS_TOY_TEXT_H
#define TESTS_TOOLS_TOY_TEXT_H

#include <stdbool.h>

#include "base/philox.h"

enum { TOY_DIGITS = 4, TOY_TEXT = 64 };

/* The draws of record `number` of a file; they go on from one call to the next. */
enum toy_file { TOY_TEACHING, TOY_PAIRS, TOY_RESPONSES };
struct toy_draw { enum toy_file file; struct philox random; uint32_t n; };
struct toy_draw toy_draw(enum toy_file file, int number);
int toy_below(struct toy_draw *d, int n);
/* True `percent` times in a hundred. */
bool toy_chance(struct toy_draw *d, int percent);

/* Different digits. A set of them occurs in one file only. */
struct toy_question { int sorted[TOY_DIGITS], shuffled[TOY_DIGITS]; };
struct toy_question toy_question(struct toy_draw *d);

/* exchanged: the place of the first of two neighbours that changed places; -1: in order. */
struct toy_answer { int digit[TOY_DIGITS], exchanged; };
struct toy_answer toy_answer(struct toy_draw *d, const struct toy_question *q, bool right);

/* What a critique says of an answer. OPPOSITE: the other verdict, by one neighbour. MISPLACED: of a wrong answer, that it is wrong, but blaming other neighbours. */
enum toy_claim { TOY_TRUE, TOY_OPPOSITE, TOY_MISPLACED };

void toy_write_question(const struct toy_question *q, char out[TOY_TEXT]);
void toy_write_answer(const struct toy_answer *a, char out[TOY_TEXT]);
/* The wording is drawn. */
void toy_write_critique(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT]);
/* A critique and its score: 8..10 where it calls the answer good, 1..3 where it calls it wrong. */
void toy_write_judgement(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT]);
/* The rating of a critique with this claim: 9, 5 where it is MISPLACED, 2 where it is OPPOSITE. */
void toy_write_rating(enum toy_claim claim, char out[TOY_TEXT]);

#endif
