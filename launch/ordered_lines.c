/* ordered_lines: see ordered_lines.h. */
#include "launch/ordered_lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"

struct waiting { int64_t index; char *text; };

struct ordered_lines {
    char path[2048], job[2100];
    FILE *file;
    int64_t n_written, n_errors;        /* n_errors: error records among the lines that were there at the start */
    struct waiting *waiting;    /* lines that came before their turn, in no order */
    int64_t n_waiting, max_waiting;
};

/* ---- the job --------------------------------------------------------------------------------------------------------------------------------- */

static int job_json(const struct ordered_job *job, json_t **out)
{
    char input_hex[HASH_HEX_SIZE], model_hex[HASH_HEX_SIZE], *options;
    uint64_t hash, n_bytes;
    TRY(hash_file(job->input, &hash, &n_bytes));
    hash_to_hex(hash, input_hex);
    hash_to_hex(job->fingerprint, model_hex);
    TRY(options_write_yaml(config_options(), job->config, &options));
    *out = json_pack("{s:s, s:s, s:s, s:s, s:s}", "input", job->input, "input_xxh3", input_hex, "model", job->model, "model_xxh3", model_hex, "options", options);
    free(options);
    CHECK(*out, "out of memory");
    return OK;
}

static int same_text(json_t *was, json_t *is, const char *key, const char *where)
{
    const char *a, *b;
    TRY(json_get_text(was, key, where, &a));
    TRY(json_get_text(is, key, where, &b));
    CHECK_USAGE(strcmp(a, b) == 0, "%s was begun with %s '%s', and this is '%s': set it back, or write to another file", where, key, a, b);
    return OK;
}

static int same_model(json_t *was, json_t *is, const char *where)
{
    const char *path, *fingerprint = NULL;
    TRY(json_get_text(was, "model", where, &path));
    TRY(json_opt_text(was, "model_xxh3", where, &fingerprint));
    if (!fingerprint)
        return same_text(was, is, "model", where);
    CHECK_USAGE(strcmp(fingerprint, json_string_value(json_object_get(is, "model_xxh3"))) == 0,
                "%s was begun with another model: '%s', and the contents of '%s' now are others: give that one, or write to another file", where, path,
                json_string_value(json_object_get(is, "model")));
    return OK;
}

static int same_options(json_t *was, const struct config *config, const char *where)
{
    const char *text;
    char a[OPTION_TEXT_SIZE], b[OPTION_TEXT_SIZE];
    TRY(json_get_text(was, "options", where, &text));
    struct config *saved = calloc(1, sizeof *saved);
    CHECK(saved, "out of memory");
    options_default(config_options(), saved);
    int status = options_parse_yaml(config_options(), text, strlen(text), where, saved);
    const struct option *o = status == OK ? options_difference(config_options(), GENERATES, saved, config, a, b) : NULL;
    free(saved);
    TRY(status);
    CHECK_USAGE(!o, "%s was begun with %s.%s %s, and this is %s: set it back, or write to another file", where, o->section, o->key, a, b);
    return OK;
}

static int check_job(const struct ordered_lines *l, json_t *job, const struct config *config)
{
    json_t *was;
    TRY(json_parse_file(l->job, &was));
    int status = same_text(was, job, "input_xxh3", l->job);
    if (status == OK)
        status = same_model(was, job, l->job);
    if (status == OK)
        status = same_options(was, config, l->job);
    json_decref(was);
    return status;
}

static int write_job(const struct ordered_lines *l, json_t *job)
{
    char *text = json_dumps(job, JSON_INDENT(1));
    CHECK(text, "out of memory while writing %s", l->job);
    int status = file_write_atomic(l->job, text, strlen(text));
    free(text);
    return status;
}

/* ---- lines ----------------------------------------------------------------------------------------------------------------------------------- */

/* A line with a result has more keys, whatever its first ones are. */
static bool is_error_record(const char *line, size_t n_bytes)
{
    static const char begin[] = "{\"line\":";
    bool may_be = n_bytes >= sizeof begin && memcmp(line, begin, sizeof begin - 1) == 0;
    json_t *record = may_be ? json_loadb(line, n_bytes, 0, NULL) : NULL;
    bool is = json_object_size(record) == 2 && json_object_get(record, "error");
    json_decref(record);
    return is;
}

/* Counts whole lines and cuts off a part of one. */
static int count_lines(struct ordered_lines *l)
{
    char *text, *end;
    size_t n_bytes, whole = 0;
    if (!file_exists(l->path))
        return OK;
    TRY(file_read(l->path, &text, &n_bytes));
    for (; (end = memchr(text + whole, '\n', n_bytes - whole)); whole = (size_t)(end - text) + 1) {
        l->n_written++;
        l->n_errors += is_error_record(text + whole, (size_t)(end - text) - whole);
    }
    free(text);
    CHECK(truncate(l->path, (off_t)whole) == 0, "cannot cut %s to its whole lines: %s", l->path, strerror(errno));
    return OK;
}

static int check_place(const struct ordered_lines *l, const char *input)
{
    struct stat from, to;
    if (stat(l->path, &to) != 0)
        return OK;
    CHECK_USAGE(!S_ISDIR(to.st_mode), "%s is a folder: name a file to write", l->path);
    CHECK_USAGE(stat(input, &from) != 0 || from.st_dev != to.st_dev || from.st_ino != to.st_ino, "%s is the input: name another file to write", l->path);
    return OK;
}

/* Of two jobs on one file the second would double its lines. */
static int lock(const struct ordered_lines *l)
{
    bool locked = flock(fileno(l->file), LOCK_EX | LOCK_NB) == 0;
    CHECK(locked || errno != EWOULDBLOCK, "another job is writing %s: wait for it, or write to another file", l->path);
    if (!locked)
        log_warn("%s lies on a file system that gives no locks (%s): no other job may write it", l->path, strerror(errno));
    return OK;
}

static int begin(struct ordered_lines *l, const struct ordered_job *of)
{
    json_t *job;
    bool begun = file_exists(l->job);
    TRY(check_place(l, of->input));
    CHECK(begun || !file_exists(l->path), "%s is there and complete: remove it, or write to another file", l->path);
    TRY(job_json(of, &job));
    int status = begun ? check_job(l, job, of->config) : write_job(l, job);
    json_decref(job);
    TRY(status);
    l->file = fopen(l->path, "a");
    CHECK(l->file, "cannot write %s: %s", l->path, strerror(errno));
    TRY(lock(l));
    return count_lines(l);
}

int ordered_lines_open(const char *path, const struct ordered_job *job, int64_t *n_done, struct ordered_lines **out)
{
    CHECK_USAGE(strlen(path) < sizeof (*out)->path - 16, "the path %s is too long", path);
    struct ordered_lines *l = calloc(1, sizeof *l);
    CHECK(l, "out of memory");
    strcpy(l->path, path);
    snprintf(l->job, sizeof l->job, "%s.job.json", path);
    int status = begin(l, job);
    if (status != OK) {
        ordered_lines_close(&l);
        return status;
    }
    *n_done = l->n_written;
    *out = l;
    return OK;
}

int64_t ordered_lines_errors(const struct ordered_lines *l) { return l->n_errors; }

static int write_line(struct ordered_lines *l, char *text)
{
    bool written = fputs(text, l->file) >= 0 && fputc('\n', l->file) != EOF && fflush(l->file) == 0;
    free(text);
    CHECK(written, "cannot write %s: %s", l->path, strerror(errno));
    l->n_written++;
    return OK;
}

static int keep(struct ordered_lines *l, int64_t index, char *text)
{
    if (l->n_waiting == l->max_waiting) {
        struct waiting *grown = realloc(l->waiting, (size_t)(2 * l->max_waiting + 64) * sizeof *grown);
        CHECK(grown, "out of memory for lines that wait for earlier ones");
        l->waiting = grown;
        l->max_waiting = 2 * l->max_waiting + 64;
    }
    l->waiting[l->n_waiting++] = (struct waiting){index, text};
    return OK;
}

/* The line that comes next, NULL while it is not there. */
static char *take_next(struct ordered_lines *l)
{
    for (int64_t i = 0; i < l->n_waiting; i++)
        if (l->waiting[i].index == l->n_written) {
            char *text = l->waiting[i].text;
            l->waiting[i] = l->waiting[--l->n_waiting];
            return text;
        }
    return NULL;
}

int ordered_lines_put(struct ordered_lines *l, int64_t index, char *text)
{
    ASSERT(index >= l->n_written);
    TRY(keep(l, index, text));
    for (char *next; (next = take_next(l));)
        TRY(write_line(l, next));
    return OK;
}

void ordered_lines_close(struct ordered_lines **out)
{
    struct ordered_lines *l = *out;
    if (!l)
        return;
    if (l->file)
        fclose(l->file);
    for (int64_t i = 0; i < l->n_waiting; i++)
        free(l->waiting[i].text);
    free(l->waiting);
    free(l);
    *out = NULL;
}

int ordered_lines_finish(struct ordered_lines **out, int64_t n)
{
    struct ordered_lines *l = *out;
    ASSERT(l->n_written == n && l->n_waiting == 0);
    bool closed = fclose(l->file) == 0;
    l->file = NULL;
    int status = closed ? file_sync(l->path) : FAIL("cannot write %s: %s", l->path, strerror(errno));
    if (status == OK)
        status = file_remove(l->job);
    ordered_lines_close(out);
    return status;
}
