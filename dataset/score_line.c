/* score_line: see score_line.h. The stars at each place are counted while the line is read; afterwards they must be pairs. */
#include "dataset/score_line.h"

#include <string.h>

/* Runs of stars: before and behind "Score", behind the colon, before and behind n, behind "/10". */
struct stars { size_t open_label, word, colon, open_value, number, over_ten; };

static size_t take_stars(struct text *at)
{
    size_t n = 0;
    while (n < at->n_bytes && at->bytes[n] == '*')
        n++;
    *at = (struct text){at->bytes + n, at->n_bytes - n};
    return n;
}

static bool take(struct text *at, const char *word)
{
    size_t n = strlen(word);
    if (at->n_bytes < n || memcmp(at->bytes, word, n) != 0)
        return false;
    *at = (struct text){at->bytes + n, at->n_bytes - n};
    return true;
}

static int take_number(struct text *at)
{
    if (take(at, "10"))
        return 10;
    if (at->n_bytes == 0 || at->bytes[0] < '1' || at->bytes[0] > '9')
        return 0;
    *at = (struct text){at->bytes + 1, at->n_bytes - 1};
    return at->bytes[-1] - '0';
}

static bool are_pairs(const struct stars *s)
{
    if ((s->word > 0 && s->colon > 0) || (s->number > 0 && s->over_ten > 0) || s->open_label > 3 || s->open_value > 3)
        return false;
    size_t label = s->word + s->colon, value = s->number + s->over_ten;
    bool around_all = s->open_label > 0 && label == 0;
    return around_all ? s->open_value == 0 && value == s->open_label : label == s->open_label && value == s->open_value;
}

/* The score of a line, 0 when it is none. */
static int parse_line(struct text at)
{
    struct stars s = {.open_label = take_stars(&at)};
    if (!take(&at, "Score"))
        return 0;
    s.word = take_stars(&at);
    if (!take(&at, ":"))
        return 0;
    s.colon = take_stars(&at);
    if (!take(&at, " "))
        return 0;
    s.open_value = take_stars(&at);
    int score = take_number(&at);
    s.number = take_stars(&at);
    if (take(&at, "/10"))
        s.over_ten = take_stars(&at);
    return at.n_bytes == 0 && are_pairs(&s) ? score : 0;
}

struct score_line score_line_parse(const char *text, size_t n_bytes)
{
    struct text whole = text_trim_end((struct text){text, n_bytes});
    const char *end_of_line = whole.n_bytes > 0 ? memrchr(text, '\n', whole.n_bytes) : NULL;
    size_t begin = end_of_line ? (size_t)(end_of_line - text) + 1 : 0;
    int score = whole.n_bytes > 0 ? parse_line((struct text){text + begin, whole.n_bytes - begin}) : 0;
    if (score == 0)
        return (struct score_line){false, 0, n_bytes};
    return (struct score_line){true, score, text_trim_end((struct text){text, begin}).n_bytes};
}

struct text score_line_critique(const char *text, struct score_line line) { return text_trim((struct text){text, line.n_text_bytes}); }
