/* Matrix products of the CUDA backend, under emulation: against the reference; the same bits whatever the number of rows where that is asked for; and mistakes, each seen caught:
 * wrong arguments of cuBLASLt, a workspace that two streams share, a missing event. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "emulate.h"
#include "kernels/cuda/cuda.h"
#include "tests/emulate/opened_device.h"
#include "tests/tools/agreement.h"
#include "tests/tools/gemm_company.h"

enum { SEEDS = 20, WORKSPACE_BYTES = 32 << 20 };

/* ---- against the reference ------------------------------------------------------------------------------------------------------------------- */

/* The product that run_case makes: sizes and types; a, b and c begin so many elements behind an aligned place. */
struct aslant { int64_t a, b, c; };
static struct { struct gemm_args like; bool wide; int64_t pad; struct aslant aslant; } this_case;

static const void *operand(struct pass *p, int64_t n, int64_t aslant) { return dtype_at(pass_draw(p, ACTIVATION, n + aslant, 1.0), p->dtype, aslant); }

static int run_case(struct pass *p)
{
    struct gemm_args a = this_case.like;
    a.dtype_ab = p->dtype, a.dtype_c = this_case.wide ? F32 : p->dtype;
    a.lda = (a.trans_a ? a.m : a.k) + this_case.pad, a.ldb = (a.trans_b ? a.k : a.n) + this_case.pad, a.ldc = a.n + this_case.pad;
    a.a = operand(p, (a.trans_a ? a.k : a.m) * a.lda, this_case.aslant.a);
    a.b = operand(p, (a.trans_b ? a.n : a.k) * a.ldb, this_case.aslant.b);
    a.c = pass_out(p, pass_draw(p, this_case.wide ? SINGLE : ACTIVATION, a.m * a.ldc + this_case.aslant.c, 1.0), "c");
    a.c = dtype_at(a.c, a.dtype_c, this_case.aslant.c);
    return p->kernels->gemm(&p->device->stream, &a);
}

static void assert_case(int bits, int64_t m, int64_t n, int64_t k, int64_t pad, struct aslant aslant)
{
    this_case.like = (struct gemm_args){.m = m, .n = n, .k = k, .trans_a = bits & 1, .trans_b = bits & 2, .accumulate = bits & 4};
    this_case.pad = pad, this_case.aslant = aslant;
    for (int wide = 0; wide < 2; wide++) {
        this_case.wide = wide == 1;
        assert_agreement(device, "gemm", run_case, BF16, (uint64_t)(m + 2 * bits));
    }
    assert_agreement(device, "gemm", run_case, F32, (uint64_t)(m + 2 * bits + 1));
}

/* Padding of C is compared too: it stays as it was. */
static void every_transposition_agrees_in_every_type(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1}, {5, 3, 7}, {16, 64, 32}, {33, 17, 300}, {1, 48, 576}, {130, 70, 65}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int bits = 0; bits < 8; bits++)
            assert_case(bits, sizes[i][0], sizes[i][1], sizes[i][2], (int64_t[]){0, 3, 8}[(i + (size_t)bits) % 3], (struct aslant){0});
}

static void random_sizes_agree(void **state)
{
    (void)state;
    struct random random = {5};
    for (int round = 0; round < 60; round++)
        assert_case(round % 8, random_int(&random, 1, 90), random_int(&random, 1, 90), random_int(&random, 1, 400), random_int(&random, 0, 9), (struct aslant){0});
}

static void operands_off_16_bytes_agree(void **state)
{
    (void)state;
    for (int bits = 0; bits < 8; bits++) {
        int64_t by = 1 + bits % 4;
        assert_case(bits, 16, 64, 320, 0, (struct aslant){.a = by});
        assert_case(bits, 16, 64, 320, 0, (struct aslant){.b = by});
        assert_case(bits, 16, 64, 320, 0, (struct aslant){.c = by});
        assert_case(bits, 16, 64, 320, 0, (struct aslant){by, by, by});
    }
}

/* The bits of C are what they were, or zero. */
static void a_product_over_nothing_is_zero_or_leaves_c_as_it_was(void **state)
{
    (void)state;
    for (int bits = 0; bits < 8; bits++)
        for (int64_t pad = 0; pad < 6; pad += 5) {
            assert_case(bits, 4, 6, 0, pad, (struct aslant){0});
            assert_case(bits, 0, 6, 3, pad, (struct aslant){0});
            assert_case(bits, 4, 0, 3, pad, (struct aslant){0});
        }
}

/* ---- bare products --------------------------------------------------------------------------------------------------------------------------- */

static void *take(size_t n_bytes)
{
    void *memory = NULL;
    assert_int_equal(device_alloc(device, n_bytes, &memory), OK);
    return memory;
}

/* n random elements in device memory. */
static void *draw(struct random *random, int64_t n, enum dtype dtype)
{
    float *host = calloc((size_t)n, sizeof *host);
    assert_non_null(host);
    for (int64_t i = 0; i < n; i++)
        dtype_put(host, dtype, i, (float)random_uniform(random, -1.0, 1.0));
    void *memory = take((size_t)n * 4);
    assert_int_equal(device->ops->copy(&device->stream, memory, host, (size_t)n * dtype_bytes(dtype), HOST_TO_DEVICE), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    free(host);
    return memory;
}

static void drop(void *memory, int64_t n) { device_free(device, &memory, (size_t)n * 4); }

static void fetch(void *to, const void *from, size_t n_bytes)
{
    assert_int_equal(device->ops->copy(&device->stream, to, from, n_bytes, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
}

/* More shapes than the table of plans holds; the first again at the end. */
static void more_shapes_than_are_kept_are_right(void **state)
{
    (void)state;
    enum { SHAPES = 5000 };
    struct random random = {7};
    float *x = draw(&random, SHAPES, F32), *y = take(2 * SHAPES * sizeof *y), host[SHAPES], got[SHAPES + 1];
    fetch(host, x, sizeof host);
    for (int64_t i = 0; i <= SHAPES; i++) {         /* x . x[0] with a stride of its own */
        struct gemm_args g = {.m = 1, .n = 1, .k = 1, .a = x + i % SHAPES, .b = x, .c = y + i, .lda = 1 + i % SHAPES, .ldb = 1, .ldc = 1};
        assert_int_equal(device->kernels->gemm(&device->stream, &g), OK);
    }
    fetch(got, y, sizeof got);
    for (int i = 0; i <= SHAPES; i++)
        assert_true(got[i] == host[i % SHAPES] * host[0]);
    drop(x, SHAPES), drop(y, 2 * SHAPES);
}

static int multiply(struct stream *stream, const void *a, const void *b, void *c, int64_t n)
{
    struct gemm_args g = {.m = n, .n = n, .k = 16 * n, .trans_b = true, .a = a, .b = b, .c = c, .lda = 16 * n, .ldb = 16 * n, .ldc = n};
    return device->kernels->gemm(stream, &g);
}

/* So a result in bf16 is that in float32, rounded once. */
static void parts_of_a_sum_are_added_in_float32(void **state)
{
    (void)state;
    enum { SIZE = 16, LONG = 512 };
    struct random random = {15};
    void *a = draw(&random, SIZE * LONG, BF16), *b = draw(&random, SIZE * LONG, BF16), *single = take(SIZE * SIZE * 4), *rounded = take(SIZE * SIZE * 4);
    struct gemm_args g = {.m = SIZE, .n = SIZE, .k = LONG, .trans_b = true, .a = a, .b = b, .c = single, .lda = LONG, .ldb = LONG, .ldc = SIZE, .dtype_ab = BF16, .dtype_c = F32};
    float want[SIZE * SIZE];
    bf16 got[SIZE * SIZE];
    assert_int_equal(device->kernels->gemm(&device->stream, &g), OK);
    g.c = rounded, g.dtype_c = BF16;
    assert_int_equal(device->kernels->gemm(&device->stream, &g), OK);
    fetch(want, single, sizeof want), fetch(got, rounded, sizeof got);
    for (int i = 0; i < SIZE * SIZE; i++)
        assert_int_equal(got[i], f32_to_bf16(want[i]));
    drop(a, SIZE * LONG), drop(b, SIZE * LONG), drop(single, SIZE * SIZE), drop(rounded, SIZE * SIZE);
}

/* ---- a row is the same bits in any company ---------------------------------------------------------------------------------------------------- */

static void a_row_is_the_same_bits_in_any_company_where_that_is_asked_for(void **state)
{
    (void)state;
    struct device *invariant = NULL;
    assert_int_equal(cuda_module_create(&(struct device_options){.batch_invariant = true}, &invariant), OK);
    assert_int_equal(gemm_company_differences(invariant), 0);
    assert_true(gemm_company_differences(device) > 20);          /* the stand-in would tell */
    device_destroy(&invariant);
}

/* ---- streams --------------------------------------------------------------------------------------------------------------------------------- */

enum { SIDE = 40, ELEMS = 16 * SIDE * SIDE };

static void each_stream_has_a_workspace_that_is_counted(void **state)
{
    (void)state;
    struct random random = {9};
    struct stream other;
    void *a = draw(&random, ELEMS, F32), *c = take(SIDE * SIDE * 4);
    size_t before = device->bytes_in_use;
    assert_true(before >= WORKSPACE_BYTES);
    assert_int_equal(cuda_stream_open(device, &other), OK);
    assert_int_equal(multiply(&device->stream, a, a, c, 20), OK);
    assert_int_equal(device->bytes_in_use, before);
    for (int i = 0; i < 2; i++)
        assert_int_equal(multiply(&other, a, a, c, 20), OK);
    assert_int_equal(device->bytes_in_use, before + WORKSPACE_BYTES);
    assert_int_equal(device->ops->synchronize(&other), OK);
    drop(a, ELEMS), drop(c, SIDE * SIDE);
}

enum { TIMES = 6, SQUARE = SIDE * SIDE };

/* Whether each of the TIMES products at c is `want`. */
static bool all_are(const float *want, const float *c)
{
    float got[TIMES * SQUARE];
    bool same = true;
    fetch(got, c, sizeof got);
    for (int i = 0; i < TIMES; i++)
        same = same && memcmp(got + i * SQUARE, want, SQUARE * sizeof *got) == 0;
    return same;
}

/* Two streams multiply at once, several times: in how many of SEEDS orders all is right. */
static int right_at_once(struct stream *other)
{
    int n_right = 0;
    struct random random = {11};
    float want[SQUARE], want_other[SQUARE], *a = draw(&random, ELEMS, F32), *b = draw(&random, ELEMS, F32), *c = take(TIMES * sizeof want), *c_other = take(TIMES * sizeof want);
    assert_int_equal(multiply(&device->stream, a, a, c, SIDE), OK);
    fetch(want, c, sizeof want);
    assert_int_equal(multiply(&device->stream, b, b, c, SIDE), OK);
    fetch(want_other, c, sizeof want);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        for (int i = 0; i < TIMES; i++) {
            assert_int_equal(multiply(&device->stream, a, a, c + i * SQUARE, SIDE), OK);
            assert_int_equal(multiply(other, b, b, c_other + i * SQUARE, SIDE), OK);
        }
        assert_int_equal(device->ops->synchronize(other), OK);
        n_right += all_are(want, c) && all_are(want_other, c_other);
    }
    drop(a, ELEMS), drop(b, ELEMS), drop(c, TIMES * SQUARE), drop(c_other, TIMES * SQUARE);
    return n_right;
}

static void products_on_two_streams_at_once_are_right(void **state)
{
    (void)state;
    struct stream other;
    assert_int_equal(cuda_stream_open(device, &other), OK);
    assert_int_equal(right_at_once(&other), SEEDS);
}

static void a_workspace_that_two_streams_share_gives_wrong_numbers(void **state)
{
    (void)state;
    struct stream other;
    assert_int_equal(cuda_stream_open(device, &other), OK);
    cuda_stream_of(&other)->workspace = cuda_stream_of(&device->stream)->workspace;
    int n_right = right_at_once(&other);
    cuda_stream_of(&other)->workspace = NULL;
    assert_true(n_right < 3 * SEEDS / 4);
}

/* One stream makes a product that another multiplies on: right only where an event stands between. */
static int right_with_event(bool with_event)
{
    int n_right = 0;
    struct stream other;
    struct event made = {0};
    struct random random = {13};
    float want[SIDE * SIDE], got[SIDE * SIDE];
    void *a = draw(&random, ELEMS, F32), *b = take(ELEMS * 4), *c = take(sizeof got);
    assert_int_equal(cuda_stream_open(device, &other), OK);
    for (uint64_t seed = 0; seed <= SEEDS; seed++) {
        emulate_seed(seed);
        assert_int_equal(device->ops->zero(&device->stream, b, ELEMS * 4), OK);
        assert_int_equal(device->ops->synchronize(&device->stream), OK);
        assert_int_equal(multiply(&other, a, a, b, SIDE), OK);
        assert_int_equal(device->ops->event_record(&made, &other), OK);
        if (with_event || seed == 0)
            assert_int_equal(device->ops->event_wait(&made, &device->stream), OK);
        assert_int_equal(multiply(&device->stream, a, b, c, 10), OK);
        fetch(seed == 0 ? want : got, c, sizeof got);
        n_right += seed > 0 && memcmp(want, got, sizeof got) == 0;
        assert_int_equal(device->ops->synchronize(&other), OK);
    }
    drop(a, ELEMS), drop(b, ELEMS), drop(c, SIDE * SIDE);
    return n_right;
}

static void a_product_of_another_stream_without_its_event_gives_wrong_numbers(void **state)
{
    (void)state;
    assert_int_equal(right_with_event(true), SEEDS);
    assert_true(right_with_event(false) < SEEDS / 2);
}

/* ---- what cuBLASLt refuses ------------------------------------------------------------------------------------------------------------------- */

static cublasLtHandle_t handle;
static unsigned char *memory;         /* 64 KiB */

/* A call of 8 x 4 = (8 x 320)(320 x 4) in bf16 that is right, and the mistakes that can be made in it. */
struct call {
    cublasLtHandle_t handle;
    cublasComputeType_t compute;
    cudaDataType_t scale, type_a, type_b, type_c;
    int32_t op_a, op_b;
    int64_t rows_a, cols_a, ld_a, ld_b, cols_c, ld_c;
    const void *alpha, *a, *b;
    void *c, *workspace;
    size_t workspace_bytes;
    int64_t cols_of_choice;
    bool without_product, without_layout, without_algorithm, other_types, other_c;
    cudaStream_t stream;
};

static cublasStatus_t choose(const struct call *t, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a, cublasLtMatmulAlgo_t *algo)
{
    cublasLtMatrixLayoutOpaque_t b, c;
    cublasLtMatmulPreferenceOpaque_t pref;
    cublasLtMatmulHeuristicResult_t result;
    const uint64_t workspace = WORKSPACE_BYTES;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    int n = 0;
    cublasLtMatrixLayoutInit(&b, CUDA_R_16BF, 320, (uint64_t)t->cols_of_choice, 320);
    cublasLtMatrixLayoutInit(&c, t->other_types ? CUDA_R_32F : CUDA_R_16BF, 8, (uint64_t)t->cols_of_choice, 8);
    cublasLtMatmulPreferenceInit(&pref);
    cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction);
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, product, a, &b, &c, &c, &pref, 1, &result, &n);
    *algo = result.algo;
    return status;
}

static cublasStatus_t make_call(const struct call *t)
{
    cublasLtMatmulDescOpaque_t right, product;
    cublasLtMatrixLayoutOpaque_t right_a, a, b, c, d;
    cublasLtMatmulAlgo_t algo;
    const float beta = 1.0f;
    cublasLtMatmulDescInit(&right, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatrixLayoutInit(&right_a, CUDA_R_16BF, 8, 320, 8);
    assert_int_equal(choose(t, &right, &right_a, &algo), CUBLAS_STATUS_SUCCESS);
    cublasLtMatmulDescInit(&product, t->compute, t->scale);
    cublasLtMatmulDescSetAttribute(&product, CUBLASLT_MATMUL_DESC_TRANSA, &t->op_a, sizeof t->op_a);
    cublasLtMatmulDescSetAttribute(&product, CUBLASLT_MATMUL_DESC_TRANSB, &t->op_b, sizeof t->op_b);
    cublasLtMatrixLayoutInit(&a, t->type_a, (uint64_t)t->rows_a, (uint64_t)t->cols_a, t->ld_a);
    cublasLtMatrixLayoutInit(&b, t->type_b, 320, 4, t->ld_b);
    cublasLtMatrixLayoutInit(&c, t->type_c, 8, (uint64_t)t->cols_c, t->ld_c);
    cublasLtMatrixLayoutInit(&d, t->type_c, 8, (uint64_t)t->cols_c, t->ld_c + t->other_c);
    if (t->without_product)
        memset(&product, 0, sizeof product);
    return cublasLtMatmul(t->handle, &product, t->alpha, t->a, t->without_layout ? NULL : &a, t->b, &b, &beta, t->c, &c, t->c, &d, t->without_algorithm ? NULL : &algo, t->workspace,
                          t->workspace_bytes, t->stream);
}

static const float one = 1.0f;

static struct call right_call(void)
{
    return (struct call){.handle = handle, .compute = CUBLAS_COMPUTE_32F, .scale = CUDA_R_32F, .type_a = CUDA_R_16BF, .type_b = CUDA_R_16BF, .type_c = CUDA_R_16BF, .rows_a = 8, .cols_a = 320,
                         .ld_a = 8, .ld_b = 320, .cols_c = 4, .ld_c = 8, .alpha = &one, .a = memory, .b = memory + 8192, .c = memory + 16384, .workspace = memory + 32768,
                         .workspace_bytes = 16384, .cols_of_choice = 4, .stream = cuda_stream_of(&device->stream)->handle};
}

#define REFUSED(expected, change) do { struct call t = right_call(); change; assert_int_equal(make_call(&t), expected); } while (0)

static void a_right_call_of_cublaslt_is_taken(void **state)
{
    (void)state;
    REFUSED(CUBLAS_STATUS_SUCCESS, (void)0);
    REFUSED(CUBLAS_STATUS_SUCCESS, t.ld_a = 16);
    REFUSED(CUBLAS_STATUS_SUCCESS, t.cols_of_choice = 9);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
}

static void wrong_descriptors_of_cublaslt_are_refused(void **state)
{
    (void)state;
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.without_product = true);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.without_layout = true);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.op_a = CUBLAS_OP_T);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.op_b = CUBLAS_OP_T);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.cols_a = 319);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.cols_c = 3);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.ld_a = 7);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.ld_b = 319);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.ld_c = 7);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.rows_a = 0);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.other_c = true);
}

static void wrong_types_of_cublaslt_are_refused(void **state)
{
    (void)state;
    REFUSED(CUBLAS_STATUS_NOT_SUPPORTED, t.compute = (cublasComputeType_t)64);
    REFUSED(CUBLAS_STATUS_NOT_SUPPORTED, t.compute = CUBLAS_COMPUTE_32F_FAST_TF32);
    REFUSED(CUBLAS_STATUS_NOT_SUPPORTED, t.scale = CUDA_R_16BF);
    REFUSED(CUBLAS_STATUS_NOT_SUPPORTED, t.type_b = CUDA_R_32F);
    REFUSED(CUBLAS_STATUS_NOT_SUPPORTED, t.type_a = t.type_b = CUDA_R_32F);
    REFUSED(CUBLAS_STATUS_NOT_SUPPORTED, t.type_a = (cudaDataType_t)2);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.type_c = CUDA_R_32F);        /* not what the algorithm was chosen for */
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.other_types = true);
}

static void wrong_memory_of_cublaslt_is_refused(void **state)
{
    (void)state;
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.a = NULL);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.b = NULL);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.c = NULL);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.alpha = NULL);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.alpha = memory);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.a = memory + 2);             /* the algorithm wants 16 bytes */
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.c = memory);                 /* on A */
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.c = memory + 8192 + 2544);   /* into B */
    REFUSED(CUBLAS_STATUS_EXECUTION_FAILED, t.a = memory + 65536 - 16);
    REFUSED(CUBLAS_STATUS_EXECUTION_FAILED, static unsigned char host[8192] __attribute__((aligned(16))); t.a = host);
}

static void a_wrong_workspace_algorithm_or_stream_of_cublaslt_is_refused(void **state)
{
    (void)state;
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.workspace_bytes = 511);      /* 4 parts of 8 x 4 floats */
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.workspace = NULL);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.workspace = memory + 32768 + 16);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.workspace_bytes = 32769);
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.without_algorithm = true);
    REFUSED(CUBLAS_STATUS_NOT_SUPPORTED, t.ld_a = 9);                   /* the algorithm wants columns on 16 bytes */
    REFUSED(CUBLAS_STATUS_INVALID_VALUE, t.stream = NULL);
    REFUSED(CUBLAS_STATUS_NOT_INITIALIZED, t.handle = NULL);
    assert_int_equal(cublasLtDestroy(NULL), CUBLAS_STATUS_NOT_INITIALIZED);
}

static void wrong_preferences_and_attributes_of_cublaslt_are_refused(void **state)
{
    (void)state;
    cublasLtMatmulPreferenceOpaque_t pref = {{0}};
    cublasLtMatmulDescOpaque_t product = {{0}};
    cublasLtMatmulAlgo_t algo = {{0}};
    const uint64_t value = 2;
    assert_int_equal(cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &value, 8), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulDescSetAttribute(&product, CUBLASLT_MATMUL_DESC_TRANSA, &value, 4), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulAlgoConfigGetAttribute(&algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &(int32_t){0}, 4, NULL), CUBLAS_STATUS_INVALID_VALUE);
    cublasLtMatmulPreferenceInit(&pref);
    assert_int_equal(cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &value, 4), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &value, 8), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulPreferenceSetAttribute(&pref, (cublasLtMatmulPreferenceAttributes_t)99, &value, 4), CUBLAS_STATUS_INVALID_VALUE);
    cublasLtMatmulDescInit(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    assert_int_equal(cublasLtMatmulDescSetAttribute(&product, CUBLASLT_MATMUL_DESC_TRANSB, &value, 8), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulDescSetAttribute(&product, CUBLASLT_MATMUL_DESC_TRANSB, &value, 4), CUBLAS_STATUS_INVALID_VALUE);     /* 2: neither N nor T */
}

static void wrong_questions_for_an_algorithm_are_refused(void **state)
{
    (void)state;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t square, none = {{0}};
    cublasLtMatmulPreferenceOpaque_t pref, no_pref = {{0}};
    cublasLtMatmulHeuristicResult_t result;
    int n = 0;
    assert_int_equal(cublasLtMatmulDescInit_internal(&product, sizeof product - 1, CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_ALLOC_FAILED);
    assert_int_equal(cublasLtMatrixLayoutInit_internal(&square, sizeof square - 1, CUDA_R_32F, 8, 8, 8), CUBLAS_STATUS_ALLOC_FAILED);
    assert_int_equal(cublasLtMatmulPreferenceInit_internal(&pref, sizeof pref - 1), CUBLAS_STATUS_ALLOC_FAILED);
    cublasLtMatmulDescInit(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), cublasLtMatrixLayoutInit(&square, CUDA_R_32F, 8, 8, 8), cublasLtMatmulPreferenceInit(&pref);
    assert_int_equal(cublasLtMatmulAlgoGetHeuristic(handle, &product, &square, &square, &square, &square, &pref, 1, &result, &n), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(n, 1);
    assert_int_equal(cublasLtMatmulAlgoGetHeuristic(handle, &product, &square, &square, &square, &square, &pref, 0, &result, &n), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulAlgoGetHeuristic(handle, &product, &square, &square, &square, &square, &no_pref, 1, &result, &n), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulAlgoGetHeuristic(handle, &product, &square, &none, &square, &square, &pref, 1, &result, &n), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulAlgoConfigGetAttribute(&result.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &n, 8, NULL), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulDescSetAttribute(&product, (cublasLtMatmulDescAttributes_t)99, &n, 4), CUBLAS_STATUS_INVALID_VALUE);
}

static int open_calls(void **state)
{
    (void)state;
    void *taken = NULL;
    int status = device_alloc(device, 65536, &taken);
    memory = taken;
    return status == OK && cublasLtCreate(&handle) == CUBLAS_STATUS_SUCCESS ? 0 : -1;
}

static int close_calls(void **state)
{
    (void)state;
    void *taken = memory;
    device_free(device, &taken, 65536);
    return cublasLtDestroy(handle) == CUBLAS_STATUS_SUCCESS ? 0 : -1;
}

static void what_failed_is_said_with_the_shape(void **state)
{
    (void)state;
    struct gemm_args g = {.m = 2, .n = 3, .k = 4, .a = memory, .b = memory + 1024, .c = memory + 65536 - 16, .lda = 4, .ldb = 3, .ldc = 3};
    assert_int_equal(device->kernels->gemm(&device->stream, &g), FAILED);
    assert_string_equal(trace_sentence(), "a matrix product of 2 x 3 x 4 (float32 to float32) on the GPU: cuBLASLt cannot multiply: 'the function failed to launch on the GPU' (13)");
    trace_clear();
    g.dtype_c = BF16;
    assert_int_equal(device->kernels->gemm(&device->stream, &g), FAILED);
    assert_string_equal(trace_sentence(), "a matrix product of float32 matrices into bf16: the CUDA backend has none");
    trace_clear();
    g.dtype_c = F32, g.k = (int64_t)1 << 31;
    assert_int_equal(device->kernels->gemm(&device->stream, &g), FAILED);
    assert_string_equal(trace_sentence(), "a matrix product of 2 x 3 x 2147483648 (strides 4, 3, 3): the CUDA backend goes up to 2147483647");
    trace_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transposition_agrees_in_every_type),
        cmocka_unit_test(random_sizes_agree),
        cmocka_unit_test(operands_off_16_bytes_agree),
        cmocka_unit_test(a_product_over_nothing_is_zero_or_leaves_c_as_it_was),
        cmocka_unit_test(more_shapes_than_are_kept_are_right),
        cmocka_unit_test(parts_of_a_sum_are_added_in_float32),
        cmocka_unit_test(a_row_is_the_same_bits_in_any_company_where_that_is_asked_for),
        cmocka_unit_test(each_stream_has_a_workspace_that_is_counted),
        cmocka_unit_test(products_on_two_streams_at_once_are_right),
        cmocka_unit_test(a_workspace_that_two_streams_share_gives_wrong_numbers),
        cmocka_unit_test(a_product_of_another_stream_without_its_event_gives_wrong_numbers),
        cmocka_unit_test_setup_teardown(a_right_call_of_cublaslt_is_taken, open_calls, close_calls),
        cmocka_unit_test_setup_teardown(wrong_descriptors_of_cublaslt_are_refused, open_calls, close_calls),
        cmocka_unit_test_setup_teardown(wrong_types_of_cublaslt_are_refused, open_calls, close_calls),
        cmocka_unit_test_setup_teardown(wrong_memory_of_cublaslt_is_refused, open_calls, close_calls),
        cmocka_unit_test_setup_teardown(a_wrong_workspace_algorithm_or_stream_of_cublaslt_is_refused, open_calls, close_calls),
        cmocka_unit_test_setup_teardown(wrong_preferences_and_attributes_of_cublaslt_are_refused, open_calls, close_calls),
        cmocka_unit_test_setup_teardown(wrong_questions_for_an_algorithm_are_refused, open_calls, close_calls),
        cmocka_unit_test_setup_teardown(what_failed_is_said_with_the_shape, open_calls, close_calls),
    };
    return cmocka_run_group_tests_name("cuda_gemm", tests, open_device, close_device);
}
