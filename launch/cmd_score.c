/* score: JSON lines of prompt and response -> the same lines with critiques and reward (method.md, section 4). A bad line gets an error record, and the job goes on. */
#include <stdlib.h>

#include "base/log.h"
#include "comm/agree.h"
#include "launch/line_run.h"
#include "launch/progress.h"
#include "launch/score_item.h"
#include "launch/serve.h"

enum { LINES_OF_A_BLOCK = 32 };

struct score {
    const char *model, *input, *output;
    struct session session;
    struct scorer scorer;
    struct line_job job;
    struct line_run *run;
    int64_t n_scored, n_cut, n_critiques;
};

/* A line at work; line is NULL when it was handed on. */
struct item { struct score *score; int64_t index; json_t *line; };

static void drop(void *owner)
{
    struct item *item = owner;
    json_decref(item->line);
    free(item);
}

static void count(struct score *s, const struct scored *scored)
{
    s->n_scored++;
    s->n_cut += scored->n_cut;
    s->n_critiques += s->scorer.reads_critique ? scored->n : 0;
}

/* The line, or why there is no score for it. */
static int put(struct score *s, int64_t index, json_t *line, const struct scored *scored)
{
    if (score_item_finish(line, scored, s->session.infer.model.max_position) == OK) {
        count(s, scored);
        return line_run_put(s->run, index, line);
    }
    json_decref(line);
    return line_run_put_error(s->run, index);
}

/* Where a line cannot be written, item and score are left to scorer_drop. */
static int done(void *owner, struct scored *scored)
{
    struct item *item = owner;
    json_t *line = item->line;
    item->line = NULL;
    TRY(put(item->score, item->index, line, scored));
    free(item);
    scored_free(&scored);
    return OK;
}

static int submit(struct item *item, const char *where)
{
    struct message prompt[MAX_MESSAGES];
    struct text response;
    int n;
    TRY(score_item_read(item->line, where, prompt, &n, &response));
    return scorer_submit(&item->score->scorer, prompt, n, response.bytes, response.n_bytes, done, item);
}

static int begin(void *owner, int64_t index, json_t *line, const char *where)
{
    struct item *item = calloc(1, sizeof *item);
    if (!item)
        json_decref(line);
    CHECK(item, "out of memory for a line");
    *item = (struct item){owner, index, line};
    int status = submit(item, where);
    if (status != OK && item->line)
        drop(item);
    return status;
}

/* Sums over the data ranks; equal on all. */
static int report(struct score *s, int64_t n_errors, double seconds)
{
    int64_t sums[] = {s->n_scored, s->n_cut, s->n_critiques};
    TRY(all_reduce(s->session.mesh->data, sums, 3, COMM_I64, COMM_SUM, NULL));
    log_info("%s: %lld responses scored in %.1f s; %lld of %lld critiques cut by the limit", s->output, (long long)sums[0], seconds, (long long)sums[1], (long long)sums[2]);
    if (n_errors == 0)
        return OK;
    trace_share();
    return FAIL("%lld lines of %s could not be scored: their records in %s say why", (long long)n_errors, s->input, s->output);
}

static int score(struct score *s)
{
    int64_t n_errors;
    double started_s = clock_s();
    TRY(agree_status(s->session.world, session_check_reward(&s->session)));
    scorer_make(&s->session.config, s->session.trained.mode, s->session.encoder, s->session.infer.generator, &s->scorer);
    s->job = (struct line_job){.name = "score", .unit = "responses", .model = s->model, .input = s->input, .output = s->output, .session = &s->session,
                               .lines_of_block = LINES_OF_A_BLOCK, .begin = begin, .owner = s};
    TRY(line_run_open(&s->job, &s->run));
    TRY(line_run(s->run));
    TRY(line_run_finish(s->run, &n_errors));
    return report(s, n_errors, clock_s() - started_s);
}

int cmd_score(const struct command *command)
{
    if (command->serve)
        return serve(command);
    CHECK_USAGE(!command->token_file && !command->listen, "--token-file and --listen go with --serve PORT");
    CHECK_USAGE(command->argc == 3, "score takes three arguments: MODEL IN.jsonl OUT.jsonl");
    struct score *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory");
    s->model = command->argv[0];
    s->input = command->argv[1];
    s->output = command->argv[2];
    int status = session_open(command, s->model, command->config.device.batch_invariant != INVARIANT_OFF, &s->session);
    if (status == OK)
        status = score(s);
    if (status == STOPPED)
        log_info("stopped on request, %s holds whole lines: the same command goes on", s->output);
    scorer_drop(&s->scorer, drop);
    line_run_close(&s->run);
    session_close(&s->session);
    free(s);
    return status;
}
