// ranks: 2 4
/* Training through the CUDA code and NCCL: losses and gradients on data x tensor, and losses after updates, are those of the CPU backend on the same mesh, under several orders of
 * the streams' work: two, or as many as CRITIC_RM_EMULATE_SEEDS says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulate.h"
#include "kernels/cuda_module.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"

enum { N_PAIRS = 8, STEP = 1, UPDATES = 2 };

static struct comm *world;
static struct device *cuda, *cpu;
static struct scratch scratch;

/* Losses, and what this rank owns of the gradients; losses and norms of steps with updates. */
struct outcome { struct loss_sums sums; float *grad; int64_t n; double loss[UPDATES], norm[UPDATES]; };

static void take_gradients(struct tiny_run *run, struct outcome *o)
{
    struct device *device = run->device;
    const struct store *store = run->trainer->store;
    for (int i = 0; i < store->n_buckets; i++)
        o->n += store->bucket[i].chunk;
    float *to = o->grad = malloc((size_t)o->n * sizeof *o->grad);
    assert_non_null(to);
    for (int i = 0; i < store->n_buckets; i++) {
        const struct bucket_memory *b = &store->bucket[i];
        assert_int_equal(device->ops->copy(&device->stream, to, b->grad + run->mesh->data->rank * b->chunk, (size_t)b->chunk * sizeof *to, DEVICE_TO_HOST), OK);
        to += b->chunk;
    }
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
}

static struct outcome train(const struct config *config, struct device *device)
{
    struct tiny_run run;
    struct step_batch batch;
    struct step_result result;
    struct outcome o = {0};
    tiny_run_open(&run, config, world, device);
    tiny_run_batch(&run, STEP, &batch);
    assert_int_equal(train_gradients(run.trainer, &batch, &o.sums), OK);
    step_batch_free(&batch);
    take_gradients(&run, &o);
    for (int i = 0; i < UPDATES; i++) {
        tiny_run_batch(&run, i, &batch);
        assert_int_equal(train_step(run.trainer, &batch, NULL, &result), OK);
        step_batch_free(&batch);
        o.loss[i] = result.loss;
        o.norm[i] = result.grad_norm;
    }
    tiny_run_close(&run);
    return o;
}

static void assert_close(const struct outcome *got, const struct outcome *want)
{
    double error = 0.0, norm = 0.0;
    assert_true(fabs(got->sums.critique - want->sums.critique) <= 1e-5 * fabs(want->sums.critique));
    assert_true(fabs(got->sums.reward - want->sums.reward) <= 1e-5 * fabs(want->sums.reward));
    assert_int_equal(got->n, want->n);
    for (int64_t i = 0; i < got->n; i++) {
        error += pow((double)got->grad[i] - (double)want->grad[i], 2.0);
        norm += pow((double)want->grad[i], 2.0);
    }
    if (!(norm > 0.0 && error <= 1e-10 * norm))
        fail_msg("gradients differ by %.3g", sqrt(error / norm));
    for (int i = 0; i < UPDATES; i++)
        if (!(fabs(got->loss[i] - want->loss[i]) <= 1e-4 * fabs(want->loss[i])) || !(fabs(got->norm[i] - want->norm[i]) <= 1e-3 * want->norm[i]))
            fail_msg("step %d: loss %.9g, on the CPU %.9g; norm %.9g, on the CPU %.9g", i, got->loss[i], want->loss[i], got->norm[i], want->norm[i]);
}

static uint64_t last_seed(void)
{
    const char *wanted = getenv("CRITIC_RM_EMULATE_SEEDS");
    long n = wanted ? strtol(wanted, NULL, 10) : 2;
    assert_true(n > 0);
    return (uint64_t)n;
}

static void training_on_every_mesh_is_that_of_the_cpu(void **state)
{
    (void)state;
    struct config config;
    uint64_t last = last_seed();
    tiny_config(&config, scratch_path(&scratch, "tiny"), 96);
    for (int tensor = 1; tensor <= world->size; tensor *= 2) {
        config.mesh.tensor = tensor;
        config.mesh.data = world->size / tensor;
        struct outcome want = train(&config, cpu);
        for (uint64_t seed = 1; seed <= last; seed++) {
            emulate_seed(seed + 100 * (uint64_t)world->rank);
            struct outcome got = train(&config, cuda);
            assert_close(&got, &want);
            free(got.grad);
        }
        free(want.grad);
        if (world->rank == 0)
            printf("seeds 1 to %d of the streams' order, data %d x tensor %d: losses and gradients are the CPU's\n", (int)last, world->size / tensor, tensor);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_on_every_mesh_is_that_of_the_cpu),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK || cuda_module_create(&(struct device_options){.ordinal = world->rank}, &cuda) != OK ||
        device_cpu_create(&(struct device_options){.n_threads = 1, .isa = "auto"}, &cpu) != OK)
        return 1;
    if (world->rank == 0) {
        scratch_make(&scratch);
        tiny_model_write(scratch_path(&scratch, "tiny"), "llama", 2, false);
        tiny_dsub_write(scratch_path(&scratch, "tiny"), N_PAIRS, 7);
    }
    if (broadcast(world, &scratch, sizeof scratch, COMM_U8, 0, NULL) != OK)
        return 1;
    int failed = cmocka_run_group_tests_name("cuda_step", tests, NULL, NULL);
    if (failed > 0 && world->size > 1)
        comm_mpi_abort(world, 1);
    if (world->rank == 0)
        scratch_remove(&scratch);
    device_destroy(&cpu);
    device_destroy(&cuda);
    comm_mpi_stop(&world);
    return failed;
}
