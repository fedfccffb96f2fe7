/* Truth 6: the rendered chat template equals Hugging Face's character by character; the nodes' texts, joined, are the whole conversation. Golden file: make_template.py. */
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
#include "dataset/encode.h"
#include "tests/tools/scratch.h"
#include "tests/tools/smollm2.h"

enum { MAX_MESSAGES = 8 };
static const char instruction[] = "What is good and what is bad about it?";

/* ---- a model's folder ------------------------------------------------------------------------------------------------------------------------ */

static void write_json(struct scratch *s, const char *name, json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT);
    assert_non_null(text);
    scratch_write(s, name, text, strlen(text));
    free(text);
    json_decref(root);
}

/* A small tokenizer of this folder with more special tokens behind its last id. */
static void write_tokenizer(struct scratch *s, const char *name, const char *const *special, int n)
{
    char path[1024];
    json_t *root;
    snprintf(path, sizeof path, TEST_SOURCE_DIR "/tests/golden/text/%s.tokenizer.json", name);
    assert_int_equal(json_parse_file(path, &root), OK);
    int first = (int)json_object_size(json_object_get(json_object_get(root, "model"), "vocab")) + 300;
    for (int i = 0; i < n; i++)
        json_array_append_new(json_object_get(root, "added_tokens"),
                              json_pack("{sssisbsbsbsbsb}", "content", special[i], "id", first + i, "special", 1, "lstrip", 0, "rstrip", 0, "single_word", 0, "normalized", 0));
    write_json(s, "tokenizer.json", root);
}

/* folder: of the model. */
static struct encoder *open_encoder(struct scratch *s, const char *folder, const char *template)
{
    struct config config;
    struct encoder *e = NULL;
    char backbone[600], chosen[600], prompt[600];
    scratch_write(s, "critique.txt", instruction, strlen(instruction));
    snprintf(backbone, sizeof backbone, "backbone.path=%s", folder);
    snprintf(chosen, sizeof chosen, "data.template=%s", template);
    snprintf(prompt, sizeof prompt, "data.critique_prompt=%s/critique.txt", s->dir);
    char *sets[] = {backbone, chosen, prompt};
    if (config_load(NULL, sets, 3, &config) != OK || encoder_open(&config, &e) != OK)
        fail_msg("%s", trace_sentence());
    return e;
}

/* ---- golden cases ---------------------------------------------------------------------------------------------------------------------------- */

static json_t *read_golden(void)
{
    enum { MAX = 64 << 20 };
    const char *path = TEST_SOURCE_DIR "/tests/golden/text/templates.json.gz";
    char *text = malloc(MAX);
    json_t *root;
    gzFile file = gzopen(path, "rb");
    assert_non_null(file);
    assert_non_null(text);
    int n = gzread(file, text, MAX);
    gzclose(file);
    assert_in_range(n, 1, MAX - 1);
    assert_int_equal(json_parse(text, (size_t)n, path, &root), OK);
    free(text);
    return root;
}

static void expect_text(const struct encoder *e, const struct token_list *list, json_t *golden, const char *behind, const char *name, size_t number)
{
    char *text;
    size_t n, m = json_string_length(golden);
    assert_int_equal(tokenizer_decode(e->tokenizer, list->token, list->n, true, &text, &n), OK);
    if (n != m + strlen(behind) || memcmp(text, json_string_value(golden), m) != 0 || strcmp(text + m, behind) != 0)
        fail_msg("%s, case %zu: ours is\n%s\ntheirs\n%s", name, number, text, json_string_value(golden));
    free(text);
}

static int messages_of(json_t *list, struct message out[MAX_MESSAGES])
{
    size_t i;
    json_t *one;
    assert_in_range(json_array_size(list), 1, MAX_MESSAGES);
    json_array_foreach(list, i, one) {
        json_t *content = json_object_get(one, "content");
        out[i] = (struct message){json_string_value(json_object_get(one, "role")), json_string_value(content), json_string_length(content)};
    }
    return (int)json_array_size(list);
}

/* `header`: what our nodes carry before an assistant's text that the golden text, which ends before it, does not have; `after`: what theirs has behind the last turn. */
static void check_case(const struct encoder *e, json_t *one, const char *header, const char *name, size_t number)
{
    struct message message[MAX_MESSAGES];
    struct token_list list = {0};
    int n = messages_of(json_object_get(one, "messages"), message);
    json_t *response = json_object_get(one, "response"), *critique = json_object_get(one, "critique");
    assert_int_equal(encode_prompt(e, message, n, &list), OK);
    expect_text(e, &list, json_object_get(one, "prompt"), header, name, number);
    assert_int_equal(encode_response(e, json_string_value(response), json_string_length(response), &list), OK);
    expect_text(e, &list, json_object_get(one, "answered"), header, name, number);
    assert_int_equal(encode_critique(e, json_string_value(critique), json_string_length(critique), &list), OK);
    assert_int_equal(list.token[list.n - 1], e->end_of_turn);
    for (const char *c = e->template.after; *c; c++)        /* of the last turn: the node ends at its end of turn */
        assert_int_equal(tokenizer_encode(e->tokenizer, c, 1, TOKENIZER_CONTINUE, &list), OK);
    expect_text(e, &list, json_object_get(one, "judged"), "", name, number);
    token_list_free(&list);
}

/* template: data.template; name: of the golden cases. */
static void check_template_as(struct scratch *s, const char *folder, const char *template, const char *name, const char *header)
{
    size_t i;
    json_t *root = read_golden(), *cases = json_object_get(root, name), *one;
    struct encoder *e = open_encoder(s, folder, template);
    assert_true(json_array_size(cases) >= 500);
    json_array_foreach(cases, i, one)
        check_case(e, one, header, name, i);
    encoder_close(&e);
    json_decref(root);
}

static void check_template(struct scratch *s, const char *folder, const char *name, const char *header)
{
    check_template_as(s, folder, "auto", name, header);
    scratch_remove(s);
}

/* ---- the families ---------------------------------------------------------------------------------------------------------------------------- */

static const char *const llama[] = {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|reserved_special_token_0|>", "<|eom_id|>"};

static void llama_3_renders_as_hugging_face(void **state)
{
    (void)state;
    struct scratch s;
    scratch_make(&s);
    write_tokenizer(&s, "bytelevel", llama, 5);
    check_template(&s, s.dir, "llama3", "");
}

static void llama_3_1_renders_as_hugging_face_with_its_two_date_lines(void **state)
{
    (void)state;
    struct scratch s;
    scratch_make(&s);
    write_tokenizer(&s, "bytelevel", llama, 6);
    check_template(&s, s.dir, "llama3.1", "");
}

/* The folder of the tokenizer that 3 and 3.1 share, with a tokenizer_config.json as transformers writes it; its own template is that of Llama 3. */
static void llama_3_and_3_1_render_as_hugging_face_with_their_own_tokenizer(void **state)
{
    (void)state;
    struct scratch s;
    struct stat st;
    char folder[600];
    const char *data = getenv("CRITIC_RM_TEST_DATA");
    snprintf(folder, sizeof folder, "%s/tokenizers/llama-3.1", data ? data : "");
    if (stat(folder, &st) != 0)
        skip();
    scratch_make(&s);
    check_template_as(&s, folder, "auto", "llama3", "");
    check_template_as(&s, folder, "llama3.1", "llama3.1", "");
    scratch_remove(&s);
}

static void smollm2_renders_as_hugging_face_with_its_default_system_message(void **state)
{
    (void)state;
    struct scratch s;
    scratch_make(&s);
    write_tokenizer(&s, "bytelevel", NULL, 0);
    write_json(&s, "tokenizer_config.json", json_pack("{ss}", "chat_template",
                                                      "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"));
    check_template(&s, s.dir, "chatml", "");
}

static void smollm2_renders_as_hugging_face_with_its_own_tokenizer(void **state)
{
    (void)state;
    struct scratch s;
    if (!smollm2_folder())
        skip();
    scratch_make(&s);
    check_template(&s, smollm2_folder(), "chatml", "");
}

static void mistral_renders_as_hugging_face(void **state)
{
    (void)state;
    struct scratch s;
    scratch_make(&s);
    write_tokenizer(&s, "fallback", NULL, 0);
    check_template(&s, s.dir, "mistral", " ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_3_renders_as_hugging_face),
        cmocka_unit_test(llama_3_1_renders_as_hugging_face_with_its_two_date_lines),
        cmocka_unit_test(llama_3_and_3_1_render_as_hugging_face_with_their_own_tokenizer),
        cmocka_unit_test(smollm2_renders_as_hugging_face_with_its_default_system_message),
        cmocka_unit_test(smollm2_renders_as_hugging_face_with_its_own_tokenizer),
        cmocka_unit_test(mistral_renders_as_hugging_face),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
