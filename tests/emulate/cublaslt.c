/* cublaslt: the stand-in of cuBLASLt (include/cublasLt.h). A product is one operation of its stream, or two where its sums are cut: the parts into the workspace, then their sum, so
 * that a workspace that two streams share gives wrong numbers. Which algorithm there is, and best, depends on the shape as in the real library, and each adds in another order. */
#include <cublasLt.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "emulate.h"
#include "tests/emulate/real/cublaslt.h"

enum { LAYOUT = 0x6c61796f, PRODUCT = 0x70726f64, PREFERENCE = 0x70726566, ALGORITHM = 0x616c676f };

/* What the opaque types hold. */
struct layout { uint64_t magic; int64_t type, rows, cols, ld; };
struct product { uint64_t magic; int32_t compute, scale, op_a, op_b; };
struct preference { uint64_t magic, workspace; uint32_t reduction, align_a, align_b, align_c, align_d; };
struct algorithm { uint64_t magic; int32_t recipe, type_ab, type_c, compute; };
_Static_assert(sizeof(struct layout) <= sizeof(cublasLtMatrixLayoutOpaque_t) && sizeof(struct product) <= sizeof(cublasLtMatmulDescOpaque_t), "they fit");
_Static_assert(sizeof(struct preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t) && sizeof(struct algorithm) <= sizeof(cublasLtMatmulAlgo_t), "they fit");

struct cublasLtContext { struct cublasLtContext *next; };
static struct cublasLtContext *handles;

static cublasStatus_t refuse(cublasStatus_t status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static cublasStatus_t refuse(cublasStatus_t status, const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fprintf(stderr, "emulate: cuBLASLt: ");
    vfprintf(stderr, fmt, list);
    fprintf(stderr, "\n");
    va_end(list);
    return status;
}

#define NEED(cond, status, ...) do { if (!(cond)) return refuse(status, __VA_ARGS__); } while (0)
#define PASS(call) do { cublasStatus_t pass_ = (call); if (pass_ != CUBLAS_STATUS_SUCCESS) return pass_; } while (0)

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    static const struct { cublasStatus_t status; const char *words; } table[] = {
        {CUBLAS_STATUS_SUCCESS, "the operation completed successfully"}, {CUBLAS_STATUS_NOT_INITIALIZED, "the library was not initialized"},
        {CUBLAS_STATUS_ALLOC_FAILED, "the resource allocation failed"}, {CUBLAS_STATUS_INVALID_VALUE, "an unsupported value or parameter was passed to the function"},
        {CUBLAS_STATUS_EXECUTION_FAILED, "the function failed to launch on the GPU"}, {CUBLAS_STATUS_NOT_SUPPORTED, "the functionality is not supported"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].status == status)
            return table[i].words;
    return "unknown cublas status";
}

/* ---- handles and descriptors ----------------------------------------------------------------------------------------------------------------- */

static bool is_handle(const struct cublasLtContext *handle)
{
    for (const struct cublasLtContext *h = handles; h; h = h->next)
        if (h == handle)
            return true;
    return false;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    struct cublasLtContext *made = malloc(sizeof *made);
    NEED(made, CUBLAS_STATUS_ALLOC_FAILED, "no memory for a handle");
    *made = (struct cublasLtContext){handles};
    *handle = handles = made;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    NEED(is_handle(handle), CUBLAS_STATUS_NOT_INITIALIZED, "destroy: this is no handle");
    struct cublasLtContext **at = &handles;
    while (*at != handle)
        at = &(*at)->next;
    *at = handle->next;
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

/* Real descriptors are not zero behind what is set: neither are these. */
static void fill(void *opaque, size_t n_bytes, const void *content, size_t n_content)
{
    memset(opaque, 0xff, n_bytes);
    memcpy(opaque, content, n_content);
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t n_bytes, cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld)
{
    NEED(n_bytes >= sizeof *layout, CUBLAS_STATUS_ALLOC_FAILED, "a layout in %zu bytes", n_bytes);
    fill(layout, sizeof *layout, &(struct layout){LAYOUT, type, (int64_t)rows, (int64_t)cols, ld}, sizeof(struct layout));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t desc, size_t n_bytes, cublasComputeType_t compute, cudaDataType_t scale)
{
    NEED(n_bytes >= sizeof *desc, CUBLAS_STATUS_ALLOC_FAILED, "a product in %zu bytes", n_bytes);
    fill(desc, sizeof *desc, &(struct product){PRODUCT, (int32_t)compute, (int32_t)scale, CUBLAS_OP_N, CUBLAS_OP_N}, sizeof(struct product));
    return CUBLAS_STATUS_SUCCESS;
}

/* The real defaults: no workspace, every reduction, 256 bytes. */
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t pref, size_t n_bytes)
{
    NEED(n_bytes >= sizeof *pref, CUBLAS_STATUS_ALLOC_FAILED, "preferences in %zu bytes", n_bytes);
    fill(pref, sizeof *pref, &(struct preference){PREFERENCE, 0, CUBLASLT_REDUCTION_SCHEME_MASK, 256, 256, 256, 256}, sizeof(struct preference));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t n_bytes)
{
    struct product p;
    int32_t op;
    memcpy(&p, desc, sizeof p);
    NEED(p.magic == PRODUCT, CUBLAS_STATUS_INVALID_VALUE, "an attribute of a product that was not initialized");
    NEED(attribute == CUBLASLT_MATMUL_DESC_TRANSA || attribute == CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_STATUS_INVALID_VALUE, "attribute %d of a product", (int)attribute);
    NEED(value && n_bytes == sizeof op, CUBLAS_STATUS_INVALID_VALUE, "attribute %d of a product in %zu bytes", (int)attribute, n_bytes);
    memcpy(&op, value, sizeof op);
    NEED(op == CUBLAS_OP_N || op == CUBLAS_OP_T, CUBLAS_STATUS_INVALID_VALUE, "transposition %d", op);
    *(attribute == CUBLASLT_MATMUL_DESC_TRANSA ? &p.op_a : &p.op_b) = op;
    memcpy(desc, &p, sizeof p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref, cublasLtMatmulPreferenceAttributes_t attribute, const void *value, size_t n_bytes)
{
    struct preference p;
    memcpy(&p, pref, sizeof p);
    NEED(p.magic == PREFERENCE, CUBLAS_STATUS_INVALID_VALUE, "a preference that was not initialized");
    const struct { cublasLtMatmulPreferenceAttributes_t attribute; void *at; size_t n_bytes; } table[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &p.workspace, 8}, {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &p.reduction, 4},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &p.align_a, 4}, {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &p.align_b, 4},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &p.align_c, 4}, {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &p.align_d, 4}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].attribute == attribute) {
            NEED(value && n_bytes == table[i].n_bytes, CUBLAS_STATUS_INVALID_VALUE, "preference %d in %zu bytes", (int)attribute, n_bytes);
            memcpy(table[i].at, value, n_bytes);
            memcpy(pref, &p, sizeof p);
            return CUBLAS_STATUS_SUCCESS;
        }
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "preference %d", (int)attribute);
}

/* ---- the problem ----------------------------------------------------------------------------------------------------------------------------- */

struct problem { struct product product; struct layout a, b, c; int64_t m, n, k; };

static size_t type_bytes(int64_t type) { return type == CUDA_R_32F ? 4 : 2; }
static bool is_type(int64_t type) { return type == CUDA_R_32F || type == CUDA_R_16BF; }

static cublasStatus_t check_layout(const char *name, const struct layout *l)
{
    NEED(l->magic == LAYOUT, CUBLAS_STATUS_INVALID_VALUE, "the layout of %s was not initialized", name);
    NEED(is_type(l->type), CUBLAS_STATUS_NOT_SUPPORTED, "%s has type %d", name, (int)l->type);
    bool sized = l->rows > 0 && l->cols > 0 && l->rows <= INT32_MAX && l->cols <= INT32_MAX;
    NEED(sized, CUBLAS_STATUS_INVALID_VALUE, "%s has %lld rows and %lld columns", name, (long long)l->rows, (long long)l->cols);
    NEED(l->ld >= l->rows, CUBLAS_STATUS_INVALID_VALUE, "%s has %lld rows, and columns that are %lld apart", name, (long long)l->rows, (long long)l->ld);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_types(const struct problem *p)
{
    bool known = p->product.compute == CUBLAS_COMPUTE_32F || (p->product.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && p->a.type == CUDA_R_32F);
    NEED(p->product.magic == PRODUCT, CUBLAS_STATUS_INVALID_VALUE, "the product was not initialized");
    NEED(known && p->product.scale == CUDA_R_32F, CUBLAS_STATUS_NOT_SUPPORTED, "compute type %d with scale type %d", p->product.compute, p->product.scale);
    bool together = p->a.type == p->b.type && (p->a.type == p->c.type || p->a.type == CUDA_R_16BF);
    NEED(together, CUBLAS_STATUS_NOT_SUPPORTED, "types %d and %d into %d", (int)p->a.type, (int)p->b.type, (int)p->c.type);
    return CUBLAS_STATUS_SUCCESS;
}

/* Reads and checks the descriptors; C and D are one matrix here. */
static cublasStatus_t take_problem(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                   cublasLtMatrixLayout_t d, struct problem *p)
{
    NEED(is_handle(handle), CUBLAS_STATUS_NOT_INITIALIZED, "this is no handle");
    NEED(desc && a && b && c && d, CUBLAS_STATUS_INVALID_VALUE, "a descriptor is missing");
    memcpy(&p->product, desc, sizeof p->product);
    memcpy(&p->a, a, sizeof p->a), memcpy(&p->b, b, sizeof p->b), memcpy(&p->c, c, sizeof p->c);
    NEED(memcmp(&p->c, d, sizeof p->c) == 0, CUBLAS_STATUS_INVALID_VALUE, "C and D differ: not known here");
    PASS(check_layout("A", &p->a));
    PASS(check_layout("B", &p->b));
    PASS(check_layout("C", &p->c));
    PASS(check_types(p));
    bool trans_a = p->product.op_a == CUBLAS_OP_T, trans_b = p->product.op_b == CUBLAS_OP_T;
    int64_t m = trans_a ? p->a.cols : p->a.rows, k = trans_a ? p->a.rows : p->a.cols, k_b = trans_b ? p->b.cols : p->b.rows, n = trans_b ? p->b.rows : p->b.cols;
    NEED(k == k_b && m == p->c.rows && n == p->c.cols, CUBLAS_STATUS_INVALID_VALUE, "%lld x %lld times %lld x %lld into %lld x %lld", (long long)m, (long long)k, (long long)k_b,
         (long long)n, (long long)p->c.rows, (long long)p->c.cols);
    p->m = m, p->n = n, p->k = k;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- algorithms ------------------------------------------------------------------------------------------------------------------------------ */

/* One that runs for least_n <= n <= most_n, and is thought best for n <= best_n and k >= best_k, on addresses and columns that lie on `alignment`. A sum over k is cut into `parts`,
 * and a part into `lanes` sums of every lanes-th element. In the order of preference. */
enum { ANY = INT32_MAX };
static const struct recipe { int64_t least_n, most_n, best_n, best_k; uint32_t alignment; int32_t lanes, parts, scheme; } recipes[] = {
    {1, ANY, 100, 256, 16, 16, 4, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE},
    {1, ANY, 100, 256, 16, 16, 4, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE},
    {1, 8, 8, 1, 4, 8, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
    {2, ANY, 200, 1, 16, 12, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
    {1, 4096, 4096, 1, 16, 20, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
    {1, ANY, ANY, 1, 16, 32, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
    {1, ANY, ANY, 1, 1, 4, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
};
enum { N_RECIPES = sizeof recipes / sizeof *recipes, MAX_LANES = 32 };

static bool columns_lie(const struct layout *l, uint32_t alignment) { return (size_t)l->ld * type_bytes(l->type) % alignment == 0; }

static bool runs(const struct recipe *r, const struct problem *p)
{
    return p->n >= r->least_n && p->n <= r->most_n && p->k >= r->parts && columns_lie(&p->a, r->alignment) && columns_lie(&p->b, r->alignment) && columns_lie(&p->c, r->alignment);
}

static size_t workspace_of(const struct recipe *r, const struct problem *p)
{
    return r->parts == 1 ? 0 : (size_t)(r->parts * p->m * p->n) * (r->scheme == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE ? type_bytes(p->c.type) : 4);
}

static bool wanted(const struct recipe *r, const struct problem *p, const struct preference *pref)
{
    bool reduction = r->scheme == CUBLASLT_REDUCTION_SCHEME_NONE || (pref->reduction & (uint32_t)r->scheme) != 0;
    bool aligned = pref->align_a >= r->alignment && pref->align_b >= r->alignment && pref->align_c >= r->alignment && pref->align_d >= r->alignment;
    return runs(r, p) && reduction && aligned && workspace_of(r, p) <= pref->workspace;
}

static void give(cublasLtMatmulHeuristicResult_t *result, int recipe, const struct problem *p)
{
    struct algorithm algo = {ALGORITHM, recipe, (int32_t)p->a.type, (int32_t)p->c.type, p->product.compute};
    memset(result, 0, sizeof *result);
    fill(&result->algo, sizeof result->algo, &algo, sizeof algo);
    result->workspaceSize = workspace_of(&recipes[recipe], p);
    result->state = CUBLAS_STATUS_SUCCESS;
    result->wavesCount = 1.0f;
}

/* First what is thought best, then what runs. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int n_wanted, cublasLtMatmulHeuristicResult_t result[], int *n_found)
{
    struct problem p;
    struct preference pref;
    PASS(take_problem(handle, desc, a, b, c, d, &p));
    memcpy(&pref, preference, sizeof pref);
    NEED(pref.magic == PREFERENCE, CUBLAS_STATUS_INVALID_VALUE, "the preferences were not initialized");
    NEED(n_wanted > 0, CUBLAS_STATUS_INVALID_VALUE, "%d algorithms are asked for", n_wanted);
    *n_found = 0;
    for (int best = 1; best >= 0; best--)
        for (int r = 0; r < N_RECIPES && *n_found < n_wanted; r++)
            if ((p.n <= recipes[r].best_n && p.k >= recipes[r].best_k) == best && wanted(&recipes[r], &p, &pref))
                give(&result[(*n_found)++], r, &p);
    return *n_found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

static cublasStatus_t take_algorithm(const cublasLtMatmulAlgo_t *opaque, struct algorithm *algo)
{
    NEED(opaque, CUBLAS_STATUS_INVALID_VALUE, "no algorithm is given: not known here");
    memcpy(algo, opaque, sizeof *algo);
    NEED(algo->magic == ALGORITHM && algo->recipe >= 0 && algo->recipe < N_RECIPES, CUBLAS_STATUS_INVALID_VALUE, "this is no algorithm");
    return CUBLAS_STATUS_SUCCESS;
}

/* Silent where it just does not run: that is what is asked. */
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *opaque, cublasLtMatmulHeuristicResult_t *result)
{
    struct problem p;
    struct algorithm algo;
    PASS(take_problem(handle, desc, a, b, c, d, &p));
    PASS(take_algorithm(opaque, &algo));
    NEED(algo.type_ab == p.a.type && algo.type_c == p.c.type && algo.compute == p.product.compute, CUBLAS_STATUS_INVALID_VALUE, "the algorithm was chosen for other types");
    if (!runs(&recipes[algo.recipe], &p))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    give(result, algo.recipe, &p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *opaque, cublasLtMatmulAlgoConfigAttributes_t attribute, void *value, size_t n_bytes, size_t *n_written)
{
    struct algorithm algo;
    PASS(take_algorithm(opaque, &algo));
    bool known = attribute == CUBLASLT_ALGO_CONFIG_SPLITK_NUM && value && n_bytes == sizeof(int32_t);
    NEED(known, CUBLAS_STATUS_INVALID_VALUE, "attribute %d of an algorithm in %zu bytes", (int)attribute, n_bytes);
    memcpy(value, &recipes[algo.recipe].parts, n_bytes);
    if (n_written)
        *n_written = n_bytes;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- arithmetic, when the stream comes to it ------------------------------------------------------------------------------------------------- */

struct work { struct problem p; struct recipe r; const void *a, *b; void *c, *workspace; float alpha, beta; };

static enum dtype dtype_of(int64_t type) { return type == CUDA_R_32F ? F32 : BF16; }

/* The 10 bits of significand that tensor cores keep of a float32 they take as TF32. */
static float to_tf32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x1000u) & 0xffffe000u;
    memcpy(&x, &bits, 4);
    return x;
}

/* A matrix as float32 [lines][k]; line i, element k of it stands at i * line + k * step. */
static float *unpack(const void *from, const struct layout *l, bool line_is_column, int64_t lines, int64_t k, bool tf32)
{
    float *out = malloc((size_t)(lines * k) * sizeof *out);
    int64_t line = line_is_column ? l->ld : 1, step = line_is_column ? 1 : l->ld;
    if (!out)
        emulate_stop("out of memory");
    for (int64_t i = 0; i < lines; i++)
        for (int64_t j = 0; j < k; j++) {
            float x = dtype_get(from, dtype_of(l->type), i * line + j * step);
            out[i * k + j] = tf32 ? to_tf32(x) : x;
        }
    return out;
}

static float dot(const float *x, const float *y, int64_t k, int lanes)
{
    float lane[MAX_LANES] = {0}, sum = 0.0f;
    int64_t whole = k / lanes * lanes;
    for (int64_t i = 0; i < whole; i += lanes)
        for (int l = 0; l < lanes; l++)
            lane[l] += x[i + l] * y[i + l];
    for (int64_t i = whole; i < k; i++)
        lane[i - whole] += x[i] * y[i];
    for (int l = 0; l < lanes; l++)
        sum += lane[l];
    return sum;
}

static void finish(const struct work *w, int64_t i, int64_t j, float sum)
{
    enum dtype dtype = dtype_of(w->p.c.type);
    int64_t at = j * w->p.c.ld + i;
    dtype_put(w->c, dtype, at, w->alpha * sum + (w->beta == 0.0f ? 0.0f : w->beta * dtype_get(w->c, dtype, at)));
}

static enum dtype part_type(const struct work *w) { return w->r.scheme == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE ? dtype_of(w->p.c.type) : F32; }

/* The product, or its parts into the workspace. */
static void multiply(const void *args)
{
    const struct work *w = args;
    const struct problem *p = &w->p;
    bool tf32 = p->product.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    float *a = unpack(w->a, &p->a, p->product.op_a == CUBLAS_OP_T, p->m, p->k, tf32), *b = unpack(w->b, &p->b, p->product.op_b == CUBLAS_OP_N, p->n, p->k, tf32);
    for (int64_t j = 0; j < p->n; j++)
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t part = 0; part < w->r.parts; part++) {
                int64_t first = part * p->k / w->r.parts, end = (part + 1) * p->k / w->r.parts;
                float sum = dot(a + i * p->k + first, b + j * p->k + first, end - first, w->r.lanes);
                if (w->r.parts == 1)
                    finish(w, i, j, sum);
                else
                    dtype_put(w->workspace, part_type(w), (part * p->n + j) * p->m + i, sum);
            }
    free(a), free(b);
}

static void add_parts(const void *args)
{
    const struct work *w = args;
    for (int64_t j = 0; j < w->p.n; j++)
        for (int64_t i = 0; i < w->p.m; i++) {
            float sum = 0.0f;
            for (int64_t part = 0; part < w->r.parts; part++)
                sum += dtype_get(w->workspace, part_type(w), (part * w->p.n + j) * w->p.m + i);
            finish(w, i, j, sum);
        }
}

/* ---- the call -------------------------------------------------------------------------------------------------------------------------------- */

static size_t extent(const struct layout *l) { return (size_t)((l->cols - 1) * l->ld + l->rows) * type_bytes(l->type); }

static cublasStatus_t check_memory(const char *name, const void *at, const struct layout *l, const struct recipe *r)
{
    NEED(at, CUBLAS_STATUS_INVALID_VALUE, "%s is missing", name);
    bool lies = (uintptr_t)at % type_bytes(l->type) == 0 && (uintptr_t)at % r->alignment == 0;
    NEED(lies, CUBLAS_STATUS_INVALID_VALUE, "%s at %p does not lie on %u bytes, which the algorithm wants", name, at, r->alignment);
    NEED(emulate_holds(at, extent(l)), CUBLAS_STATUS_EXECUTION_FAILED, "%s: %zu bytes at %p do not lie in one allocation of device memory", name, extent(l), at);
    return CUBLAS_STATUS_SUCCESS;
}

static bool apart(const void *x, size_t n_x, const void *y, size_t n_y) { return (const char *)x + n_x <= (const char *)y || (const char *)y + n_y <= (const char *)x; }

static cublasStatus_t check_work(const struct work *w, size_t workspace_bytes)
{
    size_t need = workspace_of(&w->r, &w->p), n_c = extent(&w->p.c);
    PASS(check_memory("A", w->a, &w->p.a, &w->r));
    PASS(check_memory("B", w->b, &w->p.b, &w->r));
    PASS(check_memory("C", w->c, &w->p.c, &w->r));
    NEED(apart(w->c, n_c, w->a, extent(&w->p.a)) && apart(w->c, n_c, w->b, extent(&w->p.b)), CUBLAS_STATUS_INVALID_VALUE, "C overlaps A or B");
    NEED(need <= workspace_bytes, CUBLAS_STATUS_INVALID_VALUE, "the algorithm wants a workspace of %zu bytes, and there are %zu", need, workspace_bytes);
    NEED(workspace_bytes == 0 || ((uintptr_t)w->workspace % 256 == 0 && emulate_holds(w->workspace, workspace_bytes)), CUBLAS_STATUS_INVALID_VALUE,
         "the workspace, %zu bytes at %p, does not lie on 256 bytes in one allocation of device memory", workspace_bytes, w->workspace);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *A, cublasLtMatrixLayout_t a, const void *B, cublasLtMatrixLayout_t b,
                              const void *beta, const void *C, cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *opaque, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    struct work w = {.a = A, .b = B, .c = D, .workspace = workspace};
    struct algorithm algo;
    PASS(take_problem(handle, desc, a, b, c, d, &w.p));
    PASS(take_algorithm(opaque, &algo));
    w.r = recipes[algo.recipe];
    NEED(algo.type_ab == w.p.a.type && algo.type_c == w.p.c.type && algo.compute == w.p.product.compute, CUBLAS_STATUS_INVALID_VALUE, "the algorithm was chosen for other types");
    NEED(runs(&w.r, &w.p), CUBLAS_STATUS_NOT_SUPPORTED, "the algorithm does not run for %lld x %lld x %lld", (long long)w.p.m, (long long)w.p.n, (long long)w.p.k);
    NEED(alpha && beta && !emulate_holds(alpha, 1) && !emulate_holds(beta, 1), CUBLAS_STATUS_INVALID_VALUE, "alpha and beta are not in host memory");
    NEED(C == D, CUBLAS_STATUS_INVALID_VALUE, "C and D differ: not known here");
    memcpy(&w.alpha, alpha, sizeof w.alpha), memcpy(&w.beta, beta, sizeof w.beta);
    PASS(check_work(&w, workspace_bytes));
    NEED(emulate_queue(stream, multiply, &w, sizeof w), CUBLAS_STATUS_INVALID_VALUE, "this is no stream");
    if (w.r.parts > 1)
        emulate_queue(stream, add_parts, &w, sizeof w);
    return CUBLAS_STATUS_SUCCESS;
}
