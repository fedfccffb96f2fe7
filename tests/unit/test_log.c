#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* What `say` writes to stderr, into out. */
static void captured(void (*say)(void), char *out, size_t size)
{
    int ends[2], kept = dup(STDERR_FILENO);
    assert_true(kept >= 0);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    say();
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(ends[1]);
    ssize_t n = read(ends[0], out, size - 1);
    close(ends[0]);
    assert_true(n >= 0);
    out[n] = 0;
}

static void say_two_lines(void)
{
    log_info("step %d", 3);
    log_warn("slow");
}

static void lines_go_to_stderr(void **state)
{
    (void)state;
    char out[256];
    captured(say_two_lines, out, sizeof out);
    assert_string_equal(out, "step 3\nwarning: slow\n");
}

static void another_rank_than_0_says_its_warnings_alone_and_names_itself(void **state)
{
    (void)state;
    char out[256];
    log_rank(3);
    captured(say_two_lines, out, sizeof out);
    assert_string_equal(out, "warning of rank 3: slow\n");
    log_rank(0);
    captured(say_two_lines, out, sizeof out);
    assert_int_equal(strlen(out), 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_go_to_stderr),
        cmocka_unit_test(another_rank_than_0_says_its_warnings_alone_and_names_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
