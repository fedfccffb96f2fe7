/* critic-rm evaluate BENCHMARK FILE --model MODEL [--judge] [OUT_DIR]: the table of a benchmark file, to standard output and, where OUT_DIR is given, with each item's outcome into that
 * folder. The scores are MODEL's rewards; with --judge the mean scores of MODEL as a plain judge, any chat model; on CriticBench what MODEL, any chat model, replies. With --scores FILE in
 * the place of --model they were computed before (--judge: by a judge, so that a tie counts half).
 *
 * A model's evaluation in OUT_DIR is a set made in parts (dataset/parts.h), whose list is table.json: a job that ended early goes on where it stopped. What the parts held stands in
 * items.jsonl then, so they go when table.json is there, and parts.json stays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "comm/agree.h"
#include "launch/evaluate_model.h"
#include "launch/part_run.h"
#include "trainer/eval/evaluation.h"
#include "trainer/model/fingerprint.h"

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

static int check_no_model(const char *folder)
{
    char path[2048];
    TRY(path_join(path, sizeof path, folder, "parts.json"));
    CHECK(!file_exists(path), "%s holds a model's evaluation (parts.json): choose another folder, or remove it", folder);
    return OK;
}

static int evaluate_scores(const struct command *command, const struct benchmark *b)
{
    struct scores scores;
    TRY(folder_of(command) ? check_no_model(folder_of(command)) : OK);
    const char *slash = strrchr(command->scores, '/');
    const struct evaluation_labels labels = {.model = slash ? slash + 1 : command->scores, .model_type = "Custom Classifier"};
    TRY(scores_read(b, command->scores, &scores));
    int status = give_result(command, b, &scores, &labels);
    scores_free(&scores);
    return status;
}

/* ---- a model's parts ------------------------------------------------------------------------------------------------------------------------- */

static const struct set_form table_form = {.name = "table"};
static const char *const name_of_by[] = {[EVALUATE_SCORE] = "rewards", [EVALUATE_JUDGE] = "a judge's scores", [EVALUATE_REPLY] = "replies"};

static uint64_t instruction_hash(const struct encoder *e, enum evaluate_by by)
{
    uint64_t both[] = {encoder_instruction_hash(e, INSTRUCTION_VERDICT), encoder_instruction_hash(e, INSTRUCTION_CORRECT)};
    return by == EVALUATE_REPLY ? hash_bytes(both, sizeof both, 0) : encoder_instruction_hash(e, by == EVALUATE_JUDGE ? INSTRUCTION_JUDGE : INSTRUCTION_CRITIQUE);
}

/* model: the checkpoint where there is one. A run's latest may be another by the next start. */
static struct shard_meta meta_of(const struct session *s, const char *model, enum evaluate_by by)
{
    struct shard_meta meta = {0};
    hash_to_hex(tokenizer_hash(s->encoder->tokenizer), meta.tokenizer);
    hash_to_hex(instruction_hash(s->encoder, by), meta.template);
    snprintf(meta.model, sizeof meta.model, "%.500s", *s->checkpoint ? s->checkpoint : model);
    return meta;
}

/* Parts are small: a benchmark has some hundred items, and an item some responses. About 64 for each data rank are dealt out evenly, and a kill loses little. */
static int64_t items_per_part(const struct session *s, int64_t n_items)
{
    int64_t n = n_items / (64 * s->mesh->data->size), most = s->config.generate.records_per_part;
    return n < 1 ? 1 : n < most ? n : most;
}

static int begin_parts(const struct command *command, const struct benchmark *b, struct session *s, enum evaluate_by by)
{
    char as[128];
    uint64_t fingerprint;
    struct parts_input input;
    struct shard_meta meta = meta_of(s, command->model, by);
    snprintf(as, sizeof as, "%s by %s", benchmark_name(b->kind), name_of_by[by]);
    TRY(parts_input_file(command->argv[1], b->n_items, &input));
    input.as = as;
    s->config.generate.records_per_part = items_per_part(s, b->n_items);
    TRY(fingerprint_of(&s->config, s->checkpoint, &fingerprint));
    return parts_begin(folder_of(command), &table_form, &input, &meta, fingerprint, &s->config);
}

/* The table again. A kill may have come while the parts were removed. */
static int give_again(const struct parts *parts)
{
    char path[2048], *text;
    size_t n_bytes;
    TRY(parts_clear(parts));
    TRY(path_join(path, sizeof path, parts->folder, "table.txt"));
    TRY(file_read(path, &text, &n_bytes));
    bool failed = fwrite(text, 1, n_bytes, stdout) != n_bytes || fflush(stdout) != 0;
    free(text);
    CHECK(!failed, "cannot write standard output");
    log_info("%s is complete", parts->folder);
    return OK;
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

/* parts NULL: none. */
static int evaluate_opened(const struct command *command, const struct benchmark *b, struct session *s, const struct parts *parts)
{
    struct scores scores;
    enum evaluate_by by = by_what(command, b);
    const struct evaluation_labels labels = {.model = command->model, .model_type = model_type(s, by), .chat_template = s->config.data.template};
    int status = evaluate_model(s, b, by, parts, &scores);
    if (status == OK)
        status = agree_status(s->world, s->world->rank == 0 ? give_result(command, b, &scores, &labels) : OK);
    if (status == OK && parts)
        status = agree_status(s->world, s->world->rank == 0 ? parts_clear(parts) : OK);
    scores_free(&scores);
    return status;
}

static int evaluate_in_folder(const struct command *command, const struct benchmark *b, struct session *s)
{
    bool complete;
    struct parts parts;
    TRY(agree_status(s->world, s->world->rank == 0 ? begin_parts(command, b, s, by_what(command, b)) : OK));
    TRY(agree_status(s->world, parts_open(folder_of(command), &table_form, &parts)));
    TRY(part_run_is_complete(s, &parts, &complete));
    if (complete)
        return agree_status(s->world, s->world->rank == 0 ? give_again(&parts) : OK);
    int status = evaluate_opened(command, b, s, &parts);
    if (status == STOPPED)
        log_info("stopped on request, finished parts are kept: the same command goes on");
    return status;
}

static int evaluate_in_session(const struct command *command, const struct benchmark *b, struct session *s)
{
    TRY(agree_status(s->world, by_what(command, b) == EVALUATE_SCORE ? session_check_reward(s) : OK));
    return folder_of(command) ? evaluate_in_folder(command, b, s) : evaluate_opened(command, b, s, NULL);
}

static int evaluate_by_model(const struct command *command, const struct benchmark *b)
{
    struct session *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory");
    int status = session_open(command, command->model, command->config.device.batch_invariant != INVARIANT_OFF, s);
    if (status == OK)
        status = evaluate_in_session(command, b, s);
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
