/* train_data: see train_data.h. */
#include "launch/train_data.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "comm/agree.h"
#include "launch/import_report.h"

/* ---- files to sets --------------------------------------------------------------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* What the mode reads from a file of JSON lines. */
static int kind_for(const struct config *config, const char *path, enum import_kind *out)
{
    TRY(import_kind_of(path, out));
    if (config->objective.mode == MODE_CRITIQUE_ONLY)
        return OK;
    CHECK_USAGE(*out != IMPORT_CONVERSATIONS, "%s holds conversations, which only objective.mode critique-only can train on", path);
    CHECK_USAGE(*out == IMPORT_CRITIQUES || config->objective.mode == MODE_REWARD_ONLY,
                "%s holds pairs without critiques, which only objective.mode reward-only can train on: give pairs with critiques, or set that mode", path);
    if (config->objective.mode == MODE_REWARD_ONLY)
        *out = IMPORT_PREFERENCES;
    return OK;
}

static int prepare_one(const struct config *config, const char *path, const char *name, char *folder)
{
    char parent[OPTION_TEXT_SIZE];
    enum import_kind kind;
    struct import_counts counts;
    if (!*path || is_folder(path)) {
        memcpy(folder, path, OPTION_TEXT_SIZE);
        return OK;
    }
    CHECK(file_exists(path), "%s does not exist: data.%s names a D_sub folder or a file of JSON lines", path, name);
    TRY(kind_for(config, path, &kind));
    TRY(path_join(parent, sizeof parent, config->run.dir, "data"));
    TRY(import_once(config, path, parent, name, kind, folder, OPTION_TEXT_SIZE, &counts));
    if (counts.records > 0)
        import_report(path, &counts);
    return OK;
}

static int prepare(const struct config *config, struct train_data *out)
{
    CHECK_USAGE(*config->data.train, "data.train is not set: name a D_sub folder made by import, or a file of JSON lines");
    CHECK_USAGE(!*config->data.eval || config->data.eval_last == 0, "data.eval and data.eval_last are both set: choose one");
    TRY(prepare_one(config, config->data.train, "train", out->train_path));
    return prepare_one(config, config->data.eval, "eval", out->eval_path);
}

int train_data_prepare(const struct config *config, struct comm *world, struct train_data *out)
{
    memset(out, 0, sizeof *out);
    TRY(agree_status(world, world->rank == 0 ? prepare(config, out) : OK));
    TRY(broadcast(world, out->train_path, (int64_t)sizeof out->train_path, COMM_U8, 0, NULL));
    return broadcast(world, out->eval_path, (int64_t)sizeof out->eval_path, COMM_U8, 0, NULL);
}

/* ---- division -------------------------------------------------------------------------------------------------------------------------------- */

struct split { int64_t held_out; double fraction; uint64_t seed; };

/* Nested fractions: a pair is used when hash(seed, source) is below the fraction. */
static bool in_fraction(const struct split *s, const struct dsub *d, int64_t number)
{
    uint64_t words[2] = {s->seed, d->lengths.source[number]};
    return (double)(hash_bytes(words, sizeof words, 0) >> 11) * 0x1p-53 < s->fraction;
}

static bool keep_train(const void *context, const struct dsub *d, int64_t number)
{
    const struct split *s = context;
    return number < d->n_pairs - s->held_out && (s->fraction >= 1.0 || in_fraction(s, d, number));
}

static bool keep_eval(const void *context, const struct dsub *d, int64_t number)
{
    const struct split *s = context;
    return number >= d->n_pairs - s->held_out;
}

int train_data_open(const struct config *config, const struct special_tokens *tokens, struct train_data *d)
{
    struct split split = {config->data.eval_last, config->data.fraction, (uint64_t)config->run.seed};
    TRY(dsub_open(d->train_path, &d->train_set));
    TRY(special_tokens_check(tokens, d->train_set, config->data.train));
    CHECK_USAGE(split.held_out < d->train_set->n_pairs, "data.eval_last %lld leaves nothing of the %lld pairs of %s to train on", (long long)split.held_out,
                (long long)d->train_set->n_pairs, config->data.train);
    TRY(dsub_view_make(d->train_set, keep_train, &split, &d->train));
    CHECK_USAGE(d->train.n_pairs > 0, "data.fraction %g leaves no pair of %s", split.fraction, config->data.train);
    if (*d->eval_path) {
        TRY(dsub_open(d->eval_path, &d->eval_set));
        TRY(special_tokens_check(tokens, d->eval_set, config->data.eval));
        split.held_out = d->eval_set->n_pairs;
    }
    return dsub_view_make(d->eval_set ? d->eval_set : d->train_set, keep_eval, &split, &d->eval);
}

void train_data_close(struct train_data *d)
{
    dsub_view_free(&d->train);
    dsub_view_free(&d->eval);
    dsub_close(&d->train_set);
    dsub_close(&d->eval_set);
}
