/* gradients: those of a training step, of any device and mesh, beside those of one rank: the oracle. */
#ifndef TESTS_TOOLS_GRADIENTS_H
#define TESTS_TOOLS_GRADIENTS_H

#include "tests/tools/tiny_run.h"

/* Losses, and the gradients of the parameters of the table one behind the other: this rank's boxes, of which the data axis has summed the owned part. Host memory; gradients_free. */
struct gradients { struct loss_sums sums; float *grad; int64_t n; };

/* Computes them for a step. Collective over the mesh. A failure ends the test with its sentence. */
void gradients_of(struct tiny_run *run, int64_t step, struct gradients *out);
void gradients_free(struct gradients *g);

/* One tensor over the whole mesh, each owned part against the oracle's (copies count alike in all sums). Collective over the mesh. */
struct gradient_gap { double relative /* ||g - oracle|| / ||oracle||, or ||g|| where that is 0 */, cosine /* 1 - cosine of the angle between them; 0 where both are 0, 1 where one is */,
    length /* ||g|| / ||oracle||; 1 where both are 0, 0 where one is */; };
/* oracle: of run `whole`, one rank with the same table. */
struct gradient_gap gradients_gap(struct tiny_run *run, const struct gradients *g, int param, const struct tiny_run *whole, const struct gradients *oracle);

/* |a - b| / |b|, or |a - b| where b is next to nothing. */
double relative_gap(double a, double b);

#endif
