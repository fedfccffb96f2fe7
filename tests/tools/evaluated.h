/* evaluated: a benchmark written in a test, opened and evaluated; failures end the test with the sentence. */
#ifndef TESTS_TOOLS_EVALUATED_H
#define TESTS_TOOLS_EVALUATED_H

#include "tests/tools/scratch.h"
#include "trainer/eval/evaluation.h"

struct evaluated {
    struct scratch scratch;
    struct benchmark *benchmark;
    struct evaluation evaluation;
    struct evaluation_result result;
};

/* The file is "bench" in the scratch folder. */
void evaluated_open(struct evaluated *e, enum benchmark_kind kind, const char *text);
/* Once or more often; score or reply is kept by the caller. */
void evaluated_run(struct evaluated *e, const double *score, const struct criticbench_reply *reply, bool judge);
void evaluated_close(struct evaluated *e);

/* A cell by the names of its row and column. */
double evaluated_cell(const struct evaluated *e, const char *row, const char *column);
/* The cell is `want` within 1e-12. */
void evaluated_is(const struct evaluated *e, const char *row, const char *column, double want);
bool evaluated_notes(const struct evaluated *e, const char *words);

/* benchmark_open of this text fails and the sentence holds the file's name and all words. */
void evaluated_refused(enum benchmark_kind kind, const char *text, const char *where, const char *words);

#endif
