/* Sampling on the CPU: the reference's choice under any rule, and draws that follow the softmax they claim. Every instruction set this processor can run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "tests/tools/random_values.h"

enum { PARTS = 4, ROWS = 24, MAX_COLS = 6000, ALLOWED = 32 };

static void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    assert_non_null(memory);
    return memory;
}

static void with_devices(void (*test)(struct device *))
{
    static const char *const isas[] = {"amx", "avx512", "avx2", "scalar"};
    for (int i = 0; i < 4; i++) {
        struct device_options options = {.n_threads = 2, .isa = isas[i]};
        struct device *device = NULL;
        if (device_cpu_create(&options, &device) != OK) {
            trace_clear();
            continue;
        }
        test(device);
        device_destroy(&device);
    }
}

/* ---- the reference's choice ---- */

struct call { struct sample_args a; int64_t first[PARTS + 1]; struct sample_rule rule[ROWS]; uint32_t allowed[ALLOWED]; float *logits; };

static int64_t cols_of(const struct call *c) { return c->first[c->a.parts]; }

static struct sample_rule draw_rule(struct random *random, int64_t cols)
{
    struct sample_rule rule = {.top_p = 1.0f, .uniform = (float)random_uniform(random, 0.0, 0.9999), .banned = random_int(random, -1, cols - 1)};
    rule.temperature = random_int(random, 0, 4) == 0 ? 0.0f : (float)random_uniform(random, 0.2, 2.0);
    if (random_int(random, 0, 2) == 0)
        rule.top_k = (int32_t)random_int(random, 1, random_int(random, 0, 1) == 0 ? 50 : 2 * cols);
    if (random_int(random, 0, 2) == 0)
        rule.top_p = (float)random_uniform(random, 0.01, 1.0);
    if (random_int(random, 0, 2) == 0)
        rule.min_p = (float)random_uniform(random, 0.0, 0.3);
    if (random_int(random, 0, 5) == 0)
        rule.n_allowed = (int32_t)random_int(random, 2, ALLOWED);
    return rule;
}

/* Parts of uneven sizes; logits that are flat, or of which a few stand out, or of few different values, some of them minus infinity. */
static struct call draw_call(struct random *random)
{
    struct call c = {.a = {.rows = random_int(random, 1, ROWS), .parts = (int)random_int(random, 1, PARTS)}};
    int64_t kind = random_int(random, 0, 3), most = random_int(random, 0, 1) == 0 ? 90 : MAX_COLS / PARTS;
    for (int p = 0; p < c.a.parts; p++) {
        int64_t n = random_int(random, 40, most);
        c.first[p + 1] = c.first[p] + n;
        c.a.part_stride = n > c.a.part_stride ? n + random_int(random, 0, 3) : c.a.part_stride;
    }
    int64_t n_logits = c.a.parts * c.a.rows * c.a.part_stride;
    c.logits = allocate((size_t)n_logits, sizeof *c.logits);
    for (int64_t i = 0; i < n_logits; i++) {
        double x = random_uniform(random, -2.0, 2.0);
        c.logits[i] = (float)(kind == 0 ? x : kind == 1 ? 4.0 * x + (random_int(random, 0, 60) == 0 ? 9.0 : 0.0) : kind == 2 ? floor(2.0 * x) : x * x * x * x * x);
        if (kind == 2 && random_int(random, 0, 9) == 0)
            c.logits[i] = -INFINITY;
    }
    for (int i = 0; i < ALLOWED; i++)               /* 0 and 1 are always listed: the banned one is never alone */
        c.allowed[i] = (uint32_t)(i < 2 ? i : random_int(random, 0, cols_of(&c) - 1));
    for (int64_t r = 0; r < c.a.rows; r++)
        c.rule[r] = draw_rule(random, cols_of(&c));
    return c;
}

static void sample(const struct kernels *kernels, struct stream *stream, const struct call *c, const struct sample_rule *rule, uint32_t *token)
{
    struct sample_args a = c->a;
    a.part_first = c->first, a.logits = c->logits, a.rule = rule, a.allowed = c->allowed, a.token = token;
    assert_int_equal(kernels->sample(stream, &a), OK);
}

/* Would the reference choose it if the uniform number, or top_p, were a rounding error away? */
static bool is_borderline(const struct call *c, int64_t row, uint32_t token)
{
    bool chosen = false;
    for (int i = 0; i < 9; i++) {
        struct sample_rule rule[ROWS];
        uint32_t other[ROWS];
        memcpy(rule, c->rule, sizeof rule);
        rule[row].uniform = fmaxf(0.0f, rule[row].uniform + (float)(i % 3 - 1) * 2e-6f);
        rule[row].top_p = rule[row].top_p < 1.0f ? rule[row].top_p + (float)(i / 3 - 1) * 2e-6f : 1.0f;
        sample(&kernels_ref, NULL, c, rule, other);
        chosen = chosen || other[row] == token;
    }
    return chosen;
}

static void assert_the_reference_chooses_the_same(struct device *device)
{
    int n_rows = 0, n_borderline = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct random random = {seed};
        struct call c = draw_call(&random);
        uint32_t wanted[ROWS], got[ROWS];
        sample(&kernels_ref, NULL, &c, c.rule, wanted);
        sample(device->kernels, &device->stream, &c, c.rule, got);
        for (int64_t r = 0; r < c.a.rows; r++, n_rows++) {
            if (got[r] == wanted[r])
                continue;
            if (!is_borderline(&c, r, got[r]))
                fail_msg("seed %llu, row %lld: token %u, the reference has %u", (unsigned long long)seed, (long long)r, got[r], wanted[r]);
            n_borderline++;
        }
        free(c.logits);
    }
    assert_true(n_borderline * 100 < n_rows);
}

static void the_choice_is_the_references_under_any_rule_whatever_the_parts(void **state) { (void)state, with_devices(assert_the_reference_chooses_the_same); }

static void assert_first_of_equals(struct device *device)
{
    enum { COLS = 1000 };
    static float logits[COLS];
    const int64_t first[] = {0, 700, COLS};
    struct random random = {9};
    for (int round = 0; round < 200; round++) {
        int64_t low = random_int(&random, 0, COLS - 2), high = random_int(&random, low + 1, COLS - 1);
        uint32_t token;
        struct sample_rule rule = {.top_p = 1.0f, .banned = round % 2 ? low : -1};
        random_fill(&random, logits, COLS, 1.0, F32);
        struct sample_args a = {.rows = 1, .parts = 2, .part_first = first, .part_stride = 700, .rule = &rule, .token = &token};
        float parts[1400] = {0};
        logits[low] = logits[high] = 2.0f;
        memcpy(parts, logits, 700 * sizeof *logits), memcpy(parts + 700, logits + 700, 300 * sizeof *logits);
        a.logits = parts;
        assert_int_equal(device->kernels->sample(&device->stream, &a), OK);
        assert_int_equal(token, round % 2 ? high : low);
    }
}

static void without_temperature_the_first_of_the_most_probable_is_taken_or_the_second_if_that_is_banned(void **state) { (void)state, with_devices(assert_first_of_equals); }

/* ---- the softmax that draws claim ---- */

enum { CHI_COLS = 200, DRAWS = 20000 };
struct claimed { int column; double p; };

static int by_p(const void *x, const void *y)
{
    const struct claimed *a = x, *b = y;
    return a->p != b->p ? (a->p > b->p ? -1 : 1) : a->column - b->column;
}

/* Probabilities of the columns under the rule's filters, from their words. */
static void claim(const float *logits, const struct sample_rule *rule, double *p)
{
    struct claimed c[CHI_COLS];
    double sum = 0.0, so_far = 0.0;
    int n = 0, left = 0;
    for (int i = 0; i < CHI_COLS; i++)
        if (i != rule->banned)
            sum += (c[n++] = (struct claimed){i, exp((double)logits[i] / (double)rule->temperature)}).p;
    qsort(c, (size_t)n, sizeof *c, by_p);
    if (rule->top_k > 0)
        for (n = rule->top_k, sum = 0.0, left = 0; left < n; left++)
            sum += c[left].p;
    for (left = 0; left < n && so_far < (double)rule->top_p * sum && c[left].p >= (double)rule->min_p * c[0].p; left++)
        so_far += c[left].p;
    memset(p, 0, CHI_COLS * sizeof *p);
    for (int i = 0; i < left; i++)
        p[c[i].column] = c[i].p / so_far;
}

/* The normal deviate of a chi-square of n draws (Wilson and Hilferty 1931); columns expected fewer than 5 times count as one. */
static double deviate(const int *count, const double *p, int n)
{
    double chi = 0.0, rest = 0.0, few = 0.0;
    int cells = 0;
    for (int i = 0; i < CHI_COLS; i++) {
        double expected = p[i] * n;
        assert_true(p[i] > 0.0 || count[i] == 0);
        if (expected < 5.0) {
            rest += expected, few += count[i];
            continue;
        }
        chi += (count[i] - expected) * (count[i] - expected) / expected;
        cells++;
    }
    if (rest > 0.0) {
        chi += (few - rest) * (few - rest) / rest;
        cells++;
    }
    double freedom = cells - 1;
    return freedom < 1 ? 0.0 : (cbrt(chi / freedom) - (1.0 - 2.0 / (9.0 * freedom))) / sqrt(2.0 / (9.0 * freedom));
}

static void assert_softmax(struct device *device)
{
    static const struct sample_rule rules[] = {{.temperature = 1.0f, .top_p = 1.0f}, {.temperature = 0.6f, .top_p = 1.0f}, {.temperature = 1.5f, .top_p = 1.0f, .top_k = 20},
                                               {.temperature = 1.0f, .top_p = 0.8f}, {.temperature = 1.0f, .top_p = 1.0f, .min_p = 0.1f},
                                               {.temperature = 1.2f, .top_p = 0.9f, .top_k = 60, .min_p = 0.02f}};
    const int64_t first[] = {0, CHI_COLS};
    float *logits = allocate(DRAWS * CHI_COLS, sizeof *logits);
    struct sample_rule *rule = allocate(DRAWS, sizeof *rule);
    uint32_t *token = allocate(DRAWS, sizeof *token);
    struct sample_args a = {.rows = DRAWS, .parts = 1, .part_first = first, .part_stride = CHI_COLS, .logits = logits, .rule = rule, .token = token};
    struct random random = {31};
    random_fill(&random, logits, CHI_COLS, 3.0, F32);
    for (int r = 1; r < DRAWS; r++)
        memcpy(logits + r * CHI_COLS, logits, CHI_COLS * sizeof *logits);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        int count[CHI_COLS] = {0};
        double p[CHI_COLS];
        for (int r = 0; r < DRAWS; r++) {
            rule[r] = rules[i];
            rule[r].banned = 17;
            rule[r].uniform = (float)((double)(random_u64(&random) >> 40) * 0x1p-24);
        }
        assert_int_equal(device->kernels->sample(&device->stream, &a), OK);
        for (int r = 0; r < DRAWS; r++)
            count[token[r]]++;
        claim(logits, &rule[0], p);
        assert_true(deviate(count, p, DRAWS) < 4.753);          /* p > 1e-6 */
    }
    free(logits), free(rule), free(token);
}

static void draws_follow_the_softmax_of_what_the_filters_leave(void **state) { (void)state, with_devices(assert_softmax); }

static void assert_none(struct device *device)
{
    enum { N = 200, CASES = 8 };
    /* all logits, or one of them */
    static const struct { float value; int first, end; } damage[CASES] = {{NAN, 0, N}, {-INFINITY, 0, N}, {INFINITY, 0, N}, {NAN, 3, 4}, {NAN, 5, 6}, {NAN, 90, 91}, {INFINITY, 5, 6}, {NAN, 0, 90}};
    const struct kernels *kernels[] = {device->kernels, &kernels_ref};
    for (int c = 0; c < CASES; c++)
        for (int i = 0; i < 8; i++) {
            float logits[N];
            uint32_t token = 0, allowed[] = {3, 5, 90};
            int64_t first[] = {0, N};
            struct sample_rule rule = {.temperature = i & 1 ? 1.0f : 0.0f, .top_p = i & 2 ? 0.9f : 1.0f, .uniform = 0.5f, .banned = -1, .n_allowed = i & 4 ? 3 : 0};
            struct sample_args a = {.rows = 1, .parts = 1, .part_first = first, .part_stride = N, .logits = logits, .rule = &rule, .allowed = allowed, .token = &token};
            for (int k = 0; k < N; k++)
                logits[k] = k >= damage[c].first && k < damage[c].end ? damage[c].value : (float)(k % 7);
            for (int k = 0; k < 2; k++) {
                assert_int_equal(kernels[k]->sample(&device->stream, &a), OK);
                assert_true(token == SAMPLE_NONE);
            }
        }
}

static void logits_that_are_no_numbers_give_no_token(void **state) { (void)state, with_devices(assert_none); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_choice_is_the_references_under_any_rule_whatever_the_parts),
        cmocka_unit_test(without_temperature_the_first_of_the_most_probable_is_taken_or_the_second_if_that_is_banned),
        cmocka_unit_test(draws_follow_the_softmax_of_what_the_filters_leave),
        cmocka_unit_test(logits_that_are_no_numbers_give_no_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
