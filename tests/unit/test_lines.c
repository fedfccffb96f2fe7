#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/lines.h"
#include "base/status.h"
#include "tests/tools/scratch.h"

static void expect(struct lines *lines, int64_t number, const char *text)
{
    const char *line;
    size_t n;
    int64_t at;
    assert_int_equal(lines_next(lines, &line, &n, &at), OK);
    assert_non_null(line);
    assert_string_equal(line, text);
    assert_int_equal(n, strlen(text));
    assert_int_equal(at, number);
}

static void expect_end(struct lines *lines)
{
    const char *line = "";
    size_t n;
    int64_t at;
    assert_int_equal(lines_next(lines, &line, &n, &at), OK);
    assert_null(line);
}

static void all_line_ends_are_understood(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbfone\n\r\nthree\r\n four \nlast";
    struct lines *lines;
    assert_int_equal(lines_open_memory(text, sizeof text - 1, "here", &lines), OK);
    expect(lines, 1, "one");
    expect(lines, 2, "");
    expect(lines, 3, "three");
    expect(lines, 4, " four ");
    expect(lines, 5, "last");
    expect_end(lines);
    expect_end(lines);
    lines_close(&lines);
    assert_null(lines);
}

static void a_last_line_end_opens_no_line(void **state)
{
    (void)state;
    struct lines *lines;
    assert_int_equal(lines_open_memory("a\n", 2, "here", &lines), OK);
    expect(lines, 1, "a");
    expect_end(lines);
    lines_close(&lines);
    assert_int_equal(lines_open_memory(NULL, 0, "here", &lines), OK);
    expect_end(lines);
    lines_close(&lines);
}

/* Lengths around the buffer's sizes, so that lines are moved and the buffer grows in all ways. */
static void long_lines_come_whole(void **state)
{
    (void)state;
    static const size_t length[] = {65535, 65536, 65537, 1, 200000, 0, 131072};
    size_t n_bytes = 0;
    char *text = malloc(1 << 20);
    struct lines *lines;
    assert_non_null(text);
    for (size_t i = 0; i < 7; i++) {
        memset(text + n_bytes, 'a' + (int)i, length[i]);
        n_bytes += length[i];
        text[n_bytes++] = '\n';
    }
    assert_int_equal(lines_open_memory(text, n_bytes, "here", &lines), OK);
    for (size_t i = 0; i < 7; i++) {
        const char *line;
        size_t n;
        int64_t number;
        assert_int_equal(lines_next(lines, &line, &n, &number), OK);
        assert_int_equal(n, length[i]);
        for (size_t j = 0; j < n; j++)
            assert_int_equal(line[j], 'a' + (int)i);
    }
    expect_end(lines);
    lines_close(&lines);
    free(text);
}

static void refuse(const char *text, size_t n_bytes, int good_lines, const char *part)
{
    struct lines *lines;
    const char *line;
    size_t n;
    int64_t number;
    assert_int_equal(lines_open_memory(text, n_bytes, "here", &lines), OK);
    for (int i = 0; i < good_lines; i++)
        assert_int_equal(lines_next(lines, &line, &n, &number), OK);
    assert_int_equal(lines_next(lines, &line, &n, &number), FAILED);
    assert_non_null(strstr(trace_sentence(), part));
    trace_clear();
    lines_close(&lines);
}

static void what_is_no_text_is_refused_with_its_line(void **state)
{
    (void)state;
    refuse("a\n\xff\n", 4, 1, "here, line 2 is not UTF-8");
    refuse("a\nb\0c\n", 6, 1, "here, line 2 holds a zero byte");
    char *big = malloc(LINES_MAX_BYTES + 2);
    assert_non_null(big);
    memset(big, 'x', LINES_MAX_BYTES + 2);
    refuse(big, LINES_MAX_BYTES + 2, 0, "here, line 1 is longer than 64 MiB");
    free(big);
}

static void write_gzip(const char *path, int n)
{
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < n; i++)
        assert_true(gzprintf(f, "line %d\n", i) > 0);
    assert_int_equal(gzclose(f), Z_OK);
}

static void gzip_and_plain_read_alike(void **state)
{
    (void)state;
    struct scratch scratch;
    struct lines *lines;
    scratch_make(&scratch);
    write_gzip(scratch_path(&scratch, "f.gz"), 3);
    assert_int_equal(lines_open(scratch.path, &lines), OK);
    expect(lines, 1, "line 0");
    expect(lines, 2, "line 1");
    expect(lines, 3, "line 2");
    expect_end(lines);
    lines_close(&lines);
    assert_int_equal(lines_open(scratch_write(&scratch, "plain", "x\ny", 3), &lines), OK);
    assert_string_equal(lines_where(lines), scratch.path);
    expect(lines, 1, "x");
    expect(lines, 2, "y");
    expect_end(lines);
    lines_close(&lines);
    assert_int_equal(lines_open(scratch_path(&scratch, "absent"), &lines), FAILED);
    assert_non_null(strstr(trace_sentence(), "absent"));
    trace_clear();
    scratch_remove(&scratch);
}

/* Cut, or one byte of the compressed data flipped: either way the reader fails at the latest at the end. */
static int damaged_status(struct scratch *scratch, char *bytes, size_t n_bytes)
{
    struct lines *lines;
    const char *line = "";
    size_t n;
    int64_t number;
    int status = OK;
    assert_int_equal(lines_open(scratch_write(scratch, "damaged.gz", bytes, n_bytes), &lines), OK);
    while (status == OK && line)
        status = lines_next(lines, &line, &n, &number);
    lines_close(&lines);
    return status;
}

static void a_damaged_gzip_is_refused(void **state)
{
    (void)state;
    struct scratch scratch;
    char *bytes;
    size_t n;
    scratch_make(&scratch);
    write_gzip(scratch_path(&scratch, "f.gz"), 5000);
    assert_int_equal(file_read(scratch.path, &bytes, &n), OK);
    assert_int_equal(damaged_status(&scratch, bytes, n), OK);
    assert_int_equal(damaged_status(&scratch, bytes, n / 2), FAILED);
    assert_non_null(strstr(trace_sentence(), "cut off"));
    trace_clear();
    bytes[n / 2] = (char)(bytes[n / 2] ^ 0x10);
    assert_int_equal(damaged_status(&scratch, bytes, n), FAILED);
    trace_clear();
    free(bytes);
    scratch_remove(&scratch);
}

static void utf8_is_what_unicode_says(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80", "\xe1\x80\x41",
                                      "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf1\x80\x80", "\xfe", "\xff"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_line_ends_are_understood),
        cmocka_unit_test(a_last_line_end_opens_no_line),
        cmocka_unit_test(long_lines_come_whole),
        cmocka_unit_test(what_is_no_text_is_refused_with_its_line),
        cmocka_unit_test(gzip_and_plain_read_alike),
        cmocka_unit_test(a_damaged_gzip_is_refused),
        cmocka_unit_test(utf8_is_what_unicode_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
