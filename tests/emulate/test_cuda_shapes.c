/* Shapes that the random sizes of kernel_slots do not reach: rows longer than a block takes at once, more rows than a block has threads, operands that do not lie on 16 bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/emulate/opened_device.h"
#include "tests/tools/agreement.h"

static void both(const char *name, operation *run)
{
    assert_agreement(device, name, run, F32, 1);
    assert_agreement(device, name, run, BF16, 2);
}

/* ---- long rows ------------------------------------------------------------------------------------------------------------------------------- */

enum { WIDEST = 8192 };     /* of float32: 4 chunks of 4 for each of 512 threads */

static int run_wide_norm_forward(struct pass *p)
{
    bool residual = random_int(&p->random, 0, 1) == 1;
    enum operand_kind kind = residual ? SINGLE : ACTIVATION;
    struct rmsnorm_args a = {.rows = 3, .cols = random_int(&p->random, 0, 1) ? WIDEST : WIDEST - 3, .dtype = p->dtype, .dtype_x = residual ? F32 : p->dtype, .eps = 1e-5f};
    a.x = pass_draw(p, kind, a.rows * a.cols, 1.0);
    a.add = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.sum = pass_out(p, pass_draw(p, kind, a.rows * a.cols, 1.0), "sum");
    a.weight = pass_draw(p, ACTIVATION, a.cols, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0), "y");
    a.rstd = pass_out_rounded(p, pass_draw(p, SINGLE, a.rows, 1.0), "rstd");
    return p->kernels->rmsnorm_forward(&p->device->stream, &a);
}

static int run_wide_norm_backward(struct pass *p)
{
    bool residual = random_int(&p->random, 0, 1) == 1;
    enum operand_kind kind = residual ? SINGLE : ACTIVATION;
    struct rmsnorm_args a = {.rows = 37, .cols = random_int(&p->random, 0, 1) ? WIDEST : WIDEST - 3, .dtype = p->dtype, .dtype_x = residual ? F32 : p->dtype, .eps = 1e-5f, .accumulate = true};
    a.x = pass_draw(p, kind, a.rows * a.cols, 1.0);
    a.weight = pass_draw(p, ACTIVATION, a.cols, 1.0);
    a.dy = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.rstd = pass_draw(p, SINGLE, a.rows, 2.0);
    a.dx = pass_out(p, pass_draw(p, kind, a.rows * a.cols, 1.0), "dx");
    a.dweight = pass_out(p, pass_draw(p, SINGLE, a.cols, 1.0), "dweight");
    return p->kernels->rmsnorm_backward(&p->device->stream, &a);
}

static void norms_of_long_rows_agree(void **state)
{
    (void)state;
    both("rmsnorm_forward", run_wide_norm_forward);
    both("rmsnorm_backward", run_wide_norm_backward);
}

static void a_norm_of_rows_too_long_is_refused(void **state)
{
    (void)state;
    struct rmsnorm_args a = {.rows = 1, .cols = WIDEST + 1, .dtype = F32};
    assert_int_equal(device->kernels->rmsnorm_forward(&device->stream, &a), FAILED);
    assert_string_equal(trace_sentence(), "a norm over 8193 columns: the CUDA backend goes up to 8192");
    trace_clear();
}

enum { VOCABULARY = 5003, ENTROPY_ROWS = 3 };

static struct cross_entropy_args draw_entropy(struct pass *p)
{
    struct cross_entropy_args a = {.rows = ENTROPY_ROWS, .cols = random_int(&p->random, 0, 1) ? VOCABULARY : VOCABULARY - 3, .vocab_first = 100, .dtype = p->dtype, .scale = 0.3f};
    a.logits = pass_draw(p, SINGLE, a.rows * a.cols, 8.0);
    a.prediction_first = pass_whole(p, (const int32_t[]){0, 1, 3, 4}, ENTROPY_ROWS + 1);
    a.target = (const uint32_t *)pass_whole(p, (const int32_t[]){100, 4242, 99, 100 + VOCABULARY - 4}, 4);
    a.weight = pass_draw(p, SINGLE, 4, 1.0);
    a.max = pass_given(p, SINGLE, (const float[]){8.0f, 7.5f, 8.0f}, ENTROPY_ROWS);
    a.sum = pass_given(p, SINGLE, (const float[]){900.0f, 800.0f, 700.0f}, ENTROPY_ROWS);
    a.target_logit = pass_draw(p, SINGLE, 4, 1.0);
    return a;
}

static int run_wide_max(struct pass *p)
{
    struct cross_entropy_args a = draw_entropy(p);
    pass_out(p, a.max, "max");
    return p->kernels->cross_entropy_max(&p->device->stream, &a);
}

static int run_wide_sum(struct pass *p)
{
    struct cross_entropy_args a = draw_entropy(p);
    pass_out(p, a.sum, "sum"), pass_out(p, a.target_logit, "target_logit");
    return p->kernels->cross_entropy_sum(&p->device->stream, &a);
}

static int run_wide_entropy_backward(struct pass *p)
{
    struct cross_entropy_args a = draw_entropy(p);
    a.dlogits = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0), "dlogits");
    return p->kernels->cross_entropy_backward(&p->device->stream, &a);
}

static int run_wide_reward_forward(struct pass *p)
{
    struct reward_args a = {.rows = 3, .cols = 4100, .dtype = p->dtype};
    a.h = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.w = pass_draw(p, SINGLE, a.cols, 1.0);
    a.r = pass_out(p, pass_draw(p, SINGLE, a.rows, 1.0), "r");
    return p->kernels->reward_forward(&p->device->stream, &a);
}

static void losses_of_long_rows_agree(void **state)
{
    (void)state;
    both("cross_entropy_max", run_wide_max);
    both("cross_entropy_sum", run_wide_sum);
    both("cross_entropy_backward", run_wide_entropy_backward);
    both("reward_forward", run_wide_reward_forward);
}

/* top_k, top_p and min_p over more columns than a block has threads, some of equal logits; in the last two rows one is no number. */
static int run_wide_sample(struct pass *p)
{
    enum { ROWS = 6, COLUMNS = 3000 };
    const int64_t part_first[] = {0, 1000, COLUMNS};
    const struct sample_rule rule[ROWS] = {{.temperature = 1.0f, .top_p = 1.0f, .uniform = 0.7f, .banned = 5}, {.temperature = 0.8f, .top_p = 0.9f, .top_k = 400, .uniform = 0.3f, .banned = -1},
                                           {.temperature = 0.0f, .top_p = 1.0f, .banned = -1}, {.temperature = 1.3f, .top_p = 0.5f, .min_p = 0.01f, .uniform = 0.95f, .banned = 2999},
                                           {.temperature = 0.0f, .top_p = 1.0f, .banned = -1}, {.temperature = 1.0f, .top_p = 0.9f, .uniform = 0.5f, .banned = -1}};
    struct sample_args a = {.rows = ROWS, .parts = 2, .part_first = part_first, .part_stride = 2000, .rule = rule};
    float *logits = malloc((size_t)(2 * ROWS * a.part_stride) * sizeof *logits);
    assert_non_null(logits);
    for (int64_t i = 0; i < 2 * ROWS * a.part_stride; i++)
        logits[i] = (float)random_int(&p->random, -40, 40) * 0.125f;
    logits[4 * a.part_stride + 17] = logits[(ROWS + 5) * a.part_stride + 900] = NAN;
    a.logits = pass_given(p, SINGLE, logits, 2 * ROWS * a.part_stride);
    free(logits);
    a.token = pass_out(p, pass_whole(p, (const int32_t[ROWS]){0}, ROWS), "token");
    return p->kernels->sample(&p->device->stream, &a);
}

static void sampling_from_a_long_row_agrees(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        assert_agreement(device, "sample", run_wide_sample, F32, seed);
}

/* ---- many rows ------------------------------------------------------------------------------------------------------------------------------- */

static int run_many_tokens(struct pass *p)
{
    enum { ROWS = 700 };
    struct embedding_args a = {.rows = ROWS, .cols = 20, .dtype = p->dtype, .vocab_first = 2, .vocab_count = 5};
    int32_t token[ROWS];
    for (int t = 0; t < ROWS; t++)
        token[t] = t < 300 ? (int32_t)random_int(&p->random, 0, 3) : (int32_t)random_int(&p->random, 0, 9);
    a.token = (const uint32_t *)pass_whole(p, token, ROWS);
    a.dy = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.dtable = pass_out(p, pass_draw(p, SINGLE, a.vocab_count * a.cols, 1.0), "dtable");
    return p->kernels->embedding_backward(&p->device->stream, &a);
}

static int run_many_comparisons(struct pass *p)
{
    enum { N = 600, REWARDS = 9 };
    struct bradley_terry_args a = {.n_comparisons = N, .scale = 0.7f};
    int32_t chosen[N], rejected[N];
    for (int i = 0; i < N; i++) {
        chosen[i] = (int32_t)random_int(&p->random, 0, REWARDS - 1);
        rejected[i] = (chosen[i] + 1 + (int32_t)random_int(&p->random, 0, REWARDS - 2)) % REWARDS;
    }
    a.chosen = pass_whole(p, chosen, N), a.rejected = pass_whole(p, rejected, N);
    a.weight = pass_draw(p, SINGLE, N, 1.0);
    a.r = pass_draw(p, SINGLE, REWARDS, 3.0);
    a.dr = pass_out(p, pass_draw(p, SINGLE, REWARDS, 1.0), "dr");
    a.loss = pass_out(p, pass_draw(p, TOTAL, 1, 1.0), "loss");
    a.correct = pass_out(p, pass_draw(p, TOTAL, 1, 1.0), "correct");
    a.margin = pass_out(p, pass_draw(p, TOTAL, 1, 1.0), "margin");
    return p->kernels->bradley_terry(&p->device->stream, &a);
}

static void many_tokens_and_comparisons_agree(void **state)
{
    (void)state;
    both("embedding_backward", run_many_tokens);
    both("bradley_terry", run_many_comparisons);
}

static void *on_device(const void *host, size_t n_bytes)
{
    void *memory = NULL;
    assert_int_equal(device_alloc(device, n_bytes, &memory), OK);
    assert_int_equal(device->ops->copy(&device->stream, memory, host, n_bytes, HOST_TO_DEVICE), OK);
    return memory;
}

/* Over a vocabulary of several digits, part of which is elsewhere, in float32: bit for bit as the reference adds them, whose order rounding shows. */
static void rows_of_a_token_are_added_in_their_order(void **state)
{
    (void)state;
    enum { ROWS = 1100, COLS = 3, FIRST = 100, COUNT = 4096 };
    static uint32_t token[ROWS];
    static float dy[ROWS * COLS], want[COUNT * COLS], got[COUNT * COLS];
    struct random random = {12};
    for (int t = 0; t < ROWS; t++)
        token[t] = random_int(&random, 0, 2) > 0 ? (uint32_t)random_int(&random, FIRST + COUNT - 7, FIRST + COUNT + 1) : (uint32_t)random_int(&random, 0, FIRST + COUNT + 50);
    for (int i = 0; i < ROWS * COLS; i++)
        dy[i] = ldexpf((float)random_uniform(&random, -1.0, 1.0), (int)random_int(&random, 0, 20));
    struct embedding_args a = {.rows = ROWS, .cols = COLS, .dtype = F32, .token = token, .vocab_first = FIRST, .vocab_count = COUNT, .dy = dy, .dtable = want};
    assert_int_equal(kernels_ref.embedding_backward(NULL, &a), OK);
    void *memory[] = {on_device(token, sizeof token), on_device(dy, sizeof dy), on_device(got, sizeof got)};
    a.token = memory[0], a.dy = memory[1], a.dtable = memory[2];
    assert_int_equal(device->kernels->embedding_backward(&device->stream, &a), OK);
    assert_int_equal(device->ops->copy(&device->stream, got, memory[2], sizeof got, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    assert_memory_equal(got, want, sizeof want);
    device_free(device, &memory[0], sizeof token), device_free(device, &memory[1], sizeof dy), device_free(device, &memory[2], sizeof got);
}

/* ---- off 16 bytes ---------------------------------------------------------------------------------------------------------------------------- */

/* Operands begin one element behind an aligned place. */
static int run_add_aslant(struct pass *p)
{
    struct map_args a = {.n_elems = 64, .dtype = p->dtype, .dtype_y = p->dtype};
    a.x = dtype_at(pass_draw(p, ACTIVATION, a.n_elems + 1, 1.0), p->dtype, 1);
    a.y = dtype_at(pass_out(p, pass_draw(p, ACTIVATION, a.n_elems + 1, 1.0), "y"), p->dtype, 1);
    return p->kernels->add(&p->device->stream, &a);
}

static int run_norm_aslant(struct pass *p)
{
    struct rmsnorm_args a = {.rows = 3, .cols = 64, .dtype = p->dtype, .dtype_x = p->dtype, .eps = 1e-5f};
    a.x = dtype_at(pass_draw(p, ACTIVATION, a.rows * a.cols + 1, 1.0), p->dtype, 1);
    a.weight = pass_draw(p, ACTIVATION, a.cols, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0), "y");
    a.rstd = pass_out_rounded(p, pass_draw(p, SINGLE, a.rows, 1.0), "rstd");
    return p->kernels->rmsnorm_forward(&p->device->stream, &a);
}

static int run_adamw_aslant(struct pass *p)
{
    struct adamw_args a = {.n_elems = 40, .dtype = p->dtype, .lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f, .grad_scale = 0.5f, .step = 3};
    a.master = (float *)pass_out(p, pass_draw(p, SINGLE, a.n_elems + 1, 1.0), "master") + 1;
    a.m = pass_out(p, pass_draw(p, SINGLE, a.n_elems, 1.0), "m");
    float v[40];
    for (int i = 0; i < 40; i++)
        v[i] = (float)random_uniform(&p->random, 0.1, 1.0);
    a.v = pass_out(p, pass_given(p, SINGLE, v, a.n_elems), "v");
    a.grad = pass_draw(p, SINGLE, a.n_elems, 1.0);
    a.param = pass_out(p, pass_draw(p, ACTIVATION, a.n_elems, 1.0), "param");
    return p->kernels->adamw(&p->device->stream, &a);
}

static void operands_off_16_bytes_agree(void **state)
{
    (void)state;
    both("add", run_add_aslant);
    both("rmsnorm_forward", run_norm_aslant);
    both("adamw", run_adamw_aslant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_of_long_rows_agree),
        cmocka_unit_test(a_norm_of_rows_too_long_is_refused),
        cmocka_unit_test(losses_of_long_rows_agree),
        cmocka_unit_test(sampling_from_a_long_row_agrees),
        cmocka_unit_test(many_tokens_and_comparisons_agree),
        cmocka_unit_test(rows_of_a_token_are_added_in_their_order),
        cmocka_unit_test(operands_off_16_bytes_agree),
    };
    return cmocka_run_group_tests_name("cuda_shapes", tests, open_device, close_device);
}
