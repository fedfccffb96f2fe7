/* text: see text.h. */
#include "dataset/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/status.h"

static bool is_white(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Bytes of the white space character at text, 0 when there is none. */
static size_t white_at(const char *text, size_t n)
{
    int32_t c;
    utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &c);
    return step > 0 && is_white(c) ? (size_t)step : 0;
}

struct text text_trim_end(struct text t)
{
    while (t.n_bytes > 0) {
        size_t step = 1;
        while (step < t.n_bytes && ((unsigned char)t.bytes[t.n_bytes - step] & 0xc0) == 0x80)
            step++;
        if (white_at(t.bytes + t.n_bytes - step, step) != step)
            break;
        t.n_bytes -= step;
    }
    return t;
}

struct text text_trim(struct text t)
{
    size_t step;
    for (; t.n_bytes > 0 && (step = white_at(t.bytes, t.n_bytes)) > 0; t.n_bytes -= step)
        t.bytes += step;
    return text_trim_end(t);
}

int text_repair(const char *bytes, size_t n_bytes, char **out, size_t *n_out)
{
    static const char unknown[] = "\xef\xbf\xbd";
    size_t used = 0;
    char *all = malloc(3 * n_bytes + 1);
    CHECK(all, "out of memory for a text of %zu bytes", n_bytes);
    for (size_t i = 0; i < n_bytes;) {
        int32_t c;
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)bytes + i, (utf8proc_ssize_t)(n_bytes - i), &c);
        bool good = step > 0 && c != 0;
        size_t n = good ? (size_t)step : 3;
        memcpy(all + used, good ? bytes + i : unknown, n);
        used += n;
        i += good ? n : 1;
    }
    all[used] = 0;
    *out = all;
    *n_out = used;
    return OK;
}
