/* table: named rows of numbers and notes below them, as aligned text for a terminal and as JSON. */
#ifndef TRAINER_EVAL_TABLE_H
#define TRAINER_EVAL_TABLE_H

#include "base/json.h"

enum { TABLE_MAX_COLUMNS = 6 };

/* Text shows fractions in percent; JSON has them as they are. */
enum table_unit { TABLE_FRACTION, TABLE_COUNT };

struct table_column { const char *name; enum table_unit unit; };
struct table_row { const char *name; int level; double value[TABLE_MAX_COLUMNS]; };    /* level: 0, or deeper for a part of a row above */

/* Names of rows are borrowed. The last row is the overall. */
struct table {
    const char *name, *title;
    int n_columns, n_rows, n_notes;
    const struct table_column *column;
    struct table_row *row;
    char **note;
};

/* value, [n_columns]: NAN is shown as - and null. */
int table_add(struct table *table, int level, const char *name, const double *value);
int table_note(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_free(struct table *table);

/* The caller frees. */
int table_text(const struct table *table, char **out);
/* {"benchmark", "overall": {column: value}, "rows": [{"name", "level", column: value}], "notes": [text]}; a new reference. */
int table_json(const struct table *table, json_t **out);

#endif
