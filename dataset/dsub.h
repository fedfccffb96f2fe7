/* dsub: a set of shards. Complete when dsub.json, written last by rename, lists its files; readers open only that.
 * Pairs are numbered by their source record, whatever file they lie in. */
#ifndef DATASET_DSUB_H
#define DATASET_DSUB_H

#include "dataset/plan.h"
#include "dataset/shard.h"

/* ---- writing: one process -------------------------------------------------------------------------------------------------------------------- */

struct dsub_writer;
/* Makes the folder; FAILED when it holds a complete set already. pairs_per_shard cuts files. */
int dsub_writer_create(const char *folder, const struct shard_meta *meta, int64_t pairs_per_shard, struct dsub_writer **out);
/* Records in rising order of source. */
int dsub_writer_put(struct dsub_writer *writer, const struct shard_record *record);
/* FAILED when no pair was put. Frees the writer, also on failure. */
int dsub_writer_finish(struct dsub_writer **writer);
void dsub_writer_abandon(struct dsub_writer **writer);

/* ---- reading --------------------------------------------------------------------------------------------------------------------------------- */

struct dsub_pair { int32_t file; int32_t index; };      /* shard, and number within it */

struct dsub {
    struct shard_meta meta;
    uint64_t hash;              /* of dsub.json: names the set in checkpoints */
    int n_files;
    struct shard **shard;
    int64_t n_pairs, n_critiques;
    struct dsub_pair *pair;     /* [n_pairs] by source */
    struct plan_set lengths;    /* owned arrays; borrow for a plan */
};

int dsub_open(const char *folder, struct dsub **out);
void dsub_close(struct dsub **dsub);
/* True when folder/dsub.json exists. */
bool dsub_is_set(const char *folder);
/* Every file's size and hash against dsub.json. */
int dsub_verify(const char *folder);

/* A view of some pairs of a set: the last n, or all but them, or a fraction. Owned arrays. */
struct dsub_view { const struct dsub *dsub; int64_t n_pairs; int64_t *number; struct plan_set lengths; };
/* keep(number) decides; pairs stay in order. */
int dsub_view_make(const struct dsub *dsub, bool (*keep)(const void *context, const struct dsub *dsub, int64_t number), const void *context, struct dsub_view *out);
void dsub_view_free(struct dsub_view *view);

#endif
