/* progress: what rank 0 shows of a run: one line that is rewritten on a terminal, plain lines elsewhere. */
#ifndef LAUNCH_PROGRESS_H
#define LAUNCH_PROGRESS_H

#include "trainer/eval/heldout.h"
#include "trainer/step.h"

struct progress { bool terminal; int64_t every, total_steps, first_step; double started_s; };

void progress_begin(struct progress *progress, int64_t every, int64_t first_step, int64_t total_steps);
void progress_step(struct progress *progress, const struct step_result *result, double seconds);
void progress_eval(struct progress *progress, const struct heldout_result *result);
void progress_end(struct progress *progress);
/* Seconds of a steady clock. */
double clock_s(void);

#endif
