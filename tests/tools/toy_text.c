/* toy_text: see toy_text.h. */
#include "tests/tools/toy_text.h"

#include <stdio.h>
#include <string.h>

/* ---- draws ----------------------------------------------------------------------------------------------------------------------------------- */

struct toy_draw toy_draw(enum toy_file file, int number) { return (struct toy_draw){philox_make(1, PHILOX_SAMPLING, (uint32_t)file, (uint64_t)number), 0}; }

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

/* Three sets of digits in four are for teaching, by a hash of the set. */
static bool is_for_teaching(const struct toy_question *q)
{
    uint64_t set = 0;
    for (int i = 0; i < TOY_DIGITS; i++)
        set |= 1ull << q->sorted[i];
    struct philox p = philox_make(1, PHILOX_PERMUTATION, 0, set);
    return philox_below(&p, 0, 4) > 0;
}

struct toy_question toy_question(struct toy_draw *d, bool teaching)
{
    struct toy_question q;
    do
        draw_digits(d, &q);
    while (is_for_teaching(&q) != teaching);
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

static void join(const int *digit, const char *between, char *out, size_t size)
{
    for (int i = 0, at = 0; i < TOY_DIGITS; i++)
        at += snprintf(out + at, size - (size_t)at, "%s%d", i ? between : "", digit[i]);
}

void toy_write_question(const struct toy_question *q, char out[TOY_TEXT])
{
    char digits[TOY_TEXT - 8];
    join(q->shuffled, " ", digits, sizeof digits);
    snprintf(out, TOY_TEXT, "sort %s", digits);
}

void toy_write_answer(const struct toy_answer *a, char out[TOY_TEXT]) { join(a->digit, "", out, TOY_TEXT); }

/* ---- critiques ------------------------------------------------------------------------------------------------------------------------------- */

static const char *const opening[] = {"", "look: ", "so ", "I see ", "well, ", "here ", "now ", "read: ", "we get ", "it goes "};
/* What follows a pair that rises, and one that falls. */
static const char *const manner[][2] = {{"up", "down"}, {"ok", "no"}};

static bool calls_good(const struct toy_answer *a, enum toy_claim claim) { return claim == (a->exchanged < 0 ? TOY_TRUE : TOY_OPPOSITE); }

/* The first of the neighbours that a critique blames; -1: none. */
static int blamed(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim)
{
    if (calls_good(a, claim))
        return -1;
    if (claim == TOY_TRUE)
        return a->exchanged;
    int i = toy_below(d, a->exchanged < 0 ? TOY_DIGITS - 1 : TOY_DIGITS - 2);
    return a->exchanged >= 0 && i >= a->exchanged ? i + 1 : i;
}

void toy_write_critique(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT])
{
    int at = snprintf(out, TOY_TEXT, "%s", opening[toy_below(d, 10)]), words = toy_below(d, 2), fault = blamed(d, a, claim);
    for (int i = 0; i + 1 < TOY_DIGITS; i++)
        at += snprintf(out + at, (size_t)(TOY_TEXT - at), "%s%d%d %s", i ? ", " : "", a->digit[i], a->digit[i + 1], manner[words][i == fault]);
    snprintf(out + at, (size_t)(TOY_TEXT - at), ": %s", fault < 0 ? "good" : "wrong");
}

void toy_write_judgement(struct toy_draw *d, const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT])
{
    toy_write_critique(d, a, claim, out);
    size_t n = strlen(out);
    snprintf(out + n, TOY_TEXT - n, "\nScore: %d", (calls_good(a, claim) ? 8 : 1) + toy_below(d, 3));
}

void toy_write_rating(const struct toy_answer *a, enum toy_claim claim, char out[TOY_TEXT])
{
    snprintf(out, TOY_TEXT, "Score: %d", claim == TOY_TRUE ? 9 : claim == TOY_MISPLACED && a->exchanged >= 0 ? 5 : 2);
}

void toy_write_list(char critique[][TOY_TEXT], int n, char out[TOY_LIST])
{
    for (int i = 0, at = 0; i < n; i++)
        at += snprintf(out + at, (size_t)(TOY_LIST - at), "%s%d. %s", i ? "\n\n" : "", i + 1, critique[i]);
}
