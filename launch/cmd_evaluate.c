/* critic-rm evaluate BENCHMARK FILE --model MODEL [--judge] [OUT_DIR]: the table of a benchmark file, to standard output and, where OUT_DIR is given, with each item's outcome into that
 * folder. The scores are MODEL's rewards; with --judge the mean scores of MODEL as a plain judge, any chat model; on CriticBench what MODEL, any chat model, replies. With --scores FILE in
 * the place of --model they were computed before (--judge: by a judge, so that a tie counts half). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/agree.h"
#include "launch/evaluate_model.h"
#include "trainer/eval/evaluation.h"

static int print_table(const struct table *table)
{
    char *text;
    TRY(table_text(table, &text));
    bool failed = fputs(text, stdout) == EOF || fflush(stdout) != 0;
    free(text);
    CHECK(!failed, "cannot write standard output");
    return OK;
}

static const char *folder_of(const struct command *command) { return command->argc == 3 ? command->argv[2] : NULL; }

static int give_result(const struct command *command, const struct benchmark *b, const struct scores *scores, const struct evaluation_labels *labels)
{
    const struct evaluation e = {.benchmark = b, .score = scores->score, .reply = scores->reply, .judge = command->judge};
    struct evaluation_result result;
    TRY(evaluation_run(&e, &result));
    int status = print_table(&result.table);
    if (status == OK && folder_of(command))
        status = evaluation_write(&e, &result, labels, folder_of(command));
    evaluation_free(&result);
    return status;
}

/* ---- existing scores ------------------------------------------------------------------------------------------------------------------------- */

static int evaluate_scores(const struct command *command, const struct benchmark *b)
{
    struct scores scores;
    const char *slash = strrchr(command->scores, '/');
    const struct evaluation_labels labels = {.model = slash ? slash + 1 : command->scores, .model_type = "Custom Classifier"};
    TRY(scores_read(b, command->scores, &scores));
    int status = give_result(command, b, &scores, &labels);
    scores_free(&scores);
    return status;
}

/* ---- a model --------------------------------------------------------------------------------------------------------------------------------- */

static enum evaluate_by by_what(const struct command *command, const struct benchmark *b)
{
    return b->kind == CRITICBENCH ? EVALUATE_REPLY : command->judge ? EVALUATE_JUDGE : EVALUATE_SCORE;
}

static const char *model_type(const struct session *s, enum evaluate_by by)
{
    return by != EVALUATE_SCORE ? "Generative" : s->trained.mode == MODE_REWARD_ONLY ? "Seq. Classifier" : "Custom Classifier";
}

static int evaluate_opened(const struct command *command, const struct benchmark *b, struct session *s)
{
    struct scores scores;
    enum evaluate_by by = by_what(command, b);
    const struct evaluation_labels labels = {.model = command->model, .model_type = model_type(s, by), .chat_template = s->config.data.template};
    TRY(agree_status(s->world, by == EVALUATE_SCORE ? session_check_reward(s) : OK));
    int status = evaluate_model(s, b, by, &scores);
    if (status == OK)
        status = agree_status(s->world, s->world->rank == 0 ? give_result(command, b, &scores, &labels) : OK);
    scores_free(&scores);
    return status;
}

static int evaluate_by_model(const struct command *command, const struct benchmark *b)
{
    struct session *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory");
    int status = session_open(command, command->model, command->config.device.batch_invariant != INVARIANT_OFF, s);
    if (status == OK)
        status = evaluate_opened(command, b, s);
    session_close(s);
    free(s);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------------------- */

static int check(const struct command *command, enum benchmark_kind *kind)
{
    CHECK_USAGE(command->argc == 2 || command->argc == 3, "evaluate takes a benchmark's name, its file and, if you like, a folder: BENCHMARK FILE --model MODEL [OUT_DIR]");
    TRY(benchmark_find(command->argv[0], kind));
    CHECK_USAGE(command->model || command->scores, "evaluate needs --model MODEL, or --scores SCORES.jsonl of what was scored before");
    CHECK_USAGE(!command->model || !command->scores, "evaluate takes --model or --scores, not both");
    CHECK_USAGE(!command->judge || *kind != CRITICBENCH, "criticbench asks for verdicts, not for scores: leave --judge out");
    return OK;
}

int cmd_evaluate(const struct command *command)
{
    enum benchmark_kind kind = N_BENCHMARKS;
    struct benchmark *benchmark = NULL;
    struct comm *world = command->world;
    bool reads = command->model || world->rank == 0;
    TRY(agree_status(world, check(command, &kind)));
    TRY(agree_status(world, reads ? benchmark_open(kind, command->argv[1], &benchmark) : OK));
    int status = command->model ? evaluate_by_model(command, benchmark) : agree_status(world, reads ? evaluate_scores(command, benchmark) : OK);
    benchmark_close(&benchmark);
    return status;
}
