/* refine: from candidates to the critiques of D_sub (method.md, section 2, steps 2 to 4). Only the choices: functions of candidates and scores, without files and without
 * a model. A command calls them around its generation, for each record:
 *
 *   refine_filter          is the pair kept?
 *   refine_usable          of each side: which candidates may be chosen, in sampling order
 *     rank                 the model grades each of them; refine_keep takes the K best
 *     summarise            K times: refine_permutation's order, encode_summarise (encode.h) shows as many as have room, the model writes. What it wrote is made into
 *                          candidates as the judge's texts are, its judge_score NAN; refine_summaries says which are kept
 *     none                 refine_keep takes the first K
 *   refine_list            the side's critiques as a record of D_sub has them
 *   refine_settle          the pair is written, or a side has nothing left
 *
 * A list is numbers of candidates. A score is what lies in 1..10; NAN and anything else is none.
 */
#ifndef DATASET_REFINE_H
#define DATASET_REFINE_H

#include "dataset/candidates.h"
#include "dataset/shard.h"

/* What became of a pair in the filter. CONTRADICTS: the rejected response has the higher mean. */
enum pair_verdict { PAIR_KEPT, PAIR_EQUAL_RESPONSES, PAIR_TOO_FEW_SCORES, PAIR_TIE, PAIR_CONTRADICTS, N_PAIR_VERDICTS };
/* What became of a critique: the first of those after USABLE that holds. REPEATED: it has the tokens of an earlier one of its side, whatever became of that. */
enum critique_state { CRITIQUE_USABLE, CRITIQUE_EMPTY, CRITIQUE_REPEATED, CRITIQUE_CUT, CRITIQUE_UNSCORED, CRITIQUE_TOO_LONG, N_CRITIQUE_STATES };

/* For the report: int64_t alone, so that it can be reduced as an array. */
struct refine_counts {
    int64_t pair[N_PAIR_VERDICTS];              /* records by verdict */
    int64_t empty_sides, written;               /* pairs that the filter kept: a side without critiques; in D_sub */
    int64_t critique[N_CRITIQUE_STATES];        /* candidates of pairs that the filter kept */
    int64_t ungraded;                           /* rank: usable ones without a quality */
    int64_t not_shown;                          /* summarise: usable ones that had no room, over all calls */
    int64_t summary[N_CRITIQUE_STATES];
    int64_t critiques_written;
};
void refine_counts_add(struct refine_counts *to, const struct refine_counts *from);
/* "kept", "equal responses", ...; "usable", "empty", ... */
const char *pair_verdict_name(enum pair_verdict verdict);
const char *critique_state_name(enum critique_state state);

/* ---- the filter ------------------------------------------------------------------------------------------------------------------------------ */

struct pair_filtered { enum pair_verdict verdict; int32_t n_scored[2]; double mean[2]; };      /* mean: of the scored candidates, NAN without any */
/* Kept when the chosen response has the higher mean, compared without rounding. Each side needs a score, and scores for at least min_scored of N; N is the number of
 * candidates of the side that has more, so that a side whose response left no room for any has too few. */
struct pair_filtered refine_filter(const struct candidate_record *record, double min_scored);
/* Scores for at least min_scored of n candidates, and at least one. */
bool refine_enough(int32_t n_scored, int32_t n, double min_scored);

/* ---- the critiques of a side ----------------------------------------------------------------------------------------------------------------- */

/* Most tokens, end of turn included, that a critique of this side may have: max_path_tokens less x, y, the critique instruction's n_lead_in and the reward token. Below 1: none. */
int64_t refine_room(const struct candidate_record *record, int side, int32_t n_lead_in, int64_t max_path_tokens);
/* list [n] receives the usable ones in sampling order; how many they are is returned. Adds to state. */
int32_t refine_usable(const struct candidate *candidate, int32_t n, int64_t room, int32_t *list, int64_t state[N_CRITIQUE_STATES]);
/* The same for what the model made of them: scores are not asked for. */
int32_t refine_summaries(const struct candidate *summary, int32_t n, int64_t room, int32_t *list, int64_t state[N_CRITIQUE_STATES]);

/* The list becomes the K best: by quality [candidates], equal ones in their order, those without one last. quality NULL: the first K. Returns how many are left. */
int32_t refine_keep(int32_t *list, int32_t n, const float *quality, int32_t k);
/* How many of the list have no quality. */
int32_t refine_ungraded(const int32_t *list, int32_t n, const float *quality);

/* The k-th random order of a list of n, in place. Philox, purpose permutation, index k, draw i for the i-th element (Fisher-Yates from the end); id = XXH3-64 of the
 * response's tokens, seeded with that of the prompt's: the call's own prompt holds the critiques in this order, so that it is not known yet. */
void refine_permutation(uint64_t seed, const struct candidate_record *record, int side, uint32_t k, int32_t *list, int32_t n);

/* out [n]; tokens are borrowed from the candidates. quality [candidates], or NULL: none. */
void refine_list(const struct candidate *candidate, const int32_t *list, int32_t n, const float *quality, struct shard_critique *out);
/* True when both sides have critiques: the pair is to be written. Adds to counts. */
bool refine_settle(const int32_t n[2], struct refine_counts *counts);

#endif
