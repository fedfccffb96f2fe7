/* The emulator catches what it is for: each mistake is planted here and seen caught, and the same code without the mistake passes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/status.h"
#include "emulate.h"
#include "kernels/cuda/cuda.h"
#include "tests/emulate/child.h"
#include "tests/emulate/kernels/faults.h"
#include "tests/emulate/opened_device.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SEES_BOUNDS = true };
#else
enum { SEES_BOUNDS = false };
#endif

enum { SEEDS = 20 };

static int32_t *numbers_of(size_t n_bytes)
{
    void *memory = NULL;
    assert_int_equal(device_alloc(device, n_bytes, &memory), OK);
    return memory;
}

static int32_t *numbers(void) { return numbers_of(FAULT_THREADS * sizeof(int32_t)); }

static void drop(int32_t *memory)
{
    void *at = memory;
    device_free(device, &at, FAULT_THREADS * sizeof(int32_t));
}

/* ---- numbers that come out wrong ------------------------------------------------------------------------------------------------------------- */

static void put(struct stream *stream, int32_t *to, int32_t first)
{
    int32_t x[FAULT_THREADS];
    for (int i = 0; i < FAULT_THREADS; i++)
        x[i] = first + i;
    assert_int_equal(device->ops->copy(stream, to, x, sizeof x, HOST_TO_DEVICE), OK);
}

static bool is_reversed(const int32_t *y, int32_t first)
{
    int32_t got[FAULT_THREADS];
    bool right = true;
    assert_int_equal(device->ops->copy(&device->stream, got, y, sizeof got, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    for (int i = 0; i < FAULT_THREADS; i++)
        right = right && got[i] == first + FAULT_THREADS - 1 - i;
    return right;
}

/* In how many of SEEDS orders the result is right. */
static int right_with_barrier(bool with_barrier)
{
    int n_right = 0;
    int32_t *x = numbers(), *y = numbers();
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        put(&device->stream, x, 5);
        struct reverse_args args = {x, y, with_barrier};
        assert_int_equal(gpu_launch(&device->stream, &reverse, (struct gpu_grid){1, 1, 1}, FAULT_THREADS, 0, &args), OK);
        n_right += is_reversed(y, 5);
    }
    drop(x), drop(y);
    return n_right;
}

static void a_barrier_removed_gives_wrong_numbers(void **state)
{
    (void)state;
    assert_int_equal(right_with_barrier(true), SEEDS);
    assert_int_equal(right_with_barrier(false), 0);
}

/* In how many of SEEDS orders a copy to shared memory is there when it is read. */
static int right_with_wait(bool waits)
{
    int n_right = 0;
    int32_t *x = numbers(), *y = numbers();
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        put(&device->stream, x, 5);
        struct copy_args args = {x, y, waits};
        assert_int_equal(gpu_launch(&device->stream, &reverse_copied, (struct gpu_grid){1, 1, 1}, FAULT_THREADS, 0, &args), OK);
        n_right += is_reversed(y, 5);
    }
    drop(x), drop(y);
    return n_right;
}

static void a_copy_not_waited_for_gives_wrong_numbers(void **state)
{
    (void)state;
    assert_int_equal(right_with_wait(true), SEEDS);
    assert_int_equal(right_with_wait(false), 0);
}

/* One stream fills x while another reads it: right only where an event stands between. */
static int right_with_event(bool with_event)
{
    int n_right = 0;
    struct stream other;
    struct event filled = {0};
    int32_t *x = numbers(), *y = numbers();
    assert_int_equal(cuda_stream_open(device, &other), OK);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        put(&other, x, (int32_t)seed);
        assert_int_equal(device->ops->event_record(&filled, &other), OK);
        if (with_event)
            assert_int_equal(device->ops->event_wait(&filled, &device->stream), OK);
        struct reverse_args args = {x, y, true};
        assert_int_equal(gpu_launch(&device->stream, &reverse, (struct gpu_grid){1, 1, 1}, FAULT_THREADS, 0, &args), OK);
        n_right += is_reversed(y, (int32_t)seed);
        assert_int_equal(device->ops->synchronize(&other), OK);
    }
    drop(x), drop(y);
    return n_right;
}

static void an_event_removed_gives_wrong_numbers(void **state)
{
    (void)state;
    assert_int_equal(right_with_event(true), SEEDS);
    assert_true(right_with_event(false) < SEEDS / 2);
}

static void a_result_read_before_the_stream_is_waited_for_is_not_there(void **state)
{
    (void)state;
    int32_t *x = numbers(), got[FAULT_THREADS] = {0};
    put(&device->stream, x, 5);
    assert_int_equal(device->ops->copy(&device->stream, got, x, sizeof got, DEVICE_TO_HOST), OK);
    assert_int_equal(got[3], 0);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    assert_int_equal(got[3], 8);
    drop(x);
}

static void the_host_s_waits_are_counted(void **state)
{
    (void)state;
    int32_t *x = numbers();
    int64_t before = emulate_n_waits();
    put(&device->stream, x, 5);
    assert_int_equal(emulate_n_waits(), before);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    assert_int_equal(emulate_n_waits(), before + 1);
    drop(x);
}

/* Small whole numbers: the product is exact. */
static void the_tensor_core_s_operands_lie_as_gpu_h_says(void **state)
{
    (void)state;
    uint16_t a[256], b[128], b_transposed[128];
    float c[2][128];
    for (int i = 0; i < 256; i++)
        a[i] = f32_to_bf16((float)(i * 7 % 11 - 5));
    for (int i = 0; i < 128; i++)
        b[i] = b_transposed[i % 8 * 16 + i / 8] = f32_to_bf16((float)(i * 5 % 13 - 6));
    void *at = numbers_of(4096);
    unsigned char *memory = at;
    struct product_args args = {(uint16_t *)memory, (uint16_t *)(memory + 512), (uint16_t *)(memory + 768), (float *)(memory + 1024), (float *)(memory + 1536)};
    assert_int_equal(device->ops->copy(&device->stream, memory, a, sizeof a, HOST_TO_DEVICE), OK);
    assert_int_equal(device->ops->copy(&device->stream, memory + 512, b_transposed, sizeof b, HOST_TO_DEVICE), OK);
    assert_int_equal(device->ops->copy(&device->stream, memory + 768, b, sizeof b, HOST_TO_DEVICE), OK);
    assert_int_equal(gpu_launch(&device->stream, &product, (struct gpu_grid){1, 1, 1}, 32, 0, &args), OK);
    assert_int_equal(device->ops->copy(&device->stream, c, memory + 1024, sizeof c, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    for (int i = 0; i < 128; i++) {
        float sum = 0.0f;
        for (int k = 0; k < 16; k++)
            sum += bf16_to_f32(a[i / 8 * 16 + k]) * bf16_to_f32(b[k * 8 + i % 8]);
        assert_true(c[0][i] == sum && c[1][i] == sum);
    }
    device_free(device, &at, 4096);
}

/* ---- what ends the program ------------------------------------------------------------------------------------------------------------------- */

struct launch { const struct gpu_kernel *kernel; struct poke_args args; size_t shared_bytes; };

static void start(const void *context)
{
    const struct launch *l = context;
    if (gpu_launch(&device->stream, l->kernel, (struct gpu_grid){1, 1, 1}, FAULT_THREADS, l->shared_bytes, &l->args) != OK || device->ops->synchronize(&device->stream) != OK)
        emulate_stop("%s", trace_sentence());
}

static void a_shared_memory_overrun_is_caught_where_bounds_are_seen(void **state)
{
    (void)state;
    assert_lives(start, &(struct launch){&poke_shared, {.place = FAULT_THREADS - 1}, 0});
    assert_lives(start, &(struct launch){&poke_dynamic, {.place = 9}, 40});
    if (SEES_BOUNDS) {
        assert_dies(start, &(struct launch){&poke_shared, {.place = FAULT_THREADS}, 0}, "heap-buffer-overflow");
        assert_dies(start, &(struct launch){&poke_dynamic, {.place = 10}, 40}, "heap-buffer-overflow");
    }
}

static void dynamic_shared_memory_that_was_not_asked_for_is_caught(void **state)
{
    (void)state;
    assert_dies(start, &(struct launch){&poke_dynamic, {.place = 0}, 0}, "the launch gave no dynamic shared memory");
}

static void a_device_memory_overrun_is_caught_where_bounds_are_seen(void **state)
{
    (void)state;
    int32_t *x = numbers(), *freed = numbers();
    drop(freed);
    assert_lives(start, &(struct launch){&poke_device, {x, FAULT_THREADS - 1}, 0});
    if (SEES_BOUNDS) {
        assert_dies(start, &(struct launch){&poke_device, {x, FAULT_THREADS}, 0}, "use-after-poison");
        assert_dies(start, &(struct launch){&poke_device, {x, -1}, 0}, "use-after-poison");
        assert_dies(start, &(struct launch){&poke_device, {freed, 0}, 0}, "use-after-poison");
    }
    drop(x);
}

static void touch(const void *context) { *(volatile int32_t *)(uintptr_t)context = 1; }

static void host_code_that_touches_device_memory_dies(void **state)
{
    (void)state;
    int32_t *x = numbers();
    assert_dies(touch, x, "");
    drop(x);
}

static void a_barrier_that_not_all_threads_reach_is_caught(void **state)
{
    (void)state;
    assert_lives(start, &(struct launch){&lonely_barrier, {.place = -1}, 0});
    assert_dies(start, &(struct launch){&lonely_barrier, {.place = 7}, 0}, "of 64 threads 63 wait at a barrier and 0 for their warp, and 1 have ended");
}

static void an_exchange_without_all_lanes_is_caught(void **state)
{
    (void)state;
    int32_t *x = numbers();
    assert_dies(start, &(struct launch){&half_a_warp, {x, 0}, 0}, "0 wait at a barrier and 32 for their warp");
    assert_dies(start, &(struct launch){&two_exchanges, {x, 0}, 0}, "take part in different exchanges");
    drop(x);
}

static void a_16_byte_access_aslant_is_caught(void **state)
{
    (void)state;
    int32_t *x = numbers();
    assert_lives(start, &(struct launch){&aslant, {x, 4}, 0});
    assert_dies(start, &(struct launch){&aslant, {x, 3}, 0}, "is not on 16 bytes");
    drop(x);
}

/* ---- arguments that the runtime refuses ------------------------------------------------------------------------------------------------------ */

static cudaStream_t handle(void) { return cuda_stream_of(&device->stream)->handle; }

static void a_wrong_copy_is_refused(void **state)
{
    (void)state;
    int32_t *x = numbers(), *y = numbers(), *freed = numbers(), host[2 * FAULT_THREADS] = {0};
    drop(freed);
    size_t n_bytes = FAULT_THREADS * sizeof *x;
    assert_int_equal(cudaMemcpyAsync(x, host, n_bytes, cudaMemcpyHostToDevice, handle()), cudaSuccess);
    assert_int_equal(cudaMemcpyAsync(x, host, n_bytes + 1, cudaMemcpyHostToDevice, handle()), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpyAsync(host, x + 1, n_bytes, cudaMemcpyDeviceToHost, handle()), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpyAsync(x, host, n_bytes, cudaMemcpyDeviceToDevice, handle()), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpyAsync(host, x, n_bytes, cudaMemcpyHostToDevice, handle()), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpyAsync(freed, host, n_bytes, cudaMemcpyHostToDevice, handle()), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpyAsync(x, y, n_bytes, cudaMemcpyDeviceToDevice, handle()), cudaSuccess);
    assert_int_equal(cudaMemcpyAsync(x, x + 1, n_bytes - 4, cudaMemcpyDeviceToDevice, handle()), cudaErrorInvalidValue);
    assert_int_equal(cudaMemcpyAsync(x, y, n_bytes, (enum cudaMemcpyKind)7, handle()), cudaErrorInvalidMemcpyDirection);
    assert_int_equal(cudaMemsetAsync(x, 0, n_bytes + 1, handle()), cudaErrorInvalidValue);
    assert_int_equal(cudaMemsetAsync(host, 0, 4, handle()), cudaErrorInvalidValue);
    assert_int_equal(cudaFree(x + 4), cudaErrorInvalidValue);
    assert_int_equal(cudaFree(freed), cudaErrorInvalidValue);
    drop(x), drop(y);
}

static cudaError_t launch_of(dim3 grid, dim3 threads, size_t shared_bytes)
{
    struct poke_args args = {.place = 0};
    void *list[] = {&args};
    return cudaLaunchKernelExC(&(cudaLaunchConfig_t){.gridDim = grid, .blockDim = threads, .dynamicSmemBytes = shared_bytes, .stream = handle()}, poke_shared.entry, list);
}

static void a_wrong_launch_is_refused(void **state)
{
    (void)state;
    dim3 one = {1, 1, 1}, threads = {FAULT_THREADS, 1, 1};
    static const struct emulate_kernel no_kernel = {.magic = 0};
    assert_int_equal(launch_of(one, threads, 0), cudaSuccess);
    assert_int_equal(launch_of((dim3){0, 1, 1}, threads, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch_of((dim3){1, 65536, 1}, threads, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch_of(one, (dim3){1025, 1, 1}, 0), cudaErrorInvalidConfiguration);
    assert_int_equal(launch_of(one, (dim3){FAULT_THREADS + 32, 1, 1}, 0), cudaErrorLaunchOutOfResources);
    assert_int_equal(launch_of(one, threads, 48 * 1024 + 1), cudaErrorInvalidValue);
    assert_int_equal(cudaFuncSetAttribute(poke_shared.entry, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1), cudaErrorInvalidValue);
    assert_int_equal(cudaFuncSetAttribute(poke_shared.entry, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024), cudaSuccess);
    assert_int_equal(launch_of(one, threads, 64 * 1024), cudaSuccess);
    assert_int_equal(cudaFuncSetAttribute(&no_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 1024), cudaErrorInvalidDeviceFunction);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
}

static void the_backend_says_what_failed_and_the_runtime_s_words(void **state)
{
    (void)state;
    int32_t *x = numbers(), host = 1;
    assert_int_equal(device->ops->copy(&device->stream, x + FAULT_THREADS, &host, 4, HOST_TO_DEVICE), FAILED);
    assert_string_equal(trace_sentence(), "cannot copy 4 bytes to the GPU: CUDA says 'invalid argument' (1)");
    trace_clear();
    assert_int_equal(device->ops->alloc(device, (size_t)9 << 30, (void **)&x), FAILED);
    assert_non_null(strstr(trace_sentence(), "cannot allocate 9.00 GiB on GPU 0: 7.97 of its 8.00 GiB are free"));
    trace_clear();
    drop(x);
    assert_int_equal(cuda_module_create(&(struct device_options){.ordinal = 8}, &(struct device *){NULL}), FAILED);
    assert_string_equal(trace_sentence(), "GPU 8 is asked for, and this process sees 8");
    trace_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_barrier_removed_gives_wrong_numbers),
        cmocka_unit_test(a_copy_not_waited_for_gives_wrong_numbers),
        cmocka_unit_test(the_tensor_core_s_operands_lie_as_gpu_h_says),
        cmocka_unit_test(an_event_removed_gives_wrong_numbers),
        cmocka_unit_test(a_result_read_before_the_stream_is_waited_for_is_not_there),
        cmocka_unit_test(the_host_s_waits_are_counted),
        cmocka_unit_test(a_shared_memory_overrun_is_caught_where_bounds_are_seen),
        cmocka_unit_test(dynamic_shared_memory_that_was_not_asked_for_is_caught),
        cmocka_unit_test(a_device_memory_overrun_is_caught_where_bounds_are_seen),
        cmocka_unit_test(host_code_that_touches_device_memory_dies),
        cmocka_unit_test(a_barrier_that_not_all_threads_reach_is_caught),
        cmocka_unit_test(an_exchange_without_all_lanes_is_caught),
        cmocka_unit_test(a_16_byte_access_aslant_is_caught),
        cmocka_unit_test(a_wrong_copy_is_refused),
        cmocka_unit_test(a_wrong_launch_is_refused),
        cmocka_unit_test(the_backend_says_what_failed_and_the_runtime_s_words),
    };
    return cmocka_run_group_tests_name("faults", tests, open_device, close_device);
}
