/* plan: the step plan. Before a step every rank builds the same plan from lengths alone, in integers: its pairs, comparisons, normalisers, and which data rank and
 * micro-batch each tree goes to (design: trees whole where they fit the budget, else split between critiques with the prefix repeated).
 *
 *   step t of epoch e = t / T visits pairs [ (t mod T) n, min(P, (t mod T + 1) n) ) of the permutation (seed, e, P), never depending on the mesh.
 *   An entry of the plan is a part: one pair with some of its critiques. Both ends of a comparison are in one part.
 *   Parts go to the data rank with the least counted operations so far, largest first, ties by pair and part; then into micro-batches of at most
 *   micro_batch_tokens rows, first fit. All ranks have the same number of micro-batches: the maximum; the rest are empty.
 */
#ifndef DATASET_PLAN_H
#define DATASET_PLAN_H

#include "base/config.h"
#include "dataset/tree.h"

/* Lengths of a set of pairs, numbered in the order of their source records. */
struct plan_set {
    int64_t n_pairs;
    const uint64_t *source;             /* [n_pairs] rising */
    const int32_t *n_prompt;            /* [n_pairs] */
    const int32_t *n_response;          /* [2 n_pairs] 2p chosen, 2p+1 rejected; as stored, with lead_in where there is one */
    const int64_t *first_critique;      /* [2 n_pairs + 1] */
    const int32_t *n_critique;          /* [first_critique[2 n_pairs]] tokens */
};

struct plan_options {
    const char *set_name;               /* for sentences: the folder or file of the set */
    uint64_t seed;
    int mode, pairing, critique_norm;   /* config.h */
    int64_t pairs_per_step, epochs, micro_batch_tokens, max_path_tokens;
    int data_size, row_multiple;        /* data axis; tensor axis */
    int32_t lead_in;                    /* tokens to leave off the responses: > 0 in reward-only of a set that has them */
    bool share_prefix;
    int64_t vocabulary;                 /* a stored token at or above it is refused when read; 0: not checked */
    int64_t token_cost, attention_cost, head_cost;      /* operations of one token row, of one (query, key) pair, of one row that predicts */
    double (*lambda)(const void *context, int64_t step);
    const void *lambda_context;
};

/* critique -1: no critique, only a reward */
struct plan_leaf { int32_t critique; bool reward; };
struct plan_comparison { int32_t chosen, rejected; };           /* indices into the part's leaves of each side */
struct plan_part {
    int64_t pair;
    int32_t first_leaf[2], n_leaves[2];         /* in step_plan.leaf */
    int32_t first_comparison, n_comparisons;    /* in step_plan.comparison */
    double leaf_weight[2], comparison_weight;   /* final: divided by the step's normalisers; leaf_weight 0: no targets */
    int64_t tokens, operations;
    int32_t data_rank, micro_batch;
};

struct step_plan {
    int64_t step, epoch;
    int64_t n_pairs, n_targets, n_comparisons;  /* of the step; n_targets W is 0 where lambda is 0, n_comparisons where it is 1 */
    int64_t tokens, tokens_unshared, operations;
    int n_micro_batches;
    int64_t n_parts;
    struct plan_part *part;                     /* in order of pairs */
    struct plan_leaf *leaf;
    struct plan_comparison *comparison;
};

struct plan;
/* What can be said without the set: USAGE where a micro-batch does not hold two paths, or there are fewer pairs in a step than ranks on the data axis. plan_create checks it too. */
int plan_check_sizes(const struct plan_options *options);
/* set is borrowed. USAGE for a budget below 2 x max_path_tokens, data axis above pairs_per_step, a cross tree above the budget, a pair
 * without what the mode reads; FAILED for a path above max_path_tokens. */
int plan_create(const struct plan_set *set, const struct plan_options *options, struct plan **out);
void plan_free(struct plan **plan);
int64_t plan_steps_per_epoch(const struct plan *plan);
/* Owned by the plan, valid until the next call. */
int plan_step(struct plan *plan, int64_t step, const struct step_plan **out);
/* All given pairs [first, first + n) in their order with all critiques, predictions and rewards, unit weights: an evaluation. */
int plan_evaluation(struct plan *plan, int64_t first, int64_t n, const struct step_plan **out);

/* Largest micro-batch over all steps of the run. */
struct plan_capacity { int64_t rows, predictions, rewards, comparisons; };
int plan_capacity(struct plan *plan, struct plan_capacity *out);
/* Widens *most by one plan (an evaluation, say). */
int plan_step_capacity(const struct plan *plan, const struct step_plan *step, struct plan_capacity *most);

#endif
