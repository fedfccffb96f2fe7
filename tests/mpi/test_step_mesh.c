// ranks: 1 2 4
/* Truth 3: loss and gradients are the same for every mesh, every micro-batch budget, and shared or unshared prefixes. The oracle is one rank with the reference
 * kernels, unshared prefixes and everything in one micro-batch. In bf16 the error against it is at most twice that of one rank's unshared bf16. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/agree.h"
#include "tests/tools/gradients.h"
#include "tests/tools/scratch.h"

enum { N_PAIRS = 11, LONGEST_PATH = 37, SEED_OF_LARGE_TREES = 8 };      /* LONGEST_PATH: 12 tokens of each node (tiny_dsub_write), and the reward token */

/* 3 steps an epoch: the short last one where lambda is 1, and one where both losses count. */
static const int64_t steps[] = {2, 4};

static struct comm *world, *self;
static struct device *ref, *cpu;
static struct scratch scratch;

static void compare_step(struct tiny_run *run, struct tiny_run *oracle, int64_t step, const char *what)
{
    struct gradients want, got;
    gradients_of(oracle, step, &want);
    gradients_of(run, step, &got);
    if (relative_gap(got.sums.critique, want.sums.critique) > 1e-5 || relative_gap(got.sums.reward, want.sums.reward) > 1e-5)
        fail_msg("%s, step %d: losses %.9g %.9g, oracle %.9g %.9g", what, (int)step, got.sums.critique, got.sums.reward, want.sums.critique, want.sums.reward);
    for (int i = 0; i < run->trainer->table->n; i++) {
        double error = gradients_gap(run, &got, i, oracle, &want).relative;
        if (error > 1e-5)
            fail_msg("%s, step %d: gradient of %s differs by %.3g", what, (int)step, run->trainer->table->params[i].name, error);
    }
    gradients_free(&want);
    gradients_free(&got);
}

/* One rank, nothing shared, all in one micro-batch. */
static struct config plain_of(const struct config *config)
{
    struct config plain = *config;
    plain.mesh.tensor = 1;
    plain.mesh.data = 1;
    plain.mesh.micro_batch_tokens = 100000;
    plain.data.share_prefix = false;
    return plain;
}

static void compare(struct config *config, int tensor, int64_t budget, bool share, struct device *device)
{
    char what[256];
    struct tiny_run run, oracle;
    struct config plain = plain_of(config);
    config->mesh.tensor = tensor;
    config->mesh.data = 0;
    config->mesh.micro_batch_tokens = budget;
    config->data.share_prefix = share;
    snprintf(what, sizeof what, "%s tensor %d of %d ranks, budget %d, %s, mode %d pairing %d norm %d", config->backbone.path + strlen(scratch.dir), tensor, world->size, (int)budget,
             share ? "shared" : "unshared", config->objective.mode, config->objective.pairing, config->objective.critique_norm);
    tiny_run_open(&oracle, &plain, self, ref);
    tiny_run_open(&run, config, world, device);
    for (int i = 0; i < 2; i++)
        compare_step(&run, &oracle, steps[i], what);
    tiny_run_close(&run);
    tiny_run_close(&oracle);
}

static void prepare_pairs(const char *name, const char *type, int kv_heads, bool tied, unsigned seed, struct config *config)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/%s", scratch.dir, name);
    int status = OK;
    if (world->rank == 0) {
        tiny_model_write(path, type, kv_heads, tied);
        tiny_dsub_write(path, N_PAIRS, seed);
    }
    assert_int_equal(agree_status(world, status), OK);
    tiny_config(config, path, 96);
}

static void prepare(const char *name, const char *type, int kv_heads, bool tied, struct config *config) { prepare_pairs(name, type, kv_heads, tied, 7, config); }

static void every_mesh(struct config *config, int64_t budget, bool share, struct device *device)
{
    for (int tensor = 1; tensor <= world->size; tensor *= 2)
        compare(config, tensor, budget, share, device);
}

static void loss_and_gradients_are_the_same_on_every_mesh_and_budget(void **state)
{
    (void)state;
    struct config config;
    prepare("llama", "llama", 2, false, &config);
    every_mesh(&config, 96, true, ref);
    every_mesh(&config, 150, true, cpu);
    every_mesh(&config, 96, false, cpu);
    every_mesh(&config, 100000, true, cpu);
}

/* Parts that the pairs of a step make on config's mesh and budget: more than pairs where trees were split. */
static int64_t parts_of(const struct config *config, int64_t step, int64_t *n_pairs)
{
    struct tiny_run run;
    const struct step_plan *plan;
    tiny_run_open(&run, config, world, cpu);
    assert_int_equal(plan_step(run.plan, step, &plan), OK);
    int64_t n_parts = plan->n_parts;
    *n_pairs = plan->n_pairs;
    tiny_run_close(&run);
    return n_parts;
}

static void a_budget_of_two_paths_splits_trees_and_changes_nothing(void **state)
{
    (void)state;
    struct config config;
    int64_t n_pairs;
    prepare_pairs("split", "llama", 2, false, SEED_OF_LARGE_TREES, &config);
    config.data.max_path_tokens = LONGEST_PATH;
    for (int i = 0; i < 3; i++) {
        config.objective.pairing = i == 1 ? PAIRING_SAMPLE : PAIRING_ZIP;
        every_mesh(&config, 2 * LONGEST_PATH, i < 2, cpu);
        assert_true(parts_of(&config, steps[1], &n_pairs) > n_pairs);
    }
}

static void fewer_trees_than_ranks_change_nothing(void **state)
{
    (void)state;
    struct config config;
    int64_t n_pairs;
    prepare("few", "llama", 2, false, &config);
    compare(&config, 1, 100000, true, cpu);
    assert_int_equal(parts_of(&config, steps[0], &n_pairs), 3);     /* whole trees, on as many data ranks as there are */
}

/* bf16 sums in another order: no tensor's gradient and no loss may be further from float32 than twice what one rank's unshared bf16 is. */
struct errors { double critique, reward, *grad; };

static struct errors errors_of(struct tiny_run *run, int64_t step, const struct tiny_run *whole, const struct gradients *want)
{
    struct gradients got;
    int n = whole->trainer->table->n;
    struct errors e = {.grad = calloc((size_t)n, sizeof(double))};
    gradients_of(run, step, &got);
    e.critique = relative_gap(got.sums.critique, want->sums.critique);
    e.reward = relative_gap(got.sums.reward, want->sums.reward);
    for (int i = 0; i < n; i++)
        e.grad[i] = gradients_gap(run, &got, i, whole, want).relative;
    gradients_free(&got);
    return e;
}

static void compare_bf16(struct config *config, int tensor, int64_t budget)
{
    const double rounding = 0x1p-8;     /* of a loss: one number's error can be 0 by luck */
    struct tiny_run run, single, oracle;
    struct gradients want;
    struct config exact = plain_of(config), plain = plain_of(config);
    plain.device.dtype = config->device.dtype = BF16;
    config->mesh.tensor = tensor;
    config->mesh.micro_batch_tokens = budget;
    tiny_run_open(&oracle, &exact, self, ref);
    tiny_run_open(&single, &plain, self, cpu);
    tiny_run_open(&run, config, world, cpu);
    gradients_of(&oracle, steps[1], &want);
    struct errors base = errors_of(&single, steps[1], &oracle, &want), ours = errors_of(&run, steps[1], &oracle, &want);
    assert_true(ours.critique <= 2.0 * base.critique + rounding && ours.reward <= 2.0 * base.reward + rounding);
    for (int i = 0; i < oracle.trainer->table->n; i++)
        if (!(ours.grad[i] <= 2.0 * base.grad[i]))
            fail_msg("tensor %d of %d ranks: the gradient of %s is off by %.3g, on one rank by %.3g", tensor, world->size, oracle.trainer->table->params[i].name, ours.grad[i], base.grad[i]);
    gradients_free(&want);
    free(base.grad);
    free(ours.grad);
    tiny_run_close(&run);
    tiny_run_close(&single);
    tiny_run_close(&oracle);
}

static void bf16_is_off_by_at_most_twice_the_error_of_one_rank(void **state)
{
    (void)state;
    struct config config;
    prepare("bf16", "llama", 2, false, &config);
    for (int tensor = 1; tensor <= world->size; tensor *= 2) {
        config.device.dtype = F32;
        compare_bf16(&config, tensor, 96);
    }
}

/* ---- the update ------------------------------------------------------------------------------------------------------------------------------ */

static float *copy_of(const float *from, int64_t n)
{
    float *to = malloc((size_t)n * sizeof *to + 1);
    memcpy(to, from, (size_t)n * sizeof *to);
    return to;
}

/* AdamW from moments of zero (arXiv 1711.05101) of the owned elements of one bucket; update counts from 1. */
static void compare_update(const struct bucket_memory *b, const float *before, const float *grad, double scale, double lr, const struct config *c, double update)
{
    const double b1 = c->optimizer.beta1, b2 = c->optimizer.beta2;
    for (int64_t i = 0; i < b->owned.count; i++) {
        double g = scale * (double)grad[i], m = (1.0 - b1) * g / (1.0 - pow(b1, update)), v = (1.0 - b2) * g * g / (1.0 - pow(b2, update));
        double want = lr * m / (sqrt(v) + c->optimizer.eps), moved = (double)before[i] - (double)b->master[i];
        if (fabs(moved - want) > 1e-4 * lr)     /* the masters are about 1: 1e-7 is their rounding */
            fail_msg("element %d moved by %.9g, AdamW says %.9g", (int)i, moved, want);
    }
}

/* eps is large beside the gradients, so that clipping shows. Step 4 is the backbone's fifth update and the head's first. */
static void a_step_is_adamw_of_the_clipped_gradient_with_the_rate_and_count_of_each_group(void **state)
{
    (void)state;
    struct config config;
    struct tiny_run run;
    struct step_batch batch;
    struct step_result result;
    struct loss_sums sums;
    double squared = 0.0;
    float *before[16], *grad[16];
    prepare("update", "llama", 2, false, &config);
    config.optimizer.lr = 0.01;
    config.optimizer.reward_lr = 0.02;
    config.optimizer.warmup = config.optimizer.reward_warmup = 0.0;
    config.optimizer.eps = 0.1;
    config.optimizer.clip = 0.5;
    tiny_run_open(&run, &config, world, cpu);
    const struct store *store = run.trainer->store;
    tiny_run_batch(&run, steps[1], &batch);
    assert_int_equal(train_gradients(run.trainer, &batch, &sums), OK);
    for (int i = 0; i < store->n_buckets; i++) {
        const struct bucket_memory *b = &store->bucket[i];
        grad[i] = copy_of(b->grad + run.mesh->data->rank * b->chunk, b->owned.count);
        before[i] = copy_of(b->master, b->owned.count);
        for (int64_t k = 0; k < b->owned.count; k++)
            squared += (double)grad[i][k] * (double)grad[i][k];
    }
    assert_int_equal(all_reduce(world, &squared, 1, COMM_F64, COMM_SUM, NULL), OK);
    assert_true(sqrt(squared) > 2.0 * config.optimizer.clip);
    assert_int_equal(train_step(run.trainer, &batch, NULL, &result), OK);
    assert_true(fabs(result.grad_norm - sqrt(squared)) <= 1e-6 * sqrt(squared));
    for (int i = 0; i < store->n_buckets; i++) {
        bool head = i == store->n_buckets - 1;
        compare_update(&store->bucket[i], before[i], grad[i], config.optimizer.clip / sqrt(squared), head ? 0.02 : 0.01, &config, head ? 1.0 : 5.0);
        free(before[i]);
        free(grad[i]);
    }
    assert_int_equal(run.trainer->reward_updates, 1);
    step_batch_free(&batch);
    tiny_run_close(&run);
}

/* What a step that fails must leave alone. */
static void assert_masters_are(const struct store *store, float *const *before)
{
    for (int i = 0; i < store->n_buckets; i++)
        assert_memory_equal(store->bucket[i].master, before[i], (size_t)store->bucket[i].owned.count * sizeof(float));
}

static void what_is_not_finite_is_named_on_all_ranks_before_any_update(void **state)
{
    (void)state;
    struct config config;
    struct tiny_run run;
    struct step_batch batch;
    struct step_result result;
    struct loss_sums sums;
    double norm;
    float *before[16];
    prepare("infinite", "llama", 2, false, &config);
    tiny_run_open(&run, &config, world, cpu);
    struct store *store = run.trainer->store;
    const struct param_table *table = run.trainer->table;
    int param = params_find(table, "model.layers.1.mlp.down_proj.weight");
    const struct bucket_memory *b = &store->bucket[table->params[param].bucket];
    tiny_run_batch(&run, steps[1], &batch);
    assert_int_equal(train_gradients(run.trainer, &batch, &sums), OK);
    if (world->rank == world->size - 1)         /* its own chunk of the last data rank */
        b->grad[run.mesh->data->rank * b->chunk + b->owned.count - 1] = INFINITY;
    assert_int_equal(optimizer_queue_norms(run.trainer->optimizer), OK);
    assert_int_equal(optimizer_norm(run.trainer->optimizer, steps[1], &norm), FAILED);
    assert_non_null(strstr(trace_sentence(), "step 4: the gradient of model.layers.1."));
    trace_clear();
    for (int i = 0; i < store->n_buckets; i++)
        before[i] = copy_of(store->bucket[i].master, store->bucket[i].owned.count);
    ((float *)store_weight(store, params_find(table, "model.layers.0.input_layernorm.weight")))[0] = NAN;       /* a replicated one: on every rank */
    before[1][0] = store->bucket[1].master[0];
    assert_int_equal(train_step(run.trainer, &batch, NULL, &result), FAILED);
    assert_non_null(strstr(trace_sentence(), "step 4: the loss is not finite; nothing was updated"));
    trace_clear();
    assert_masters_are(store, before);
    for (int i = 0; i < store->n_buckets; i++)
        free(before[i]);
    step_batch_free(&batch);
    tiny_run_close(&run);
}

/* Every tensor rank computes rewards for itself. */
static void a_loss_that_is_not_finite_on_one_tensor_rank_fails_on_all(void **state)
{
    (void)state;
    struct config config;
    struct tiny_run run;
    struct step_batch batch;
    struct step_result result;
    prepare("one_rank", "llama", 4, false, &config);
    config.mesh.tensor = world->size;
    tiny_run_open(&run, &config, world, cpu);
    struct store *store = run.trainer->store;
    if (world->rank == world->size - 1)
        ((float *)store_weight(store, params_find(run.trainer->table, "score.weight")))[0] = NAN;
    tiny_run_batch(&run, steps[1], &batch);
    assert_int_equal(train_step(run.trainer, &batch, NULL, &result), FAILED);
    assert_non_null(strstr(trace_sentence(), "step 4: the loss is not finite; nothing was updated"));
    trace_clear();
    step_batch_free(&batch);
    tiny_run_close(&run);
}

static void biases_head_norms_and_tied_embeddings_are_the_same_on_every_mesh(void **state)
{
    (void)state;
    struct config config;
    prepare("qwen2", "qwen2", 2, true, &config);
    every_mesh(&config, 96, true, cpu);
    prepare("qwen3", "qwen3", 4, true, &config);
    every_mesh(&config, 96, true, cpu);
}

static void every_mode_pairing_and_norm_is_the_same_on_every_mesh(void **state)
{
    (void)state;
    struct config config;
    prepare("modes", "llama", 2, true, &config);
    for (int mode = MODE_CRITIC_RM; mode <= MODE_JOINT; mode++)
        for (int pairing = PAIRING_ZIP; pairing <= PAIRING_CROSS; pairing++) {
            config.objective.mode = mode;
            config.objective.pairing = pairing;
            config.objective.critique_norm = (mode + pairing) % 2;
            config.objective.lambda = pairing == PAIRING_ZIP ? 0.0 : 0.3;
            every_mesh(&config, pairing == PAIRING_CROSS ? 120 : 96, true, cpu);
        }
}

static void recompute_changes_no_bit(void **state)
{
    (void)state;
    struct config config;
    struct loss_sums sums[2];
    struct tiny_run run[2];
    struct step_batch batch;
    prepare("recompute", "qwen3", 2, false, &config);
    for (int i = 0; i < 2; i++) {
        config.device.recompute = i;
        tiny_run_open(&run[i], &config, world, cpu);
        tiny_run_batch(&run[i], 4, &batch);
        assert_int_equal(train_gradients(run[i].trainer, &batch, &sums[i]), OK);
        step_batch_free(&batch);
    }
    assert_memory_equal(&sums[0], &sums[1], sizeof sums[0]);
    for (int i = 0; i < run[0].trainer->store->n_buckets; i++) {
        const struct bucket_memory *a = &run[0].trainer->store->bucket[i], *b = &run[1].trainer->store->bucket[i];
        int64_t at = run[0].mesh->data->rank * a->chunk;
        assert_memory_equal(a->grad + at, b->grad + at, (size_t)a->chunk * sizeof(float));
    }
    tiny_run_close(&run[0]);
    tiny_run_close(&run[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradients_are_the_same_on_every_mesh_and_budget),
        cmocka_unit_test(a_budget_of_two_paths_splits_trees_and_changes_nothing),
        cmocka_unit_test(fewer_trees_than_ranks_change_nothing),
        cmocka_unit_test(bf16_is_off_by_at_most_twice_the_error_of_one_rank),
        cmocka_unit_test(a_step_is_adamw_of_the_clipped_gradient_with_the_rate_and_count_of_each_group),
        cmocka_unit_test(what_is_not_finite_is_named_on_all_ranks_before_any_update),
        cmocka_unit_test(a_loss_that_is_not_finite_on_one_tensor_rank_fails_on_all),
        cmocka_unit_test(biases_head_norms_and_tied_embeddings_are_the_same_on_every_mesh),
        cmocka_unit_test(every_mode_pairing_and_norm_is_the_same_on_every_mesh),
        cmocka_unit_test(recompute_changes_no_bit),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK || comm_self_create(&self) != OK || device_ref_create(&ref) != OK)
        return 1;
    if (device_cpu_create(&(struct device_options){.n_threads = world->size == 1 ? 2 : 1, .isa = "auto"}, &cpu) != OK)
        return 1;
    if (world->rank == 0)
        scratch_make(&scratch);
    if (broadcast(world, &scratch, sizeof scratch, COMM_U8, 0, NULL) != OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed > 0 && world->size > 1)
        comm_mpi_abort(world, 1);
    if (world->rank == 0)
        scratch_remove(&scratch);
    device_destroy(&cpu);
    device_destroy(&ref);
    comm_destroy(&self);
    comm_mpi_stop(&world);
    return failed;
}
