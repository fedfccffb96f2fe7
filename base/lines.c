/* lines: a buffer that grows to the longest line; zlib reads plain files as they are. */
#include "base/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/status.h"

enum { FIRST_CAPACITY = 64 << 10 };

/* buffer[next, filled) is read and not yet handed out. One byte more than capacity is allocated, for the 0 behind a last line. */
struct lines {
    char *where, *buffer;
    size_t capacity, next, filled;
    gzFile file;                            /* NULL: memory */
    const char *memory;
    size_t n_memory;
    int64_t number;
    bool at_end;
};

static int make(const char *where, struct lines **out)
{
    struct lines *l = calloc(1, sizeof *l);
    CHECK(l, "out of memory for reading %s", where);
    l->where = strdup(where);
    l->buffer = malloc(FIRST_CAPACITY + 1);
    l->capacity = FIRST_CAPACITY;
    *out = l;
    if (l->where && l->buffer)
        return OK;
    lines_close(out);
    return FAIL("out of memory for reading %s", where);
}

/* `rb` decides by the content whether it is gzip. */
int lines_open(const char *path, struct lines **out)
{
    struct lines *l = NULL;
    int status = OK;
    uint64_t n_bytes;
    *out = NULL;
    TRY(file_size(path, &n_bytes));
    TRY(make(path, &l));
    l->file = gzopen(path, "rb");
    CHECK_DONE(l->file, "cannot open %s: %s", path, strerror(errno));
    gzbuffer(l->file, 1 << 17);
    *out = l;
    return OK;
done:
    lines_close(&l);
    return status;
}

int lines_open_memory(const char *bytes, size_t n_bytes, const char *where, struct lines **out)
{
    TRY(make(where, out));
    (*out)->memory = bytes;
    (*out)->n_memory = n_bytes;
    return OK;
}

void lines_close(struct lines **lines)
{
    struct lines *l = *lines;
    if (l) {
        if (l->file)
            gzclose(l->file);
        free(l->where);
        free(l->buffer);
        free(l);
    }
    *lines = NULL;
}

const char *lines_where(const struct lines *l) { return l->where; }

static int read_file(struct lines *l, char *out, size_t room, size_t *n_read)
{
    int n = gzread(l->file, out, (unsigned)room);
    int error = Z_OK;
    const char *why = gzerror(l->file, &error);
    CHECK(n >= 0 && (error == Z_OK || error == Z_STREAM_END), "%s: cannot read on after line %lld: %s", l->where, (long long)l->number,
          error == Z_ERRNO ? strerror(errno) : error == Z_BUF_ERROR ? "the gzip file is cut off" : why);
    *n_read = (size_t)n;
    return OK;
}

static int read_some(struct lines *l, char *out, size_t room, size_t *n_read)
{
    if (l->file)
        return read_file(l, out, room, n_read);
    *n_read = room < l->n_memory ? room : l->n_memory;
    if (*n_read > 0) {
        memcpy(out, l->memory, *n_read);
        l->memory += *n_read;
        l->n_memory -= *n_read;
    }
    return OK;
}

/* More bytes behind buffer[filled): move the open line to the front, or double the buffer when it is full. */
static int refill(struct lines *l)
{
    memmove(l->buffer, l->buffer + l->next, l->filled - l->next);
    l->filled -= l->next;
    l->next = 0;
    if (l->filled == l->capacity) {
        CHECK(l->filled < LINES_MAX_BYTES, "%s, line %lld is longer than 64 MiB: split the record", l->where, (long long)l->number + 1);
        char *grown = realloc(l->buffer, 2 * l->capacity + 1);
        CHECK(grown, "out of memory for line %lld of %s", (long long)l->number + 1, l->where);
        l->buffer = grown;
        l->capacity *= 2;
    }
    size_t n_read = 0;
    TRY(read_some(l, l->buffer + l->filled, l->capacity - l->filled, &n_read));
    l->filled += n_read;
    l->at_end = n_read == 0;
    return OK;
}

/* buffer[next, *end) is the open line; *end is at its LF or behind the last byte of the file. */
static int find_end(struct lines *l, size_t *end)
{
    size_t searched = 0;
    for (;;) {
        char *from = l->buffer + l->next + searched, *lf = memchr(from, '\n', l->filled - l->next - searched);
        if (lf || l->at_end) {
            *end = lf ? (size_t)(lf - l->buffer) : l->filled;
            return OK;
        }
        searched = l->filled - l->next;
        TRY(refill(l));
    }
}

static int check_text(const struct lines *l, const char *line, size_t n)
{
    long long number = (long long)l->number;
    CHECK(!memchr(line, 0, n), "%s, line %lld holds a zero byte: it is no text", l->where, number);
    CHECK(utf8_valid(line, n), "%s, line %lld is not UTF-8: convert the file, for instance with iconv", l->where, number);
    return OK;
}

int lines_next(struct lines *l, const char **line, size_t *n_bytes, int64_t *line_number)
{
    size_t end;
    *line = NULL;
    *n_bytes = 0;
    *line_number = 0;
    TRY(find_end(l, &end));
    if (l->next == end && end == l->filled)
        return OK;
    char *text = l->buffer + l->next;
    size_t n = end - l->next;
    l->next = end < l->filled ? end + 1 : end;
    *line_number = ++l->number;
    if (n > 0 && text[n - 1] == '\r')
        n--;
    text[n] = 0;
    if (l->number == 1 && n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    TRY(check_text(l, text, n));
    *line = text;
    *n_bytes = n;
    return OK;
}

/* Length of the well-formed sequence at s (Unicode 15, table 3-7), 0 when there is none. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
    unsigned low = 0x80, high = 0xBF;
    size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : s[0] >= 0xE0 && s[0] < 0xF0 ? 3 : s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : 0;
    if (s[0] == 0xE0)
        low = 0xA0;
    if (s[0] == 0xED)
        high = 0x9F;
    if (s[0] == 0xF0)
        low = 0x90;
    if (s[0] == 0xF4)
        high = 0x8F;
    if (length == 0 || length > n || (length > 1 && (s[1] < low || s[1] > high)))
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

bool utf8_valid(const char *bytes, size_t n_bytes)
{
    const unsigned char *s = (const unsigned char *)bytes;
    for (size_t i = 0, length; i < n_bytes; i += length)
        if ((length = utf8_sequence(s + i, n_bytes - i)) == 0)
            return false;
    return true;
}
