/* One shard: what is written comes back, what is damaged is refused. */
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
#include "base/h5.h"
#include "base/status.h"
#include "dataset/shard.h"
#include "tests/tools/scratch.h"

enum { PAIRS = 7 };

/* HDF5 1.10 leaks the names of filters when a checksum fails. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

static struct scratch scratch;

static int set_up(void **state) { return (void)state, scratch_make(&scratch), 0; }
static int tear_down(void **state) { return (void)state, scratch_remove(&scratch), 0; }

static uint32_t token_at(int pair, int node, int i) { return (uint32_t)(pair * 1000 + node * 50 + i); }

static struct tokens make_tokens(uint32_t *memory, int pair, int node, int n)
{
    for (int i = 0; i < n; i++)
        memory[i] = token_at(pair, node, i);
    return (struct tokens){memory, n};
}

static void put_pair(struct shard_writer *w, int p)
{
    uint32_t memory[6][64];
    char id[32];
    struct shard_critique one[2] = {{make_tokens(memory[3], p, 3, 2 + p), 7.0f, NAN}, {make_tokens(memory[4], p, 4, 1), NAN, 9.5f}}, two = {make_tokens(memory[5], p, 5, 3), 1.0f, 2.0f};
    snprintf(id, sizeof id, "id-%d", p);
    struct shard_record r = {.id = id, .subset = p % 2 ? "odd" : "", .source = (uint64_t)p * 10, .prompt = make_tokens(memory[0], p, 0, 3 + p),
                             .response = {make_tokens(memory[1], p, 1, 4), make_tokens(memory[2], p, 2, 5 + p)}, .n_critiques = {2, 1}, .critique = {one, &two}};
    assert_int_equal(shard_writer_put(w, &r), OK);
}

static void write_shard(const char *path)
{
    struct shard_writer *w;
    struct shard_meta meta = {.tokenizer = "0123456789abcdef", .template = "fedcba9876543210", .model = "some/model", .lead_in = {7, 8, 9}, .n_lead_in = 3};
    assert_int_equal(shard_writer_create(&meta, &w), OK);
    for (int p = 0; p < PAIRS; p++)
        put_pair(w, p);
    assert_int_equal(shard_writer_pairs(w), PAIRS);
    assert_int_equal(shard_writer_finish(&w, path), OK);
    assert_null(w);
}

static bool equal_tokens(const uint32_t *token, int pair, int node, int n)
{
    for (int i = 0; i < n; i++)
        if (token[i] != token_at(pair, node, i))
            return false;
    return true;
}

/* False when anything read differs from what was written; a read that fails is no difference. */
static bool holds_what_was_written(const struct shard *s)
{
    uint32_t token[256];
    bool same = s->n_pairs == PAIRS && s->n_critiques == 3 * PAIRS;
    for (int p = 0; p < PAIRS && same; p++) {
        same = s->source[p] == (uint64_t)p * 10 && s->prompt[p + 1] - s->prompt[p] == (uint64_t)(3 + p) && s->critiques_of_response[2 * p + 1] == (uint64_t)(3 * p + 2);
        if (same && shard_read_prompt(s, p, token) == OK)
            same = equal_tokens(token, p, 0, 3 + p);
        if (same && shard_read_response(s, p, 0, token) == OK)
            same = equal_tokens(token, p, 1, 4);
        if (same && shard_read_response(s, p, 1, token) == OK)
            same = equal_tokens(token, p, 2, 5 + p);
        if (same && shard_read_critiques(s, p, 0, token) == OK)
            same = equal_tokens(token, p, 3, 2 + p) && equal_tokens(token + 2 + p, p, 4, 1);
        if (same && shard_read_critiques(s, p, 1, token) == OK)
            same = equal_tokens(token, p, 5, 3);
    }
    return same;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct shard *s;
    const char *path = scratch_path(&scratch, "a.h5");
    write_shard(path);
    assert_int_equal(shard_open(path, &s), OK);
    assert_true(holds_what_was_written(s));
    assert_string_equal(s->meta.tokenizer, "0123456789abcdef");
    assert_string_equal(s->meta.model, "some/model");
    assert_int_equal(s->meta.n_lead_in, 3);
    assert_int_equal(s->meta.lead_in[2], 9);
    assert_true(s->judge_score[0] == 7.0f && isnan(s->quality[0]) && isnan(s->judge_score[1]) && s->quality[1] == 9.5f);
    assert_memory_equal(s->id + s->id_offset[3], "id-3", 4);
    assert_int_equal(s->subset_offset[2] - s->subset_offset[1], 3);
    assert_int_equal(trace_sentence()[0], 0);
    shard_close(&s);
    assert_null(s);
}

static void an_unfinished_file_is_not_left_under_its_name(void **state)
{
    (void)state;
    struct shard_writer *w;
    struct shard_meta meta = {.model = "m"};
    char path[600];
    assert_int_equal(shard_writer_create(&meta, &w), OK);
    put_pair(w, 0);
    snprintf(path, sizeof path, "%s/no/such/folder/a.h5", scratch.dir);
    assert_int_equal(shard_writer_finish(&w, path), FAILED);
    assert_null(w);
    trace_clear();
    assert_false(file_exists(path));
}

static void a_flipped_byte_is_refused_or_changes_no_token(void **state)
{
    (void)state;
    char *bytes;
    size_t n_bytes;
    uint32_t x = 1;
    int refused = 0;
    const char *path = scratch_path(&scratch, "flip.h5");
    write_shard(path);
    assert_int_equal(file_read(path, &bytes, &n_bytes), OK);
    for (int i = 0; i < 500; i++) {
        struct shard *s = NULL;
        size_t at = (size_t)((x = x * 1664525u + 1013904223u) >> 4) % n_bytes;
        char flip = (char)(1 << (i % 8));
        bytes[at] = (char)(bytes[at] ^ flip);
        scratch_write(&scratch, "flip.h5", bytes, n_bytes);
        bytes[at] = (char)(bytes[at] ^ flip);
        trace_clear();
        if (shard_open(scratch.path, &s) != OK) {
            assert_non_null(strstr(trace_sentence(), "flip.h5"));
            refused++;
            continue;
        }
        if (!holds_what_was_written(s))
            fail_msg("byte %zu flipped by %d gives other tokens", at, flip);
        shard_close(&s);
    }
    assert_true(refused > 0);
    trace_clear();
    free(bytes);
}

static void a_file_cut_off_is_refused(void **state)
{
    (void)state;
    char *bytes;
    size_t n_bytes;
    struct shard *s = NULL;
    const char *path = scratch_path(&scratch, "cut.h5");
    write_shard(path);
    assert_int_equal(file_read(path, &bytes, &n_bytes), OK);
    for (size_t keep = 0; keep < n_bytes; keep += n_bytes / 9 + 1) {
        trace_clear();
        assert_int_equal(shard_open(scratch_write(&scratch, "cut.h5", bytes, keep), &s), FAILED);
        assert_non_null(strstr(trace_sentence(), "cut.h5"));
    }
    trace_clear();
    free(bytes);
}

/* ---- well-formed HDF5 that lies -------------------------------------------------------------------------------------------------------------- */

struct lie { uint64_t prompt[3], response[5], critique[3], owner[5], source[2], pairs, critiques; size_t n_source; const char *without; };

static const struct lie truth = {{0, 2, 4}, {0, 1, 2, 3, 4}, {0, 1, 3}, {0, 1, 1, 1, 2}, {3, 4}, 2, 2, 2, ""};

static void put(struct h5_file *f, const struct lie *lie, const char *name, enum h5_type type, const void *elems, uint64_t n)
{
    if (strcmp(lie->without, name) == 0)
        return;
    assert_int_equal(h5_dataset_create(f, name, type), OK);
    assert_int_equal(h5_append(f, name, elems, n), OK);
}

static int open_lie(const struct lie *lie)
{
    struct h5_file *f;
    struct shard *s = NULL;
    static const uint32_t token[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const float score[2];
    static const uint64_t ends[3];
    const char *path = scratch_path(&scratch, "lie.h5");
    trace_clear();
    assert_int_equal(h5_create(path, &f), OK);
    put(f, lie, "/token/prompt", H5_U32, token, 4);
    put(f, lie, "/token/response", H5_U32, token, 4);
    put(f, lie, "/token/critique", H5_U32, token, 3);
    put(f, lie, "/offset/prompt", H5_U64, lie->prompt, 3);
    put(f, lie, "/offset/response", H5_U64, lie->response, 5);
    put(f, lie, "/offset/critique", H5_U64, lie->critique, 3);
    put(f, lie, "/offset/critiques_of_response", H5_U64, lie->owner, 5);
    put(f, lie, "/critique/judge_score", H5_F32, score, 2);
    put(f, lie, "/critique/quality", H5_F32, score, 2);
    put(f, lie, "/pair/source", H5_U64, lie->source, lie->n_source);
    put(f, lie, "/text/id", H5_U8, "", 0);
    put(f, lie, "/text/subset", H5_U8, "", 0);
    put(f, lie, "/offset/id", H5_U64, ends, 3);
    put(f, lie, "/offset/subset", H5_U64, ends, 3);
    assert_int_equal(h5_attr_put_text(f, "format", "critic-rm D_sub"), OK);
    assert_int_equal(h5_attr_put_u64(f, "version", SHARD_VERSION), OK);
    assert_int_equal(h5_attr_put_text(f, "tokenizer", "0"), OK);
    assert_int_equal(h5_attr_put_text(f, "template", "0"), OK);
    assert_int_equal(h5_attr_put_text(f, "model", "m"), OK);
    assert_int_equal(h5_attr_put_u64(f, "pairs", lie->pairs), OK);
    assert_int_equal(h5_attr_put_u64(f, "critiques", lie->critiques), OK);
    assert_int_equal(h5_attr_put_u32s(f, "lead_in", token, 1), OK);
    assert_int_equal(h5_close(&f), OK);
    int status = shard_open(path, &s);
    shard_close(&s);
    return status;
}

static void refused(struct lie lie, const char *words)
{
    assert_int_equal(open_lie(&lie), FAILED);
    if (!strstr(trace_sentence(), words))
        fail_msg("'%s' does not say '%s'", trace_sentence(), words);
    trace_clear();
}

static void a_file_that_lies_is_refused_by_what_it_says(void **state)
{
    (void)state;
    struct lie lie = truth;
    assert_int_equal(open_lie(&truth), OK);
    lie.prompt[1] = 5;
    refused(lie, "/offset/prompt falls at entry 1");
    lie = truth;
    lie.prompt[0] = 1;
    refused(lie, "/offset/prompt does not cover its data");
    lie = truth;
    lie.prompt[1] = 0;
    refused(lie, "pair 0 has an empty prompt");
    lie = truth;
    lie.response[1] = 0;
    refused(lie, "pair 0 has an empty response");
    lie = truth;
    lie.critique[1] = 0;
    refused(lie, "critique 0 is empty");
    lie = truth;
    lie.owner[4] = 3;
    refused(lie, "/offset/critiques_of_response does not cover");
    lie = truth;
    lie.source[1] = 3;
    refused(lie, "/pair/source does not rise");
    lie = truth;
    lie.n_source = 1;
    refused(lie, "/pair/source has 1 entries, not 2");
    lie = truth;
    lie.pairs = 1;
    refused(lie, "/offset/prompt has 3 entries, not 2");
    lie = truth;
    lie.pairs = UINT64_MAX;
    refused(lie, "damaged");
    lie = truth;
    lie.critiques = 1;
    refused(lie, "/offset/critique has 3 entries, not 2");
    lie = truth;
    lie.without = "/critique/quality";
    refused(lie, "/critique/quality");
}

static void a_conversation_has_empty_responses_and_one_text(void **state)
{
    (void)state;
    struct lie lie = truth;
    memcpy(lie.response, (uint64_t[5]){0, 0, 0, 2, 4}, sizeof lie.response);
    assert_int_equal(open_lie(&lie), OK);
    memcpy(lie.owner, (uint64_t[5]){0, 0, 1, 1, 2}, sizeof lie.owner);
    refused(lie, "pair 0 has an empty response");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(an_unfinished_file_is_not_left_under_its_name),
        cmocka_unit_test(a_flipped_byte_is_refused_or_changes_no_token),
        cmocka_unit_test(a_file_cut_off_is_refused),
        cmocka_unit_test(a_file_that_lies_is_refused_by_what_it_says),
        cmocka_unit_test(a_conversation_has_empty_responses_and_one_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
