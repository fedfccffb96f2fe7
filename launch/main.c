/* main: find the command, read the config on rank 0, run, print the one failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"
#include "comm/agree.h"
#include "comm/stop.h"
#include "launch/command.h"

/* stops: looks whether SIGUSR1 or SIGTERM came; the others are ended by them. */
static const struct { const char *name; int (*run)(const struct command *); bool stops; const char *usage, *what; } commands[] = {
    {"train", cmd_train, true, "[--dry-run]", "train a reward model; resumes by itself (run.dir)"},
    {"critique", cmd_critique, true, "PAIRS.jsonl OUT_DIR", "N scored critiques of every response by the backbone; goes on where it stopped"},
    {"refine", cmd_refine, true, "CANDIDATES_DIR OUT_DIR", "filter, then rank or summarise: candidates into a D_sub; goes on where it stopped"},
    {"score", cmd_score, true, "MODEL IN.jsonl OUT.jsonl, or --serve PORT [--token-file FILE] [--listen ADDRESS] MODEL", "rewards of responses, critiques first; goes on where it stopped; or the same over HTTP, for this machine unless there is a token"},
    {"import", cmd_import, false, "[--as candidates [--answers FILE]] IN.jsonl OUT_DIR", "pairs with critiques (JSON lines) into a D_sub, or, also from an engine's answers, into candidates"},
    {"dump", cmd_dump, false, "[--what prompts] SET_DIR or PAIRS.jsonl", "a set as JSON lines on standard output; or the judge's calls for another engine"},
    {"export", cmd_export, false, "RUN_OR_CHECKPOINT OUT_DIR", "a checkpoint as a Hugging Face folder"},
    {"sample", cmd_sample, true, "MODEL PROMPTS.jsonl OUT.jsonl", "responses, each judged by MODEL itself: best and worst into OUT.jsonl, all into OUT.all.jsonl; goes on where it stopped"},
    {"evaluate", cmd_evaluate, true, "BENCHMARK FILE [--model MODEL] [--judge] [--scores FILE] [OUT_DIR]", "the table of a benchmark (rewardbench, rewardbench-2, rm-bench, judgebench, criticbench) by the rewards of MODEL; --judge: by its judge's scores; --scores: by existing ones; with OUT_DIR MODEL's evaluation goes on where it stopped"},
    {"config", cmd_config, false, "[section.key]...", "the config as it is resolved, or the values of some keys, one a line"},
    {"inspect", cmd_inspect, false, "[--verify] PATH", "what a checkpoint, D_sub, set of candidates or a file of one holds; --verify checks every checksum"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *out)
{
    fprintf(out, "critic-rm COMMAND [--config FILE] [--set section.key=value]... [arguments]\n\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-8s %s\n           %s\n", commands[i].name, commands[i].usage, commands[i].what);
    fprintf(out, "\ncritic-rm COMMAND --help lists every key with default, bounds and meaning.\nStatus: 0 done, 1 failed, 2 wrong usage or config, 3 stopped on request with its state saved.\n");
}

static int find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return i;
    return -1;
}

struct arguments { const char *config; char **sets; int n_sets; bool help; };

/* A command has the options that its usage names. */
static bool has_option(const char *usage, const char *option)
{
    size_t n = strlen(option);
    for (const char *at = strstr(usage, option); at; at = strstr(at + 1, option))
        if (at[n] == ' ' || at[n] == ']' || !at[n])
            return true;
    return false;
}

/* Where the value of an option goes; NULL: it has none. */
static const char **value_of(const char *option, struct arguments *a, struct command *command)
{
    const struct { const char *name; const char **value; } all[] = {
        {"--config", &a->config}, {"--scores", &command->scores}, {"--model", &command->model}, {"--serve", &command->serve}, {"--token-file", &command->token_file}, {"--listen", &command->listen}, {"--as", &command->import_as}, {"--answers", &command->answers}, {"--what", &command->dump_what}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(option, all[i].name) == 0)
            return all[i].value;
    return NULL;
}

/* Options out, positional arguments stay in command->argv. */
static int parse_arguments(int argc, char **argv, const char *command_usage, struct arguments *a, struct command *command)
{
    for (int i = 2; i < argc; i++) {
        const char *option = argv[i], **value = value_of(option, a, command);
        bool set = strcmp(option, "--set") == 0, help = strcmp(option, "--help") == 0, everywhere = set || help || strcmp(option, "--config") == 0;
        if (option[0] != '-' || !option[1]) {
            command->argv[command->argc++] = argv[i];
            continue;
        }
        CHECK_USAGE(everywhere || has_option(command_usage, option), "there is no option %.64s; see critic-rm %s --help", option, argv[1]);
        CHECK_USAGE((!value && !set) || i + 1 < argc, "%s needs a value", option);
        if (value)
            *value = argv[++i];
        else if (set)
            a->sets[a->n_sets++] = argv[++i];
        a->help = a->help || help;
        command->dry_run = command->dry_run || strcmp(option, "--dry-run") == 0;
        command->verify = command->verify || strcmp(option, "--verify") == 0;
        command->judge = command->judge || strcmp(option, "--judge") == 0;
    }
    return OK;
}

/* Rank 0 reads and checks; the others receive. */
static int share_config(struct command *command, const struct arguments *a)
{
    int status = OK;
    if (command->world->rank == 0)
        status = config_load(a->config, a->sets, a->n_sets, &command->config);
    TRY(agree_status(command->world, status));
    return broadcast(command->world, &command->config, (int64_t)sizeof command->config, COMM_U8, 0, NULL);
}

static int run(int argc, char **argv, struct command *command, struct arguments *a)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        if (command->world->rank == 0)
            usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? USAGE : OK;
    }
    int index = find_command(argv[1]);
    CHECK_USAGE(index >= 0, "there is no command %.64s; critic-rm --help lists them", argv[1]);
    TRY(parse_arguments(argc, argv, commands[index].usage, a, command));
    if (a->help) {
        if (command->world->rank == 0) {
            for (int i = index; i < N_COMMANDS && strcmp(commands[i].name, argv[1]) == 0; i++)
                printf("critic-rm %s [--config FILE] [--set section.key=value]... %s\n  %s\n", commands[i].name, commands[i].usage, commands[i].what);
            options_help(config_options(), stdout);
        }
        return OK;
    }
    if (command->dry_run || command->scores)         /* over in a moment, and nobody looks */
        stop_no_more();
    TRY(share_config(command, a));
    return commands[index].run(command);
}

/* Once: a shared failure by rank 0. One of this rank alone ends the others, which wait for it in some collective; where all ranks fail alike and alone, rank 0
 * comes first and its abort ends the rest. */
static void report(struct comm *world, int status)
{
    bool shared = trace_is_shared();
    stop_no_more();                 /* the abort of another rank ends this one's sleep */
    for (unsigned left = world->rank != 0 && !shared ? 2 : 0; left > 0;)     /* a signal ends a sleep early */
        left = sleep(left);
    if (world->rank == 0 || !shared)
        fprintf(stderr, "critic-rm: %s\n", trace_sentence());
    if (!shared && world->size > 1)
        comm_mpi_abort(world, status);
}

/* What was printed has reached its file: a full disk is no success. */
static int flush_output(void) { return fflush(stdout) != 0 || ferror(stdout) ? FAIL("cannot write standard output") : OK; }

int main(int argc, char **argv)
{
    struct command *command = calloc(1, sizeof *command);
    struct arguments arguments = {.sets = calloc((size_t)argc + 1, sizeof(char *))};
    if (!command || !arguments.sets)
        return 1;
    command->argv = calloc((size_t)argc + 1, sizeof(char *));
    int index = argc < 2 ? -1 : find_command(argv[1]);
    if (index >= 0 && commands[index].stops)
        stop_on_signals();          /* before MPI starts and data are read, which may take minutes: a stop that comes then is kept */
    int status = command->argv ? comm_mpi_start(&argc, &argv, &command->world) : FAILED;
    if (!command->world)
        return 1;
    log_rank(command->world->rank);
    if (status == OK)
        status = run(argc, argv, command, &arguments);
    if (status == OK)
        status = flush_output();
    if (status != OK && status != STOPPED && *trace_sentence())
        report(command->world, status);
    comm_mpi_stop(&command->world);
    free(arguments.sets);
    free(command->argv);
    free(command);
    return status;
}
