/* refine: see refine.h. */
#include "dataset/refine.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/philox.h"
#include "dataset/score_line.h"

static bool same_tokens(struct tokens a, struct tokens b) { return a.n == b.n && (a.n == 0 || memcmp(a.token, b.token, (size_t)a.n * sizeof *a.token) == 0); }
static bool is_score(float s) { return s >= (float)SCORE_LEAST && s <= (float)SCORE_MOST; }

/* ---- counts ---------------------------------------------------------------------------------------------------------------------------------- */

_Static_assert(sizeof(struct refine_counts) == (5 + N_PAIR_VERDICTS + 2 * N_CRITIQUE_STATES) * sizeof(int64_t), "refine_counts is an array of int64_t");

void refine_counts_add(struct refine_counts *to, const struct refine_counts *from)
{
    for (size_t i = 0; i < sizeof *to / sizeof(int64_t); i++)
        ((int64_t *)to)[i] += ((const int64_t *)from)[i];
}

const char *pair_verdict_name(enum pair_verdict verdict)
{
    static const char *const name[N_PAIR_VERDICTS] = {"kept", "equal responses", "too few scores", "tie", "contradicts"};
    return name[verdict];
}

const char *critique_state_name(enum critique_state state)
{
    static const char *const name[N_CRITIQUE_STATES] = {"usable", "empty", "repeated", "cut", "unscored", "too long"};
    return name[state];
}

/* ---- the filter ------------------------------------------------------------------------------------------------------------------------------ */

/* A float32 in 1..10 is a whole number of 2^-23: sums of them are exact in integers. */
static const double UNITS = 0x1p23;

static int64_t sum_scores(const struct candidate *candidate, int32_t n, int32_t *n_scored)
{
    int64_t sum = 0;
    *n_scored = 0;
    for (int32_t i = 0; i < n; i++)
        if (is_score(candidate[i].judge_score)) {
            sum += (int64_t)(candidate[i].judge_score * UNITS);
            ++*n_scored;
        }
    return sum;
}

bool refine_enough(int32_t n_scored, int32_t n, double min_scored) { return n_scored > 0 && (double)n_scored / n >= min_scored; }

struct pair_filtered refine_filter(const struct candidate_record *r, double min_scored)
{
    struct pair_filtered f = {.verdict = PAIR_KEPT};
    int64_t sum[2];
    int32_t n = r->n_candidates[0] > r->n_candidates[1] ? r->n_candidates[0] : r->n_candidates[1];
    for (int side = 0; side < 2; side++) {
        sum[side] = sum_scores(r->candidate[side], r->n_candidates[side], &f.n_scored[side]);
        f.mean[side] = f.n_scored[side] > 0 ? (double)sum[side] / UNITS / f.n_scored[side] : NAN;
    }
    __int128 chosen = (__int128)sum[0] * f.n_scored[1], rejected = (__int128)sum[1] * f.n_scored[0];
    if (same_tokens(r->response[0], r->response[1]))
        f.verdict = PAIR_EQUAL_RESPONSES;
    else if (!refine_enough(f.n_scored[0], n, min_scored) || !refine_enough(f.n_scored[1], n, min_scored))
        f.verdict = PAIR_TOO_FEW_SCORES;
    else if (chosen <= rejected)
        f.verdict = chosen == rejected ? PAIR_TIE : PAIR_CONTRADICTS;
    return f;
}

/* ---- the critiques of a side ----------------------------------------------------------------------------------------------------------------- */

int64_t refine_room(const struct candidate_record *r, int side, int32_t n_lead_in, int64_t max_path_tokens)
{
    return max_path_tokens - r->prompt.n - r->response[side].n - n_lead_in - 1;
}

static bool is_repeated(const struct candidate *candidate, int32_t i)
{
    for (int32_t k = 0; k < i; k++)
        if (same_tokens(candidate[k].text, candidate[i].text))
            return true;
    return false;
}

/* An end of turn alone is no critique either. */
static enum critique_state state_of(const struct candidate *candidate, int32_t i, int64_t room, bool needs_score)
{
    const struct candidate *c = &candidate[i];
    if (c->text.n <= 1)
        return CRITIQUE_EMPTY;
    if (is_repeated(candidate, i))
        return CRITIQUE_REPEATED;
    if (c->finish == FINISH_LIMIT)
        return CRITIQUE_CUT;
    if (needs_score && !is_score(c->judge_score))
        return CRITIQUE_UNSCORED;
    return c->text.n > room ? CRITIQUE_TOO_LONG : CRITIQUE_USABLE;
}

static int32_t select_usable(const struct candidate *candidate, int32_t n, int64_t room, bool needs_score, int32_t *list, int64_t *count)
{
    int32_t n_usable = 0;
    for (int32_t i = 0; i < n; i++) {
        enum critique_state state = state_of(candidate, i, room, needs_score);
        count[state]++;
        if (state == CRITIQUE_USABLE)
            list[n_usable++] = i;
    }
    return n_usable;
}

int32_t refine_usable(const struct candidate *candidate, int32_t n, int64_t room, int32_t *list, int64_t state[N_CRITIQUE_STATES])
{
    return select_usable(candidate, n, room, true, list, state);
}

int32_t refine_summaries(const struct candidate *summary, int32_t n, int64_t room, int32_t *list, int64_t state[N_CRITIQUE_STATES])
{
    return select_usable(summary, n, room, false, list, state);
}

/* ---- choosing -------------------------------------------------------------------------------------------------------------------------------- */

/* Insertion sort: it moves only what is strictly better. */
static void sort_by_quality(int32_t *list, int32_t n, const float *quality)
{
    for (int32_t i = 1; i < n; i++) {
        int32_t one = list[i], at = i;
        float q = is_score(quality[one]) ? quality[one] : 0;
        for (; at > 0 && q > (is_score(quality[list[at - 1]]) ? quality[list[at - 1]] : 0); at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

int32_t refine_keep(int32_t *list, int32_t n, const float *quality, int32_t k)
{
    if (quality)
        sort_by_quality(list, n, quality);
    return n < k ? n : k;
}

int32_t refine_ungraded(const int32_t *list, int32_t n, const float *quality)
{
    int32_t n_ungraded = 0;
    for (int32_t i = 0; i < n; i++)
        n_ungraded += !is_score(quality[list[i]]);
    return n_ungraded;
}

void refine_permutation(uint64_t seed, const struct candidate_record *r, int side, uint32_t k, int32_t *list, int32_t n)
{
    uint64_t prompt = hash_bytes(r->prompt.token, (size_t)r->prompt.n * sizeof *r->prompt.token, 0);
    uint64_t id = hash_bytes(r->response[side].token, (size_t)r->response[side].n * sizeof *r->response[side].token, prompt);
    struct philox p = philox_make(seed, PHILOX_PERMUTATION, k, id);
    for (int32_t i = n; i > 1; i--) {
        uint64_t j = philox_below(&p, (uint32_t)i, (uint64_t)i);
        int32_t t = list[i - 1];
        list[i - 1] = list[j];
        list[j] = t;
    }
}

void refine_list(const struct candidate *candidate, const int32_t *list, int32_t n, const float *quality, struct shard_critique *out)
{
    for (int32_t i = 0; i < n; i++) {
        const struct candidate *c = &candidate[list[i]];
        out[i] = (struct shard_critique){c->text, c->judge_score, quality ? quality[list[i]] : NAN};
    }
}

bool refine_settle(const int32_t n[2], struct refine_counts *counts)
{
    bool both = n[0] > 0 && n[1] > 0;
    counts->empty_sides += !both;
    counts->written += both;
    counts->critiques_written += both ? n[0] + n[1] : 0;
    return both;
}
