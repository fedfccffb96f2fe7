/* Truth 1 for the CUDA backend, under emulation: every slot it has agrees with the reference, on random and odd sizes, in float32 and bf16. Tolerances: agreement.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "emulate.h"
#include "kernels/cuda_module.h"
#include "tests/tools/kernel_slots.h"

enum { ROUNDS = 10 };

struct test { const struct kernel_slot *slot; enum dtype dtype; struct device *device; char name[96]; };

static void agrees(void **state)
{
    const struct test *test = *state;
    size_t before = test->device->bytes_in_use;
    for (uint64_t round = 0; round < ROUNDS; round++)
        assert_agreement(test->device, test->slot->name, test->slot->run, test->dtype, 1000 * (uint64_t)(test->slot - kernel_slots) + round);
    assert_int_equal(test->device->bytes_in_use, before);
}

/* The table has no holes. */
static bool is_filled(const struct device *device, const struct kernel_slot *slot)
{
    void (*call)(void);
    memcpy(&call, (const char *)device->kernels + slot->offset, sizeof call);
    return call != NULL;
}

int main(void)
{
    struct test test[2 * N_KERNEL_SLOTS];
    struct CMUnitTest tests[2 * N_KERNEL_SLOTS] = {0};
    struct device *device = NULL;
    if (cuda_module_create(&(struct device_options){0}, &device) != OK) {
        fprintf(stderr, "%s\n", trace_sentence());
        return 1;
    }
    for (int i = 0; i < 2 * N_KERNEL_SLOTS; i++) {
        if (!is_filled(device, &kernel_slots[i / 2])) {
            fprintf(stderr, "the CUDA backend has no %s\n", kernel_slots[i / 2].name);
            return 1;
        }
        test[i] = (struct test){.slot = &kernel_slots[i / 2], .dtype = i % 2 ? BF16 : F32, .device = device};
        snprintf(test[i].name, sizeof test[i].name, "cuda_%s_agrees_with_the_reference_in_%s", test[i].slot->name, dtype_name(test[i].dtype));
        tests[i] = (struct CMUnitTest){.name = test[i].name, .test_func = agrees, .initial_state = &test[i]};
    }
    int failures = _cmocka_run_group_tests("cuda_agrees", tests, 2 * N_KERNEL_SLOTS, NULL, NULL);
    device_destroy(&device);
    return failures;
}
