/* dtype: element types of tensors, and the bf16 conversions that the reference defines (round to nearest, ties to even; NaN stays NaN). */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum dtype { F32 = 0, BF16 = 1 };

static inline size_t dtype_bytes(enum dtype dtype) { return dtype == F32 ? 4 : 2; }
static inline const char *dtype_name(enum dtype dtype) { return dtype == F32 ? "float32" : "bf16"; }

typedef uint16_t bf16;

static inline float bf16_to_f32(bf16 x)
{
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

static inline bf16 f32_to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (bf16)((bits >> 16) | 0x40u);
    bits += 0x7fffu + ((bits >> 16) & 1u);
    return (bf16)(bits >> 16);
}

/* Element i of a tensor of either type, as float. */
static inline float dtype_get(const void *x, enum dtype dtype, int64_t i)
{
    return dtype == F32 ? ((const float *)x)[i] : bf16_to_f32(((const bf16 *)x)[i]);
}

static inline void dtype_put(void *x, enum dtype dtype, int64_t i, float value)
{
    if (dtype == F32)
        ((float *)x)[i] = value;
    else
        ((bf16 *)x)[i] = f32_to_bf16(value);
}

/* x + i elements. */
static inline void *dtype_at(void *x, enum dtype dtype, int64_t i) { return (char *)x + (size_t)i * dtype_bytes(dtype); }
static inline const void *dtype_at_const(const void *x, enum dtype dtype, int64_t i) { return (const char *)x + (size_t)i * dtype_bytes(dtype); }

#endif
