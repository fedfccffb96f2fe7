/* ref_sample: one token a row. The candidates that are left are sorted by probability, filtered, and drawn from in the order of columns. */
#include <math.h>
#include <stdlib.h>

#include "kernels/ref/ref.h"

struct column { int64_t index; double p; };

static int by_probability(const void *x, const void *y)
{
    const struct column *a = x, *b = y;
    if (a->p != b->p)
        return a->p > b->p ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_index(const void *x, const void *y)
{
    const struct column *a = x, *b = y;
    return a->index < b->index ? -1 : a->index > b->index;
}

static bool is_allowed(const struct sample_args *a, const struct sample_rule *rule, int64_t index)
{
    bool listed = rule->n_allowed == 0;
    for (int32_t i = 0; i < rule->n_allowed && !listed; i++)
        listed = (int64_t)a->allowed[rule->first_allowed + i] == index;
    return listed && index != rule->banned;
}

/* Columns that may be drawn, in their order, with their logits as p. */
static int64_t collect(const struct sample_args *a, int64_t row, struct column *out)
{
    int64_t n = 0;
    for (int p = 0; p < a->parts; p++)
        for (int64_t i = a->part_first[p]; i < a->part_first[p + 1]; i++)
            if (is_allowed(a, &a->rule[row], i))
                out[n++] = (struct column){i, (double)a->logits[(p * a->rows + row) * a->part_stride + i - a->part_first[p]]};
    return n;
}

static bool has_greatest(const struct column *c, int64_t n)
{
    double most = -INFINITY;
    for (int64_t i = 0; i < n && !isnan(most); i++)
        most = c[i].p <= most ? most : c[i].p;
    return isfinite(most);
}

/* Logits of sorted columns become probabilities. */
static void softmax(struct column *c, int64_t n, double temperature)
{
    double max = c[0].p, sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += c[i].p = exp((c[i].p - max) / temperature);
    for (int64_t i = 0; i < n; i++)
        c[i].p /= sum;
}

/* Of n sorted columns, how many are left. Shares are of those that the filter before left. */
static int64_t filter(const struct column *c, int64_t n, const struct sample_rule *rule)
{
    double sum = 0.0, so_far = 0.0;
    if (rule->top_k > 0 && rule->top_k < n)
        n = rule->top_k;
    for (int64_t i = 0; i < n; i++)
        sum += c[i].p;
    for (int64_t i = 0; rule->top_p < 1.0f && i < n; i++) {
        so_far += c[i].p;
        if (so_far >= (double)rule->top_p * sum)
            n = i + 1;
    }
    while (n > 1 && c[n - 1].p < (double)rule->min_p * c[0].p)
        n--;
    return n;
}

static uint32_t draw(struct column *c, int64_t n, double uniform)
{
    double sum = 0.0, so_far = 0.0;
    qsort(c, (size_t)n, sizeof *c, by_index);
    for (int64_t i = 0; i < n; i++)
        sum += c[i].p;
    for (int64_t i = 0; i < n; i++) {
        so_far += c[i].p;
        if (so_far > uniform * sum)
            return (uint32_t)c[i].index;
    }
    return (uint32_t)c[n - 1].index;
}

int ref_sample(struct stream *stream, const struct sample_args *a)
{
    (void)stream;
    struct column *c = malloc(((size_t)a->part_first[a->parts] + 1) * sizeof *c);
    CHECK(c, "out of memory while sampling");
    for (int64_t row = 0; row < a->rows; row++) {
        const struct sample_rule *rule = &a->rule[row];
        int64_t n = collect(a, row, c);
        ASSERT(n > 0);
        a->token[row] = SAMPLE_NONE;
        if (!has_greatest(c, n))
            continue;
        qsort(c, (size_t)n, sizeof *c, by_probability);
        a->token[row] = (uint32_t)c[0].index;
        if (rule->temperature == 0.0f)
            continue;
        softmax(c, n, (double)rule->temperature);
        a->token[row] = draw(c, filter(c, n, rule), (double)rule->uniform);
    }
    free(c);
    return OK;
}
