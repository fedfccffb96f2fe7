/* Rotary embedding, SwiGLU, add and cast of the reference. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tests/tools/finite_difference.h"
#include "tests/tools/random_values.h"

enum { ROWS = 4, HEADS = 3, DIM = 6, HALF = DIM / 2, ELEMS = ROWS * HEADS * DIM, POSITIONS = 11 };

struct rotary { float x[ELEMS], y[ELEMS], dy[ELEMS], cos[POSITIONS * HALF], sin[POSITIONS * HALF]; int32_t position[ROWS]; };

static struct rotary random_rotary(uint64_t seed)
{
    struct random random = {seed};
    struct rotary r;
    random_fill(&random, r.x, ELEMS, 1.0, F32), random_fill(&random, r.dy, ELEMS, 1.0, F32);
    for (int p = 0; p < POSITIONS; p++)
        for (int i = 0; i < HALF; i++) {
            r.cos[p * HALF + i] = (float)cos(p * pow(100.0, -(double)i / HALF));
            r.sin[p * HALF + i] = (float)sin(p * pow(100.0, -(double)i / HALF));
        }
    for (int t = 0; t < ROWS; t++)
        r.position[t] = (int32_t)random_int(&random, 0, POSITIONS - 1);
    return r;
}

static void rotate(struct rotary *r, float *x, bool inverse)
{
    struct rope_args args = {.rows = ROWS, .heads = HEADS, .dim = DIM, .x = x, .position = r->position, .cos = r->cos, .sin = r->sin, .inverse = inverse};
    assert_int_equal(kernels_ref.rope(NULL, &args), OK);
}

static double rotary_loss(void *context)
{
    struct rotary *r = context;
    memcpy(r->y, r->x, sizeof r->x);
    rotate(r, r->y, false);
    return weighted_sum(r->y, r->dy, ELEMS);
}

static void a_pair_turns_by_the_angle_of_its_position(void **state)
{
    (void)state;
    struct rotary r = random_rotary(1);
    rotary_loss(&r);
    for (int e = 0; e < ELEMS; e++) {
        int t = e / (HEADS * DIM), i = e % DIM % HALF, pair = e - e % DIM + i;
        double angle = r.position[t] * pow(100.0, -(double)i / HALF), x = (double)r.x[pair], y = (double)r.x[pair + HALF];
        double want = e % DIM < HALF ? x * cos(angle) - y * sin(angle) : y * cos(angle) + x * sin(angle);
        assert_float_equal(r.y[e], (float)want, 1e-6f);
    }
}

static void rotating_back_is_the_inverse_and_the_backward(void **state)
{
    (void)state;
    struct rotary r = random_rotary(2);
    float dx[ELEMS];
    memcpy(dx, r.dy, sizeof dx);
    rotate(&r, dx, true);
    assert_gradient("dx", r.x, dx, ELEMS, rotary_loss, &r, 2e-5);
    rotary_loss(&r);
    rotate(&r, r.y, true);
    for (int i = 0; i < ELEMS; i++)
        assert_float_equal(r.y[i], r.x[i], 1e-6f);
}

struct swiglu { float gate[ELEMS], up[ELEMS], y[ELEMS], dy[ELEMS]; };

static double swiglu_loss(void *context)
{
    struct swiglu *s = context;
    struct swiglu_args args = {.n_elems = ELEMS, .gate = s->gate, .up = s->up, .y = s->y};
    assert_int_equal(kernels_ref.swiglu_forward(NULL, &args), OK);
    return weighted_sum(s->y, s->dy, ELEMS);
}

static void the_backward_of_swiglu_agrees_with_finite_differences_also_in_place(void **state)
{
    (void)state;
    struct random random = {3};
    struct swiglu s;
    random_fill(&random, s.gate, ELEMS, 4.0, F32), random_fill(&random, s.up, ELEMS, 1.0, F32), random_fill(&random, s.dy, ELEMS, 1.0, F32);
    float dgate[ELEMS], dup[ELEMS];
    memcpy(dgate, s.gate, sizeof dgate), memcpy(dup, s.up, sizeof dup);
    struct swiglu_args args = {.n_elems = ELEMS, .gate = dgate, .up = dup, .dy = s.dy, .dgate = dgate, .dup = dup};
    assert_int_equal(kernels_ref.swiglu_backward(NULL, &args), OK);
    assert_gradient("dgate", s.gate, dgate, ELEMS, swiglu_loss, &s, 1e-4);
    assert_gradient("dup", s.up, dup, ELEMS, swiglu_loss, &s, 1e-4);
}

static void swiglu_of_a_huge_gate_is_finite(void **state)
{
    (void)state;
    float gate[2] = {-1e4f, 1e4f}, up[2] = {1.0f, 2.0f}, y[2];
    struct swiglu_args args = {.n_elems = 2, .gate = gate, .up = up, .y = y};
    assert_int_equal(kernels_ref.swiglu_forward(NULL, &args), OK);
    assert_float_equal(y[0], 0.0f, 0.0f);
    assert_float_equal(y[1], 2e4f, 0.0f);
}

static void a_cast_to_bf16_rounds_to_nearest_with_ties_to_even(void **state)
{
    (void)state;
    float x[6] = {1.0f, 1.0f + 0x1p-8f, 1.0f + 0x3p-8f, 1.0f + 0x1.8p-8f, -1.0f - 0x1p-9f, NAN};
    const float want[5] = {1.0f, 1.0f, 1.0f + 0x4p-8f, 1.0f + 0x2p-8f, -1.0f};
    bf16 y[6];
    struct map_args args = {.n_elems = 6, .dtype = F32, .dtype_y = BF16, .x = x, .y = y};
    assert_int_equal(kernels_ref.cast(NULL, &args), OK);
    for (int i = 0; i < 5; i++)
        assert_float_equal(bf16_to_f32(y[i]), want[i], 0.0f);
    assert_true(isnan(bf16_to_f32(y[5])));
}

static void add_adds(void **state)
{
    (void)state;
    bf16 x[3], y[3];
    for (int i = 0; i < 3; i++)
        dtype_put(x, BF16, i, (float)i), dtype_put(y, BF16, i, 10.0f);
    struct map_args args = {.n_elems = 3, .dtype = BF16, .dtype_y = BF16, .x = x, .y = y};
    assert_int_equal(kernels_ref.add(NULL, &args), OK);
    for (int i = 0; i < 3; i++)
        assert_float_equal(dtype_get(y, BF16, i), 10.0f + (float)i, 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_turns_by_the_angle_of_its_position),
        cmocka_unit_test(rotating_back_is_the_inverse_and_the_backward),
        cmocka_unit_test(the_backward_of_swiglu_agrees_with_finite_differences_also_in_place),
        cmocka_unit_test(swiglu_of_a_huge_gate_is_finite),
        cmocka_unit_test(a_cast_to_bf16_rounds_to_nearest_with_ties_to_even),
        cmocka_unit_test(add_adds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
