/* evaluated: see evaluated.h. */
#include "tests/tools/evaluated.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/status.h"

static void must(int status)
{
    if (status != OK)
        fail_msg("%s", trace_sentence());
}

void evaluated_open(struct evaluated *e, enum benchmark_kind kind, const char *text)
{
    *e = (struct evaluated){0};
    scratch_make(&e->scratch);
    must(benchmark_open(kind, scratch_write(&e->scratch, "bench", text, strlen(text)), &e->benchmark));
}

void evaluated_run(struct evaluated *e, const double *score, const struct criticbench_reply *reply, bool judge)
{
    evaluation_free(&e->result);
    e->evaluation = (struct evaluation){e->benchmark, score, reply, judge};
    must(evaluation_run(&e->evaluation, &e->result));
}

void evaluated_close(struct evaluated *e)
{
    evaluation_free(&e->result);
    benchmark_close(&e->benchmark);
    scratch_remove(&e->scratch);
}

static int column_of(const struct table *t, const char *name)
{
    for (int c = 0; c < t->n_columns; c++)
        if (strcmp(t->column[c].name, name) == 0)
            return c;
    fail_msg("no column %s", name);
    return -1;
}

double evaluated_cell(const struct evaluated *e, const char *row, const char *column)
{
    const struct table *t = &e->result.table;
    for (int i = 0; i < t->n_rows; i++)
        if (strcmp(t->row[i].name, row) == 0)
            return t->row[i].value[column_of(t, column)];
    fail_msg("no row %s", row);
    return NAN;
}

void evaluated_is(const struct evaluated *e, const char *row, const char *column, double want)
{
    double got = evaluated_cell(e, row, column);
    if (!(fabs(got - want) <= 1e-12))
        fail_msg("%s of %s is %.15g, not %.15g", column, row, got, want);
}

bool evaluated_notes(const struct evaluated *e, const char *words)
{
    for (int i = 0; i < e->result.table.n_notes; i++)
        if (strstr(e->result.table.note[i], words))
            return true;
    return false;
}

void evaluated_refused(enum benchmark_kind kind, const char *text, const char *where, const char *words)
{
    struct scratch scratch;
    struct benchmark *b;
    scratch_make(&scratch);
    trace_clear();
    assert_int_equal(benchmark_open(kind, scratch_write(&scratch, "bench", text, strlen(text)), &b), FAILED);
    assert_null(b);
    if (!strstr(trace_sentence(), scratch.path) || !strstr(trace_sentence(), where) || !strstr(trace_sentence(), words))
        fail_msg("'%s' does not say '%s' and '%s'", trace_sentence(), where, words);
    trace_clear();
    scratch_remove(&scratch);
}
