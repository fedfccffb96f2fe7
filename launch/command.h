/* command: what every command receives, and the list of commands. A command parses its positional arguments, opens, calls, closes; logic lives in the rooms. */
#ifndef LAUNCH_COMMAND_H
#define LAUNCH_COMMAND_H

#include "base/config.h"
#include "comm/comm.h"

struct command {
    struct comm *world;
    struct config config;       /* equal on all ranks */
    int argc;                   /* positional arguments, after the command's name and its options */
    char **argv;
    bool dry_run, verify;       /* --dry-run, --verify */
    const char *scores, *model; /* --scores FILE, --model MODEL; NULL: not given, and so are the following */
    const char *import_as, *answers, *dump_what;        /* --as KIND, --answers FILE, --what KIND */
    const char *serve, *token_file, *listen;            /* --serve PORT, --token-file FILE, --listen ADDRESS */
    bool judge;                 /* --judge */
};

int cmd_train(const struct command *command);
int cmd_import(const struct command *command);
int cmd_dump(const struct command *command);
int cmd_inspect(const struct command *command);
int cmd_critique(const struct command *command);
int cmd_refine(const struct command *command);
int cmd_score(const struct command *command);
int cmd_config(const struct command *command);
int cmd_export(const struct command *command);
int cmd_evaluate(const struct command *command);
int cmd_sample(const struct command *command);

#endif
