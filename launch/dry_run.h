/* dry_run: memory per rank by class, from tables alone: no weights, no data, one process for any mesh. */
#ifndef LAUNCH_DRY_RUN_H
#define LAUNCH_DRY_RUN_H

#include "launch/command.h"
#include "trainer/trainer.h"

/* train --dry-run. mesh.data must be set: it is not the ranks that were started. */
int dry_run(const struct command *command);

/* The fullest tensor rank of data x tensor: every micro-batch as full as mesh.micro_batch_tokens allows. */
int dry_run_count(const struct config *config, const struct model_config *model, int data_size, int tensor_size, struct trainer_bytes *out);

/* One line by class, to the log. */
void memory_print(const struct trainer_bytes *bytes);

#endif
