/* config: the config as file and --set resolve it: for scripts, and for eyes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "comm/agree.h"
#include "launch/command.h"

static int print_whole(const struct config *config)
{
    char *text;
    TRY(options_write_yaml(config_options(), config, &text));
    fputs(text, stdout);
    free(text);
    return OK;
}

static int print(const struct command *command)
{
    char value[OPTION_TEXT_SIZE];
    if (command->argc == 0)
        return print_whole(&command->config);
    for (int i = 0; i < command->argc; i++) {
        TRY(options_get(config_options(), command->argv[i], &command->config, value));
        printf("%s\n", value);
    }
    return OK;
}

int cmd_config(const struct command *command) { return agree_status(command->world, command->world->rank == 0 ? print(command) : OK); }
