/* The reference device: memory and its accounting. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/status.h"
#include "kernels/device.h"
#include "kernels/kernels.h"

static void memory_is_zeroed_aligned_and_counted(void **state)
{
    (void)state;
    struct device *device = NULL;
    assert_int_equal(device_ref_create(&device), OK);
    const size_t sizes[] = {0, 1, 1000, 5 << 20};
    void *memory[4];
    size_t total = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(device_alloc(device, sizes[i], &memory[i]), OK);
        assert_int_equal((uintptr_t)memory[i] % 64, 0);
        for (size_t b = 0; b < sizes[i]; b += 97)
            assert_int_equal(((char *)memory[i])[b], 0);
        assert_int_equal(device->bytes_in_use, total += sizes[i]);
    }
    for (int i = 0; i < 4; i++) {
        device_free(device, &memory[i], sizes[i]);
        assert_null(memory[i]);
        device_free(device, &memory[i], sizes[i]);      /* twice is nothing */
    }
    assert_int_equal(device->bytes_in_use, 0);
    device_destroy(&device);
    assert_null(device);
    device_destroy(&device);
}

static void more_memory_than_there_is_is_refused_with_its_size(void **state)
{
    (void)state;
    struct device *device = NULL;
    void *memory = NULL;
    assert_int_equal(device_ref_create(&device), OK);
    assert_int_equal(device_alloc(device, (size_t)1 << 60, &memory), FAILED);
    assert_non_null(strstr(trace_sentence(), "1073741824.00 GiB"));
    assert_null(memory);
    assert_int_equal(device->bytes_in_use, 0);
    trace_clear();
    device_destroy(&device);
}

static void copy_and_zero_do_what_they_say(void **state)
{
    (void)state;
    struct device *device = NULL;
    assert_int_equal(device_ref_create(&device), OK);
    char from[5] = "abcd", to[5] = "....";
    assert_int_equal(device->ops->copy(&device->stream, to, from, 5, HOST_TO_DEVICE), OK);
    assert_string_equal(to, "abcd");
    assert_int_equal(device->ops->zero(&device->stream, to, 2), OK);
    assert_memory_equal(to, "\0\0cd", 5);
    assert_int_equal(device->ops->copy(&device->stream, NULL, NULL, 0, DEVICE_TO_DEVICE), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    device_destroy(&device);
}

static void the_reference_table_has_no_holes(void **state)
{
    (void)state;
    void (*slot[sizeof(struct kernels) / sizeof(void (*)(void))])(void);
    memcpy(slot, &kernels_ref, sizeof slot);
    for (size_t i = 0; i < sizeof slot / sizeof *slot; i++)
        assert_true(slot[i] != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_counted),
        cmocka_unit_test(more_memory_than_there_is_is_refused_with_its_size),
        cmocka_unit_test(copy_and_zero_do_what_they_say),
        cmocka_unit_test(the_reference_table_has_no_holes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
