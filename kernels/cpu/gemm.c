/* gemm: oneDNN's matmul (the fastest measured library here, and the one with bf16), and dot products where few rows meet weights (gemm_dots.c). Each call of oneDNN runs on
 * one thread: the pool cuts the product into blocks of C, so the process has one pool. Primitives are cached by shape, layout and types. */
#include <dnnl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/ref/ref.h"

/* libgomp's, which Debian's oneDNN is built with: one thread in each of ours. */
extern void omp_set_num_threads(int n);

struct shape { int64_t m, n, k, lda, ldb, ldc; int trans_a, trans_b, accumulate, dtype_ab, dtype_c; };
struct entry { struct shape shape; dnnl_primitive_t primitive; dnnl_memory_desc_t a, b, c, scratch; };

enum { MAX_CACHED = 4096, MAX_BLOCKS = 256 };

/* scratch: oneDNN's working memory, one per block of a product: left to itself it would share one between the threads. */
struct gemm_cache {
    dnnl_engine_t engine;
    pthread_mutex_t lock;
    struct entry *entry;
    int n, max;
    int n_threads;
    struct { void *memory; size_t n_bytes; } scratch[MAX_BLOCKS];
};

static int failed(dnnl_status_t status, const char *what)
{
    CHECK(status == dnnl_success, "oneDNN failed (%d) to %s", (int)status, what);
    return OK;
}

int cpu_gemm_open(struct cpu *cpu)
{
    static const dnnl_cpu_isa_t most[] = {[CPU_SCALAR] = dnnl_cpu_isa_sse41, [CPU_AVX2] = dnnl_cpu_isa_avx2, [CPU_AVX512] = dnnl_cpu_isa_avx512_core_bf16, [CPU_AMX] = dnnl_cpu_isa_all};
    dnnl_set_max_cpu_isa(most[cpu->isa]);           /* refused once oneDNN has been used: then the first device's choice holds */
    cpu->gemm = calloc(1, sizeof *cpu->gemm);
    CHECK(cpu->gemm, "out of memory for the matrix products");
    pthread_mutex_init(&cpu->gemm->lock, NULL);
    cpu->gemm->n_threads = pool_threads(cpu->pool);
    return failed(dnnl_engine_create(&cpu->gemm->engine, dnnl_cpu, 0), "open the CPU");
}

static void clear(struct gemm_cache *g)
{
    for (int i = 0; i < g->n; i++)
        dnnl_primitive_destroy(g->entry[i].primitive);
    g->n = 0;
}

void cpu_gemm_close(struct cpu *cpu)
{
    struct gemm_cache *g = cpu->gemm;
    if (!g)
        return;
    clear(g);
    if (g->engine)
        dnnl_engine_destroy(g->engine);
    pthread_mutex_destroy(&g->lock);
    for (int i = 0; i < MAX_BLOCKS; i++)
        free(g->scratch[i].memory);
    free(g->entry);
    free(g);
    cpu->gemm = NULL;
}

/* ---- primitives ------------------------------------------------------------------------------------------------------------------------------ */

static dnnl_data_type_t type_of(int dtype) { return dtype == F32 ? dnnl_f32 : dnnl_bf16; }

static int describe(dnnl_memory_desc_t *desc, int64_t rows, int64_t cols, int64_t ld, bool transposed, int dtype)
{
    const dnnl_dims_t dims = {rows, cols};
    const dnnl_dims_t strides = {transposed ? 1 : ld, transposed ? ld : 1};
    return failed(dnnl_memory_desc_init_by_strides(desc, 2, dims, type_of(dtype), strides), "describe a matrix");
}

static int make_primitive(struct gemm_cache *g, const struct shape *s, struct entry *e)
{
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t post;
    dnnl_primitive_desc_t primitive_desc = NULL;
    e->shape = *s;
    omp_set_num_threads(1);         /* what is planned for more threads than run it would miss its working memory */
    TRY(describe(&e->a, s->m, s->k, s->lda, s->trans_a, s->dtype_ab));
    TRY(describe(&e->b, s->k, s->n, s->ldb, s->trans_b, s->dtype_ab));
    TRY(describe(&e->c, s->m, s->n, s->ldc, false, s->dtype_c));
    TRY(failed(dnnl_matmul_desc_init(&desc, &e->a, &e->b, NULL, &e->c), "describe a matrix product"));
    TRY(failed(dnnl_primitive_attr_create(&attr), "make attributes"));
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    dnnl_post_ops_create(&post);
    if (s->accumulate) {
        dnnl_post_ops_append_sum(post, 1.0f);
        dnnl_primitive_attr_set_post_ops(attr, post);
    }
    dnnl_status_t status = dnnl_primitive_desc_create(&primitive_desc, &desc, attr, g->engine, NULL);
    dnnl_post_ops_destroy(post);
    dnnl_primitive_attr_destroy(attr);
    TRY(failed(status, "plan a matrix product"));
    e->scratch = *dnnl_primitive_desc_query_md(primitive_desc, dnnl_query_scratchpad_md, 0);
    status = dnnl_primitive_create(&e->primitive, primitive_desc);
    dnnl_primitive_desc_destroy(primitive_desc);
    return failed(status, "compile a matrix product");
}

/* Under the lock. */
static int find(struct gemm_cache *g, const struct shape *s, struct entry *out)
{
    for (int i = g->n - 1; i >= 0; i--)
        if (memcmp(&g->entry[i].shape, s, sizeof *s) == 0) {
            *out = g->entry[i];
            return OK;
        }
    if (g->n == MAX_CACHED)
        clear(g);
    if (g->n == g->max) {
        int max = g->max * 2 + 64;
        struct entry *grown = realloc(g->entry, (size_t)max * sizeof *grown);
        CHECK(grown, "out of memory for the matrix products");
        g->entry = grown;
        g->max = max;
    }
    TRY(make_primitive(g, s, &g->entry[g->n]));
    *out = g->entry[g->n++];
    return OK;
}

static int execute(struct gemm_cache *g, const struct entry *e, const void *a, const void *b, void *c, void *scratch)
{
    dnnl_memory_t memory[4] = {0};
    dnnl_stream_t stream = NULL;
    int status = OK;
    TRY_DONE(failed(dnnl_memory_create(&memory[0], &e->a, g->engine, (void *)(uintptr_t)a), "map a matrix"));
    TRY_DONE(failed(dnnl_memory_create(&memory[1], &e->b, g->engine, (void *)(uintptr_t)b), "map a matrix"));
    TRY_DONE(failed(dnnl_memory_create(&memory[2], &e->c, g->engine, c), "map a matrix"));
    TRY_DONE(failed(dnnl_memory_create(&memory[3], &e->scratch, g->engine, scratch), "map working memory"));
    TRY_DONE(failed(dnnl_stream_create(&stream, g->engine, dnnl_stream_default_flags), "make a stream"));
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, memory[0]}, {DNNL_ARG_WEIGHTS, memory[1]}, {DNNL_ARG_DST, memory[2]}, {DNNL_ARG_SCRATCHPAD, memory[3]}};
    TRY_DONE(failed(dnnl_primitive_execute(e->primitive, stream, 4, args), "multiply"));
    TRY_DONE(failed(dnnl_stream_wait(stream), "multiply"));
done:
    if (stream)
        dnnl_stream_destroy(stream);
    for (int i = 0; i < 4; i++)
        if (memory[i])
            dnnl_memory_destroy(memory[i]);
    return status;
}

/* ---- blocks of C ----------------------------------------------------------------------------------------------------------------------------- */

struct work {
    struct gemm_cache *cache;
    const struct gemm_args *args;
    struct entry full, last;    /* of blocks of the common size, and of the last, smaller one */
    int64_t block, n_blocks;    /* along m or n */
    bool along_m;
    int status[MAX_BLOCKS];
};

static struct shape shape_of(const struct gemm_args *a, int64_t m, int64_t n)
{
    struct shape s;
    memset(&s, 0, sizeof s);
    s = (struct shape){m, n, a->k, a->lda, a->ldb, a->ldc, a->trans_a, a->trans_b, a->accumulate, (int)a->dtype_ab, (int)a->dtype_c};
    return s;
}

static void run_block(void *context, int64_t i, int thread)
{
    (void)thread;
    struct work *w = context;
    const struct gemm_args *g = w->args;
    int64_t at = i * w->block, a_at = 0, b_at = 0, c_at = w->along_m ? at * g->ldc : at;
    if (w->along_m)
        a_at = g->trans_a ? at : at * g->lda;
    else
        b_at = g->trans_b ? at * g->ldb : at;
    omp_set_num_threads(1);
    w->status[i] = execute(w->cache, i == w->n_blocks - 1 ? &w->last : &w->full, dtype_at_const(g->a, g->dtype_ab, a_at), dtype_at_const(g->b, g->dtype_ab, b_at),
                           dtype_at(g->c, g->dtype_c, c_at), w->cache->scratch[i].memory);
}

/* Cut the longer side of C into as many blocks as threads, in multiples of 16. */
static void cut(struct work *w, int n_threads)
{
    const struct gemm_args *g = w->args;
    w->along_m = g->m >= g->n;
    int64_t side = w->along_m ? g->m : g->n;
    w->block = ((side + n_threads - 1) / n_threads + 15) / 16 * 16;
    w->n_blocks = (side + w->block - 1) / w->block;
    if (g->m * g->n * g->k < 32768) {
        w->block = side;
        w->n_blocks = 1;
    }
    ASSERT(w->n_blocks <= MAX_BLOCKS);
}

static int reserve_scratch(struct work *w)
{
    for (int64_t i = 0; i < w->n_blocks; i++) {
        size_t need = dnnl_memory_desc_get_size(i == w->n_blocks - 1 ? &w->last.scratch : &w->full.scratch);
        if (need <= w->cache->scratch[i].n_bytes)
            continue;
        free(w->cache->scratch[i].memory);
        w->cache->scratch[i].n_bytes = 0;
        w->cache->scratch[i].memory = aligned_alloc(64, (need + 63) / 64 * 64);
        CHECK(w->cache->scratch[i].memory, "out of memory for the matrix products");
        w->cache->scratch[i].n_bytes = need;
    }
    return OK;
}

static int prepare(struct work *w)
{
    const struct gemm_args *g = w->args;
    int64_t side = w->along_m ? g->m : g->n, rest = side - (w->n_blocks - 1) * w->block;
    struct shape full = shape_of(g, w->along_m ? w->block : g->m, w->along_m ? g->n : w->block);
    struct shape last = shape_of(g, w->along_m ? rest : g->m, w->along_m ? g->n : rest);
    pthread_mutex_lock(&w->cache->lock);
    int status = find(w->cache, &last, &w->last);
    if (status == OK && w->n_blocks > 1)
        status = find(w->cache, &full, &w->full);
    pthread_mutex_unlock(&w->cache->lock);
    return status == OK ? reserve_scratch(w) : status;
}

static int multiply(struct cpu *cpu, const struct gemm_args *g)
{
    struct work w = {.cache = cpu->gemm, .args = g};
    cut(&w, cpu->gemm->n_threads);
    TRY(prepare(&w));
    pool_run(cpu->pool, run_block, &w, w.n_blocks);
    for (int64_t i = 0; i < w.n_blocks; i++)
        CHECK(w.status[i] == OK, "a matrix product of %lld x %lld x %lld failed in oneDNN", (long long)g->m, (long long)g->n, (long long)g->k);
    return OK;
}

/* ---- bf16 where oneDNN has none: float32 copies ---------------------------------------------------------------------------------------------- */

static float *widen(const void *x, int64_t rows, int64_t cols, int64_t ld)
{
    float *out = malloc(((size_t)(rows * cols) + 1) * sizeof *out);
    for (int64_t i = 0; out && i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            out[i * cols + j] = bf16_to_f32(((const bf16 *)x)[i * ld + j]);
    return out;
}

static void narrow(const float *x, int64_t rows, int64_t cols, int64_t ld, bf16 *out)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            out[i * ld + j] = f32_to_bf16(x[i * cols + j]);
}

static int multiply_widened(struct cpu *cpu, const struct gemm_args *g)
{
    int status = OK;
    struct gemm_args wide = *g;
    float *a = widen(g->a, g->trans_a ? g->k : g->m, g->trans_a ? g->m : g->k, g->lda), *b = widen(g->b, g->trans_b ? g->n : g->k, g->trans_b ? g->k : g->n, g->ldb);
    float *c = g->dtype_c == BF16 ? widen(g->c, g->m, g->n, g->ldc) : NULL;
    CHECK_DONE(a && b && (c || g->dtype_c == F32), "out of memory in a matrix product");
    wide.a = a;
    wide.b = b;
    wide.lda = g->trans_a ? g->m : g->k;
    wide.ldb = g->trans_b ? g->k : g->n;
    wide.dtype_ab = wide.dtype_c = F32;
    if (c) {
        wide.c = c;
        wide.ldc = g->n;
    }
    TRY_DONE(multiply(cpu, &wide));
    if (c)
        narrow(c, g->m, g->n, g->ldc, g->c);
done:
    free(a);
    free(b);
    free(c);
    return status;
}

int cpu_gemm_dnnl(struct cpu *cpu, const struct gemm_args *g)
{
    return g->dtype_ab == BF16 && cpu->isa < CPU_AVX512 ? multiply_widened(cpu, g) : multiply(cpu, g);
}

/* Rows up to which dot products are faster than oneDNN, which repacks the weights in each call (measured: bench_kernels, "few rows"). */
static int64_t most_dot_rows(const struct cpu *cpu, enum dtype dtype)
{
    if (cpu->isa == CPU_SCALAR)
        return 2;
    return dtype == F32 || cpu->isa == CPU_AVX2 ? 32 : 64;
}

static bool by_dots(const struct cpu *cpu, const struct gemm_args *g)
{
    return g->trans_b && !g->trans_a && (cpu->batch_invariant || g->m <= most_dot_rows(cpu, g->dtype_ab));
}

int cpu_gemm(struct stream *stream, const struct gemm_args *g)
{
    struct cpu *cpu = cpu_of(stream);
    if (g->m == 0 || g->n == 0)
        return OK;
    if (g->k == 0)
        return ref_gemm(stream, g);
    return by_dots(cpu, g) ? cpu_gemm_dots(cpu, g) : cpu_gemm_dnnl(cpu, g);
}
