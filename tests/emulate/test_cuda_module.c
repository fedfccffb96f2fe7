/* The CUDA backend's module: opened where it can be, and one sentence that says what is missing where it cannot. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "kernels/kernels.h"

/* Creates the device, or fails with one of the sentences, of which one must be there. */
static bool opens(const char *const *sentences, int n)
{
    struct device *device = NULL;
    bool found = false;
    if (device_cuda_create(&(struct device_options){0}, &device) == OK) {
        device_destroy(&device);
        return true;
    }
    for (int i = 0; i < n; i++)
        found = found || strstr(trace_sentence(), sentences[i]);
    if (!found)
        fail_msg("%s", trace_sentence());
    trace_clear();
    return false;
}

static void a_module_that_is_not_there_is_named(void **state)
{
    (void)state;
    assert_int_equal(setenv("CRITIC_RM_CUDA_MODULE", "/nowhere/critic-rm-cuda.so", 1), 0);
    assert_false(opens((const char *const[]){"CRITIC_RM_CUDA_MODULE is /nowhere/critic-rm-cuda.so, which cannot be read"}, 1));
}

static void a_file_that_is_no_module_is_refused(void **state)
{
    (void)state;
    assert_int_equal(setenv("CRITIC_RM_CUDA_MODULE", TEST_SOURCE_DIR "/README.md", 1), 0);
    assert_false(opens((const char *const[]){"the CUDA backend cannot be opened: " TEST_SOURCE_DIR "/README.md: "}, 1));
}

/* The module of this build, if it has one: without a GPU it says so and not that a symbol is missing. */
static void the_module_of_this_build_opens_or_says_what_is_missing(void **state)
{
    (void)state;
    bool built = access(TEST_BUILD_DIR "/critic-rm-cuda.so", R_OK) == 0;
    const char *const without[] = {"critic-rm-cuda.so is neither in"};
    const char *const with[] = {"no CUDA driver, or one older than", "no GPU is visible to this process", "libcudart", "libcublasLt"};
    assert_int_equal(unsetenv("CRITIC_RM_CUDA_MODULE"), 0);
    bool opened = built ? opens(with, 4) : opens(without, 1);
    if (!opened)
        printf("not run: the CUDA module with a GPU\n");
}

/* The module that runs kernels on the CPU: the way from a program to a kernel and back, and a failure's sentence across the border. */
static void the_emulated_module_runs_a_kernel(void **state)
{
    (void)state;
    struct device *device = NULL;
    void *x = NULL, *y = NULL;
    float in[5] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f}, out[5];
    assert_int_equal(setenv("CRITIC_RM_CUDA_MODULE", EMULATED_MODULE, 1), 0);
    assert_int_equal(device_cuda_create(&(struct device_options){.ordinal = 99}, &device), FAILED);
    assert_string_equal(trace_sentence(), "GPU 99 is asked for, and this process sees 8");
    trace_clear();
    assert_int_equal(device_cuda_create(&(struct device_options){0}, &device), OK);
    assert_int_equal(device_alloc(device, sizeof in, &x), OK);
    assert_int_equal(device_alloc(device, sizeof in, &y), OK);
    assert_int_equal(device->ops->copy(&device->stream, x, in, sizeof in, HOST_TO_DEVICE), OK);
    struct map_args add = {.n_elems = 5, .x = x, .y = y};
    for (int i = 0; i < 3; i++)             /* y starts as zero */
        assert_int_equal(device->kernels->add(&device->stream, &add), OK);
    assert_int_equal(device->ops->copy(&device->stream, out, y, sizeof out, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    for (int i = 0; i < 5; i++)
        assert_true(out[i] == 3.0f * in[i]);
    device_free(device, &x, sizeof in);
    device_free(device, &y, sizeof in);
    device_destroy(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_that_is_not_there_is_named),
        cmocka_unit_test(a_file_that_is_no_module_is_refused),
        cmocka_unit_test(the_module_of_this_build_opens_or_says_what_is_missing),
        cmocka_unit_test(the_emulated_module_runs_a_kernel),
    };
    return cmocka_run_group_tests_name("cuda_module", tests, NULL, NULL);
}
