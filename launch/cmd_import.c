/* import: JSON lines -> D_sub, or candidates. */
#include <string.h>

#include "base/log.h"
#include "dataset/import.h"
#include "dataset/import_candidates.h"
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

static int as_dsub(const struct command *command)
{
    enum import_kind kind;
    struct import_counts counts;
    TRY(import_kind_of(command->argv[0], &kind));
    TRY(import_file(&command->config, command->argv[0], command->argv[1], kind, &counts));
    import_report(command->argv[1], &counts);
    return OK;
}

static int as_candidates(const struct command *command)
{
    struct import_candidates_counts c;
    TRY(import_candidates(&command->config, command->argv[0], command->answers, command->argv[1], &c));
    log_info("%s: %lld of %lld records, %lld candidates; parse rate %.3f (%lld have a score), %lld cut by the limit, %lld without text", command->argv[1], (long long)c.kept, (long long)c.records,
             (long long)c.candidates, (double)c.scored / (double)c.candidates, (long long)c.scored, (long long)c.cut, (long long)c.empty);
    log_info("  left out: %lld pairs without a common prompt", (long long)c.diverging);
    if (command->answers)
        log_info("  %lld of %lld responses have no answer; %lld calls or choices failed", (long long)c.unanswered, (long long)(2 * c.kept), (long long)c.failed);
    return OK;
}

int cmd_import(const struct command *command)
{
    bool candidates = command->import_as && strcmp(command->import_as, "candidates") == 0;
    CHECK_USAGE(!command->import_as || candidates, "import --as %.40s: only candidates can be asked for; without --as it is a D_sub", command->import_as);
    CHECK_USAGE(!command->answers || candidates, "import --answers makes candidates: add --as candidates");
    CHECK_USAGE(command->argc == 2, "import takes two arguments: IN.jsonl OUT_DIR");
    if (command->world->rank != 0)
        return OK;
    return candidates ? as_candidates(command) : as_dsub(command);
}
