// ranks: 1 2
/* Truth 2: logits, losses and the gradient of every parameter equal those of transformers on the same weights: Llama 3 with its rope scaling, Qwen2, Qwen3, Mistral; each mode, pairing
 * and normaliser; shared and unshared prefixes; one rank, and tensor and data parallel. Golden files: make_model.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/safetensors.h"
#include "comm/agree.h"
#include "tests/tools/forward_once.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"

#define FOLDER TEST_SOURCE_DIR "/tests/golden/model"
#define TOLERANCE 1e-4
enum { MAX_TOKENS = 64, MAX_CRITIQUES = 4, BETA_PERCENT = 60 };

static const char *const norms[] = {"critique_token", "critique_sequence"}, *const pairings[] = {"reward_zip", "reward_sample", "reward_cross"};

static struct comm *world;
static struct device *cpu;
static struct scratch scratch;
static json_t *cases;

static void must(int status)
{
    if (status != OK)
        fail_msg("%s (%s)", trace_sentence(), trace_place());
}

/* ---- the pairs as a D_sub -------------------------------------------------------------------------------------------------------------------- */

static struct tokens tokens_of(json_t *list, uint32_t *out)
{
    size_t i;
    json_t *value;
    assert_in_range(json_array_size(list), 1, MAX_TOKENS);
    json_array_foreach(list, i, value)
        out[i] = (uint32_t)json_integer_value(value);
    return (struct tokens){out, (int32_t)json_array_size(list)};
}

static void put_pair(struct dsub_writer *writer, json_t *pair)
{
    uint32_t prompt[MAX_TOKENS], response[2][MAX_TOKENS], text[2][MAX_CRITIQUES][MAX_TOKENS];
    struct shard_critique critique[2][MAX_CRITIQUES];
    struct shard_record r = {.id = "", .subset = "", .source = (uint64_t)json_integer_value(json_object_get(pair, "source")), .prompt = tokens_of(json_object_get(pair, "prompt"), prompt)};
    for (size_t side = 0; side < 2; side++) {
        size_t i;
        json_t *from = json_array_get(json_object_get(pair, "sides"), side), *z;
        r.response[side] = tokens_of(json_object_get(from, "response"), response[side]);
        json_array_foreach(json_object_get(from, "critiques"), i, z)
            critique[side][i] = (struct shard_critique){tokens_of(z, text[side][i]), NAN, NAN};
        r.n_critiques[side] = (int32_t)i;
        r.critique[side] = critique[side];
    }
    must(dsub_writer_put(writer, &r));
}

static void write_set(const char *folder)
{
    size_t i;
    json_t *pair;
    struct dsub_writer *writer;
    struct shard_meta meta = {.tokenizer = "0123456789abcdef", .template = "0123456789abcdef", .model = "golden"};
    meta.n_lead_in = tokens_of(json_object_get(cases, "lead_in"), meta.lead_in).n;
    must(dsub_writer_create(folder, &meta, 3, &writer));
    json_array_foreach(json_object_get(cases, "pairs"), i, pair)
        put_pair(writer, pair);
    must(dsub_writer_finish(&writer));
}

/* ---- one case -------------------------------------------------------------------------------------------------------------------------------- */

/* L = lambda * the loss named by critique + (1 - lambda) * the loss named by reward; NULL: that part is not computed. */
struct wanted { const char *model, *critique, *reward; double lambda; char what[160]; struct safetensors *golden; };

static double loss_of(const struct wanted *w, const char *loss)
{
    return loss ? json_number_value(json_object_get(json_object_get(json_object_get(cases, "losses"), w->model), loss)) : 0.0;
}

static const struct st_tensor *golden_tensor(const struct wanted *w, const char *loss, const char *name)
{
    char key[ST_MAX_NAME];
    snprintf(key, sizeof key, "%s/%s", loss, name);
    const struct st_tensor *t = safetensors_find(w->golden, key);
    if (!t)
        fail_msg("%s: the golden file has no %s", w->model, key);
    return t;
}

/* [n] of the global tensor, to be freed. */
static double *golden_gradient(const struct wanted *w, const struct param *p)
{
    int64_t n = p->shape[0] * p->shape[1];
    const char *const loss[] = {w->critique, w->reward};
    const double factor[] = {w->lambda, 1.0 - w->lambda};
    double *out = calloc((size_t)n, sizeof *out);
    float *part = malloc((size_t)n * sizeof *part);
    for (int i = 0; i < 2; i++) {
        if (!loss[i])
            continue;
        const struct st_tensor *t = golden_tensor(w, loss[i], p->name);
        assert_int_equal(t->n_elems, n);
        st_read_f32(t, 0, n, part);
        for (int64_t k = 0; k < n; k++)
            out[k] += factor[i] * (double)part[k];
    }
    free(part);
    return out;
}

/* Over the owned parts of all ranks: every element of the global tensor is seen, copies on the tensor axis more than once on both sides of the quotient. */
static void compare_gradient(struct tiny_run *run, const struct wanted *w, int i)
{
    const struct param *p = &run->trainer->table->params[i];
    const struct bucket_memory *b = &run->trainer->store->bucket[p->bucket];
    const float *grad = store_grad(run->trainer->store, i);
    double *want = golden_gradient(w, p), sums[3] = {0.0, 0.0, 0.0};
    for (int64_t k = 0; k < p->n_local; k++) {
        if (p->offset + k < b->owned.first || p->offset + k >= b->owned.first + b->owned.count)
            continue;
        double theirs = want[(k / p->local_shape[1] + p->box_offset[0]) * p->shape[1] + k % p->local_shape[1] + p->box_offset[1]], error = (double)grad[k] - theirs;
        sums[0] += error * error;
        sums[1] += theirs * theirs;
        sums[2] += 1.0;
    }
    free(want);
    must(all_reduce(run->mesh->world, sums, 3, COMM_F64, COMM_SUM, NULL));
    assert_true(sums[2] >= (double)(p->shape[0] * p->shape[1]));
    if (!(sqrt(sums[0]) <= TOLERANCE * sqrt(sums[1])))
        fail_msg("%s: the gradient of %s differs by %.3g of its norm %.3g", w->what, p->name, sqrt(sums[0] / sums[1]), sqrt(sums[1]));
}

static void compare_loss(const struct wanted *w, const char *loss, double ours)
{
    double theirs = loss_of(w, loss);
    if (loss && !(theirs > 0.0 && fabs(ours - theirs) <= TOLERANCE * theirs))
        fail_msg("%s: %s is %.8g, theirs %.8g", w->what, loss, ours, theirs);
}

static void open_run(struct tiny_run *run, const struct config *config)
{
    tiny_run_open(run, config, world, cpu);
    run->layout.reward_token = (uint32_t)json_integer_value(json_object_get(cases, "reward_token"));
}

static void compare_step(struct tiny_run *run, const struct wanted *w)
{
    const struct step_plan *plan;
    struct step_batch batch;
    struct loss_sums sums;
    must(plan_step(run->plan, 0, &plan));
    must(step_batch_make(&run->view, plan, &run->options, &run->layout, run->mesh->data->rank, &batch));
    must(train_gradients(run->trainer, &batch, &sums));
    compare_loss(w, w->critique, sums.critique);
    compare_loss(w, w->reward, sums.reward);
    for (int i = 0; i < run->trainer->table->n; i++)
        compare_gradient(run, w, i);
    step_batch_free(&batch);
}

static void model_config_for(const char *model, struct config *config)
{
    char folder[1024];
    snprintf(folder, sizeof folder, FOLDER "/%s", model);
    tiny_config(config, folder, 100);
    config->backbone.init = BACKBONE_PRETRAINED;
    snprintf(config->data.train, sizeof config->data.train, "%s/dsub", scratch.dir);
    config->objective.pairs_per_step = (int64_t)json_array_size(json_object_get(cases, "pairs"));
    config->objective.epochs = 1;
    config->objective.ramp_inclusive = true;        /* T = 1: lambda of the one step is 1 - beta */
    config->objective.beta = 0.01 * BETA_PERCENT;
}

/* On every mesh of the world's ranks, shared and not, whole and in micro-batches. */
static void compare_case(struct wanted *w, struct config *config)
{
    for (int tensor = 1; tensor <= world->size; tensor++)
        for (int share = 0; share < 2; share++) {
            struct tiny_run run;
            config->mesh.tensor = tensor;
            config->mesh.data = world->size / tensor;
            config->data.share_prefix = share;
            config->mesh.micro_batch_tokens = share ? 250 : 100000;
            snprintf(w->what, sizeof w->what, "%s, mode %d, %s, %s, %s, data %d x tensor %d", w->model, config->objective.mode, w->critique ? w->critique : "-", w->reward ? w->reward : "-",
                     share ? "shared" : "unshared", world->size / tensor, tensor);
            open_run(&run, config);
            compare_step(&run, w);
            tiny_run_close(&run);
        }
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------------------- */

static void compare_mode(struct wanted *w, int mode, int pairing, int norm)
{
    struct config config;
    model_config_for(w->model, &config);
    config.objective.mode = mode;
    config.objective.pairing = pairing;
    config.objective.critique_norm = norm;
    config.objective.lambda = 0.3;
    w->critique = mode == MODE_REWARD_ONLY ? NULL : norms[norm];
    w->reward = mode == MODE_CRITIQUE_ONLY ? NULL : mode == MODE_REWARD_ONLY ? "reward_only" : pairings[pairing];
    w->lambda = mode == MODE_CRITIC_RM ? 1.0 - config.objective.beta : mode == MODE_JOINT ? 0.3 : mode == MODE_CRITIQUE_ONLY ? 1.0 : 0.0;
    compare_case(w, &config);
}

static void open_wanted(const char *model, struct wanted *w)
{
    char path[1024];
    *w = (struct wanted){.model = model};
    snprintf(path, sizeof path, FOLDER "/%s/golden.safetensors", model);
    must(safetensors_open_file(path, &w->golden));
}

static void losses_and_every_gradient_equal_those_of_transformers(void **state)
{
    struct wanted w;
    open_wanted(*state, &w);
    for (int norm = NORM_TOKEN; norm <= NORM_SEQUENCE; norm++) {
        for (int pairing = PAIRING_ZIP; pairing <= PAIRING_CROSS; pairing++) {
            compare_mode(&w, MODE_CRITIC_RM, pairing, norm);
            compare_mode(&w, MODE_JOINT, pairing, norm);
        }
        compare_mode(&w, MODE_CRITIQUE_ONLY, PAIRING_ZIP, norm);
    }
    compare_mode(&w, MODE_REWARD_ONLY, PAIRING_ZIP, NORM_TOKEN);
    safetensors_close(&w.golden);
}

/* This tensor rank's columns of the logits of every row. */
static void logits_of_a_path_equal_those_of_transformers(void **state)
{
    struct wanted w;
    struct config config;
    struct tiny_run run;
    struct forest forest;
    const void *hidden_TC;
    uint32_t token[MAX_TOKENS];
    open_wanted(*state, &w);
    model_config_for(w.model, &config);
    config.mesh.tensor = world->size;
    config.mesh.data = 1;
    open_run(&run, &config);
    struct tokens path = tokens_of(json_object_get(cases, "path"), token);
    struct tree tree = {.prompt = {token, path.n - 1}, .n_leaves = {1}, .leaf = {&(struct tree_leaf){.text = {token + path.n - 1, 1}, .weight = 1.0f}}};
    must(forest_build(&tree, 1, &(struct forest_layout){0, true, world->size}, &forest));
    must(forward_once(cpu, run.trainer->backbone, &forest, &hidden_TC));
    const struct model_config *m = &run.trainer->model;
    int head = params_find(run.trainer->table, m->tie_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    const struct param *p = &run.trainer->table->params[head];
    int64_t V = p->local_shape[0];
    float *logits_TV = malloc((size_t)(path.n * V) * sizeof *logits_TV), *want = malloc((size_t)(path.n * m->vocab) * sizeof *want);
    struct gemm_args args = {.m = path.n, .n = V, .k = m->hidden, .trans_b = true, .a = hidden_TC, .lda = m->hidden, .b = store_weight(run.trainer->store, head), .ldb = m->hidden,
                             .c = logits_TV, .ldc = V, .dtype_ab = F32, .dtype_c = F32};
    must(cpu->kernels->gemm(&cpu->stream, &args));
    const struct st_tensor *golden = safetensors_find(w.golden, "logits");
    assert_non_null(golden);
    assert_int_equal(golden->n_elems, path.n * m->vocab);
    st_read_f32(golden, 0, golden->n_elems, want);
    double error = 0.0, norm = 0.0;
    for (int64_t i = 0; i < path.n * V; i++) {
        double theirs = (double)want[i / V * m->vocab + p->box_offset[0] + i % V], off = (double)logits_TV[i] - theirs;
        error += off * off;
        norm += theirs * theirs;
    }
    if (!(norm > 0.0 && sqrt(error) <= TOLERANCE * sqrt(norm)))
        fail_msg("%s: the logits differ by %.3g of their norm", w.model, sqrt(error / norm));
    free(logits_TV);
    free(want);
    forest_free(&forest);
    tiny_run_close(&run);
    safetensors_close(&w.golden);
}

static int set_up(void **state)
{
    (void)state;
    char path[1024];
    must(json_parse_file(FOLDER "/cases.json", &cases));
    if (world->rank == 0)
        scratch_make(&scratch);
    must(broadcast(world, &scratch, sizeof scratch, COMM_U8, 0, NULL));
    snprintf(path, sizeof path, "%s/dsub", scratch.dir);
    if (world->rank == 0)
        write_set(path);
    must(agree_status(world, OK));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(cases);
    must(agree_status(world, OK));
    if (world->rank == 0)
        scratch_remove(&scratch);
    return 0;
}

#define OF(test, model) {#test " (" model ")", test, NULL, NULL, (void *)(uintptr_t)model}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        OF(logits_of_a_path_equal_those_of_transformers, "llama"),
        OF(logits_of_a_path_equal_those_of_transformers, "qwen2"),
        OF(logits_of_a_path_equal_those_of_transformers, "qwen3"),
        OF(logits_of_a_path_equal_those_of_transformers, "mistral"),
        OF(losses_and_every_gradient_equal_those_of_transformers, "llama"),
        OF(losses_and_every_gradient_equal_those_of_transformers, "qwen2"),
        OF(losses_and_every_gradient_equal_those_of_transformers, "qwen3"),
        OF(losses_and_every_gradient_equal_those_of_transformers, "mistral"),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK || device_cpu_create(&(struct device_options){.n_threads = 1, .isa = "auto"}, &cpu) != OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    if (failed > 0 && world->size > 1)
        comm_mpi_abort(world, 1);
    device_destroy(&cpu);
    comm_mpi_stop(&world);
    return failed;
}
