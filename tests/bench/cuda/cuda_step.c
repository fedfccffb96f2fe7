/* cuda_step: a whole training step: 4 micro-batches of 16 pairs, |x| = |y| = 400 tokens (y with its instruction), |z| = 160, both losses acting, then the update. Weights are random,
 * activations and optimizer are those of training. Forests are made beforehand, as the stream makes them while a step runs.
 *
 * FLOP of a step = 6 x linear weights x tokens computed + 6 x hidden x vocabulary x prediction rows + 12 x layers x heads x head size x attention pairs seen, as in bench_step.py. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/cuda/cuda_bench.h"
#include "tests/tools/gpu_memory.h"
#include "trainer/model/attention_plan.h"

enum { MICRO_BATCHES = 4, WARM = 1, STEPS = 3, SMALL_STEPS = 1 };

struct step_case { const char *name; const struct model_shape *shape; const struct forest_shape *forest; int n_critiques; bool shared; enum recompute recompute; };
struct step_speed { double seconds, flop; int64_t tokens; int n_pairs; };

/* ---- sizes ----------------------------------------------------------------------------------------------------------------------------------- */

static int64_t rows_of_pair(const struct step_case *s)
{
    const struct forest_shape *f = s->forest;
    int64_t critique = f->critique + 1, paths = 2 * s->n_critiques;
    return s->shared ? f->prompt + 2 * f->response + paths * critique : paths * (f->prompt + f->response + critique);
}

static int64_t path_tokens(const struct forest_shape *f) { return f->prompt + f->response + f->critique + 1; }

/* What a micro-batch holds at most: all of them are equal. */
static struct trainer_capacity capacity_of(const struct step_case *s)
{
    int64_t pairs = s->forest->n_pairs, leaves = 2 * pairs * s->n_critiques;
    return (struct trainer_capacity){.rows = pairs * rows_of_pair(s), .predictions = leaves * s->forest->critique, .rewards = leaves, .comparisons = leaves / 2,
                                     .positions = path_tokens(s->forest)};
}

static void make_config(const struct step_case *s, const char *folder, struct config *config)
{
    tiny_config(config, folder, s->forest->n_pairs * rows_of_pair(s));
    config->data.max_path_tokens = path_tokens(s->forest);
    config->data.share_prefix = s->shared;
    config->device.dtype = BF16;
    config->device.recompute = (int)s->recompute;
    config->objective.mode = MODE_JOINT;
    config->objective.lambda = 0.5;
    config->objective.pairs_per_step = MICRO_BATCHES * s->forest->n_pairs;
    config->objective.epochs = WARM + STEPS;
    config->optimizer.lr = config->optimizer.reward_lr = 1e-6;
}

static size_t planned_bytes(const struct step_case *s, const struct model_config *model)
{
    struct config config;
    struct param_table *table;
    struct trainer_bytes bytes;
    struct trainer_capacity capacity = capacity_of(s);
    make_config(s, "", &config);
    bench_must(params_build(model, 1, 0, &table));
    trainer_count(&config, model, table, 1, 1, &capacity, &bytes);
    params_free(&table);
    return trainer_bytes_sum(&bytes);
}

/* Layers that fit into what is free, but for a reserve for kernels, scratch and what the driver rounds up. */
static int layers_that_fit(const struct step_case *s, const struct model_config *model, int most)
{
    size_t free_bytes;
    struct model_config m = *model;
    bench_must(gpu_memory_free(&free_bytes));
    for (m.layers = most; m.layers > 1; m.layers--)
        if ((double)planned_bytes(s, &m) < 0.97 * (double)free_bytes - 0x1p30)
            break;
    return m.layers;
}

/* ---- a run ----------------------------------------------------------------------------------------------------------------------------------- */

static void write_shape(const struct cuda_bench *c, const struct step_case *s, const char *what, int layers, char *folder, size_t size)
{
    struct model_shape shape = *s->shape;
    const struct forest_shape *f = s->forest;
    shape.layers = layers;
    snprintf(folder, size, "%s/%s-%s-%d-%d", c->folder, s->name, what, (int)s->recompute, s->n_critiques);
    model_shape_write(folder, &shape);
    pairs_shape_write(folder, &(struct pairs_shape){.n_pairs = MICRO_BATCHES * f->n_pairs, .seed = 1, .vocab = (uint32_t)shape.vocab, .prompt = {f->prompt, f->prompt},
                                                    .response = {f->response, f->response}, .critique = {f->critique, f->critique}, .n_critiques = {s->n_critiques, s->n_critiques}});
}

static void fill_weights(struct cuda_bench *c, struct store *store)
{
    for (int i = 0; i < store->table->n; i++) {
        const struct param *p = &store->table->params[i];
        float *master = store->bucket[p->bucket].master + p->offset;
        if (p->init == INIT_ONES)
            bench_fill_with(&c->b, master, p->n_local, F32, 1.0f);
        else
            bench_fill(&c->b, master, p->n_local, F32, 0.035);
    }
    bench_must(store_weights_from_masters(store));
}

static double flop_of(const struct model_config *m, const struct step_batch *batch)
{
    double flop = 0.0;
    for (int i = 0; i < batch->n_micro_batches; i++) {
        const struct forest *f = &batch->forest[i];
        struct attention_plan plan = {0};
        int64_t rows = 0;
        bench_must(attention_plan_make(&plan, f));
        struct attention_args a = {.heads = m->heads, .runs = plan.run, .n_runs = plan.n_runs, .ranges = plan.range};
        for (int32_t p = 0; p < f->n_predictions; p++)
            rows += p == 0 || f->prediction[p].row != f->prediction[p - 1].row;
        flop += 6.0 * (double)model_linear_weights(m) * f->n_tokens + 6.0 * (double)m->hidden * (double)m->vocab * (double)rows + 12.0 * m->layers * m->head_dim * bench_attention_pairs(&a);
        attention_plan_free(&plan);
    }
    return flop;
}

static void take_step(struct tiny_run *run, const struct step_batch *batch)
{
    struct step_result result;
    bench_must(train_step(run->trainer, batch, NULL, &result));
    bench_must(run->device->ops->synchronize(&run->device->stream));
}

static void open_case(struct cuda_bench *c, const struct step_case *s, const char *folder, struct tiny_run *run, struct step_batch *batch)
{
    struct config config;
    make_config(s, folder, &config);
    tiny_run_make(run, &config, c->self, c->b.device);
    fill_weights(c, run->trainer->store);
    tiny_run_batch(run, 0, batch);
    for (int i = 0; i < WARM; i++)
        take_step(run, batch);
}

static double median_step(struct tiny_run *run, const struct step_batch *batch, int n)
{
    double took[STEPS];
    for (int i = 0; i < n; i++) {
        double start_s = bench_now_s();
        take_step(run, batch);
        took[i] = bench_now_s() - start_s;
    }
    return bench_median(took, n);
}

static struct step_speed time_steps(struct cuda_bench *c, const struct step_case *s, const char *folder, size_t *gone)
{
    struct tiny_run run;
    struct step_batch batch;
    size_t before, after;
    bench_must(gpu_memory_free(&before));
    open_case(c, s, folder, &run, &batch);
    double seconds = median_step(&run, &batch, c->small ? SMALL_STEPS : STEPS);
    bench_must(gpu_memory_free(&after));
    *gone = before - after;
    struct step_speed speed = {seconds, flop_of(&run.trainer->model, &batch), batch.tokens, (int)batch.n_pairs};
    step_batch_free(&batch);
    tiny_run_close(&run);
    return speed;
}

/* A run first with a layer, so that kernels are loaded and what is gone behind it is the run's. */
static void run_case(struct cuda_bench *c, const struct step_case *s, const char *name, int most_layers)
{
    char folder[512];
    size_t gone;
    struct model_config model;
    write_shape(c, s, "warm", 1, folder, sizeof folder);
    time_steps(c, s, folder, &gone);
    bench_must(model_config_read(folder, &model));
    int layers = model.layers = layers_that_fit(s, &model, most_layers);
    write_shape(c, s, "whole", layers, folder, sizeof folder);
    struct step_speed speed = time_steps(c, s, folder, &gone);
    measure(layers, "layers", "%s, layers", name);
    measure(speed.flop / speed.seconds / 1e12, "TFLOP/s", "%s", name);
    measure((double)speed.tokens / speed.seconds, "tokens/s", "%s, tokens", name);
    measure(speed.n_pairs / speed.seconds, "pairs/s", "%s, pairs", name);
    measure((double)gone / 0x1p20, "MiB", "%s, memory gone", name);
    measure((double)planned_bytes(s, &model) / 0x1p20, "MiB", "%s, memory planned", name);
}

static void bench_step(struct cuda_bench *c, const char *name, const struct model_shape *shape)
{
    char what[128];
    static const char *const recompute[] = {[RECOMPUTE_NONE] = "recompute none", [RECOMPUTE_LAYER] = "recompute layer"};
    for (int r = RECOMPUTE_NONE; r <= RECOMPUTE_LAYER; r++) {
        struct step_case s = {.name = name, .shape = c->small ? &shape_small : shape, .forest = c->small ? &forest_small : &forest_16, .shared = true, .recompute = (enum recompute)r};
        s.n_critiques = s.forest->n_critiques;
        snprintf(what, sizeof what, "step, %s, %s", name, recompute[r]);
        run_case(c, &s, what, s.shape->layers);
    }
}

void cuda_bench_step_8b(struct cuda_bench *c) { bench_step(c, "8B", &shape_8b); }
void cuda_bench_step_70b(struct cuda_bench *c) { bench_step(c, "70B / 8", &shape_70b_share); }

void cuda_bench_profile(struct cuda_bench *c)
{
    enum { LAYERS = 4 };
    char folder[512];
    struct tiny_run run;
    struct step_batch batch;
    struct step_case s = {.name = "profile", .shape = c->small ? &shape_small : &shape_8b, .forest = c->small ? &forest_small : &forest_16, .shared = true};
    s.n_critiques = s.forest->n_critiques;
    write_shape(c, &s, "whole", LAYERS, folder, sizeof folder);
    open_case(c, &s, folder, &run, &batch);
    double seconds = median_step(&run, &batch, c->small ? SMALL_STEPS : STEPS);
    profile_begin(c->b.device);
    double start_s = bench_now_s();
    take_step(&run, &batch);
    double timed_s = bench_now_s() - start_s, operations_s = profile_end(c->b.device, "8B, 4 layers");
    measure(1e3 * (timed_s - operations_s), "ms", "profile, 8B, 4 layers, in no operation");
    measure(1e3 * seconds, "ms", "profile, 8B, 4 layers, the step without a profile");
    step_batch_free(&batch);
    tiny_run_close(&run);
}

/* Beside PyTorch, which has to hold the same layers: few of them. */
void cuda_bench_compare(struct cuda_bench *c)
{
    enum { LAYERS = 4 };
    struct step_case s = {.name = "compare", .shape = c->small ? &shape_small : &shape_8b, .forest = c->small ? &forest_small : &forest_16, .n_critiques = 1};
    run_case(c, &s, "compare, K = 1 unshared", LAYERS);
    s.n_critiques = s.forest->n_critiques;
    s.shared = true;
    run_case(c, &s, "compare, K = 4 shared", LAYERS);
}
