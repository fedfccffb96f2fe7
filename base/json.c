/* json: see json.h. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"

static json_t *whole_number(json_t *value)
{
    double x = json_real_value(value);
    return json_is_real(value) && floor(x) == x && fabs(x) <= 0x1p53 ? json_integer((json_int_t)x) : NULL;
}

/* Members that were read as reals and are whole numbers of at most 53 bits become integers again. The parser bounds the depth. */
static void restore_integers(json_t *value)
{
    json_t *whole;
    for (void *at = json_object_iter(value); at; at = json_object_iter_next(value, at)) {
        restore_integers(json_object_iter_value(at));
        if ((whole = whole_number(json_object_iter_value(at))))
            json_object_iter_set_new(value, at, whole);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        restore_integers(json_array_get(value, i));
        if ((whole = whole_number(json_array_get(value, i))))
            json_array_set_new(value, i, whole);
    }
}

/* transformers writes int(1e30) for "no limit" into tokenizer_config.json: 31 digits, which jansson refuses as an integer. */
int json_parse(const char *text, size_t n_bytes, const char *where, json_t **out)
{
    json_error_t error;
    *out = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!*out && json_error_code(&error) == json_error_numeric_overflow) {
        *out = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
        restore_integers(*out);
    }
    CHECK(*out || json_error_code(&error) != json_error_null_character, "%s: not valid JSON: the zero character \\u0000, which no text here may hold (line %d, column %d)", where, error.line,
          error.column);
    CHECK(*out, "%s: not valid JSON: %s (line %d, column %d)", where, error.text, error.line, error.column);
    return OK;
}

int json_parse_file(const char *path, json_t **out)
{
    char *text;
    size_t n_bytes;
    TRY(file_read(path, &text, &n_bytes));
    int status = json_parse(text, n_bytes, path, out);
    free(text);
    return status;
}

int json_next_line(struct lines *lines, char *where, size_t size, int64_t *number, json_t **out)
{
    const char *text;
    size_t n_bytes;
    int64_t at;
    *out = NULL;
    do {
        TRY(lines_next(lines, &text, &n_bytes, &at));
        if (!text)
            return OK;
    } while (strspn(text, " \t\r") == n_bytes);
    if (number)
        *number = at;
    snprintf(where, size, "%s, line %lld", lines_where(lines), (long long)at);
    return json_parse(text, n_bytes, where, out);
}

int json_get(json_t *object, const char *key, const char *where, json_t **out)
{
    CHECK(json_is_object(object), "%s: expected a JSON object around \"%s\"", where, key);
    *out = json_object_get(object, key);
    CHECK(*out && !json_is_null(*out), "%s: \"%s\" is missing", where, key);
    return OK;
}

static json_t *present(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

int json_get_text(json_t *object, const char *key, const char *where, const char **out)
{
    json_t *value;
    TRY(json_get(object, key, where, &value));
    CHECK(json_is_string(value), "%s: \"%s\" must be a string", where, key);
    *out = json_string_value(value);
    return OK;
}

int json_get_int(json_t *object, const char *key, const char *where, int64_t min, int64_t max, int64_t *out)
{
    json_t *value;
    TRY(json_get(object, key, where, &value));
    CHECK(json_is_integer(value), "%s: \"%s\" must be an integer", where, key);
    int64_t n = json_integer_value(value);
    CHECK(n >= min && n <= max, "%s: \"%s\" is %lld, not between %lld and %lld", where, key, (long long)n, (long long)min, (long long)max);
    *out = n;
    return OK;
}

int json_get_number(json_t *object, const char *key, const char *where, double *out)
{
    json_t *value;
    TRY(json_get(object, key, where, &value));
    CHECK(json_is_number(value), "%s: \"%s\" must be a number", where, key);
    *out = json_number_value(value);
    return OK;
}

int json_get_object(json_t *object, const char *key, const char *where, json_t **out)
{
    TRY(json_get(object, key, where, out));
    CHECK(json_is_object(*out), "%s: \"%s\" must be an object", where, key);
    return OK;
}

int json_get_array(json_t *object, const char *key, const char *where, json_t **out)
{
    TRY(json_get(object, key, where, out));
    CHECK(json_is_array(*out), "%s: \"%s\" must be a list", where, key);
    return OK;
}

int json_opt_int(json_t *object, const char *key, const char *where, int64_t min, int64_t max, int64_t *out)
{
    return present(object, key) ? json_get_int(object, key, where, min, max, out) : OK;
}

int json_opt_number(json_t *object, const char *key, const char *where, double *out)
{
    return present(object, key) ? json_get_number(object, key, where, out) : OK;
}

int json_opt_text(json_t *object, const char *key, const char *where, const char **out)
{
    return present(object, key) ? json_get_text(object, key, where, out) : OK;
}

int json_opt_bool(json_t *object, const char *key, const char *where, bool *out)
{
    json_t *value = present(object, key);
    if (!value)
        return OK;
    CHECK(json_is_boolean(value), "%s: \"%s\" must be true or false", where, key);
    *out = json_is_true(value);
    return OK;
}
