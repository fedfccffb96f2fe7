/* metrics: JSON lines written and flushed one by one. */
#include "launch/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

static int64_t step_of(const char *line, size_t n)
{
    int64_t step = -1;
    json_t *object = json_loadb(line, n, 0, NULL);
    json_t *value = json_object_get(object, "step");
    if (json_is_integer(value))
        step = json_integer_value(value);
    json_decref(object);
    return step;
}

/* Keeps whole lines of earlier steps, in place of the file. */
static int cut(const char *path, int64_t first_step)
{
    char *text;
    size_t n_bytes, kept = 0;
    if (!file_exists(path))
        return OK;
    TRY(file_read(path, &text, &n_bytes));
    for (char *line = text, *end; (end = memchr(line, '\n', n_bytes - (size_t)(line - text))); line = end + 1) {
        size_t n = (size_t)(end - line) + 1;
        int64_t step = step_of(line, n);
        if (step >= 0 && step < first_step) {
            memmove(text + kept, line, n);
            kept += n;
        }
    }
    int status = file_write_atomic(path, text, kept);
    free(text);
    return status;
}

int metrics_open(const char *run_dir, int64_t first_step, struct metrics *m)
{
    char path[2048];
    TRY(path_join(path, sizeof path, run_dir, "metrics.jsonl"));
    TRY(cut(path, first_step));
    m->file = fopen(path, "a");
    CHECK(m->file, "cannot write %s: %s", path, strerror(errno));
    return OK;
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static int put_line(struct metrics *m, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(line);
    CHECK(text, "out of memory for a line of metrics.jsonl");
    int failed = fprintf(m->file, "%s\n", text) < 0 || fflush(m->file) != 0;
    free(text);
    CHECK(!failed, "cannot write metrics.jsonl: %s", strerror(errno));
    return OK;
}

int metrics_step(struct metrics *m, const struct step_result *r, const struct metrics_timing *t)
{
    json_t *line = json_object();
    json_object_set_new(line, "step", json_integer(r->step));
    json_object_set_new(line, "epoch", json_integer(r->epoch));
    json_object_set_new(line, "lambda", number(r->lambda));
    json_object_set_new(line, "loss", number(r->loss));
    json_object_set_new(line, "critique_loss", number(r->critique_loss));
    json_object_set_new(line, "reward_loss", number(r->reward_loss));
    json_object_set_new(line, "reward_accuracy", number(r->reward_accuracy));
    json_object_set_new(line, "reward_margin", number(r->reward_margin));
    json_object_set_new(line, "grad_norm", number(r->grad_norm));
    json_object_set_new(line, "lr", number(r->lr));
    json_object_set_new(line, "tokens", json_integer(r->tokens));
    json_object_set_new(line, "tokens_unshared", json_integer(r->tokens_unshared));
    json_object_set_new(line, "tokens_per_second", number((double)r->tokens / t->seconds));
    json_object_set_new(line, "pairs_per_second", number((double)r->n_pairs / t->seconds));
    json_object_set_new(line, "mfu", number(t->mfu));
    json_object_set_new(line, "seconds", number(t->seconds));
    json_object_set_new(line, "data_wait_seconds", number(t->data_wait_seconds));
    json_object_set_new(line, "memory_bytes", json_integer((json_int_t)t->memory_bytes));
    return put_line(m, line);
}

int metrics_eval(struct metrics *m, int64_t step, const struct heldout_result *r)
{
    json_t *line = json_object();
    json_object_set_new(line, "eval", json_true());
    json_object_set_new(line, "step", json_integer(step));
    json_object_set_new(line, "accuracy", number(r->accuracy));
    json_object_set_new(line, "margin", number(r->margin));
    json_object_set_new(line, "critique_perplexity", number(r->perplexity));
    json_object_set_new(line, "pairs", json_integer(r->n_pairs));
    return put_line(m, line);
}

void metrics_close(struct metrics *m)
{
    if (m->file)
        fclose(m->file);
    m->file = NULL;
}
