/* infer: see infer.h. */
#include "trainer/infer/infer.h"

#include "comm/agree.h"
#include "comm/watchdog.h"
#include "trainer/collectives.h"
#include "trainer/ckpt/checkpoint.h"
#include "trainer/ckpt/load.h"
#include "trainer/infer/readout.h"

/* Rows of a pass: whole multiples of the tensor axis. */
static int64_t pass_rows(const struct config *config, int tensor_size)
{
    int64_t rows = config->generate.batch_tokens;
    return rows < tensor_size ? tensor_size : rows - rows % tensor_size;
}

static struct backbone_options backbone_options(const struct config *config, const struct model_config *model, int tensor_size)
{
    return (struct backbone_options){.max_rows = pass_rows(config, tensor_size), .max_positions = model->max_position, .record = config->device.cuda_graphs};
}

void infer_count(const struct config *config, const struct model_config *model, const struct param_table *table, int tensor_size, struct infer_bytes *out)
{
    struct store_bytes store;
    enum dtype dtype = (enum dtype)config->device.dtype;
    struct backbone_options options = backbone_options(config, model, tensor_size);
    store_count(table, dtype, 1, &store);
    *out = (struct infer_bytes){.weights = store.weights, .kv_cache = (size_t)config->generate.kv_memory_mb << 20,
                                .activations = device_room(backbone_bytes(model, &options, dtype, tensor_size)) + device_room(readout_bytes(model, options.max_rows, dtype, tensor_size))};
    out->kv_tokens = (int64_t)(out->kv_cache / (kv_slot_bytes(model, dtype, tensor_size) * ATTENTION_PAGE)) * ATTENTION_PAGE;
}

static int describe(const struct infer_source *source, const struct mesh *mesh, struct infer *i)
{
    TRY(model_config_read(source->model, &i->model));
    return params_build(&i->model, mesh->tensor->size, mesh->tensor->rank, &i->table);
}

static int take(const struct config *config, const struct infer_source *source, struct mesh *mesh, struct device *device, struct infer *i)
{
    int tensor = mesh->tensor->size;
    struct infer_bytes bytes;
    infer_count(config, &i->model, i->table, tensor, &bytes);
    TRY(device_reserve(device, bytes.weights + bytes.kv_cache + bytes.activations));
    TRY(store_create(i->table, device, mesh, (enum dtype)config->device.dtype, false, &i->store));
    struct backbone_options backbone = backbone_options(config, &i->model, tensor);
    TRY(backbone_create(&i->model, i->store, &backbone, &i->backbone));
    struct generator_options options = {.seed = (uint64_t)config->run.seed, .max_rows = backbone.max_rows, .kv_bytes = (size_t)config->generate.kv_memory_mb << 20,
                                        .reward_token = source->reward_token, .end_of_turn = source->end_of_turn, .ends = source->ends};
    return generator_create(&options, &i->model, i->store, i->backbone, source->tokenizer, &i->generator);
}

int infer_make(const struct config *config, const struct infer_source *source, struct mesh *mesh, struct device *device, struct infer *i)
{
    *i = (struct infer){0};
    TRY(agree_status(mesh->world, describe(source, mesh, i)));
    struct collectives collectives = {.mesh = mesh, .device = device, .model = &i->model, .table = i->table, .dtype = (enum dtype)config->device.dtype, .rows = pass_rows(config, mesh->tensor->size)};
    TRY(collectives_prepare_generation(&collectives));
    return agree_status(mesh->world, take(config, source, mesh, device, i));
}

static int load(const struct config *config, const struct infer_source *source, struct infer *i)
{
    watchdog_phase("load", WATCHDOG_IO);
    i->has_reward_head = true;
    if (source->checkpoint)
        return checkpoint_load(source->checkpoint, i->store, NULL);
    struct load_options options = {.folder = config->backbone.init == BACKBONE_RANDOM ? NULL : source->model, .seed = (uint64_t)config->run.seed,
                                   .reward_token = source->reward_token, .copy_of = -1};       /* the reward token's row was trained */
    return load_weights(&options, i->store, &i->has_reward_head);
}

int infer_open(const struct config *config, const struct infer_source *source, struct mesh *mesh, struct device *device, struct infer *out)
{
    int status = infer_make(config, source, mesh, device, out);
    if (status == OK)
        status = load(config, source, out);
    if (status != OK)
        infer_close(out);
    return status;
}

void infer_close(struct infer *i)
{
    generator_destroy(&i->generator);
    backbone_destroy(&i->backbone);
    store_destroy(&i->store);
    params_free(&i->table);
}
