/* toy_lesson: see toy_lesson.h. The shares are what 30,000 lessons need: rating is learnt last. */
#include "tests/tools/toy_lesson.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum { FALSE_ANSWERS = 25, FALSE_JUDGEMENTS = 15, FALSE_RATED = 50, MISPLACED = 30 };      /* percent */

static enum toy_claim draw_claim(struct toy_draw *d, const struct toy_answer *a, int percent_false)
{
    if (!toy_chance(d, percent_false))
        return TOY_TRUE;
    return a->exchanged >= 0 && toy_chance(d, MISPLACED) ? TOY_MISPLACED : TOY_OPPOSITE;
}

static void judge(struct toy_draw *d, const struct toy_answer *a, struct toy_lesson *l)
{
    l->instruction = INSTRUCTION_JUDGE;
    toy_write_judgement(d, a, toy_chance(d, FALSE_JUDGEMENTS) ? TOY_OPPOSITE : TOY_TRUE, l->target);
}

static void rate(struct toy_draw *d, const struct toy_answer *a, struct toy_lesson *l)
{
    enum toy_claim claim = draw_claim(d, a, FALSE_RATED);
    l->instruction = INSTRUCTION_RANK;
    l->n_critiques = 1;
    toy_write_critique(d, a, claim, l->critique[0]);
    toy_write_rating(claim, l->target);
}

static void summarise(struct toy_draw *d, const struct toy_answer *a, struct toy_lesson *l)
{
    l->instruction = INSTRUCTION_SUMMARISE;
    l->n_critiques = 2 + toy_below(d, TOY_CANDIDATES - 1);
    for (int i = 0; i < l->n_critiques; i++)
        toy_write_critique(d, a, draw_claim(d, a, FALSE_JUDGEMENTS), l->critique[i]);
    toy_write_critique(d, a, TOY_TRUE, l->target);
}

static void critique(struct toy_draw *d, const struct toy_answer *a, struct toy_lesson *l)
{
    bool good = (a->exchanged < 0) != toy_chance(d, FALSE_JUDGEMENTS);
    l->instruction = INSTRUCTION_CRITIQUE;
    strcpy(l->target, good ? "good" : "wrong");
}

struct toy_lesson toy_lesson(int number)
{
    struct toy_lesson l = {0};
    struct toy_draw d = toy_draw(TOY_TEACHING, number);
    struct toy_question q = toy_question(&d);
    int kind = number % 20;
    l.is_answer = kind >= 17;
    struct toy_answer a = toy_answer(&d, &q, toy_chance(&d, l.is_answer ? 100 - FALSE_ANSWERS : 50));
    toy_write_question(&q, l.question);
    toy_write_answer(&a, l.answer);
    if (kind < 6)
        judge(&d, &a, &l);
    else if (kind < 14)
        rate(&d, &a, &l);
    else if (kind < 16)
        summarise(&d, &a, &l);
    else if (kind < 17)
        critique(&d, &a, &l);
    return l;
}

int toy_lesson_instruction(const struct toy_lesson *l, const struct instruction_text *text, char **out)
{
    struct text critique[TOY_CANDIDATES], content = {"", 0};
    char *list = NULL;
    size_t n;
    for (int i = 0; i < l->n_critiques; i++)
        critique[i] = (struct text){l->critique[i], strlen(l->critique[i])};
    if (l->instruction == INSTRUCTION_SUMMARISE) {
        TRY(instruction_list(critique, l->n_critiques, &list, &n));
        content = (struct text){list, n};
    } else if (l->n_critiques > 0) {
        content = critique[0];
    }
    int status = instruction_fill(&text[l->instruction], content, out, &n);
    free(list);
    return status;
}
