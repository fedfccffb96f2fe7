/* A set of shards: written, numbered by source, verified. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "dataset/dsub.h"
#include "tests/tools/scratch.h"

static struct scratch scratch;
static char folder[512];

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    snprintf(folder, sizeof folder, "%s/set", scratch.dir);
    return 0;
}

static int tear_down(void **state) { return (void)state, scratch_remove(&scratch), trace_clear(), 0; }

static void put_pair(struct dsub_writer *w, uint64_t source)
{
    uint32_t token[8] = {(uint32_t)source, 2, 3, 4, 5, 6, 7, 8};
    struct shard_critique critique = {{token, 3}, 5.0f, NAN};
    struct shard_record r = {.id = "i", .subset = "s", .source = source, .prompt = {token, 1 + (int32_t)source % 5}, .response = {{token, 2}, {token, 3}}, .n_critiques = {1, 0},
                             .critique = {&critique, NULL}};
    assert_int_equal(dsub_writer_put(w, &r), OK);
}

static struct dsub_writer *open_writer(int64_t pairs_per_shard)
{
    struct dsub_writer *w = NULL;
    struct shard_meta meta = {.tokenizer = "01", .template = "02", .model = "m", .lead_in = {4}, .n_lead_in = 1};
    assert_int_equal(dsub_writer_create(folder, &meta, pairs_per_shard, &w), OK);
    return w;
}

/* Sources out of order over the files: each file rises. */
static void write_set(void)
{
    static const uint64_t sources[] = {40, 60, 80, 10, 50, 90, 20};
    struct dsub_writer *w = open_writer(3);
    for (int i = 0; i < 7; i++)
        put_pair(w, sources[i]);
    assert_int_equal(dsub_writer_finish(&w), OK);
    assert_null(w);
}

static void pairs_are_numbered_by_source_whatever_file_they_lie_in(void **state)
{
    (void)state;
    static const uint64_t rising[] = {10, 20, 40, 50, 60, 80, 90};
    struct dsub *d;
    uint32_t token[8];
    write_set();
    assert_true(dsub_is_set(folder));
    assert_int_equal(dsub_open(folder, &d), OK);
    assert_int_equal(d->n_files, 3);
    assert_int_equal(d->n_pairs, 7);
    assert_int_equal(d->n_critiques, 7);
    assert_string_equal(d->meta.template, "02");
    for (int i = 0; i < 7; i++) {
        assert_int_equal(d->lengths.source[i], rising[i]);
        assert_int_equal(d->lengths.n_prompt[i], 1 + rising[i] % 5);
        assert_int_equal(d->lengths.first_critique[2 * i], i);
        assert_int_equal(shard_read_prompt(d->shard[d->pair[i].file], d->pair[i].index, token), OK);
        assert_int_equal(token[0], rising[i]);
    }
    dsub_close(&d);
}

static void a_set_without_its_list_does_not_exist(void **state)
{
    (void)state;
    struct dsub *d = NULL;
    struct dsub_writer *w = open_writer(2);
    for (uint64_t i = 0; i < 5; i++)
        put_pair(w, i);
    dsub_writer_abandon(&w);
    assert_false(dsub_is_set(folder));
    assert_int_equal(dsub_open(folder, &d), FAILED);
    assert_non_null(strstr(trace_sentence(), "no complete set"));
    trace_clear();
    write_set();
    assert_int_equal(dsub_open(folder, &d), OK);
    dsub_close(&d);
}

static void a_complete_set_is_not_written_over_and_an_empty_one_not_written(void **state)
{
    (void)state;
    struct shard_meta meta = {.model = "m"};
    struct dsub_writer *w = open_writer(2);
    assert_int_equal(dsub_writer_finish(&w), FAILED);
    assert_null(w);
    trace_clear();
    write_set();
    assert_int_equal(dsub_writer_create(folder, &meta, 2, &w), FAILED);
    assert_non_null(strstr(trace_sentence(), "already holds a complete set"));
}

static void one_source_twice_is_refused(void **state)
{
    (void)state;
    struct dsub *d = NULL;
    struct dsub_writer *w = open_writer(1);
    put_pair(w, 5);
    put_pair(w, 5);
    assert_int_equal(dsub_writer_finish(&w), OK);
    assert_int_equal(dsub_open(folder, &d), FAILED);
    assert_non_null(strstr(trace_sentence(), "source record 5 twice"));
}

static void change_file(const char *name, size_t at, size_t cut)
{
    char *bytes, path[1024];
    size_t n;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_read(path, &bytes, &n), OK);
    bytes[at < n ? at : n - 1] ^= 1;
    assert_int_equal(file_write_atomic(path, bytes, n - cut), OK);
    free(bytes);
}

static void verify_finds_a_flipped_byte(void **state)
{
    (void)state;
    write_set();
    assert_int_equal(dsub_verify(folder), OK);
    change_file("dsub-00001-of-00003.h5", 9999, 0);
    assert_int_equal(dsub_verify(folder), FAILED);
    assert_non_null(strstr(trace_sentence(), "dsub-00001-of-00003.h5 does not have the checksum"));
}

static void a_shard_of_another_size_is_refused_at_once(void **state)
{
    (void)state;
    struct dsub *d = NULL;
    write_set();
    change_file("dsub-00002-of-00003.h5", 0, 1);
    assert_int_equal(dsub_open(folder, &d), FAILED);
    assert_non_null(strstr(trace_sentence(), "it is cut off or another file"));
}

static bool even_tens(const void *context, const struct dsub *d, int64_t number) { return d->lengths.source[number] % *(const uint64_t *)context == 0; }

static void a_view_holds_the_lengths_of_its_pairs(void **state)
{
    (void)state;
    struct dsub *d;
    struct dsub_view view;
    uint64_t divisor = 20;
    write_set();
    assert_int_equal(dsub_open(folder, &d), OK);
    assert_int_equal(dsub_view_make(d, even_tens, &divisor, &view), OK);
    static const uint64_t want[] = {20, 40, 60, 80};
    assert_int_equal(view.n_pairs, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(view.lengths.source[i], want[i]);
        assert_int_equal(d->lengths.source[view.number[i]], want[i]);
        assert_int_equal(view.lengths.n_response[2 * i + 1], 3);
        assert_int_equal(view.lengths.first_critique[2 * i + 1], i + 1);
        assert_int_equal(view.lengths.first_critique[2 * i + 2], i + 1);
    }
    dsub_view_free(&view);
    dsub_close(&d);
}

static void the_hash_names_the_set(void **state)
{
    (void)state;
    struct dsub *d;
    uint64_t first;
    write_set();
    assert_int_equal(dsub_open(folder, &d), OK);
    first = d->hash;
    dsub_close(&d);
    assert_int_equal(dir_remove(folder), OK);
    struct dsub_writer *w = open_writer(3);
    put_pair(w, 1);
    assert_int_equal(dsub_writer_finish(&w), OK);
    assert_int_equal(dsub_open(folder, &d), OK);
    assert_true(d->hash != first);
    dsub_close(&d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pairs_are_numbered_by_source_whatever_file_they_lie_in),
        TEST(a_set_without_its_list_does_not_exist),
        TEST(a_complete_set_is_not_written_over_and_an_empty_one_not_written),
        TEST(one_source_twice_is_refused),
        TEST(verify_finds_a_flipped_byte),
        TEST(a_shard_of_another_size_is_refused_at_once),
        TEST(a_view_holds_the_lengths_of_its_pairs),
        TEST(the_hash_names_the_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
