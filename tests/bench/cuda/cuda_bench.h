/* cuda_bench: what the parts of bench_cuda share. Each part measures one thing on one GPU and prints a line for every number that it finds.
 *
 * With `small` the sizes are tiny, so that the emulated module runs the same code: its numbers mean nothing. */
#ifndef TESTS_BENCH_CUDA_CUDA_BENCH_H
#define TESTS_BENCH_CUDA_CUDA_BENCH_H

#include <stdbool.h>

#include "tests/tools/bench.h"
#include "tests/tools/tiny_run.h"

struct cuda_bench { struct bench b; bool small; struct comm *self; char folder[256]; };

/* Seconds of one call: the median of repeated runs of as many calls as fill some 20 ms, each run from an idle stream to an idle stream, after a warm-up. Small: of one call. */
double bench_seconds(const struct cuda_bench *c, bench_call *call, const void *args);

/* Shapes: 8B whole; 70B as one of eight tensor ranks holds it, but for its layers. */
extern const struct model_shape shape_8b, shape_70b_share, shape_small;

/* The forest of a micro-batch: pairs of equal lengths; a critique has n tokens and, behind them, the reward token. */
struct forest_shape { int n_pairs, prompt, response, critique, n_critiques; };
extern const struct forest_shape forest_16, forest_small;

/* From here on every operation is timed by itself; once in a run. profile_end prints what each took and returns the sum, in seconds. */
void profile_begin(struct device *device);
double profile_end(struct device *device, const char *name);

void cuda_bench_copy(struct cuda_bench *c);
void cuda_bench_kernels(struct cuda_bench *c);
void cuda_bench_products(struct cuda_bench *c);
void cuda_bench_attention(struct cuda_bench *c);
void cuda_bench_step_8b(struct cuda_bench *c);
void cuda_bench_step_70b(struct cuda_bench *c);
void cuda_bench_profile(struct cuda_bench *c);
void cuda_bench_compare(struct cuda_bench *c);
void cuda_bench_generate(struct cuda_bench *c);

#endif
