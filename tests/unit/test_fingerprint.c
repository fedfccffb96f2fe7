/* The fingerprint of a model: the same wherever it lies and however its tensors are dealt to files; another for other weights of the same shapes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/safetensors.h"
#include "base/status.h"
#include "tests/tools/scratch.h"
#include "trainer/model/fingerprint.h"

enum { LARGE = 300000, SMALL = 7 };     /* LARGE in float32 is above what is read whole */

static struct scratch scratch;
static struct config config;
static float large[LARGE], small[SMALL];

static void must(int status)
{
    if (status != OK)
        fail_msg("%s", trace_sentence());
}

static void write_text(const char *name, const char *text) { scratch_write(&scratch, name, text, strlen(text)); }

static void make_folder(const char *name)
{
    char path[128];
    must(dir_make(scratch_path(&scratch, name)));
    snprintf(path, sizeof path, "%s/config.json", name);
    write_text(path, "{\"hidden_size\": 7}");
}

static void write_tensors(const char *file, bool with_large, bool with_small)
{
    struct st_writer *w;
    const int64_t n_large = LARGE, n_small = SMALL;
    must(st_writer_create(scratch_path(&scratch, file), &w));
    if (with_large)
        must(st_writer_declare(w, "large", ST_F32, 1, &n_large));
    if (with_small)
        must(st_writer_declare(w, "small", ST_F32, 1, &n_small));
    if (with_large)
        must(st_writer_put_f32(w, large, LARGE));
    if (with_small)
        must(st_writer_put_f32(w, small, SMALL));
    must(st_writer_close(&w));
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    assert_int_equal(config_load(NULL, NULL, 0, &config), OK);
    for (int i = 0; i < LARGE; i++)
        large[i] = (float)i;
    for (int i = 0; i < SMALL; i++)
        small[i] = (float)-i;
    make_folder("model");
    write_tensors("model/model.safetensors", true, true);
    return 0;
}

static int tear_down(void **state) { return (void)state, scratch_remove(&scratch), trace_clear(), 0; }

static uint64_t fingerprint(const char *folder)
{
    uint64_t value;
    strcpy(config.backbone.path, scratch_path(&scratch, folder));
    must(fingerprint_of(&config, "", &value));
    return value;
}

static void another_folder_or_spelling_changes_nothing(void **state)
{
    (void)state;
    uint64_t is = fingerprint("model");
    make_folder("moved");
    write_tensors("moved/model.safetensors", true, true);
    write_text("moved/README.md", "not read");
    assert_true(fingerprint("moved") == is);
    assert_true(fingerprint("./model/") == is);
}

static void how_tensors_are_dealt_to_files_changes_nothing(void **state)
{
    (void)state;
    make_folder("dealt");
    write_tensors("dealt/b.safetensors", true, false);
    write_tensors("dealt/a.safetensors", false, true);
    write_text("dealt/model.safetensors.index.json", "{\"weight_map\": {\"large\": \"b.safetensors\", \"small\": \"a.safetensors\"}}");
    assert_true(fingerprint("dealt") == fingerprint("model"));
}

/* The fingerprint when *at is another number. */
static uint64_t changed(float *at)
{
    float was = *at;
    *at = 0.5f;
    write_tensors("model/model.safetensors", true, true);
    *at = was;
    return fingerprint("model");
}

static void one_element_of_a_small_tensor_or_at_the_ends_and_middle_of_a_large_one_changes_it(void **state)
{
    (void)state;
    float *const places[] = {&small[0], &small[SMALL - 1], &large[0], &large[(LARGE - 8192) / 7 * 3 + 4000], &large[LARGE - 1]};
    uint64_t seen[6] = {fingerprint("model")};
    for (int i = 1; i < 6; i++) {
        seen[i] = changed(places[i - 1]);
        for (int j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
    }
}

static void another_name_type_or_config_changes_it(void **state)
{
    (void)state;
    struct st_writer *w;
    const int64_t n = SMALL, zeros = 2 * SMALL;
    const float none[2 * SMALL] = {0};
    uint64_t seen[4];
    for (int i = 0; i < 3; i++) {       /* the same 28 bytes */
        must(st_writer_create(scratch_path(&scratch, "model/model.safetensors"), &w));
        must(st_writer_declare(w, i == 1 ? "b" : "a", i == 2 ? ST_BF16 : ST_F32, 1, i == 2 ? &zeros : &n));
        must(st_writer_put_f32(w, none, i == 2 ? zeros : n));
        must(st_writer_close(&w));
        seen[i] = fingerprint("model");
    }
    write_text("model/config.json", "{\"hidden_size\": 8}");
    seen[3] = fingerprint("model");
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
}

static void a_seed_is_a_part_of_random_weights_only(void **state)
{
    (void)state;
    uint64_t read = fingerprint("model");
    config.run.seed++;
    assert_true(fingerprint("model") == read);
    config.backbone.init = BACKBONE_RANDOM;
    must(file_remove(scratch_path(&scratch, "model/model.safetensors")));
    uint64_t drawn = fingerprint("model");
    assert_true(drawn != read && fingerprint("model") == drawn);
    config.run.seed++;
    assert_true(fingerprint("model") != drawn);
}

static uint64_t fingerprint_at(const char *checkpoint)
{
    char path[512];
    uint64_t value;
    snprintf(path, sizeof path, "%s", scratch_path(&scratch, checkpoint));
    strcpy(config.backbone.path, scratch_path(&scratch, "model"));
    must(fingerprint_of(&config, path, &value));
    return value;
}

static void a_checkpoint_is_its_manifest(void **state)
{
    (void)state;
    make_folder("step_1");
    make_folder("step_2");
    write_text("step_1/manifest.json", "{\"xxh3\": 1}");
    write_text("step_2/manifest.json", "{\"xxh3\": 2}");
    uint64_t is = fingerprint_at("step_1");
    assert_true(fingerprint_at("step_2") != is && fingerprint("model") != is);
    write_text("step_2/manifest.json", "{\"xxh3\": 1}");
    must(file_remove(scratch_path(&scratch, "model/model.safetensors")));       /* not read */
    assert_true(fingerprint_at("step_2") == is);
    write_text("model/config.json", "{\"hidden_size\": 8}");
    assert_true(fingerprint_at("step_2") != is);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    uint64_t value;
    must(file_remove(scratch_path(&scratch, "model/model.safetensors")));
    strcpy(config.backbone.path, scratch_path(&scratch, "model"));
    assert_int_equal(fingerprint_of(&config, "", &value), FAILED);
    assert_non_null(strstr(trace_sentence(), "holds neither model.safetensors"));
    trace_clear();
    assert_int_equal(fingerprint_of(&config, scratch.dir, &value), FAILED);
    assert_non_null(strstr(trace_sentence(), "manifest.json"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_folder_or_spelling_changes_nothing),
        TEST(how_tensors_are_dealt_to_files_changes_nothing),
        TEST(one_element_of_a_small_tensor_or_at_the_ends_and_middle_of_a_large_one_changes_it),
        TEST(another_name_type_or_config_changes_it),
        TEST(a_seed_is_a_part_of_random_weights_only),
        TEST(a_checkpoint_is_its_manifest),
        TEST(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
