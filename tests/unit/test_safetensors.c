#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/file.h"
#include "base/safetensors.h"
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

/* A file's bytes from a header and data of n bytes; the caller frees. */
static unsigned char *forge(const char *header, size_t n_data, size_t *n_bytes)
{
    size_t n = strlen(header);
    unsigned char *bytes = calloc(1, 8 + n + n_data + 1);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(n >> (8 * i));
    memcpy(bytes + 8, header, n);
    *n_bytes = 8 + n + n_data;
    return bytes;
}

static void refused(const char *header, size_t n_data, const char *why)
{
    struct safetensors *st = NULL;
    size_t n;
    unsigned char *bytes = forge(header, n_data, &n);
    assert_int_equal(safetensors_open_memory(bytes, n, "forged", &st), FAILED);
    assert_null(st);
    if (!strstr(trace_sentence(), why))
        fail_msg("\"%s\" does not say \"%s\"", trace_sentence(), why);
    trace_clear();
    free(bytes);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const int64_t matrix[2] = {3, 2}, vector = 5;
    const float m[6] = {1, 2, 3, 4, 5, 6}, v[5] = {0.1f, -0.2f, 3e30f, -0.0f, 1e-40f};
    float got[6];
    struct st_writer *w;
    struct safetensors *st;
    const char *path = scratch_path(&scratch, "model.safetensors");
    assert_int_equal(st_writer_create(path, &w), OK);
    assert_int_equal(st_writer_declare(w, "m", ST_BF16, 2, matrix), OK);
    assert_int_equal(st_writer_declare(w, "v", ST_F32, 1, &vector), OK);
    assert_int_equal(st_writer_put_f32(w, m, 4), OK);
    assert_int_equal(st_writer_put_f32(w, m + 4, 2), OK);
    assert_int_equal(st_writer_put_f32(w, v, 5), OK);
    assert_int_equal(st_writer_close(&w), OK);
    assert_int_equal(safetensors_open_folder(scratch.dir, &st), OK);
    assert_int_equal(safetensors_count(st), 2);
    const struct st_tensor *t = safetensors_find(st, "m");
    assert_int_equal(t->shape[0], 3);
    st_read_f32(t, 1, 5, got);
    assert_memory_equal(got, m + 1, 5 * sizeof *got);
    t = safetensors_find(st, "v");
    st_read_f32(t, 0, 5, got);
    assert_memory_equal(got, v, sizeof v);
    assert_null(safetensors_find(st, "w"));
    assert_int_equal((uintptr_t)t->data % 4, 0);
    safetensors_close(&st);
}

static void half_precision_is_read(void **state)
{
    (void)state;
    static const uint16_t half[6] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x0400};
    static const float want[6] = {1.0f, -2.0f, 0x1p-24f, 65504.0f, -0.0f, 0x1p-14f};
    float got[6];
    size_t n;
    struct safetensors *st;
    unsigned char *bytes = forge("{\"h\":{\"dtype\":\"F16\",\"shape\":[6],\"data_offsets\":[0,12]}}", 12, &n);
    memcpy(bytes + n - 12, half, 12);
    assert_int_equal(safetensors_open_memory(bytes, n, "forged", &st), OK);
    st_read_f32(safetensors_find(st, "h"), 0, 6, got);
    assert_memory_equal(got, want, sizeof want);
    safetensors_close(&st);
    free(bytes);
}

static void a_hostile_header_is_refused_by_name(void **state)
{
    (void)state;
    refused("{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "I64");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "truncated");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "shape needs 12");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 8, "too large");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}}", 8, "whole number");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", 8, "whole number");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "truncated");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "truncated");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "two data offsets");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", 8, "dimensions");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "shares bytes");
    refused("{\"a\":7}", 0, "dtype");
    refused("[]", 0, "not a JSON object");
    refused("{\"a\":", 0, "JSON");
}

static void a_header_longer_than_the_file_is_refused(void **state)
{
    (void)state;
    struct safetensors *st;
    unsigned char bytes[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(safetensors_open_memory(bytes, sizeof bytes, "forged", &st), FAILED);
    assert_non_null(strstr(trace_sentence(), "longer than the file"));
    trace_clear();
    assert_int_equal(safetensors_open_memory(bytes, 4, "forged", &st), FAILED);
}

static void write_one(const char *file, const char *tensor, float value)
{
    const int64_t one = 1;
    struct st_writer *w;
    assert_int_equal(st_writer_create(scratch_path(&scratch, file), &w), OK);
    assert_int_equal(st_writer_declare(w, tensor, ST_F32, 1, &one), OK);
    assert_int_equal(st_writer_put_f32(w, &value, 1), OK);
    assert_int_equal(st_writer_close(&w), OK);
}

static void an_index_leads_to_its_files(void **state)
{
    (void)state;
    struct safetensors *st;
    float got;
    static const char index[] = "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}";
    write_one("1.safetensors", "a", 1.0f);
    write_one("2.safetensors", "b", 2.0f);
    scratch_write(&scratch, "model.safetensors.index.json", index, sizeof index - 1);
    assert_int_equal(safetensors_open_folder(scratch.dir, &st), OK);
    st_read_f32(safetensors_find(st, "b"), 0, 1, &got);
    assert_true(got == 2.0f);
    assert_non_null(strstr(safetensors_path(st, safetensors_find(st, "b")), "2.safetensors"));
    safetensors_close(&st);
}

static void a_tensor_in_two_files_is_refused(void **state)
{
    (void)state;
    struct safetensors *st;
    static const char index[] = "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}";
    write_one("1.safetensors", "a", 1.0f);
    write_one("2.safetensors", "a", 2.0f);
    scratch_write(&scratch, "model.safetensors.index.json", index, sizeof index - 1);
    assert_int_equal(safetensors_open_folder(scratch.dir, &st), FAILED);
    assert_non_null(strstr(trace_sentence(), "twice"));
}

static void an_index_that_leaves_its_folder_is_refused(void **state)
{
    (void)state;
    struct safetensors *st;
    static const char index[] = "{\"weight_map\":{\"a\":\"../1.safetensors\"}}";
    scratch_write(&scratch, "model.safetensors.index.json", index, sizeof index - 1);
    assert_int_equal(safetensors_open_folder(scratch.dir, &st), FAILED);
    assert_non_null(strstr(trace_sentence(), "not a file's name"));
}

static void a_full_disk_is_said(void **state)
{
    (void)state;
    const int64_t n = 1000;
    float *zeros = calloc((size_t)n, sizeof *zeros);
    struct st_writer *w;
    assert_int_equal(st_writer_create("/dev/full", &w), OK);
    assert_int_equal(st_writer_declare(w, "a", ST_F32, 1, &n), OK);
    int status = st_writer_put_f32(w, zeros, n);
    status = status == OK ? st_writer_close(&w) : status;
    st_writer_abandon(&w);
    assert_int_equal(status, FAILED);
    assert_non_null(strstr(trace_sentence(), "No space left"));
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(half_precision_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hostile_header_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_header_longer_than_the_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_index_leads_to_its_files, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tensor_in_two_files_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_index_that_leaves_its_folder_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
