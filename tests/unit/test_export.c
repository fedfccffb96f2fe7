/* export, and loading what was exported. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "comm/mesh.h"
#include "tests/tools/scratch.h"
#include "trainer/ckpt/checkpoint.h"
#include "trainer/ckpt/export.h"
#include "trainer/ckpt/load.h"
#include "trainer/model/trained_as.h"

static const struct model_config model = {.family = FAMILY_LLAMA, .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 6, .hidden = 10, .ffn = 12, .vocab = 7};
static struct scratch scratch;
static struct comm *self;
static struct mesh *mesh;
static struct device *device;
static struct param_table *table;
static struct store *store;
static char out[300], from[300], checkpoint[400];

static void put(const char *name, const char *text)
{
    char path[400];
    assert_int_equal(path_join(path, sizeof path, from, name), OK);
    assert_int_equal(file_write_atomic(path, text, strlen(text)), OK);
}

/* A checkpoint of random weights, and the backbone's small files. */
static int setup(void **state)
{
    (void)state;
    char attempt[ATTEMPT_SIZE];
    const struct load_options random = {.seed = 3, .reward_token = -1, .copy_of = -1};
    struct checkpoint_info info = {.step = 7, .reward_token = 5, .reward_token_text = "<r>"};
    bool found;
    scratch_make(&scratch);
    assert_int_equal(path_join(out, sizeof out, scratch.dir, "out"), OK);
    assert_int_equal(path_join(from, sizeof from, scratch.dir, "from"), OK);
    assert_int_equal(dir_make(from), OK);
    put("config.json", "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"pad_token_id\": 5, \"eos_token_id\": [6, 2], \"torch_dtype\": \"bfloat16\"}");
    put("tokenizer.json", "{\"added_tokens\": [{\"id\": 5, \"content\": \"<r>\"}, {\"id\": 6, \"content\": \"<end>\"}]}");
    put("tokenizer_config.json", "{\"pad_token\": \"<r>\", \"max_length\": 512, \"model_max_length\": 1000000000000000019884624838656}");
    assert_int_equal(comm_self_create(&self), OK);
    assert_int_equal(mesh_create(self, 1, 1, false, &mesh), OK);
    assert_int_equal(device_ref_create(&device), OK);
    assert_int_equal(params_build(&model, 1, 0, &table), OK);
    assert_int_equal(store_create(table, device, mesh, F32, true, &store), OK);
    assert_int_equal(load_weights(&random, store, NULL), OK);
    assert_int_equal(checkpoint_begin(scratch.dir, self, attempt), OK);
    assert_int_equal(checkpoint_save(scratch.dir, attempt, &info, store), OK);
    assert_int_equal(checkpoint_find_latest(scratch.dir, self, checkpoint, sizeof checkpoint, &found), OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_destroy(&store);
    params_free(&table);
    device_destroy(&device);
    mesh_destroy(&mesh);
    comm_destroy(&self);
    scratch_remove(&scratch);
    trace_clear();
    return 0;
}

static void export_to(enum dtype dtype, int64_t shard_bytes)
{
    const struct export_options options = {.checkpoint = checkpoint, .model = from, .out = out, .dtype = dtype, .shard_bytes = shard_bytes};
    assert_int_equal(export_model(&options), OK);
}

static void compare(enum dtype dtype)
{
    struct safetensors *st;
    assert_int_equal(safetensors_open_folder(out, &st), OK);
    assert_int_equal(safetensors_count(st), table->n);
    for (int i = 0; i < table->n; i++) {
        const struct param *p = &table->params[i];
        const struct st_tensor *t = safetensors_find(st, p->name);
        assert_non_null(t);
        assert_int_equal(t->type, dtype == F32 || p->group == GROUP_REWARD ? ST_F32 : ST_BF16);
        assert_int_equal(t->n_dims, p->n_dims);
        for (int64_t e = 0; e < p->n_local; e++) {
            float is, was = ((const float *)store_weight(store, i))[e];
            st_read_f32(t, e, 1, &is);
            assert_true(is == (t->type == ST_F32 ? was : bf16_to_f32(f32_to_bf16(was))));
        }
    }
    safetensors_close(&st);
}

static void the_masters_are_exported(void **state)
{
    (void)state;
    export_to(F32, 0);
    compare(F32);
}

static void bf16_rounds_all_but_the_reward_head(void **state)
{
    (void)state;
    export_to(BF16, 0);
    compare(BF16);
}

static void large_models_are_cut_into_files_with_an_index(void **state)
{
    (void)state;
    char path[400];
    export_to(F32, 1000);
    assert_int_equal(path_join(path, sizeof path, out, "model.safetensors"), OK);
    assert_false(file_exists(path));
    compare(F32);
}

static const char *text_of(json_t *root, const char *key) { return json_string_value(json_object_get(root, key)); }

static void padding_differs_from_the_reward_token(void **state)
{
    (void)state;
    char path[400];
    json_t *root;
    export_to(F32, 0);
    assert_int_equal(path_join(path, sizeof path, out, "config.json"), OK);
    assert_int_equal(json_parse_file(path, &root), OK);
    assert_int_equal(json_integer_value(json_object_get(root, "pad_token_id")), 6);
    assert_int_equal(json_integer_value(json_object_get(root, "num_labels")), 1);
    assert_int_equal(json_object_size(json_object_get(root, "id2label")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "reward_token_id")), 5);
    assert_string_equal(text_of(root, "dtype"), "float32");
    assert_string_equal(text_of(root, "torch_dtype"), "float32");
    assert_string_equal(text_of(root, "model_type"), "llama");
    json_decref(root);
    assert_int_equal(path_join(path, sizeof path, out, "tokenizer_config.json"), OK);
    assert_int_equal(json_parse_file(path, &root), OK);
    assert_string_equal(text_of(root, "pad_token"), "<end>");
    assert_int_equal(json_integer_value(json_object_get(root, "max_length")), 512);
    assert_true(json_number_value(json_object_get(root, "model_max_length")) == 1e30);
    json_decref(root);
}

static void an_export_overwrites_nothing(void **state)
{
    (void)state;
    const struct export_options again = {.checkpoint = checkpoint, .model = from, .out = out};
    export_to(F32, 0);
    assert_int_equal(export_model(&again), USAGE);
}

/* The row of token 5 of the embedding, loaded from `out`, is that of token `row` here. */
static void assert_reward_row(int64_t row)
{
    const struct load_options options = {.folder = out, .seed = 99, .reward_token = 5, .copy_of = 6};
    struct store *loaded;
    int embedding = params_find(table, "model.embed_tokens.weight");
    int64_t width = table->params[embedding].local_shape[1];
    assert_int_equal(store_create(table, device, mesh, F32, true, &loaded), OK);
    assert_int_equal(load_weights(&options, loaded, NULL), OK);
    assert_memory_equal((const float *)store_weight(loaded, embedding) + 5 * width, (const float *)store_weight(store, embedding) + row * width, (size_t)width * sizeof(float));
    store_destroy(&loaded);
}

static void a_foreign_reward_head_says_nothing_of_the_reward_tokens_row(void **state)
{
    char file[1200];
    (void)state;
    export_to(F32, 0);
    assert_int_equal(trained_as_write(out, &(struct trained_as){.mode = 0, .tokenizer = "0123456789abcdef", .template = "fedcba9876543210"}), OK);
    assert_reward_row(5);
    snprintf(file, sizeof file, "%s/critic-rm.json", out);
    assert_int_equal(remove(file), 0);
    assert_reward_row(6);
}

static void what_was_exported_is_loaded_reward_head_included(void **state)
{
    (void)state;
    const struct load_options options = {.folder = out, .seed = 99, .reward_token = 5, .copy_of = 6};
    struct store *loaded;
    bool found = false;
    export_to(F32, 0);
    assert_int_equal(trained_as_write(out, &(struct trained_as){.mode = 0, .tokenizer = "0123456789abcdef", .template = "fedcba9876543210"}), OK);
    assert_int_equal(store_create(table, device, mesh, F32, true, &loaded), OK);
    assert_int_equal(load_weights(&options, loaded, &found), OK);
    assert_true(found);
    for (int i = 0; i < table->n; i++) {
        const float *is = store_weight(loaded, i), *was = store_weight(store, i);
        for (int64_t e = 0; e < table->params[i].n_local; e++)
            assert_true(is[e] == was[e]);       /* the reward token's row too: it was trained with the head */
    }
    store_destroy(&loaded);
}

static void load_is_refused(const struct model_config *other, const char *why)
{
    struct param_table *t;
    struct store *s;
    const struct load_options options = {.folder = out, .reward_token = -1, .copy_of = -1};
    assert_int_equal(params_build(other, 1, 0, &t), OK);
    assert_int_equal(store_create(t, device, mesh, F32, false, &s), OK);
    assert_int_equal(load_weights(&options, s, NULL), FAILED);
    if (!strstr(trace_sentence(), why))
        fail_msg("\"%s\" does not say \"%s\"", trace_sentence(), why);
    trace_clear();
    store_destroy(&s);
    params_free(&t);
}

static void weights_that_do_not_fit_or_are_not_finite_are_refused_by_name(void **state)
{
    (void)state;
    char path[400], *bytes;
    size_t n;
    const float nan_value = NAN;
    struct model_config other = model;
    export_to(F32, 0);
    other.layers = 3;
    load_is_refused(&other, "model.layers.2.input_layernorm.weight");
    other = model;
    other.ffn = 14;
    load_is_refused(&other, "12 x 10");
    assert_int_equal(path_join(path, sizeof path, out, "model.safetensors"), OK);
    assert_int_equal(file_read(path, &bytes, &n), OK);
    memcpy(bytes + n - sizeof nan_value, &nan_value, sizeof nan_value);
    assert_int_equal(file_write_atomic(path, bytes, n), OK);
    load_is_refused(&model, "score.weight holds a number that is not finite");
    assert_int_equal(file_write_atomic(path, bytes, n - 10), OK);
    load_is_refused(&model, "truncated");
    free(bytes);
}

#define WITH_CHECKPOINT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CHECKPOINT(the_masters_are_exported),
        WITH_CHECKPOINT(bf16_rounds_all_but_the_reward_head),
        WITH_CHECKPOINT(large_models_are_cut_into_files_with_an_index),
        WITH_CHECKPOINT(padding_differs_from_the_reward_token),
        WITH_CHECKPOINT(an_export_overwrites_nothing),
        WITH_CHECKPOINT(what_was_exported_is_loaded_reward_head_included),
        WITH_CHECKPOINT(a_foreign_reward_head_says_nothing_of_the_reward_tokens_row),
        WITH_CHECKPOINT(weights_that_do_not_fit_or_are_not_finite_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
