/* critic-rm evaluate BENCHMARK FILE --scores SCORES.jsonl [OUT_DIR]: the table of a benchmark file from the scores of its responses, to standard output and, where OUT_DIR is
 * given, with each item's outcome into that folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "comm/agree.h"
#include "launch/command.h"
#include "trainer/eval/evaluation.h"
#include "trainer/eval/scores.h"

static int print_table(const struct table *table)
{
    char *text;
    TRY(table_text(table, &text));
    bool failed = fputs(text, stdout) == EOF || fflush(stdout) != 0;
    free(text);
    CHECK(!failed, "cannot write standard output");
    return OK;
}

/* folder NULL: print only */
static int give_result(const struct evaluation *e, const struct evaluation_labels *labels, const char *folder)
{
    struct evaluation_result result;
    TRY(evaluation_run(e, &result));
    int status = print_table(&result.table);
    if (status == OK && folder)
        status = evaluation_write(e, &result, labels, folder);
    evaluation_free(&result);
    return status;
}

static int evaluate_scores(const struct benchmark *b, const char *path, const char *folder)
{
    struct scores scores;
    const char *slash = strrchr(path, '/');
    const struct evaluation_labels labels = {.model = slash ? slash + 1 : path, .model_type = "Custom Classifier"};
    TRY(scores_read(b, path, &scores));
    const struct evaluation e = {.benchmark = b, .score = scores.score, .reply = scores.reply};
    int status = give_result(&e, &labels, folder);
    scores_free(&scores);
    return status;
}

static int evaluate(const struct command *command)
{
    enum benchmark_kind kind;
    struct benchmark *benchmark;
    CHECK_USAGE(command->argc == 2 || command->argc == 3, "evaluate takes a benchmark's name, its file and, if you like, a folder: BENCHMARK FILE --scores SCORES.jsonl [OUT_DIR]");
    TRY(benchmark_find(command->argv[0], &kind));
    CHECK_USAGE(command->scores, "evaluate needs --scores SCORES.jsonl: the responses of %s must have been scored by a model before", command->argv[1]);
    TRY(benchmark_open(kind, command->argv[1], &benchmark));
    int status = evaluate_scores(benchmark, command->scores, command->argc == 3 ? command->argv[2] : NULL);
    benchmark_close(&benchmark);
    return status;
}

int cmd_evaluate(const struct command *command) { return agree_status(command->world, command->world->rank == 0 ? evaluate(command) : OK); }
