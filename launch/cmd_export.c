/* critic-rm export RUN_OR_CHECKPOINT OUT_DIR: a checkpoint as a Hugging Face folder. device.dtype is that of its weights. Config, tokenizer and what the reward head was trained on come
 * from the run's model/ folder, which is what was trained; for a checkpoint that was taken out of its run from backbone.path, where it is given, or from the backbone's path that the checkpoint
 * remembers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "comm/agree.h"
#include "launch/command.h"
#include "trainer/ckpt/checkpoint.h"
#include "trainer/ckpt/export.h"

/* backbone.path of the options that a checkpoint keeps. */
static int path_remembered(const char *checkpoint, char *out, size_t size)
{
    char path[1200];
    struct manifest *manifest = NULL;
    struct config *config = calloc(1, sizeof *config);
    CHECK(config, "out of memory");
    int status = path_join(path, sizeof path, checkpoint, "manifest.json");
    if (status == OK)
        status = manifest_read(path, &manifest);
    if (status == OK) {
        options_default(config_options(), config);
        status = options_parse_yaml(config_options(), manifest->info.options, strlen(manifest->info.options), path, config);
    }
    if (status == OK)
        snprintf(out, size, "%s", config->backbone.path);
    manifest_free(&manifest);
    free(config);
    return status;
}

static int look_for_model(const char *folder, const char *name, char *out, size_t size, bool *found)
{
    char json[1400];
    TRY(path_join(out, size, folder, name));
    TRY(path_join(json, sizeof json, out, "config.json"));
    *found = file_exists(json);
    return OK;
}

static int find_model(const struct command *command, const char *checkpoint, char *out, size_t size)
{
    bool found;
    char attempt[1400];
    TRY(look_for_model(command->argv[0], "model", out, size, &found));
    TRY(path_join(attempt, sizeof attempt, checkpoint, "../../attempt"));
    if (!found && file_exists(attempt))         /* RUN/checkpoints/step_N was named */
        TRY(look_for_model(checkpoint, "../../model", out, size, &found));
    if (found)
        return OK;
    snprintf(out, size, "%s", command->config.backbone.path);
    if (*out)
        return OK;
    TRY(path_remembered(checkpoint, out, size));
    CHECK_USAGE(*out, "the checkpoint does not say which backbone it came from: give --set backbone.path=FOLDER");
    return OK;
}

static int export_it(const struct command *command)
{
    char checkpoint[1024], model[1100];
    CHECK_USAGE(command->argc == 2, "critic-rm export RUN_OR_CHECKPOINT OUT_DIR needs two paths");
    TRY(checkpoint_resolve(command->argv[0], checkpoint, sizeof checkpoint));
    TRY(find_model(command, checkpoint, model, sizeof model));
    const struct export_options options = {.checkpoint = checkpoint, .model = model, .out = command->argv[1], .dtype = (enum dtype)command->config.device.dtype};
    TRY(export_model(&options));
    log_info("exported %s to %s in %s, with the config and tokenizer of %s", checkpoint, options.out, dtype_name(options.dtype), model);
    return OK;
}

int cmd_export(const struct command *command) { return agree_status(command->world, command->world->rank == 0 ? export_it(command) : OK); }
