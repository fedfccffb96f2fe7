/* Truth 2 on a real model: SmolLM2-135M's logits on real text equal those of transformers. Golden file: make_smollm2.py. Skipped where the model is not (ci/smollm2.sh). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/json.h"
#include "comm/mesh.h"
#include "dataset/tree.h"
#include "tests/tools/forward_once.h"
#include "tests/tools/smollm2.h"
#include "trainer/ckpt/load.h"
#include "trainer/model/backbone.h"

enum { MAX_TOKENS = 512, N_PROJECTIONS = 4 };
#define TOLERANCE 1e-4

static struct {
    struct comm *world;
    struct mesh *mesh;
    struct device *device;
    struct model_config config;
    struct param_table *table;
    struct store *store;
    struct backbone *backbone;
    json_t *golden;
} model;

/* ---- the model and what is expected of it ---------------------------------------------------------------------------------------------------- */

static void must(int status)
{
    if (status != OK)
        fail_msg("%s", trace_sentence());
}

static json_t *read_golden(void)
{
    const char *path = TEST_SOURCE_DIR "/tests/golden/text/smollm2_logits.json.gz";
    static char text[1 << 20];
    json_t *root;
    gzFile file = gzopen(path, "rb");
    assert_non_null(file);
    int n = gzread(file, text, sizeof text);
    gzclose(file);
    assert_in_range(n, 1, sizeof text - 1);
    must(json_parse(text, (size_t)n, path, &root));
    return root;
}

static int open_model(void **state)
{
    (void)state;
    const char *folder = smollm2_folder();
    struct backbone_options options = {.max_rows = MAX_TOKENS, .max_positions = MAX_TOKENS};
    must(comm_self_create(&model.world));
    must(mesh_create(model.world, 1, 1, false, &model.mesh));
    must(device_cpu_create(&(struct device_options){.n_threads = 0, .isa = "auto"}, &model.device));
    must(model_config_read(folder, &model.config));
    must(params_build(&model.config, 1, 0, &model.table));
    must(store_create(model.table, model.device, model.mesh, F32, false, &model.store));
    must(load_weights(&(struct load_options){.folder = folder, .reward_token = -1, .copy_of = -1}, model.store, NULL));
    must(backbone_create(&model.config, model.store, &options, &model.backbone));
    model.golden = read_golden();
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    json_decref(model.golden);
    backbone_destroy(&model.backbone);
    store_destroy(&model.store);
    params_free(&model.table);
    device_destroy(&model.device);
    mesh_destroy(&model.mesh);
    comm_destroy(&model.world);
    return 0;
}

/* [n, vocabulary], to be freed. */
static float *logits_of(const uint32_t *token, int32_t n)
{
    const void *hidden_TC;
    struct forest forest;
    float *logits = calloc((size_t)n * (size_t)model.config.vocab, sizeof *logits);
    struct tree tree = {.prompt = {token, n - 1}, .n_leaves = {1}, .leaf = {&(struct tree_leaf){.text = {token + n - 1, 1}, .weight = 1.0f}}};
    assert_non_null(logits);
    must(forest_build(&tree, 1, &(struct forest_layout){0, true, 1}, &forest));
    assert_int_equal(forest.n_rows, n);
    must(forward_once(model.device, model.backbone, &forest, &hidden_TC));
    struct gemm_args args = {.m = n, .n = model.config.vocab, .k = model.config.hidden, .trans_b = true, .a = hidden_TC, .lda = model.config.hidden,
                             .b = store_weight(model.store, params_find(model.table, "model.embed_tokens.weight")), .ldb = model.config.hidden,
                             .c = logits, .ldc = model.config.vocab, .dtype_ab = F32, .dtype_c = F32};
    must(model.device->kernels->gemm(&model.device->stream, &args));
    forest_free(&forest);
    return logits;
}

/* ---- comparisons ----------------------------------------------------------------------------------------------------------------------------- */

/* The low bits of splitmix64 of the token's number are the signs of the four vectors that make_smollm2.py projects on. */
static uint64_t signs(uint64_t token)
{
    uint64_t z = (token + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void project(const float *logits, double out[N_PROJECTIONS])
{
    memset(out, 0, N_PROJECTIONS * sizeof *out);
    for (int64_t i = 0; i < model.config.vocab; i++) {
        uint64_t bits = signs((uint64_t)i);
        for (int k = 0; k < N_PROJECTIONS; k++)
            out[k] += bits >> k & 1 ? -(double)logits[i] : (double)logits[i];
    }
    for (int k = 0; k < N_PROJECTIONS; k++)
        out[k] /= sqrt((double)model.config.vocab);
}

static void check_projections(const float *logits, json_t *one, size_t number)
{
    size_t row;
    double error = 0.0, norm = 0.0;
    json_t *theirs;
    json_array_foreach(json_object_get(one, "projection"), row, theirs) {
        double ours[N_PROJECTIONS];
        project(logits + row * (size_t)model.config.vocab, ours);
        for (size_t k = 0; k < N_PROJECTIONS; k++) {
            double want = json_number_value(json_array_get(theirs, k));
            error += (ours[k] - want) * (ours[k] - want);
            norm += want * want;
        }
    }
    if (!(sqrt(error) <= TOLERANCE * sqrt(norm)))
        fail_msg("text %zu: the logits differ by %g of their norm", number, sqrt(error / norm));
}

static void check_top(const float *logits, json_t *one, size_t number)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(one, "top"), i, entry) {
        json_int_t row = json_integer_value(json_array_get(entry, 0)), id = json_integer_value(json_array_get(entry, 1));
        double want = json_number_value(json_array_get(entry, 2)), got = (double)logits[row * model.config.vocab + id];
        if (!(fabs(got - want) <= TOLERANCE * fabs(want)))
            fail_msg("text %zu, row %lld: the logit of token %lld is %.7g, theirs %.7g", number, (long long)row, (long long)id, got, want);
    }
}

static double mean_loss(const float *logits, const uint32_t *token, int32_t n)
{
    double sum = 0.0;
    for (int32_t row = 0; row + 1 < n; row++) {
        const float *l = logits + row * model.config.vocab;
        double total = 0.0, most = -INFINITY;
        for (int64_t i = 0; i < model.config.vocab; i++)
            most = fmax(most, (double)l[i]);
        for (int64_t i = 0; i < model.config.vocab; i++)
            total += exp((double)l[i] - most);
        sum += most + log(total) - (double)l[token[row + 1]];
    }
    return sum / (n - 1);
}

static void logits_on_real_text_equal_those_of_transformers(void **state)
{
    (void)state;
    size_t i, k;
    json_t *one, *id;
    json_array_foreach(model.golden, i, one) {
        uint32_t token[MAX_TOKENS];
        json_t *ids = json_object_get(one, "ids");
        int32_t n = (int32_t)json_array_size(ids);
        assert_in_range(n, 2, MAX_TOKENS);
        json_array_foreach(ids, k, id)
            token[k] = (uint32_t)json_integer_value(id);
        float *logits = logits_of(token, n);
        check_projections(logits, one, i);
        check_top(logits, one, i);
        double loss = mean_loss(logits, token, n), want = json_number_value(json_object_get(one, "loss"));
        if (!(fabs(loss - want) <= TOLERANCE * want))
            fail_msg("text %zu: the loss is %.7g, theirs %.7g", i, loss, want);
        free(logits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_on_real_text_equal_those_of_transformers)};
    if (!smollm2_folder()) {
        printf("skipped: no SmolLM2 folder; ci/smollm2.sh makes it\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, open_model, close_model);
}
