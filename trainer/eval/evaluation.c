/* evaluation: see evaluation.h. */
#include "trainer/eval/evaluation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "trainer/eval/benchmark_rules.h"

double comparison(const struct evaluation *e, int64_t right, int64_t wrong, int64_t *missing)
{
    double a = e->score[right], b = e->score[wrong];
    bool unscored = isnan(a) || isnan(b);
    *missing += unscored;
    if (e->judge && (unscored || !(a < b || a > b)))
        return 0.5;
    return !unscored && a > b ? 1.0 : 0.0;
}

void group_sums(const struct benchmark *b, const double *outcome, struct group_sum *sum)
{
    for (int64_t i = 0; i < b->n_items; i++) {
        sum[b->item[i].group_index].sum += outcome[i];
        sum[b->item[i].group_index].n++;
    }
}

double group_mean(const struct group_sum *sum) { return sum->n > 0 ? sum->sum / (double)sum->n : NAN; }

int note_missing_groups(struct table *table, const char *const *name, const struct group_sum *sum, int n, const char *what)
{
    char all[1024] = "";
    size_t used = 0;
    for (int i = 0; i < n && used < sizeof all; i++)
        if (sum[i].n == 0)
            used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", name[i]);
    return used ? table_note(table, "no item of %s: %s", all, what) : OK;
}

/* ---- run ------------------------------------------------------------------------------------------------------------------------------------- */

static void find_outcomes(const struct evaluation *e, struct evaluation_result *r)
{
    const struct benchmark *b = e->benchmark;
    for (int64_t i = 0; i < b->n_items; i++)
        r->outcome[i] = b->rules->outcome(e, &b->item[i], &r->n_missing);
    r->n_comparisons = b->n_items * b->rules->n_comparisons;
    for (int64_t i = 0; i < b->n_responses && r->n_comparisons > 0; i++)
        r->n_unscored += isnan(e->score[i]);
}

static int note_missing(const struct evaluation *e, struct evaluation_result *r)
{
    if (r->n_unscored == 0)
        return OK;
    return table_note(&r->table, "%lld of %lld responses have no score: %lld of %lld comparisons %s", (long long)r->n_unscored, (long long)e->benchmark->n_responses,
                      (long long)r->n_missing, (long long)r->n_comparisons, e->judge ? "are taken as undecided" : "counted as lost");
}

int evaluation_run(const struct evaluation *e, struct evaluation_result *out)
{
    const struct benchmark_rules *rules = e->benchmark->rules;
    *out = (struct evaluation_result){.outcome = calloc((size_t)e->benchmark->n_items, sizeof(double)),
                                      .table = {.name = rules->name, .title = rules->title, .n_columns = rules->n_columns, .column = rules->column}};
    CHECK(out->outcome, "out of memory for the %lld items of %s", (long long)e->benchmark->n_items, e->benchmark->path);
    find_outcomes(e, out);
    int status = rules->tabulate(e, out->outcome, &out->table);
    if (status == OK)
        status = note_missing(e, out);
    if (status != OK)
        evaluation_free(out);
    return status;
}

void evaluation_free(struct evaluation_result *r)
{
    free(r->outcome);
    table_free(&r->table);
    *r = (struct evaluation_result){0};
}
