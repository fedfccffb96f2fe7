/* scratch: a folder of a test's own, removed at its end. */
#ifndef TESTS_TOOLS_SCRATCH_H
#define TESTS_TOOLS_SCRATCH_H

#include <stddef.h>

struct scratch { char dir[256], path[512]; };

void scratch_make(struct scratch *s);
void scratch_remove(struct scratch *s);
/* dir/name; valid until the next call on the same scratch. */
const char *scratch_path(struct scratch *s, const char *name);
/* A file of these bytes; its path. */
const char *scratch_write(struct scratch *s, const char *name, const void *bytes, size_t n_bytes);

#endif
