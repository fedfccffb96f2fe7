/* preference: which two of the responses to a prompt make a preference pair, by a judge's scores of them (`sample`). */
#ifndef DATASET_PREFERENCE_H
#define DATASET_PREFERENCE_H

#include <stdbool.h>
#include <stdint.h>

/* The scores of one response: whole numbers. n: candidates that could have had one. */
struct judge_scores { int64_t sum; int32_t n_scored, n; };

/* chosen has the highest mean, rejected the lowest, of equal means the first response each; only responses with enough scores count (refine_enough). Means are compared without rounding.
 * False, and nothing is set, where the two means do not differ by more than margin. */
bool preference_find(const struct judge_scores *response, int n_responses, double min_scored, double margin, int *chosen, int *rejected);

#endif
