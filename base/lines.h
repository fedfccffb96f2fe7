/* lines: JSON lines from a file, plain or gzip, one by one. A line may be 64 MiB long; text must be UTF-8. */
#ifndef BASE_LINES_H
#define BASE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINES_MAX_BYTES = 64 << 20 };

struct lines;

/* Opens a file; gzip is recognised by its content. FAILED when there is no such file. `where` is copied: the path in sentences. */
int lines_open(const char *path, struct lines **out);
/* The same over bytes in memory (plain text), which must outlive it; `where` names them in sentences. */
int lines_open_memory(const char *bytes, size_t n_bytes, const char *where, struct lines **out);
void lines_close(struct lines **lines);

/* The next line without its line end (LF or CR LF), with a 0 behind it, valid until the next call; its number counts from 1, empty lines included.
 * A UTF-8 byte order mark at the start of the file is left out. *line is NULL at the end.
 * FAILED, with file and line number, when a line is too long, is not UTF-8 or holds a 0 byte, or the file cannot be read or is a damaged gzip.
 * After a failure with *line_number above 0 only that line is bad: the next call goes on behind it. */
int lines_next(struct lines *lines, const char **line, size_t *n_bytes, int64_t *line_number);

/* Path (or `where`) of the file, for sentences. */
const char *lines_where(const struct lines *lines);

/* Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_valid(const char *bytes, size_t n_bytes);

#endif
