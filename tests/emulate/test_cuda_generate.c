/* Generation through the CUDA code in bf16, on a model whose heads go to tensor cores (truth 5): a score, of a given critique and of a sampled one, is the same bits alone and in
 * company, whatever pieces prompts are read in and wherever their pages lie. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "comm/mesh.h"
#include "emulate.h"
#include "kernels/cuda_module.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/random_values.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"
#include "trainer/infer/infer.h"

enum { MAX_NODE = 150, MAX_TEXT = 12, N_ITEMS = 6, REWARD = BYTE_END_OF_TEXT, END = BYTE_TURN_END };

static struct comm *world;
static struct device *device;
static struct scratch scratch;
static struct tokenizer *tokenizer;
static struct end_tokens ends;

static void must(int status)
{
    if (status != OK)
        fail_msg("%s (%s)", trace_sentence(), trace_place());
}

/* ---- a model with heads of 64 ------------------------------------------------------------------------------------------------------------------ */

static void write_model(void)
{
    char path[512], *text = NULL;
    size_t n = 0;
    tiny_model_write(scratch.dir, "llama", 2, true);
    snprintf(path, sizeof path, "%s/config.json", scratch.dir);
    must(file_read(path, &text, &n));
    char *digit = strstr(text, "\"head_dim\": 8,");
    assert_non_null(digit);
    memcpy(digit, "\"head_dim\":64,", strlen("\"head_dim\":64,"));
    must(file_write_atomic(path, text, n));
    free(text);
}

struct opened { struct config config; struct mesh *mesh; struct infer infer; };

static struct opened *open_model(int64_t batch_tokens, int64_t kv_memory_mb)
{
    struct opened *o = calloc(1, sizeof *o);
    struct infer_source source = {.model = scratch.dir, .reward_token = REWARD, .end_of_turn = END, .ends = &ends, .tokenizer = tokenizer};
    assert_non_null(o);
    options_default(config_options(), &o->config);
    o->config.backbone.init = BACKBONE_RANDOM;
    o->config.device.dtype = BF16;
    o->config.generate.batch_tokens = batch_tokens;
    o->config.generate.kv_memory_mb = kv_memory_mb;
    must(mesh_create(world, 1, 1, false, &o->mesh));
    must(infer_open(&o->config, &source, o->mesh, device, &o->infer));
    assert_int_equal(o->infer.store->dtype, BF16);
    assert_int_equal(o->infer.model.head_dim, 64);
    return o;
}

static void close_model(struct opened *o)
{
    infer_close(&o->infer);
    mesh_destroy(&o->mesh);
    free(o);
}

/* ---- items ------------------------------------------------------------------------------------------------------------------------------------- */

/* Prompt, response, critique; and what came of it. */
struct item { uint32_t token[3][MAX_NODE]; int32_t n[3]; float reward; uint32_t text[MAX_TEXT]; int32_t n_text, seen; };

static void make_items(struct item *item)
{
    struct random random = {5};
    memset(item, 0, N_ITEMS * sizeof *item);
    for (int i = 0; i < N_ITEMS; i++)
        for (int k = 0; k < 3; k++) {
            item[i].n[k] = (int32_t)random_int(&random, 1, MAX_NODE);
            for (int32_t t = 0; t < item[i].n[k]; t++)
                item[i].token[k][t] = (uint32_t)random_int(&random, 0, 255);
        }
    for (int i = 1; i < N_ITEMS; i++)           /* responses of two prompts; the last ones are one response's critiques */
        for (int k = 0; k < 1 + (i > 3); k++) {
            memcpy(item[i].token[k], item[i / 2 * 2].token[k], sizeof item[i].token[k]);
            item[i].n[k] = item[i / 2 * 2].n[k];
        }
}

static int take(void *owner, const struct generator_sample *sample)
{
    struct item *item = owner;
    assert_in_range(sample->n_tokens, 0, MAX_TEXT);
    item->reward = sample->reward;
    item->n_text = sample->n_tokens;
    memcpy(item->text, sample->token, (size_t)sample->n_tokens * sizeof *item->text);
    item->seen++;
    return OK;
}

/* given: the reward behind the given critique; else behind one that is sampled. */
static void submit(struct opened *o, struct item *item, bool given)
{
    struct generator_call call = {.n_nodes = given ? 3 : 2, .n_samples = 1, .done = take, .owner = item,
                                  .rule = {.temperature = 0.8f, .top_p = 0.95f, .max_new = given ? 0 : MAX_TEXT, .stop = "", .read_reward = true}};
    for (int k = 0; k < call.n_nodes; k++)
        call.node[k] = (struct tokens){item->token[k], item->n[k]};
    must(generator_submit(o->infer.generator, &call));
}

static void run(struct opened *o)
{
    while (!generator_is_idle(o->infer.generator))
        must(generator_step(o->infer.generator));
}

static void compute_alone(struct item *item, bool given)
{
    for (int i = 0; i < N_ITEMS; i++) {
        struct opened *o = open_model(512, 4);
        submit(o, &item[i], given);
        run(o);
        close_model(o);
    }
}

static void compute_together(struct item *item, bool given, int64_t batch_tokens, int64_t kv_memory_mb)
{
    struct opened *o = open_model(batch_tokens, kv_memory_mb);
    for (int i = 0; i < N_ITEMS; i++) {
        submit(o, &item[(i * 5 + 2) % N_ITEMS], given);
        if (i % 2 == 1)
            must(generator_step(o->infer.generator));
    }
    run(o);
    close_model(o);
}

static void expect_alone_and_in_company(bool given)
{
    static struct item alone[N_ITEMS], together[N_ITEMS];
    const struct { int64_t batch_tokens, kv_memory_mb; } way[] = {{512, 4}, {40, 4}, {19, 1}};
    make_items(alone);
    compute_alone(alone, given);
    for (size_t w = 0; w < sizeof way / sizeof *way; w++) {
        make_items(together);
        emulate_seed(w + 1);
        compute_together(together, given, way[w].batch_tokens, way[w].kv_memory_mb);
        for (int i = 0; i < N_ITEMS; i++) {
            assert_int_equal(together[i].seen, 1);
            assert_memory_equal(&alone[i].reward, &together[i].reward, sizeof(float));
            assert_int_equal(alone[i].n_text, together[i].n_text);
            assert_memory_equal(alone[i].text, together[i].text, sizeof alone[i].text);
        }
    }
    assert_true(alone[0].reward != alone[1].reward);
}

static void a_score_of_a_given_critique_is_the_same_bits_in_any_company(void **state)
{
    (void)state;
    expect_alone_and_in_company(true);
}

static void a_sampled_critique_and_its_score_are_the_same_bits_in_any_company(void **state)
{
    (void)state;
    expect_alone_and_in_company(false);
}

static int open_all(void **state)
{
    (void)state;
    struct device_options options = {.batch_invariant = true};
    scratch_make(&scratch);
    write_model();
    if (comm_self_create(&world) != OK || cuda_module_create(&options, &device) != OK)
        return 1;
    return tokenizer_open(scratch.dir, &tokenizer);
}

static int close_all(void **state)
{
    (void)state;
    tokenizer_close(&tokenizer);
    device_destroy(&device);
    comm_destroy(&world);
    scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_score_of_a_given_critique_is_the_same_bits_in_any_company),
        cmocka_unit_test(a_sampled_critique_and_its_score_are_the_same_bits_in_any_company),
    };
    return cmocka_run_group_tests_name("cuda_generate", tests, open_all, close_all);
}
