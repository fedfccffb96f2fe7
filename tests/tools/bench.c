/* bench: see the header. */
#include "tests/tools/bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCK = 1 << 22 };

void bench_must(int status)
{
    if (status == OK)
        return;
    fprintf(stderr, "%s (%s)\n", trace_sentence(), trace_place());
    exit(1);
}

double bench_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2.0;
}

static void copy(struct bench *b, void *to, const void *from, size_t n_bytes, enum device_copy kind)
{
    bench_must(b->device->ops->copy(&b->device->stream, to, from, n_bytes, kind));
    bench_must(b->device->ops->synchronize(&b->device->stream));
}

/* The first n elements of memory are there; the rest repeats them. */
static void repeat(struct bench *b, void *memory, int64_t n, int64_t n_elems, enum dtype dtype)
{
    for (int64_t at = n; at < n_elems; at *= 2)
        copy(b, dtype_at(memory, dtype, at), memory, (size_t)(n_elems - at < at ? n_elems - at : at) * dtype_bytes(dtype), DEVICE_TO_DEVICE);
}

static void fill_block(struct bench *b, void *memory, int64_t n_elems, enum dtype dtype, double low, double high)
{
    int64_t n = n_elems < BLOCK ? n_elems : BLOCK;
    void *host = malloc((size_t)n * dtype_bytes(dtype) + 1);
    bench_must(host ? OK : FAIL("out of memory"));
    for (int64_t i = 0; i < n; i++)
        dtype_put(host, dtype, i, (float)random_uniform(&b->random, low, high));
    if (n > 0)
        copy(b, memory, host, (size_t)n * dtype_bytes(dtype), HOST_TO_DEVICE);
    free(host);
    if (n > 0)
        repeat(b, memory, n, n_elems, dtype);
}

void bench_fill(struct bench *b, void *memory, int64_t n_elems, enum dtype dtype, double scale) { fill_block(b, memory, n_elems, dtype, -scale, scale); }
void bench_fill_with(struct bench *b, void *memory, int64_t n_elems, enum dtype dtype, float value) { fill_block(b, memory, n_elems, dtype, (double)value, (double)value); }

struct array bench_draw(struct bench *b, int64_t n_elems, enum dtype dtype)
{
    struct array x = {.n_bytes = (size_t)n_elems * dtype_bytes(dtype)};
    bench_must(device_alloc(b->device, x.n_bytes, &x.memory));
    bench_fill(b, x.memory, n_elems, dtype, 1.0);
    return x;
}

void bench_drop(struct bench *b, struct array *x, int n)
{
    for (int i = 0; i < n; i++)
        device_free(b->device, &x[i].memory, x[i].n_bytes);
}

double bench_attention_pairs(const struct attention_args *a)
{
    double pairs = 0.0;
    for (int r = 0; r < a->n_runs; r++)
        for (int i = 0; i < a->runs[r].range_count; i++) {
            double keys = a->ranges[a->runs[r].range_first + i].count, queries = a->runs[r].q_count;
            pairs += i < a->runs[r].range_count - 1 ? queries * keys : queries * (keys - queries) + queries * (queries + 1) / 2;
        }
    return pairs * a->heads;
}

void measure(double value, const char *unit, const char *fmt, ...)
{
    char name[256];
    va_list list;
    va_start(list, fmt);
    vsnprintf(name, sizeof name, fmt, list);
    va_end(list);
    printf("{\"measure\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}\n", name, value, unit);
    fflush(stdout);
}
