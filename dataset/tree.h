/* tree: one preference pair, or a part of it, before it is laid out in a forest: prompt; two responses, each with the critique instruction; leaves.
 *
 * A leaf is a critique with its end of turn, and, where its reward is read, the reward token after it. A response of length 0 has no node: its leaves hang on the
 * prompt (a conversation: one path of two nodes). A side without leaves is left out.
 */
#ifndef DATASET_TREE_H
#define DATASET_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataset/forest.h"

struct tokens { const uint32_t *token; int32_t n; };
struct tree_leaf { struct tokens text; float weight; bool reward; };        /* weight of each target; 0: no targets */
struct tree_comparison { int32_t chosen, rejected; float weight; };         /* indices into the leaves of side 0 and side 1 */
struct tree {
    struct tokens prompt, response[2];
    int32_t n_leaves[2];
    const struct tree_leaf *leaf[2];
    int32_t n_comparisons;
    const struct tree_comparison *comparison;
};

struct forest_layout { uint32_t reward_token; bool share_prefix; int row_multiple; };

/* Lays trees out depth first. Owned memory; free with forest_free. */
int forest_build(const struct tree *tree, int n_trees, const struct forest_layout *layout, struct forest *out);
void forest_free(struct forest *forest);

/* What a tree costs, from lengths alone. Attention pairs: (query, key) combinations seen. */
struct tree_shape { int32_t n_prompt, n_response[2], n_leaves[2]; const int32_t *leaf_tokens[2]; };   /* leaf_tokens: with the reward token */
struct tree_cost { int64_t tokens, attention_pairs; };
struct tree_cost tree_cost(const struct tree_shape *shape, bool share_prefix);

#endif
