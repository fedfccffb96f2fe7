/* checkpoint_dir: names and order of what lies in a run's folder. Nothing here is collective; rank 0 calls it. */
#ifndef TRAINER_CKPT_CHECKPOINT_DIR_H
#define TRAINER_CKPT_CHECKPOINT_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RUN/checkpoints/step_00001200 */
int checkpoint_dir_of(const char *run, int64_t step, char *out, size_t size);

/* FAILED when RUN/attempt is no longer `attempt`: another start of the same run has taken over. */
int checkpoint_dir_check_attempt(const char *run, const char *attempt);

/* Is there a manifest, of this attempt? A quick look at the text: for deciding what may be removed. */
bool checkpoint_dir_names(const char *dir, const char *attempt);

/* Removes data files of other attempts: the manifest does not name them. */
int checkpoint_dir_tidy(const char *dir, const char *attempt);

/* Steps of the checkpoints, ascending; those with a manifest if complete, those without otherwise. The caller frees *steps. */
int checkpoint_dir_steps(const char *run, bool complete, int64_t **steps, int *n);

int checkpoint_dir_remove(const char *run, int64_t step);

#endif
