/* Truth 1, second half: every slot of the CPU backend agrees with the reference, on random and odd sizes, in float32 and bf16.
 * CRITIC_RM_ISA (auto, avx512, avx2, scalar) holds the instruction set down; what this processor lacks is skipped (77). Tolerances: agreement.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "tests/tools/kernel_slots.h"

enum { ROUNDS = 12 };

struct test { const struct kernel_slot *slot; enum dtype dtype; struct device *device; char name[96]; };

static void agrees(void **state)
{
    const struct test *test = *state;
    for (uint64_t round = 0; round < ROUNDS; round++)
        assert_agreement(test->device, test->slot->name, test->slot->run, test->dtype, 1000 * (uint64_t)(test->slot - kernel_slots) + round);
    assert_int_equal(test->device->bytes_in_use, 0);
}

static int run_all(struct device *device, const char *how)
{
    struct test test[2 * N_KERNEL_SLOTS];
    struct CMUnitTest tests[2 * N_KERNEL_SLOTS];
    for (int i = 0; i < 2 * N_KERNEL_SLOTS; i++) {
        test[i] = (struct test){.slot = &kernel_slots[i / 2], .dtype = i % 2 ? BF16 : F32, .device = device};
        snprintf(test[i].name, sizeof test[i].name, "%s%s_agrees_with_the_reference_in_%s", test[i].slot->name, how, dtype_name(test[i].dtype));
        tests[i] = (struct CMUnitTest){.name = test[i].name, .test_func = agrees, .initial_state = &test[i]};
    }
    return cmocka_run_group_tests_name("kernels_agree", tests, NULL, NULL);
}

int main(void)
{
    const char *isa = getenv("CRITIC_RM_ISA");
    int failures = 0;
    for (int invariant = 0; invariant < 2; invariant++) {
        struct device_options options = {.n_threads = 2, .isa = isa ? isa : "auto", .batch_invariant = invariant};
        struct device *device = NULL;
        if (device_cpu_create(&options, &device) != OK) {
            fprintf(stderr, "no CPU device with isa %s: %s\n", options.isa, trace_sentence());
            return isa ? 77 : 1;
        }
        failures += run_all(device, invariant ? "_batch_invariant" : "");
        device_destroy(&device);
    }
    return failures;
}
