/* philox: ten rounds of multiply, exclusive or and swap. */
#include "base/philox.h"

#include <math.h>

#include "base/hash.h"

void philox_block(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1], c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

struct philox philox_make(uint64_t seed, enum philox_purpose purpose, uint32_t index, uint64_t id)
{
    uint64_t words[2] = {seed, (uint64_t)purpose};
    uint64_t key = hash_bytes(words, sizeof words, 0);
    return (struct philox){{(uint32_t)key, (uint32_t)(key >> 32)}, index, id};
}

static void draw_block(const struct philox *p, uint32_t draw, uint32_t out[4])
{
    uint32_t counter[4] = {draw, p->index, (uint32_t)p->id, (uint32_t)(p->id >> 32)};
    philox_block(p->key, counter, out);
}

uint32_t philox_u32(const struct philox *p, uint32_t draw)
{
    uint32_t out[4];
    draw_block(p, draw, out);
    return out[0];
}

float philox_uniform(const struct philox *p, uint32_t draw) { return (float)(philox_u32(p, draw) >> 8) * 0x1p-24f; }

float philox_normal(const struct philox *p, uint32_t draw)
{
    uint32_t out[4];
    draw_block(p, draw, out);
    double u = ((double)out[0] + 0.5) * 0x1p-32, v = (double)out[1] * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

/* 128-bit block: the high word of a 64-bit draw times n; draws in the short last interval are rejected and taken again from the block's other half, then hashed on. */
uint64_t philox_below(const struct philox *p, uint32_t draw, uint64_t n)
{
    struct philox at = *p;
    uint64_t threshold = (0 - n) % n;
    for (;;) {
        uint32_t out[4];
        draw_block(&at, draw, out);
        for (int half = 0; half < 4; half += 2) {
            unsigned __int128 product = (unsigned __int128)((uint64_t)out[half] << 32 | out[half + 1]) * n;
            if ((uint64_t)product >= threshold)
                return (uint64_t)(product >> 64);
        }
        at.id = hash_bytes(&at.id, sizeof at.id, 1);
    }
}

void philox_permutation(uint64_t seed, uint32_t epoch, uint64_t n, uint64_t *out)
{
    struct philox p = philox_make(seed, PHILOX_ORDER, epoch, n);
    for (uint64_t i = 0; i < n; i++)
        out[i] = i;
    for (uint64_t i = n; i > 1; i--) {
        p.index = epoch ^ (uint32_t)(i >> 32);
        uint64_t j = philox_below(&p, (uint32_t)i, i), t = out[i - 1];
        out[i - 1] = out[j];
        out[j] = t;
    }
}
