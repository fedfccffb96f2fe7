/* toy_text: see toy_text.h. */
#include "tests/tools/toy_text.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

/* ---- draws ----------------------------------------------------------------------------------------------------------------------------------- */

struct toy_draw toy_draw(enum toy_file file, int number) { return (struct toy_draw){file, philox_make(1, PHILOX_SAMPLING, (uint32_t)file, (uint64_t)number), 0}; }

int toy_below(struct toy_draw *d, int n) { return (int)philox_below(&d->random, d->n++, (uint64_t)n); }

bool toy_chance(struct toy_draw *d, int percent) { return toy_below(d, 100) < percent; }

/* ---- questions and answers ------------------------------------------------------------------------------------------------------------------- */

static void draw_digits(struct toy_draw *d, struct toy_question *q)
{
    int pool[10], n = 0;
    for (int i = 0; i < 10; i++)
        pool[i] = i;
    for (int i = 0; i < TOY_DIGITS; i++) {
        int j = i + toy_below(d, 10 - i), t = pool[i];
        pool[i] = pool[j];
        pool[j] = t;
        q->shuffled[i] = pool[i];
    }
    for (int v = 0; v < 10; v++)
        for (int i = 0; i < TOY_DIGITS; i++)
            if (q->shuffled[i] == v)
                q->sorted[n++] = v;
}

/* Of eight sets of digits five are for teaching, two for the pairs, one for the responses. */
static enum toy_file file_of(const struct toy_question *q)
{
    static const enum toy_file file[8] = {TOY_RESPONSES, TOY_PAIRS, TOY_PAIRS, TOY_TEACHING, TOY_TEACHING, TOY_TEACHING, TOY_TEACHING, TOY_TEACHING};
    uint64_t set = 0;
    for (int i = 0; i < TOY_DIGITS; i++)
        set |= 1ull << q->sorted[i];
    struct philox p = philox_make(1, PHILOX_PERMUTATION, 0, set);
    return file[philox_below(&p, 0, 8)];
}

struct toy_question toy_question(struct toy_draw *d)
{
    struct toy_question q;
    do
        draw_digits(d, &q);
    while (file_of(&q) != d->file);
    return q;
}

struct toy_answer toy_answer(struct toy_draw *d, const struct toy_question *q, bool right)
{
    struct toy_answer a = {.exchanged = -1};
    memcpy(a.digit, q->sorted, sizeof a.digit);
    if (right)
        return a;
    int i = a.exchanged = toy_below(d, TOY_DIGITS - 1);
    a.digit[i] = q->sorted[i + 1];
    a.digit[i + 1] = q->sorted[i];
    return a;
}

void toy_write_question(const struct toy_question *q, char out[TOY_TEXT])
{
    int at = snprintf(out, TOY_TEXT, "sort");
    for (int i = 0; i < TOY_DIGITS; i++)
        at += snprintf(out + at, (size_t)(TOY_TEXT - at), " %d", q->shuffled[i]);
}

void toy_write_answer(const struct toy_answer *a, char out[TOY_TEXT])
{
    for (int i = 0; i < TOY_DIGITS; i++)
        snprintf(out + i, (size_t)(TOY_TEXT - i), "%d", a->digit[i]);
}

/* ---- critiques ------------------------------------------------------------------------------------------------------------------------------- */

static const char *const opening[] = {"", "look: ", "so ", "I see ", "well, ", "here ", "now ", "read: ", "we get ", "it goes "};
/* What is said of neighbours that rise, and of neighbours that fall. */
static const char *const manner[][2] = {{"up", "down"}, {"ok", "no"}};

static bool calls_good(const struct toy_answer *a, enum toy_claim claim) { return claim == (a->exchanged < 0 ? TOY_TRUE : TOY_OPPOSITE); }

/* The first of the neighbours that a critique blames; -1: none. */
static int blamed(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim)
{
    if (calls_good(a, claim))
        return -1;
    if (claim == TOY_TRUE)
        return a->exchanged;
    if (a->exchanged < 0)
        return toy_below(d, TOY_DIGITS - 1);
    int other = toy_below(d, TOY_DIGITS - 2);
    return other + (other >= a->exchanged);
}

void toy_write_critique(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT])
{
    ASSERT(a->exchanged >= 0 || claim != TOY_MISPLACED);
    int at = snprintf(out, TOY_TEXT, "%s", opening[toy_below(d, sizeof opening / sizeof *opening)]);
    const char *const *words = manner[toy_below(d, sizeof manner / sizeof *manner)];
    int fault = blamed(d, a, claim);
    for (int i = 0; i + 1 < TOY_DIGITS; i++)
        at += snprintf(out + at, (size_t)(TOY_TEXT - at), "%s%d%d %s", i ? ", " : "", a->digit[i], a->digit[i + 1], words[i == fault]);
    snprintf(out + at, (size_t)(TOY_TEXT - at), ": %s", fault < 0 ? "good" : "wrong");
}

void toy_write_judgement(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT])
{
    toy_write_critique(d, a, claim, out);
    size_t n = strlen(out);
    snprintf(out + n, TOY_TEXT - n, "\nScore: %d", (calls_good(a, claim) ? 8 : 1) + toy_below(d, 3));
}

void toy_write_rating(enum toy_claim claim, char out[TOY_TEXT])
{
    static const int score[] = {[TOY_TRUE] = 9, [TOY_OPPOSITE] = 2, [TOY_MISPLACED] = 5};
    snprintf(out, TOY_TEXT, "Score: %d", score[claim]);
}
