// ranks: 2 4
/* What NCCL takes of a GPU's memory it takes before the run's memory is reserved, and it is counted: no step and no pass takes more. On every mesh;
 * in generation with sums in one order and without. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "emulate.h"
#include "kernels/cuda_module.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"
#include "trainer/infer/infer.h"

enum { N_PAIRS = 8, STEPS = 2, N_PROMPT = 40 };

static struct comm *world;
static struct scratch scratch;
static struct tokenizer *tokenizer;

/* By key/value heads: with 1 all tensor ranks have copies, with 2 some of four. */
enum { N_MODELS = 2 };
static const struct { const char *name; int kv_heads; enum dtype dtype; } models[N_MODELS] = {{"copied", 1, F32}, {"partly", 2, BF16}};

/* ---- a device that notes what is taken when its memory is reserved ------------------------------------------------------------------------------ */

static const struct device_ops *real;
static struct device_ops noting;
static int64_t reserved_at;

static int reserve_and_note(struct device *device, size_t n_bytes)
{
    reserved_at = emulate_taken();
    return real->reserve(device, n_bytes);
}

static struct device *open_device(bool batch_invariant)
{
    struct device *device;
    assert_int_equal(cuda_module_create(&(struct device_options){.ordinal = world->rank, .batch_invariant = batch_invariant}, &device), OK);
    real = device->ops;
    noting = *real;
    noting.reserve = reserve_and_note;
    device->ops = &noting;
    assert_int_equal(emulate_taken(), 0);
    return device;
}

static void expect_nothing_later(const struct device *device)
{
    assert_true(reserved_at > 0);
    assert_int_equal(emulate_taken(), reserved_at);
    assert_int_equal(device->comm_bytes, reserved_at);
}

static void close_device(struct device **device)
{
    assert_int_equal((*device)->comm_bytes, 0);
    assert_int_equal(emulate_taken(), 0);
    device_destroy(device);
}

/* ---- training ----------------------------------------------------------------------------------------------------------------------------------- */

static void train(const struct config *config, struct device *device)
{
    struct tiny_run run;
    struct step_batch batch;
    struct step_result result;
    tiny_run_open(&run, config, world, device);
    for (int i = 0; i < STEPS; i++) {
        tiny_run_batch(&run, i, &batch);
        assert_int_equal(train_step(run.trainer, &batch, NULL, &result), OK);
        step_batch_free(&batch);
    }
    expect_nothing_later(device);
    tiny_run_close(&run);
}

static void no_step_makes_nccl_take_memory(void **state)
{
    (void)state;
    struct config config;
    for (int tensor = 1; tensor <= world->size; tensor *= 2)
        for (int i = 0; i < N_MODELS; i++) {
            struct device *device = open_device(false);
            tiny_config(&config, scratch_path(&scratch, models[i].name), 96);
            config.objective.mode = MODE_JOINT;
            config.mesh.tensor = tensor;
            config.mesh.data = world->size / tensor;
            config.device.dtype = models[i].dtype;
            train(&config, device);
            close_device(&device);
        }
}

/* ---- generation --------------------------------------------------------------------------------------------------------------------------------- */

static int ignore(void *owner, const struct generator_sample *sample)
{
    (void)owner, (void)sample;
    return OK;
}

/* A prompt that fills a pass, and tokens one by one. */
static void generate(struct infer *infer)
{
    uint32_t token[N_PROMPT];
    for (uint32_t i = 0; i < N_PROMPT; i++)
        token[i] = 'a' + i % 26;
    struct generator_call call = {.n_nodes = 1, .n_samples = 2, .done = ignore, .node = {{token, N_PROMPT}}, .rule = {.temperature = 0.8f, .top_p = 1.0f, .max_new = 6, .stop = ""}};
    assert_int_equal(generator_submit(infer->generator, &call), OK);
    while (!generator_is_idle(infer->generator))
        assert_int_equal(generator_step(infer->generator), OK);
}

static void open_generate_and_close(int tensor, struct device *device)
{
    static struct infer infer;
    struct config config;
    struct mesh *mesh;
    struct end_tokens ends = {0};
    struct infer_source source = {.model = scratch_path(&scratch, models[0].name), .reward_token = BYTE_END_OF_TEXT, .end_of_turn = BYTE_TURN_END, .ends = &ends, .tokenizer = tokenizer};
    tiny_config(&config, source.model, 96);
    config.device.dtype = BF16;
    config.generate.batch_tokens = 64;
    config.generate.kv_memory_mb = 1;
    assert_int_equal(mesh_create(world, 0, tensor, false, &mesh), OK);
    assert_int_equal(mesh_connect(mesh, device), OK);
    assert_int_equal(infer_open(&config, &source, mesh, device, &infer), OK);
    generate(&infer);
    expect_nothing_later(device);
    infer_close(&infer);
    mesh_destroy(&mesh);
}

static void no_pass_makes_nccl_take_memory(void **state)
{
    (void)state;
    for (int tensor = 2; tensor <= world->size; tensor *= 2)
        for (int in_order = 0; in_order < 2; in_order++) {
            struct device *device = open_device(in_order);
            open_generate_and_close(tensor, device);
            close_device(&device);
        }
}

static int prepare(void **state)
{
    (void)state;
    if (world->rank == 0)
        scratch_make(&scratch);
    for (int i = 0; i < N_MODELS && world->rank == 0; i++) {
        tiny_model_write(scratch_path(&scratch, models[i].name), "llama", models[i].kv_heads, false);
        tiny_dsub_write(scratch_path(&scratch, models[i].name), N_PAIRS, 7);
    }
    if (broadcast(world, &scratch, sizeof scratch, COMM_U8, 0, NULL) != OK)
        return 1;
    return tokenizer_open(scratch_path(&scratch, models[0].name), &tokenizer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_step_makes_nccl_take_memory),
        cmocka_unit_test(no_pass_makes_nccl_take_memory),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK)
        return 1;
    int failed = cmocka_run_group_tests_name("cuda_memory", tests, prepare, NULL);
    if (failed > 0)
        comm_mpi_abort(world, 1);
    tokenizer_close(&tokenizer);
    if (world->rank == 0)
        scratch_remove(&scratch);
    comm_mpi_stop(&world);
    return failed;
}
