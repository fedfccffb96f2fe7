/* Sets made in parts: whatever stops the making, and whoever goes on, the set is the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "dataset/parts.h"
#include "tests/tools/scratch.h"

enum { RECORDS = 23, PER_PART = 3, PARTS = 8 };
static const uint64_t MODEL = 0xabcd;       /* its fingerprint */

static struct scratch scratch;
static struct config config;
static char folder[512];
static const struct parts_input input = {.path = "pairs.jsonl", .hash = 0x1234, .n_bytes = 999, .n_records = RECORDS};
static const struct shard_meta meta = {.tokenizer = "0123456789abcdef", .template = "fedcba9876543210", .model = "some/model"};

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    snprintf(folder, sizeof folder, "%s/set", scratch.dir);
    assert_int_equal(config_load(NULL, NULL, 0, &config), OK);
    config.generate.records_per_part = PER_PART;
    return 0;
}

static int tear_down(void **state) { return (void)state, scratch_remove(&scratch), trace_clear(), 0; }

/* ---- making ---------------------------------------------------------------------------------------------------------------------------------- */

static void must(int status)
{
    if (status != OK)
        fail_msg("%s", trace_sentence());
}

static int put_candidates(struct shard_writer *w, int64_t record)
{
    uint32_t token[4] = {(uint32_t)record, 1, 2, 3};
    char raw[32];
    snprintf(raw, sizeof raw, "raw %d", (int)record);
    struct candidate c = {{token, 2}, raw, strlen(raw), 5.0f, FINISH_STOP};
    struct candidate_record r = {.id = "i", .subset = "s", .source = (uint64_t)record, .prompt = {token, 3}, .response = {{token, 1}, {token, 4}}, .n_candidates = {1, 0}, .candidate = {&c, NULL}};
    return candidates_part_put(w, &r);
}

/* The filter drops records 6 to 8, a whole part, and every fifth. */
static int put_pair(struct shard_writer *w, int64_t record)
{
    uint32_t token[4] = {(uint32_t)record, 1, 2, 3};
    struct shard_critique c = {{token, 2}, 5.0f, NAN};
    struct shard_record r = {.id = "i", .subset = "s", .source = (uint64_t)record, .prompt = {token, 3}, .response = {{token, 1}, {token, 4}}, .n_critiques = {1, 1}, .critique = {&c, &c}};
    return (record >= 6 && record <= 8) || record % 5 == 4 ? OK : shard_writer_put(w, &r);
}

static int make_part(const struct parts *p, int32_t part)
{
    struct shard_writer *w;
    struct parts_range range = parts_range(p, part);
    TRY(shard_writer_create_as(p->form, &meta, &w));
    for (int64_t r = range.first; r < range.end; r++)
        TRY(p->form == &set_dsub ? put_pair(w, r) : put_candidates(w, r));
    json_t *summary = json_pack("{s:I}", "records", (json_int_t)(range.end - range.first));
    int status = parts_finish_part(p, part, &w, summary);
    json_decref(summary);
    return status;
}

/* What the ranks of a job do, one after the other; `most` parts each. */
static int make(const struct set_form *form, int size, int most)
{
    struct parts p;
    uint8_t done[PARTS];
    int64_t n;
    TRY(parts_begin(folder, form, &input, &meta, MODEL, &config));
    TRY(parts_open(folder, form, &p));
    int32_t already = parts_done(&p, done);
    for (int rank = 0; rank < size; rank++) {
        int32_t mine[PARTS], n_mine = parts_deal(&p, done, rank, size, mine);
        for (int32_t i = 0; i < n_mine && i < most; i++)
            TRY(make_part(&p, mine[i]));
    }
    return already + size * most < p.n_parts ? OK : parts_complete(&p, "nothing is left", &n);
}

static void put_file(const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    must(file_write_atomic(path, text, strlen(text)));
}

static bool is_there(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_exists(path);
}

/* Every record once; the set's hash. */
static uint64_t check_candidates(void)
{
    struct candidates *c;
    struct candidate_record r;
    char raw[32];
    must(candidates_open(folder, &c));
    assert_int_equal(c->n_records, RECORDS);
    for (int i = 0; i < RECORDS; i++) {
        must(candidates_read(c, i, &r));
        snprintf(raw, sizeof raw, "raw %d", i);
        assert_int_equal(r.source, i);
        assert_string_equal(r.candidate[0][0].raw, raw);
    }
    uint64_t hash = c->hash;
    candidates_close(&c);
    must(candidates_verify(folder));
    return hash;
}

static uint64_t hash_of_one_go(void)
{
    must(make(&set_candidates, 1, PARTS));
    uint64_t hash = check_candidates();
    must(dir_remove(folder));
    return hash;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------------------- */

static void parts_are_ranges_of_records(void **state)
{
    (void)state;
    struct parts p;
    char path[2048];
    must(parts_begin(folder, &set_candidates, &input, &meta, MODEL, &config));
    must(parts_open(folder, &set_candidates, &p));
    assert_int_equal(p.n_parts, PARTS);
    assert_int_equal(parts_range(&p, 0).first, 0);
    assert_int_equal(parts_range(&p, 7).first, 21);
    assert_int_equal(parts_range(&p, 7).end, 23);
    must(parts_path(&p, 7, path));
    assert_non_null(strstr(path, "/candidates-00007-of-00008.h5"));
    assert_string_equal(p.meta.template, "fedcba9876543210");
}

static void unfinished_parts_are_dealt_to_the_ranks_each_once(void **state)
{
    (void)state;
    struct parts p;
    const uint8_t done[PARTS] = {0, 1, 0, 0, 1, 1, 0, 0};
    must(parts_begin(folder, &set_candidates, &input, &meta, MODEL, &config));
    must(parts_open(folder, &set_candidates, &p));
    for (int size = 1; size < 7; size++) {
        int made[PARTS] = {0}, most = 0, least = PARTS;
        for (int rank = 0; rank < size; rank++) {
            int32_t mine[PARTS], n = parts_deal(&p, done, rank, size, mine);
            for (int32_t i = 0; i < n; i++) {
                made[mine[i]]++;
                assert_true(i == 0 || mine[i] > mine[i - 1]);
            }
            most = n > most ? n : most;
            least = n < least ? n : least;
        }
        for (int i = 0; i < PARTS; i++)
            assert_int_equal(made[i], !done[i]);
        assert_true(most - least <= 1);
    }
}

static void any_number_of_ranks_and_stops_make_the_same_set(void **state)
{
    (void)state;
    uint64_t want = hash_of_one_go();
    must(make(&set_candidates, 3, PARTS));
    assert_true(check_candidates() == want);
    must(dir_remove(folder));
    must(make(&set_candidates, 2, 1));
    assert_false(candidates_is_set(folder));
    must(make(&set_candidates, 1, 3));
    must(make(&set_candidates, 4, PARTS));
    assert_true(check_candidates() == want);
    must(make(&set_candidates, 2, PARTS));          /* and once more: there is nothing to do */
    assert_true(check_candidates() == want);
}

static void what_a_kill_leaves_is_overwritten(void **state)
{
    (void)state;
    uint64_t want = hash_of_one_go();
    must(make(&set_candidates, 1, 2));
    put_file("candidates-00002-of-00008.h5", "another file that was renamed, before its sidecar");
    put_file("candidates-00003-of-00008.h5.tmp", "half a file");
    put_file("candidates-00004-of-00008.json.tmp", "{\"pairs\": ");
    put_file("candidates.json.tmp", "{");
    must(make(&set_candidates, 2, PARTS));
    assert_true(check_candidates() == want);
}

/* A child makes the set; it is killed after some microseconds. True when it ended by itself. */
static bool ran_to_its_end(int microseconds)
{
    int how;
    pid_t child = fork();
    if (child == 0)
        _exit(make(&set_candidates, 2, PARTS));
    assert_true(child > 0);
    usleep((useconds_t)microseconds);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) || (WIFEXITED(how) && WEXITSTATUS(how) == OK));
    return WIFEXITED(how);
}

static void kill_at_any_moment_loses_only_unfinished_parts(void **state)
{
    (void)state;
    uint64_t want = hash_of_one_go();
    int killed = 0, wait = 500;
    for (int i = 0; i < 200 && !ran_to_its_end(wait); i++, killed++)
        wait = wait * 6 / 5;
    assert_true(killed >= 3);
    must(make(&set_candidates, 1, PARTS));
    assert_true(check_candidates() == want);
}

static void a_part_without_pairs_has_no_file_and_the_set_opens_as_d_sub(void **state)
{
    (void)state;
    struct dsub *d;
    uint32_t token[8];
    must(make(&set_dsub, 2, PARTS));
    assert_false(is_there("dsub-00002-of-00008.h5"));
    assert_true(is_there("dsub-00002-of-00008.json"));
    must(dsub_open(folder, &d));
    assert_int_equal(d->n_files, PARTS - 1);
    assert_int_equal(d->n_pairs, RECORDS - 3 - 4);      /* 6 to 8; 4, 9, 14 and 19 */
    for (int64_t i = 0; i < d->n_pairs; i++) {
        assert_true(i == 0 || d->lengths.source[i] > d->lengths.source[i - 1]);
        must(shard_read_prompt(d->shard[d->pair[i].file], d->pair[i].index, token));
        assert_int_equal(token[0], d->lengths.source[i]);
    }
    dsub_close(&d);
    must(dsub_verify(folder));
}

static void an_empty_set_is_not_written_and_the_reason_is_said(void **state)
{
    (void)state;
    struct parts p;
    int64_t n;
    must(parts_begin(folder, &set_dsub, &input, &meta, MODEL, &config));
    must(parts_open(folder, &set_dsub, &p));
    put_file("dsub-00003-of-00008.h5", "left by a kill");
    for (int32_t i = 0; i < p.n_parts; i++)
        must(parts_finish_part(&p, i, NULL, NULL));
    assert_false(is_there("dsub-00003-of-00008.h5"));
    assert_int_equal(parts_complete(&p, "no pair is left: all 23 were ties", &n), FAILED);
    assert_string_equal(trace_sentence(), "no pair is left: all 23 were ties");
    assert_false(parts_is_complete(&p));
    assert_false(dsub_is_set(folder));
}

static void summaries_are_read_back(void **state)
{
    (void)state;
    struct parts p;
    int64_t records = 0, one;
    json_t *summary;
    must(make(&set_candidates, 2, 2));
    must(parts_open(folder, &set_candidates, &p));
    for (int32_t i = 0; i < 4; i++) {
        must(parts_summary(&p, i, &summary));
        must(json_get_int(summary, "records", "summary", 0, 9, &one));
        records += one;
        json_decref(summary);
    }
    assert_int_equal(records, 12);
    assert_int_equal(parts_summary(&p, 4, &summary), FAILED);
    assert_non_null(strstr(trace_sentence(), "part 4 of the 8 of"));
}

/* ---- refusals -------------------------------------------------------------------------------------------------------------------------------- */

static void says(int status, int want, const char *words)
{
    assert_int_equal(status, want);
    if (!strstr(trace_sentence(), words))
        fail_msg("'%s' does not say '%s'", trace_sentence(), words);
    trace_clear();
}

static int begin_with(const struct parts_input *other, const struct shard_meta *another) { return parts_begin(folder, &set_candidates, other, another, MODEL, &config); }

static void another_option_is_refused_by_name_with_both_values(void **state)
{
    (void)state;
    must(begin_with(&input, &meta));
    config.generate.temperature = 0.5;
    says(begin_with(&input, &meta), USAGE, "generate.temperature '1', now it is '0.5'");
    config.generate.temperature = 1;
    config.optimizer.lr = 1;                            /* changes what is learnt, not what is generated */
    config.generate.kv_memory_mb = 7;                   /* and this only where it is computed */
    must(begin_with(&input, &meta));
}

static void another_input_or_instruction_is_refused_with_both(void **state)
{
    (void)state;
    struct parts_input other = input;
    struct shard_meta another = meta;
    must(begin_with(&input, &meta));
    other.hash++;
    says(begin_with(&other, &meta), USAGE, "another input: pairs.jsonl (23 records, hash 0000000000001234), not pairs.jsonl (23 records, hash 0000000000001235)");
    other = input;
    other.n_records = 24;
    says(begin_with(&other, &meta), USAGE, "(23 records, hash 0000000000001234), not pairs.jsonl (24 records");
    other = input;
    other.path = "elsewhere/pairs.jsonl";
    must(begin_with(&other, &meta));
    strcpy(another.judge, "0000000000000001");
    says(begin_with(&input, &another), USAGE, "another judge instruction: '', now '0000000000000001'");
}

static void a_model_is_known_by_its_contents_not_by_its_path(void **state)
{
    (void)state;
    struct parts p;
    struct shard_meta moved = meta;
    strcpy(moved.model, "/elsewhere/model/");
    must(begin_with(&input, &meta));
    must(begin_with(&input, &moved));
    says(parts_begin(folder, &set_candidates, &input, &meta, MODEL + 1, &config), USAGE, "another model: 'some/model', and the contents of 'some/model' now are others");
    says(parts_begin(folder, &set_candidates, &input, &moved, MODEL + 1, &config), USAGE, "another model: 'some/model', and the contents of '/elsewhere/model/' now are others");
    must(parts_open(folder, &set_candidates, &p));
    assert_string_equal(p.meta.model, "some/model");
}

static void a_folder_begun_without_a_fingerprint_knows_its_model_by_the_path(void **state)
{
    (void)state;
    json_t *begun;
    char *text;
    struct shard_meta moved = meta;
    strcpy(moved.model, "other/model");
    must(begin_with(&input, &meta));
    must(json_parse_file(scratch_path(&scratch, "set/parts.json"), &begun));
    assert_int_equal(json_object_del(begun, "model_xxh3"), 0);
    text = json_dumps(begun, 0);
    put_file("parts.json", text);
    free(text);
    json_decref(begun);
    must(parts_begin(folder, &set_candidates, &input, &meta, MODEL + 1, &config));
    says(begin_with(&input, &moved), USAGE, "another model: 'some/model', now 'other/model'");
}

static void another_use_of_the_same_input_is_refused_with_both(void **state)
{
    (void)state;
    struct parts_input scores = input;
    scores.as = "scores";
    must(begin_with(&scores, &meta));
    must(begin_with(&scores, &meta));
    scores.as = "replies";
    says(begin_with(&scores, &meta), USAGE, "was begun as scores, and this is replies");
    says(begin_with(&input, &meta), USAGE, "was begun as scores, and this is :");
}

static void cleared_parts_leave_the_list_and_what_it_is_made_of(void **state)
{
    (void)state;
    struct parts p;
    must(make(&set_candidates, 1, PARTS));
    must(parts_open(folder, &set_candidates, &p));
    must(parts_clear(&p));
    must(parts_clear(&p));
    for (int32_t i = 0; i < PARTS; i++)
        assert_false(parts_is_done(&p, i));
    assert_true(parts_is_complete(&p) && is_there("parts.json"));
    check_candidates();
}

static void the_parts_keep_the_size_they_were_begun_with(void **state)
{
    (void)state;
    struct parts p;
    must(begin_with(&input, &meta));
    config.generate.records_per_part = 5;
    must(begin_with(&input, &meta));
    must(parts_open(folder, &set_candidates, &p));
    assert_int_equal(p.records_per_part, PER_PART);
}

static void a_folder_that_holds_something_else_is_refused(void **state)
{
    (void)state;
    struct parts p;
    must(make(&set_candidates, 1, PARTS));
    says(parts_begin(folder, &set_dsub, &input, &meta, MODEL, &config), FAILED, "is of a set of candidates, not dsub");
    must(file_remove(scratch_path(&scratch, "set/parts.json")));
    says(begin_with(&input, &meta), FAILED, "already holds a complete set");
    must(file_remove(scratch_path(&scratch, "set/candidates.json")));
    says(begin_with(&input, &meta), FAILED, "candidates-00000-of-00008.json but no parts.json");
    says(parts_open(folder, &set_candidates, &p), FAILED, "was never begun");
    put_file("parts.json", "{\"format\": \"critic-rm parts\", \"version\": 2}");
    says(parts_open(folder, &set_candidates, &p), FAILED, "is not a critic-rm parts of version 1");
}

static void an_input_without_records_is_refused(void **state)
{
    (void)state;
    struct parts_input none = input;
    none.n_records = 0;
    says(begin_with(&none, &meta), FAILED, "pairs.jsonl holds no record");
    assert_false(is_there("parts.json"));
}

static void a_missing_or_cut_off_part_is_named_at_completing(void **state)
{
    (void)state;
    struct parts p;
    int64_t n;
    char path[2048];
    must(make(&set_candidates, 1, 3));
    must(parts_open(folder, &set_candidates, &p));
    says(parts_complete(&p, "", &n), FAILED, "part 3 of the 8 of");
    for (int32_t i = 3; i < PARTS; i++)
        must(make_part(&p, i));
    must(parts_path(&p, 1, path));
    assert_int_equal(truncate(path, 100), 0);
    says(parts_complete(&p, "", &n), FAILED, "candidates-00001-of-00008.h5 has 100 bytes and should have");
    must(file_remove(path));
    says(parts_complete(&p, "", &n), FAILED, "candidates-00001-of-00008.h5 has 0 bytes and should have");
    assert_false(candidates_is_set(folder));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parts_are_ranges_of_records),
        TEST(unfinished_parts_are_dealt_to_the_ranks_each_once),
        TEST(any_number_of_ranks_and_stops_make_the_same_set),
        TEST(what_a_kill_leaves_is_overwritten),
        TEST(kill_at_any_moment_loses_only_unfinished_parts),
        TEST(a_part_without_pairs_has_no_file_and_the_set_opens_as_d_sub),
        TEST(an_empty_set_is_not_written_and_the_reason_is_said),
        TEST(summaries_are_read_back),
        TEST(another_option_is_refused_by_name_with_both_values),
        TEST(another_input_or_instruction_is_refused_with_both),
        TEST(a_model_is_known_by_its_contents_not_by_its_path),
        TEST(a_folder_begun_without_a_fingerprint_knows_its_model_by_the_path),
        TEST(another_use_of_the_same_input_is_refused_with_both),
        TEST(cleared_parts_leave_the_list_and_what_it_is_made_of),
        TEST(the_parts_keep_the_size_they_were_begun_with),
        TEST(a_folder_that_holds_something_else_is_refused),
        TEST(an_input_without_records_is_refused),
        TEST(a_missing_or_cut_off_part_is_named_at_completing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
