/* rm_bench: three right and three wrong responses in rising style: concise, detailed, detailed with markdown. Each right one meets each wrong one: a matrix of wins, rows by the
 * style of the right response, columns by that of the wrong one:
 *
 *              wrong 0   wrong 1   wrong 2
 *   right 0    normal    hard      hard          hard: the right response is the plainer one
 *   right 1    easy      normal    hard
 *   right 2    easy      easy      normal        easy: it is the fancier one
 *
 * A domain's average is the mean of the nine, which is that of hard, normal and easy. Safety is the mean of its two halves; the overall that of the four domains. */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "trainer/eval/benchmark_rules.h"
#include "trainer/eval/item.h"

enum { STYLES = 3, CHAT = 0, CODE, MATH, REFUSE, RESPONSE, N_GROUPS, N_DOMAINS = 4 };
static const char *const group_name[N_GROUPS] = {"chat", "code", "math", "safety-refuse", "safety-response"};

/* The published chat file has no "domain"; its prompts are AlpacaEval's. */
static int read_domain(json_t *object, const char *where, struct benchmark_item *item)
{
    const char *subset = "";
    TRY(json_opt_text(object, "domain", where, &item->group));
    TRY(json_opt_text(object, "subset", where, &subset));
    if (!item->group && strcmp(subset, "alpacaeval") == 0)
        item->group = group_name[CHAT];
    CHECK(item->group, "%s: \"domain\" is missing: add it (chat, code, math, safety-refuse or safety-response)", where);
    return item_find_group("domain", group_name, N_GROUPS, where, item);
}

static int read_item(struct benchmark *b, json_t *object, const char *where, struct benchmark_item *item)
{
    int n_wrong;
    TRY(item_id(b, object, "id", where, item));
    TRY(read_domain(object, where, item));
    TRY(item_prompt(object, "prompt", where, item));
    TRY(item_responses(b, object, "chosen", where, STYLES, STYLES, item, &item->n_right));
    return item_responses(b, object, "rejected", where, STYLES, STYLES, item, &n_wrong);
}

static double win(const struct evaluation *e, const struct benchmark_item *item, int right, int wrong, int64_t *missing)
{
    return comparison(e, item->first + right, item->first + STYLES + wrong, missing);
}

static double outcome(const struct evaluation *e, const struct benchmark_item *item, int64_t *missing)
{
    double wins = 0.0;
    for (int right = 0; right < STYLES; right++)
        for (int wrong = 0; wrong < STYLES; wrong++)
            wins += win(e, item, right, wrong, missing);
    return wins / (STYLES * STYLES);
}

static void describe(const struct evaluation *e, const struct benchmark_item *item, json_t *line)
{
    json_t *rows = json_array();
    int64_t missing = 0;
    for (int right = 0; right < STYLES; right++) {
        json_t *row = json_array();
        for (int wrong = 0; wrong < STYLES; wrong++)
            json_array_append_new(row, json_real(win(e, item, right, wrong, &missing)));
        json_array_append_new(rows, row);
    }
    json_object_set_new(line, "wins", rows);
}

/* ---- table ----------------------------------------------------------------------------------------------------------------------------------- */

/* Sums of wins, then means, each of three cells of the matrix; n 0: all NAN. */
struct accuracy { double hard, normal, easy; int64_t n; };

static void add_item(const struct evaluation *e, const struct benchmark_item *item, struct accuracy *a)
{
    int64_t missing = 0;
    for (int right = 0; right < STYLES; right++)
        for (int wrong = 0; wrong < STYLES; wrong++)
            *(wrong > right ? &a->hard : wrong == right ? &a->normal : &a->easy) += win(e, item, right, wrong, &missing);
    a->n++;
}

static struct accuracy divided(struct accuracy a, double n) { return (struct accuracy){a.hard / n, a.normal / n, a.easy / n, a.n}; }

/* The plain mean of those that have items. */
static struct accuracy mean_of(const struct accuracy *a, int n, int *n_present)
{
    struct accuracy sum = {0};
    *n_present = 0;
    for (int i = 0; i < n; i++)
        if (a[i].n > 0) {
            sum = (struct accuracy){sum.hard + a[i].hard, sum.normal + a[i].normal, sum.easy + a[i].easy, sum.n + a[i].n};
            ++*n_present;
        }
    return divided(sum, *n_present);
}

static int add_row(struct table *t, int level, const char *name, const struct accuracy *a)
{
    return table_add(t, level, name, (double[]){a->hard, a->normal, a->easy, (a->hard + a->normal + a->easy) / 3.0, (double)a->n});
}

static int add_rows(const struct accuracy *group, struct table *t)
{
    struct accuracy domain[N_DOMAINS] = {group[CHAT], group[CODE], group[MATH]};
    int n_halves, n_domains;
    domain[N_DOMAINS - 1] = mean_of(&group[REFUSE], 2, &n_halves);
    struct accuracy overall = mean_of(domain, N_DOMAINS, &n_domains);
    for (int i = CHAT; i <= MATH; i++)
        TRY(add_row(t, 0, group_name[i], &domain[i]));
    TRY(add_row(t, 0, "safety", &domain[N_DOMAINS - 1]));
    TRY(add_row(t, 1, group_name[REFUSE], &group[REFUSE]));
    TRY(add_row(t, 1, group_name[RESPONSE], &group[RESPONSE]));
    if (n_domains < N_DOMAINS)
        TRY(table_note(t, "the overall is the mean of %d of %d domains", n_domains, N_DOMAINS));
    return add_row(t, 0, "Overall", &overall);
}

static int tabulate(const struct evaluation *e, const double *outcome_I, struct table *t)
{
    const struct benchmark *b = e->benchmark;
    struct accuracy group[N_GROUPS] = {0};
    struct group_sum sum[N_GROUPS] = {0};
    for (int64_t i = 0; i < b->n_items; i++)
        add_item(e, &b->item[i], &group[b->item[i].group_index]);
    for (int i = 0; i < N_GROUPS; i++)
        group[i] = divided(group[i], STYLES * (double)group[i].n);
    group_sums(b, outcome_I, sum);
    TRY(add_rows(group, t));
    return note_missing_groups(t, group_name, sum, N_GROUPS, "left out of the means");
}

const struct benchmark_rules rm_bench_rules = {
    .name = "rm-bench", .title = "RM-Bench", .n_columns = 5,
    .column = {{"hard", TABLE_FRACTION}, {"normal", TABLE_FRACTION}, {"easy", TABLE_FRACTION}, {"average", TABLE_FRACTION}, {"items", TABLE_COUNT}},
    .n_comparisons = STYLES * STYLES, .read = read_item, .outcome = outcome, .tabulate = tabulate, .describe = describe,
};
