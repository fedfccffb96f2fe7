/* vec: a vector of floats of the width this file is compiled for: 16, 8 or 1. Only kernels/cpu/vector_ops.c and attention_ops.c include it. */
#ifndef KERNELS_CPU_VEC_H
#define KERNELS_CPU_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/dtype.h"

#if defined(__AVX512F__)
#include <immintrin.h>
enum { VEC_WIDTH = 16 };
typedef __m512 vec;
static inline vec vec_load(const float *x) { return _mm512_loadu_ps(x); }
static inline void vec_store(float *x, vec v) { _mm512_storeu_ps(x, v); }
static inline vec vec_set(float x) { return _mm512_set1_ps(x); }
static inline vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }
static inline vec vec_sqrt(vec a) { return _mm512_sqrt_ps(a); }
static inline float vec_sum(vec a) { return _mm512_reduce_add_ps(a); }
static inline float vec_largest(vec a) { return _mm512_reduce_max_ps(a); }
static inline void vec_sum4(vec a, vec b, vec c, vec d, float *out)
{
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)), cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512d x = _mm512_castps_pd(_mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee)));
    __m256 y = _mm256_add_ps(_mm256_castpd_ps(_mm512_castpd512_pd256(x)), _mm256_castpd_ps(_mm512_extractf64x4_pd(x, 1)));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1)));
}
static inline vec vec_round(vec a) { return _mm512_cvtepi32_ps(_mm512_cvtps_epi32(a)); }
static inline vec vec_exp2i(vec n) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23)); }
static inline vec vec_load_bf16(const bf16 *x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)x)), 16));
}
#if defined(__AVX512BF16__)
static inline void vec_store_bf16(bf16 *x, vec v) { _mm256_storeu_si256((__m256i *)(void *)x, (__m256i)_mm512_cvtneps_pbh(v)); }
#else
static inline void vec_store_bf16(bf16 *x, vec v)
{
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
    __m512i out = _mm512_mask_mov_epi32(rounded, _mm512_cmpunord_ps_mask(v, v), quiet);
    _mm256_storeu_si256((__m256i *)(void *)x, _mm512_cvtepi32_epi16(out));
}
#endif
#elif defined(__AVX2__)
#include <immintrin.h>
enum { VEC_WIDTH = 8 };
typedef __m256 vec;
static inline vec vec_load(const float *x) { return _mm256_loadu_ps(x); }
static inline void vec_store(float *x, vec v) { _mm256_storeu_ps(x, v); }
static inline vec vec_set(float x) { return _mm256_set1_ps(x); }
static inline vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec vec_div(vec a, vec b) { return _mm256_div_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec vec_max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec vec_min(vec a, vec b) { return _mm256_min_ps(a, b); }
static inline vec vec_sqrt(vec a) { return _mm256_sqrt_ps(a); }
static inline vec vec_round(vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vec vec_exp2i(vec n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)); }
static inline float vec_sum(vec a)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
static inline float vec_largest(vec a)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}
static inline void vec_sum4(vec a, vec b, vec c, vec d, float *out)
{
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)), cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    __m256 x = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}
static inline vec vec_load_bf16(const bf16 *x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)x)), 16));
}
static inline void vec_store_bf16(bf16 *x, vec v)
{
    float f[8];
    _mm256_storeu_ps(f, v);
    for (int i = 0; i < 8; i++)
        x[i] = f32_to_bf16(f[i]);
}
#else
enum { VEC_WIDTH = 1 };
typedef float vec;
static inline vec vec_load(const float *x) { return *x; }
static inline void vec_store(float *x, vec v) { *x = v; }
static inline vec vec_set(float x) { return x; }
static inline vec vec_add(vec a, vec b) { return a + b; }
static inline vec vec_sub(vec a, vec b) { return a - b; }
static inline vec vec_mul(vec a, vec b) { return a * b; }
static inline vec vec_div(vec a, vec b) { return a / b; }
static inline vec vec_fma(vec a, vec b, vec c) { return a * b + c; }
static inline vec vec_max(vec a, vec b) { return a > b ? a : b; }
static inline vec vec_min(vec a, vec b) { return a < b ? a : b; }
static inline vec vec_sqrt(vec a) { return sqrtf(a); }
static inline float vec_sum(vec a) { return a; }
static inline float vec_largest(vec a) { return a; }
static inline void vec_sum4(vec a, vec b, vec c, vec d, float *out) { out[0] = a, out[1] = b, out[2] = c, out[3] = d; }
static inline vec vec_round(vec a) { return nearbyintf(a); }
static inline vec vec_exp2i(vec n)
{
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}
static inline vec vec_load_bf16(const bf16 *x) { return bf16_to_f32(*x); }
static inline void vec_store_bf16(bf16 *x, vec v) { *x = f32_to_bf16(v); }
#endif

/* Words of two bf16: their product added to c; two vectors rounded into words, of `even` the low halves; words of elements that are bf16 already. Only where the processor has them. */
#if defined(__AVX512BF16__)
enum { VEC_HAS_PAIRS = 1 };
static inline vec vec_dot_pairs(vec a, vec b, vec c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
static inline vec vec_pairs(vec even, vec odd)
{
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even)), high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}
static inline vec vec_zip(const bf16 *even, const bf16 *odd)
{
    __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)even));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_castps_si512(vec_load_bf16(odd))));
}
#else
enum { VEC_HAS_PAIRS = 0 };
static inline vec vec_dot_pairs(vec a, vec b, vec c) { return vec_fma(a, b, c); }
static inline vec vec_pairs(vec even, vec odd) { return vec_add(even, odd); }
static inline vec vec_zip(const bf16 *even, const bf16 *odd) { return vec_add(vec_load_bf16(even), vec_load_bf16(odd)); }
#endif

/* out[j][i] = in[i][j] of VEC_WIDTH x VEC_WIDTH words. */
static inline void vec_transpose(const float *in, int64_t in_stride, float *out, int64_t out_stride)
{
#if defined(__AVX512F__)
    __m512 row[16], pair[16];
    for (int i = 0; i < 16; i++)
        row[i] = _mm512_loadu_ps(in + i * in_stride);
    for (int i = 0; i < 16; i += 2) {               /* 2 x 2 */
        pair[i] = _mm512_unpacklo_ps(row[i], row[i + 1]);
        pair[i + 1] = _mm512_unpackhi_ps(row[i], row[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)                 /* 4 x 4 */
        for (int j = 0; j < 2; j++) {
            row[i + 2 * j] = _mm512_shuffle_ps(pair[i + j], pair[i + j + 2], 0x44);
            row[i + 2 * j + 1] = _mm512_shuffle_ps(pair[i + j], pair[i + j + 2], 0xee);
        }
    for (int i = 0; i < 16; i += 8)                 /* 128-bit parts of rows four apart */
        for (int j = 0; j < 4; j++) {
            pair[i + j] = _mm512_shuffle_f32x4(row[i + j], row[i + j + 4], 0x88);
            pair[i + j + 4] = _mm512_shuffle_f32x4(row[i + j], row[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        _mm512_storeu_ps(out + j * out_stride, _mm512_shuffle_f32x4(pair[j], pair[j + 8], 0x88));
        _mm512_storeu_ps(out + (j + 8) * out_stride, _mm512_shuffle_f32x4(pair[j], pair[j + 8], 0xdd));
    }
#else
    for (int i = 0; i < VEC_WIDTH; i++)
        for (int j = 0; j < VEC_WIDTH; j++)
            out[j * out_stride + i] = in[i * in_stride + j];
#endif
}

/* exp(x) within 2 ulp for x in [-87, 88]; below it 0 within 1e-38, above it clamped. x = n log 2 + r, a polynomial in r. NaN gives NaN. */
static inline vec vec_exp(vec x)
{
    vec clamped = vec_min(vec_set(88.0f), vec_max(vec_set(-87.0f), x));     /* in this order a NaN stays one */
    vec n = vec_round(vec_mul(clamped, vec_set(1.44269504f)));
    vec r = vec_fma(n, vec_set(-0.693359375f), clamped);
    r = vec_fma(n, vec_set(2.12194440e-4f), r);
    vec p = vec_set(1.9875691500e-4f);
    p = vec_fma(p, r, vec_set(1.3981999507e-3f));
    p = vec_fma(p, r, vec_set(8.3334519073e-3f));
    p = vec_fma(p, r, vec_set(4.1665795894e-2f));
    p = vec_fma(p, r, vec_set(1.6666665459e-1f));
    p = vec_fma(p, r, vec_set(5.0000001201e-1f));
    p = vec_fma(p, vec_mul(r, r), vec_add(r, vec_set(1.0f)));
    return vec_mul(p, vec_exp2i(n));
}

/* vec_sum4 above: out[0..3] = the sums of four vectors, each in the same order. */

/* Elements of either type at element offset i. */
static inline vec vec_get(const void *x, enum dtype dtype, int64_t i)
{
    return dtype == F32 ? vec_load((const float *)x + i) : vec_load_bf16((const bf16 *)x + i);
}
static inline void vec_put(void *x, enum dtype dtype, int64_t i, vec v)
{
    if (dtype == F32)
        vec_store((float *)x + i, v);
    else
        vec_store_bf16((bf16 *)x + i, v);
}

/* The first n < VEC_WIDTH elements of a vector: the rest is zero, or not written. The arithmetic of a tail is that of whole vectors. */
static inline vec vec_get_some(const void *x, enum dtype dtype, int64_t i, int64_t n)
{
    float some[VEC_WIDTH] = {0};
    for (int64_t j = 0; j < n; j++)
        some[j] = dtype_get(x, dtype, i + j);
    return vec_load(some);
}
static inline void vec_put_some(void *x, enum dtype dtype, int64_t i, int64_t n, vec v)
{
    float some[VEC_WIDTH];
    vec_put(some, dtype, 0, v);
    memcpy(dtype_at(x, dtype, i), some, (size_t)n * dtype_bytes(dtype));
}

#endif
