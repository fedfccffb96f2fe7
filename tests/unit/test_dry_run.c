/* The dry run of Llama-3.1-70B against closed formulas. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "launch/dry_run.h"

/* Shape of the 70B model: hidden, feed-forward, layers, query and key/value width, vocabulary. */
static const double C = 8192, F = 28672, L = 80, Q = 8192, K = 1024, V = 128256;

static void within_one_percent(size_t have, double want, const char *what)
{
    if (fabs((double)have - want) > 0.01 * want)
        fail_msg("%s: %zu bytes, the formula says %.0f", what, have, want);
}

static void count(int data, int tensor, struct config *config, struct trainer_bytes *bytes)
{
    struct model_config model;
    assert_int_equal(config_load(TEST_SOURCE_DIR "/configs/llama-3.1-70b.yaml", NULL, 0, config), OK);
    assert_int_equal(model_config_read(TEST_SOURCE_DIR "/configs/models/llama-3.1-70b", &model), OK);
    assert_int_equal(dry_run_count(config, &model, data, tensor, bytes), OK);
}

/* tensor t; kv: key/value columns per rank */
static void check_formulas(int data, double t, double kv, const struct config *config, const struct trainer_bytes *b)
{
    double T = (double)config->mesh.micro_batch_tokens, P = (double)config->data.max_path_tokens;
    double weights = 2.0 * V * C / t + L * (2.0 * C * Q / t + 2.0 * C * kv + 3.0 * C * F / t + 2.0 * C) + C;
    within_one_percent(b->weights, 2.0 * weights, "weights, bf16");
    within_one_percent(b->gradients, 4.0 * weights, "gradients, float32");
    within_one_percent(b->optimizer, 12.0 * weights / data, "optimizer: master and two moments over the data axis");
    double residuals = (L + 1.0) * T / t * C + 2.0 * T / t * C;         /* inputs of layers, middle, gradient */
    double layer = T * (2.0 * Q / t + 2.0 * kv + 2.0 * F / t);
    double work = T * (3.0 * C + F / t + 2.0 * Q / t + 2.0 * kv);
    double statistics = 4.0 * (T * 64.0 / t * 2.0 + 3.0 * T / t + P * 128.0 + 2.0 * T);
    within_one_percent(b->activations, 4.0 * residuals + 2.0 * (layer + work) + statistics, "activations with recompute");
    double rows = floor(48.0 * 1048576.0 / (V / t * 4.0));
    within_one_percent(b->heads, rows * V / t * 6.0 + rows * C * 4.0 + 4.0 * T * 5.0, "logits and rewards");
}

static void seventy_billion_weights_fit_64_ranks_of_80_gb(void **state)
{
    (void)state;
    struct config config;
    struct trainer_bytes bytes;
    count(8, 8, &config, &bytes);
    check_formulas(8, 8, K / 8, &config, &bytes);
    assert_true(trainer_bytes_sum(&bytes) < (size_t)76e9);
}

static void with_tensor_16_key_value_heads_are_replicated(void **state)
{
    (void)state;
    struct config config;
    struct trainer_bytes bytes;
    count(4, 16, &config, &bytes);
    check_formulas(4, 16, 128, &config, &bytes);
    assert_true(trainer_bytes_sum(&bytes) < (size_t)76e9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seventy_billion_weights_fit_64_ranks_of_80_gb), cmocka_unit_test(with_tensor_16_key_value_heads_are_replicated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
