/* import_candidates: JSON lines of pairs to a set of candidates. Nothing is filtered here: that is refine's work. */
#ifndef DATASET_IMPORT_CANDIDATES_H
#define DATASET_IMPORT_CANDIDATES_H

#include "dataset/candidates.h"

struct import_candidates_counts {
    int64_t records, kept, diverging;           /* pairs; without a common prompt: left out */
    int64_t candidates, scored, cut, empty;     /* kept; with a score, cut by the token limit, without text */
    int64_t unanswered, failed;                 /* responses without any answer; calls and choices that failed */
};

/* answers NULL: the critiques that stand in the lines (pairs.h). One with "raw" is kept as it is: text, judge_score (NAN where none is given), finish. One of text alone was written
 * elsewhere: its text is raw, the score is read from its last line (score_line.h) unless judge_score is given, and the line is cut off unless generate.keep_score_text. Qualities are
 * not kept: refine makes them.
 * answers: a file of answers (answers.h) to the prompts of this file; critiques in the lines are not looked at. The first responses without an answer are named in the log.
 * FAILED, with file and line, for what cannot be read; when no candidate is there; when the folder holds a complete set. */
int import_candidates(const struct config *config, const char *path, const char *answers, const char *folder, struct import_candidates_counts *counts);

#endif
