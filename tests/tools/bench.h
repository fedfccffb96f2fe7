/* bench: what programs that measure speed share. Works on any device; a failing call ends the program with its sentence. */
#ifndef TESTS_TOOLS_BENCH_H
#define TESTS_TOOLS_BENCH_H

#include "kernels/kernels.h"
#include "random_values.h"

struct bench { struct device *device; const struct kernels *kernels; struct random random; };

void bench_must(int status);
double bench_now_s(void);
/* Sorts x. */
double bench_median(double *x, int n);

/* Device memory of n elements with random values in [-1, 1), which repeat after some millions: never zeros, which run faster than data do. bench_drop gives n arrays back. */
struct array { void *memory; size_t n_bytes; };
struct array bench_draw(struct bench *bench, int64_t n_elems, enum dtype dtype);
void bench_drop(struct bench *bench, struct array *x, int n);
/* Such values in [-scale, scale) into memory that is there. */
void bench_fill(struct bench *bench, void *memory, int64_t n_elems, enum dtype dtype, double scale);
/* Every element is `value`. */
void bench_fill_with(struct bench *bench, void *memory, int64_t n_elems, enum dtype dtype, float value);

/* A slot of the table as a function of any arguments: BENCH_CALL(gemm) makes call_gemm. */
typedef int bench_call(struct stream *, const void *args);
#define BENCH_CALL(name) static int call_##name(struct stream *s, const void *args) { return s->device->kernels->name(s, args); }

/* Pairs of a query row and a key that it sees, times query heads. */
double bench_attention_pairs(const struct attention_args *a);

/* {"measure": NAME, "value": VALUE, "unit": UNIT}: the name is made from fmt. A name is printed once in a run; ci/gpu.sh collects such lines. */
void measure(double value, const char *unit, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
