/* gemm_company: see the header. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gemm_company.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "random_values.h"

enum { MOST_N = 24, THE_ROW = 17, N_PLACES = 10 };

/* All rows there are: a [all][ld], C before the product [all][ld], weights b [n][k]. */
struct company { struct device *device; enum dtype dtype, dtype_c; int64_t all, n, k, ld; bool accumulate; const void *a, *b, *before; };

static void *take(struct device *device, int64_t n)
{
    void *memory = NULL;
    assert_int_equal(device_alloc(device, (size_t)n * 4, &memory), OK);
    return memory;
}

static void drop(struct device *device, const void *memory, int64_t n)
{
    void *at = (void *)(uintptr_t)memory;
    device_free(device, &at, (size_t)n * 4);
}

static void *draw(struct device *device, struct random *random, int64_t n, enum dtype dtype)
{
    float *host = calloc((size_t)n, sizeof *host);
    assert_non_null(host);
    for (int64_t i = 0; i < n; i++)
        dtype_put(host, dtype, i, (float)random_uniform(random, -1.0, 1.0));
    void *memory = take(device, n);
    assert_int_equal(device->ops->copy(&device->stream, memory, host, (size_t)n * dtype_bytes(dtype), HOST_TO_DEVICE), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    free(host);
    return memory;
}

/* THE_ROW of the product of rows [first, first + rows). */
static void multiply(const struct company *t, int64_t first, int64_t rows, unsigned char *out)
{
    struct device *device = t->device;
    size_t n_bytes = dtype_bytes(t->dtype_c);
    void *c = take(device, rows * t->ld);
    assert_int_equal(device->ops->copy(&device->stream, c, dtype_at_const(t->before, t->dtype_c, first * t->ld), (size_t)(rows * t->ld) * n_bytes, DEVICE_TO_DEVICE), OK);
    struct gemm_args g = {.m = rows, .n = t->n, .k = t->k, .trans_b = true, .accumulate = t->accumulate, .a = dtype_at_const(t->a, t->dtype, first * t->ld), .lda = t->ld, .b = t->b,
                          .ldb = t->k, .c = c, .ldc = t->ld, .dtype_ab = t->dtype, .dtype_c = t->dtype_c};
    assert_int_equal(device->kernels->gemm(&device->stream, &g), OK);
    assert_int_equal(device->ops->copy(&device->stream, out, dtype_at(c, t->dtype_c, (THE_ROW - first) * t->ld), (size_t)t->n * n_bytes, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    drop(device, c, rows * t->ld);
}

static int differences(const struct company *t)
{
    const struct { int64_t first, rows; } place[N_PLACES] = {{17, 2}, {16, 2}, {10, 8}, {9, 9}, {17, 64}, {10, 100}, {0, 128}, {3, 129}, {0, 201}, {0, t->all}};
    unsigned char alone[MOST_N * 4], company[MOST_N * 4];
    int n = 0;
    multiply(t, THE_ROW, 1, alone);
    for (int i = 0; i < N_PLACES; i++) {
        multiply(t, place[i].first, place[i].rows, company);
        n += memcmp(alone, company, (size_t)t->n * dtype_bytes(t->dtype_c)) != 0;
    }
    return n;
}

int gemm_company_differences(struct device *device)
{
    static const struct { int64_t all, n, k, ld; } shape[] = {{300, 24, 300, 304}, {300, 24, 128, 136}, {300, 5, 33, 35}, {5000, 8, 64, 64}};
    struct random random = {3};
    int n = 0;
    for (int bits = 0; bits < 16; bits++) {
        struct company t = {.device = device, .dtype = bits & 1 ? BF16 : F32, .dtype_c = (bits & 3) == 1 ? BF16 : F32, .accumulate = bits & 2};
        t.all = shape[bits / 4].all, t.n = shape[bits / 4].n, t.k = shape[bits / 4].k, t.ld = shape[bits / 4].ld;
        t.a = draw(device, &random, t.all * t.ld, t.dtype), t.b = draw(device, &random, t.n * t.k, t.dtype), t.before = draw(device, &random, t.all * t.ld, t.dtype_c);
        n += differences(&t);
        drop(device, t.a, t.all * t.ld), drop(device, t.b, t.n * t.k), drop(device, t.before, t.all * t.ld);
    }
    return n;
}
