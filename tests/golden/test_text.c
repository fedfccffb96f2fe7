/* Truth 6: token ids equal those of the Hugging Face tokenizer on text of many scripts. Golden files: make_text.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/json.h"
#include "base/status.h"
#include "dataset/tokenizer.h"
#include "tests/tools/smollm2.h"

static json_t *read_cases(const char *name)
{
    char path[1024];
    static char text[8 << 20];
    json_t *root;
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/golden/text/%s.json.gz", name);
    gzFile file = gzopen(path, "rb");
    assert_non_null(file);
    int n = gzread(file, text, sizeof text);
    gzclose(file);
    assert_in_range(n, 1, sizeof text - 1);
    assert_int_equal(json_parse(text, (size_t)n, path, &root), OK);
    return root;
}

static void check_case(const struct tokenizer *t, const char *name, json_t *one, size_t number)
{
    struct token_list list = {0};
    json_t *text = json_array_get(one, 0), *ids = json_array_get(one, 1);
    if (tokenizer_encode(t, json_string_value(text), json_string_length(text), TOKENIZER_SPECIAL, &list) != OK)
        fail_msg("%s, case %zu: %s", name, number, trace_sentence());
    bool equal = (size_t)list.n == json_array_size(ids);
    for (int32_t i = 0; equal && i < list.n; i++)
        equal = (json_int_t)list.token[i] == json_integer_value(json_array_get(ids, (size_t)i));
    if (!equal)
        fail_msg("%s, case %zu: the ids of '%s' differ (%d of ours, %zu of theirs)", name, number, json_string_value(text), list.n, json_array_size(ids));
    token_list_free(&list);
}

static void check_all(const char *tokenizer_path, const char *name)
{
    struct tokenizer *t;
    size_t i;
    json_t *root = read_cases(name), *one;
    if (tokenizer_open(tokenizer_path, &t) != OK)
        fail_msg("%s", trace_sentence());
    assert_true(json_array_size(json_object_get(root, "cases")) >= 500);
    json_array_foreach(json_object_get(root, "cases"), i, one)
        check_case(t, name, one, i);
    tokenizer_close(&t);
    json_decref(root);
}

static void byte_level_ids_equal_hugging_face(void **state) { (void)state; check_all(TEST_SOURCE_DIR "/tests/golden/text/bytelevel.tokenizer.json", "bytelevel"); }
static void qwen_ids_equal_hugging_face(void **state) { (void)state; check_all(TEST_SOURCE_DIR "/tests/golden/text/qwen.tokenizer.json", "qwen"); }
static void byte_fallback_ids_equal_hugging_face(void **state) { (void)state; check_all(TEST_SOURCE_DIR "/tests/golden/text/fallback.tokenizer.json", "fallback"); }

static void llama_3_1_ids_equal_hugging_face(void **state)
{
    (void)state;
    char path[1024];
    struct stat st;
    snprintf(path, sizeof path, "%s/tokenizers/llama-3.1", getenv("CRITIC_RM_TEST_DATA") ? getenv("CRITIC_RM_TEST_DATA") : "");
    if (stat(path, &st) != 0)
        skip();
    check_all(path, "llama-3.1");
}

static void smollm2_ids_equal_hugging_face(void **state)
{
    (void)state;
    if (!smollm2_folder())
        skip();
    check_all(smollm2_folder(), "smollm2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_ids_equal_hugging_face),
        cmocka_unit_test(qwen_ids_equal_hugging_face),
        cmocka_unit_test(byte_fallback_ids_equal_hugging_face),
        cmocka_unit_test(llama_3_1_ids_equal_hugging_face),
        cmocka_unit_test(smollm2_ids_equal_hugging_face),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
