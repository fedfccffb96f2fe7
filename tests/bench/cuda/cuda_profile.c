/* cuda_profile: how long each operation of the table takes in a step: while a profile is open the device's table is one that waits for the stream before and behind every call. What overlaps
 * or queues without it stands alone here, so the sum is more than a step without a profile takes; what no operation accounts for is copies, clearing, collectives and the host. */
#include <stdio.h>

#include "tests/bench/cuda/cuda_bench.h"

enum { MOST_PRODUCTS = 64 };

struct spent { double seconds; int64_t calls; };
struct product { int64_t m, n, k; struct spent spent; };

static struct {
    const struct kernels *inner;
    struct kernels table;
    struct spent all;
    int n_products;
    struct product product[MOST_PRODUCTS];
} profile;

static double begin(struct stream *s)
{
    bench_must(s->device->ops->synchronize(s));
    return bench_now_s();
}

static void end(struct stream *s, double start_s, struct spent *spent)
{
    bench_must(s->device->ops->synchronize(s));
    double took = bench_now_s() - start_s;
    spent->seconds += took, spent->calls++;
    profile.all.seconds += took, profile.all.calls++;
}

static struct spent *spent_of(const struct gemm_args *a)
{
    int i = 0;
    while (i < profile.n_products && (profile.product[i].m != a->m || profile.product[i].n != a->n || profile.product[i].k != a->k))
        i++;
    bench_must(i < MOST_PRODUCTS ? OK : FAIL("more than %d shapes of products", MOST_PRODUCTS));
    if (i == profile.n_products)
        profile.product[profile.n_products++] = (struct product){.m = a->m, .n = a->n, .k = a->k};
    return &profile.product[i].spent;
}

static int timed_gemm(struct stream *s, const struct gemm_args *a)
{
    double start_s = begin(s);
    TRY(profile.inner->gemm(s, a));
    end(s, start_s, spent_of(a));
    return OK;
}

/* The other operations: what each has spent, and the function that counts it. */
#define OPERATIONS(X) \
    X(bias_forward, bias_args) X(bias_backward, bias_args) X(rmsnorm_forward, rmsnorm_args) X(rmsnorm_backward, rmsnorm_args) X(rope, rope_args) X(swiglu_forward, swiglu_args) \
    X(swiglu_backward, swiglu_args) X(embedding_forward, embedding_args) X(embedding_backward, embedding_args) X(gather_rows, rows_args) X(scatter_add_rows, rows_args) \
    X(scatter_rows, rows_args) X(add, map_args) X(cast, map_args) X(attention_forward, attention_args) X(attention_backward, attention_args) X(cross_entropy_max, cross_entropy_args) \
    X(cross_entropy_sum, cross_entropy_args) X(cross_entropy_loss, cross_entropy_args) X(cross_entropy_backward, cross_entropy_args) X(reward_forward, reward_args) \
    X(reward_backward, reward_args) X(bradley_terry, bradley_terry_args) X(adamw, adamw_args) X(norm_squared, norm_args)

#define SPENT(name, type) static struct spent spent_##name;
OPERATIONS(SPENT)
#define TIMED(name, type) \
    static int timed_##name(struct stream *s, const struct type *a) \
    { \
        double start_s = begin(s); \
        TRY(profile.inner->name(s, a)); \
        end(s, start_s, &spent_##name); \
        return OK; \
    }
OPERATIONS(TIMED)

void profile_begin(struct device *device)
{
    profile.inner = device->kernels;
    profile.table = *device->kernels;
    profile.table.gemm = timed_gemm;
#define SET(name, type) profile.table.name = timed_##name;
    OPERATIONS(SET)
    device->kernels = &profile.table;
}

static void report(const char *name, const char *what, const struct spent *spent)
{
    if (spent->calls > 0)
        measure(1e3 * spent->seconds, "ms", "profile, %s, %s, %lld calls", name, what, (long long)spent->calls);
}

double profile_end(struct device *device, const char *name)
{
    char what[96];
    device->kernels = profile.inner;
    for (int i = 0; i < profile.n_products; i++) {
        const struct product *p = &profile.product[i];
        snprintf(what, sizeof what, "gemm [%lld, %lld, %lld]", (long long)p->m, (long long)p->n, (long long)p->k);
        report(name, what, &p->spent);
    }
#define REPORT(operation, type) report(name, #operation, &spent_##operation);
    OPERATIONS(REPORT)
    report(name, "all operations", &profile.all);
    return profile.all.seconds;
}
