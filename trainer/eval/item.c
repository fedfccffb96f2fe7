/* item: see item.h. Text is borrowed from the parsed file; what had to be made of numbers lies in the benchmark's pool. */
#include "trainer/eval/item.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum { MAX_RESPONSES = 1 << 16 };

static int keep(json_t *pool, const char *text, const char **out)
{
    json_t *value = json_string_nocheck(text);
    CHECK(value && json_array_append_new(pool, value) == 0, "out of memory for a text");
    *out = json_string_value(value);
    return OK;
}

const char *item_number(const json_t *number, char text[ITEM_NUMBER])
{
    if (json_is_integer(number))
        snprintf(text, ITEM_NUMBER, "%lld", (long long)json_integer_value(number));
    else
        snprintf(text, ITEM_NUMBER, "%.15g", json_real_value(number));
    return text;
}

int item_text(json_t *pool, json_t *object, const char *key, const char *where, const char **out)
{
    char text[ITEM_NUMBER];
    json_t *value = json_object_get(object, key);
    *out = NULL;
    if (!value || json_is_null(value))
        return OK;
    return json_is_number(value) ? keep(pool, item_number(value, text), out) : json_get_text(object, key, where, out);
}

int item_id(struct benchmark *b, json_t *object, const char *key, const char *where, struct benchmark_item *item)
{
    char number[32];
    json_t *id = json_object_get(object, key);
    item->id_value = id;
    if (id && !json_is_null(id)) {
        CHECK(json_is_string(id) || json_is_integer(id), "%s: \"%s\" must be a string or a whole number", where, key);
        return item_text(b->pool, object, key, where, &item->id);
    }
    item->id_value = json_integer(b->n_items);
    CHECK(item->id_value && json_array_append_new(b->pool, item->id_value) == 0, "out of memory for an id");
    snprintf(number, sizeof number, "%lld", (long long)b->n_items);
    return keep(b->pool, number, &item->id);
}

int item_prompt(json_t *object, const char *key, const char *where, struct benchmark_item *item)
{
    const char *text;
    TRY(json_get_text(object, key, where, &text));
    item->prompt = (struct message){"user", text, strlen(text)};
    return OK;
}

static int append(struct benchmark *b, struct benchmark_item *item, const char *text)
{
    if ((b->n_responses & (b->n_responses - 1)) == 0) {         /* full at 0, 1, 2, 4, ... */
        size_t max = b->n_responses ? 2 * (size_t)b->n_responses : 1;
        struct benchmark_response *grown = realloc(b->response, max * sizeof *grown);
        CHECK(grown, "out of memory for %zu responses", max);
        b->response = grown;
    }
    b->response[b->n_responses++] = (struct benchmark_response){b->n_items, text, strlen(text)};
    item->n++;
    return OK;
}

int item_response(struct benchmark *b, json_t *object, const char *key, const char *where, struct benchmark_item *item)
{
    const char *text;
    TRY(json_get_text(object, key, where, &text));
    return append(b, item, text);
}

int item_responses(struct benchmark *b, json_t *object, const char *key, const char *where, int min, int max, struct benchmark_item *item, int *n)
{
    size_t i, most = max ? (size_t)max : MAX_RESPONSES;
    json_t *list, *one;
    TRY(json_get_array(object, key, where, &list));
    size_t size = json_array_size(list);
    CHECK(size >= (size_t)min && size <= most, "%s: \"%s\" has %zu responses, not %d%s", where, key, size, min, max == min ? "" : " or more");
    json_array_foreach(list, i, one) {
        CHECK(json_is_string(one), "%s: response %zu of \"%s\" is not a string", where, i + 1, key);
        TRY(append(b, item, json_string_value(one)));
    }
    *n = (int)size;
    return OK;
}

int item_find_group(const char *key, const char *const *name, int n, const char *where, struct benchmark_item *item)
{
    char all[1024];
    size_t used = 0;
    for (int i = 0; i < n; i++)
        if (strcmp(name[i], item->group) == 0) {
            item->group_index = i;
            return OK;
        }
    for (int i = 0; i < n && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", name[i]);
    return FAIL("%s: \"%s\" is \"%.64s\", none of %s", where, key, item->group, all);
}
