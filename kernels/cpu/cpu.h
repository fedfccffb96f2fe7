/* cpu: what the CPU backend's files share. */
#ifndef KERNELS_CPU_CPU_H
#define KERNELS_CPU_CPU_H

#include "kernels/cpu/pool.h"
#include "kernels/kernels.h"

enum cpu_isa { CPU_SCALAR, CPU_AVX2, CPU_AVX512, CPU_AMX };

struct gemm_cache;
struct vector_ops;

/* Memory that is kept from call to call and grows. */
struct kept { void *memory; size_t n_bytes; };

struct cpu {
    struct kernels kernels;
    enum cpu_isa isa;
    bool batch_invariant;
    struct pool *pool;
    struct gemm_cache *gemm;
    const struct vector_ops *vector;    /* of isa */
    struct kept scratch, parts; /* of attention: working memory of its threads, and its tasks */
    struct kept packed;         /* rows of a product for matrix registers */
    struct kept sampling;       /* working memory of its threads */
};

static inline struct cpu *cpu_of(struct stream *stream) { return stream->device->state; }

/* At least n_bytes, on a cache line; what it held is lost when it grows. */
int cpu_keep(struct kept *kept, size_t n_bytes);

/* gemm.c: cpu_gemm chooses between the two that follow, which want m, n, k > 0. */
int cpu_gemm_open(struct cpu *cpu);
void cpu_gemm_close(struct cpu *cpu);
int cpu_gemm(struct stream *, const struct gemm_args *);
/* oneDNN, one thread a call, the pool cuts the product. */
int cpu_gemm_dnnl(struct cpu *cpu, const struct gemm_args *);
/* gemm_dots.c: trans_b, not trans_a. A row of C has the same bits whatever m, its place, and the number of threads. */
int cpu_gemm_dots(struct cpu *cpu, const struct gemm_args *);

/* vector.c: overrides the vector operations and attention with those of cpu->isa. */
void cpu_vector_table(struct cpu *cpu, struct kernels *table);
/* rows.c: embedding, gather, scatter. */
void cpu_rows_table(struct kernels *table);

/* sample.c */
int cpu_sample(struct stream *, const struct sample_args *);

#endif
