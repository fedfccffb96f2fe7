/* random_values: repeatable values for tests (SplitMix64). The same seed gives the same values on every machine. */
#ifndef TESTS_TOOLS_RANDOM_VALUES_H
#define TESTS_TOOLS_RANDOM_VALUES_H

#include <stdint.h>

#include "base/dtype.h"

struct random { uint64_t state; };

uint64_t random_u64(struct random *random);
/* A whole number in [low, high], both included. */
int64_t random_int(struct random *random, int64_t low, int64_t high);
/* Uniform in [low, high). */
double random_uniform(struct random *random, double low, double high);
/* x[n] uniform in [-scale, scale); with BF16 each value is one that bf16 holds exactly. */
void random_fill(struct random *random, float *x, int64_t n_elems, double scale, enum dtype rounded_to);

#endif
