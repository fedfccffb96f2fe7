// ranks: 2 4
/* NCCL: 2 and 4 ranks (tensor 2, data 2, 2 x 2) agree with one rank, which every rank computes for itself. Where ranks are more than GPUs they share them (gpu_test.h).
 *
 *   float32   gradients 1e-5 for every tensor, losses 1e-5; of steps with updates losses 1e-4, norms 1e-3
 *   bf16      the error against one rank in float32: at most twice one rank's in bf16 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "tests/gpu/gpu_test.h"
#include "tests/tools/bench.h"
#include "tests/tools/gradients.h"
#include "tests/tools/scratch.h"

enum { N_PAIRS = 8, STEP = 0, MOST_UPDATES = 3 };

static struct comm *world, *self;
static struct device *device;
static struct scratch scratch;

static const struct model_shape shape = {.model_type = "llama", .layers = 4, .heads = 8, .kv_heads = 4, .head_dim = 64, .hidden = 512, .ffn = 1024, .vocab = 2001, .max_position = 512};
static const struct model_shape small = {.model_type = "llama", .layers = 1, .heads = 8, .kv_heads = 4, .head_dim = 8, .hidden = 32, .ffn = 48, .vocab = 259, .max_position = 512};

static void make_config(struct config *config, int data, int tensor, enum dtype dtype)
{
    tiny_config(config, scratch_path(&scratch, "model"), 96);
    config->mesh.data = data;
    config->mesh.tensor = tensor;
    config->device.dtype = (int)dtype;
    config->objective.mode = MODE_JOINT;
    config->objective.lambda = 0.5;
}

static void open_one(struct tiny_run *run, enum dtype dtype)
{
    struct config config;
    make_config(&config, 1, 1, dtype);
    tiny_run_open(run, &config, self, device);
}

static void open_mesh(struct tiny_run *run, int tensor, enum dtype dtype)
{
    struct config config;
    make_config(&config, world->size / tensor, tensor, dtype);
    tiny_run_open(run, &config, world, device);
}

/* ---- gradients ------------------------------------------------------------------------------------------------------------------------------- */

static void compare_exact(struct tiny_run *run, struct tiny_run *one, const struct gradients *want, int tensor)
{
    struct gradients got;
    double worst = 0.0;
    int which = 0;
    gradients_of(run, STEP, &got);
    if (!(relative_gap(got.sums.critique, want->sums.critique) <= 1e-5) || !(relative_gap(got.sums.reward, want->sums.reward) <= 1e-5))
        fail_msg("tensor %d of %d ranks: losses %.9g %.9g, of one rank %.9g %.9g", tensor, world->size, got.sums.critique, got.sums.reward, want->sums.critique, want->sums.reward);
    for (int i = 0; i < run->trainer->table->n; i++) {
        double error = gradients_gap(run, &got, i, one, want).relative;
        if (error > worst || isnan(error))
            worst = error, which = i;
    }
    if (world->rank == 0)
        measure(worst, "ratio", "gradients in float32, %d data x %d tensor: largest difference from one rank's", world->size / tensor, tensor);
    if (!(worst <= 1e-5))
        fail_msg("tensor %d of %d ranks: the gradient of %s differs by %.3g", tensor, world->size, run->trainer->table->params[which].name, worst);
    gradients_free(&got);
}

static void compare_bf16(struct tiny_run *run, struct tiny_run *rounded, struct tiny_run *one, const struct gradients *want, int tensor)
{
    struct gradients got, base;
    gradients_of(run, STEP, &got);
    gradients_of(rounded, STEP, &base);
    for (int i = 0; i < run->trainer->table->n; i++) {
        double error = gradients_gap(run, &got, i, one, want).relative, limit = 2.0 * gradients_gap(rounded, &base, i, one, want).relative;
        if (!(error <= limit))
            fail_msg("tensor %d of %d ranks: the bf16 gradient of %s is off by %.3g, one rank's by %.3g", tensor, world->size, run->trainer->table->params[i].name, error, limit / 2.0);
    }
    gradients_free(&got);
    gradients_free(&base);
}

static void gradients_on_every_mesh_are_those_of_one_rank(void **state)
{
    (void)state;
    struct tiny_run one, rounded, run;
    struct gradients want;
    open_one(&one, F32);
    open_one(&rounded, BF16);
    gradients_of(&one, STEP, &want);
    for (int tensor = 1; tensor <= 2; tensor++)
        for (int dtype = F32; dtype <= BF16; dtype++) {
            open_mesh(&run, tensor, (enum dtype)dtype);
            if (dtype == F32)
                compare_exact(&run, &one, &want, tensor);
            else
                compare_bf16(&run, &rounded, &one, &want, tensor);
            tiny_run_close(&run);
        }
    gradients_free(&want);
    tiny_run_close(&rounded);
    tiny_run_close(&one);
}

/* ---- updates --------------------------------------------------------------------------------------------------------------------------------- */

static int n_updates(void) { return gpu_test_is_small() ? 1 : MOST_UPDATES; }

static void steps_of(struct tiny_run *run, struct step_result *result)
{
    struct step_batch batch;
    for (int i = 0; i < n_updates(); i++) {
        tiny_run_batch(run, i, &batch);
        if (train_step(run->trainer, &batch, NULL, &result[i]) != OK)
            fail_msg("step %d: %s", i, trace_sentence());
        step_batch_free(&batch);
    }
    tiny_run_close(run);
}

static void steps_on_every_mesh_are_those_of_one_rank(void **state)
{
    (void)state;
    struct tiny_run run;
    struct step_result want[MOST_UPDATES], got[MOST_UPDATES];
    open_one(&run, F32);
    steps_of(&run, want);
    for (int tensor = 1; tensor <= 2; tensor++) {
        open_mesh(&run, tensor, F32);
        steps_of(&run, got);
        for (int i = 0; i < n_updates(); i++)
            if (!(relative_gap(got[i].loss, want[i].loss) <= 1e-4 && relative_gap(got[i].grad_norm, want[i].grad_norm) <= 1e-3))
                fail_msg("tensor %d of %d ranks, step %d: loss %.9g, of one rank %.9g; norm %.9g and %.9g", tensor, world->size, i, got[i].loss, want[i].loss, got[i].grad_norm,
                         want[i].grad_norm);
    }
}

static int prepare(void **state)
{
    (void)state;
    if (world->rank == 0) {
        scratch_make(&scratch);
        model_shape_write(scratch_path(&scratch, "model"), gpu_test_is_small() ? &small : &shape);
        tiny_dsub_write(scratch_path(&scratch, "model"), gpu_test_is_small() ? 4 : N_PAIRS, 7);
    }
    return broadcast(world, &scratch, sizeof scratch, COMM_U8, 0, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_on_every_mesh_are_those_of_one_rank),
        cmocka_unit_test(steps_on_every_mesh_are_those_of_one_rank),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK || comm_self_create(&self) != OK)
        return 1;
    if (gpu_test_open(world, &device) != OK) {
        int status = gpu_test_skipped();
        comm_mpi_stop(&world);
        return status;
    }
    int failed = cmocka_run_group_tests_name("gpu_ranks", tests, prepare, NULL);
    if (failed > 0 && world->size > 1)
        comm_mpi_abort(world, 1);
    if (world->rank == 0)
        scratch_remove(&scratch);
    device_destroy(&device);
    comm_destroy(&self);
    comm_mpi_stop(&world);
    return failed;
}
