/* judged: a record of preferences before the judge: N scored critiques of both its responses, as candidates (dataset/candidates.h) has them. */
#ifndef TRAINER_INFER_JUDGED_H
#define TRAINER_INFER_JUDGED_H

#include "dataset/pairs.h"
#include "trainer/infer/judge.h"

/* Why a record has no candidates. REFUSED: it cannot be rendered, for instance since its prompt does not end with a user's message. */
enum judge_skip { JUDGE_ASKED, JUDGE_EQUAL, JUDGE_DIVERGES, JUDGE_NO_ROOM, JUDGE_REFUSED };

/* Owned memory. record is complete when n_left is 0. */
struct judged {
    struct candidate_record record;
    enum judge_skip skip;
    int n_left;                             /* responses whose candidates are to come */
    char *id, *subset, *why;                /* why: a sentence, where the record is refused */
    struct token_list prompt, response[2];
    struct judging side[2];
    int (*done)(void *owner, struct judged *judged);
    void *owner;
};

/* Encodes the record and submits its calls; USAGE where the cache could never hold one. done is called, perhaps at once, when all candidates are there. It may free the record. */
int judged_submit(const struct judge *judge, const struct pair_record *record, int (*done)(void *owner, struct judged *judged), void *owner, struct judged **out);
void judged_free(struct judged **judged);

#endif
