/* score: JSON lines of prompt and response -> the same lines with critiques and reward (method.md, section 4). A bad line gets an error record, and the job goes on. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/lines.h"
#include "base/log.h"
#include "comm/agree.h"
#include "comm/stop.h"
#include "comm/watchdog.h"
#include "launch/ordered_lines.h"
#include "launch/progress.h"
#include "launch/score_item.h"
#include "launch/serve.h"
#include "launch/session.h"

enum { LINES_OF_A_BLOCK = 32, PASSES_BETWEEN_LOOKS = 64 };

struct score {
    const char *model, *input, *output;
    struct session session;
    struct scorer scorer;
    struct lines *lines;
    struct ordered_lines *out;          /* world rank 0 */
    int64_t n_done, n_done_errors, n_lines;     /* lines that were there at the start; error records among them; lines read */
    int64_t n_scored, n_errors, n_cut, n_critiques, passes;
    char *block;                        /* results for rank 0: "index TAB line LF" each */
    size_t n_block, max_block;
    bool stop;
};

/* A line at work. */
struct item { struct score *score; int64_t index; json_t *line; };

/* ---- results --------------------------------------------------------------------------------------------------------------------------------- */

static int append(struct score *s, int64_t index, const char *text)
{
    size_t n = strlen(text) + 32;
    if (s->n_block + n > s->max_block) {
        char *grown = realloc(s->block, 2 * (s->n_block + n));
        CHECK(grown, "out of memory for results");
        s->block = grown;
        s->max_block = 2 * (s->n_block + n);
    }
    s->n_block += (size_t)sprintf(s->block + s->n_block, "%lld\t%s\n", (long long)index, text);
    return OK;
}

/* Rank 0 writes its own results at once; those of other data ranks reach it at the end of a block. */
static int put(struct score *s, int64_t index, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    CHECK(text, "out of memory for a result");
    if (s->session.world->rank == 0)
        return ordered_lines_put(s->out, index, text);
    int status = append(s, index, text);
    free(text);
    return status;
}

static int put_error(struct score *s, int64_t index, const char *sentence)
{
    json_t *line = json_pack("{s:I, s:s}", "line", (json_int_t)index + 1, "error", sentence);
    CHECK(line, "out of memory for an error record");
    s->n_errors++;
    return put(s, index, line);
}

/* The trace is put in the record, and is no failure of the job. */
static int put_trace(struct score *s, int64_t index)
{
    struct trace trace;
    trace_take(&trace);
    return put_error(s, index, trace.sentence);
}

static void count(struct score *s, const struct scored *scored)
{
    s->n_scored++;
    s->n_cut += scored->n_cut;
    s->n_critiques += s->scorer.reads_critique ? scored->n : 0;
}

static int done(void *owner, struct scored *scored)
{
    struct item *item = owner;
    struct score *s = item->score;
    int status;
    if (score_item_finish(item->line, scored, s->session.infer.model.max_position) == OK) {
        count(s, scored);
        status = put(s, item->index, item->line);
    } else {
        json_decref(item->line);
        status = put_trace(s, item->index);
    }
    free(item);
    scored_free(&scored);
    return status;
}

static void drop(void *owner)
{
    struct item *item = owner;
    json_decref(item->line);
    free(item);
}

/* ---- lines ----------------------------------------------------------------------------------------------------------------------------------- */

/* Takes line, also on failure. */
static int submit(struct score *s, int64_t index, json_t *line, const struct message *prompt, int n, struct text response)
{
    struct item *item = calloc(1, sizeof *item);
    if (!item)
        json_decref(line);
    CHECK(item, "out of memory for a line");
    *item = (struct item){s, index, line};
    int status = scorer_submit(&s->scorer, prompt, n, response.bytes, response.n_bytes, done, item);
    if (status != FAILED)
        return status;
    json_decref(line);
    free(item);
    return put_trace(s, index);
}

static int parse(struct score *s, int64_t index, const char *text, size_t n_bytes)
{
    char where[1200];
    struct message prompt[MAX_MESSAGES];
    struct text response;
    json_t *line;
    int n;
    snprintf(where, sizeof where, "%s, line %lld", s->input, (long long)index + 1);
    if (json_parse(text, n_bytes, where, &line) != OK)
        return put_trace(s, index);
    if (score_item_read(line, where, prompt, &n, &response) == OK)
        return submit(s, index, line, prompt, n, response);
    json_decref(line);
    return put_trace(s, index);
}

/* The next line, begun when it is this rank's. A line that is no text gets its record too. */
static int take_line(struct score *s, bool *at_end)
{
    const char *text;
    size_t n_bytes;
    int64_t number;
    int status = lines_next(s->lines, &text, &n_bytes, &number);
    *at_end = status == OK && !text;
    if (*at_end || (status != OK && number == 0))
        return status;
    s->n_lines = number;
    bool mine = number > s->n_done && (number - 1) % s->session.mesh->data->size == s->session.mesh->data->rank;
    if (status != OK && mine)
        return put_trace(s, number - 1);
    trace_clear();
    return mine ? parse(s, number - 1, text, n_bytes) : OK;
}

static int look(struct score *s) { return ++s->passes % PASSES_BETWEEN_LOOKS == 0 ? stop_requested(s->session.mesh->tensor, &s->stop) : OK; }

static int run_until(struct score *s, bool (*reached)(const struct generator *))
{
    while (!reached(s->session.infer.generator) && !s->stop) {
        TRY(generator_step(s->session.infer.generator));
        TRY(look(s));
    }
    return OK;
}

/* A block of lines: without other data ranks the whole file is one, and every line is written as soon as those before it are. */
static int run_block(struct score *s, bool *at_end)
{
    int64_t size = s->session.mesh->data->size, most = size > 1 ? LINES_OF_A_BLOCK * size : INT64_MAX;
    *at_end = false;
    for (int64_t i = 0; i < most && !*at_end && !s->stop; i++) {
        TRY(run_until(s, generator_wants));
        TRY(take_line(s, at_end));
    }
    return run_until(s, generator_is_idle);
}

static int write_results(struct score *s, char *text, size_t n)
{
    for (char *line = text, *end; line < text + n; line = end + 1) {
        char *tab;
        long long index = strtoll(line, &tab, 10);
        end = memchr(tab, '\n', n - (size_t)(tab - text));
        char *copy = strndup(tab + 1, (size_t)(end - tab - 1));
        CHECK(copy, "out of memory for a result");
        TRY(ordered_lines_put(s->out, index, copy));
    }
    return OK;
}

/* Blocks are of equal length for all, so the wait is short; a stopped block's lines are given up: they are not written yet. */
static int end_block(struct score *s)
{
    void *all = NULL;
    size_t n = 0;
    TRY(agree_gather(s->session.mesh->data, 0, s->block, s->n_block, &all, &n));
    s->n_block = 0;
    int status = s->session.world->rank == 0 ? write_results(s, all, n) : OK;
    free(all);
    return status;
}

static int run_all(struct score *s)
{
    bool at_end = false;
    while (!at_end && !s->stop) {
        TRY(run_block(s, &at_end));
        watchdog_patient(true);
        TRY(stop_requested(s->session.world, &s->stop));
        watchdog_patient(false);
        if (!s->stop || s->session.mesh->data->size == 1)
            TRY(end_block(s));
    }
    return s->stop ? STOPPED : OK;      /* behind the last line too: lines may be at work still */
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------------------- */

static int begin(struct score *s)
{
    struct comm *world = s->session.world;
    TRY(agree_status(world, session_check_reward(&s->session)));
    TRY(agree_status(world, world->rank == 0 ? ordered_lines_open(s->output, s->input, s->model, &s->session.config, &s->n_done, &s->out) : OK));
    s->n_done_errors = s->out ? ordered_lines_errors(s->out) : 0;
    TRY(broadcast(world, &s->n_done, sizeof s->n_done, COMM_U8, 0, NULL));
    TRY(broadcast(world, &s->n_done_errors, sizeof s->n_done_errors, COMM_U8, 0, NULL));
    TRY(agree_status(world, lines_open(s->input, &s->lines)));
    scorer_make(&s->session.config, s->session.trained.mode, s->session.encoder, s->session.infer.generator, &s->scorer);
    if (s->n_done > 0)
        log_info("going on after %lld lines of %s", (long long)s->n_done, s->output);
    return OK;
}

/* Sums over the data ranks; equal on all. */
static int finish(struct score *s, double seconds)
{
    int64_t sums[] = {s->n_scored, s->n_errors, s->n_cut, s->n_critiques};
    TRY(all_reduce(s->session.mesh->data, sums, 4, COMM_I64, COMM_SUM, NULL));
    if (s->session.world->rank == 0)
        TRY(ordered_lines_finish(&s->out, s->n_lines));
    log_info("%s: %lld responses scored in %.1f s; %lld of %lld critiques cut by the limit", s->output, (long long)sums[0], seconds, (long long)sums[2], (long long)sums[3]);
    int64_t n_errors = s->n_done_errors + sums[1];
    if (n_errors == 0)
        return OK;
    trace_share();
    return FAIL("%lld lines of %s could not be scored: their records in %s say why", (long long)n_errors, s->input, s->output);
}

static int score(struct score *s)
{
    double started_s = clock_s();
    TRY(begin(s));
    watchdog_phase("score");
    TRY(run_all(s));
    return finish(s, clock_s() - started_s);
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
    session_close(&s->session);
    lines_close(&s->lines);
    ordered_lines_close(&s->out);
    free(s->block);
    free(s);
    return status;
}
