/* The CUDA backend's device: memory, copies through pinned memory, streams and events, under several orders of the streams' work. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "emulate.h"
#include "kernels/cuda/cuda.h"
#include "tests/emulate/opened_device.h"

enum { SEEDS = 8 };

static void *take(size_t n_bytes)
{
    void *memory = NULL;
    assert_int_equal(device_alloc(device, n_bytes, &memory), OK);
    return memory;
}

static void copy(void *to, const void *from, size_t n_bytes, enum device_copy kind) { assert_int_equal(device->ops->copy(&device->stream, to, from, n_bytes, kind), OK); }
static void wait_for(struct stream *stream) { assert_int_equal(device->ops->synchronize(stream), OK); }

static void memory_starts_as_zeros_on_64_bytes_and_is_counted(void **state)
{
    (void)state;
    enum { N = 1000 };
    unsigned char host[N];
    size_t before = device->bytes_in_use;
    memset(host, 1, N);
    void *memory = take(N), *none = take(0);
    assert_int_equal((uintptr_t)memory % 64, 0);
    assert_non_null(none);
    assert_int_equal(device->bytes_in_use, before + N);
    copy(host, memory, N, DEVICE_TO_HOST);
    wait_for(&device->stream);
    for (int i = 0; i < N; i++)
        assert_int_equal(host[i], 0);
    device_free(device, &memory, N);
    device_free(device, &none, 0);
    assert_int_equal(device->bytes_in_use, before);
}

/* Larger than all staging memory together, and changed as soon as the call returns. */
static void host_memory_may_change_as_soon_as_a_copy_returns(void **state)
{
    (void)state;
    size_t n = (size_t)(STAGING_SEGMENTS + 2) * STAGING_BYTES + 12345;
    unsigned char *host = malloc(n), *back = malloc(n);
    assert_true(host && back);
    void *x = take(n), *y = take(n);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        for (size_t i = 0; i < n; i++)
            host[i] = (unsigned char)(i * 7 + i / 1000 + seed);
        copy(x, host, n, HOST_TO_DEVICE);
        memset(host, 0, n);
        copy(y, x, n, DEVICE_TO_DEVICE);
        copy(back, y, n, DEVICE_TO_HOST);
        wait_for(&device->stream);
        size_t wrong = 0;
        for (size_t i = 0; i < n; i++)
            wrong += back[i] != (unsigned char)(i * 7 + i / 1000 + seed);
        assert_int_equal(wrong, 0);
    }
    device_free(device, &x, n), device_free(device, &y, n);
    free(host), free(back);
}

/* More of them than wait in pinned memory at once. */
static void many_small_copies_to_the_host_all_arrive(void **state)
{
    (void)state;
    enum { N = 3 * MAX_RETURNS };
    int32_t in[N], out[N] = {0};
    for (int i = 0; i < N; i++)
        in[i] = i + 1;
    int32_t *x = take(sizeof in);
    copy(x, in, sizeof in, HOST_TO_DEVICE);
    for (int i = 0; i < N; i++)
        copy(&out[i], x + i, sizeof *x, DEVICE_TO_HOST);
    wait_for(&device->stream);
    assert_memory_equal(in, out, sizeof in);
    void *memory = x;
    device_free(device, &memory, sizeof in);
}

/* One stream doubles what another has filled, again and again over the same memory; each waits for the other. */
static void streams_that_wait_for_each_other_take_turns(void **state)
{
    (void)state;
    enum { N = 100, TURNS = 6 };
    struct stream other;
    struct event filled = {0}, used = {0};
    float host[N], total[N];
    assert_int_equal(cuda_stream_open(device, &other), OK);
    float *x = take(sizeof host), *sum = take(sizeof host);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        assert_int_equal(device->ops->zero(&device->stream, sum, sizeof host), OK);
        for (int turn = 1; turn <= TURNS; turn++) {
            for (int i = 0; i < N; i++)
                host[i] = (float)(turn * i);
            assert_int_equal(device->ops->event_wait(&used, &other), OK);
            assert_int_equal(device->ops->copy(&other, x, host, sizeof host, HOST_TO_DEVICE), OK);
            assert_int_equal(device->ops->event_record(&filled, &other), OK);
            assert_int_equal(device->ops->event_wait(&filled, &device->stream), OK);
            assert_int_equal(device->kernels->add(&device->stream, &(struct map_args){.n_elems = N, .x = x, .y = sum}), OK);
            assert_int_equal(device->ops->event_record(&used, &device->stream), OK);
        }
        copy(total, sum, sizeof total, DEVICE_TO_HOST);
        wait_for(&device->stream);
        for (int i = 0; i < N; i++)
            assert_true(total[i] == (float)(TURNS * (TURNS + 1) / 2 * i));
    }
    void *memory[] = {x, sum};
    device_free(device, &memory[0], sizeof host), device_free(device, &memory[1], sizeof host);
}

static void working_memory_grows_and_is_used_again(void **state)
{
    (void)state;
    void *small = NULL, *same = NULL, *large = NULL;
    assert_int_equal(cuda_scratch(&device->stream, 100, &small), OK);
    assert_int_equal(cuda_scratch(&device->stream, 50, &same), OK);
    assert_ptr_equal(small, same);
    assert_int_equal(cuda_scratch(&device->stream, 1 << 20, &large), OK);
    assert_int_equal(device->ops->zero(&device->stream, large, 1 << 20), OK);
    wait_for(&device->stream);
}

/* ---- recorded work --------------------------------------------------------------------------------------------------------------------------- */

enum { N_FLOATS = 10 };

static void add(float *to, const float *x) { assert_int_equal(device->kernels->add(&device->stream, &(struct map_args){.n_elems = N_FLOATS, .dtype = F32, .dtype_y = F32, .x = x, .y = to}), OK); }

static void assert_first_is(const float *memory, float want)
{
    float got[N_FLOATS];
    copy(got, memory, sizeof got, DEVICE_TO_HOST);
    wait_for(&device->stream);
    assert_true(got[0] == want && got[N_FLOATS - 1] == want);
}

/* sum += x, twice, of whatever x holds when it runs; recording does nothing yet. */
static void recorded_work_runs_again_on_what_its_memory_holds(void **state)
{
    (void)state;
    struct graph graph = {0};
    bool ran = true;
    float *x = take(N_FLOATS * sizeof *x), *sum = take(N_FLOATS * sizeof *sum), numbers[N_FLOATS], want = 0.0f;
    assert_int_equal(device->ops->graph_run(&graph, &device->stream, &ran), OK);
    assert_false(ran);
    assert_int_equal(device->ops->graph_begin(&device->stream), OK);
    add(sum, x), add(sum, x);
    assert_int_equal(device->ops->graph_end(&device->stream, &graph), OK);
    assert_first_is(sum, 0.0f);
    for (int run = 1; run <= 3; run++) {
        for (int i = 0; i < N_FLOATS; i++)
            numbers[i] = (float)run;
        copy(x, numbers, sizeof numbers, HOST_TO_DEVICE);
        assert_int_equal(device->ops->graph_run(&graph, &device->stream, &ran), OK);
        assert_true(ran);
        assert_first_is(sum, want += 2.0f * (float)run);
    }
    device->ops->graph_free(&graph);
    device_free(device, (void **)&x, N_FLOATS * sizeof *x);
    device_free(device, (void **)&sum, N_FLOATS * sizeof *sum);
}

static void work_whose_memory_was_replaced_is_not_run(void **state)
{
    (void)state;
    struct graph graph = {0};
    bool ran = true;
    void *scratch = NULL;
    size_t most = cuda_stream_of(&device->stream)->scratch_bytes;
    float *x = take(N_FLOATS * sizeof *x);
    assert_int_equal(cuda_scratch(&device->stream, most ? most : 1000, &scratch), OK);
    assert_int_equal(device->ops->graph_begin(&device->stream), OK);
    add(x, x);
    assert_int_equal(device->ops->graph_end(&device->stream, &graph), OK);
    assert_int_equal(cuda_scratch(&device->stream, 2 * most + 5000, &scratch), OK);
    assert_int_equal(device->ops->graph_run(&graph, &device->stream, &ran), OK);
    assert_false(ran);
    device->ops->graph_free(&graph);
    device_free(device, (void **)&x, N_FLOATS * sizeof *x);
}

static void waiting_and_copying_while_recording_are_refused(void **state)
{
    (void)state;
    struct graph graph = {0};
    float host[N_FLOATS] = {0}, *x = take(sizeof host);
    copy(x, host, sizeof host, HOST_TO_DEVICE);
    wait_for(&device->stream);
    for (int wrong = 0; wrong < 2; wrong++) {
        assert_int_equal(device->ops->graph_begin(&device->stream), OK);
        assert_int_equal(wrong ? device->ops->synchronize(&device->stream) : device->ops->copy(&device->stream, x, host, sizeof host, HOST_TO_DEVICE), FAILED);
        trace_clear();
        assert_int_equal(device->ops->graph_end(&device->stream, &graph), FAILED);
        assert_non_null(strstr(trace_sentence(), "work for the GPU cannot be recorded: CUDA says 'operation failed due to a previous error during capture' (901)"));
        trace_clear();
        assert_null(graph.handle);
    }
    device_free(device, (void **)&x, sizeof host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_starts_as_zeros_on_64_bytes_and_is_counted),
        cmocka_unit_test(host_memory_may_change_as_soon_as_a_copy_returns),
        cmocka_unit_test(many_small_copies_to_the_host_all_arrive),
        cmocka_unit_test(streams_that_wait_for_each_other_take_turns),
        cmocka_unit_test(working_memory_grows_and_is_used_again),
        cmocka_unit_test(recorded_work_runs_again_on_what_its_memory_holds),
        cmocka_unit_test(work_whose_memory_was_replaced_is_not_run),
        cmocka_unit_test(waiting_and_copying_while_recording_are_refused),
    };
    return cmocka_run_group_tests_name("cuda_device", tests, open_device, close_device);
}
