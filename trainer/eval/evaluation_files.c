/* evaluation_files: a result in a folder (evaluation.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "trainer/eval/benchmark_rules.h"
#include "trainer/eval/scores.h"

static int write_text(const char *folder, const char *name, const char *text, size_t n_bytes)
{
    char path[2048];
    TRY(path_join(path, sizeof path, folder, name));
    return file_write_atomic(path, text, n_bytes);
}

static int write_table_text(const struct table *table, const char *folder)
{
    char *text;
    TRY(table_text(table, &text));
    int status = write_text(folder, "table.txt", text, strlen(text));
    free(text);
    return status;
}

static int write_table_json(const struct evaluation *e, const struct evaluation_result *r, const struct evaluation_labels *labels, const char *folder)
{
    json_t *root;
    TRY(table_json(&r->table, &root));
    json_object_set_new(root, "model", json_string(labels->model));
    if (r->n_comparisons > 0) {
        json_object_set_new(root, "responses", json_integer(e->benchmark->n_responses));
        json_object_set_new(root, "responses_without_score", json_integer(r->n_unscored));
        json_object_set_new(root, "comparisons", json_integer(r->n_comparisons));
        json_object_set_new(root, "comparisons_without_score", json_integer(r->n_missing));
    }
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(root);
    CHECK(text, "out of memory for table.json");
    int status = write_text(folder, "table.json", text, strlen(text));
    free(text);
    return status;
}

/* ---- items.jsonl ----------------------------------------------------------------------------------------------------------------------------- */

static int put_item(const struct evaluation *e, const struct benchmark_item *item, double outcome, FILE *file)
{
    const struct benchmark_rules *rules = e->benchmark->rules;
    json_t *line = json_object();
    json_object_set(line, "id", item->id_value);
    json_object_set_new(line, "group", json_string_nocheck(item->group));
    if (rules->n_comparisons > 0)
        json_object_set_new(line, "scores", scores_json(e->score + item->first, item->n));
    json_object_set_new(line, "outcome", json_real(outcome));
    if (rules->describe)
        rules->describe(e, item, line);
    bool failed = json_dumpf(line, file, JSON_COMPACT) != 0 || fputc('\n', file) == EOF;
    json_decref(line);
    CHECK(!failed, "out of memory for the lines of items.jsonl");
    return OK;
}

static int write_items(const struct evaluation *e, const double *outcome, const char *folder)
{
    char *text = NULL;
    size_t n_bytes;
    int status = OK;
    FILE *file = open_memstream(&text, &n_bytes);
    CHECK(file, "out of memory for the lines of items.jsonl");
    for (int64_t i = 0; i < e->benchmark->n_items && status == OK; i++)
        status = put_item(e, &e->benchmark->item[i], outcome[i], file);
    if (fclose(file) != 0 && status == OK)
        status = FAIL("out of memory for the lines of items.jsonl");
    if (status == OK)
        status = write_text(folder, "items.jsonl", text, n_bytes);
    free(text);
    return status;
}

/* table.json says that all is there: it comes last. */
int evaluation_write(const struct evaluation *e, const struct evaluation_result *r, const struct evaluation_labels *labels, const char *folder)
{
    TRY(dir_make(folder));
    TRY(write_table_text(&r->table, folder));
    TRY(write_items(e, r->outcome, folder));
    if (e->benchmark->rules->write)
        TRY(e->benchmark->rules->write(e, r, labels, folder));
    return write_table_json(e, r, labels, folder);
}
