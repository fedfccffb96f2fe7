/* mma: the product of a warp (gpu_mma_bf16_16x8x16). Under sanitizers most of a test's time would be spent here, so the arithmetic is compiled as in a release, unwatched. */
#include <string.h>

#include "emulate.h"

struct operands { uint32_t a[4], b[2]; };

static float to_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t word(const struct emulate_lane *lanes, int lane, int at)
{
    uint32_t x;
    memcpy(&x, lanes[lane].bytes + 4 * at, sizeof x);
    return x;
}

/* Row r of a: its element pairs stand in four lanes, register 0 or 1 of which has columns 0-7, register 2 or 3 columns 8-15. Column n of b likewise. */
__attribute__((no_sanitize("address", "undefined"), flatten))
static void multiply(float *c, const struct emulate_lane *lanes, int lane)
{
    float x[2][16], y[2][16];
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 16; k += 2) {
            uint32_t a = word(lanes, lane / 4 * 4 + k % 8 / 2, k / 8 * 2 + i), b = word(lanes, (lane % 4 * 2 + i) * 4 + k % 8 / 2, 4 + k / 8);
            x[i][k] = to_float(a << 16), x[i][k + 1] = to_float(a & 0xffff0000u);
            y[i][k] = to_float(b << 16), y[i][k + 1] = to_float(b & 0xffff0000u);
        }
    for (int k = 0; k < 16; k++)
        for (int i = 0; i < 4; i++)
            c[i] += x[i / 2][k] * y[i % 2][k];
}

void emulate_mma(float *c, const uint32_t *a, const uint32_t *b)
{
    struct operands mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    float sums[4];
    memcpy(sums, c, sizeof sums);
    multiply(sums, emulate_exchange(EMULATE_MMA, &mine, sizeof mine), emulate_here.thread % EMULATE_LANES);
    memcpy(c, sums, sizeof sums);
}
