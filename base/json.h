/* json: checked access over jansson. Every failure names the document (`where`) and the key. Values are borrowed from their object. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lines.h"

/* New reference, the caller json_decref's. Duplicate keys are refused. In a text that holds an integer beyond 64 bits that one, and what else 53 bits do not hold, is a real. */
int json_parse(const char *text, size_t n_bytes, const char *where, json_t **out);
int json_parse_file(const char *path, json_t **out);
/* The next line that is not blank, parsed; *out NULL at the end. Its number to *number (may be NULL), "PATH, line N" to where, which is set before the line is parsed. */
int json_next_line(struct lines *lines, char *where, size_t size, int64_t *number, json_t **out);

/* Required members. */
int json_get(json_t *object, const char *key, const char *where, json_t **out);
int json_get_text(json_t *object, const char *key, const char *where, const char **out);
int json_get_int(json_t *object, const char *key, const char *where, int64_t min, int64_t max, int64_t *out);
int json_get_number(json_t *object, const char *key, const char *where, double *out);
int json_get_object(json_t *object, const char *key, const char *where, json_t **out);
int json_get_array(json_t *object, const char *key, const char *where, json_t **out);

/* Optional members: *out keeps its value when the key is absent or null. */
int json_opt_int(json_t *object, const char *key, const char *where, int64_t min, int64_t max, int64_t *out);
int json_opt_number(json_t *object, const char *key, const char *where, double *out);
int json_opt_bool(json_t *object, const char *key, const char *where, bool *out);
int json_opt_text(json_t *object, const char *key, const char *where, const char **out);

#endif
