/* gemm: matrix products by cuBLASLt. What a call needs for a shape (descriptors and algorithm) is planned once and kept in a table.
 *
 * cuBLASLt knows matrices by columns. A matrix by rows is its transpose by columns, so C = op(A) op(B) is asked for as C' = op(B)' op(A)': operands exchanged, nothing copied.
 * Arithmetic is float32 (never TF32). Where a sum over k is cut into parts, these are float32, lie in the workspace, and are added in one order: schemes that add in the type
 * of C are excluded. The algorithm depends on shape, strides, types and on what powers of two up to 16 the addresses are multiples of, so a run repeats itself to the bit.
 *
 * batch_invariant: a product whose A is stored by rows takes the algorithm that is chosen for REFERENCE_ROWS rows, whatever m is, and sums over k are not cut: an element of C is
 * one sum whose order the kernel alone determines. An algorithm is taken only if it runs for 1 row and for MOST_ROWS; one that then does not run for m fails the product.
 */
#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"

/* WORKSPACE_BYTES is what NVIDIA advises for Hopper. The table is emptied when MOST_PLANS of its slots are taken: 2.5 MB of host memory at the most. */
enum { WORKSPACE_BYTES = 32 << 20, SLOTS = 4096, MOST_PLANS = SLOTS / 4 * 3, MOST_ALIGNMENT = 16, REFERENCE_ROWS = 128, MOST_ROWS = 1 << 16, CANDIDATES = 16 };

/* Equal bytes, equal plan. */
struct shape { int64_t m, n, k, lda, ldb, ldc; uint32_t align_a, align_b, align_c; int32_t trans_a, trans_b, dtype_ab, dtype_c, any_rows; };

struct plan {
    bool taken;
    struct shape shape;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t a, b, c;
    cublasLtMatmulAlgo_t algo;
};

struct cuda_gemm { cublasLtHandle_t handle; struct plan *plan; int n_plans; };

static int succeeded(const struct shape *s, cublasStatus_t status, const char *what)
{
    CHECK(status == CUBLAS_STATUS_SUCCESS, "a matrix product of %lld x %lld x %lld (%s to %s) on the GPU: cuBLASLt cannot %s: '%s' (%d)", (long long)s->m, (long long)s->n,
          (long long)s->k, dtype_name((enum dtype)s->dtype_ab), dtype_name((enum dtype)s->dtype_c), what, cublasLtGetStatusString(status), (int)status);
    return OK;
}

/* ---- descriptors ----------------------------------------------------------------------------------------------------------------------------- */

static cudaDataType_t type_of(int32_t dtype) { return dtype == F32 ? CUDA_R_32F : CUDA_R_16BF; }

/* What address and row stride are both multiples of, so that it holds for every row. */
static uint32_t alignment(const void *at, int64_t ld, enum dtype dtype)
{
    uintptr_t bits = (uintptr_t)at | (uintptr_t)ld * dtype_bytes(dtype) | MOST_ALIGNMENT;
    return (uint32_t)(bits & (~bits + 1));
}

static struct shape shape_of(const struct gemm_args *g, bool any_rows)
{
    struct shape s;
    memset(&s, 0, sizeof s);
    s.m = g->m, s.n = g->n, s.k = g->k, s.lda = g->lda, s.ldb = g->ldb, s.ldc = g->ldc;
    s.align_a = alignment(g->a, g->lda, g->dtype_ab), s.align_b = alignment(g->b, g->ldb, g->dtype_ab), s.align_c = alignment(g->c, g->ldc, g->dtype_c);
    s.trans_a = g->trans_a, s.trans_b = g->trans_b, s.dtype_ab = (int32_t)g->dtype_ab, s.dtype_c = (int32_t)g->dtype_c;
    s.any_rows = any_rows && !g->trans_a;
    return s;
}

static int lay_out(const struct shape *s, cublasLtMatrixLayoutOpaque_t *layout, int32_t dtype, int64_t rows, int64_t cols, int64_t ld)
{
    return succeeded(s, cublasLtMatrixLayoutInit(layout, type_of(dtype), (uint64_t)rows, (uint64_t)cols, ld), "describe a matrix");
}

/* Rows and columns by columns: those of the stored matrix the other way round. */
static int describe(struct plan *p)
{
    const struct shape *s = &p->shape;
    const int32_t first = s->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N, second = s->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    TRY(lay_out(s, &p->a, s->dtype_ab, s->trans_a ? s->m : s->k, s->trans_a ? s->k : s->m, s->lda));
    TRY(lay_out(s, &p->b, s->dtype_ab, s->trans_b ? s->k : s->n, s->trans_b ? s->n : s->k, s->ldb));
    TRY(lay_out(s, &p->c, s->dtype_c, s->n, s->m, s->ldc));
    TRY(succeeded(s, cublasLtMatmulDescInit(&p->product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describe a product"));
    TRY(succeeded(s, cublasLtMatmulDescSetAttribute(&p->product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first), "transpose"));
    return succeeded(s, cublasLtMatmulDescSetAttribute(&p->product, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second), "transpose");
}

/* ---- the algorithm --------------------------------------------------------------------------------------------------------------------------- */

static int prefer(const struct shape *s, cublasLtMatmulPreferenceOpaque_t *pref)
{
    const uint64_t workspace = WORKSPACE_BYTES;
    const uint32_t reduction = s->any_rows ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const struct { cublasLtMatmulPreferenceAttributes_t name; const void *value; size_t n_bytes; } wish[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace}, {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &s->align_b, sizeof s->align_b}, {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &s->align_a, sizeof s->align_a},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &s->align_c, sizeof s->align_c}, {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &s->align_c, sizeof s->align_c}};
    TRY(succeeded(s, cublasLtMatmulPreferenceInit(pref), "take preferences"));
    for (size_t i = 0; i < sizeof wish / sizeof *wish; i++)
        TRY(succeeded(s, cublasLtMatmulPreferenceSetAttribute(pref, wish[i].name, wish[i].value, wish[i].n_bytes), "take preferences"));
    return OK;
}

/* Up to `most` algorithms, the best first. */
static int ask(struct cuda_gemm *gemm, struct plan *p, cublasLtMatmulHeuristicResult_t *result, int most, int *n)
{
    cublasLtMatmulPreferenceOpaque_t pref;
    TRY(prefer(&p->shape, &pref));
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(gemm->handle, &p->product, &p->b, &p->a, &p->c, &p->c, &pref, most, result, n);
    return succeeded(&p->shape, status == CUBLAS_STATUS_SUCCESS && *n == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : status, "choose an algorithm");
}

/* Does the algorithm run for the plan's product with so many rows, without cutting its sums? */
static bool runs(struct cuda_gemm *gemm, const struct plan *p, int64_t rows, const cublasLtMatmulAlgo_t *algo)
{
    struct plan other = {.shape = p->shape};
    cublasLtMatmulHeuristicResult_t result;
    int32_t parts = 0;
    size_t n_written = 0;
    other.shape.m = rows;
    if (describe(&other) != OK || cublasLtMatmulAlgoCheck(gemm->handle, &other.product, &other.b, &other.a, &other.c, &other.c, algo, &result) != CUBLAS_STATUS_SUCCESS)
        return false;
    cublasStatus_t status = cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof parts, &n_written);
    return status == CUBLAS_STATUS_SUCCESS && parts <= 1 && result.workspaceSize <= WORKSPACE_BYTES;
}

static int choose(struct cuda_gemm *gemm, struct plan *p)
{
    cublasLtMatmulHeuristicResult_t result[CANDIDATES];
    int n = 0, i = 0;
    TRY(ask(gemm, p, result, p->shape.any_rows ? CANDIDATES : 1, &n));
    if (p->shape.any_rows)
        while (i < n && !(runs(gemm, p, 1, &result[i].algo) && runs(gemm, p, MOST_ROWS, &result[i].algo)))
            i++;
    TRY(succeeded(&p->shape, i == n ? CUBLAS_STATUS_NOT_SUPPORTED : result[i].state, "choose an algorithm for any number of rows"));
    p->algo = result[i].algo;
    return OK;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct shape *s)
{
    uint64_t word[sizeof *s / sizeof(uint64_t)], hash = 0;
    memcpy(word, s, sizeof word);
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        hash = ((hash ^ word[i]) * 0x9e3779b97f4a7c15u) ^ (hash >> 29);
    return hash ^ (hash >> 32);
}
_Static_assert(sizeof(struct shape) % sizeof(uint64_t) == 0, "all of a shape is hashed");

/* The shape's slot, or the free one where it will be. */
static struct plan *slot_of(struct cuda_gemm *gemm, const struct shape *s)
{
    uint64_t at = hash_of(s) % SLOTS;
    while (gemm->plan[at].taken && memcmp(&gemm->plan[at].shape, s, sizeof *s) != 0)
        at = (at + 1) % SLOTS;
    return &gemm->plan[at];
}

static void put(struct cuda_gemm *gemm, const struct plan *p)
{
    if (gemm->n_plans == MOST_PLANS) {
        memset(gemm->plan, 0, SLOTS * sizeof *gemm->plan);
        gemm->n_plans = 0;
    }
    *slot_of(gemm, &p->shape) = *p;
    gemm->n_plans++;
}

static int make(struct cuda_gemm *gemm, const struct shape *s, struct plan *out)
{
    *out = (struct plan){.taken = true, .shape = *s};
    TRY(describe(out));
    TRY(choose(gemm, out));
    put(gemm, out);
    return OK;
}

static int find_plain(struct cuda_gemm *gemm, const struct shape *s, struct plan *out)
{
    const struct plan *p = slot_of(gemm, s);
    if (!p->taken)
        return make(gemm, s, out);
    *out = *p;
    return OK;
}

/* The plan for REFERENCE_ROWS gives the algorithm. */
static int find_for_any_rows(struct cuda_gemm *gemm, const struct shape *s, struct plan *out)
{
    struct shape reference = *s;
    reference.m = REFERENCE_ROWS;
    if (s->m == REFERENCE_ROWS || slot_of(gemm, s)->taken)
        return find_plain(gemm, s, out);
    TRY(find_plain(gemm, &reference, out));
    out->shape = *s;
    TRY(describe(out));
    cublasStatus_t status = runs(gemm, out, s->m, &out->algo) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
    TRY(succeeded(s, status, "keep to one algorithm for any number of rows (device.batch_invariant)"));
    put(gemm, out);
    return OK;
}

/* ---- open, close, multiply ------------------------------------------------------------------------------------------------------------------- */

/* Counted as device_alloc counts, which is not in the module. */
int cuda_gemm_workspace(struct stream *stream)
{
    struct device *device = stream->device;
    struct cuda_stream *s = cuda_stream_of(stream);
    if (s->workspace)
        return OK;
    TRY(cuda_take(device, WORKSPACE_BYTES, &s->workspace));
    device->bytes_in_use += WORKSPACE_BYTES;
    return OK;
}

int cuda_gemm_open(struct device *device)
{
    struct cuda *cuda = cuda_of(device);
    cuda->gemm = calloc(1, sizeof *cuda->gemm);
    CHECK(cuda->gemm, "out of memory for the matrix products");
    cuda->gemm->plan = calloc(SLOTS, sizeof *cuda->gemm->plan);
    CHECK(cuda->gemm->plan, "out of memory for the matrix products");
    cublasStatus_t status = cublasLtCreate(&cuda->gemm->handle);
    CHECK(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt cannot be opened on GPU %d: '%s' (%d)", cuda->ordinal, cublasLtGetStatusString(status), (int)status);
    return cuda_gemm_workspace(&device->stream);
}

void cuda_gemm_close(struct cuda *cuda)
{
    struct cuda_gemm *gemm = cuda->gemm;
    if (!gemm)
        return;
    if (gemm->handle)
        cublasLtDestroy(gemm->handle);
    free(gemm->plan);
    free(gemm);
    cuda->gemm = NULL;
}

/* C = 0 over nothing. */
static int clear(struct stream *stream, const struct gemm_args *g)
{
    size_t row = (size_t)g->n * dtype_bytes(g->dtype_c);
    if (g->ldc == g->n)
        return cuda_zero(stream, g->c, (size_t)g->m * row);
    for (int64_t i = 0; i < g->m; i++)
        TRY(cuda_zero(stream, dtype_at(g->c, g->dtype_c, i * g->ldc), row));
    return OK;
}

static int check_sizes(const struct gemm_args *g)
{
    bool small = g->m <= INT32_MAX && g->n <= INT32_MAX && g->k <= INT32_MAX && g->lda <= INT32_MAX && g->ldb <= INT32_MAX && g->ldc <= INT32_MAX;
    CHECK(small, "a matrix product of %lld x %lld x %lld (strides %lld, %lld, %lld): the CUDA backend goes up to %d", (long long)g->m, (long long)g->n, (long long)g->k, (long long)g->lda,
          (long long)g->ldb, (long long)g->ldc, INT32_MAX);
    CHECK(g->dtype_ab == BF16 || g->dtype_c == F32, "a matrix product of float32 matrices into bf16: the CUDA backend has none");
    return OK;
}

static int cuda_gemm(struct stream *stream, const struct gemm_args *g)
{
    struct cuda *cuda = cuda_of(stream->device);
    struct shape shape = shape_of(g, cuda->batch_invariant);
    const float one = 1.0f, before = g->accumulate ? 1.0f : 0.0f;
    struct plan p;
    if (g->m == 0 || g->n == 0 || (g->k == 0 && g->accumulate))
        return OK;
    if (g->k == 0)
        return clear(stream, g);
    TRY(check_sizes(g));
    TRY(shape.any_rows ? find_for_any_rows(cuda->gemm, &shape, &p) : find_plain(cuda->gemm, &shape, &p));
    TRY(cuda_gemm_workspace(stream));
    struct cuda_stream *s = cuda_stream_of(stream);
    cublasStatus_t status = cublasLtMatmul(cuda->gemm->handle, &p.product, &one, g->b, &p.b, g->a, &p.a, &before, g->c, &p.c, g->c, &p.c, &p.algo, s->workspace, WORKSPACE_BYTES, s->handle);
    return succeeded(&shape, status, "multiply");
}

void cuda_gemm_table(struct kernels *table) { table->gemm = cuda_gemm; }
