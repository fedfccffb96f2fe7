/* forest: one micro-batch. Preference pairs are trees (prompt; two responses, each with the critique instruction; critiques); a forest is several trees with their
 * nodes laid out depth first in one packed token array. Only whole equal nodes of one pair are shared.
 *
 * A token sees all tokens of its ancestors, and those of its own node up to itself. Rows [first + count, end) see the node whole.
 */
#ifndef DATASET_FOREST_H
#define DATASET_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forest_node { int32_t first, count, parent, end; };      /* parent -1: root */
struct forest_prediction { int32_t row; uint32_t target; float weight; };   /* sorted by row; weight sums to the forest's share of W's numerator */
struct forest_comparison { int32_t chosen, rejected; float weight; };       /* indices into reward_row */

struct forest {
    int32_t n_tokens;           /* rows that belong to nodes */
    int32_t n_rows;             /* n_tokens rounded up to a multiple of the tensor axis; extra rows have token 0, position 0, no node */
    uint32_t *token;            /* [n_rows] */
    int32_t *position;          /* [n_rows] a node's positions go on from the end of its parent */
    int32_t n_nodes;
    struct forest_node *node;   /* in row order */
    int32_t n_predictions;
    struct forest_prediction *prediction;
    int32_t n_rewards;
    int32_t *reward_row;        /* rising */
    int32_t n_comparisons;
    struct forest_comparison *comparison;
};

#endif
