/* line_run: see line_run.h. */
#include "launch/line_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/lines.h"
#include "base/log.h"
#include "comm/agree.h"
#include "launch/ordered_lines.h"
#include "launch/pace.h"
#include "trainer/model/fingerprint.h"

struct line_run {
    const struct line_job *job;
    struct pace pace;
    struct lines *lines;
    struct ordered_lines *out;          /* world rank 0 */
    int64_t n_done, n_done_errors;      /* lines that were there at the start; error records among them */
    int64_t n_lines, n_errors;          /* lines read; error records of this rank's lines */
    char *block;                        /* for rank 0: "index TAB line LF" each */
    size_t n_block, max_block;
    bool broken;                        /* a line could not be written */
};

static bool writes(const struct line_run *r) { return r->job->session->world->rank == 0; }

/* ---- lines out ------------------------------------------------------------------------------------------------------------------------------- */

static int append(struct line_run *r, int64_t index, const char *text)
{
    size_t n = strlen(text) + 32;
    if (r->n_block + n > r->max_block) {
        char *grown = realloc(r->block, 2 * (r->n_block + n));
        CHECK(grown, "out of memory for lines that rank 0 is to write");
        r->block = grown;
        r->max_block = 2 * (r->n_block + n);
    }
    r->n_block += (size_t)sprintf(r->block + r->n_block, "%lld\t%s\n", (long long)index, text);
    return OK;
}

/* Of a tensor group one rank's lines are enough. */
static int put(struct line_run *r, int64_t index, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    CHECK(text, "out of memory for line %lld of %s", (long long)index + 1, r->job->output);
    r->pace.n_ready++;
    if (writes(r))
        return ordered_lines_put(r->out, index, text);
    int status = r->job->session->mesh->tensor->rank == 0 ? append(r, index, text) : OK;
    free(text);
    return status;
}

int line_run_put(struct line_run *r, int64_t index, json_t *line)
{
    int status = put(r, index, line);
    r->broken = status != OK;
    return status;
}

int line_run_put_error(struct line_run *r, int64_t index)
{
    struct trace trace;
    char *sentence;
    size_t n_bytes;
    trace_take(&trace);
    TRY(text_repair(trace.sentence, strlen(trace.sentence), &sentence, &n_bytes));     /* it may quote a part of a character */
    json_t *line = json_pack("{s:I, s:s}", "line", (json_int_t)index + 1, "error", sentence);
    free(sentence);
    CHECK(line, "out of memory for an error record");
    r->n_errors++;
    return line_run_put(r, index, line);
}

static int write_block(struct line_run *r, char *text, size_t n)
{
    for (char *line = text, *end; line < text + n; line = end + 1) {
        char *tab;
        long long index = strtoll(line, &tab, 10);
        end = memchr(tab, '\n', n - (size_t)(tab - text));
        char *copy = strndup(tab + 1, (size_t)(end - tab - 1));
        CHECK(copy, "out of memory for a line of %s", r->job->output);
        TRY(ordered_lines_put(r->out, index, copy));
    }
    return OK;
}

static int end_block(struct line_run *r)
{
    void *all = NULL;
    size_t n = 0;
    TRY(agree_gather(r->job->session->mesh->data, 0, r->block, r->n_block, &all, &n));
    r->n_block = 0;
    int status = writes(r) ? write_block(r, all, n) : OK;
    free(all);
    return status;
}

/* ---- lines in -------------------------------------------------------------------------------------------------------------------------------- */

static int begin(struct line_run *r, int64_t index, const char *text, size_t n_bytes)
{
    char where[1200];
    json_t *line;
    snprintf(where, sizeof where, "%s, line %lld", r->job->input, (long long)index + 1);
    int status = json_parse(text, n_bytes, where, &line);
    if (status == OK && !json_is_object(line)) {
        json_decref(line);
        status = FAIL("%s: not a JSON object", where);
    } else if (status == OK) {
        status = r->job->begin(r->job->owner, index, line, where);
    }
    return status == FAILED && !r->broken ? line_run_put_error(r, index) : status;
}

/* The next line, begun when it is this rank's. A line that is no text gets its record too. */
static int take_line(struct line_run *r, bool *at_end)
{
    const char *text;
    size_t n_bytes;
    int64_t number;
    const struct comm *data = r->job->session->mesh->data;
    int status = lines_next(r->lines, &text, &n_bytes, &number);
    *at_end = status == OK && !text;
    if (*at_end || (status != OK && number == 0))
        return status;
    r->n_lines = number;
    bool mine = number > r->n_done && (number - 1) % data->size == data->rank;
    if (status != OK && mine)
        return line_run_put_error(r, number - 1);
    trace_clear();
    return mine ? begin(r, number - 1, text, n_bytes) : OK;
}

/* Without other data ranks the whole file is one block, and every line is written as soon as those before it are. */
static int run_block(struct line_run *r, bool *at_end)
{
    int64_t size = r->job->session->mesh->data->size, most = size > 1 ? r->job->lines_of_block * size : INT64_MAX;
    *at_end = false;
    for (int64_t i = 0; i < most && !*at_end && !r->pace.stop; i++) {
        TRY(pace_until(&r->pace, generator_wants));
        if (!r->pace.stop)
            TRY(take_line(r, at_end));
    }
    return pace_until(&r->pace, generator_is_idle);
}

/* A stopped block's lines are given up: they are not written yet. */
int line_run(struct line_run *r)
{
    pace_begin(&r->pace, r->job->name, r->job->unit, r->job->session);
    for (bool at_end = false; !at_end;) {
        TRY(run_block(r, &at_end));
        TRY(pace_meet(&r->pace));
        TRY(end_block(r));
    }
    return OK;
}

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

/* A run's latest checkpoint may be another by the next start: the sentence about it names checkpoints. */
static int open_out(struct line_run *r)
{
    const struct session *s = r->job->session;
    struct ordered_job job = {.input = r->job->input, .model = *s->checkpoint ? s->checkpoint : r->job->model, .config = &s->config};
    TRY(fingerprint_of(&s->config, s->checkpoint, &job.fingerprint));
    return ordered_lines_open(r->job->output, &job, &r->n_done, &r->out);
}

static int open_files(struct line_run *r)
{
    const struct line_job *job = r->job;
    struct comm *world = job->session->world;
    TRY(agree_status(world, writes(r) ? open_out(r) : OK));
    r->n_done_errors = writes(r) ? ordered_lines_errors(r->out) : 0;
    TRY(broadcast(world, &r->n_done, sizeof r->n_done, COMM_U8, 0, NULL));
    TRY(broadcast(world, &r->n_done_errors, sizeof r->n_done_errors, COMM_U8, 0, NULL));
    TRY(agree_status(world, lines_open(job->input, &r->lines)));
    if (r->n_done > 0)
        log_info("going on after %lld lines of %s", (long long)r->n_done, job->output);
    return OK;
}

int line_run_open(const struct line_job *job, struct line_run **out)
{
    struct line_run *r = calloc(1, sizeof *r);
    CHECK(r, "out of memory for a run over %s", job->input);
    r->job = job;
    *out = r;
    return open_files(r);
}

int line_run_finish(struct line_run *r, int64_t *n_errors)
{
    *n_errors = r->n_errors;
    TRY(all_reduce(r->job->session->mesh->data, n_errors, 1, COMM_I64, COMM_SUM, NULL));
    *n_errors += r->n_done_errors;
    return agree_status(r->job->session->world, writes(r) ? ordered_lines_finish(&r->out, r->n_lines) : OK);
}

void line_run_close(struct line_run **out)
{
    struct line_run *r = *out;
    if (!r)
        return;
    lines_close(&r->lines);
    ordered_lines_close(&r->out);
    free(r->block);
    free(r);
    *out = NULL;
}
