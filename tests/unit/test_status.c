#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/slicer.h"
#include "base/status.h"

static int inner(int n)
{
    CHECK(n != 1, "n is %d", n);
    CHECK_USAGE(n != 2, "do not use %d", n);
    return OK;
}

static int outer(int n)
{
    TRY(inner(n));
    return OK;
}

static int with_label(int n, int *cleaned)
{
    int status = OK;
    TRY_DONE(inner(n));
    CHECK_DONE(n != 3, "three");
done:
    (*cleaned)++;
    return status;
}

static void a_failure_passes_up_with_its_sentence_and_place(void **state)
{
    (void)state;
    assert_int_equal(outer(0), OK);
    assert_string_equal(trace_sentence(), "");
    assert_int_equal(outer(1), FAILED);
    assert_string_equal(trace_sentence(), "n is 1");
    assert_non_null(strstr(trace_place(), "test_status.c:"));
    trace_clear();
    assert_int_equal(outer(2), USAGE);
    assert_string_equal(trace_sentence(), "do not use 2");
    trace_clear();
}

static void the_first_sentence_stays(void **state)
{
    (void)state;
    assert_int_equal(inner(1), FAILED);
    assert_int_equal(inner(2), USAGE);
    assert_string_equal(trace_sentence(), "n is 1");
    trace_clear();
    assert_string_equal(trace_sentence(), "");
}

static void done_labels_clean_up_on_every_way_out(void **state)
{
    (void)state;
    int cleaned = 0;
    assert_int_equal(with_label(0, &cleaned), OK);
    assert_int_equal(with_label(1, &cleaned), FAILED);
    assert_int_equal(with_label(2, &cleaned), USAGE);
    assert_int_equal(with_label(3, &cleaned), FAILED);
    assert_int_equal(cleaned, 4);
    trace_clear();
}

static void *fail_elsewhere(void *out)
{
    inner(1);
    trace_take(out);
    return strlen(trace_sentence()) == 0 ? out : NULL;
}

static void a_trace_moves_from_thread_to_thread(void **state)
{
    (void)state;
    pthread_t thread;
    struct trace trace;
    void *cleared;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &trace), 0);
    pthread_join(thread, &cleared);
    assert_non_null(cleared);
    assert_string_equal(trace_sentence(), "");
    trace_put(&trace);
    assert_string_equal(trace_sentence(), "n is 1");
    trace_clear();
}

static void memory_that_is_not_there_is_told_from_what_a_record_holds(void **state)
{
    (void)state;
    struct trace trace;
    (void)FAIL("out of memory for a list of %d tokens", 3);
    trace_take(&trace);
    assert_true(trace_is_out_of_memory(&trace));
    (void)FAIL("pairs.jsonl, line 1: the role 'out of memory' is not known");
    trace_take(&trace);
    assert_false(trace_is_out_of_memory(&trace));
}

static void slices_are_counted_then_cut_alike(void **state)
{
    (void)state;
    struct slicer s = {0};
    assert_null(slice(&s, 3, 4));
    assert_null(slice(&s, 0, 8));
    assert_null(slice(&s, 17, 4));
    assert_int_equal(s.used, 64 + 0 + 128);
    char *block = aligned_alloc(64, s.used);
    assert_non_null(block);
    struct slicer t = {.base = block};
    assert_ptr_equal(slice(&t, 3, 4), block);
    assert_ptr_equal(slice(&t, 0, 8), block + 64);
    assert_ptr_equal(slice(&t, 17, 4), block + 64);
    assert_int_equal(t.used, s.used);
    free(block);
}

static void bf16_rounds_to_nearest_even_and_keeps_nan(void **state)
{
    (void)state;
    assert_int_equal(f32_to_bf16(1.0f), 0x3f80);
    assert_int_equal(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);          /* tie, to even */
    assert_int_equal(f32_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);      /* tie, to even */
    assert_int_equal(f32_to_bf16(1.0f + 0x1.02p-8f), 0x3f81);
    assert_true(isnan(bf16_to_f32(f32_to_bf16(NAN))));
    assert_true(isinf(bf16_to_f32(f32_to_bf16(INFINITY))) && isinf(bf16_to_f32(f32_to_bf16(0x1.fffffep127f))));
    for (uint32_t x = 0; x < 0x10000; x++)
        if (!isnan(bf16_to_f32((bf16)x)))
            assert_int_equal(f32_to_bf16(bf16_to_f32((bf16)x)), x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_passes_up_with_its_sentence_and_place),
        cmocka_unit_test(the_first_sentence_stays),
        cmocka_unit_test(done_labels_clean_up_on_every_way_out),
        cmocka_unit_test(a_trace_moves_from_thread_to_thread),
        cmocka_unit_test(memory_that_is_not_there_is_told_from_what_a_record_holds),
        cmocka_unit_test(slices_are_counted_then_cut_alike),
        cmocka_unit_test(bf16_rounds_to_nearest_even_and_keeps_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
