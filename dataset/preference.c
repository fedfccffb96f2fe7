/* preference: see preference.h. */
#include "dataset/preference.h"

#include "dataset/refine.h"

/* mean(a) - mean(b), times both numbers of scores */
static int64_t difference(const struct judge_scores *a, const struct judge_scores *b) { return a->sum * b->n_scored - b->sum * a->n_scored; }

bool preference_find(const struct judge_scores *r, int n_responses, double min_scored, double margin, int *chosen, int *rejected)
{
    int best = -1, worst = -1;
    for (int i = 0; i < n_responses; i++) {
        if (!refine_enough(r[i].n_scored, r[i].n, min_scored))
            continue;
        best = best < 0 || difference(&r[i], &r[best]) > 0 ? i : best;
        worst = worst < 0 || difference(&r[i], &r[worst]) < 0 ? i : worst;
    }
    if (best < 0 || (double)difference(&r[best], &r[worst]) <= margin * r[best].n_scored * r[worst].n_scored)
        return false;
    *chosen = best;
    *rejected = worst;
    return true;
}
