/* trainer: see trainer.h. */
#include "trainer/trainer.h"

#include <stdlib.h>

#include "comm/agree.h"
#include "trainer/collectives.h"

static struct backbone_options backbone_options(const struct config *config, const struct trainer_capacity *c)
{
    return (struct backbone_options){.max_rows = c->rows, .max_positions = c->positions, .recompute = config->device.recompute == RECOMPUTE_LAYER, .with_backward = true};
}

static struct heads_options heads_options(const struct trainer_capacity *c)
{
    return (struct heads_options){.max_predictions = c->predictions, .max_rewards = c->rewards, .max_comparisons = c->comparisons, .with_backward = true};
}

static struct forest_room forest_room(const struct trainer_capacity *c) { return (struct forest_room){c->rows, c->predictions, c->rewards, c->comparisons}; }

void trainer_count(const struct config *config, const struct model_config *model, const struct param_table *table, int data_size, int tensor_size,
                   const struct trainer_capacity *capacity, struct trainer_bytes *out)
{
    struct store_bytes store;
    enum dtype dtype = (enum dtype)config->device.dtype;
    struct backbone_options backbone = backbone_options(config, capacity);
    struct heads_options heads = heads_options(capacity);
    struct forest_room room = forest_room(capacity);
    store_count(table, dtype, data_size, &store);
    *out = (struct trainer_bytes){
        .weights = store.weights, .gradients = store.gradients, .optimizer = store.optimizer + device_room(optimizer_bytes(table)),
        .activations = device_room(backbone_bytes(model, &backbone, dtype, tensor_size)) + forest_places_bytes(&room),
        .heads = device_room(heads_bytes(model, &heads, dtype, tensor_size)),
    };
}

size_t trainer_bytes_sum(const struct trainer_bytes *b) { return b->weights + b->gradients + b->optimizer + b->activations + b->heads; }

static int check_model(const struct config *config, const struct model_config *model)
{
    int64_t most = config->data.max_path_tokens;
    CHECK_USAGE(model->sliding_window == 0 || model->sliding_window >= most,
                "the model's sliding_window of %lld tokens is shorter than data.max_path_tokens %lld: lower data.max_path_tokens", (long long)model->sliding_window, (long long)most);
    CHECK_USAGE(model->max_position >= most, "the model reads %lld positions, fewer than data.max_path_tokens %lld: lower data.max_path_tokens", (long long)model->max_position, (long long)most);
    return OK;
}

/* What a rank knows before it takes memory. */
static int describe(struct trainer *t, const struct trainer_capacity *capacity, int64_t steps_per_epoch)
{
    const struct config *config = t->config;
    TRY(model_config_read(config->backbone.path, &t->model));
    TRY(check_model(config, &t->model));
    TRY(lambda_schedule_make(config, steps_per_epoch, &t->lambda));
    t->lr = lr_schedule_backbone(config, config->objective.epochs * steps_per_epoch);
    t->reward_lr = lr_schedule_reward(config, steps_per_epoch, config->objective.epochs * steps_per_epoch);
    TRY(params_build(&t->model, t->mesh->tensor->size, t->mesh->tensor->rank, &t->table));
    trainer_count(config, &t->model, t->table, t->mesh->data->size, t->mesh->tensor->size, capacity, &t->bytes);
    return OK;
}

/* Communicators come before memory is reserved. */
static int connect(struct trainer *t, const struct trainer_capacity *capacity)
{
    struct collectives collectives = {.mesh = t->mesh, .device = t->device, .model = &t->model, .table = t->table, .dtype = (enum dtype)t->config->device.dtype, .rows = capacity->rows};
    return collectives_prepare_training(&collectives, capacity->predictions, &t->copies);
}

/* The memory of a rank. */
static int take(struct trainer *t, const struct trainer_capacity *capacity)
{
    const struct config *config = t->config;
    struct backbone_options backbone = backbone_options(config, capacity);
    struct heads_options heads = heads_options(capacity);
    struct forest_room room = forest_room(capacity);
    TRY(device_reserve(t->device, trainer_bytes_sum(&t->bytes)));
    TRY(store_create(t->table, t->device, t->mesh, (enum dtype)config->device.dtype, true, &t->store));
    TRY(forest_places_create(t->device, &room, &t->places));
    TRY(backbone_create(&t->model, t->store, &backbone, &t->backbone));
    TRY(heads_create(&t->model, t->store, &heads, &t->heads));
    return optimizer_create(config, t->store, t->copies, &t->optimizer);
}

/* What one rank alone may fail in is agreed on before the next collective. */
static int open_all(struct trainer *t, const struct trainer_capacity *capacity, int64_t steps_per_epoch)
{
    TRY(agree_status(t->mesh->world, describe(t, capacity, steps_per_epoch)));
    TRY(connect(t, capacity));
    return agree_status(t->mesh->world, take(t, capacity));
}

int trainer_create(const struct config *config, struct mesh *mesh, struct device *device, const struct trainer_capacity *capacity, int64_t steps_per_epoch,
                   struct trainer **out)
{
    struct trainer *t = calloc(1, sizeof *t);
    CHECK(t, "out of memory for the trainer");
    t->config = config;
    t->mesh = mesh;
    t->device = device;
    int status = open_all(t, capacity, steps_per_epoch);
    if (status != OK)
        trainer_destroy(&t);
    else
        *out = t;
    return status;
}

void trainer_destroy(struct trainer **out)
{
    struct trainer *t = *out;
    if (!t)
        return;
    optimizer_destroy(&t->optimizer);
    comm_destroy(&t->copies);
    heads_destroy(&t->heads);
    backbone_destroy(&t->backbone);
    forest_places_destroy(&t->places);
    store_destroy(&t->store);
    params_free(&t->table);
    free(t);
    *out = NULL;
}
