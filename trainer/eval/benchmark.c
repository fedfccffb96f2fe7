/* benchmark: see benchmark.h. The parsed file stays in memory: texts are borrowed from it. */
#include "trainer/eval/benchmark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lines.h"
#include "base/status.h"
#include "trainer/eval/benchmark_rules.h"

static const struct benchmark_rules *const rules[N_BENCHMARKS] = {
    [REWARDBENCH] = &rewardbench_rules, [REWARDBENCH_2] = &rewardbench2_rules, [RM_BENCH] = &rm_bench_rules, [JUDGEBENCH] = &judgebench_rules, [CRITICBENCH] = &criticbench_rules,
};

const char *benchmark_name(enum benchmark_kind kind) { return rules[kind]->name; }

int benchmark_find(const char *name, enum benchmark_kind *out)
{
    for (int i = 0; i < N_BENCHMARKS; i++)
        if (strcmp(rules[i]->name, name) == 0) {
            *out = (enum benchmark_kind)i;
            return OK;
        }
    return FAIL_USAGE("there is no benchmark \"%.64s\": rewardbench, rewardbench-2, rm-bench, judgebench and criticbench are known", name);
}

/* ---- items ----------------------------------------------------------------------------------------------------------------------------------- */

static int add_item(struct benchmark *b, json_t *object, const char *where)
{
    struct benchmark_item item = {.first = b->n_responses};
    CHECK(json_is_object(object), "%s: not a JSON object", where);
    TRY(b->rules->read(b, object, where, &item));
    if ((b->n_items & (b->n_items - 1)) == 0) {         /* full at 0, 1, 2, 4, ... */
        size_t max = b->n_items ? 2 * (size_t)b->n_items : 1;
        struct benchmark_item *grown = realloc(b->item, max * sizeof *grown);
        CHECK(grown, "out of memory for %zu items of %s", max, b->path);
        b->item = grown;
    }
    b->item[b->n_items++] = item;
    return OK;
}

static int add_list(struct benchmark *b, const char *text, size_t n_bytes)
{
    json_t *list, *one;
    size_t i;
    char where[1200];
    TRY(json_parse(text, n_bytes, b->path, &list));
    CHECK(json_array_append_new(b->pool, list) == 0, "out of memory for %s", b->path);
    json_array_foreach(list, i, one) {
        snprintf(where, sizeof where, "%s, item %zu", b->path, i + 1);
        TRY(add_item(b, one, where));
    }
    return OK;
}

static int add_line(struct benchmark *b, const char *line, size_t n_bytes, int64_t number)
{
    char where[1200];
    json_t *object;
    snprintf(where, sizeof where, "%s, line %lld", b->path, (long long)number);
    TRY(json_parse(line, n_bytes, where, &object));
    CHECK(json_array_append_new(b->pool, object) == 0, "out of memory for %s", where);
    return add_item(b, object, where);
}

/* ---- files ----------------------------------------------------------------------------------------------------------------------------------- */

/* The rest of the file behind its first lines, line ends kept so that JSON's line numbers are the file's. */
static int gather(struct lines *lines, const char *line, size_t n_bytes, int64_t number, FILE *text)
{
    int64_t written = 1;
    while (line) {
        for (; written < number; written++)
            fputc('\n', text);
        fwrite(line, 1, n_bytes, text);
        TRY(lines_next(lines, &line, &n_bytes, &number));
    }
    return OK;
}

static int read_list(struct benchmark *b, struct lines *lines, const char *line, size_t n_bytes, int64_t number)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    CHECK(file, "out of memory for %s", b->path);
    int status = gather(lines, line, n_bytes, number, file);
    bool failed = ferror(file) != 0;
    if ((fclose(file) != 0 || failed) && status == OK)
        status = FAIL("out of memory for %s", b->path);
    if (status == OK)
        status = add_list(b, text, size);
    free(text);
    return status;
}

static int read_items(struct benchmark *b, struct lines *lines)
{
    const char *line;
    size_t n_bytes;
    int64_t number;
    for (;;) {
        TRY(lines_next(lines, &line, &n_bytes, &number));
        if (!line)
            return OK;
        size_t blank = strspn(line, " \t\r");
        if (blank == n_bytes)
            continue;
        if (b->n_items == 0 && line[blank] == '[')
            return read_list(b, lines, line, n_bytes, number);
        TRY(add_line(b, line, n_bytes, number));
    }
}

static int read_file(struct benchmark *b)
{
    struct lines *lines;
    TRY(lines_open(b->path, &lines));
    int status = read_items(b, lines);
    lines_close(&lines);
    TRY(status);
    CHECK(b->n_items > 0, "%s holds no items of %s: name a file in JSON or JSON lines", b->path, b->rules->title);
    return OK;
}

int benchmark_open(enum benchmark_kind kind, const char *path, struct benchmark **out)
{
    struct benchmark *b = calloc(1, sizeof *b);
    *out = NULL;
    CHECK(b, "out of memory while opening %s", path);
    b->kind = kind;
    b->rules = rules[kind];
    b->pool = json_array();
    b->path = b->pool && json_array_append_new(b->pool, json_string_nocheck(path)) == 0 ? json_string_value(json_array_get(b->pool, 0)) : NULL;
    int status = b->path ? read_file(b) : FAIL("out of memory while opening %s, or its name is not UTF-8", path);
    if (status != OK)
        benchmark_close(&b);
    else
        *out = b;
    return status;
}

void benchmark_close(struct benchmark **benchmark)
{
    struct benchmark *b = *benchmark;
    if (b) {
        free(b->item);
        free(b->response);
        json_decref(b->pool);
        free(b);
    }
    *benchmark = NULL;
}

const struct message *benchmark_prompt(const struct benchmark *b, int64_t i, int *n_messages)
{
    *n_messages = 1;
    return &b->item[b->response[i].item].prompt;
}
