// ranks: 1 2 4
/* Evaluation on held-out pairs: a response's reward is the mean over all of its stored critiques, whatever the pairing; a tie is wrong; perplexity is over all targets. The oracle
 * runs every critique as a path of its own on one rank. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/agree.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"
#include "trainer/ckpt/load.h"
#include "trainer/eval/heldout.h"

enum { N_PAIRS = 11, MAX_TOKENS = 64 };

static struct comm *world, *self;
static struct device *cpu;
static struct scratch scratch;

struct oracle { double difference[N_PAIRS], correct, margin, loss, targets; };

/* Room for any forest of the set: the training plan's is that of the rewards which are compared. */
static void open_run(struct tiny_run *run, const struct config *config, struct comm *comm)
{
    const struct trainer_capacity capacity = {.rows = 512, .predictions = 512, .rewards = 64, .comparisons = 64, .positions = MAX_TOKENS};
    tiny_run_open(run, config, comm, cpu);
    trainer_destroy(&run->trainer);
    assert_int_equal(trainer_create(&run->config, run->mesh, cpu, &capacity, plan_steps_per_epoch(run->plan), &run->trainer), OK);
    assert_int_equal(load_weights(&(struct load_options){.seed = (uint64_t)config->run.seed, .reward_token = -1, .copy_of = -1}, run->trainer->store, NULL), OK);
}

/* The reward of one path; its targets' negative log-likelihood stays in the sums. */
static double reward_of(struct tiny_run *run, struct tokens prompt, struct tokens response, struct tokens critique)
{
    struct forest forest;
    const struct placed_forest *placed;
    const void *hidden_TC;
    const float *reward;
    const struct tree_leaf leaf = {.text = critique, .weight = 1.0f, .reward = true};
    const struct tree tree = {.prompt = prompt, .response = {response}, .n_leaves = {1}, .leaf = {&leaf}};
    assert_int_equal(forest_build(&tree, 1, &run->layout, &forest), OK);
    assert_int_equal(forest_enter(run->trainer->places, &forest, &placed), OK);
    assert_int_equal(backbone_forward(run->trainer->backbone, placed, &hidden_TC), OK);
    assert_int_equal(heads_run(run->trainer->heads, placed, hidden_TC, NULL, 0.0), OK);
    assert_int_equal(forest_leave(run->trainer->places, placed), OK);
    assert_int_equal(heads_rewards(run->trainer->heads, &reward), OK);
    double r = (double)reward[0];
    forest_free(&forest);
    return r;
}

static double mean_reward(struct tiny_run *run, int64_t pair, int side, struct oracle *out)
{
    uint32_t prompt[MAX_TOKENS], response[MAX_TOKENS], critiques[MAX_TOKENS];
    const struct plan_set *lengths = &run->dsub->lengths;
    struct dsub_pair at = run->dsub->pair[pair];
    const struct shard *shard = run->dsub->shard[at.file];
    int64_t first = lengths->first_critique[2 * pair + side], end = lengths->first_critique[2 * pair + side + 1];
    double sum = 0.0;
    assert_int_equal(shard_read_prompt(shard, at.index, prompt), OK);
    assert_int_equal(shard_read_response(shard, at.index, side, response), OK);
    assert_int_equal(shard_read_critiques(shard, at.index, side, critiques), OK);
    const uint32_t *text = critiques;
    for (int64_t i = first; i < end; text += lengths->n_critique[i++]) {
        sum += reward_of(run, (struct tokens){prompt, lengths->n_prompt[pair]}, (struct tokens){response, lengths->n_response[2 * pair + side]},
                         (struct tokens){text, lengths->n_critique[i]});
        out->targets += lengths->n_critique[i];
    }
    return sum / (double)(end - first);
}

static void ask_oracle(const struct config *config, struct oracle *out)
{
    struct tiny_run run;
    struct loss_sums sums;
    *out = (struct oracle){.loss = 0.0};
    open_run(&run, config, self);
    assert_int_equal(heads_reset(run.trainer->heads), OK);
    for (int64_t pair = 0; pair < N_PAIRS; pair++) {
        double d = mean_reward(&run, pair, 0, out) - mean_reward(&run, pair, 1, out);
        out->difference[pair] = d;
        out->correct += d > 0.0;
        out->margin += d / N_PAIRS;
    }
    assert_int_equal(heads_queue_sums(run.trainer->heads), OK);
    assert_int_equal(run.device->ops->synchronize(&run.device->stream), OK);
    sums = heads_sums(run.trainer->heads);
    out->loss = sums.critique / out->targets;
    tiny_run_close(&run);
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-5 * (fabs(b) > 1e-2 ? fabs(b) : 1e-2); }

/* In passes of four pairs, the last of three. */
static void compare(const struct config *config, const struct oracle *want)
{
    struct tiny_run run;
    struct plan *plan;
    struct heldout_result result;
    double difference[N_PAIRS];
    open_run(&run, config, world);
    assert_int_equal(plan_create(&run.view.lengths, &run.options, &plan), OK);
    const struct heldout heldout = {&run.view, plan, run.options, run.layout, 4};
    assert_int_equal(heldout_evaluate(run.trainer, &heldout, true, difference, &result), OK);
    for (int i = 0; i < N_PAIRS; i++)
        if (!near(difference[i], want->difference[i]))
            fail_msg("tensor %d of %d ranks, pairing %d: r+ - r- of pair %d is %.7g, the oracle's %.7g", run.mesh->tensor->size, world->size, config->objective.pairing, i, difference[i],
                     want->difference[i]);
    assert_true(near(result.accuracy, want->correct / N_PAIRS) && near(result.margin, want->margin) && near(log(result.perplexity), want->loss));
    assert_int_equal(result.n_pairs, N_PAIRS);
    assert_int_equal(heldout_evaluate(run.trainer, &heldout, false, NULL, &result), OK);        /* before the head's first update */
    assert_true(isnan(result.accuracy) && isnan(result.margin) && near(log(result.perplexity), want->loss));
    plan_free(&plan);
    tiny_run_close(&run);
}

static void a_response_is_worth_the_mean_over_all_its_critiques_whatever_the_pairing_and_mesh(void **state)
{
    (void)state;
    struct config config;
    struct oracle want;
    if (world->rank == 0) {
        tiny_model_write(scratch.dir, "llama", 2, false);
        tiny_dsub_write(scratch.dir, N_PAIRS, 7);
    }
    assert_int_equal(agree_status(world, OK), OK);
    tiny_config(&config, scratch.dir, 96);
    ask_oracle(&config, &want);
    assert_true(want.correct > 0.0 && want.correct < N_PAIRS);
    for (int tensor = 1; tensor <= world->size; tensor *= 2)
        for (int pairing = PAIRING_ZIP; pairing <= PAIRING_CROSS; pairing++) {
            config.mesh.tensor = tensor;
            config.mesh.micro_batch_tokens = pairing == PAIRING_CROSS ? 200 : 96;
            config.objective.pairing = pairing;
            compare(&config, &want);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_response_is_worth_the_mean_over_all_its_critiques_whatever_the_pairing_and_mesh)};
    if (comm_mpi_start(&argc, &argv, &world) != OK || comm_self_create(&self) != OK || device_cpu_create(&(struct device_options){.n_threads = 1, .isa = "auto"}, &cpu) != OK)
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
    comm_destroy(&self);
    comm_mpi_stop(&world);
    return failed;
}
