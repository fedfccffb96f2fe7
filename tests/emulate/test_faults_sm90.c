/* What the emulator catches of Hopper's words (kernels/cuda/gpu_sm90.h): each mistake is planted and seen caught, and the same code without the mistake passes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cuda.h>
#include <cuda_runtime.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/status.h"
#include "emulate.h"
#include "tests/emulate/child.h"
#include "tests/emulate/kernels/faults_sm90.h"
#include "tests/emulate/opened_device.h"

enum { N = 64, THREADS = 128, SHARED = 2 * N * N * 2 + 8, SEEDS = 20 };

/* Two heads of [N] columns, N rows: small whole numbers, so that sums are exact. */
static float element(int row, int head, int column) { return (float)((row * 7 + column * 5 + head * 3) % 11 - 5); }

static void *on_device(const void *host, size_t n_bytes)
{
    void *memory = NULL;
    assert_int_equal(device_alloc(device, n_bytes, &memory), OK);
    if (host)
        assert_int_equal(device->ops->copy(&device->stream, memory, host, n_bytes, HOST_TO_DEVICE), OK);
    return memory;
}

/* The stand-in's function, as the runtime gives it. */
typedef CUresult encode_function(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *, const cuuint32_t *, const cuuint32_t *,
                                 CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static CUresult encode(struct gpu_tensor_map *map, void *x, cuuint64_t row_bytes, cuuint32_t box_columns, cuuint32_t box_rows)
{
    void *function = NULL;
    enum cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    assert_int_equal(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result), cudaSuccess);
    assert_int_equal(result, cudaDriverEntryPointSuccess);
    cuuint64_t dims[] = {N, 2, N}, strides[] = {N * 2, row_bytes};
    cuuint32_t box[] = {box_columns, 1, box_rows}, ones[] = {1, 1, 1};
    return ((encode_function *)(uintptr_t)function)((CUtensorMap *)(void *)map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, x, dims, strides, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                                    CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

static struct warpgroup_args args;

static int open_problem(void **state)
{
    static uint16_t x[N][2][N];
    if (open_device(state) != OK)
        return 1;
    for (int i = 0; i < N * 2 * N; i++)
        x[i / (2 * N)][i / N % 2][i % N] = f32_to_bf16(element(i / (2 * N), i / N % 2, i % N));
    void *memory = on_device(x, sizeof x);
    args = (struct warpgroup_args){.rows = on_device(NULL, N * N * sizeof(float)), .columns = on_device(NULL, N * N * sizeof(float))};
    return encode(&args.map, memory, 2 * N * 2, N, N) == CUDA_SUCCESS ? 0 : 1;
}

/* The device takes its memory with it. */
static int start(const void *mistake)
{
    struct warpgroup_args a = args;
    a.mistake = (int)*(const enum mistake *)mistake;
    int status = gpu_launch(&device->stream, &warpgroup_product, (struct gpu_grid){1, 1, 1}, THREADS, SHARED, &a);
    return status == OK ? device->ops->synchronize(&device->stream) : status;
}

static void run(const void *mistake)
{
    if (start(mistake) != OK)
        emulate_stop("%s", trace_sentence());
}

static float product(int row, int column, bool columns)
{
    float sum = 0.0f;
    for (int k = 0; k < N; k++)
        if (columns)
            sum += k == N - 1 ? 0.0f : element(row, 0, k) * element(k, 1, column);
        else
            sum += column == N - 1 ? 0.0f : element(row, 0, k) * element(column, 1, k);
    return sum;
}

static bool comes_out_right(enum mistake mistake, uint64_t seed)
{
    static float rows[N][N], columns[N][N];
    bool right = true;
    emulate_seed(seed);
    assert_int_equal(start(&mistake), OK);
    assert_int_equal(device->ops->copy(&device->stream, rows, args.rows, sizeof rows, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->copy(&device->stream, columns, args.columns, sizeof columns, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    for (int i = 0; i < N * N; i++)
        right = right && rows[i / N][i % N] == product(i / N, i % N, false) && columns[i / N][i % N] == product(i / N, i % N, true);
    return right;
}

static void operands_lie_as_gpu_sm90_h_says(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        assert_true(comes_out_right(NO_MISTAKE, seed));
}

static void a_product_not_waited_for_is_not_there(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        assert_false(comes_out_right(NOT_WAITED_FOR, seed));
}

static void mistakes_end_the_program(void **state)
{
    (void)state;
    static const struct { enum mistake mistake; const char *words; } cases[] = {
        {BARRIER_NOT_MADE, "an mbarrier is used that was not made"},
        {BARRIER_NOT_DECLARED, "an mbarrier is used that was not made"},
        {ONE_ARRIVAL_MORE, "more arrivals at an mbarrier than it counts: 1"},
        {TOO_FEW_BYTES, "16 bytes more than were said to come have come to an mbarrier"},
        {TOO_MANY_BYTES, "lacks 0 arrivals and 16 bytes"},
        {BOX_ASLANT, "a copy of a box lies 128 bytes behind the place where it may be: it must lie on 1024 bytes"},
        {BOX_OUTSIDE, "a copy of a box of 8192 bytes is not in the launch's dynamic shared memory"},
        {NO_MAP, "a copy of a box by what is no tensor map"},
        {NO_FENCE, "to shared memory without gpu_async_fence behind it"},
        {NOT_BEGUN, "a group of products has no gpu_multiply_begin before it"},
        {DIFFERENT_PRODUCTS, "the threads of a warpgroup issue different products"},
        {LONELY_THREAD, "the threads of a warpgroup issue different products"},
        {OPERAND_OVERWRITTEN, "an operand in shared memory changed while its product was under way"},
        {BOX_OVER_OPERAND, "an operand in shared memory changed while its product was under way"},
        {SUMS_WRITTEN, "accumulators are written while products on them are under way"},
        {NEVER_WAITED_FOR, "products of its warpgroup are under way"},
        {PART_TOO_LARGE, "barrier 2 of 256 threads: there are barriers 1 to 15, of whole warps of the block"},
        {PART_OF_TWO_SIZES, "barrier 2 of"},
    };
    assert_lives(run, &(enum mistake){NO_MISTAKE});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_dies(run, &cases[i].mistake, cases[i].words);
}

/* The box is full of NaN until it lands, and the products see one that lands under them. */
static void a_box_not_waited_for_is_seen_in_most_orders(void **state)
{
    (void)state;
    int n_right = 0;
    char said[1 << 16];
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        n_right += survives(run, &(enum mistake){BOX_NOT_WAITED_FOR}, said, sizeof said) && comes_out_right(BOX_NOT_WAITED_FOR, seed);
    }
    assert_true(n_right < SEEDS / 2);
}

static void a_tensor_map_is_refused_as_the_driver_refuses_it(void **state)
{
    (void)state;
    struct gpu_tensor_map map;
    unsigned char *x = (unsigned char *)args.rows;
    assert_int_equal(encode(&map, x, 2 * N * 2, N, N), CUDA_SUCCESS);
    assert_int_equal(encode(&map, x + 8, 2 * N * 2, N, N), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(encode(&map, x, 2 * N * 2 + 8, N, N), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(encode(&map, x, (uint64_t)1 << 40, N, N), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(encode(&map, x, 2 * N * 2, 2 * N, N), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(encode(&map, x, 2 * N * 2, 4, N), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(encode(&map, x, 2 * N * 2, N, 257), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(encode(&map, x, 2 * N * 2, N, 0), CUDA_ERROR_INVALID_VALUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_lie_as_gpu_sm90_h_says),
        cmocka_unit_test(a_product_not_waited_for_is_not_there),
        cmocka_unit_test(mistakes_end_the_program),
        cmocka_unit_test(a_box_not_waited_for_is_seen_in_most_orders),
        cmocka_unit_test(a_tensor_map_is_refused_as_the_driver_refuses_it),
    };
    return cmocka_run_group_tests_name("faults_sm90", tests, open_problem, close_device);
}
