/* attention_plan: a node's queries see its ancestors whole and itself causally. */
#include "trainer/model/attention_plan.h"

#include <stdlib.h>

static int depth_of(const struct forest *forest, int32_t node)
{
    int depth = 0;
    for (; node >= 0; node = forest->node[node].parent)
        depth++;
    return depth;
}

static int reserve(struct attention_plan *plan, int n_runs, int n_ranges)
{
    if (n_runs > plan->max_runs) {
        void *run = realloc(plan->run, (size_t)n_runs * sizeof *plan->run);
        plan->run = run ? run : plan->run;
        void *key_run = realloc(plan->key_run, (size_t)n_runs * sizeof *plan->key_run);
        plan->key_run = key_run ? key_run : plan->key_run;
        CHECK(run && key_run, "out of memory for the attention plan of %d nodes", n_runs);
        plan->max_runs = n_runs;
    }
    if (n_ranges > plan->max_ranges) {
        void *range = realloc(plan->range, (size_t)n_ranges * sizeof *plan->range);
        CHECK(range, "out of memory for the attention plan of %d key ranges", n_ranges);
        plan->range = range;
        plan->max_ranges = n_ranges;
    }
    return OK;
}

static void add_node(struct attention_plan *plan, const struct forest *forest, int32_t index)
{
    const struct forest_node *node = &forest->node[index];
    int depth = depth_of(forest, index);
    int32_t first_range = plan->n_ranges;
    int32_t at = index;
    for (int i = depth - 1; i >= 0; i--, at = forest->node[at].parent)
        plan->range[first_range + i] = (struct attention_range){forest->node[at].first, forest->node[at].count};
    plan->n_ranges += depth;
    plan->run[plan->n_runs] = (struct attention_run){node->first, node->count, first_range, depth};
    plan->key_run[plan->n_runs] = (struct attention_key_run){node->first, node->count, node->end};
    plan->n_runs++;
}

int attention_plan_make(struct attention_plan *plan, const struct forest *forest)
{
    int n_ranges = 0;
    for (int32_t i = 0; i < forest->n_nodes; i++)
        n_ranges += depth_of(forest, i);
    TRY(reserve(plan, forest->n_nodes, n_ranges));
    plan->n_runs = plan->n_ranges = 0;
    for (int32_t i = 0; i < forest->n_nodes; i++)
        if (forest->node[i].count > 0)
            add_node(plan, forest, i);
    return OK;
}

void attention_plan_free(struct attention_plan *plan)
{
    free(plan->run);
    free(plan->key_run);
    free(plan->range);
    *plan = (struct attention_plan){0};
}
