/* scratch: see scratch.h. */
#include "tests/tools/scratch.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

void scratch_make(struct scratch *s)
{
    const char *root = getenv("TMPDIR");
    snprintf(s->dir, sizeof s->dir, "%s/critic-rm-XXXXXX", root ? root : P_tmpdir);
    assert_non_null(mkdtemp(s->dir));
}

void scratch_remove(struct scratch *s) { assert_int_equal(dir_remove(s->dir), 0); }

const char *scratch_path(struct scratch *s, const char *name)
{
    assert_int_equal(path_join(s->path, sizeof s->path, s->dir, name), 0);
    return s->path;
}

const char *scratch_write(struct scratch *s, const char *name, const void *bytes, size_t n_bytes)
{
    FILE *f = fopen(scratch_path(s, name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n_bytes, f), n_bytes);
    assert_int_equal(fclose(f), 0);
    return s->path;
}
