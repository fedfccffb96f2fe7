/* finite_difference: see the header. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "finite_difference.h"

#include <math.h>
#include <stdlib.h>

void assert_close(const char *what, const double *a, const double *b, int64_t n_elems, double tolerance)
{
    double difference = 0.0, size = 0.0;
    for (int64_t i = 0; i < n_elems; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    if (!(sqrt(difference) <= tolerance * sqrt(size)) || !isfinite(size))
        fail_msg("%s: ||a - b|| = %.3g, ||b|| = %.3g, tolerance %.1g of it", what, sqrt(difference), sqrt(size), tolerance);
}

static double *as_double(const float *x, int64_t n_elems)
{
    double *y = malloc((size_t)(n_elems + 1) * sizeof *y);
    assert_non_null(y);
    for (int64_t i = 0; i < n_elems; i++)
        y[i] = (double)x[i];
    return y;
}

void assert_close_float(const char *what, const float *a, const float *b, int64_t n_elems, double tolerance)
{
    double *wide_a = as_double(a, n_elems), *wide_b = as_double(b, n_elems);
    assert_close(what, wide_a, wide_b, n_elems, tolerance);
    free(wide_a);
    free(wide_b);
}

/* f(x + h) - f(x - h) */
static double difference(float *x, float h, double (*loss)(void *), void *context)
{
    float before = *x;
    *x = before + h;
    double up = loss(context);
    *x = before - h;
    double down = loss(context);
    *x = before;
    return up - down;
}

void assert_gradient(const char *what, float *x, const float *gradient, int64_t n_elems, double (*loss)(void *context), void *context, double tolerance)
{
    const float h = 1.0f / 32.0f;
    double *expected = malloc((size_t)n_elems * sizeof *expected), *got = as_double(gradient, n_elems);
    assert_non_null(expected);
    for (int64_t i = 0; i < n_elems; i++)
        expected[i] = (8.0 * difference(&x[i], h, loss, context) - difference(&x[i], 2.0f * h, loss, context)) / (12.0 * (double)h);
    assert_close(what, got, expected, n_elems, tolerance);
    free(expected);
    free(got);
}

double weighted_sum(const float *y, const float *g, int64_t n_elems)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n_elems; i++)
        sum += (double)y[i] * (double)g[i];
    return sum;
}
