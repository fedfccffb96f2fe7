/* option: one table makes the parser, the help, the print at start and the hash. A config is a struct of plain bytes whose fields the table describes. */
#ifndef BASE_OPTION_H
#define BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type { OPTION_TEXT, OPTION_INT, OPTION_NUMBER, OPTION_BOOL, OPTION_CHOICE };
/* What an option changes: what is learnt (NUMBERS), what is generated (GENERATES), both, or (PLACE) only where and how it is computed. A run or set that was begun
 * remembers the first two: a change is refused when it goes on. */
enum option_kind { PLACE = 0, NUMBERS = 1, GENERATES = 2 };
enum { OPTION_TEXT_SIZE = 1024 };

struct option {
    const char *section, *key;
    enum option_type type;
    int kind;                   /* of enum option_kind, joined by | */
    size_t offset;              /* of the field: char[OPTION_TEXT_SIZE], int64_t, double, bool, int (index of the choice) */
    const char *standard;       /* default, as text */
    double min, max;            /* INT and NUMBER */
    const char *choices;        /* CHOICE: words parted by | */
    const char *help;
};

struct option_table { const struct option *option; int n; };

/* Defaults into config. */
void options_default(const struct option_table *table, void *config);
/* YAML of sections with scalar keys. USAGE with file, line and the nearest known key for an unknown one. `where` names the text. */
int options_parse_yaml(const struct option_table *table, const char *text, size_t n_bytes, const char *where, void *config);
/* "section.key=value". */
int options_set(const struct option_table *table, const char *assignment, void *config);
/* The value of "section.key" as text. USAGE, with the nearest known key, for an unknown one. */
int options_get(const struct option_table *table, const char *name, const void *config, char out[OPTION_TEXT_SIZE]);
void options_help(const struct option_table *table, FILE *out);
/* Resolved config as YAML; malloc'd. */
int options_write_yaml(const struct option_table *table, const void *config, char **out);
/* Hash over the options of a kind. */
uint64_t options_hash(const struct option_table *table, int kind, const void *config);
/* The first option of a kind that differs, or NULL. Its values as text into a and b. */
const struct option *options_difference(const struct option_table *table, int kind, const void *config_a, const void *config_b, char a[OPTION_TEXT_SIZE], char b[OPTION_TEXT_SIZE]);

#endif
