/* candidates: the critiques that a model wrote of every response, before filter and refinement (method.md, section 2, step 1).
 *
 * A record is a preference pair; its prompt and responses are nodes without any instruction (a response ends with its end of turn), since judge, rank, summarise and
 * critique instructions all follow the same response. */
#ifndef DATASET_CANDIDATES_H
#define DATASET_CANDIDATES_H

#include "dataset/tree.h"

enum finish { FINISH_STOP, FINISH_LIMIT };

struct candidate {
    struct tokens text;         /* the critique without its score line, trimmed, encoded anew, with its end of turn: a node as encode_critique makes it; n 0: nothing is left */
    const char *raw;            /* what the model wrote */
    size_t n_raw_bytes;
    float judge_score;          /* 1..10; NAN: unscored */
    enum finish finish;         /* LIMIT: cut by the token limit */
};

struct candidate_record {
    const char *id, *subset;
    uint64_t source;            /* number of the input record */
    struct tokens prompt, response[2];
    int32_t n_candidates[2];
    const struct candidate *candidate[2];
};

#endif
