/* table: see table.h. */
#include "trainer/eval/table.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum { INDENT = 2 };

int table_add(struct table *t, int level, const char *name, const double *value)
{
    struct table_row *grown = realloc(t->row, ((size_t)t->n_rows + 1) * sizeof *grown);
    CHECK(grown, "out of memory for a table");
    t->row = grown;
    grown[t->n_rows] = (struct table_row){.name = name, .level = level};
    memcpy(grown[t->n_rows++].value, value, (size_t)t->n_columns * sizeof *value);
    return OK;
}

int table_note(struct table *t, const char *fmt, ...)
{
    va_list args;
    char **grown = realloc(t->note, ((size_t)t->n_notes + 1) * sizeof *grown);
    CHECK(grown, "out of memory for a table");
    t->note = grown;
    va_start(args, fmt);
    int n = vasprintf(&grown[t->n_notes], fmt, args);
    va_end(args);
    CHECK(n >= 0, "out of memory for a table");
    t->n_notes++;
    return OK;
}

void table_free(struct table *t)
{
    for (int i = 0; i < t->n_notes; i++)
        free(t->note[i]);
    free(t->note);
    free(t->row);
    *t = (struct table){0};
}

/* ---- text ------------------------------------------------------------------------------------------------------------------------------------ */

static void format_value(double value, enum table_unit unit, char *out, size_t size)
{
    if (isnan(value))
        snprintf(out, size, "-");
    else if (unit == TABLE_COUNT)
        snprintf(out, size, "%.0f", value);
    else
        snprintf(out, size, "%.1f%%", 100.0 * value);
}

static int name_width(const struct table *t)
{
    int width = (int)strlen(t->title);
    for (int i = 0; i < t->n_rows; i++) {
        int n = INDENT * t->row[i].level + (int)strlen(t->row[i].name);
        width = n > width ? n : width;
    }
    return width;
}

static int column_width(const struct table *t, int c)
{
    int width = (int)strlen(t->column[c].name);
    for (int i = 0; i < t->n_rows; i++) {
        char cell[64];
        format_value(t->row[i].value[c], t->column[c].unit, cell, sizeof cell);
        width = (int)strlen(cell) > width ? (int)strlen(cell) : width;
    }
    return width;
}

static void print_row(const struct table *t, const struct table_row *row, int names, const int *width, FILE *out)
{
    fprintf(out, "%*s%-*s", INDENT * row->level, "", names - INDENT * row->level, row->name);
    for (int c = 0; c < t->n_columns; c++) {
        char cell[64];
        format_value(row->value[c], t->column[c].unit, cell, sizeof cell);
        fprintf(out, "  %*s", width[c], cell);
    }
    fputc('\n', out);
}

static void print(const struct table *t, FILE *out)
{
    int names = name_width(t), width[TABLE_MAX_COLUMNS];
    for (int c = 0; c < t->n_columns; c++)
        width[c] = column_width(t, c);
    fprintf(out, "%-*s", names, t->title);
    for (int c = 0; c < t->n_columns; c++)
        fprintf(out, "  %*s", width[c], t->column[c].name);
    fputc('\n', out);
    for (int i = 0; i < t->n_rows; i++)
        print_row(t, &t->row[i], names, width, out);
    for (int i = 0; i < t->n_notes; i++)
        fprintf(out, "note: %s\n", t->note[i]);
}

int table_text(const struct table *t, char **out)
{
    size_t n_bytes;
    *out = NULL;
    FILE *file = open_memstream(out, &n_bytes);
    CHECK(file, "out of memory for a table");
    print(t, file);
    bool failed = ferror(file) != 0;
    if (fclose(file) == 0 && !failed)
        return OK;
    free(*out);
    *out = NULL;
    return FAIL("out of memory for a table");
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------------------------------ */

static void put_values(const struct table *t, const struct table_row *row, json_t *object)
{
    for (int c = 0; c < t->n_columns; c++) {
        double x = row->value[c];
        json_object_set_new(object, t->column[c].name, isnan(x) ? json_null() : t->column[c].unit == TABLE_COUNT ? json_integer((json_int_t)x) : json_real(x));
    }
}

static json_t *row_json(const struct table *t, const struct table_row *row)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string_nocheck(row->name));
    json_object_set_new(object, "level", json_integer(row->level));
    put_values(t, row, object);
    return object;
}

int table_json(const struct table *t, json_t **out)
{
    json_t *root = json_object(), *overall = json_object(), *rows = json_array(), *notes = json_array();
    for (int i = 0; i < t->n_rows; i++)
        json_array_append_new(rows, row_json(t, &t->row[i]));
    for (int i = 0; i < t->n_notes; i++)
        json_array_append_new(notes, json_string_nocheck(t->note[i]));
    put_values(t, &t->row[t->n_rows - 1], overall);
    json_object_set_new(root, "benchmark", json_string(t->name));
    json_object_set_new(root, "overall", overall);
    json_object_set_new(root, "rows", rows);
    json_object_set_new(root, "notes", notes);
    CHECK(root, "out of memory for a table");
    *out = root;
    return OK;
}
