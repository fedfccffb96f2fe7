/* train: D_sub and a backbone in, checkpoints out; resumes by itself. This file opens things in order and runs the loop; logic is in trainer/. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "comm/agree.h"
#include "comm/stop.h"
#include "comm/watchdog.h"
#include "launch/command.h"
#include "launch/dry_run.h"
#include "launch/margins.h"
#include "launch/metrics.h"
#include "launch/open_device.h"
#include "launch/progress.h"
#include "launch/train_data.h"
#include "trainer/ckpt/checkpoint.h"
#include "kernels/peak.h"
#include "trainer/ckpt/load.h"
#include "trainer/model/model_files.h"
#include "trainer/model/trained_as.h"
#include "trainer/trainer.h"

struct run {
    const struct command *command;
    const struct config *config;
    struct mesh *mesh;
    struct device *device;
    struct special_tokens tokens;
    struct train_data data;
    struct plan *plan, *eval_plan;
    struct plan_options options, eval_options;
    struct forest_layout layout;
    struct heldout heldout;
    struct trainer *trainer;
    struct lambda_schedule lambda;
    int64_t steps_per_epoch, total_steps, first_step;
    char attempt[ATTEMPT_SIZE];
    char checkpoint[2048];      /* that the run goes on from; "": none */
    struct metrics metrics;
    struct progress progress;
    double peak_flops;          /* of one rank's device, in the run's type */
    char *options_text;
};

/* ---- plans ----------------------------------------------------------------------------------------------------------------------------------- */

static double lambda_of(const void *context, int64_t step) { return lambda_at(context, step); }

static int make_options(struct run *r)
{
    const struct config *c = r->config;
    struct model_config model;
    TRY(model_config_read(c->backbone.path, &model));
    r->options = (struct plan_options){
        .set_name = c->data.train, .seed = (uint64_t)c->run.seed, .mode = c->objective.mode, .pairing = c->objective.pairing, .critique_norm = c->objective.critique_norm,
        .pairs_per_step = c->objective.pairs_per_step, .epochs = c->objective.epochs, .micro_batch_tokens = c->mesh.micro_batch_tokens,
        .max_path_tokens = c->data.max_path_tokens, .data_size = r->mesh->data->size, .row_multiple = r->mesh->tensor->size,
        .lead_in = c->objective.mode == MODE_REWARD_ONLY ? r->data.train_set->meta.n_lead_in : 0, .share_prefix = c->data.share_prefix,
        .vocabulary = model.vocab, .token_cost = 6 * model_linear_weights(&model), .attention_cost = (int64_t)12 * model.layers * model.heads * model.head_dim,
        .head_cost = (int64_t)6 * model.hidden * model.vocab,
        .lambda = lambda_of, .lambda_context = &r->lambda,
    };
    r->layout = (struct forest_layout){(uint32_t)r->tokens.reward, c->data.share_prefix, r->mesh->tensor->size};
    r->eval_options = r->options;
    r->eval_options.set_name = *c->data.eval ? c->data.eval : c->data.train;
    r->eval_options.pairing = PAIRING_ZIP;
    r->eval_options.pairs_per_step = c->objective.pairs_per_step > r->mesh->data->size ? c->objective.pairs_per_step : r->mesh->data->size;
    return OK;
}

static int make_plans(struct run *r)
{
    TRY(make_options(r));
    TRY(plan_create(&r->data.train.lengths, &r->options, &r->plan));
    r->steps_per_epoch = plan_steps_per_epoch(r->plan);
    r->total_steps = r->steps_per_epoch * r->config->objective.epochs;
    TRY(lambda_schedule_make(r->config, r->steps_per_epoch, &r->lambda));
    if (r->data.eval.n_pairs == 0)
        return OK;
    TRY(plan_create(&r->data.eval.lengths, &r->eval_options, &r->eval_plan));
    r->heldout = (struct heldout){&r->data.eval, r->eval_plan, r->eval_options, r->layout, r->eval_options.pairs_per_step};
    return OK;
}

static int capacity_of(struct run *r, struct trainer_capacity *out)
{
    struct plan_capacity most;
    TRY(plan_capacity(r->plan, &most));
    if (r->eval_plan)
        TRY(heldout_capacity(&r->heldout, &most));
    *out = (struct trainer_capacity){most.rows, most.predictions, most.rewards, most.comparisons, r->config->data.max_path_tokens};
    return OK;
}

/* ---- trainer --------------------------------------------------------------------------------------------------------------------------------- */

static int measure_peak(struct run *r)
{
    r->peak_flops = r->config->device.peak_tflops * 1e12;
    return r->peak_flops > 0.0 ? OK : device_peak(r->device, (enum dtype)r->config->device.dtype, &r->peak_flops);
}

static int open_trainer(struct run *r)
{
    struct trainer_capacity capacity;
    TRY(agree_status(r->mesh->world, capacity_of(r, &capacity)));
    TRY(trainer_create(r->config, r->mesh, r->device, &capacity, r->steps_per_epoch, &r->trainer));
    memory_print(&r->trainer->bytes);
    return comm_memory_print(r->mesh->world, r->device);
}

/* Is the checkpoint this run's? */
static int check_resumed(const struct run *r, const struct checkpoint_info *info)
{
    struct config saved;
    char was[OPTION_TEXT_SIZE], is[OPTION_TEXT_SIZE];
    memset(&saved, 0, sizeof saved);
    options_default(config_options(), &saved);
    TRY(options_parse_yaml(config_options(), info->options, strlen(info->options), "the checkpoint's options", &saved));
    const struct option *o = options_difference(config_options(), NUMBERS, &saved, r->config, was, is);
    CHECK_USAGE(!o, "%s.%s was %s when this run began and is %s now, which changes the numbers: set it back, or choose another run.dir", o->section, o->key, was, is);
    CHECK(info->dsub_hash == r->data.train_set->hash, "%s is not the set this run began with: give it back, or choose another run.dir", r->config->data.train);
    return OK;
}

/* backbone.path may be another place, not another network: weights come from the checkpoint, the config from there. */
static int check_network(const struct run *r)
{
    char folder[2048], json[2100];
    struct model_config began, is;
    TRY(path_join(folder, sizeof folder, r->config->run.dir, "model"));
    TRY(path_join(json, sizeof json, folder, "config.json"));
    if (!file_exists(json))
        return OK;
    TRY(model_config_read(folder, &began));
    TRY(model_config_read(r->config->backbone.path, &is));
    const char *key = model_config_difference(&began, &is);
    CHECK_USAGE(!key, "the config.json of backbone.path %s has another %s than %s, with which this run began: name that model, or choose another run.dir", r->config->backbone.path, key, json);
    return OK;
}

static int check_checkpoint(const struct run *r)
{
    struct checkpoint_info info;
    TRY(check_network(r));
    TRY(checkpoint_read_info(r->checkpoint, &info));
    int status = check_resumed(r, &info);
    checkpoint_info_clear(&info);
    return status;
}

/* Rank 0 compares the manifest with options and data: a refusal costs no model in memory and reads no tensor. */
static int find_latest(struct run *r)
{
    bool found;
    struct comm *world = r->mesh->world;
    TRY(checkpoint_find_latest(r->config->run.dir, world, r->checkpoint, sizeof r->checkpoint, &found));
    return agree_status(world, found && world->rank == 0 ? check_checkpoint(r) : OK);
}

/* From here on no other start adds a checkpoint, and the latest is this start's to go on from. What is refused before, for its options or for want of a GPU or of memory, leaves the run to
 * whoever may be training it. */
static int claim_run(struct run *r)
{
    TRY(checkpoint_begin(r->config->run.dir, r->mesh->world, r->attempt));
    return find_latest(r);
}

static int resume(struct run *r)
{
    struct checkpoint_info info = {0};
    TRY(checkpoint_load(r->checkpoint, r->trainer->store, &info));
    r->first_step = info.step;
    r->trainer->reward_updates = info.group_steps[GROUP_REWARD];
    checkpoint_info_clear(&info);
    log_info("resuming from %s", r->checkpoint);
    return OK;
}

static int load_or_resume(struct run *r)
{
    watchdog_phase("load", WATCHDOG_IO);
    if (*r->checkpoint)
        return resume(r);
    struct load_options load = {.folder = r->config->backbone.init == BACKBONE_RANDOM ? NULL : r->config->backbone.path, .seed = (uint64_t)r->config->run.seed,
                                .reward_token = r->tokens.reward, .copy_of = r->tokens.end_of_turn};
    return load_weights(&load, r->trainer->store, NULL);
}

/* ---- loop ------------------------------------------------------------------------------------------------------------------------------------ */

static int save(struct run *r, int64_t step)
{
    struct checkpoint_info info = {
        .step = step, .epoch = step / r->steps_per_epoch, .steps_per_epoch = r->steps_per_epoch, .pairs = r->data.train.n_pairs, .dsub_hash = r->data.train_set->hash,
        .seed = (uint64_t)r->config->run.seed, .options_hash = options_hash(config_options(), NUMBERS, r->config), .group_steps = {step, r->trainer->reward_updates},
        .reward_token = r->tokens.reward, .options = r->options_text,
    };
    snprintf(info.reward_token_text, sizeof info.reward_token_text, "%s", r->tokens.reward_text);
    watchdog_phase("checkpoint", WATCHDOG_IO);
    TRY(checkpoint_save(r->config->run.dir, r->attempt, &info, r->trainer->store));
    return checkpoint_prune(r->config->run.dir, r->mesh->world, r->config->checkpoint.keep);
}

static int note_evaluation(struct run *r, int64_t step, const struct heldout_result *result, const double *margin)
{
    if (r->command->world->rank != 0)
        return OK;
    progress_eval(&r->progress, result);
    if (isfinite(result->accuracy))
        TRY(margins_write(r->config->run.dir, step, &r->data.eval, margin));
    return metrics_eval(&r->metrics, step, result);
}

static int evaluate(struct run *r, int64_t step)
{
    struct heldout_result result;
    if (!r->eval_plan)
        return OK;
    double *margin = calloc((size_t)r->data.eval.n_pairs, sizeof *margin);
    CHECK(margin, "out of memory for an evaluation of %lld pairs", (long long)r->data.eval.n_pairs);
    int status = heldout_evaluate(r->trainer, &r->heldout, r->trainer->reward_updates > 0, margin, &result);
    if (status == OK)
        status = note_evaluation(r, step, &result, margin);
    free(margin);
    return status;
}

/* On a GPU a step's update and gathers run on while this is noted, into the next step's time. */
static int note_step(struct run *r, const struct step_result *result, double seconds, double wait_seconds)
{
    size_t bytes = r->device->bytes_in_use;
    TRY(agree_largest(r->mesh->world, &bytes));
    if (r->command->world->rank != 0)
        return OK;
    struct metrics_timing timing = {seconds, wait_seconds, (double)result->operations / seconds / (r->peak_flops * r->mesh->world->size), bytes};
    progress_step(&r->progress, result, seconds);
    return metrics_step(&r->metrics, result, &timing);
}

static bool due(int64_t every, int64_t done) { return every > 0 && done % every == 0; }

/* What follows a finished step: evaluation, checkpoint, stop. *stop: leave the loop with status 3. */
static int after_step(struct run *r, int64_t done, bool *stop)
{
    bool last = done == r->total_steps, signalled;
    int64_t eval_every = r->config->log.eval_every ? r->config->log.eval_every : r->steps_per_epoch;
    TRY(stop_requested(r->mesh->world, &signalled));
    *stop = !last && (signalled || done == r->config->checkpoint.stop_after);
    if (last || due(eval_every, done))
        TRY(evaluate(r, done - 1));
    if (last || *stop || due(r->config->checkpoint.every, done))
        TRY(save(r, done));
    return OK;
}

static int loop(struct run *r, struct data_stream *stream)
{
    bool stop = false;
    for (int64_t step = r->first_step; step < r->total_steps && !stop; step++) {
        const struct step_batch *batch;
        struct step_result result;
        double start_s = clock_s();
        TRY(data_stream_next(stream, &batch));
        const struct step_batch *next = data_stream_peek(stream);
        TRY(train_step(r->trainer, batch, next && next->n_micro_batches > 0 ? next->forest : NULL, &result));
        TRY(note_step(r, &result, clock_s() - start_s, batch->wait_seconds));
        TRY(after_step(r, step + 1, &stop));
    }
    return stop ? STOPPED : OK;
}

static int begin_files(struct run *r)
{
    char path[2048];
    TRY(options_write_yaml(config_options(), r->config, &r->options_text));
    if (r->command->world->rank != 0)
        return OK;
    TRY(path_join(path, sizeof path, r->config->run.dir, "model"));
    if (!*r->checkpoint)            /* nothing was trained here: what an earlier start left is of its own network */
        TRY(model_files_remove(path));
    TRY(model_files_copy(r->config->backbone.path, path));
    struct trained_as trained = {.mode = r->config->objective.mode};
    memcpy(trained.template, r->tokens.template, sizeof trained.template);
    memcpy(trained.tokenizer, r->tokens.tokenizer, sizeof trained.tokenizer);
    TRY(trained_as_write(path, &trained));
    TRY(path_join(path, sizeof path, r->config->run.dir, "config.yaml"));
    TRY(file_write_atomic(path, r->options_text, strlen(r->options_text)));
    TRY(metrics_open(r->config->run.dir, r->first_step, &r->metrics));
    progress_begin(&r->progress, r->config->log.every, r->first_step, r->total_steps);
    return OK;
}

static int train(struct run *r)
{
    struct data_stream *stream;
    TRY(agree_status(r->command->world, begin_files(r)));
    if (r->first_step >= r->total_steps) {
        log_info("the run is complete: %lld steps; train in another run.dir, or export this one", (long long)r->total_steps);
        return OK;
    }
    TRY(data_stream_open(&r->data.train, r->plan, &r->options, &r->layout, r->mesh->data->rank, r->first_step, r->total_steps, &stream));
    int status = loop(r, stream);
    data_stream_close(&stream);
    if (r->command->world->rank == 0)
        progress_end(&r->progress);
    if (status == STOPPED)
        log_info("stopped on request, state saved: the same command goes on");
    return status;
}

static int open_run(struct run *r)
{
    const struct config *c = r->config;
    TRY(mesh_create(r->command->world, (int)c->mesh.data, (int)c->mesh.tensor, c->mesh.allow_split, &r->mesh));
    int status = special_tokens_read(c, &r->tokens);
    if (status == OK)
        status = train_data_open(c, &r->tokens, &r->data);
    if (status == OK)
        status = make_plans(r);
    TRY(agree_status(r->mesh->world, status));
    TRY(agree_equal(r->mesh->world, r->data.train_set->hash, "the training set"));
    TRY(find_latest(r));
    TRY(open_device(r->command, c->device.batch_invariant == INVARIANT_ON, &r->device));
    TRY(agree_status(r->mesh->world, measure_peak(r)));
    TRY(mesh_connect(r->mesh, r->device));
    TRY(open_trainer(r));
    log_info("%lld pairs, %lld held out; %lld steps in %lld epochs; mesh %d data x %d tensor, a rank has %s", (long long)r->data.train.n_pairs, (long long)r->data.eval.n_pairs,
             (long long)r->total_steps, (long long)c->objective.epochs, r->mesh->data->size, r->mesh->tensor->size, r->device->name);
    TRY(claim_run(r));
    return load_or_resume(r);
}

static void close_run(struct run *r)
{
    metrics_close(&r->metrics);
    trainer_destroy(&r->trainer);
    mesh_destroy(&r->mesh);
    device_destroy(&r->device);
    plan_free(&r->plan);
    plan_free(&r->eval_plan);
    train_data_close(&r->data);
    free(r->options_text);
}

int cmd_train(const struct command *command)
{
    struct run run = {.command = command, .config = &command->config};
    CHECK_USAGE(command->argc == 0, "train takes no argument '%s': everything is in the config", command->argv[0]);
    CHECK_USAGE(*command->config.backbone.path, "backbone.path is not set: name a Hugging Face folder");
    CHECK_USAGE(*command->config.run.dir, "run.dir is empty: name the folder of the run");
    if (command->dry_run)
        return dry_run(command);
    TRY(agree_status(command->world, command->world->rank == 0 ? dir_make(command->config.run.dir) : OK));
    TRY(train_data_prepare(&command->config, command->world, &run.data));
    TRY(watchdog_start((int64_t[]){[WATCHDOG_COMPUTE] = command->config.device.watchdog_seconds, [WATCHDOG_IO] = command->config.device.watchdog_io_seconds}, command->world->rank));
    int status = open_run(&run);
    if (status == OK)
        status = train(&run);
    close_run(&run);            /* it may wait for work that other ranks take part in */
    watchdog_stop();
    return status;
}
