/* checkpoint: saving and resuming a store on any mesh.
 *
 *   RUN/attempt                                     id drawn by rank 0 at start: who may write manifests
 *   RUN/checkpoints/step_00001200/
 *     rank_00003.<attempt>.safetensors              what that rank owns: keys TENSOR.master, TENSOR.exp_avg, TENSOR.exp_avg_sq, flat float32
 *     manifest.json                                 written last
 *
 * Each rank writes, fsyncs, closes; statuses are reduced; rank 0 gathers the slices, checks that `attempt` is still its own and writes the manifest.
 * So a crash or a full disk at any moment leaves the checkpoints that were complete before. bf16 weights are not stored: they are the rounding of the masters.
 */
#ifndef TRAINER_CKPT_CHECKPOINT_H
#define TRAINER_CKPT_CHECKPOINT_H

#include "trainer/ckpt/manifest.h"
#include "trainer/model/store.h"

/* Rank 0 draws an id and writes RUN/attempt; all ranks get it. From then on an older attempt's ranks that still live can finish no checkpoint. Collective. */
int checkpoint_begin(const char *run, struct comm *world, char attempt[ATTEMPT_SIZE]);

/* Saves the masters and moments. Collective over the mesh's world; on failure, on all ranks, no manifest is written.
 * A step that this attempt has saved already is left as it is. */
int checkpoint_save(const char *run, const char *attempt, const struct checkpoint_info *info, const struct store *store);

/* The complete checkpoint of the highest step, chosen by rank 0. *found false and dir "" when there is none: folders without a manifest do not count. Collective. */
int checkpoint_find_latest(const char *run, struct comm *world, char *dir, size_t size, bool *found);

/* RUN or a checkpoint's folder -> the checkpoint's folder. FAILED when it is neither. Not collective. */
int checkpoint_resolve(const char *path, char *dir, size_t size);

/* What the manifest says: no tensor is read. checkpoint_info_clear frees its options. Not collective. */
int checkpoint_read_info(const char *dir, struct checkpoint_info *info);

/* Masters, moments (where the store has them) and weights, bit for bit as saved, on any mesh. What does not fit is refused with the difference.
 * info may be NULL; checkpoint_info_clear frees its options. Collective over the mesh's world. */
int checkpoint_load(const char *dir, struct store *store, struct checkpoint_info *info);

/* Keeps the last `keep` complete checkpoints (0: all), removes older ones, manifest first, and unfinished folders older than the newest. What cannot be removed is a
 * warning. Collective. */
int checkpoint_prune(const char *run, struct comm *world, int64_t keep);

#endif
