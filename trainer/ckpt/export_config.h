/* export_config: the small files of an export: config.json, the tokenizer's files, the chat template. */
#ifndef TRAINER_CKPT_EXPORT_CONFIG_H
#define TRAINER_CKPT_EXPORT_CONFIG_H

#include "trainer/ckpt/export.h"
#include "trainer/ckpt/manifest.h"

/* Writes them to options->out, all but config.json, whose presence says that the folder is whole: its text is left to export_config_write. The caller frees it. */
int export_texts(const struct export_options *options, const struct checkpoint_info *info, char **config);
int export_config_write(const struct export_options *options, const char *config);

#endif
