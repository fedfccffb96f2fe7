/* random_forest: random trees laid out depth first, as attention sees them: runs, ranges and key runs of kernels.h, with padding rows at the end.
 * Some nodes are cut into several runs and key runs, which kernels.h allows and a trainer may do.
 * random_forest_sees answers from the parents alone, so that it can judge the rest. */
#ifndef TESTS_TOOLS_RANDOM_FOREST_H
#define TESTS_TOOLS_RANDOM_FOREST_H

#include <stdbool.h>
#include <stdint.h>

#include "dataset/forest.h"
#include "kernels/kernels.h"
#include "random_values.h"

struct random_forest {
    int32_t n_tokens;       /* rows that belong to nodes */
    int32_t n_rows;         /* with padding */
    int32_t n_nodes;
    struct forest_node *node;
    int32_t *position;      /* [n_rows] */
    int n_runs, n_ranges, n_key_runs;
    struct attention_run *runs;
    struct attention_range *ranges;
    struct attention_key_run *key_runs;
};

struct random_forest_shape { int n_trees, max_depth, max_children, max_count, n_padding; };

/* Owned by the caller; aborts without memory. */
struct random_forest random_forest_create(struct random *random, const struct random_forest_shape *shape);
void random_forest_destroy(struct random_forest *forest);

/* Does row `query` see row `key`? */
bool random_forest_sees(const struct random_forest *forest, int32_t query, int32_t key);

#endif
