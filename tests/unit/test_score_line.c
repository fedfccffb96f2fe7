#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lines.h"
#include "base/status.h"
#include "dataset/score_line.h"

/* A candidate that is scored, and what its critique is; one that is not. */
struct ending { const char *text; int score; const char *critique; };
#define SCORED(text, score, critique) {text, score, critique}
#define UNSCORED(text) {text, 0, text}

static const struct ending endings[] = {
    /* every number, with and without the ten */
    SCORED("Good.\nScore: 1", 1, "Good."),
    SCORED("Good.\nScore: 2", 2, "Good."),
    SCORED("Good.\nScore: 3", 3, "Good."),
    SCORED("Good.\nScore: 4", 4, "Good."),
    SCORED("Good.\nScore: 5", 5, "Good."),
    SCORED("Good.\nScore: 6", 6, "Good."),
    SCORED("Good.\nScore: 7", 7, "Good."),
    SCORED("Good.\nScore: 8", 8, "Good."),
    SCORED("Good.\nScore: 9", 9, "Good."),
    SCORED("Good.\nScore: 10", 10, "Good."),
    SCORED("Good.\nScore: 1/10", 1, "Good."),
    SCORED("Good.\nScore: 2/10", 2, "Good."),
    SCORED("Good.\nScore: 3/10", 3, "Good."),
    SCORED("Good.\nScore: 4/10", 4, "Good."),
    SCORED("Good.\nScore: 5/10", 5, "Good."),
    SCORED("Good.\nScore: 6/10", 6, "Good."),
    SCORED("Good.\nScore: 7/10", 7, "Good."),
    SCORED("Good.\nScore: 8/10", 8, "Good."),
    SCORED("Good.\nScore: 9/10", 9, "Good."),
    SCORED("Good.\nScore: 10/10", 10, "Good."),

    /* stars around the whole line */
    SCORED("Good.\n*Score: 7*", 7, "Good."),
    SCORED("Good.\n**Score: 7**", 7, "Good."),
    SCORED("Good.\n***Score: 7***", 7, "Good."),
    SCORED("Good.\n*Score: 8/10*", 8, "Good."),
    SCORED("Good.\n**Score: 8/10**", 8, "Good."),
    SCORED("Good.\n***Score: 10/10***", 10, "Good."),
    SCORED("Good.\n**Score: 8**/10", 8, "Good."),
    SCORED("Good.\n*Score: 10*/10", 10, "Good."),

    /* around the label */
    SCORED("Good.\n*Score*: 8", 8, "Good."),
    SCORED("Good.\n**Score**: 8", 8, "Good."),
    SCORED("Good.\n***Score***: 8/10", 8, "Good."),
    SCORED("Good.\n*Score:* 8", 8, "Good."),
    SCORED("Good.\n**Score:** 8", 8, "Good."),
    SCORED("Good.\n***Score:*** 10", 10, "Good."),
    SCORED("Good.\n**Score:** 8/10", 8, "Good."),

    /* around the value */
    SCORED("Good.\nScore: *8*", 8, "Good."),
    SCORED("Good.\nScore: **8**", 8, "Good."),
    SCORED("Good.\nScore: ***8***", 8, "Good."),
    SCORED("Good.\nScore: **8/10**", 8, "Good."),
    SCORED("Good.\nScore: **8**/10", 8, "Good."),
    SCORED("Good.\nScore: *10*/10", 10, "Good."),

    /* around both */
    SCORED("Good.\n**Score:** **8**", 8, "Good."),
    SCORED("Good.\n**Score:** *8*", 8, "Good."),
    SCORED("Good.\n**Score**: **8/10**", 8, "Good."),
    SCORED("Good.\n*Score:* **8**/10", 8, "Good."),

    /* stars that are no pairs, in the wrong place, or too many */
    UNSCORED("Good.\n**Score: 8"),
    UNSCORED("Good.\nScore: 8**"),
    UNSCORED("Good.\n*Score: 8**"),
    UNSCORED("Good.\n**Score: 8*"),
    UNSCORED("Good.\n***Score: 8**"),
    UNSCORED("Good.\n****Score: 8****"),
    UNSCORED("Good.\nScore: ****8****"),
    UNSCORED("Good.\n****Score:**** 8"),
    UNSCORED("Good.\n**Score:* 8"),
    UNSCORED("Good.\nScore:** 8"),
    UNSCORED("Good.\nScore**: 8"),
    UNSCORED("Good.\nScore**:** 8"),
    UNSCORED("Good.\n**Score**:** 8"),
    UNSCORED("Good.\nScore: **8"),
    UNSCORED("Good.\nScore: **8*"),
    UNSCORED("Good.\nScore: 8**/10"),
    UNSCORED("Good.\nScore: 8**/10**"),
    UNSCORED("Good.\nScore: **8**/10**"),
    UNSCORED("Good.\nScore: 8/**10**"),
    UNSCORED("Good.\nScore: 8*/*10"),
    UNSCORED("Good.\n**Score: *8***"),
    UNSCORED("Good.\n**Score: **8"),
    UNSCORED("Good.\n**Score: **8****"),
    UNSCORED("Good.\n**Score:** 8**"),
    UNSCORED("Good.\n** Score: 8 **"),
    UNSCORED("Good.\n**Score: 8 **"),
    UNSCORED("Good.\n** Score: 8**"),
    UNSCORED("Good.\n* Score: 8"),
    UNSCORED("Good.\n* **Score: 8**"),
    UNSCORED("Good.\nSc**o**re: 8"),
    UNSCORED("Good.\nScore: 1*0"),
    UNSCORED("Good.\n**Score:**8"),
    UNSCORED("Good.\n**Score: 8**."),
    UNSCORED("Good.\n**"),
    UNSCORED("Good.\nScore: **"),
    UNSCORED("Good.\nScore: ** **"),
    UNSCORED("Good.\n__Score: 8__"),
    UNSCORED("Good.\n`Score: 8`"),
    UNSCORED("Good.\n_Score: 8_"),
    UNSCORED("Good.\n\xef\xbc\x8aScore: 8\xef\xbc\x8a"),        /* full-width asterisks */

    /* white space behind the line is no line */
    SCORED("Good.\nScore: 8\n", 8, "Good."),
    SCORED("Good.\nScore: 8\n\n\n", 8, "Good."),
    SCORED("Good.\nScore: 8 ", 8, "Good."),
    SCORED("Good.\nScore: 8   \t", 8, "Good."),
    SCORED("Good.\nScore: 8 \n \n\t\n", 8, "Good."),
    SCORED("Good.\nScore: 8\r", 8, "Good."),
    SCORED("Good.\nScore: 8\r\n", 8, "Good."),
    SCORED("Good.\r\nScore: 8", 8, "Good."),
    SCORED("Good.\r\nScore: 8\r\n\r\n", 8, "Good."),
    SCORED("Good.\nScore: 8\f", 8, "Good."),
    SCORED("Good.\nScore: 8\v", 8, "Good."),
    SCORED("Good.\nScore: 8\xc2\xa0", 8, "Good."),              /* no-break space */
    SCORED("Good.\nScore: 8\xc2\x85", 8, "Good."),              /* next line */
    SCORED("Good.\nScore: 8\xe3\x80\x80", 8, "Good."),          /* ideographic space */
    SCORED("Good.\nScore: 8\xe2\x80\xa8", 8, "Good."),          /* line separator */
    SCORED("Good.\n**Score: 8/10** \n", 8, "Good."),
    UNSCORED("Good.\nScore: 8\xe2\x80\x8b"),                    /* zero-width space: not white */
    UNSCORED("Good.\nScore: 8\xef\xbb\xbf"),                    /* byte order mark: not white */
    UNSCORED("Good.\nScore: 8\xcc\x81"),                        /* a combining accent */
    UNSCORED("Good.\nScore: 8\xff"),                            /* not UTF-8 */
    UNSCORED("Good.\nScore: 8\xc2"),                            /* a character cut short */
    UNSCORED("Good.\nScore: 8\xa0"),                            /* the end of one */

    /* white space in front of the line goes with it */
    SCORED("Good.\n\nScore: 8", 8, "Good."),
    SCORED("Good.\n\n\n\nScore: 8", 8, "Good."),
    SCORED("Good.  \n \t\nScore: 8", 8, "Good."),
    SCORED("Good.\r\n\r\nScore: 8", 8, "Good."),
    SCORED("Good.\xc2\xa0\n\xe3\x80\x80\nScore: 8", 8, "Good."),
    SCORED("  Good.\nScore: 8", 8, "  Good."),                  /* the beginning stays */
    SCORED("\nGood.\n\nBad.\n\nScore: 3", 3, "\nGood.\n\nBad."),
    SCORED("1. Good.\n2. Bad.\n\n**Score: 3/10**", 3, "1. Good.\n2. Bad."),

    /* white space in the line */
    UNSCORED("Good.\n Score: 8"),
    UNSCORED("Good.\n\tScore: 8"),
    UNSCORED("Good.\n\xc2\xa0Score: 8"),
    UNSCORED("Good.\n\xef\xbb\xbfScore: 8"),
    UNSCORED("Good.\n\xe2\x80\x8bScore: 8"),
    UNSCORED("Good.\nScore:8"),
    UNSCORED("Good.\nScore:  8"),
    UNSCORED("Good.\nScore:\t8"),
    UNSCORED("Good.\nScore:\xc2\xa0" "8"),
    UNSCORED("Good.\nScore:\xe2\x80\x89" "8"),                  /* thin space */
    UNSCORED("Good.\nScore:\n8"),
    UNSCORED("Good.\nScore: \n8"),
    UNSCORED("Good.\nScore:\r\n8"),
    UNSCORED("Good.\nScore:\r8"),
    UNSCORED("Good.\nScore : 8"),
    UNSCORED("Good.\nScore\xc2\xa0: 8"),
    UNSCORED("Good.\nS core: 8"),
    UNSCORED("Good.\nScore: 8 /10"),
    UNSCORED("Good.\nScore: 8/ 10"),
    UNSCORED("Good.\nScore: 8 / 10"),
    UNSCORED("Good.\nScore: 1 0"),
    UNSCORED("Good.\nScore: 8/1 0"),

    /* what ends a line: LF alone */
    UNSCORED("Good.\rScore: 8"),
    UNSCORED("Good.\xe2\x80\xa8Score: 8"),
    UNSCORED("Good.\xe2\x80\xa9Score: 8"),
    UNSCORED("Good.\xc2\x85Score: 8"),
    UNSCORED("Good.\vScore: 8"),
    UNSCORED("Good.\fScore: 8"),
    UNSCORED("Good.\\nScore: 8"),
    UNSCORED("Good.<br>Score: 8"),

    /* numbers outside 1..10, or written otherwise */
    UNSCORED("Good.\nScore: 0"),
    UNSCORED("Good.\nScore: 00"),
    UNSCORED("Good.\nScore: 0/10"),
    UNSCORED("Good.\nScore: 11"),
    UNSCORED("Good.\nScore: 12"),
    UNSCORED("Good.\nScore: 20"),
    UNSCORED("Good.\nScore: 99"),
    UNSCORED("Good.\nScore: 100"),
    UNSCORED("Good.\nScore: 101"),
    UNSCORED("Good.\nScore: 1000"),
    UNSCORED("Good.\nScore: 08"),
    UNSCORED("Good.\nScore: 010"),
    UNSCORED("Good.\nScore: 008"),
    UNSCORED("Good.\nScore: +5"),
    UNSCORED("Good.\nScore: -5"),
    UNSCORED("Good.\nScore: -1"),
    UNSCORED("Good.\nScore: \xe2\x88\x92" "5"),                 /* a minus sign */
    UNSCORED("Good.\nScore: 5.0"),
    UNSCORED("Good.\nScore: 7.5"),
    UNSCORED("Good.\nScore: 7,5"),
    UNSCORED("Good.\nScore: .5"),
    UNSCORED("Good.\nScore: 5."),
    UNSCORED("Good.\nScore: 5e0"),
    UNSCORED("Good.\nScore: 1e1"),
    UNSCORED("Good.\nScore: 0x8"),
    UNSCORED("Good.\nScore: 8'"),
    UNSCORED("Good.\nScore: 7 1/2"),
    UNSCORED("Good.\nScore: 7\xc2\xbd"),                        /* a half */
    UNSCORED("Good.\nScore: 7-8"),
    UNSCORED("Good.\nScore: 7\xe2\x80\x93" "8"),
    UNSCORED("Good.\nScore: 7 or 8"),
    UNSCORED("Good.\nScore: 7,8"),
    UNSCORED("Good.\nScore: 8 8"),
    UNSCORED("Good.\nScore: eight"),
    UNSCORED("Good.\nScore: VIII"),
    UNSCORED("Good.\nScore: n"),
    UNSCORED("Good.\nScore: N/A"),
    UNSCORED("Good.\nScore: nan"),
    UNSCORED("Good.\nScore: inf"),
    UNSCORED("Good.\nScore: ?"),
    UNSCORED("Good.\nScore: _"),
    UNSCORED("Good.\nScore: A"),
    UNSCORED("Good.\nScore: 80%"),
    UNSCORED("Good.\nScore: 8%"),
    UNSCORED("Good.\nScore: ~8"),
    UNSCORED("Good.\nScore: 18446744073709551624"),             /* 2^64 + 8 */
    UNSCORED("Good.\nScore: 4294967304"),                       /* 2^32 + 8 */
    UNSCORED("Good.\nScore: 99999999999999999999999999999999999999999999999999999999999999999999999999999999"),
    UNSCORED("Good.\nScore: 00000000000000000000000000000000000000000000000000000000000000000000000000000008"),

    /* digits that are not ASCII */
    UNSCORED("Good.\nScore: \xef\xbc\x98"),                     /* full-width 8 */
    UNSCORED("Good.\nScore: \xef\xbc\x91\xef\xbc\x90"),         /* full-width 10 */
    UNSCORED("Good.\nScore: 1\xef\xbc\x90"),
    UNSCORED("Good.\nScore: \xd9\xa8"),                         /* Arabic-Indic 8 */
    UNSCORED("Good.\nScore: \xdb\xb8"),                         /* extended Arabic-Indic 8 */
    UNSCORED("Good.\nScore: \xe0\xa5\xae"),                     /* Devanagari 8 */
    UNSCORED("Good.\nScore: \xe0\xa7\xae"),                     /* Bengali 8 */
    UNSCORED("Good.\nScore: \xe0\xb9\x98"),                     /* Thai 8 */
    UNSCORED("Good.\nScore: \xe5\x85\xab"),                     /* Chinese 8 */
    UNSCORED("Good.\nScore: \xe2\x91\xa7"),                     /* circled 8 */
    UNSCORED("Good.\nScore: \xe2\x85\xa7"),                     /* Roman numeral 8 */
    UNSCORED("Good.\nScore: \xe2\x81\xb8"),                     /* superscript 8 */
    UNSCORED("Good.\nScore: \xf0\x9d\x9f\x96"),                 /* bold mathematical 8 */
    UNSCORED("Good.\nScore: 8\xef\xb8\x8f\xe2\x83\xa3"),        /* keycap 8 */
    UNSCORED("Good.\nScore: 8\xef\xbc\x8f" "10"),               /* full-width slash */
    UNSCORED("Good.\nScore: 8\xe2\x81\x84" "10"),               /* fraction slash */

    /* the ten */
    UNSCORED("Good.\nScore: 10/100"),
    UNSCORED("Good.\nScore: 8/100"),
    UNSCORED("Good.\nScore: 8/1"),
    UNSCORED("Good.\nScore: 8/"),
    UNSCORED("Good.\nScore: 8/5"),
    UNSCORED("Good.\nScore: 4/5"),
    UNSCORED("Good.\nScore: 8/010"),
    UNSCORED("Good.\nScore: 8/10/10"),
    UNSCORED("Good.\nScore: 8//10"),
    UNSCORED("Good.\nScore: /10"),
    UNSCORED("Good.\nScore: 11/10"),
    UNSCORED("Good.\nScore: 8\\10"),
    UNSCORED("Good.\nScore: 8|10"),
    UNSCORED("Good.\nScore: 8/10."),
    UNSCORED("Good.\nScore: 8/10!"),
    UNSCORED("Good.\nScore: 8/ten"),
    UNSCORED("Good.\nScore: 8 out of 10"),
    UNSCORED("Good.\nScore: 8 of 10"),

    /* the word */
    UNSCORED("Good.\nscore: 8"),
    UNSCORED("Good.\nSCORE: 8"),
    UNSCORED("Good.\nScores: 8"),
    UNSCORED("Good.\nScore 8"),
    UNSCORED("Good.\nScore- 8"),
    UNSCORED("Good.\nScore = 8"),
    UNSCORED("Good.\nScore; 8"),
    UNSCORED("Good.\nScore:: 8"),
    UNSCORED("Good.\nScore\xef\xbc\x9a 8"),                     /* full-width colon */
    UNSCORED("Good.\nScore\xef\xbc\x9a" "8"),
    UNSCORED("Good.\n\xd0\x85" "core: 8"),                      /* a Cyrillic letter that looks like S */
    UNSCORED("Good.\nSc\xd0\xbe" "re: 8"),                      /* and like o */
    UNSCORED("Good.\n\xef\xbc\xb3" "core: 8"),                  /* full-width S */
    UNSCORED("Good.\nFinal Score: 8"),
    UNSCORED("Good.\nThe Score: 8"),
    UNSCORED("Good.\nOverall score: 8"),
    UNSCORED("Good.\nMyScore: 8"),
    UNSCORED("Good.\nRating: 8"),
    UNSCORED("Good.\nNote: 8"),
    UNSCORED("Good.\n8"),
    UNSCORED("Good.\n8/10"),
    UNSCORED("Good.\n: 8"),
    UNSCORED("Good.\nScore"),
    UNSCORED("Good.\nScore:"),
    UNSCORED("Good.\nScore: "),
    UNSCORED("Good.\nScor"),
    UNSCORED("Good.\n\"Score: 8\""),
    UNSCORED("Good.\n(Score: 8)"),
    UNSCORED("Good.\n[Score: 8]"),
    UNSCORED("Good.\n[[8]]"),
    UNSCORED("Good.\n# Score: 8"),
    UNSCORED("Good.\n### Score: 8"),
    UNSCORED("Good.\n> Score: 8"),
    UNSCORED("Good.\n- Score: 8"),
    UNSCORED("Good.\n1. Score: 8"),
    UNSCORED("Good.\n<b>Score: 8</b>"),
    UNSCORED("Good.\n$Score: 8$"),
    UNSCORED("Good.\n{\"Score\": 8}"),

    /* more in the line */
    UNSCORED("Good.\nScore: 8."),
    UNSCORED("Good.\nScore: 8,"),
    UNSCORED("Good.\nScore: 8!"),
    UNSCORED("Good.\nScore: 8?"),
    UNSCORED("Good.\nScore: 8;"),
    UNSCORED("Good.\nScore: 8)"),
    UNSCORED("Good.\nScore: (8)"),
    UNSCORED("Good.\nScore: [8]"),
    UNSCORED("Good.\nScore: \"8\""),
    UNSCORED("Good.\nScore: 8 (good)"),
    UNSCORED("Good.\nScore: 8 - good"),
    UNSCORED("Good.\nScore: 8 points"),
    UNSCORED("Good.\nScore: 8th"),
    UNSCORED("Good.\nScore: 8 Score: 8"),
    UNSCORED("Good.\nScore: Score: 8"),
    UNSCORED("Good. Score: 8"),
    UNSCORED("The response earns Score: 8"),
    UNSCORED("Good.\nScore: 8<|im_end|>"),
    UNSCORED("Good.\nScore: 8\xf0\x9f\x91\x8d"),                /* thumbs up */

    /* a score that is not in the last line */
    UNSCORED("Score: 8\nGood."),
    UNSCORED("Good.\nScore: 8\nThat is all."),
    UNSCORED("Good.\nScore: 8\n."),
    UNSCORED("Good.\nScore: 8\n\nI hope this helps!"),
    UNSCORED("Good.\nScore: 8\n**"),
    UNSCORED("Good.\nScore: 8\n```"),
    UNSCORED("Good.\nScore: 8\n---"),
    UNSCORED("Good.\nScore: 8\nscore: 8"),
    UNSCORED("Good.\nScore: 8\nScore: n"),
    UNSCORED("Good.\nScore: 8\nScore:"),

    /* several: the last one is it, the others stay in the critique */
    SCORED("Score: 3\nGood.\nScore: 8", 8, "Score: 3\nGood."),
    SCORED("Score: 3\nScore: 8", 8, "Score: 3"),
    SCORED("Score: 3\n\nScore: 8\n", 8, "Score: 3"),
    SCORED("Good.\nScore: 11\nScore: 8", 8, "Good.\nScore: 11"),
    SCORED("Good. Score: 3\nScore: 8", 8, "Good. Score: 3"),

    /* little text, or none */
    SCORED("Score: 8", 8, ""),
    SCORED("Score: 10/10", 10, ""),
    SCORED("**Score: 8**", 8, ""),
    SCORED("\nScore: 8", 8, ""),
    SCORED("\n\n \t\nScore: 8\n", 8, ""),
    SCORED("\xc2\xa0\nScore: 8", 8, ""),
    SCORED("x\nScore: 8", 8, "x"),
    SCORED("\xe5\xa5\xbd\nScore: 8", 8, "\xe5\xa5\xbd"),
    SCORED("\xff\nScore: 8", 8, "\xff"),
    UNSCORED(""),
    UNSCORED("\n"),
    UNSCORED(" \n\t\r\n"),
    UNSCORED("\xc2\xa0"),
    UNSCORED("*"),
    UNSCORED("***"),
    UNSCORED("S"),
    UNSCORED("8"),
    UNSCORED("Good."),
    UNSCORED("Good.\n"),
};

static void check(const char *text, size_t n, int score, size_t n_critique)
{
    struct score_line line = score_line_parse(text, n);
    if (line.found != (score > 0) || line.score != score || line.n_text_bytes != n_critique)
        fail_msg("'%.*s': score %d with %zu bytes of critique, expected %d with %zu", (int)n, text, line.score, line.n_text_bytes, score, n_critique);
}

/* Each in a block of just its size, so that a read beyond it is seen by ASan. */
static void written_out_endings_are_scored_or_not(void **state)
{
    (void)state;
    size_t n_endings = sizeof endings / sizeof *endings;
    assert_true(n_endings >= 200);
    for (size_t i = 0; i < n_endings; i++) {
        const struct ending *e = &endings[i];
        size_t n = strlen(e->text), n_critique = strlen(e->critique);
        char *copy = malloc(n);
        assert_true(copy || n == 0);
        if (n > 0)
            memcpy(copy, e->text, n);
        assert_memory_equal(e->text, e->critique, n_critique);
        check(copy, n, e->score, n_critique);
        free(copy);
    }
}

static void no_two_endings_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(endings[i].text, endings[k].text) == 0)
                fail_msg("'%s' stands twice in the table", endings[i].text);
}

static void a_zero_byte_is_a_byte_like_others(void **state)
{
    (void)state;
    check("Good.\nScore: 8\0", 15, 0, 15);
    check("Good.\nScore: \08", 15, 0, 15);
    check("Good.\n\0Score: 8", 15, 0, 15);
    check("Go\0d.\nScore: 8", 14, 8, 5);
    check("Good.\nScore: 8/10", 14, 8, 5);          /* the bytes end before the slash */
    assert_false(score_line_parse(NULL, 0).found);
}

/* Every line of the grammar, made from its rules, and each of them with one byte changed, added or left out: scored only where it is a line of the grammar again. */
enum { MAX_LINES = 300, LINE_BYTES = 40 };
struct lines_made { int n; char text[MAX_LINES][LINE_BYTES]; int score[MAX_LINES]; };

static void add_line(struct lines_made *m, int score, const char *open, const char *label, const char *value, const char *close)
{
    assert_true(m->n < MAX_LINES);
    snprintf(m->text[m->n], LINE_BYTES, "%s%s %s%s", open, label, value, close);
    m->score[m->n++] = score;
}

static void add_values(struct lines_made *m, int score, const char *label)
{
    static const char *const star[] = {"", "*", "**", "***"};
    char value[24];
    for (int s = 0; s < 4; s++) {
        snprintf(value, sizeof value, "%s%d%s", star[s], score, star[s]);
        add_line(m, score, "", label, value, "");
        add_line(m, score, "", label, value, "/10");
        if (s > 0) {
            snprintf(value, sizeof value, "%s%d/10%s", star[s], score, star[s]);
            add_line(m, score, "", label, value, "");
        }
    }
}

static void make_lines(struct lines_made *m)
{
    static const char *const label[] = {"Score:", "*Score*:", "**Score**:", "***Score***:", "*Score:*", "**Score:**", "***Score:***"};
    static const char *const star[] = {"*", "**", "***"};
    char value[24];
    for (int i = 0; i < 3; i++) {
        int score = (int[]){1, 8, 10}[i];
        for (int l = 0; l < 7; l++)
            add_values(m, score, label[l]);
        for (int s = 0; s < 3; s++) {
            snprintf(value, sizeof value, "%d", score);
            add_line(m, score, star[s], "Score:", value, star[s]);
            snprintf(value, sizeof value, "%d%s/10", score, star[s]);
            add_line(m, score, star[s], "Score:", value, "");
            snprintf(value, sizeof value, "%d/10", score);
            add_line(m, score, star[s], "Score:", value, star[s]);
        }
    }
}

static int score_of(const struct lines_made *m, const char *line)
{
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->text[i], line) == 0)
            return m->score[i];
    return 0;
}

static void expect_line(const struct lines_made *m, const char *line)
{
    char text[LINE_BYTES + 16];
    int wanted = score_of(m, line), n = snprintf(text, sizeof text, "Good.\n%s", line);
    if (text[n - 1] == ' ')         /* white space at the end is no part of it */
        return;
    check(text, (size_t)n, wanted, wanted ? 5 : (size_t)n);
}

static void a_line_of_the_grammar_is_scored_and_its_neighbours_are_not(void **state)
{
    (void)state;
    static const char other[] = {'*', '0', '1', '8', '/', ' ', 'S', ':', '.', 'x', '-', '_'};
    struct lines_made *m = calloc(1, sizeof *m);
    assert_non_null(m);
    make_lines(m);
    assert_int_equal(m->n, 3 * (7 * 11 + 9));
    for (int i = 0; i < m->n; i++) {
        char line[LINE_BYTES];
        int n = (int)strlen(m->text[i]);
        expect_line(m, m->text[i]);
        for (int at = 0; at < n; at++) {
            snprintf(line, sizeof line, "%.*s%s", at, m->text[i], m->text[i] + at + 1);
            expect_line(m, line);
            for (size_t o = 0; o < sizeof other; o++) {
                snprintf(line, sizeof line, "%.*s%c%s", at, m->text[i], other[o], m->text[i] + at + 1);
                expect_line(m, line);
                snprintf(line, sizeof line, "%.*s%c%s", at, m->text[i], other[o], m->text[i] + at);
                expect_line(m, line);
            }
        }
    }
    free(m);
}

static void a_critique_is_trimmed_at_both_ends(void **state)
{
    (void)state;
    static const char text[] = " \n\xc2\xa0Good, but\nshort. \t\nScore: 4\n", unscored[] = "\r\n Good. \n", only[] = " \nScore: 4", mixed[] = "\xff Good. \xc2";
    struct text critique = score_line_critique(text, score_line_parse(text, sizeof text - 1));
    assert_ptr_equal(critique.bytes, text + 4);
    assert_int_equal(critique.n_bytes, 16);
    assert_memory_equal(critique.bytes, "Good, but\nshort.", 16);
    critique = score_line_critique(unscored, score_line_parse(unscored, sizeof unscored - 1));
    assert_int_equal(critique.n_bytes, 5);
    assert_memory_equal(critique.bytes, "Good.", 5);
    assert_int_equal(score_line_critique(only, score_line_parse(only, sizeof only - 1)).n_bytes, 0);
    assert_int_equal(score_line_critique(mixed, score_line_parse(mixed, sizeof mixed - 1)).n_bytes, sizeof mixed - 1);
}

static void expect_repaired(const char *bytes, size_t n, const char *wanted)
{
    char *text;
    size_t n_text;
    assert_int_equal(text_repair(bytes, n, &text, &n_text), OK);
    assert_int_equal(n_text, strlen(wanted));
    assert_string_equal(text, wanted);
    assert_true(utf8_valid(text, n_text));
    free(text);
}

static void what_is_not_text_becomes_replacement_characters(void **state)
{
    (void)state;
    expect_repaired("Good \xe5\xa5\xbd \xf0\x9f\x91\x8d", 13, "Good \xe5\xa5\xbd \xf0\x9f\x91\x8d");
    expect_repaired("a\xff" "b", 3, "a\xef\xbf\xbd" "b");
    expect_repaired("a\0b", 3, "a\xef\xbf\xbd" "b");
    expect_repaired("a\xe5\xa5", 3, "a\xef\xbf\xbd\xef\xbf\xbd");          /* cut short */
    expect_repaired("\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd");            /* overlong */
    expect_repaired("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");        /* a surrogate */
    expect_repaired("\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");        /* above U+10FFFF */
    expect_repaired("", 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_out_endings_are_scored_or_not),
        cmocka_unit_test(no_two_endings_are_the_same),
        cmocka_unit_test(a_zero_byte_is_a_byte_like_others),
        cmocka_unit_test(a_line_of_the_grammar_is_scored_and_its_neighbours_are_not),
        cmocka_unit_test(a_critique_is_trimmed_at_both_ends),
        cmocka_unit_test(what_is_not_text_becomes_replacement_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
