#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "tests/tools/scratch.h"

static struct scratch scratch;

static int setup(void **state)
{
    (void)state;
    scratch_make(&scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    trace_clear();
    scratch_remove(&scratch);
    return 0;
}

static void what_is_written_is_read_and_mapped(void **state)
{
    (void)state;
    const char *path = scratch_path(&scratch, "f");
    char *bytes;
    size_t n;
    struct file_map map;
    assert_int_equal(file_write_atomic(path, "a\0b", 3), OK);
    assert_int_equal(file_read(path, &bytes, &n), OK);
    assert_int_equal(n, 3);
    assert_memory_equal(bytes, "a\0b\0", 4);
    free(bytes);
    assert_int_equal(file_map_open(path, &map), OK);
    assert_int_equal(map.n_bytes, 3);
    assert_memory_equal(map.bytes, "a\0b", 3);
    file_map_close(&map);
    assert_null(map.bytes);
}

static void an_empty_file_maps_to_nothing(void **state)
{
    (void)state;
    struct file_map map;
    assert_int_equal(file_map_open(scratch_write(&scratch, "empty", "", 0), &map), OK);
    assert_null(map.bytes);
    assert_int_equal(map.n_bytes, 0);
    file_map_close(&map);
}

static void failures_name_the_path(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    assert_int_equal(file_read(scratch_path(&scratch, "absent"), &bytes, &n), FAILED);
    assert_non_null(strstr(trace_sentence(), "absent: No such file"));
    trace_clear();
    assert_int_equal(file_read(scratch.dir, &bytes, &n), FAILED);
    assert_non_null(strstr(trace_sentence(), "not a file"));
    trace_clear();
    assert_int_equal(file_write_atomic(scratch_path(&scratch, "no/such/f"), "a", 1), FAILED);
    assert_non_null(strstr(trace_sentence(), "no/such/f"));
}

/* A write that the system refuses half-way: the limit on file sizes stands for a full disk. */
static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    struct rlimit old, small = {4096, 4096};
    char *big = calloc(1, 1 << 16), *bytes;
    size_t n;
    const char *path = scratch_write(&scratch, "f", "old", 3);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int status = file_write_atomic(path, big, 1 << 16);
    setrlimit(RLIMIT_FSIZE, &old);
    free(big);
    assert_int_equal(status, FAILED);
    assert_non_null(strstr(trace_sentence(), "cannot write"));
    assert_int_equal(file_read(path, &bytes, &n), OK);
    assert_string_equal(bytes, "old");
    free(bytes);
    assert_false(file_exists(scratch_path(&scratch, "f.tmp")));
}

static void publishing_renames(void **state)
{
    (void)state;
    char tmp[512];
    memcpy(tmp, scratch_write(&scratch, "f.tmp", "new", 3), sizeof tmp);
    assert_int_equal(file_publish(tmp, scratch_path(&scratch, "f")), OK);
    assert_true(file_exists(scratch_path(&scratch, "f")));
    assert_false(file_exists(tmp));
    assert_int_equal(file_publish(tmp, scratch_path(&scratch, "f")), FAILED);
}

static void folders_are_made_listed_in_order_and_removed(void **state)
{
    (void)state;
    struct dir_list list;
    assert_int_equal(dir_make(scratch_path(&scratch, "a/b/c")), OK);
    assert_int_equal(dir_make(scratch_path(&scratch, "a/b/c")), OK);
    scratch_write(&scratch, "a/z", "", 0);
    scratch_write(&scratch, "a/b/c/x", "", 0);
    scratch_write(&scratch, "a/a", "", 0);
    assert_int_equal(dir_list(scratch_path(&scratch, "a"), &list), OK);
    assert_int_equal(list.n, 3);
    assert_string_equal(list.name[0], "a");
    assert_string_equal(list.name[1], "b");
    assert_string_equal(list.name[2], "z");
    dir_list_free(&list);
    assert_int_equal(dir_remove(scratch_path(&scratch, "a")), OK);
    assert_false(file_exists(scratch_path(&scratch, "a")));
}

/* Removing a folder must not follow links out of it. */
static void removing_a_link_keeps_its_target(void **state)
{
    (void)state;
    char target[512];
    dir_make(scratch_path(&scratch, "keep"));
    memcpy(target, scratch_write(&scratch, "keep/f", "x", 1), sizeof target);
    dir_make(scratch_path(&scratch, "gone"));
    assert_int_equal(symlink("../keep", scratch_path(&scratch, "gone/link")), 0);
    assert_int_equal(dir_remove(scratch_path(&scratch, "gone")), OK);
    assert_true(file_exists(target));
}

static void paths_join_or_are_too_long(void **state)
{
    (void)state;
    char out[8];
    assert_int_equal(path_join(out, sizeof out, "abc", "def"), OK);
    assert_string_equal(out, "abc/def");
    assert_int_equal(path_join(out, sizeof out, "", "def"), OK);
    assert_string_equal(out, "def");
    assert_int_equal(path_join(out, sizeof out, "abcd", "def"), FAILED);
}

static void copies_are_equal_and_removal_of_nothing_is_fine(void **state)
{
    (void)state;
    char from[512], *bytes;
    size_t n;
    uint64_t size;
    memcpy(from, scratch_write(&scratch, "from", "12345", 5), sizeof from);
    assert_int_equal(file_copy(from, scratch_path(&scratch, "to")), OK);
    assert_int_equal(file_read(scratch_path(&scratch, "to"), &bytes, &n), OK);
    assert_string_equal(bytes, "12345");
    free(bytes);
    assert_int_equal(file_size(from, &size), OK);
    assert_int_equal(size, 5);
    assert_int_equal(file_remove(from), OK);
    assert_int_equal(file_remove(from), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_and_mapped, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_file_maps_to_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_name_the_path, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_write_leaves_the_old_file, setup, teardown),
        cmocka_unit_test_setup_teardown(publishing_renames, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_are_made_listed_in_order_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(removing_a_link_keeps_its_target, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_join_or_are_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(copies_are_equal_and_removal_of_nothing_is_fine, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
