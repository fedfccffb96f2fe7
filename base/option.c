/* option: see option.h. */
#include "base/option.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/hash.h"
#include "base/lines.h"
#include "base/status.h"

/* ---- values -------------------------------------------------------------------------------------------------------------------------------- */

static void *field(const struct option *o, void *config) { return (char *)config + o->offset; }
static const void *field_const(const struct option *o, const void *config) { return (const char *)config + o->offset; }

/* Word i of "a|b|c" into out; false past the end. */
static bool choice_word(const char *choices, int i, char *out, size_t size)
{
    for (; i > 0; i--) {
        choices = strchr(choices, '|');
        if (!choices)
            return false;
        choices++;
    }
    snprintf(out, size, "%.*s", (int)strcspn(choices, "|"), choices);
    return true;
}

static int parse_choice(const struct option *o, const char *text, const char *where, int *out)
{
    char word[64];
    for (int i = 0; choice_word(o->choices, i, word, sizeof word); i++)
        if (strcmp(word, text) == 0) {
            *out = i;
            return OK;
        }
    return FAIL_USAGE("%s: %s.%s is '%.64s'; it must be one of %s", where, o->section, o->key, text, o->choices);
}

static int parse_number(const struct option *o, const char *text, const char *where, double *out)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    CHECK_USAGE(*text && !*end && errno == 0 && isfinite(value), "%s: %s.%s is '%.64s', not a number", where, o->section, o->key, text);
    CHECK_USAGE(value >= o->min && value <= o->max, "%s: %s.%s is %.64s, not between %g and %g", where, o->section, o->key, text, o->min, o->max);
    *out = value;
    return OK;
}

static int parse_int(const struct option *o, const char *text, const char *where, int64_t *out)
{
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    CHECK_USAGE(*text && !*end && errno == 0, "%s: %s.%s is '%.64s', not a whole number", where, o->section, o->key, text);
    CHECK_USAGE((double)value >= o->min && (double)value <= o->max, "%s: %s.%s is %.64s, not between %.0f and %.0f", where, o->section, o->key, text, o->min, o->max);
    *out = value;
    return OK;
}

/* Text that YAML gives back as it is, on one line: valid UTF-8 without control characters, U+2028, U+2029, U+FEFF, U+FFFE and U+FFFF. */
static bool one_line(const char *text)
{
    static const char *const refused[] = {"\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf"};
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xC2 && c[1] < 0xA0))
            return false;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strstr(text, refused[i]))
            return false;
    return utf8_valid(text, strlen(text));
}

static int parse_text(const struct option *o, const char *text, const char *where, char *out)
{
    size_t n = strlen(text);
    CHECK_USAGE(n < OPTION_TEXT_SIZE, "%s: %s.%s is longer than %d bytes", where, o->section, o->key, OPTION_TEXT_SIZE - 1);
    CHECK_USAGE(one_line(text), "%s: %s.%s must be one line of UTF-8 without control characters", where, o->section, o->key);
    memset(out, 0, OPTION_TEXT_SIZE);
    memcpy(out, text, n);
    return OK;
}

static int parse_value(const struct option *o, const char *text, const char *where, void *config)
{
    switch (o->type) {
    case OPTION_TEXT: return parse_text(o, text, where, field(o, config));
    case OPTION_INT: return parse_int(o, text, where, field(o, config));
    case OPTION_NUMBER: return parse_number(o, text, where, field(o, config));
    case OPTION_CHOICE: return parse_choice(o, text, where, field(o, config));
    case OPTION_BOOL: break;
    }
    bool yes = strcmp(text, "true") == 0;
    CHECK_USAGE(yes || strcmp(text, "false") == 0, "%s: %s.%s is '%.64s'; it must be true or false", where, o->section, o->key, text);
    *(bool *)field(o, config) = yes;
    return OK;
}

static void print_value(const struct option *o, const void *config, char out[OPTION_TEXT_SIZE])
{
    const void *at = field_const(o, config);
    switch (o->type) {
    case OPTION_TEXT: snprintf(out, OPTION_TEXT_SIZE, "%s", (const char *)at); return;
    case OPTION_INT: snprintf(out, OPTION_TEXT_SIZE, "%lld", (long long)*(const int64_t *)at); return;
    case OPTION_NUMBER: snprintf(out, OPTION_TEXT_SIZE, "%.17g", *(const double *)at); return;
    case OPTION_BOOL: snprintf(out, OPTION_TEXT_SIZE, "%s", *(const bool *)at ? "true" : "false"); return;
    case OPTION_CHOICE: choice_word(o->choices, *(const int *)at, out, OPTION_TEXT_SIZE); return;
    }
}

void options_default(const struct option_table *table, void *config)
{
    for (int i = 0; i < table->n; i++)
        if (parse_value(&table->option[i], table->option[i].standard, "default", config) != OK)
            assert_failed(__FILE__, __LINE__, trace_sentence());
}

/* ---- keys ---------------------------------------------------------------------------------------------------------------------------------- */

static size_t edit_distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    size_t n = strlen(b), row[MOST + 1];
    if (n > MOST)
        n = MOST;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]), up = row[j] + 1, left = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < up ? (change < left ? change : left) : (up < left ? up : left);
        }
    }
    return row[n];
}

static void full_key(const struct option *o, char out[128]) { snprintf(out, 128, "%s.%s", o->section, o->key); }

static int find_key(const struct option_table *table, const char *key, const char *where, const struct option **out)
{
    size_t best = SIZE_MAX;
    char name[128], nearest[128] = "";
    for (int i = 0; i < table->n; i++) {
        full_key(&table->option[i], name);
        if (strcmp(key, name) == 0) {
            *out = &table->option[i];
            return OK;
        }
        size_t distance = edit_distance(key, strchr(key, '.') ? name : table->option[i].key);      /* whoever left out the section */
        if (distance < best) {
            best = distance;
            strcpy(nearest, name);
        }
    }
    return FAIL_USAGE("%s: there is no option %.64s; did you mean %s?", where, key, nearest);
}

static int check_section(const struct option_table *table, const char *section, const char *where)
{
    const char *nearest = "";
    size_t best = SIZE_MAX;
    for (int i = 0; i < table->n && best > 0; i++) {
        size_t distance = edit_distance(section, table->option[i].section);
        if (distance < best) {
            best = distance;
            nearest = table->option[i].section;
        }
    }
    CHECK_USAGE(best == 0, "%s: there is no section %.64s; did you mean %s?", where, section, nearest);
    return OK;
}

int options_set(const struct option_table *table, const char *assignment, void *config)
{
    char key[128];
    const struct option *o;
    const char *equals = strchr(assignment, '=');
    CHECK_USAGE(equals && (size_t)(equals - assignment) < sizeof key, "--set %.64s: write --set section.key=value", assignment);
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
    TRY(find_key(table, key, "--set", &o));
    return parse_value(o, equals + 1, "--set", config);
}

int options_get(const struct option_table *table, const char *name, const void *config, char out[OPTION_TEXT_SIZE])
{
    const struct option *o;
    TRY(find_key(table, name, "config", &o));
    print_value(o, config, out);
    return OK;
}

/* ---- YAML ---------------------------------------------------------------------------------------------------------------------------------- */

struct yaml_reader {
    const struct option_table *table;
    const char *where;
    void *config;
    bool *seen;                 /* [table->n] */
    int depth;                  /* 0 outside, 1 among sections, 2 inside a section */
    bool have_key;
    char section[64], key[64];
};

static void place_of(const struct yaml_reader *r, const yaml_event_t *event, char out[1200])
{
    snprintf(out, 1200, "%s, line %zu", r->where, event->start_mark.line + 1);
}

static int on_value(struct yaml_reader *r, const char *value, const char *place)
{
    char name[160];
    const struct option *o;
    snprintf(name, sizeof name, "%s.%s", r->section, r->key);
    TRY(find_key(r->table, name, place, &o));
    CHECK_USAGE(!r->seen[o - r->table->option], "%s: %s is set twice", place, name);
    r->seen[o - r->table->option] = true;
    r->have_key = false;
    return parse_value(o, value, place, r->config);
}

static int on_scalar(struct yaml_reader *r, const yaml_event_t *event)
{
    char place[1200];
    const char *text = (const char *)event->data.scalar.value;
    place_of(r, event, place);
    CHECK_USAGE(strlen(text) == event->data.scalar.length, "%s: a text holds a zero byte", place);
    if (r->depth == 2 && r->have_key)
        return on_value(r, text, place);
    if (*text == 0 && r->depth < 2) {               /* an empty file, or a section whose lines are all comments */
        r->have_key = false;
        return OK;
    }
    CHECK_USAGE(r->depth > 0 && !(r->depth == 1 && r->have_key), "%s: expected 'section:' with indented 'key: value' lines, not '%.40s'", place, text);
    CHECK_USAGE(strlen(text) < sizeof r->key, "%s: the key '%.40s...' is too long", place, text);
    strcpy(r->depth == 1 ? r->section : r->key, text);
    r->have_key = true;
    return r->depth == 1 ? check_section(r->table, text, place) : OK;
}

static int on_event(struct yaml_reader *r, const yaml_event_t *event)
{
    char place[1200];
    place_of(r, event, place);
    switch (event->type) {
    case YAML_SCALAR_EVENT: return on_scalar(r, event);
    case YAML_MAPPING_START_EVENT:
        CHECK_USAGE(r->depth == 0 || (r->depth == 1 && r->have_key), "%s: sections hold plain 'key: value' lines", place);
        r->depth++;
        r->have_key = false;
        return OK;
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        r->have_key = false;
        return OK;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_ALIAS_EVENT: return FAIL_USAGE("%s: lists and aliases are not used in a config", place);
    default: return OK;
    }
}

static int read_events(struct yaml_reader *r, yaml_parser_t *parser)
{
    for (bool done = false; !done;) {
        yaml_event_t event;
        CHECK_USAGE(yaml_parser_parse(parser, &event), "%s, line %zu: not valid YAML: %s", r->where, parser->problem_mark.line + 1, parser->problem ? parser->problem : "unreadable");
        int status = on_event(r, &event);
        done = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        TRY(status);
    }
    return OK;
}

int options_parse_yaml(const struct option_table *table, const char *text, size_t n_bytes, const char *where, void *config)
{
    yaml_parser_t parser;
    struct yaml_reader reader = {.table = table, .where = where, .config = config, .seen = calloc((size_t)table->n, 1)};
    CHECK(reader.seen, "out of memory while reading %s", where);
    if (!yaml_parser_initialize(&parser)) {
        free(reader.seen);
        return FAIL("out of memory while reading %s", where);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n_bytes);
    int status = read_events(&reader, &parser);
    yaml_parser_delete(&parser);
    free(reader.seen);
    return status;
}

/* ---- print --------------------------------------------------------------------------------------------------------------------------------- */

static void print_bounds(const struct option *o, FILE *out)
{
    if (o->type == OPTION_CHOICE)
        fprintf(out, "one of %s", o->choices);
    else if (o->type == OPTION_INT || o->type == OPTION_NUMBER)
        fprintf(out, "%s, %g to %g", o->type == OPTION_INT ? "integer" : "number", o->min, o->max);
    else
        fprintf(out, "%s", o->type == OPTION_BOOL ? "true or false" : "text");
}

void options_help(const struct option_table *table, FILE *out)
{
    for (int i = 0; i < table->n; i++) {
        const struct option *o = &table->option[i];
        if (i == 0 || strcmp(o->section, table->option[i - 1].section) != 0)
            fprintf(out, "\n%s:\n", o->section);
        fprintf(out, "  %s: %s   (", o->key, *o->standard ? o->standard : "\"\"");
        print_bounds(o, out);
        fprintf(out, "%s)\n      %s\n", o->kind != PLACE ? "; changes the result" : "", o->help);
    }
}

static void print_quoted(const char *text, FILE *out)
{
    fputc('\'', out);
    for (; *text; text++)
        fputs(*text == '\'' ? "''" : (char[]){*text, 0}, out);
    fputc('\'', out);
}

int options_write_yaml(const struct option_table *table, const void *config, char **out)
{
    size_t n_bytes;
    char value[OPTION_TEXT_SIZE];
    FILE *stream = open_memstream(out, &n_bytes);
    CHECK(stream, "out of memory while printing the config");
    for (int i = 0; i < table->n; i++) {
        const struct option *o = &table->option[i];
        if (i == 0 || strcmp(o->section, table->option[i - 1].section) != 0)
            fprintf(stream, "%s:\n", o->section);
        print_value(o, config, value);
        fprintf(stream, "  %s: ", o->key);
        if (o->type == OPTION_TEXT)
            print_quoted(value, stream);
        else
            fputs(value, stream);
        fputc('\n', stream);
    }
    CHECK(fclose(stream) == 0, "out of memory while printing the config");
    return OK;
}

uint64_t options_hash(const struct option_table *table, int kind, const void *config)
{
    uint64_t hash = 0;
    char name[128], value[OPTION_TEXT_SIZE];
    for (int i = 0; i < table->n; i++) {
        if (!(table->option[i].kind & kind))
            continue;
        full_key(&table->option[i], name);
        print_value(&table->option[i], config, value);
        hash = hash_bytes(name, strlen(name) + 1, hash);
        hash = hash_bytes(value, strlen(value) + 1, hash);
    }
    return hash;
}

const struct option *options_difference(const struct option_table *table, int kind, const void *config_a, const void *config_b, char a[OPTION_TEXT_SIZE], char b[OPTION_TEXT_SIZE])
{
    for (int i = 0; i < table->n; i++) {
        print_value(&table->option[i], config_a, a);
        print_value(&table->option[i], config_b, b);
        if ((table->option[i].kind & kind) && strcmp(a, b) != 0)
            return &table->option[i];
    }
    return NULL;
}
