/* margins: see margins.h. */
#include "launch/margins.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

static json_t *piece(const char *text, const uint64_t *offset) { return json_stringn_nocheck(text + offset[0], (size_t)(offset[1] - offset[0])); }

static int put_line(FILE *file, int64_t step, const struct dsub *d, int64_t number, double margin)
{
    const struct shard *s = d->shard[d->pair[number].file];
    int32_t i = d->pair[number].index;
    json_t *line = json_object();
    json_object_set_new(line, "step", json_integer(step));
    json_object_set_new(line, "source", json_integer((json_int_t)s->source[i]));
    json_object_set_new(line, "id", piece(s->id, s->id_offset + i));
    json_object_set_new(line, "subset", piece(s->subset, s->subset_offset + i));
    json_object_set_new(line, "margin", isfinite(margin) ? json_real(margin) : json_null());
    int failed = json_dumpf(line, file, JSON_COMPACT | JSON_REAL_PRECISION(12)) != 0 || fputc('\n', file) == EOF;
    json_decref(line);
    CHECK(!failed, "out of memory for the lines of heldout.jsonl");
    return OK;
}

int margins_write(const char *run_dir, int64_t step, const struct dsub_view *view, const double *margin)
{
    char path[2048], *text = NULL;
    size_t n_bytes;
    int status = OK;
    TRY(path_join(path, sizeof path, run_dir, "heldout.jsonl"));
    FILE *file = open_memstream(&text, &n_bytes);
    CHECK(file, "out of memory for the lines of heldout.jsonl");
    for (int64_t i = 0; i < view->n_pairs && status == OK; i++)
        status = put_line(file, step, view->dsub, view->number[i], margin[i]);
    fclose(file);
    if (status == OK)
        status = file_write_atomic(path, text, n_bytes);
    free(text);
    return status;
}
