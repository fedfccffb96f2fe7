#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "trainer/model/model_config.h"

#define SIZES "\"hidden_size\": 576, \"intermediate_size\": 1536, \"num_hidden_layers\": 30, \"num_attention_heads\": 9, \"num_key_value_heads\": 3, \"vocab_size\": 49152, \"max_position_embeddings\": 8192"

static int parse(const char *members, struct model_config *m)
{
    char text[2048];
    trace_clear();
    snprintf(text, sizeof text, "{" SIZES "%s}", members);
    return model_config_parse(text, strlen(text), "config.json", m);
}

static void refused(const char *members, const char *why)
{
    struct model_config m;
    assert_int_equal(parse(members, &m), FAILED);
    if (!strstr(trace_sentence(), why))
        fail_msg("\"%s\" does not say \"%s\"", trace_sentence(), why);
    trace_clear();
}

static void llama_is_read_with_its_defaults(void **state)
{
    (void)state;
    struct model_config m;
    assert_int_equal(parse(", \"model_type\": \"llama\", \"tie_word_embeddings\": true, \"rms_norm_eps\": 1e-5, \"rope_theta\": 100000, \"rope_scaling\": null", &m), OK);
    assert_int_equal(m.family, FAMILY_LLAMA);
    assert_int_equal(m.head_dim, 64);
    assert_int_equal(m.kv_heads, 3);
    assert_true(m.rope_theta == 100000.0 && m.rms_eps == 1e-5 && m.tie_embeddings && !m.qkv_bias && !m.head_norms && !m.rope_llama3 && m.sliding_window == 0);
}

static void families_differ_in_biases_norms_and_window(void **state)
{
    (void)state;
    struct model_config m;
    assert_int_equal(parse(", \"model_type\": \"qwen2\", \"sliding_window\": 4096, \"use_sliding_window\": false", &m), OK);
    assert_true(m.qkv_bias && !m.head_norms && m.sliding_window == 0);
    assert_int_equal(parse(", \"model_type\": \"qwen3\", \"head_dim\": 128", &m), OK);
    assert_true(m.head_norms && !m.qkv_bias && m.head_dim == 128);
    assert_int_equal(parse(", \"model_type\": \"mistral\", \"sliding_window\": 4096", &m), OK);
    assert_int_equal(m.sliding_window, 4096);
    assert_int_equal(parse(", \"model_type\": \"mistral\", \"sliding_window\": null", &m), OK);
    assert_int_equal(m.sliding_window, 0);
    assert_int_equal(parse(", \"model_type\": \"mistral\", \"sliding_window\": 8192", &m), OK);
    assert_int_equal(m.sliding_window, 0);
}

static void both_spellings_of_the_rotary_embedding_are_read(void **state)
{
    (void)state;
    struct model_config old, new;
    assert_int_equal(parse(", \"model_type\": \"llama\", \"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
                           "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192}", &old), OK);
    assert_int_equal(parse(", \"model_type\": \"llama\", \"rope_parameters\": {\"rope_theta\": 5e5, \"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
                           "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192}", &new), OK);
    assert_true(old.rope_llama3 && new.rope_llama3 && new.rope_theta == 5e5 && old.rope_theta == 5e5 && new.rope_factor == 8.0 && new.rope_original_max_position == 8192.0);
    assert_memory_equal(&old, &new, sizeof old);
}

static void what_would_change_the_numbers_is_refused_by_name(void **state)
{
    (void)state;
    refused(", \"model_type\": \"gpt2\"", "gpt2");
    refused("", "model_type");
    refused(", \"model_type\": \"llama\", \"hidden_act\": \"gelu\"", "gelu");
    refused(", \"model_type\": \"llama\", \"attention_bias\": true", "attention_bias");
    refused(", \"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}", "yarn");
    refused(", \"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\"}", "factor");
    refused(", \"model_type\": \"llama\", \"rope_parameters\": 3", "not an object");
    refused(", \"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": 4096", "use_sliding_window");
    refused(", \"model_type\": \"llama\", \"head_dim\": 63", "head_dim");
    struct model_config m;
    assert_int_equal(model_config_parse("[1]", 3, "config.json", &m), FAILED);
    trace_clear();
}

static void a_tensor_axis_that_does_not_fit_is_refused_naming_those_that_do(void **state)
{
    (void)state;
    struct model_config m;
    assert_int_equal(parse(", \"model_type\": \"llama\"", &m), OK);
    assert_int_equal(model_config_check_tensor(&m, 1), OK);
    assert_int_equal(model_config_check_tensor(&m, 3), OK);
    assert_int_equal(model_config_check_tensor(&m, 2), USAGE);
    assert_non_null(strstr(trace_sentence(), "use 1, 3"));
    trace_clear();
    m.heads = 8;
    m.kv_heads = 2;
    assert_int_equal(model_config_check_tensor(&m, 4), OK);     /* KV heads in two copies */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_is_read_with_its_defaults),
        cmocka_unit_test(families_differ_in_biases_norms_and_window),
        cmocka_unit_test(both_spellings_of_the_rotary_embedding_are_read),
        cmocka_unit_test(what_would_change_the_numbers_is_refused_by_name),
        cmocka_unit_test(a_tensor_axis_that_does_not_fit_is_refused_naming_those_that_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
