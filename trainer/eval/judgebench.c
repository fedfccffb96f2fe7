/* judgebench: pairs A, B with the label of the better one; groups by the beginning of "source". One game a pair, since a reward does not depend on the order; the overall is over
 * all pairs. */
#include <string.h>

#include "base/status.h"
#include "trainer/eval/benchmark_rules.h"
#include "trainer/eval/item.h"

enum { N_GROUPS = 4 };
static const char *const group_name[N_GROUPS] = {"Knowledge", "Reasoning", "Math", "Coding"};
static const char *const source_prefix[N_GROUPS] = {"mmlu-pro", "livebench-reasoning", "livebench-math", "livecodebench"};

static int find_source(const char *where, struct benchmark_item *item)
{
    for (int i = 0; i < N_GROUPS; i++)
        if (strncmp(item->group, source_prefix[i], strlen(source_prefix[i])) == 0) {
            item->group_index = i;
            return OK;
        }
    return FAIL("%s: \"source\" is \"%.64s\", which begins with none of mmlu-pro, livebench-reasoning, livebench-math, livecodebench", where, item->group);
}

static int read_item(struct benchmark *b, json_t *object, const char *where, struct benchmark_item *item)
{
    const char *label;
    TRY(item_id(b, object, "pair_id", where, item));
    TRY(json_get_text(object, "source", where, &item->group));
    TRY(find_source(where, item));
    TRY(item_prompt(object, "question", where, item));
    TRY(item_response(b, object, "response_A", where, item));
    TRY(item_response(b, object, "response_B", where, item));
    TRY(json_get_text(object, "label", where, &label));
    CHECK(strcmp(label, "A>B") == 0 || strcmp(label, "B>A") == 0, "%s: \"label\" is \"%.32s\", not \"A>B\" or \"B>A\"", where, label);
    item->first_right = label[0] == 'B';
    item->n_right = 1;
    return OK;
}

static double outcome(const struct evaluation *e, const struct benchmark_item *item, int64_t *missing)
{
    return comparison(e, item->first + item->first_right, item->first + 1 - item->first_right, missing);
}

static int tabulate(const struct evaluation *e, const double *outcome_I, struct table *t)
{
    struct group_sum sum[N_GROUPS] = {0}, all = {0};
    group_sums(e->benchmark, outcome_I, sum);
    for (int i = 0; i < N_GROUPS; i++) {
        all = (struct group_sum){all.sum + sum[i].sum, all.n + sum[i].n};
        TRY(table_add(t, 0, group_name[i], (double[]){group_mean(&sum[i]), (double)sum[i].n}));
    }
    TRY(note_missing_groups(t, group_name, sum, N_GROUPS, "the overall is over the pairs that are there"));
    return table_add(t, 0, "Overall", (double[]){group_mean(&all), (double)all.n});
}

const struct benchmark_rules judgebench_rules = {
    .name = "judgebench", .title = "JudgeBench", .n_columns = 2, .column = {{"accuracy", TABLE_FRACTION}, {"items", TABLE_COUNT}},
    .n_comparisons = 1, .read = read_item, .outcome = outcome, .tabulate = tabulate,
};
