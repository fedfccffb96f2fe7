/* text: white space at the ends of texts, and texts that a model wrote. White space is what Python's str.strip (and so Jinja's trim) takes off: Unicode's, and U+001C to U+001F. */
#ifndef DATASET_TEXT_H
#define DATASET_TEXT_H

#include <stddef.h>

/* A borrowed piece of UTF-8. */
struct text { const char *bytes; size_t n_bytes; };

/* Without the white space at its end; at both ends. Bytes that are not UTF-8 are no white space. */
struct text text_trim_end(struct text text);
struct text text_trim(struct text text);

/* What a model wrote as text that can be encoded and written as JSON: every byte that begins no well-formed UTF-8 sequence, and every 0, becomes U+FFFD. Malloc'd, a 0
 * behind it. */
int text_repair(const char *bytes, size_t n_bytes, char **out, size_t *n_out);

#endif
