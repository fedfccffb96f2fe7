#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"
#include "tests/tools/scratch.h"
#include "trainer/ckpt/manifest.h"

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

enum { N_SLICES = 2 * N_STATES };

/* One 4 x 6 tensor in two halves of columns. */
static void write_manifest(void)
{
    struct slice slice[N_SLICES];
    struct tensor_entry tensor = {"w", 2, {4, 6}};
    char options[] = "run:\n  seed: 1\n";
    struct manifest m = {.info = {.step = 3, .steps_per_epoch = 9, .seed = UINT64_MAX, .reward_token = 5, .reward_token_text = "<r>", .options = options, .group_steps = {3, 1}},
                         .attempt = "0123456789abcdef", .data_size = 1, .tensor_size = 2, .n_tensors = 1, .tensor = &tensor, .n_slices = N_SLICES, .slice = slice};
    for (int i = 0; i < N_SLICES; i++)
        slice[i] = (struct slice){.file = "rank_00000.0123456789abcdef.safetensors", .key = "w.master", .state = (enum state_kind)(i / 2),
                                  .box = {{0, i % 2 * 3}, {4, 3}}, .first = 0, .count = 12, .hash = 0xabcdef0123456789u};
    assert_int_equal(manifest_write(scratch_path(&scratch, "manifest.json"), &m), OK);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct manifest *m;
    int n;
    write_manifest();
    assert_int_equal(manifest_read(scratch_path(&scratch, "manifest.json"), &m), OK);
    assert_int_equal(m->info.step, 3);
    assert_true(m->info.seed == UINT64_MAX);
    assert_int_equal(m->info.group_steps[1], 1);
    assert_string_equal(m->info.options, "run:\n  seed: 1\n");
    assert_string_equal(m->attempt, "0123456789abcdef");
    const struct slice *s = manifest_slices(m, 0, STATE_EXP_AVG, &n);
    assert_int_equal(n, 2);
    assert_int_equal(s[1].box.offset[1], 3);
    assert_true(s[1].hash == 0xabcdef0123456789u);
    assert_int_equal(manifest_find(m, "v"), -1);
    manifest_free(&m);
}

/* No change of a byte goes unseen: it is refused, or it was white space. */
static void every_changed_byte_is_seen(void **state)
{
    (void)state;
    char *text;
    size_t n;
    write_manifest();
    assert_int_equal(file_read(scratch_path(&scratch, "manifest.json"), &text, &n), OK);
    for (size_t i = 0; i < n; i++) {
        struct manifest *m;
        char was = text[i];
        text[i] = (char)(was ^ 1);
        int status = manifest_parse(text, n, "manifest", &m);
        if (status == OK && was != ' ' && was != '\n')
            fail_msg("byte %zu (%c) may change unseen", i, was);
        manifest_free(&m);
        trace_clear();
        text[i] = was;
    }
    for (size_t i = 0; i < n; i += 7) {
        struct manifest *m;
        assert_int_equal(manifest_parse(text, i, "manifest", &m), FAILED);
        trace_clear();
    }
    free(text);
}

/* With a right checksum: what the other checks are for. */
static void edited(const char *from, const char *to, const char *why)
{
    char *text, *edit, hex[HASH_HEX_SIZE];
    size_t n;
    json_t *root;
    struct manifest *m;
    write_manifest();
    assert_int_equal(file_read(scratch_path(&scratch, "manifest.json"), &text, &n), OK);
    char *at = strstr(text, from);
    assert_non_null(at);
    edit = calloc(1, n + strlen(to) + 1);
    memcpy(edit, text, (size_t)(at - text));
    strcat(edit, to);
    strcat(edit, at + strlen(from));
    assert_int_equal(json_parse(edit, strlen(edit), "edit", &root), OK);
    json_object_del(root, "checksum");
    char *compact = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    hash_to_hex(hash_bytes(compact, strlen(compact), 0), hex);
    json_object_set_new(root, "checksum", json_string(hex));
    free(compact);
    compact = json_dumps(root, 0);
    assert_int_equal(manifest_parse(compact, strlen(compact), "manifest", &m), FAILED);
    if (!strstr(trace_sentence(), why))
        fail_msg("\"%s\" does not say \"%s\"", trace_sentence(), why);
    trace_clear();
    json_decref(root);
    free(compact);
    free(edit);
    free(text);
}

static void what_makes_no_sense_is_refused_even_with_a_right_checksum(void **state)
{
    (void)state;
    edited("\"count\": 12", "\"count\": 11", "23 of the 24");
    edited("\"count\": 12", "\"count\": 13", "outside its box");
    edited("\"tensor\": \"w\"", "\"tensor\": \"x\"", "not listed");
    edited("\"state\": \"master\"", "\"state\": \"slave\"", "unknown state");
    edited("\"file\": \"rank", "\"file\": \"../rank", "not a file's name");
    edited("\"version\": 1", "\"version\": 2", "newer program");
    edited("\"step\": 3", "\"step\": -3", "step");
    edited("\"seed\": \"ffff", "\"seed\": \"xfff", "seed");
    edited("critic-rm checkpoint", "something", "format");
}

static void slices_that_do_not_cover_are_not_written(void **state)
{
    (void)state;
    struct tensor_entry tensor = {"w", 1, {5, 1}};
    struct manifest m = {.n_tensors = 1, .tensor = &tensor};
    assert_int_equal(manifest_write(scratch_path(&scratch, "manifest.json"), &m), FAILED);
    assert_false(file_exists(scratch_path(&scratch, "manifest.json")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(every_changed_byte_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_is_refused_even_with_a_right_checksum, setup, teardown),
        cmocka_unit_test_setup_teardown(slices_that_do_not_cover_are_not_written, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
