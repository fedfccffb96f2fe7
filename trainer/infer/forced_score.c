/* forced_score: see forced_score.h. */
#include "trainer/infer/forced_score.h"

#include <stdio.h>
#include <string.h>

#include "dataset/score_line.h"

int forced_score_make(const struct tokenizer *t, struct forced_line *out)
{
    char text[8];
    static const char label[] = "\n" SCORE_LINE_LABEL;
    size_t n_label = strlen(label);
    *out = (struct forced_line){.n_choices = SCORE_MOST};
    while (n_label > 0 && label[n_label - 1] == ' ')        /* byte-level vocabularies put a space to the word that follows */
        n_label--;
    TRY(tokenizer_encode(t, label, n_label, TOKENIZER_CONTINUE, &out->begin));
    for (int i = 0; i < SCORE_MOST; i++) {
        int n = snprintf(text, sizeof text, " %d", i + SCORE_LEAST);
        TRY(tokenizer_encode(t, text, (size_t)n, TOKENIZER_CONTINUE, &out->choice[i]));
    }
    return OK;
}

void forced_score_free(struct forced_line *f)
{
    token_list_free(&f->begin);
    for (int i = 0; i < f->n_choices; i++)
        token_list_free(&f->choice[i]);
}

bool has_score_line(const char *text, size_t n_bytes) { return score_line_parse(text, n_bytes).found; }
