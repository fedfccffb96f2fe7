/* An attention plan goes to the device once: what its number brought is used again by every layer, forward and backward, until another number comes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "emulate.h"
#include "tests/emulate/opened_device.h"
#include "tests/tools/random_forest.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"

/* ---- operations ------------------------------------------------------------------------------------------------------------------------------- */

enum { HEADS = 4, KV_HEADS = 2, DIM = 8, MAX_ROWS = 400, MAX_ELEMS = MAX_ROWS * HEADS * DIM, N_PARTS = 9 };

/* Operands in one allocation, MAX_ELEMS each: q, k, v, do; o, lse, delta; dq and dk, dv side by side behind them. */
static float *operands;
static size_t n_bytes = (size_t)N_PARTS * MAX_ELEMS * sizeof(float);

static void make_operands(void)
{
    struct random random = {5};
    void *memory = NULL;
    float *host = malloc(n_bytes);
    assert_non_null(host);
    random_fill(&random, host, N_PARTS * MAX_ELEMS, 1.0, F32);
    assert_int_equal(device_alloc(device, n_bytes, &memory), OK);
    assert_int_equal(device->ops->copy(&device->stream, memory, host, n_bytes, HOST_TO_DEVICE), OK);
    operands = memory;
    free(host);
}

static void free_operands(void)
{
    void *memory = operands;
    device_free(device, &memory, n_bytes);
}

static float *part(int i) { return operands + (size_t)i * MAX_ELEMS; }

/* Small nodes, but more than a tile of rows. */
static struct random_forest draw_forest(uint64_t seed)
{
    struct random random = {seed};
    struct random_forest forest = random_forest_create(&random, &(struct random_forest_shape){.n_trees = 2, .max_depth = 3, .max_children = 2, .max_count = 25});
    assert_true(forest.n_rows > 0 && forest.n_rows <= MAX_ROWS);
    return forest;
}

static struct attention_args args_of(const struct random_forest *f, uint64_t plan)
{
    return (struct attention_args){.rows = f->n_rows, .key_rows = f->n_rows, .heads = HEADS, .kv_heads = KV_HEADS, .dim = DIM, .scale = 0.3f, .dtype = F32, .q_THD = part(0), .k_SGD = part(1),
        .v_SGD = part(2), .do_THD = part(3), .o_THD = part(4), .lse_HT = part(5), .delta_HT = part(6), .dq_THD = part(7), .dk_SGD = part(8), .dv_SGD = part(8) + MAX_ELEMS / 2,
        .runs = f->runs, .n_runs = f->n_runs, .ranges = f->ranges, .key_runs = f->key_runs, .n_key_runs = f->n_key_runs, .plan = plan};
}

static void attend(const struct random_forest *forest, uint64_t plan)
{
    struct attention_args a = args_of(forest, plan);
    assert_int_equal(device->kernels->attention_forward(&device->stream, &a), OK);
    assert_int_equal(device->kernels->attention_backward(&device->stream, &a), OK);
}

static int64_t uploads_of(const struct random_forest *forest, uint64_t plan)
{
    int64_t before = emulate_n_uploads();
    attend(forest, plan);
    return emulate_n_uploads() - before;
}

static void a_number_that_comes_again_uploads_nothing(void **state)
{
    (void)state;
    struct random_forest forest = draw_forest(1);
    make_operands();
    int64_t first = uploads_of(&forest, device_plan_number(device));
    assert_true(first > 0);
    assert_int_equal(uploads_of(&forest, device->n_plans), 0);
    assert_int_equal(uploads_of(&forest, device->n_plans), 0);
    assert_int_equal(uploads_of(&forest, device_plan_number(device)), first);
    assert_true(uploads_of(&forest, 0) >= first && uploads_of(&forest, 0) >= first);
    assert_int_equal(uploads_of(&forest, device->n_plans), first);
    free_operands();
    random_forest_destroy(&forest);
}

/* o, lse, dq, dk, dv behind the plan's operations. */
enum { N_RESULTS = 5 * MAX_ELEMS };

static void queue_results(float *to)
{
    assert_int_equal(device->ops->copy(&device->stream, to, part(4), (size_t)N_RESULTS * sizeof *to, DEVICE_TO_HOST), OK);
}

static void results_of(const struct random_forest *forest, uint64_t plan, float *to)
{
    attend(forest, plan);
    queue_results(to);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
}

static float *result_memory(void)
{
    float *memory = malloc((size_t)N_RESULTS * sizeof *memory);
    assert_non_null(memory);
    return memory;
}

/* One plan behind the other, nothing waited for: results of the first are kept on the device until all is done. */
static void plans_that_follow_each_other_do_not_meet(void **state)
{
    (void)state;
    enum { SEEDS = 5 };
    struct random_forest forest[2] = {draw_forest(2), draw_forest(3)};
    float *want[2] = {result_memory(), result_memory()}, *got = result_memory();
    void *kept = NULL;
    size_t size = (size_t)N_RESULTS * sizeof(float);
    make_operands();
    assert_int_equal(device_alloc(device, size, &kept), OK);
    results_of(&forest[0], 0, want[0]);
    results_of(&forest[1], 0, want[1]);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        uint64_t first = device_plan_number(device);
        results_of(&forest[0], first, got);
        attend(&forest[0], first);
        assert_int_equal(device->ops->copy(&device->stream, kept, part(4), size, DEVICE_TO_DEVICE), OK);
        results_of(&forest[1], device_plan_number(device), got);
        assert_memory_equal(got, want[1], size);
        assert_int_equal(device->ops->copy(&device->stream, got, kept, size, DEVICE_TO_HOST), OK);
        assert_int_equal(device->ops->synchronize(&device->stream), OK);
        for (int64_t i = 0; i < (int64_t)forest[0].n_rows * HEADS * DIM; i++)
            assert_true(got[i] == want[0][i]);
    }
    device_free(device, &kept, size);
    free_operands();
    free(want[0]), free(want[1]), free(got);
    random_forest_destroy(&forest[0]), random_forest_destroy(&forest[1]);
}

/* ---- a model ---------------------------------------------------------------------------------------------------------------------------------- */

static void write_model(const char *folder, int n_layers)
{
    char path[512], *text = NULL;
    size_t n = 0;
    tiny_model_write(folder, "llama", 2, false);
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(file_read(path, &text, &n), OK);
    char *digit = strstr(text, "\"num_hidden_layers\": 2");
    assert_non_null(digit);
    digit[strlen("\"num_hidden_layers\": ")] = (char)('0' + n_layers);
    assert_int_equal(file_write_atomic(path, text, n), OK);
    free(text);
    tiny_dsub_write(folder, 8, 7);
}

static int64_t uploads_of_step(const char *folder, int n_layers, int recompute)
{
    struct config config;
    struct comm *world = NULL;
    struct tiny_run run;
    const struct step_plan *plan;
    struct step_batch batch;
    struct loss_sums sums = {0};
    write_model(folder, n_layers);
    tiny_config(&config, folder, 256);
    config.device.recompute = recompute;
    assert_int_equal(comm_self_create(&world), OK);
    tiny_run_open(&run, &config, world, device);
    assert_int_equal(run.trainer->model.layers, n_layers);
    assert_int_equal(plan_step(run.plan, 0, &plan), OK);
    assert_int_equal(step_batch_make(&run.view, plan, &run.options, &run.layout, 0, &batch), OK);
    int64_t before = emulate_n_uploads();
    assert_int_equal(train_gradients(run.trainer, &batch, &sums), OK);
    int64_t n = emulate_n_uploads() - before;
    step_batch_free(&batch);
    tiny_run_close(&run);
    comm_destroy(&world);
    return n;
}

static void a_step_s_uploads_do_not_grow_with_its_layers(void **state)
{
    (void)state;
    struct scratch scratch;
    scratch_make(&scratch);
    int64_t two = uploads_of_step(scratch_path(&scratch, "two"), 2, RECOMPUTE_NONE);
    assert_true(two > 0);
    assert_int_equal(uploads_of_step(scratch_path(&scratch, "five"), 5, RECOMPUTE_NONE), two);
    assert_int_equal(uploads_of_step(scratch_path(&scratch, "again"), 5, RECOMPUTE_LAYER), two);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_that_comes_again_uploads_nothing),
        cmocka_unit_test(plans_that_follow_each_other_do_not_meet),
        cmocka_unit_test(a_step_s_uploads_do_not_grow_with_its_layers),
    };
    return cmocka_run_group_tests_name("cuda_plan", tests, open_device, close_device);
}
