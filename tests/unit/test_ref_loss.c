/* Cross-entropy, reward head and Bradley-Terry of the reference: by hand, by finite differences, and cut over the vocabulary. */
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

enum { ROWS = 4, VOCAB = 7, BEFORE = 3, PREDICTIONS = 9, ALL = BEFORE + PREDICTIONS };
static const double SCALE = 0.25;

/* Row 0 has one target, row 1 three (two of them equal), row 2 none, row 3 five; BEFORE predictions belong to an earlier chunk. */
struct entropy {
    float logits[ROWS * VOCAB], max[ROWS], sum[ROWS], target_logit[PREDICTIONS], dlogits[ROWS * VOCAB], weight[ALL];
    uint32_t target[ALL];
    double loss;
};
static const int32_t prediction_first[ROWS + 1] = {BEFORE, BEFORE + 1, BEFORE + 4, BEFORE + 4, BEFORE + 9};

static struct entropy random_entropy(uint64_t seed)
{
    struct random random = {seed};
    struct entropy e = {.loss = 0.0};
    random_fill(&random, e.logits, ROWS * VOCAB, 2.0, F32);
    for (int i = 0; i < ALL; i++) {
        e.weight[i] = (float)random_uniform(&random, 0.1, 1.0);
        e.target[i] = (uint32_t)random_int(&random, 0, VOCAB - 1);
    }
    e.target[BEFORE + 2] = e.target[BEFORE + 1];
    return e;
}

static struct cross_entropy_args args_of(struct entropy *e)
{
    return (struct cross_entropy_args){.rows = ROWS, .cols = VOCAB, .logits = e->logits, .prediction_first = prediction_first, .target = e->target,
        .weight = e->weight, .max = e->max, .sum = e->sum, .target_logit = e->target_logit, .loss = &e->loss, .dlogits = e->dlogits, .scale = (float)SCALE};
}

static double entropy_loss(void *context)
{
    struct entropy *e = context;
    struct cross_entropy_args args = args_of(e);
    e->loss = 0.0;
    assert_int_equal(kernels_ref.cross_entropy_max(NULL, &args), OK);
    assert_int_equal(kernels_ref.cross_entropy_sum(NULL, &args), OK);
    assert_int_equal(kernels_ref.cross_entropy_loss(NULL, &args), OK);
    return SCALE * e->loss;
}

static double loss_by_hand(const struct entropy *e)
{
    double loss = 0.0;
    for (int r = 0; r < ROWS; r++) {
        double sum = 0.0;
        for (int v = 0; v < VOCAB; v++)
            sum += exp((double)e->logits[r * VOCAB + v]);
        for (int32_t i = prediction_first[r]; i < prediction_first[r + 1]; i++)
            loss -= (double)e->weight[i] * log(exp((double)e->logits[r * VOCAB + (int)e->target[i]]) / sum);
    }
    return loss;
}

static void the_loss_is_the_weighted_sum_of_negative_log_probabilities(void **state)
{
    (void)state;
    struct entropy e = random_entropy(1);
    double want = SCALE * loss_by_hand(&e), got = entropy_loss(&e);
    assert_close("loss", &got, &want, 1, 1e-6);
}

static void the_backward_of_cross_entropy_agrees_with_finite_differences_also_in_place(void **state)
{
    (void)state;
    struct entropy e = random_entropy(2), in_place;
    entropy_loss(&e);
    struct cross_entropy_args args = args_of(&e);
    assert_int_equal(kernels_ref.cross_entropy_backward(NULL, &args), OK);
    in_place = e;
    args = args_of(&in_place);
    args.dlogits = in_place.logits;
    assert_int_equal(kernels_ref.cross_entropy_backward(NULL, &args), OK);
    assert_memory_equal(in_place.logits, e.dlogits, sizeof e.dlogits);
    assert_gradient("dlogits", e.logits, e.dlogits, ROWS * VOCAB, entropy_loss, &e, 1e-4);
}

/* Two ranks hold columns [0, 3) and [3, 7): the reductions are done here by hand. */
static void a_vocabulary_cut_in_two_gives_the_same_loss_and_gradient(void **state)
{
    (void)state;
    enum { CUT = 3 };
    struct entropy whole = random_entropy(3), part[2] = {random_entropy(3), random_entropy(3)};
    struct cross_entropy_args args[2], all = args_of(&whole);
    double want = entropy_loss(&whole), got = 0.0;
    assert_int_equal(kernels_ref.cross_entropy_backward(NULL, &all), OK);
    for (int p = 0; p < 2; p++) {
        int first = p ? CUT : 0, cols = p ? VOCAB - CUT : CUT;
        for (int i = 0; i < ROWS * cols; i++)
            part[p].logits[i] = whole.logits[i / cols * VOCAB + first + i % cols];
        args[p] = args_of(&part[p]);
        args[p].cols = cols, args[p].vocab_first = first;
        assert_int_equal(kernels_ref.cross_entropy_max(NULL, &args[p]), OK);
    }
    for (int r = 0; r < ROWS; r++)
        part[0].max[r] = part[1].max[r] = fmaxf(part[0].max[r], part[1].max[r]);
    for (int p = 0; p < 2; p++)
        assert_int_equal(kernels_ref.cross_entropy_sum(NULL, &args[p]), OK);
    for (int r = 0; r < ROWS; r++)
        part[0].sum[r] = part[1].sum[r] = part[0].sum[r] + part[1].sum[r];
    for (int i = 0; i < PREDICTIONS; i++)
        part[0].target_logit[i] = part[1].target_logit[i] = part[0].target_logit[i] + part[1].target_logit[i];
    for (int p = 0; p < 2; p++) {
        part[p].loss = 0.0;
        assert_int_equal(kernels_ref.cross_entropy_loss(NULL, &args[p]), OK);
        got = SCALE * part[p].loss;
        assert_close("loss", &got, &want, 1, 1e-6);
        assert_int_equal(kernels_ref.cross_entropy_backward(NULL, &args[p]), OK);
        for (int i = 0; i < ROWS * (int)args[p].cols; i++)
            assert_float_equal(part[p].dlogits[i], whole.dlogits[i / args[p].cols * VOCAB + args[p].vocab_first + i % args[p].cols], 1e-6f);
    }
}

static void logits_of_a_thousand_do_not_overflow_and_a_nan_is_not_hidden(void **state)
{
    (void)state;
    struct entropy e = random_entropy(4);
    e.logits[0] = 1000.0f, e.logits[1] = -1000.0f;
    assert_true(isfinite(entropy_loss(&e)));
    e.logits[2] = NAN;
    assert_true(!isfinite(entropy_loss(&e)));
}

enum { N = 5, COLS = 6, COMPARISONS = 4 };
struct reward { float h[N * COLS], w[COLS], r[N], dr[N], dh[N * COLS], dw[COLS]; };

static double reward_loss(void *context)
{
    struct reward *x = context;
    struct reward_args args = {.rows = N, .cols = COLS, .h = x->h, .w = x->w, .r = x->r};
    assert_int_equal(kernels_ref.reward_forward(NULL, &args), OK);
    return weighted_sum(x->r, x->dr, N);
}

static void the_backward_of_the_reward_head_agrees_with_finite_differences(void **state)
{
    (void)state;
    struct random random = {5};
    struct reward x = {.dw = {0}};
    random_fill(&random, x.h, N * COLS, 1.0, F32), random_fill(&random, x.w, COLS, 1.0, F32), random_fill(&random, x.dr, N, 1.0, F32);
    struct reward_args args = {.rows = N, .cols = COLS, .h = x.h, .w = x.w, .dr = x.dr, .dh = x.dh, .dw = x.dw};
    assert_int_equal(kernels_ref.reward_backward(NULL, &args), OK);
    assert_gradient("dh", x.h, x.dh, N * COLS, reward_loss, &x, 2e-5);
    assert_gradient("dw", x.w, x.dw, COLS, reward_loss, &x, 2e-5);
}

static const int32_t chosen[COMPARISONS] = {0, 2, 0, 4}, rejected[COMPARISONS] = {1, 3, 3, 1};
struct bradley_terry { float r[N], dr[N], weight[COMPARISONS]; double loss, correct, margin; };

static double bradley_terry_loss(void *context)
{
    struct bradley_terry *x = context;
    x->loss = x->correct = x->margin = 0.0;
    memset(x->dr, 0, sizeof x->dr);
    struct bradley_terry_args args = {.n_comparisons = COMPARISONS, .chosen = chosen, .rejected = rejected, .weight = x->weight, .r = x->r, .dr = x->dr,
                                      .scale = (float)SCALE, .loss = &x->loss, .correct = &x->correct, .margin = &x->margin};
    assert_int_equal(kernels_ref.bradley_terry(NULL, &args), OK);
    return SCALE * x->loss;
}

static struct bradley_terry random_comparisons(uint64_t seed)
{
    struct random random = {seed};
    struct bradley_terry x = {.loss = 0.0};
    random_fill(&random, x.r, N, 2.0, F32);
    for (int i = 0; i < COMPARISONS; i++)
        x.weight[i] = (float)random_uniform(&random, 0.1, 1.0);
    return x;
}

static void the_gradient_of_bradley_terry_agrees_with_finite_differences(void **state)
{
    (void)state;
    struct bradley_terry x = random_comparisons(6);
    float dr[N];
    double loss = bradley_terry_loss(&x), want = 0.0;
    memcpy(dr, x.dr, sizeof dr);
    for (int i = 0; i < COMPARISONS; i++)
        want += SCALE * (double)x.weight[i] * log1p(exp(-((double)x.r[chosen[i]] - (double)x.r[rejected[i]])));
    assert_close("loss", &loss, &want, 1, 1e-6);
    assert_gradient("dr", x.r, dr, N, bradley_terry_loss, &x, 1e-4);
}

static void a_tie_is_counted_as_wrong_and_the_margin_is_weighted(void **state)
{
    (void)state;
    struct bradley_terry x = random_comparisons(7);
    const float r[N] = {1.0f, 1.0f, 2.0f, 1.0f, 3.0f};
    memcpy(x.r, r, sizeof r);
    bradley_terry_loss(&x);     /* d = 0, 1, 0, 2 */
    assert_true(fabs(x.correct - (double)x.weight[1] - (double)x.weight[3]) < 1e-6);
    assert_true(fabs(x.margin - (double)x.weight[1] - 2.0 * (double)x.weight[3]) < 1e-6);
}

static void rewards_a_thousand_apart_do_not_overflow(void **state)
{
    (void)state;
    struct bradley_terry x = random_comparisons(8);
    x.r[0] = -1000.0f, x.r[3] = 1000.0f;
    double loss = bradley_terry_loss(&x);
    assert_true(isfinite(loss) && loss > SCALE * (double)x.weight[2] * 1999.0);
    for (int i = 0; i < N; i++)
        assert_true(isfinite(x.dr[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_is_the_weighted_sum_of_negative_log_probabilities),
        cmocka_unit_test(the_backward_of_cross_entropy_agrees_with_finite_differences_also_in_place),
        cmocka_unit_test(a_vocabulary_cut_in_two_gives_the_same_loss_and_gradient),
        cmocka_unit_test(logits_of_a_thousand_do_not_overflow_and_a_nan_is_not_hidden),
        cmocka_unit_test(the_backward_of_the_reward_head_agrees_with_finite_differences),
        cmocka_unit_test(the_gradient_of_bradley_terry_agrees_with_finite_differences),
        cmocka_unit_test(a_tie_is_counted_as_wrong_and_the_margin_is_weighted),
        cmocka_unit_test(rewards_a_thousand_apart_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
