/* benchmark_rules: what differs between the benchmarks. One table a benchmark, each in the file of its name; benchmark.c lists them. Used inside trainer/eval only. */
#ifndef TRAINER_EVAL_BENCHMARK_RULES_H
#define TRAINER_EVAL_BENCHMARK_RULES_H

#include "trainer/eval/evaluation.h"

struct benchmark_rules {
    const char *name, *title;
    int n_columns;
    struct table_column column[TABLE_MAX_COLUMNS];
    int n_comparisons;          /* of scores, in an item */
    /* The fields of one object into *item and the benchmark's responses (item.h). `where`: file and line, for sentences. */
    int (*read)(struct benchmark *b, json_t *object, const char *where, struct benchmark_item *item);
    /* What an item counts, and how many of its comparisons lack a score, added to *missing. */
    double (*outcome)(const struct evaluation *e, const struct benchmark_item *item, int64_t *missing);
    /* Rows and notes; the last row is the overall. */
    int (*tabulate)(const struct evaluation *e, const double *outcome, struct table *table);
    /* More members for the item's line of items.jsonl, and more files of a result; or NULL. */
    void (*describe)(const struct evaluation *e, const struct benchmark_item *item, json_t *line);
    int (*write)(const struct evaluation *e, const struct evaluation_result *result, const struct evaluation_labels *labels, const char *folder);
};

extern const struct benchmark_rules rewardbench_rules, rewardbench2_rules, rm_bench_rules, judgebench_rules, criticbench_rules;

/* What response `right` counts against `wrong`, indices into the scores: 1 when strictly greater, else 0. In a judge's evaluation a tie and a missing score count 0.5. */
double comparison(const struct evaluation *e, int64_t right, int64_t wrong, int64_t *missing);

struct group_sum { double sum; int64_t n; };

/* Outcomes summed by group index; sum has as many zeroed entries as there are groups. */
void group_sums(const struct benchmark *b, const double *outcome, struct group_sum *sum);
double group_mean(const struct group_sum *sum);         /* NAN when empty */
/* A note that names the groups without an item, if there are any: "no item of NAMES: WHAT". */
int note_missing_groups(struct table *table, const char *const *name, const struct group_sum *sum, int n, const char *what);

#endif
