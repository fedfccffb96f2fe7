/* philox: Philox4x32-10, a counter-based random generator (Salmon et al., SC 2011). No state: a number is a function of what it is for.
 * key = XXH3-64(seed, purpose); counter = (draw, index, id low, id high). */
#ifndef BASE_PHILOX_H
#define BASE_PHILOX_H

#include <stdint.h>

enum philox_purpose { PHILOX_ORDER, PHILOX_PAIRING, PHILOX_SAMPLING, PHILOX_PERMUTATION, PHILOX_INITIALISATION };

struct philox { uint32_t key[2]; uint32_t index; uint64_t id; };

struct philox philox_make(uint64_t seed, enum philox_purpose purpose, uint32_t index, uint64_t id);
void philox_block(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* Draw number `draw`: 32 bits; uniform in [0, 1) with 24 bits; standard normal; an integer below n (n > 0) without bias. */
uint32_t philox_u32(const struct philox *p, uint32_t draw);
float philox_uniform(const struct philox *p, uint32_t draw);
float philox_normal(const struct philox *p, uint32_t draw);
uint64_t philox_below(const struct philox *p, uint32_t draw, uint64_t n);

/* The permutation of 0..n-1 given by (seed, epoch, n): Fisher-Yates with philox_below. */
void philox_permutation(uint64_t seed, uint32_t epoch, uint64_t n, uint64_t *out);

#endif
