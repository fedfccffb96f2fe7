/* session: see session.h. */
#include "launch/session.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "comm/agree.h"
#include "comm/watchdog.h"
#include "launch/open_device.h"
#include "launch/special_tokens.h"
#include "trainer/ckpt/checkpoint.h"

static bool is_there(const char *folder, const char *name)
{
    char path[OPTION_TEXT_SIZE + 64];
    return path_join(path, sizeof path, folder, name) == OK && file_exists(path);
}

/* RUN/checkpoints/step_N -> RUN/model */
static int model_of_checkpoint(const char *checkpoint, char *out)
{
    const char *end = checkpoint + strlen(checkpoint);
    while (end > checkpoint && end[-1] == '/')
        end--;
    for (int i = 0; i < 2; i++)
        while (end > checkpoint && *--end != '/') {}
    CHECK(end > checkpoint || *checkpoint == '/', "%s does not lie in a run's checkpoints/: name the run", checkpoint);
    CHECK_USAGE((size_t)snprintf(out, OPTION_TEXT_SIZE, "%.*s/model", (int)(end - checkpoint), checkpoint) < OPTION_TEXT_SIZE, "the path %s is too long", checkpoint);
    return OK;
}

/* Rank 0: which checkpoint, and which folder has config.json and tokenizer. */
static int resolve(const char *model, struct session *s)
{
    char *folder = s->config.backbone.path;
    if (!model) {
        CHECK_USAGE(*folder, "backbone.path is not set: name a Hugging Face folder");
        return OK;
    }
    CHECK_USAGE(strlen(model) < OPTION_TEXT_SIZE - 32, "the path %s is too long", model);
    CHECK(file_exists(model), "%s does not exist: name a run, a checkpoint, or a Hugging Face folder", model);
    if (is_there(model, "config.json")) {
        strcpy(folder, model);
        return OK;
    }
    TRY(checkpoint_resolve(model, s->checkpoint, sizeof s->checkpoint));
    return model_of_checkpoint(s->checkpoint, folder);
}

static int share_paths(const char *model, struct session *s)
{
    TRY(agree_status(s->world, s->world->rank == 0 ? resolve(model, s) : OK));
    TRY(broadcast(s->world, s->config.backbone.path, OPTION_TEXT_SIZE, COMM_U8, 0, NULL));
    return broadcast(s->world, s->checkpoint, OPTION_TEXT_SIZE, COMM_U8, 0, NULL);
}

static void print_bytes(const struct session *s)
{
    struct infer_bytes b;
    infer_count(&s->config, &s->infer.model, s->infer.table, s->mesh->tensor->size, &b);
    log_info("memory a rank: weights %.1f MiB, key/value cache %.1f MiB for %lld tokens, activations %.1f MiB", (double)b.weights / 1048576.0, (double)b.kv_cache / 1048576.0,
             (long long)b.kv_tokens, (double)b.activations / 1048576.0);
    log_info("mesh %d data x %d tensor, a rank has %s", s->mesh->data->size, s->mesh->tensor->size, s->device->name);
}

/* A cache that cannot hold one path of data.max_path_tokens, or of as many as the model reads, is refused before any work. Prompt, response, instruction and what is written begin pages of
 * their own: at most as many tokens as those four can waste are needed beside the path's. */
static int check_cache(const struct session *s)
{
    struct infer_bytes b;
    const struct config *c = &s->config;
    const int64_t most = s->infer.model.max_position, path = c->data.max_path_tokens < most ? c->data.max_path_tokens : most, pieces = path < 4 ? path : 4;
    const int64_t need = ((path - pieces) / ATTENTION_PAGE + pieces) * ATTENTION_PAGE;
    infer_count(c, &s->infer.model, s->infer.table, s->mesh->tensor->size, &b);
    CHECK_USAGE(b.kv_tokens >= need, "generate.kv_memory_mb %lld holds %lld tokens, and a path of %lld, the most by data.max_path_tokens and the model, needs up to %lld in whole pages: raise it, or lower "
                "data.max_path_tokens", (long long)c->generate.kv_memory_mb, (long long)b.kv_tokens, (long long)path, (long long)need);
    return OK;
}

static int open_text(struct session *s)
{
    TRY(encoder_open(&s->config, &s->encoder));
    return trained_as_read(s->config.backbone.path, &s->trained, &s->is_trained);
}

int session_open(const struct command *command, const char *model, bool batch_invariant, struct session *s)
{
    *s = (struct session){.world = command->world, .config = command->config};
    TRY(watchdog_start((int64_t[]){[WATCHDOG_COMPUTE] = s->config.device.watchdog_seconds, [WATCHDOG_IO] = s->config.device.watchdog_io_seconds}, s->world->rank));
    TRY(share_paths(model, s));
    TRY(mesh_create(s->world, (int)s->config.mesh.data, (int)s->config.mesh.tensor, s->config.mesh.allow_split, &s->mesh));
    TRY(agree_status(s->world, open_text(s)));
    TRY(open_device(command, batch_invariant, &s->device));
    TRY(mesh_connect(s->mesh, s->device));
    struct infer_source source = {.model = s->config.backbone.path, .checkpoint = *s->checkpoint ? s->checkpoint : NULL, .reward_token = s->encoder->reward,
                                  .end_of_turn = s->encoder->end_of_turn, .ends = &s->encoder->ends, .tokenizer = s->encoder->tokenizer};
    TRY(infer_open(&s->config, &source, s->mesh, s->device, &s->infer));
    print_bytes(s);
    TRY(comm_memory_print(s->world, s->device));
    return agree_status(s->world, check_cache(s));
}

void session_close(struct session *s)
{
    infer_close(&s->infer);
    encoder_close(&s->encoder);
    mesh_destroy(&s->mesh);
    device_destroy(&s->device);
    watchdog_stop();
}

int session_check_reward(const struct session *s)
{
    struct shard_meta meta;
    const char *folder = s->config.backbone.path;
    CHECK(s->infer.has_reward_head && s->is_trained && s->trained.mode != MODE_CRITIQUE_ONLY, "%s has no trained reward head: train it first, and name the run or what export made of it", folder);
    TRY(encoder_meta(s->encoder, folder, &meta));
    CHECK(strcmp(meta.tokenizer, s->trained.tokenizer) == 0, "%s was trained with another tokenizer than stands in its folder", folder);
    CHECK(strcmp(meta.template, s->trained.template) == 0 || s->config.generate.any_template,
          "%s was trained with another chat template or critique instruction (%s, this config's is %s): set data.template, data.system and data.critique_prompt as they were, or "
          "generate.any_template to score all the same", folder, s->trained.template, meta.template);
    return OK;
}
