// ranks: 1 2
/* Greedy decoding equals transformers' generate, token for token up to the first place where its two best logits differ by less than 1e-4: the tiny Qwen3 (on two ranks tensor
 * parallel) and SmolLM2 (one rank; skipped where the model is not there), float32, 32 prompts of 3 to 120 tokens, 64 new tokens. Golden files: make_generate.py.
 * All prompts are submitted at once; each also in two nodes, and through a cache so small that prompts wait for each other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/json.h"
#include "comm/mesh.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/scratch.h"
#include "tests/tools/smollm2.h"
#include "trainer/infer/infer.h"

enum { N_PROMPTS = 32, N_NEW = 64, MAX_PROMPT = 128 };
#define SETTLED 1e-4

static struct comm *world;
static struct device *device;
static struct scratch scratch;

static void must(int status)
{
    if (status != OK)
        fail_msg("%s (%s)", trace_sentence(), trace_place());
}

struct prompt { uint32_t token[MAX_PROMPT], expected[N_NEW]; int32_t n; int settled, seen; };
static struct prompt prompts[N_PROMPTS];
static int64_t masked;

static int32_t read_ids(json_t *list, uint32_t *out, size_t max)
{
    assert_in_range(json_array_size(list), 1, max);
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    return (int32_t)json_array_size(list);
}

static int count_settled(json_t *gap)
{
    int n = 0;
    assert_int_equal(json_array_size(gap), N_NEW);
    while (n < N_NEW && json_number_value(json_array_get(gap, (size_t)n)) >= SETTLED)
        n++;
    return n;
}

static void read_golden(const char *path)
{
    json_t *root;
    must(json_parse_file(path, &root));
    json_t *ban = json_object_get(root, "masked");
    masked = json_array_size(ban) > 0 ? json_integer_value(json_array_get(ban, 0)) : -1;
    assert_int_equal(json_array_size(json_object_get(root, "prompt")), N_PROMPTS);
    for (size_t i = 0; i < N_PROMPTS; i++) {
        struct prompt *p = &prompts[i];
        p->n = read_ids(json_array_get(json_object_get(root, "prompt"), i), p->token, MAX_PROMPT);
        assert_int_equal(read_ids(json_array_get(json_object_get(root, "new"), i), p->expected, N_NEW), N_NEW);
        p->settled = count_settled(json_array_get(json_object_get(root, "gap"), i));
        p->seen = 0;
    }
    json_decref(root);
}

static int compare(void *owner, const struct generator_sample *sample)
{
    struct prompt *p = owner;
    assert_int_equal(sample->n_tokens, N_NEW);
    for (int i = 0; i < p->settled; i++)
        if (sample->token[i] != p->expected[i])
            fail_msg("prompt %d of %d tokens: new token %d is %u, and transformers writes %u", (int)(p - prompts), p->n, i, sample->token[i], p->expected[i]);
    p->seen++;
    return OK;
}

static void submit(struct generator *g, struct prompt *p, bool in_two)
{
    int32_t first = in_two && p->n > 3 ? p->n / 3 : p->n;
    struct generator_call call = {.n_nodes = first < p->n ? 2 : 1, .node = {{p->token, first}, {p->token + first, p->n - first}}, .n_samples = 1, .done = compare, .owner = p,
                                  .rule = {.top_p = 1.0f, .max_new = N_NEW, .stop = "", .ignore_end = true}};
    must(generator_submit(g, &call));
}

static void generate(const char *folder, const struct tokenizer *tokenizer, int64_t kv_memory_mb, int64_t batch_tokens, bool in_two)
{
    struct mesh *mesh;
    struct infer infer;
    struct infer_source source = {.model = folder, .reward_token = masked, .end_of_turn = -1, .tokenizer = tokenizer};
    struct config *config = calloc(1, sizeof *config);
    assert_non_null(config);
    options_default(config_options(), config);
    config->generate.kv_memory_mb = kv_memory_mb;
    config->generate.batch_tokens = batch_tokens;
    must(mesh_create(world, 1, world->size, false, &mesh));
    must(infer_open(config, &source, mesh, device, &infer));
    for (int i = 0; i < N_PROMPTS; i++)
        submit(infer.generator, &prompts[i], in_two);
    while (!generator_is_idle(infer.generator))
        must(generator_step(infer.generator));
    infer_close(&infer);
    mesh_destroy(&mesh);
    free(config);
}

static void expect_all_seen(int times)
{
    for (int i = 0; i < N_PROMPTS; i++)
        assert_int_equal(prompts[i].seen, times);
}

static void qwen3_writes_what_transformers_writes(void **state)
{
    struct tokenizer *tokenizer;
    (void)state;
    must(tokenizer_open(scratch.dir, &tokenizer));
    read_golden(TEST_SOURCE_DIR "/tests/golden/generate/qwen3.json");
    generate(TEST_SOURCE_DIR "/tests/golden/model/qwen3", tokenizer, 64, 512, false);
    generate(TEST_SOURCE_DIR "/tests/golden/model/qwen3", tokenizer, 64, 40, true);
    generate(TEST_SOURCE_DIR "/tests/golden/model/qwen3", tokenizer, 1, 64, true);
    tokenizer_close(&tokenizer);
    expect_all_seen(3);
}

static void smollm2_writes_what_transformers_writes(void **state)
{
    struct tokenizer *tokenizer;
    const char *folder = smollm2_folder();
    (void)state;
    if (!folder)
        skip();
    must(tokenizer_open(folder, &tokenizer));
    read_golden(TEST_SOURCE_DIR "/tests/golden/generate/smollm2.json");
    generate(folder, tokenizer, 512, 512, false);
    generate(folder, tokenizer, 24, 96, true);
    tokenizer_close(&tokenizer);
    expect_all_seen(2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tiny[] = {cmocka_unit_test(qwen3_writes_what_transformers_writes)}, real[] = {cmocka_unit_test(smollm2_writes_what_transformers_writes)};
    if (comm_mpi_start(&argc, &argv, &world) != OK || device_cpu_create(&(struct device_options){.n_threads = world->size == 1 ? 2 : 1, .isa = "auto"}, &device) != OK)
        return 1;
    scratch_make(&scratch);
    byte_tokenizer_write(scratch.dir);
    int failed = cmocka_run_group_tests(tiny, NULL, NULL);
    if (world->size == 1)       /* its nine heads are not cut in two */
        failed += cmocka_run_group_tests(real, NULL, NULL);
    scratch_remove(&scratch);
    device_destroy(&device);
    comm_mpi_stop(&world);
    return failed;
}
