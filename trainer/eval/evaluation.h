/* evaluation: scores of a benchmark's responses to its table, with the arithmetic of method.md, section 6. Where the scores come from is not its business. */
#ifndef TRAINER_EVAL_EVALUATION_H
#define TRAINER_EVAL_EVALUATION_H

#include "trainer/eval/benchmark.h"
#include "trainer/eval/criticbench.h"
#include "trainer/eval/table.h"

struct evaluation {
    const struct benchmark *benchmark;
    const double *score;                        /* [n_responses]; NAN: none. Not read for CriticBench */
    const struct criticbench_reply *reply;      /* [n_items]; CriticBench only */
    bool judge;         /* the scores are a plain judge's: a tied or unparsed pair counts 0.5, an unparsed prompt of RewardBench 2 one in the number of its responses
                           (but Ties, whose formula has no such rule) */
};

/* A comparison with a response that has no score counts as lost (judge: as above). */
struct evaluation_result {
    double *outcome;            /* [n_items]: 1 won, 0 lost, parts of it where the rules divide. RM-Bench: mean of the nine. Ties: min(right) > max(wrong).
                                   CriticBench: 1 when the verdict is right */
    int64_t n_unscored;         /* responses */
    int64_t n_comparisons, n_missing;           /* of these, with a response that has no score */
    struct table table;
};

/* What result files say of the scores' origin; model_type and chat_template are RewardBench's words, chat_template NULL: none. */
struct evaluation_labels { const char *model, *model_type, *chat_template; };

/* The table borrows names from the benchmark. */
int evaluation_run(const struct evaluation *e, struct evaluation_result *out);
void evaluation_free(struct evaluation_result *result);

/* table.txt, items.jsonl and, last of all files, table.json into the folder, which is made; each takes the place of an earlier one at once. A line of items.jsonl is {"id", "group",
 * "scores", "outcome"}, RM-Bench also "wins" [3][3], CriticBench {"id", "group", "verdict", "answer", "outcome", "corrected"}: scores_read takes it back. RewardBench also:
 *   eval-set.json          one object of subset: accuracy and model, model_type, chat_template, as its script writes eval-set/MODEL.json
 *   eval-set-scores.json   columns id, subset, text_chosen, text_rejected, results, scores_chosen, scores_rejected and the same three names, as eval-set-scores/MODEL.json;
 *                          the texts are the responses alone, not rendered with a chat template; a missing score is null */
int evaluation_write(const struct evaluation *e, const struct evaluation_result *result, const struct evaluation_labels *labels, const char *folder);

#endif
