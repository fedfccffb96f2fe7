#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/h5.h"
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

static void refused(int status, const char *part)
{
    assert_int_equal(status, FAILED);
    if (!strstr(trace_sentence(), part))
        fail_msg("'%s' does not say '%s'", trace_sentence(), part);
    trace_clear();
}

enum { N = 20000 };

/* f.h5: /token/prompt uint32 0, 3, 6, ... in two appends, and one dataset and attribute of every kind. */
static const char *write_file(void)
{
    struct h5_file *file;
    uint32_t *tokens = malloc(N * sizeof *tokens);
    const uint8_t bytes[] = {1, 2, 255};
    const uint64_t offsets[] = {0, 1ull << 40};
    const float scores[] = {1.5f, NAN};
    const double wide[] = {1e300};
    assert_non_null(tokens);
    for (uint32_t i = 0; i < N; i++)
        tokens[i] = 3 * i;
    assert_int_equal(h5_create(scratch_path(&scratch, "f.h5"), &file), OK);
    assert_int_equal(h5_dataset_create(file, "/token/prompt", H5_U32), OK);
    assert_int_equal(h5_append(file, "/token/prompt", tokens, 7), OK);
    assert_int_equal(h5_append(file, "/token/prompt", tokens, 0), OK);
    assert_int_equal(h5_append(file, "/token/prompt", tokens + 7, N - 7), OK);
    assert_int_equal(h5_dataset_create(file, "/text/id", H5_U8), OK);
    assert_int_equal(h5_append(file, "/text/id", bytes, 3), OK);
    assert_int_equal(h5_dataset_create(file, "/offset/id", H5_U64), OK);
    assert_int_equal(h5_append(file, "/offset/id", offsets, 2), OK);
    assert_int_equal(h5_dataset_create(file, "/score", H5_F32), OK);
    assert_int_equal(h5_append(file, "/score", scores, 2), OK);
    assert_int_equal(h5_dataset_create(file, "/wide", H5_F64), OK);
    assert_int_equal(h5_append(file, "/wide", wide, 1), OK);
    assert_int_equal(h5_dataset_create(file, "/nothing", H5_U32), OK);
    assert_int_equal(h5_attr_put_text(file, "format", "critic-rm \xc3\xa9"), OK);
    assert_int_equal(h5_attr_put_text(file, "empty", ""), OK);
    assert_int_equal(h5_attr_put_u64(file, "version", 1), OK);
    assert_int_equal(h5_attr_put_u32s(file, "lead_in", tokens, 5), OK);
    assert_int_equal(h5_attr_put_u32s(file, "no_lead_in", NULL, 0), OK);
    assert_int_equal(h5_close(&file), OK);
    assert_null(file);
    free(tokens);
    return scratch.path;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct h5_file *file;
    uint64_t n;
    void *all;
    uint32_t some[3];
    float scores[2];
    assert_int_equal(h5_open(write_file(), &file), OK);
    assert_int_equal(h5_read_all(file, "/token/prompt", H5_U32, &all, &n), OK);
    assert_int_equal(n, N);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(((uint32_t *)all)[i], 3 * i);
    free(all);
    assert_int_equal(h5_read(file, "/token/prompt", H5_U32, N - 3, 3, some), OK);
    assert_int_equal(some[2], 3 * (N - 1));
    assert_int_equal(h5_read(file, "/score", H5_F32, 0, 2, scores), OK);
    assert_true(scores[0] == 1.5f && isnan(scores[1]));
    assert_int_equal(h5_read_all(file, "/offset/id", H5_U64, &all, &n), OK);
    assert_true(n == 2 && ((uint64_t *)all)[1] == 1ull << 40);
    free(all);
    assert_int_equal(h5_read_all(file, "/wide", H5_F64, &all, &n), OK);
    assert_true(n == 1 && ((double *)all)[0] == 1e300);
    free(all);
    assert_int_equal(h5_read_all(file, "/nothing", H5_U32, &all, &n), OK);
    assert_int_equal(n, 0);
    free(all);
    assert_true(h5_has(file, "/token") && h5_has(file, "/text/id"));
    assert_false(h5_has(file, "/token/x") || h5_has(file, "/x/y") || h5_has(file, "token") || h5_has(file, ""));
    assert_int_equal(h5_close(&file), OK);
    assert_int_equal(h5_close(&file), OK);
}

static void attributes_come_back(void **state)
{
    (void)state;
    struct h5_file *file;
    char text[32], small[4];
    uint64_t value;
    uint32_t list[5];
    size_t n;
    assert_int_equal(h5_open(write_file(), &file), OK);
    assert_int_equal(h5_attr_get_text(file, "format", text, sizeof text), OK);
    assert_string_equal(text, "critic-rm \xc3\xa9");
    assert_int_equal(h5_attr_get_text(file, "empty", text, sizeof text), OK);
    assert_string_equal(text, "");
    assert_int_equal(h5_attr_get_u64(file, "version", &value), OK);
    assert_int_equal(value, 1);
    assert_int_equal(h5_attr_get_u32s(file, "lead_in", list, 5, &n), OK);
    assert_true(n == 5 && list[4] == 12);
    assert_int_equal(h5_attr_get_u32s(file, "no_lead_in", list, 5, &n), OK);
    assert_int_equal(n, 0);
    assert_true(h5_attr_has(file, "version"));
    assert_false(h5_attr_has(file, "none"));
    refused(h5_attr_get_u32s(file, "lead_in", list, 4, &n), "has 5 elements, more than the 4");
    refused(h5_attr_get_text(file, "format", small, sizeof small), "more than the 3");
    refused(h5_attr_get_text(file, "version", text, sizeof text), "attribute version is not a text");
    refused(h5_attr_get_u64(file, "format", &value), "attribute format is not a uint64");
    refused(h5_attr_get_u64(file, "lead_in", &value), "lead_in");
    refused(h5_attr_get_u64(file, "none", &value), "no attribute none");
    assert_int_equal(h5_close(&file), OK);
}

static void another_type_or_range_or_name_is_refused(void **state)
{
    (void)state;
    struct h5_file *file;
    uint64_t n, out[4];
    assert_int_equal(h5_open(write_file(), &file), OK);
    refused(h5_extent(file, "/token/prompt", H5_F32, &n), "/token/prompt has another element type than float32");
    refused(h5_extent(file, "/token/prompt", H5_U64, &n), "/token/prompt");
    assert_int_equal(h5_extent(file, "/token/prompt", H5_U32, &n), OK);
    refused(h5_extent(file, "/token/prompt", H5_U8, &n), "holds uint32, not uint8");
    refused(h5_extent(file, "/token", H5_U32, &n), "/token");
    refused(h5_extent(file, "/none", H5_U32, &n), "no dataset /none");
    refused(h5_extent(file, "/none/deeper", H5_U32, &n), "no dataset /none/deeper");
    refused(h5_read(file, "/text/id", H5_U8, 2, 2, out), "it has 3");
    refused(h5_read(file, "/text/id", H5_U8, UINT64_MAX, 2, out), "it has 3");
    refused(h5_read(file, "/text/id", H5_U8, 2, UINT64_MAX, out), "it has 3");
    refused(h5_append(file, "/text/id", out, 1), "/text/id");
    refused(h5_dataset_create(file, "/new", H5_U8), "open for reading");
    assert_int_equal(h5_close(&file), OK);
}

static void a_name_is_made_once(void **state)
{
    (void)state;
    struct h5_file *file;
    assert_int_equal(h5_create(scratch_path(&scratch, "g.h5"), &file), OK);
    assert_int_equal(h5_dataset_create(file, "/a", H5_U8), OK);
    refused(h5_dataset_create(file, "/a", H5_U8), "/a");
    assert_int_equal(h5_attr_put_u64(file, "v", 1), OK);
    refused(h5_attr_put_u64(file, "v", 2), "v");
    refused(h5_append(file, "/b", "x", 1), "no dataset /b");
    assert_int_equal(h5_close(&file), OK);
}

static void what_is_no_hdf5_file_is_refused(void **state)
{
    (void)state;
    static const char old[64] = "\x89HDF\r\n\x1a\n\0";      /* superblock version 0 */
    struct h5_file *file;
    char *bytes;
    size_t n;
    refused(h5_open(scratch_path(&scratch, "absent"), &file), "absent");
    refused(h5_open(scratch_write(&scratch, "text", "hello", 5), &file), "not an HDF5 file");
    refused(h5_open(scratch_write(&scratch, "empty", "", 0), &file), "not an HDF5 file");
    refused(h5_open(scratch_write(&scratch, "old", old, sizeof old), &file), "superblock version 0");
    refused(h5_open(scratch_write(&scratch, "short", old, 20), &file), "cut off");
    assert_int_equal(file_read(write_file(), &bytes, &n), OK);
    refused(h5_open(scratch_write(&scratch, "cut", bytes, n - 1), &file), "cut off");
    bytes[44] ^= 1;
    refused(h5_open(scratch_write(&scratch, "sum", bytes, n), &file), "checksum");
    free(bytes);
}

/* Reads everything; OK only when all of it is as written. */
static int read_everything(const char *path)
{
    struct h5_file *file = NULL;
    int status = OK;
    uint64_t n;
    void *all = NULL;
    TRY(h5_open(path, &file));
    TRY_DONE(h5_read_all(file, "/token/prompt", H5_U32, &all, &n));
    assert_int_equal(n, N);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(((uint32_t *)all)[i], 3 * i);
    free(all);
    all = NULL;
    TRY_DONE(h5_read_all(file, "/text/id", H5_U8, &all, &n));
    assert_int_equal(n, 3);
    assert_memory_equal(all, "\1\2\377", 3);
done:
    free(all);
    h5_close(&file);
    return status;
}

static void a_flipped_byte_is_refused_or_harmless(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    int n_refused = 0;
    assert_int_equal(file_read(write_file(), &bytes, &n), OK);
    for (size_t at = 0; at < n; at += 397) {
        bytes[at] = (char)(bytes[at] ^ 0x20);
        n_refused += read_everything(scratch_write(&scratch, "flipped", bytes, n)) != OK;
        trace_clear();
        bytes[at] = (char)(bytes[at] ^ 0x20);
    }
    assert_int_equal(read_everything(scratch_write(&scratch, "flipped", bytes, n)), OK);
    assert_true(n_refused > 100);
    free(bytes);
}

static void a_damaged_chunk_is_named_as_such(void **state)
{
    (void)state;
    char *bytes, *at;
    size_t n;
    const uint32_t pattern[] = {3000, 3003, 3006, 3009};
    assert_int_equal(file_read(write_file(), &bytes, &n), OK);
    at = memmem(bytes, n, pattern, sizeof pattern);
    assert_non_null(at);
    *at ^= 1;
    refused(read_everything(scratch_write(&scratch, "bad.h5", bytes, n)), "cannot read /token/prompt: its checksum does not match, the file is damaged");
    free(bytes);
}

/* The limit on file sizes stands for a full disk. 0: said in one sentence. */
static int fill_the_disk(void)
{
    struct h5_file *file;
    struct rlimit small = {1 << 16, 1 << 16};
    static uint32_t tokens[1 << 18];
    signal(SIGXFSZ, SIG_IGN);
    if (h5_create(scratch_path(&scratch, "full.h5"), &file) != OK || h5_dataset_create(file, "/token", H5_U32) != OK)
        return 2;
    setrlimit(RLIMIT_FSIZE, &small);
    int status = h5_append(file, "/token", tokens, 1 << 18), closed = h5_close(&file);
    if ((status == OK && closed == OK) || file)
        return 3;
    return !(strstr(trace_sentence(), "full.h5: cannot ") && strstr(trace_sentence(), "File too large") && !strchr(trace_sentence(), '\n'));
}

/* HDF5 itself loses a little memory on files that are damaged or that it could not write. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

/* In a process of its own, that leaves by exit: HDF5 must not crash there on what it could not write. */
static void a_full_disk_is_a_sentence(void **state)
{
    (void)state;
    int how;
    pid_t child = fork();
    if (child == 0) {
        int wrong = fill_the_disk();
        exit(wrong);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

static void *read_often(void *arg)
{
    struct h5_file *file = arg;
    uint32_t out[100];
    for (uint64_t k = 0; k < 200; k++) {
        uint64_t first = k * 7919 % (N - 100);
        if (h5_read(file, "/token/prompt", H5_U32, first, 100, out) != OK || out[99] != 3 * (first + 99))
            return arg;
    }
    return NULL;
}

static void threads_may_read_one_file(void **state)
{
    (void)state;
    struct h5_file *file;
    pthread_t thread[4];
    assert_int_equal(h5_open(write_file(), &file), OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_often, file), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(h5_close(&file), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void equal_contents_are_equal_bytes_at_any_time(void **state)
{
    (void)state;
    char *bytes[2];
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(file_read(write_file(), &bytes[i], &n[i]), OK);
        usleep(1100000);                /* HDF5's times are whole seconds */
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(bytes[0], bytes[1], n[0]);
    free(bytes[0]);
    free(bytes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read),
        TEST(attributes_come_back),
        TEST(another_type_or_range_or_name_is_refused),
        TEST(a_name_is_made_once),
        TEST(what_is_no_hdf5_file_is_refused),
        TEST(a_flipped_byte_is_refused_or_harmless),
        TEST(a_damaged_chunk_is_named_as_such),
        TEST(a_full_disk_is_a_sentence),
        TEST(threads_may_read_one_file),
        TEST(equal_contents_are_equal_bytes_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
