/* SmolLM2-135M's shape, weights drawn by the program: gradients of a first step on the GPU and losses of 20 steps are those of the CPU backend on the same machine.
 *
 *   float32   ||g - cpu|| <= 1e-4 ||cpu|| for every tensor (1e-5 for the small model of 2 layers)
 *   bf16      1 - cosine of the angle to the CPU's float32 gradient: at most twice that of the CPU's bf16, for every tensor
 *   losses    of steps with updates at learning rate 1e-3: within a tenth of the decrease
 *
 * CRITIC_RM_GPU_KEEP=FOLDER keeps the weights, the pairs, and each tensor's 1 - cosine there, for tests/gpu/torch_gradients.py, which sets PyTorch's beside them.
 * CRITIC_RM_GPU_TEST=cpu: the CPU backend in the GPU's place, its gradients alone, for that comparison on a machine without a GPU (ci/bench.sh gradients). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "base/safetensors.h"
#include "tests/gpu/gpu_test.h"
#include "tests/tools/bench.h"
#include "tests/tools/gradients.h"
#include "tests/tools/scratch.h"

enum { STEPS = 20, SMALL_STEPS = 3 };

static struct comm *self;
static struct device *cuda, *cpu;
static struct scratch scratch;
static char folder[512];
static float *weights;          /* what every run begins with: drawn once, for drawing takes longer than a step */

static const struct model_shape smollm2 = {.model_type = "llama", .layers = 30, .heads = 9, .kv_heads = 3, .head_dim = 64, .hidden = 576, .ffn = 1536, .vocab = 49152, .max_position = 8192,
                                           .tied = true};
static const struct pairs_shape pairs = {.n_pairs = 4, .seed = 3, .vocab = 49152, .prompt = {20, 40}, .response = {20, 40}, .critique = {10, 20}, .n_critiques = {1, 3}};

static const struct { int mode; const char *name; } modes[] = {{MODE_CRITIQUE_ONLY, "critique-only"}, {MODE_REWARD_ONLY, "reward-only"}, {MODE_JOINT, "joint"}};

static void write_inputs(void)
{
    if (gpu_test_is_small()) {
        tiny_model_write(folder, "llama", 2, true);
        tiny_dsub_write(folder, 4, 7);
    } else {
        model_shape_write(folder, &smollm2);
        pairs_shape_write(folder, &pairs);
    }
}

static void make_config(struct config *config, int mode, enum dtype dtype)
{
    tiny_config(config, folder, 4096);
    config->data.max_path_tokens = 256;
    config->device.dtype = (int)dtype;
    config->objective.mode = mode;
    config->objective.lambda = 0.5;
    config->objective.epochs = gpu_test_is_small() ? SMALL_STEPS : STEPS;
}

static void draw_weights(void)
{
    struct config config;
    struct tiny_run run;
    int64_t n = 0;
    make_config(&config, MODE_JOINT, F32);
    tiny_run_open(&run, &config, self, cpu);
    const struct param_table *t = run.trainer->table;
    for (int i = 0; i < t->n; i++)
        n += t->params[i].n_local;
    weights = malloc((size_t)n * sizeof *weights);
    assert_non_null(weights);
    n = 0;
    for (int i = 0; i < t->n; n += t->params[i++].n_local)
        memcpy(weights + n, store_weight(run.trainer->store, i), (size_t)t->params[i].n_local * sizeof *weights);
    tiny_run_close(&run);
}

static void open_run(struct tiny_run *run, int mode, enum dtype dtype, struct device *device)
{
    struct config config;
    const float *from = weights;
    make_config(&config, mode, dtype);
    tiny_run_make(run, &config, self, device);
    const struct store *store = run->trainer->store;
    for (int i = 0; i < store->table->n; i++) {
        const struct param *p = &store->table->params[i];
        assert_int_equal(device->ops->copy(&device->stream, store->bucket[p->bucket].master + p->offset, from, (size_t)p->n_local * sizeof *from, HOST_TO_DEVICE), OK);
        from += p->n_local;
    }
    assert_int_equal(store_weights_from_masters(run->trainer->store), OK);
}

/* ---- gradients ------------------------------------------------------------------------------------------------------------------------------- */

/* Of a run of its own, each tensor's gap to the oracle. */
static struct gradient_gap *gaps_of(int mode, enum dtype dtype, struct device *device, const struct tiny_run *whole, const struct gradients *oracle)
{
    struct tiny_run run;
    struct gradients g;
    int n = whole->trainer->table->n;
    struct gradient_gap *gap = calloc((size_t)n, sizeof *gap);
    assert_non_null(gap);
    open_run(&run, mode, dtype, device);
    gradients_of(&run, 0, &g);
    if (dtype == F32 && (relative_gap(g.sums.critique, oracle->sums.critique) > 1e-5 || relative_gap(g.sums.reward, oracle->sums.reward) > 1e-5))
        fail_msg("losses %.9g %.9g, on the CPU %.9g %.9g", g.sums.critique, g.sums.reward, oracle->sums.critique, oracle->sums.reward);
    for (int i = 0; i < n; i++)
        gap[i] = gradients_gap(&run, &g, i, whole, oracle);
    gradients_free(&g);
    tiny_run_close(&run);
    return gap;
}

static void keep_gaps(const char *name, const struct param_table *table, const struct gradient_gap *gpu, const struct gradient_gap *host)
{
    char path[1024];
    const char *keep = getenv("CRITIC_RM_GPU_KEEP");
    if (!keep)
        return;
    snprintf(path, sizeof path, "%s/%s.gaps", keep, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < table->n; i++)
        fprintf(file, "%s %.6g %.6g\n", table->params[i].name, gpu[i].cosine, host[i].cosine);
    assert_int_equal(fclose(file), 0);
}

/* NaN where either is. */
static double larger(double a, double b) { return isnan(a) || a >= b ? a : b; }

static void measure_gaps(const char *name, int n, const struct gradient_gap *exact, const struct gradient_gap *gpu, const struct gradient_gap *host)
{
    double worst = 0.0, ratio = 0.0;
    for (int i = 0; i < n; i++) {
        worst = larger(worst, exact[i].relative);
        if (host[i].cosine > 0.0)
            ratio = larger(ratio, gpu[i].cosine / host[i].cosine);
    }
    measure(worst, "ratio", "gradients in float32, %s: largest difference from the CPU's", name);
    measure(ratio, "ratio", "gradients in bf16, %s: largest 1 - cosine over the CPU's", name);
}

static void assert_near(const char *name, const struct param_table *t, const struct gradient_gap *exact, const struct gradient_gap *gpu, const struct gradient_gap *host)
{
    const double limit = gpu_test_is_small() ? 1e-5 : 1e-4;
    for (int i = 0; i < t->n; i++) {
        if (!(exact[i].relative <= limit))
            fail_msg("%s: the float32 gradient of %s differs by %.3g from the CPU's", name, t->params[i].name, exact[i].relative);
        if (!(gpu[i].cosine <= 2.0 * host[i].cosine))
            fail_msg("%s: the bf16 gradient of %s has 1 - cosine %.3g with float32, the CPU's %.3g", name, t->params[i].name, gpu[i].cosine, host[i].cosine);
        if (!(fabs(gpu[i].length - 1.0) <= 0.02 + 2.0 * fabs(host[i].length - 1.0)))
            fail_msg("%s: the bf16 gradient of %s is %.3g times as long as in float32, the CPU's %.3g", name, t->params[i].name, gpu[i].length, host[i].length);
    }
}

static void compare_mode(int mode, const char *name)
{
    struct tiny_run oracle;
    struct gradients want;
    open_run(&oracle, mode, F32, cpu);
    gradients_of(&oracle, 0, &want);
    const struct param_table *t = oracle.trainer->table;
    struct gradient_gap *exact = gaps_of(mode, F32, cuda, &oracle, &want), *gpu = gaps_of(mode, BF16, cuda, &oracle, &want), *host = gaps_of(mode, BF16, cpu, &oracle, &want);
    measure_gaps(name, t->n, exact, gpu, host);
    keep_gaps(name, t, gpu, host);
    assert_near(name, t, exact, gpu, host);
    free(exact), free(gpu), free(host);
    gradients_free(&want);
    tiny_run_close(&oracle);
}

static void gradients_of_the_first_step_are_those_of_the_cpu(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        compare_mode(modes[i].mode, modes[i].name);
}

/* ---- losses ---------------------------------------------------------------------------------------------------------------------------------- */

static void losses_of(enum dtype dtype, struct device *device, int n, double *loss)
{
    struct tiny_run run;
    struct step_batch batch;
    struct step_result result;
    open_run(&run, MODE_JOINT, dtype, device);
    for (int i = 0; i < n; i++) {
        tiny_run_batch(&run, i, &batch);
        if (train_step(run.trainer, &batch, NULL, &result) != OK)
            fail_msg("step %d: %s", i, trace_sentence());
        step_batch_free(&batch);
        loss[i] = result.loss;
    }
    tiny_run_close(&run);
}

static void losses_of_many_steps_are_those_of_the_cpu(void **state)
{
    (void)state;
    int n = gpu_test_is_small() ? SMALL_STEPS : STEPS;
    for (int dtype = F32; dtype <= BF16; dtype++) {
        double want[STEPS], got[STEPS], worst = 0.0;
        losses_of((enum dtype)dtype, cpu, n, want);
        losses_of((enum dtype)dtype, cuda, n, got);
        double decrease = want[0] - want[n - 1];
        assert_true(decrease > 0.0);
        for (int i = 0; i < n; i++)
            worst = fmax(worst, fabs(got[i] - want[i]) / decrease);
        measure(worst, "ratio", "losses of steps in %s: largest difference from the CPU's over the decrease", dtype_name((enum dtype)dtype));
        if (!(worst <= 0.1))
            fail_msg("%s: losses of %d steps differ from the CPU's by up to %.3g of the decrease, from %.6f to %.6f", dtype_name((enum dtype)dtype), n, worst, want[0], want[n - 1]);
    }
}

/* ---- what PyTorch needs ---------------------------------------------------------------------------------------------------------------------- */

static int put_weights(const struct param_table *t, struct st_writer *writer)
{
    const float *from = weights;
    for (int i = 0; i < t->n; i++)
        TRY(st_writer_declare(writer, t->params[i].name, ST_F32, t->params[i].n_dims, t->params[i].shape));
    for (int i = 0; i < t->n; from += t->params[i++].n_local)
        TRY(st_writer_put_f32(writer, from, t->params[i].n_local));
    return OK;
}

static void keep_weights(void)
{
    char path[1024];
    struct model_config model;
    struct param_table *table;
    struct st_writer *writer;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(model_config_read(folder, &model), OK);
    assert_int_equal(params_build(&model, 1, 0, &table), OK);
    assert_int_equal(st_writer_create(path, &writer), OK);
    assert_int_equal(put_weights(table, writer), OK);
    assert_int_equal(st_writer_close(&writer), OK);
    params_free(&table);
}

static int prepare(void **state)
{
    (void)state;
    const char *keep = getenv("CRITIC_RM_GPU_KEEP");
    scratch_make(&scratch);
    snprintf(folder, sizeof folder, "%s", keep ? keep : scratch_path(&scratch, "model"));
    write_inputs();
    draw_weights();
    if (keep)
        keep_weights();
    return 0;
}

static int clean(void **state)
{
    (void)state;
    free(weights);
    scratch_remove(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_the_first_step_are_those_of_the_cpu),
        cmocka_unit_test(losses_of_many_steps_are_those_of_the_cpu),
    };
    bool on_cpu = gpu_test_is("cpu");
    if (!on_cpu && device_cuda_create(&(struct device_options){0}, &cuda) != OK)
        return gpu_test_skipped();
    if (comm_self_create(&self) != OK || device_cpu_create(&(struct device_options){.isa = "auto"}, &cpu) != OK)
        return 1;
    if (on_cpu)
        cuda = cpu;
    int failed = _cmocka_run_group_tests("gpu_train", tests, on_cpu ? 1 : 2, prepare, clean);
    if (!on_cpu)
        device_destroy(&cuda);
    device_destroy(&cpu);
    comm_destroy(&self);
    return failed;
}
