/* scores: JSON lines of existing scores, one line an item, in any order, plain or gzip:
 *   {"id", "scores": [..]}               per response in the item's order: chosen..., rejected...; A, B; null where there is none
 *   {"id", "verdict", "answer"}          CriticBench: text with [[correct]] or [[wrong]], null: none; the corrected answer (string, number, null or absent)
 * An id that several items have is told apart by "group" (the item's subset, domain or source). Other members are passed over. */
#ifndef TRAINER_EVAL_SCORES_H
#define TRAINER_EVAL_SCORES_H

#include "trainer/eval/benchmark.h"
#include "trainer/eval/criticbench.h"

struct scores {
    double *score;                          /* [n_responses], NAN: none; NULL for CriticBench */
    struct criticbench_reply *reply;        /* [n_items]; NULL for the others */
    json_t *pool;                           /* owns the answers */
};

/* Room for all, nothing in it. Free it also after a failure. */
int scores_alloc(const struct benchmark *benchmark, struct scores *out);
/* FAILED, with file and line, for what is not as above, an unknown, ambiguous or repeated item, a wrong number of scores; and, with how many, when an item has no line. */
int scores_read(const struct benchmark *benchmark, const char *path, struct scores *out);
void scores_free(struct scores *scores);

/* n scores as a list; one that is not finite is none: null. New reference. */
json_t *scores_json(const double *score, int n);

#endif
