/* Truth 1 on a GPU: every operation of the table agrees with the reference, on odd sizes, on none, and on those of models, in float32 and bf16. Tolerances: agreement.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/gpu/gpu_test.h"
#include "tests/tools/kernel_slots.h"

enum { KINDS = 2, N_TESTS = 2 * KINDS * N_KERNEL_SLOTS };

struct test { const struct kernel_slot *slot; enum dtype dtype; enum sizes sizes; char name[112]; };

static struct device *device;

static uint64_t rounds_of(enum sizes sizes)
{
    if (gpu_test_is_small())
        return sizes == SIZES_LARGE ? 0 : 2;
    return sizes == SIZES_LARGE ? 2 : 20;
}

static void agrees(void **state)
{
    const struct test *test = *state;
    size_t before = device->bytes_in_use;
    for (uint64_t round = 0; round < rounds_of(test->sizes); round++)
        assert_agreement_of(device, test->slot->name, test->slot->run, test->sizes, test->dtype, 1000 * (uint64_t)(test->slot - kernel_slots) + 500 + round);
    assert_int_equal(device->bytes_in_use, before);
}

int main(void)
{
    static struct test test[N_TESTS];
    static struct CMUnitTest tests[N_TESTS];
    int n = 0;
    if (device_cuda_create(&(struct device_options){0}, &device) != OK)
        return gpu_test_skipped();
    for (int i = 0; i < N_TESTS; i++) {
        struct test *t = &test[n];
        *t = (struct test){.slot = &kernel_slots[i / 4], .dtype = i % 2 ? BF16 : F32, .sizes = i % 4 < 2 ? SIZES_ODD : SIZES_LARGE};
        snprintf(t->name, sizeof t->name, "%s_agrees_with_the_reference_in_%s%s", t->slot->name, dtype_name(t->dtype), t->sizes == SIZES_LARGE ? "_at_the_sizes_of_models" : "");
        if (rounds_of(t->sizes) > 0)
            tests[n++] = (struct CMUnitTest){.name = t->name, .test_func = agrees, .initial_state = t};
    }
    int failures = _cmocka_run_group_tests("gpu_agrees", tests, (size_t)n, NULL, NULL);
    device_destroy(&device);
    return failures;
}
