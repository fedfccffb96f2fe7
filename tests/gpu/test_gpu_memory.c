/* The GPU's memory is what the plan says: the sum printed at start, the allocations that are counted, and what the driver says is gone are the same within 2 %, before and after
 * steps. A run of the same model with short pairs warms up: kernels are loaded when they are first started, and that memory is not the run's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "tests/gpu/gpu_test.h"
#include "tests/tools/bench.h"
#include "tests/tools/gpu_memory.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"

enum { UPDATES = 2 };

static struct comm *self;
static struct device *device;
static struct scratch scratch;

/* 2 layers of an 8B model, or a table of embeddings with next to nothing behind it. */
static const struct model_shape large = {.model_type = "llama", .layers = 2, .heads = 32, .kv_heads = 8, .head_dim = 128, .hidden = 4096, .ffn = 14336, .vocab = 16000,
                                         .max_position = 4096};
static const struct model_shape small = {.model_type = "llama", .layers = 1, .heads = 2, .kv_heads = 1, .head_dim = 16, .hidden = 32, .ffn = 48, .vocab = 15000,
                                         .max_position = 4096, .tied = true};
static const struct pairs_shape large_pairs = {.n_pairs = 8, .seed = 5, .vocab = 16000, .prompt = {400, 400}, .response = {400, 400}, .critique = {160, 160}, .n_critiques = {4, 4}};
static const struct pairs_shape small_pairs = {.n_pairs = 8, .seed = 5, .vocab = 15000, .prompt = {20, 40}, .response = {10, 20}, .critique = {3, 5}, .n_critiques = {2, 2}};

static size_t free_bytes(void)
{
    size_t n_bytes;
    if (gpu_memory_free(&n_bytes) != OK)
        fail_msg("%s", trace_sentence());
    return n_bytes;
}

static void open_run(struct tiny_run *run, const char *name, enum recompute recompute)
{
    struct config config;
    tiny_config(&config, scratch_path(&scratch, name), 8192);
    config.data.max_path_tokens = 1024;
    config.device.dtype = BF16;
    config.device.recompute = (int)recompute;
    tiny_run_make(run, &config, self, device);
}

static void take_steps(struct tiny_run *run)
{
    struct step_batch batch;
    struct step_result result;
    for (int i = 0; i < UPDATES; i++) {
        tiny_run_batch(run, i, &batch);
        if (train_step(run->trainer, &batch, NULL, &result) != OK)
            fail_msg("step %d: %s", i, trace_sentence());
        step_batch_free(&batch);
    }
}

static size_t planned_bytes(const struct tiny_run *run)
{
    struct plan_capacity most;
    struct trainer_bytes bytes;
    assert_int_equal(plan_capacity(run->plan, &most), OK);
    struct trainer_capacity capacity = {most.rows, most.predictions, most.rewards, most.comparisons, run->config.data.max_path_tokens};
    trainer_count(&run->config, &run->trainer->model, run->trainer->table, 1, 1, &capacity, &bytes);
    return trainer_bytes_sum(&bytes);
}

static void assert_near(const char *what, size_t bytes, size_t planned)
{
    if (fabs((double)bytes - (double)planned) > 0.02 * (double)planned)
        fail_msg("%s: %zu bytes, planned are %zu", what, bytes, planned);
}

static void compare(enum recompute recompute)
{
    struct tiny_run run;
    open_run(&run, "warm", recompute);
    take_steps(&run);
    tiny_run_close(&run);
    size_t before = free_bytes(), counted = device->bytes_in_use;
    open_run(&run, "model", recompute);
    size_t planned = planned_bytes(&run);
    assert_near("counted, opened", device->bytes_in_use - counted, planned);
    assert_near("gone, opened", before - free_bytes(), planned);
    take_steps(&run);
    assert_near("counted, after steps", device->bytes_in_use - counted, planned);
    size_t gone = before - free_bytes();
    measure((double)gone / (double)planned, "ratio", "memory gone over planned, recompute %s", recompute == RECOMPUTE_NONE ? "none" : "layer");
    assert_near("gone, after steps", gone, planned);
    tiny_run_close(&run);
    assert_int_equal(device->bytes_in_use, counted);
}

static void memory_is_what_the_plan_says(void **state)
{
    (void)state;
    compare(RECOMPUTE_NONE);
    compare(RECOMPUTE_LAYER);
}

static int prepare(void **state)
{
    (void)state;
    const struct model_shape *shape = gpu_test_is_small() ? &small : &large;
    scratch_make(&scratch);
    model_shape_write(scratch_path(&scratch, "warm"), shape);
    tiny_dsub_write(scratch_path(&scratch, "warm"), 8, 7);
    model_shape_write(scratch_path(&scratch, "model"), shape);
    pairs_shape_write(scratch_path(&scratch, "model"), gpu_test_is_small() ? &small_pairs : &large_pairs);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory_is_what_the_plan_says)};
    if (device_cuda_create(&(struct device_options){0}, &device) != OK)
        return gpu_test_skipped();
    if (comm_self_create(&self) != OK)
        return 1;
    int failed = cmocka_run_group_tests_name("gpu_memory", tests, prepare, clean);
    device_destroy(&device);
    comm_destroy(&self);
    return failed;
}
