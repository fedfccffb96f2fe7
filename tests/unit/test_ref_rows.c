/* Embedding, gather and scatter of the reference. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "kernels/kernels.h"
#include "tests/tools/finite_difference.h"
#include "tests/tools/random_values.h"

enum { ROWS = 7, COLS = 3, VOCAB = 6, ELEMS = ROWS * COLS };

struct embedding { float table[VOCAB * COLS], y[ELEMS], dy[ELEMS]; uint32_t token[ROWS]; int64_t vocab_first, vocab_count; };

static struct embedding_args args_of(struct embedding *e, float *dtable)
{
    return (struct embedding_args){.rows = ROWS, .cols = COLS, .token = e->token, .vocab_first = e->vocab_first, .vocab_count = e->vocab_count,
                                   .table = e->table, .y = e->y, .dy = e->dy, .dtable = dtable};
}

static struct embedding random_embedding(uint64_t seed, int64_t vocab_first, int64_t vocab_count)
{
    struct random random = {seed};
    struct embedding e = {.vocab_first = vocab_first, .vocab_count = vocab_count};
    random_fill(&random, e.table, VOCAB * COLS, 1.0, F32), random_fill(&random, e.dy, ELEMS, 1.0, F32);
    for (int t = 0; t < ROWS; t++)
        e.token[t] = (uint32_t)random_int(&random, 0, VOCAB - 1);
    e.token[1] = e.token[0];        /* one that comes twice */
    return e;
}

static double embedding_loss(void *context)
{
    struct embedding *e = context;
    struct embedding_args args = args_of(e, NULL);
    assert_int_equal(kernels_ref.embedding_forward(NULL, &args), OK);
    return weighted_sum(e->y, e->dy, ELEMS);
}

static void the_backward_of_an_embedding_agrees_with_finite_differences(void **state)
{
    (void)state;
    struct embedding e = random_embedding(1, 0, VOCAB);
    float dtable[VOCAB * COLS] = {0};
    struct embedding_args args = args_of(&e, dtable);
    assert_int_equal(kernels_ref.embedding_backward(NULL, &args), OK);
    assert_gradient("dtable", e.table, dtable, VOCAB * COLS, embedding_loss, &e, 2e-5);
}

static void parts_of_the_vocabulary_add_up_to_the_whole(void **state)
{
    (void)state;
    struct embedding whole = random_embedding(2, 0, VOCAB);
    embedding_loss(&whole);
    float sum[ELEMS] = {0};
    for (int64_t first = 0; first < VOCAB; first += 2) {
        struct embedding part = random_embedding(2, first, 2);
        memmove(part.table, whole.table + first * COLS, 2 * COLS * sizeof(float));
        embedding_loss(&part);
        for (int i = 0; i < ELEMS; i++)
            sum[i] += part.y[i];
    }
    assert_memory_equal(sum, whole.y, sizeof sum);
}

static void a_gathered_row_is_a_copy_and_a_negative_index_gives_zeros(void **state)
{
    (void)state;
    float x[ELEMS], y[4 * COLS];
    struct random random = {3};
    random_fill(&random, x, ELEMS, 1.0, F32);
    const int32_t index[4] = {6, -1, 0, 6};
    struct rows_args args = {.n_index = 4, .cols = COLS, .index = index, .x = x, .y = y};
    assert_int_equal(kernels_ref.gather_rows(NULL, &args), OK);
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < COLS; c++)
            assert_float_equal(y[i * COLS + c], index[i] < 0 ? 0.0f : x[index[i] * COLS + c], 0.0f);
}

static void scatter_is_the_backward_of_gather_and_adds(void **state)
{
    (void)state;
    float x[3 * COLS], y[ELEMS], before[ELEMS];
    struct random random = {4};
    random_fill(&random, x, 3 * COLS, 1.0, F32), random_fill(&random, y, ELEMS, 1.0, F32);
    memcpy(before, y, sizeof y);
    const int32_t index[3] = {-1, 2, 5};
    struct rows_args args = {.n_index = 3, .cols = COLS, .index = index, .x = x, .y = y};
    assert_int_equal(kernels_ref.scatter_add_rows(NULL, &args), OK);
    for (int c = 0; c < COLS; c++)
        before[2 * COLS + c] += x[COLS + c], before[5 * COLS + c] += x[2 * COLS + c];
    assert_memory_equal(y, before, sizeof y);
}

static void scattered_rows_are_copies_and_a_negative_index_is_skipped(void **state)
{
    (void)state;
    float x[3 * COLS], y[ELEMS], wanted[ELEMS];
    struct random random = {5};
    random_fill(&random, x, 3 * COLS, 1.0, F32), random_fill(&random, y, ELEMS, 1.0, F32);
    memcpy(wanted, y, sizeof y);
    const int32_t index[3] = {5, -1, 2};
    struct rows_args args = {.n_index = 3, .cols = COLS, .index = index, .x = x, .y = y};
    assert_int_equal(kernels_ref.scatter_rows(NULL, &args), OK);
    memcpy(wanted + 5 * COLS, x, COLS * sizeof *x), memcpy(wanted + 2 * COLS, x + 2 * COLS, COLS * sizeof *x);
    assert_memory_equal(y, wanted, sizeof y);
}

static void gather_takes_back_what_scatter_put_in_bf16(void **state)
{
    (void)state;
    bf16 x[2 * COLS] = {1, 2, 3, 4, 5, 6}, store[ELEMS] = {0}, back[2 * COLS];
    const int32_t index[2] = {6, 1};
    struct rows_args put = {.n_index = 2, .cols = COLS, .dtype = BF16, .index = index, .x = x, .y = store}, get = {.n_index = 2, .cols = COLS, .dtype = BF16, .index = index, .x = store, .y = back};
    assert_int_equal(kernels_ref.scatter_rows(NULL, &put), OK);
    assert_int_equal(kernels_ref.gather_rows(NULL, &get), OK);
    for (int i = 0; i < 2 * COLS; i++)
        assert_float_equal(bf16_to_f32(back[i]), bf16_to_f32(x[i]), 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_backward_of_an_embedding_agrees_with_finite_differences),
        cmocka_unit_test(parts_of_the_vocabulary_add_up_to_the_whole),
        cmocka_unit_test(a_gathered_row_is_a_copy_and_a_negative_index_gives_zeros),
        cmocka_unit_test(scatter_is_the_backward_of_gather_and_adds),
        cmocka_unit_test(scattered_rows_are_copies_and_a_negative_index_is_skipped),
        cmocka_unit_test(gather_takes_back_what_scatter_put_in_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
