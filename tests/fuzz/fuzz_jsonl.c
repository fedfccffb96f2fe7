/* fuzz_jsonl: any bytes as JSON lines: every line that is handed out is UTF-8, ends with a 0 and is parsed or refused. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/lines.h"
#include "base/status.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
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
    return 0;
}
