/* generation_run: prompts of random tokens, each with branches under it, generated to their full length: what benchmarks of generation time. */
#ifndef TESTS_TOOLS_GENERATION_RUN_H
#define TESTS_TOOLS_GENERATION_RUN_H

#include "trainer/infer/infer.h"

struct generation_run { int n_sequences, n_prompt, n_branches, n_new; float temperature; };

/* Runs them; `prompts`: other numbers, other prompts. Seconds; *n_tokens: new tokens of all branches, the end of turn being a token like others. A failure ends the program with
 * its sentence. */
double generation_run(struct infer *infer, const struct generation_run *run, uint64_t prompts, int64_t *n_tokens);

#endif
