/* peak: see peak.h. */
#include "kernels/peak.h"

#include <time.h>

#include "base/status.h"
#include "kernels/kernels.h"

/* A GPU is far from its peak in a product that a core takes milliseconds for: the side doubles until a product takes LONG_S. */
enum { LEAST_SIDE = 1024, MOST_SIDE = 8192, LEAST_TRIES = 5 };
static const double long_s = 0.5e-3;
static const double least_s = 0.4;  /* threads just made share a core until the scheduler has spread them, and a core needs a while to its full clock */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int time_products(struct device *d, const struct gemm_args *args, double *best_s)
{
    double first_s = now_s(), end_s = first_s;
    *best_s = 1e30;
    for (int i = 0; i < LEAST_TRIES || end_s - first_s < least_s; i++) {
        double start_s = end_s;
        TRY(d->kernels->gemm(&d->stream, args));
        TRY(d->ops->synchronize(&d->stream));
        end_s = now_s();
        *best_s = end_s - start_s < *best_s ? end_s - start_s : *best_s;
    }
    return OK;
}

/* Numbers as a network has them: a GPU takes less power for zeros, and so goes faster. */
static int fill(struct device *d, void *matrix, size_t n_bytes)
{
    enum { CHUNK = 1 << 16 };
    static uint16_t chunk[CHUNK];           /* pairs of it are float32 of the same size: sign, exponent of 0.5 to 1, and a few bits */
    uint32_t bits = 1;
    for (int i = 0; i < CHUNK; i++) {
        bits = bits * 1664525u + 1013904223u;
        chunk[i] = (uint16_t)(0x3f00u | (bits >> 31 << 15) | (bits >> 20 & 0x7fu));
    }
    for (size_t at = 0; at < n_bytes; at += sizeof chunk)
        TRY(d->ops->copy(&d->stream, (char *)matrix + at, chunk, n_bytes - at < sizeof chunk ? n_bytes - at : sizeof chunk, HOST_TO_DEVICE));
    return OK;
}

static int time_side(struct device *d, int64_t n, enum dtype dtype, double *best_s)
{
    size_t n_bytes = (size_t)(n * n) * dtype_bytes(dtype);
    void *matrix[3] = {NULL, NULL, NULL};
    int status = OK;
    for (int i = 0; i < 3; i++)
        TRY_DONE(device_alloc(d, n_bytes, &matrix[i]));
    for (int i = 0; i < 2; i++)
        TRY_DONE(fill(d, matrix[i], n_bytes));
    struct gemm_args args = {.m = n, .n = n, .k = n, .a = matrix[0], .b = matrix[1], .c = matrix[2], .lda = n, .ldb = n, .ldc = n, .dtype_ab = dtype, .dtype_c = dtype};
    TRY_DONE(time_products(d, &args, best_s));
done:
    for (int i = 0; i < 3; i++)
        device_free(d, &matrix[i], n_bytes);
    return status;
}

int device_peak(struct device *d, enum dtype dtype, double *flops)
{
    double best_s = 0.0;
    *flops = 0.0;
    for (int64_t n = LEAST_SIDE; n <= MOST_SIDE && best_s < long_s; n *= 2) {
        TRY(time_side(d, n, dtype, &best_s));
        double reached = 2.0 * (double)(n * n * n) / best_s;
        *flops = reached > *flops ? reached : *flops;
    }
    return OK;
}
