/* metrics: metrics.jsonl of a run folder, one line per step; what was not computed is null. Rank 0 only. */
#ifndef LAUNCH_METRICS_H
#define LAUNCH_METRICS_H

#include <stdio.h>

#include "trainer/eval/heldout.h"
#include "trainer/step.h"

struct metrics { FILE *file; };

struct metrics_timing { double seconds, data_wait_seconds, mfu; size_t memory_bytes; };      /* mfu: NAN when not known */

/* Opens run_dir/metrics.jsonl for appending, after cutting off lines of steps >= first_step: they are redone. */
int metrics_open(const char *run_dir, int64_t first_step, struct metrics *metrics);
int metrics_step(struct metrics *metrics, const struct step_result *result, const struct metrics_timing *timing);
/* {"eval": true, "step", "accuracy", "margin", "critique_perplexity", "pairs"} */
int metrics_eval(struct metrics *metrics, int64_t step, const struct heldout_result *result);
void metrics_close(struct metrics *metrics);

#endif
