/* Candidates: what is written comes back record by record, what is damaged or lies is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/h5.h"
#include "base/status.h"
#include "dataset/candidates.h"
#include "dataset/set.h"
#include "tests/tools/scratch.h"

enum { RECORDS = 7, MOST = 5 };

/* HDF5 1.10 leaks the names of filters when a checksum fails. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

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

/* ---- records whose every token and text is known from their number ----------------------------------------------------------------------------- */

static const uint64_t rising[RECORDS] = {10, 20, 40, 50, 60, 80, 90};
/* Out of order over the files, rising in each file of three. */
static const uint64_t mixed[RECORDS] = {40, 60, 80, 10, 50, 90, 20};

struct made {
    uint32_t token[3 + 2 * MOST][16];
    char id[32], raw[2 * MOST][64];
    struct candidate candidate[2][MOST];
    struct candidate_record record;
};

static struct tokens make_node(struct made *m, int node, int n)
{
    for (int i = 0; i < n; i++)
        m->token[node][i] = (uint32_t)(m->record.source * 1000 + (uint64_t)node * 20 + (uint64_t)i);
    return (struct tokens){m->token[node], n};
}

/* k % 3 == 0: nothing is left of the text; k % 2: unscored; the last is cut by the limit. */
static struct candidate make_candidate(struct made *m, int side, int k)
{
    int slot = side * MOST + k;
    snprintf(m->raw[slot], sizeof m->raw[slot], "raw %d of %d, \xc3\xa9\n\nScore: %d", k, (int)m->record.source, k + 1);
    return (struct candidate){make_node(m, 3 + slot, k % 3 ? 2 + k : 0), m->raw[slot], strlen(m->raw[slot]), k % 2 ? NAN : 1.0f + (float)k, k == 2 ? FINISH_LIMIT : FINISH_STOP};
}

static void make(struct made *m, uint64_t source)
{
    m->record = (struct candidate_record){.id = m->id, .subset = source % 20 ? "odd" : "", .source = source, .n_candidates = {(int32_t)(source / 10 % MOST), (int32_t)(source / 10 % 3)}};
    snprintf(m->id, sizeof m->id, "id-%d", (int)source);
    m->record.prompt = make_node(m, 0, 3 + (int)source % 7);
    for (int side = 0; side < 2; side++) {
        m->record.response[side] = make_node(m, 1 + side, 4 + side);
        for (int k = 0; k < m->record.n_candidates[side]; k++)
            m->candidate[side][k] = make_candidate(m, side, k);
        m->record.candidate[side] = m->candidate[side];
    }
}

static struct dsub_writer *open_writer(int64_t per_file)
{
    struct dsub_writer *w = NULL;
    struct shard_meta meta = {.tokenizer = "0123456789abcdef", .template = "fedcba9876543210", .judge = "00000000000000ff", .model = "some/model"};
    assert_int_equal(candidates_writer_create(folder, &meta, per_file, &w), OK);
    return w;
}

static void write_set(const uint64_t *sources, int64_t per_file)
{
    static struct made m;
    struct dsub_writer *w = open_writer(per_file);
    for (int i = 0; i < RECORDS; i++) {
        make(&m, sources[i]);
        assert_int_equal(candidates_writer_put(w, &m.record), OK);
    }
    assert_int_equal(dsub_writer_finish(&w), OK);
}

static bool same_tokens(struct tokens a, struct tokens b) { return a.n == b.n && memcmp(a.token, b.token, (size_t)a.n * sizeof *a.token) == 0; }

static bool same_candidate(const struct candidate *a, const struct candidate *b)
{
    bool score = isnan(a->judge_score) ? isnan(b->judge_score) : a->judge_score == b->judge_score;
    return score && a->finish == b->finish && same_tokens(a->text, b->text) && a->n_raw_bytes == b->n_raw_bytes && strcmp(a->raw, b->raw) == 0;
}

static bool same_record(const struct candidate_record *a, const struct candidate_record *b)
{
    bool same = strcmp(a->id, b->id) == 0 && strcmp(a->subset, b->subset) == 0 && a->source == b->source && same_tokens(a->prompt, b->prompt);
    for (int side = 0; side < 2 && same; side++) {
        same = same_tokens(a->response[side], b->response[side]) && a->n_candidates[side] == b->n_candidates[side];
        for (int k = 0; k < a->n_candidates[side] && same; k++)
            same = same_candidate(&a->candidate[side][k], &b->candidate[side][k]);
    }
    return same;
}

/* False when anything read differs from what was written; a read that fails is no difference. */
static bool holds_what_was_written(struct candidates *c)
{
    static struct made m;
    struct candidate_record r;
    bool same = c->n_records == RECORDS;
    for (int64_t i = 0; i < RECORDS && same; i++) {
        make(&m, rising[i]);
        same = candidates_read(c, i, &r) != OK || same_record(&r, &m.record);
    }
    return same;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------------------- */

static void records_come_back_by_number_whatever_file_they_lie_in(void **state)
{
    (void)state;
    struct candidates *c;
    struct candidate_record r;
    write_set(mixed, 3);
    assert_true(candidates_is_set(folder));
    assert_false(dsub_is_set(folder));
    assert_int_equal(candidates_open(folder, &c), OK);
    assert_int_equal(c->n_files, 3);
    assert_int_equal(c->n_candidates, (1 + 2 + 4 + 0 + 1 + 3 + 4) + (1 + 2 + 1 + 2 + 0 + 2 + 0));
    assert_string_equal(c->meta.judge, "00000000000000ff");
    assert_string_equal(c->meta.model, "some/model");
    assert_int_equal(c->meta.n_lead_in, 0);
    assert_true(holds_what_was_written(c));
    assert_int_equal(candidates_read(c, 4, &r), OK);        /* and in any order */
    assert_int_equal(r.source, 60);
    assert_int_equal(candidates_read(c, 0, &r), OK);
    assert_int_equal(r.source, 10);
    assert_string_equal(trace_sentence(), "");
    candidates_close(&c);
    assert_null(c);
}

static void raw_bytes_that_are_no_text_are_kept_as_replacements(void **state)
{
    (void)state;
    struct candidates *c;
    struct candidate_record r;
    static struct made m;
    static const char raw[] = {'a', (char)0xe2, (char)0x82, 'b', 0, (char)0xff};
    struct dsub_writer *w = open_writer(1);
    make(&m, 10);
    m.candidate[0][0].raw = raw;
    m.candidate[0][0].n_raw_bytes = sizeof raw;
    assert_int_equal(candidates_writer_put(w, &m.record), OK);
    assert_int_equal(dsub_writer_finish(&w), OK);
    assert_int_equal(candidates_open(folder, &c), OK);
    assert_int_equal(candidates_read(c, 0, &r), OK);
    assert_string_equal(r.candidate[0][0].raw, "a\xef\xbf\xbd\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd");
    candidates_close(&c);
}

static void a_set_without_its_list_does_not_exist_and_a_complete_one_is_not_written_over(void **state)
{
    (void)state;
    static struct made m;
    struct candidates *c = NULL;
    struct shard_meta meta = {.model = "m"};
    struct dsub_writer *w = open_writer(2);
    make(&m, 10);
    assert_int_equal(candidates_writer_put(w, &m.record), OK);
    dsub_writer_abandon(&w);
    assert_int_equal(candidates_open(folder, &c), FAILED);
    assert_non_null(strstr(trace_sentence(), "no complete set (no candidates.json): run critique"));
    trace_clear();
    write_set(rising, 2);
    assert_int_equal(candidates_writer_create(folder, &meta, 2, &w), FAILED);
    assert_non_null(strstr(trace_sentence(), "already holds a complete set"));
}

static void verify_finds_a_flipped_byte_and_open_another_size(void **state)
{
    (void)state;
    char *bytes, path[1024];
    size_t n;
    struct candidates *c = NULL;
    write_set(mixed, 3);
    assert_int_equal(candidates_verify(folder), OK);
    snprintf(path, sizeof path, "%s/candidates-00001-of-00003.h5", folder);
    assert_int_equal(file_read(path, &bytes, &n), OK);
    bytes[n / 2] ^= 1;
    assert_int_equal(file_write_atomic(path, bytes, n), OK);
    assert_int_equal(candidates_verify(folder), FAILED);
    assert_non_null(strstr(trace_sentence(), "candidates-00001-of-00003.h5 does not have the checksum"));
    trace_clear();
    assert_int_equal(file_write_atomic(path, bytes, n - 1), OK);
    assert_int_equal(candidates_open(folder, &c), FAILED);
    assert_non_null(strstr(trace_sentence(), "it is cut off or another file"));
    free(bytes);
}

static void a_flipped_byte_is_refused_or_changes_nothing(void **state)
{
    (void)state;
    char *bytes, path[1024];
    size_t n_bytes;
    uint32_t x = 1;
    int refused = 0;
    write_set(rising, RECORDS);
    snprintf(path, sizeof path, "%s/candidates-00000-of-00001.h5", folder);
    assert_int_equal(file_read(path, &bytes, &n_bytes), OK);
    for (int i = 0; i < 500; i++) {
        struct candidates *c = NULL;
        size_t at = (size_t)((x = x * 1664525u + 1013904223u) >> 4) % n_bytes;
        char flip = (char)(1 << (i % 8));
        bytes[at] = (char)(bytes[at] ^ flip);
        scratch_write(&scratch, "set/candidates-00000-of-00001.h5", bytes, n_bytes);
        bytes[at] = (char)(bytes[at] ^ flip);
        trace_clear();
        if (candidates_open(folder, &c) != OK) {
            assert_non_null(strstr(trace_sentence(), "candidates-00000-of-00001.h5"));
            refused++;
            continue;
        }
        if (!holds_what_was_written(c))
            fail_msg("byte %zu flipped by %d gives another record", at, flip);
        candidates_close(&c);
    }
    assert_true(refused > 0);
    free(bytes);
}

/* ---- well-formed HDF5 that lies -------------------------------------------------------------------------------------------------------------- */

/* One pair with a candidate on each side. */
struct lie { uint64_t prompt[2], response[3], critique[3], owner[3], raw[3]; float score[2]; uint8_t finish[2]; const char *text, *format, *without; size_t n_lead_in; };
static const struct lie truth = {{0, 2}, {0, 1, 2}, {0, 0, 3}, {0, 1, 2}, {0, 2, 5}, {1.0f, 10.0f}, {0, 1}, "abcde", "critic-rm candidates", "", 0};

static void put(struct h5_file *f, const struct lie *lie, const char *name, enum h5_type type, const void *elems, uint64_t n)
{
    if (strcmp(lie->without, name) == 0)
        return;
    assert_int_equal(h5_dataset_create(f, name, type), OK);
    assert_int_equal(h5_append(f, name, elems, n), OK);
}

static void write_attributes(struct h5_file *f, const struct lie *lie)
{
    assert_int_equal(h5_attr_put_text(f, "format", lie->format), OK);
    assert_int_equal(h5_attr_put_u64(f, "version", SHARD_VERSION), OK);
    assert_int_equal(h5_attr_put_text(f, "tokenizer", "0"), OK);
    assert_int_equal(h5_attr_put_text(f, "template", "0"), OK);
    if (strcmp(lie->without, "judge") != 0)
        assert_int_equal(h5_attr_put_text(f, "judge", ""), OK);
    assert_int_equal(h5_attr_put_text(f, "model", "m"), OK);
    assert_int_equal(h5_attr_put_u64(f, "pairs", 1), OK);
    assert_int_equal(h5_attr_put_u64(f, "critiques", 2), OK);
    assert_int_equal(h5_attr_put_u32s(f, "lead_in", (uint32_t[1]){7}, lie->n_lead_in), OK);
}

static void write_lie(const char *path, const struct lie *lie)
{
    static const uint32_t token[4] = {1, 2, 3, 4};
    static const uint64_t source = 3, ends[2];
    struct h5_file *f;
    assert_int_equal(h5_create(path, &f), OK);
    put(f, lie, "/token/prompt", H5_U32, token, 2);
    put(f, lie, "/token/response", H5_U32, token, 2);
    put(f, lie, "/token/critique", H5_U32, token, 3);
    put(f, lie, "/offset/prompt", H5_U64, lie->prompt, 2);
    put(f, lie, "/offset/response", H5_U64, lie->response, 3);
    put(f, lie, "/offset/critique", H5_U64, lie->critique, 3);
    put(f, lie, "/offset/critiques_of_response", H5_U64, lie->owner, 3);
    put(f, lie, "/candidate/judge_score", H5_F32, lie->score, 2);
    put(f, lie, "/candidate/finish", H5_U8, lie->finish, 2);
    put(f, lie, "/text/candidate", H5_U8, lie->text, 5);
    put(f, lie, "/offset/candidate", H5_U64, lie->raw, 3);
    put(f, lie, "/pair/source", H5_U64, &source, 1);
    put(f, lie, "/text/id", H5_U8, "", 0);
    put(f, lie, "/text/subset", H5_U8, "", 0);
    put(f, lie, "/offset/id", H5_U64, ends, 2);
    put(f, lie, "/offset/subset", H5_U64, ends, 2);
    write_attributes(f, lie);
    assert_int_equal(h5_close(&f), OK);
}

/* Listed as it is, opened and read. */
static int read_lie(const struct lie *lie)
{
    char path[1024];
    struct set_file file;
    struct shard_meta meta = {.model = "m"};
    struct candidates *c = NULL;
    struct candidate_record r;
    trace_clear();
    assert_int_equal(dir_make(folder), OK);
    snprintf(path, sizeof path, "%s/lie.h5", folder);
    write_lie(path, lie);
    assert_int_equal(set_file_describe(folder, "lie.h5", 1, &file), OK);
    assert_int_equal(set_list_write(folder, &set_candidates, &meta, &file, 1), OK);
    int status = candidates_open(folder, &c);
    if (status == OK)
        status = candidates_read(c, 0, &r);
    candidates_close(&c);
    return status;
}

static void refused(struct lie lie, const char *words)
{
    assert_int_equal(read_lie(&lie), FAILED);
    if (!strstr(trace_sentence(), words))
        fail_msg("'%s' does not say '%s'", trace_sentence(), words);
}

static void a_file_that_lies_is_refused_by_what_it_says(void **state)
{
    (void)state;
    struct lie lie = truth;
    assert_int_equal(read_lie(&truth), OK);
    lie.score[1] = 10.5f;
    refused(lie, "candidate 1 has the score 10.5, not 1 to 10");
    lie.score[1] = -INFINITY;
    refused(lie, "candidate 1 has the score -inf");
    lie.score[1] = NAN;
    assert_int_equal(read_lie(&lie), OK);
    lie = truth;
    lie.finish[0] = 2;
    refused(lie, "candidate 0 has the finish 2, not 0 or 1");
    lie = truth;
    lie.raw[1] = 6;
    refused(lie, "/offset/candidate falls at entry 1");
    lie = truth;
    lie.raw[2] = 4;
    refused(lie, "/offset/candidate does not cover its data");
    lie = truth;
    lie.text = "ab\xff" "de";
    refused(lie, "raw text of candidate 1 of source record 3 is not UTF-8");
    lie = truth;
    lie.critique[1] = 4;
    refused(lie, "/offset/critique falls at entry 1");
    lie = truth;
    lie.owner[1] = 3;
    refused(lie, "/offset/critiques_of_response falls");
    lie = truth;
    lie.prompt[1] = 1;
    refused(lie, "/offset/prompt does not cover its data");
    lie = truth;
    lie.response[1] = 0;
    refused(lie, "pair 0 has an empty response");
    memcpy(lie.response, (uint64_t[3]){0, 2, 2}, sizeof lie.response);
    refused(lie, "pair 0 has an empty response");
    lie = truth;
    lie.n_lead_in = 1;
    refused(lie, "end with an instruction");
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"/candidate/judge_score", "/candidate/finish", "/text/candidate", "/offset/candidate", "/token/critique", "judge"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct lie lie = truth;
        lie.without = names[i];
        refused(lie, names[i]);
    }
}

static void a_shard_of_d_sub_is_no_file_of_candidates(void **state)
{
    (void)state;
    char path[1024];
    struct shard *s = NULL;
    struct lie lie = truth;
    lie.format = "critic-rm D_sub";
    refused(lie, "not a file of candidates of version 1");
    trace_clear();
    assert_int_equal(read_lie(&truth), OK);
    snprintf(path, sizeof path, "%s/lie.h5", folder);
    assert_int_equal(shard_open(path, &s), FAILED);
    assert_non_null(strstr(trace_sentence(), "not a D_sub shard"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_come_back_by_number_whatever_file_they_lie_in),
        TEST(raw_bytes_that_are_no_text_are_kept_as_replacements),
        TEST(a_set_without_its_list_does_not_exist_and_a_complete_one_is_not_written_over),
        TEST(verify_finds_a_flipped_byte_and_open_another_size),
        TEST(a_flipped_byte_is_refused_or_changes_nothing),
        TEST(a_file_that_lies_is_refused_by_what_it_says),
        TEST(what_is_missing_is_named),
        TEST(a_shard_of_d_sub_is_no_file_of_candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
