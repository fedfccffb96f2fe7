/* random_values: SplitMix64. */
#include "random_values.h"

uint64_t random_u64(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t random_int(struct random *random, int64_t low, int64_t high) { return low + (int64_t)(random_u64(random) % (uint64_t)(high - low + 1)); }

double random_uniform(struct random *random, double low, double high) { return low + (high - low) * (double)(random_u64(random) >> 11) * 0x1p-53; }

void random_fill(struct random *random, float *x, int64_t n_elems, double scale, enum dtype rounded_to)
{
    for (int64_t i = 0; i < n_elems; i++) {
        float value = (float)random_uniform(random, -scale, scale);
        x[i] = rounded_to == BF16 ? bf16_to_f32(f32_to_bf16(value)) : value;
    }
}
