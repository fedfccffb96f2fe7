/* random_forest: nodes first, by recursion; then what attention needs, node by node. */
#include "random_forest.h"

#include <stdlib.h>

#include "base/status.h"

/* Room for one more element of `size` bytes. */
static void *grown(void *memory, int count, size_t size)
{
    if (count > 0 && (count & (count - 1)) != 0)
        return memory;
    memory = realloc(memory, (size_t)(count > 0 ? 2 * count : 1) * size);
    ASSERT(memory);
    return memory;
}

static void add_node(struct random_forest *forest, struct random *random, const struct random_forest_shape *shape, int32_t parent, int depth)
{
    int32_t self = forest->n_nodes;
    int32_t count = (int32_t)random_int(random, 1, shape->max_count);
    forest->node = grown(forest->node, self, sizeof *forest->node);
    forest->node[self] = (struct forest_node){forest->n_tokens, count, parent, 0};
    forest->n_nodes++;
    forest->n_tokens += count;
    int64_t n_children = depth < shape->max_depth ? random_int(random, 0, shape->max_children) : 0;
    for (int64_t i = 0; i < n_children; i++)
        add_node(forest, random, shape, self, depth + 1);
    forest->node[self].end = forest->n_tokens;
}

static void set_positions(struct random_forest *forest)
{
    forest->position = calloc((size_t)forest->n_rows, sizeof *forest->position);
    ASSERT(forest->position);
    for (int32_t i = 0; i < forest->n_nodes; i++) {
        const struct forest_node *node = &forest->node[i], *up = node->parent < 0 ? NULL : &forest->node[node->parent];
        int32_t start = up ? forest->position[up->first + up->count - 1] + 1 : 0;
        for (int32_t t = 0; t < node->count; t++)
            forest->position[node->first + t] = start + t;
    }
}

static void add_range(struct random_forest *forest, int32_t first, int32_t count)
{
    forest->ranges = grown(forest->ranges, forest->n_ranges, sizeof *forest->ranges);
    forest->ranges[forest->n_ranges++] = (struct attention_range){first, count};
}

static void add_ancestors(struct random_forest *forest, int32_t node)
{
    if (node < 0)
        return;
    add_ancestors(forest, forest->node[node].parent);
    add_range(forest, forest->node[node].first, forest->node[node].count);
}

/* Rows [from, to) of the node. */
static void add_run(struct random_forest *forest, const struct forest_node *node, int32_t from, int32_t to)
{
    forest->runs = grown(forest->runs, forest->n_runs, sizeof *forest->runs);
    struct attention_run *run = &forest->runs[forest->n_runs++];
    *run = (struct attention_run){from, to - from, forest->n_ranges, 0};
    add_ancestors(forest, node->parent);
    add_range(forest, node->first, to - node->first);
    run->range_count = forest->n_ranges - run->range_first;
}

static void add_key_run(struct random_forest *forest, const struct forest_node *node, int32_t from, int32_t to)
{
    forest->key_runs = grown(forest->key_runs, forest->n_key_runs, sizeof *forest->key_runs);
    forest->key_runs[forest->n_key_runs++] = (struct attention_key_run){from, to - from, node->end};
}

/* Whole, or cut in two at a random place. */
static void add_cut(struct random_forest *forest, struct random *random, const struct forest_node *node,
                    void (*add)(struct random_forest *, const struct forest_node *, int32_t, int32_t))
{
    int32_t end = node->first + node->count, cut = end;
    if (node->count > 1 && random_int(random, 0, 2) == 0)
        cut = node->first + (int32_t)random_int(random, 1, node->count - 1);
    add(forest, node, node->first, cut);
    if (cut < end)
        add(forest, node, cut, end);
}

struct random_forest random_forest_create(struct random *random, const struct random_forest_shape *shape)
{
    struct random_forest forest = {0};
    for (int i = 0; i < shape->n_trees; i++)
        add_node(&forest, random, shape, -1, 1);
    forest.n_rows = forest.n_tokens + shape->n_padding;
    set_positions(&forest);
    for (int32_t i = 0; i < forest.n_nodes; i++) {
        add_cut(&forest, random, &forest.node[i], add_run);
        add_cut(&forest, random, &forest.node[i], add_key_run);
    }
    return forest;
}

void random_forest_destroy(struct random_forest *forest)
{
    free(forest->node);
    free(forest->position);
    free(forest->runs);
    free(forest->ranges);
    free(forest->key_runs);
    *forest = (struct random_forest){0};
}

static int32_t node_of(const struct random_forest *forest, int32_t row)
{
    for (int32_t i = 0; i < forest->n_nodes; i++)
        if (row >= forest->node[i].first && row < forest->node[i].first + forest->node[i].count)
            return i;
    return -1;
}

bool random_forest_sees(const struct random_forest *forest, int32_t query, int32_t key)
{
    int32_t own = node_of(forest, query), of_key = node_of(forest, key);
    if (own < 0 || of_key < 0)
        return false;
    if (own == of_key)
        return key <= query;
    for (int32_t up = forest->node[own].parent; up >= 0; up = forest->node[up].parent)
        if (up == of_key)
            return true;
    return false;
}
