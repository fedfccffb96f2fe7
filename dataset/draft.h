/* draft: a record of candidates being put together by import: a pair's prompt and responses as nodes, then what was written about them. One record at a time. */
#ifndef DATASET_DRAFT_H
#define DATASET_DRAFT_H

#include "dataset/candidates.h"
#include "dataset/pairs.h"
#include "dataset/text.h"

/* A candidate as text. text: the critique itself, already without score line. judge_score: NAN where there is none. */
struct written { struct text raw, text; float judge_score; enum finish finish; };

/* What a judge wrote, read strictly (score_line.h): the score of its last line, and the critique in front of it, trimmed; with the line where keep_score_text. Borrows from raw, which is
 * UTF-8 (text_repair). */
struct written written_parse(struct text raw, enum finish finish, bool keep_score_text);

struct draft {
    const struct encoder *encoder;
    struct token_list prompt, response[2];      /* after draft_begin: what candidates are written about */
    /* the draft's own: */
    const struct pair_record *pair;
    struct draft_side { struct candidate *candidate; int32_t n, max; struct token_list text; char *raw; size_t n_raw, max_raw; } side[2];
    struct candidate_record record;
};

/* Start from zeros with the encoder set; draft_close frees. */
void draft_close(struct draft *draft);
/* A new record without candidates. The pair is borrowed until draft_finish. FAILED, without the record's place, for a conversation, a pair without a common prompt, or what cannot be
 * encoded. */
int draft_begin(struct draft *draft, const struct pair_record *pair);
/* The next candidate of a response; copies. An empty text has no tokens. */
int draft_add(struct draft *draft, int side, const struct written *written);
/* The record so far; valid until the next draft_begin, draft_add or draft_close. */
const struct candidate_record *draft_finish(struct draft *draft);

#endif
