/* import: JSON lines -> D_sub. */
#include "base/log.h"
#include "dataset/import.h"
#include "launch/command.h"
#include "launch/import_report.h"

void import_report(const char *folder, const struct import_counts *c)
{
    log_info("%s: kept %lld of %lld records, %lld critiques", folder, (long long)c->kept, (long long)c->records, (long long)c->critiques);
    log_info("  left out: %lld pairs with equal responses, %lld without a common prompt, %lld with a too long path, %lld with a side without critiques", (long long)c->equal_responses,
             (long long)c->diverging, (long long)c->long_paths, (long long)c->empty_sides);
    log_info("  critiques left out: %lld repeated, %lld empty, %lld too long, %lld above data.critiques_per_response", (long long)c->repeated, (long long)c->empty, (long long)c->long_critiques,
             (long long)c->above_k);
}

int cmd_import(const struct command *command)
{
    enum import_kind kind;
    struct import_counts counts;
    CHECK_USAGE(command->argc == 2, "import takes two arguments: IN.jsonl OUT_DIR");
    if (command->world->rank != 0)
        return OK;
    TRY(import_kind_of(command->argv[0], &kind));
    TRY(import_file(&command->config, command->argv[0], command->argv[1], kind, &counts));
    import_report(command->argv[1], &counts);
    return OK;
}
