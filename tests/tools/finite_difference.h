/* finite_difference: is a gradient the derivative of a function?
 *
 * Central differences of fourth order, (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h, with h = 1/32 on inputs of size about 1.
 * Error: h^4 f5 / 30 = 3e-8 f5 by truncation, and about 1e-7 / h = 3e-6 by the float32 rounding of x and of what f computes.
 */
#ifndef TESTS_TOOLS_FINITE_DIFFERENCE_H
#define TESTS_TOOLS_FINITE_DIFFERENCE_H

#include <stdint.h>

/* ||a - b|| <= tolerance * ||b||, both finite; prints `what` and the error, and fails the running cmocka test if not. */
void assert_close(const char *what, const double *a, const double *b, int64_t n_elems, double tolerance);
void assert_close_float(const char *what, const float *a, const float *b, int64_t n_elems, double tolerance);

/* Moves each of x[n_elems] in turn, calls loss(context) and compares with gradient[n_elems] by assert_close. x is as before on return. */
void assert_gradient(const char *what, float *x, const float *gradient, int64_t n_elems, double (*loss)(void *context), void *context, double tolerance);

/* sum of y * g in double: makes one loss of many outputs, so that g is the gradient that the backward is given. */
double weighted_sum(const float *y, const float *g, int64_t n_elems);

#endif
