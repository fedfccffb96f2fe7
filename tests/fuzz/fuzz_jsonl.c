/* fuzz_jsonl: any bytes as JSON lines, as a file of preferences and as one of answers: every line that is handed out is UTF-8, ends with a 0 and is parsed or refused;
 * every record has its sides, all of them UTF-8. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"
#include "dataset/answers.h"
#include "dataset/pairs.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void parse_line(const char *line, size_t n_bytes, const char *where)
{
    json_t *object = NULL;
    const char *text;
    if (strlen(line) != n_bytes || !utf8_valid(line, n_bytes))
        abort();
    if (json_parse(line, n_bytes, where, &object) == OK && json_get_text(object, "prompt", where, &text) == OK && !utf8_valid(text, strlen(text)))
        abort();
    json_decref(object);
    trace_clear();
}

static void check_record(const struct pair_record *record)
{
    if (record->diverges)
        return;
    for (int m = 0; m < record->n_messages; m++)
        if (!record->message[m].role || !utf8_valid(record->message[m].text, record->message[m].n_bytes))
            abort();
    for (int side = 0; side < (record->conversation ? 1 : 2); side++) {
        if (!utf8_valid(record->response[side].text, record->response[side].n_bytes))
            abort();
        for (int k = 0; k < record->response[side].n_critiques; k++)
            if (!utf8_valid(record->response[side].critique[k].text, record->response[side].critique[k].n_bytes))
                abort();
    }
}

static void write_file(const uint8_t *bytes, size_t n_bytes, char path[40])
{
    static int file = -1;
    if (file < 0)
        file = memfd_create("lines", 0);
    if (file < 0 || ftruncate(file, 0) != 0 || pwrite(file, bytes, n_bytes, 0) != (ssize_t)n_bytes)
        abort();
    snprintf(path, 40, "/proc/self/fd/%d", file);
}

static void read_pairs(const char *path)
{
    struct pairs *pairs = NULL;
    const struct pair_record *record;
    if (pairs_open(path, &pairs) == OK)
        while (pairs_next(pairs, &record) == OK && record)
            check_record(record);
    pairs_close(&pairs);
    trace_clear();
}

static void read_answers(const char *path)
{
    struct answers *answers = NULL;
    struct answer_list list;
    if (answers_open(path, &answers) == OK)
        for (int i = 0; i < 6 && answers_find(answers, i / 2, i % 2, &list) == OK; i++)
            for (int k = 0; k < list.n; k++)
                if (!utf8_valid(list.answer[k].text.bytes, list.answer[k].text.n_bytes))
                    abort();
    answers_close(&answers);
    trace_clear();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    char path[40];
    struct lines *lines;
    const char *line;
    size_t n;
    int64_t number, before = 0;
    trace_clear();
    if (lines_open_memory((const char *)bytes, n_bytes, "fuzz", &lines) != OK)
        abort();
    while (lines_next(lines, &line, &n, &number) == OK && line) {
        if (number != ++before)
            abort();
        parse_line(line, n, lines_where(lines));
    }
    lines_close(&lines);
    write_file(bytes, n_bytes, path);
    read_pairs(path);
    read_answers(path);
    return 0;
}
