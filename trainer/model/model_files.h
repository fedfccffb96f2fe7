/* model_files: what a Hugging Face folder holds besides config.json and weights. */
#ifndef TRAINER_MODEL_MODEL_FILES_H
#define TRAINER_MODEL_MODEL_FILES_H

#include <stdbool.h>

struct model_file { const char *name; bool has_pad; };      /* has_pad: JSON with a "pad_token" */

/* Ends with a NULL name. */
extern const struct model_file model_files[];

/* Removes them, config.json first. */
int model_files_remove(const char *folder);

/* Copies config.json and those of the files that are there; files that stand in `to` already are kept. */
int model_files_copy(const char *from, const char *to);

#endif
