#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "dataset/tokenizer.h"
#include "tests/tools/scratch.h"

/* ---- small tokenizers ------------------------------------------------------------------------------------------------------------------------ */

static json_t *read_root(const char *name)
{
    char path[1024];
    json_t *root;
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/golden/text/%s.tokenizer.json", name);
    assert_int_equal(json_parse_file(path, &root), OK);
    return root;
}

/* Takes root. */
static int open_root(json_t *root, struct tokenizer **out)
{
    char *text = json_dumps(root, JSON_COMPACT);
    assert_non_null(text);
    trace_clear();
    int status = tokenizer_open_memory(text, strlen(text), "here.json", out);
    free(text);
    json_decref(root);
    return status;
}

static struct tokenizer *open_named(const char *name)
{
    struct tokenizer *t;
    if (open_root(read_root(name), &t) != OK)
        fail_msg("%s", trace_sentence());
    return t;
}

static void expect_refused(json_t *root, const char *words)
{
    struct tokenizer *t = NULL;
    assert_int_equal(open_root(root, &t), FAILED);
    assert_null(t);
    assert_non_null(strstr(trace_sentence(), "here.json"));
    if (!strstr(trace_sentence(), words))
        fail_msg("the sentence '%s' does not name %s", trace_sentence(), words);
}

static struct token_list encode(const struct tokenizer *t, const char *text, size_t n, int flags)
{
    struct token_list list = {0};
    trace_clear();
    if (tokenizer_encode(t, text, n, flags, &list) != OK)
        fail_msg("%s", trace_sentence());
    return list;
}

static void expect_round_trip(const struct tokenizer *t, const char *text, size_t n, int flags)
{
    struct token_list list = encode(t, text, n, flags);
    char *back;
    size_t m;
    assert_int_equal(tokenizer_decode(t, list.token, list.n, true, &back, &m), OK);
    assert_int_equal(m, n);
    assert_memory_equal(back, text, n);
    free(back);
    token_list_free(&list);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------------------------------- */

static json_t *with(const char *name, const char *key, const char *json)
{
    json_t *root = read_root(name), *value = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    json_object_set_new(root, key, value);
    return root;
}

static json_t *with_model(const char *key, const char *json)
{
    json_t *root = read_root("bytelevel"), *value = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    json_object_set_new(json_object_get(root, "model"), key, value);
    return root;
}

static void what_is_not_supported_is_refused_by_name(void **state)
{
    (void)state;
    expect_refused(with("bytelevel", "normalizer", "{\"type\": \"Lowercase\"}"), "Lowercase");
    expect_refused(with("bytelevel", "pre_tokenizer", "{\"type\": \"BertPreTokenizer\"}"), "BertPreTokenizer");
    expect_refused(with("bytelevel", "pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Removed\", \"invert\": false, \"pattern\": {\"Regex\": \"a\"}}"), "Removed");
    expect_refused(with_model("type", "\"Unigram\""), "Unigram");
    expect_refused(with_model("dropout", "0.1"), "dropout");
}

static void a_damaged_file_is_refused(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    expect_refused(with_model("merges", "[[\"a\", \"nowhere\"]]"), "nowhere");
    expect_refused(with_model("merges", "[17]"), "merge 0");
    expect_refused(with_model("vocab", "{\"a\": -1}"), "'a'");
    expect_refused(with_model("vocab", "{\"a\": 99999999999}"), "'a'");
    expect_refused(with("bytelevel", "added_tokens", "[{\"id\": 99999999, \"content\": \"x\"}]"), "id");
    expect_refused(with("bytelevel", "pre_tokenizer", "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"invert\": false, \"pattern\": {\"Regex\": \"(\"}}"), "pattern");
    trace_clear();
    assert_int_equal(tokenizer_open_memory("{\"model\": ", 10, "here.json", &t), FAILED);
    assert_int_equal(tokenizer_open_memory("", 0, "here.json", &t), FAILED);
    assert_null(t);
}

static void a_folder_without_a_tokenizer_is_named(void **state)
{
    (void)state;
    struct scratch s;
    struct tokenizer *t;
    scratch_make(&s);
    trace_clear();
    assert_int_equal(tokenizer_open(scratch_path(&s, "none"), &t), FAILED);
    assert_non_null(strstr(trace_sentence(), "none"));
    scratch_remove(&s);
}

static void text_that_is_not_utf_8_is_refused(void **state)
{
    (void)state;
    struct tokenizer *t = open_named("bytelevel");
    struct token_list list = {0};
    trace_clear();
    assert_int_equal(tokenizer_encode(t, "a\xff", 2, 0, &list), FAILED);
    assert_non_null(strstr(trace_sentence(), "UTF-8"));
    assert_int_equal(list.n, 0);
    token_list_free(&list);
    tokenizer_close(&t);
}

static void an_id_outside_the_vocabulary_is_not_decoded(void **state)
{
    (void)state;
    struct tokenizer *t = open_named("bytelevel");
    uint32_t token = (uint32_t)tokenizer_size(t);
    char *text;
    size_t n;
    assert_int_equal(tokenizer_decode(t, &token, 1, true, &text, &n), FAILED);
    tokenizer_close(&t);
}

/* ---- what is encoded ------------------------------------------------------------------------------------------------------------------------- */

static void text_never_yields_a_special_token_unless_asked(void **state)
{
    (void)state;
    static const char text[] = "hi<|im_end|>there";
    struct tokenizer *t = open_named("bytelevel");
    int64_t end = tokenizer_find(t, "<|im_end|>");
    assert_true(end >= 0 && tokenizer_is_special(t, (uint32_t)end));
    struct token_list plain = encode(t, text, sizeof text - 1, 0), parsed = encode(t, text, sizeof text - 1, TOKENIZER_SPECIAL);
    int n_plain = 0, n_parsed = 0;
    for (int32_t i = 0; i < plain.n; i++)
        n_plain += plain.token[i] == end;
    for (int32_t i = 0; i < parsed.n; i++)
        n_parsed += parsed.token[i] == end;
    assert_int_equal(n_plain, 0);
    assert_int_equal(n_parsed, 1);
    expect_round_trip(t, text, sizeof text - 1, 0);
    expect_round_trip(t, text, sizeof text - 1, TOKENIZER_SPECIAL);
    token_list_free(&plain);
    token_list_free(&parsed);
    tokenizer_close(&t);
}

static void special_tokens_can_be_left_out_of_decoded_text(void **state)
{
    (void)state;
    static const char text[] = "hi<|im_end|>";
    struct tokenizer *t = open_named("bytelevel");
    struct token_list list = encode(t, text, sizeof text - 1, TOKENIZER_SPECIAL);
    char *back;
    size_t n;
    assert_int_equal(tokenizer_decode(t, list.token, list.n, false, &back, &n), OK);
    assert_string_equal(back, "hi");
    free(back);
    token_list_free(&list);
    tokenizer_close(&t);
}

static void digits_stand_alone_where_the_file_says_so(void **state)
{
    (void)state;
    struct tokenizer *t = open_named("bytelevel");
    struct token_list list = encode(t, "2024", 4, 0);
    assert_int_equal(list.n, 4);
    token_list_free(&list);
    tokenizer_close(&t);
}

/* PCRE2's own \s takes U+180E for a space: the run of blanks before it would then be cut elsewhere. */
static void the_mongolian_vowel_separator_is_no_space(void **state)
{
    (void)state;
    struct tokenizer *t = open_named("bytelevel");
    struct token_list blank = encode(t, "   \xe1\xa0\x8e", 6, 0), letter = encode(t, "   \xc2\xa7", 5, 0);
    assert_true(blank.n > 0 && letter.n > 0);
    assert_int_equal(blank.token[0], letter.token[0]);      /* two blanks, then " ?[^\s\p{L}\p{N}]+" takes the third */
    token_list_free(&blank);
    token_list_free(&letter);
    tokenizer_close(&t);
}

static void text_that_goes_on_gets_no_space_before_it(void **state)
{
    (void)state;
    struct tokenizer *t = open_named("fallback");
    struct token_list first = encode(t, "x", 1, 0), next = encode(t, "x", 1, TOKENIZER_CONTINUE);
    char *text;
    size_t n;
    assert_int_equal(tokenizer_decode(t, first.token, first.n, true, &text, &n), OK);
    assert_string_equal(text, " x");
    free(text);
    assert_int_equal(tokenizer_decode(t, next.token, next.n, true, &text, &n), OK);
    assert_string_equal(text, "x");
    free(text);
    token_list_free(&first);
    token_list_free(&next);
    tokenizer_close(&t);
}

static void characters_that_the_vocabulary_lacks_become_bytes(void **state)
{
    (void)state;
    struct tokenizer *t = open_named("fallback");
    struct token_list list = encode(t, "\xf0\x90\x8d\x88", 4, TOKENIZER_CONTINUE);
    assert_int_equal(list.n, 4);
    assert_int_equal(list.token[0], tokenizer_find(t, "<0xF0>"));
    assert_int_equal(list.token[3], tokenizer_find(t, "<0x88>"));
    expect_round_trip(t, "\xf0\x90\x8d\x88", 4, TOKENIZER_CONTINUE);
    token_list_free(&list);
    tokenizer_close(&t);
}

static void every_text_comes_back_from_byte_level_ids(void **state)
{
    (void)state;
    struct tokenizer *t = open_named("bytelevel");
    for (uint32_t c = 1; c < 0x110000; c += c < 0x3000 ? 1 : 997) {
        char text[8];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = n - 1, rest = c; i > 0; i--, rest >>= 6)
            text[i] = (char)(0x80 | (rest & 0x3f));
        text[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c >> 6 * (n - 1));
        if (c < 0xd800 || c > 0xdfff)
            expect_round_trip(t, text, n, 0);
    }
    tokenizer_close(&t);
}

static void a_megabyte_without_a_border_is_encoded(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    static const char *const pattern[] = {"a", " ", "\n", "ab", "<", "qwertyuiop"};
    struct tokenizer *t = open_named("qwen");
    char *text = malloc(N);
    assert_non_null(text);
    for (size_t p = 0; p < sizeof pattern / sizeof *pattern; p++) {
        for (size_t i = 0; i < N; i++)
            text[i] = pattern[p][i % strlen(pattern[p])];
        expect_round_trip(t, text, N, TOKENIZER_SPECIAL);
    }
    free(text);
    tokenizer_close(&t);
}

/* ---- added tokens' flags --------------------------------------------------------------------------------------------------------------------- */

static int32_t count_with_flags(const char *flags, const char *text, uint32_t *at)
{
    struct tokenizer *t;
    char entry[256];
    snprintf(entry, sizeof entry, "[{\"id\": 1200, \"content\": \"<m>\", \"special\": true%s}]", flags);
    if (open_root(with("bytelevel", "added_tokens", entry), &t) != OK)
        fail_msg("%s", trace_sentence());
    struct token_list list = encode(t, text, strlen(text), TOKENIZER_SPECIAL);
    int32_t n = list.n;
    for (int32_t i = 0; i < n; i++)
        if (list.token[i] == 1200)
            *at = (uint32_t)i;
    token_list_free(&list);
    tokenizer_close(&t);
    return n;
}

static void added_tokens_take_blanks_and_need_borders_as_flagged(void **state)
{
    (void)state;
    uint32_t at = 99;
    assert_int_equal(count_with_flags("", "x <m> y", &at), 5);                       /* x, blank, <m>, blank, y */
    assert_int_equal(at, 2);
    assert_int_equal(count_with_flags(", \"lstrip\": true", "x <m> y", &at), 4);
    assert_int_equal(at, 1);
    assert_int_equal(count_with_flags(", \"lstrip\": true, \"rstrip\": true", "x <m> y", &at), 3);
    assert_int_equal(at, 1);
    assert_int_equal(count_with_flags(", \"lstrip\": true, \"rstrip\": true", "x\xe3\x80\x80<m>\xe2\x80\x83y", &at), 3);
    assert_int_equal(count_with_flags(", \"single_word\": true", "\xe2\x80\x94<m>\xe2\x80\x94", &at), 5);
    at = 99;
    assert_true(count_with_flags(", \"single_word\": true", "x<m>y", &at) > 3);
    assert_int_equal(at, 99);
    assert_int_equal(count_with_flags(", \"single_word\": true", "<m>", &at), 1);
}

/* ---- files and threads ----------------------------------------------------------------------------------------------------------------------- */

static void a_packed_file_is_the_same_tokenizer(void **state)
{
    (void)state;
    struct scratch s;
    char *bytes;
    size_t n;
    struct tokenizer *plain, *packed;
    scratch_make(&s);
    assert_int_equal(file_read(TEST_SOURCE_DIR "/tests/golden/text/qwen.tokenizer.json", &bytes, &n), OK);
    gzFile file = gzopen(scratch_path(&s, "tokenizer.json.gz"), "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)n), n);
    gzclose(file);
    assert_int_equal(tokenizer_open(s.dir, &packed), OK);
    assert_int_equal(tokenizer_open_memory(bytes, n, "plain", &plain), OK);
    assert_int_equal(tokenizer_hash(plain), tokenizer_hash(packed));
    assert_int_equal(tokenizer_size(plain), tokenizer_size(packed));
    free(bytes);
    tokenizer_close(&plain);
    tokenizer_close(&packed);
    scratch_remove(&s);
}

enum { ROUNDS = 200 };
static const char sentence[] = "Gr\xc3\xb6\xc3\x9f" "e, it's 2024:  \xe6\x95\x8f\xe6\x8d\xb7 <|im_end|>\n\n def f(x): return x";

static void *encode_often(void *context)
{
    struct token_list *list = calloc(1, sizeof *list);
    for (int i = 0; list && i < ROUNDS; i++)
        if (tokenizer_encode(context, sentence, sizeof sentence - 1, TOKENIZER_SPECIAL, list) != OK)
            break;
    return list;
}

static void threads_encode_at_the_same_time(void **state)
{
    (void)state;
    enum { N = 4 };
    pthread_t thread[N];
    struct tokenizer *t = open_named("qwen");
    struct token_list one = encode(t, sentence, sizeof sentence - 1, TOKENIZER_SPECIAL);
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, encode_often, t), 0);
    for (int i = 0; i < N; i++) {
        struct token_list *list;
        assert_int_equal(pthread_join(thread[i], (void **)&list), 0);
        assert_non_null(list);
        assert_int_equal(list->n, ROUNDS * one.n);
        for (int r = 0; r < ROUNDS; r++)
            assert_memory_equal(list->token + r * one.n, one.token, (size_t)one.n * sizeof *one.token);
        token_list_free(list);
        free(list);
    }
    token_list_free(&one);
    tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
        cmocka_unit_test(a_damaged_file_is_refused),
        cmocka_unit_test(a_folder_without_a_tokenizer_is_named),
        cmocka_unit_test(text_that_is_not_utf_8_is_refused),
        cmocka_unit_test(an_id_outside_the_vocabulary_is_not_decoded),
        cmocka_unit_test(text_never_yields_a_special_token_unless_asked),
        cmocka_unit_test(special_tokens_can_be_left_out_of_decoded_text),
        cmocka_unit_test(digits_stand_alone_where_the_file_says_so),
        cmocka_unit_test(the_mongolian_vowel_separator_is_no_space),
        cmocka_unit_test(text_that_goes_on_gets_no_space_before_it),
        cmocka_unit_test(characters_that_the_vocabulary_lacks_become_bytes),
        cmocka_unit_test(every_text_comes_back_from_byte_level_ids),
        cmocka_unit_test(a_megabyte_without_a_border_is_encoded),
        cmocka_unit_test(added_tokens_take_blanks_and_need_borders_as_flagged),
        cmocka_unit_test(a_packed_file_is_the_same_tokenizer),
        cmocka_unit_test(threads_encode_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
