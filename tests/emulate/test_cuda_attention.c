/* Forest attention of the CUDA backend, under emulation: against the reference on random forests; the same bits alone, in company, in pages and in every order of threads; and each
 * barrier and wait of the tensor-core kernels is needed: one taken out is seen. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "emulate.h"
#include "kernels/cuda/attention_sm90.h"
#include "tests/emulate/kernels/attention_faults.h"
#include "tests/emulate/opened_device.h"
#include "tests/tools/agreement.h"
#include "tests/tools/random_forest.h"

/* ---- against the reference -------------------------------------------------------------------------------------------------------------------- */

struct heads { int heads, kv_heads, dim; };
static struct heads shape;      /* of the operations below */
static int aslant;              /* elements that q stands behind an aligned place */
static int line_rows;                /* rows that the forest's only node has at most; 0: random forests */

static struct attention_args args_of(const struct random_forest *forest, enum dtype dtype)
{
    return (struct attention_args){.rows = forest->n_rows, .key_rows = forest->n_rows, .heads = shape.heads, .kv_heads = shape.kv_heads, .dim = shape.dim, .dtype = dtype,
        .scale = 1.0f / sqrtf((float)shape.dim), .runs = forest->runs, .n_runs = forest->n_runs, .ranges = forest->ranges, .key_runs = forest->key_runs,
        .n_key_runs = forest->n_key_runs};
}

static int64_t q_elems(const struct attention_args *a) { return a->rows * a->heads * a->dim; }
static int64_t k_elems(const struct attention_args *a) { return a->key_rows * a->kv_heads * a->dim; }

/* Nodes longer than a tile of keys or rows, and of a few rows; padding behind. */
static struct random_forest draw_forest(struct random *random)
{
    struct random_forest_shape forest = {.n_trees = 1, .max_depth = 2, .max_children = 2, .max_count = 90, .n_padding = (int)random_int(random, 0, 3)};
    if (random_int(random, 0, 1) == 1)
        forest.n_trees = 2, forest.max_depth = 3, forest.max_count = 7;
    if (line_rows > 0)
        forest = (struct random_forest_shape){.n_trees = 1, .max_depth = 1, .max_count = line_rows};
    return random_forest_create(random, &forest);
}

static int run_forward(struct pass *p)
{
    struct random_forest forest = draw_forest(&p->random);
    struct attention_args a = args_of(&forest, p->dtype);
    a.q_THD = dtype_at(pass_draw(p, ACTIVATION, q_elems(&a) + aslant, 3.0), p->dtype, aslant);
    a.k_SGD = pass_draw(p, ACTIVATION, k_elems(&a), 3.0);
    a.v_SGD = pass_draw(p, ACTIVATION, k_elems(&a), 1.0);
    a.o_THD = pass_out(p, pass_draw(p, ACTIVATION, q_elems(&a), 1.0), "o");
    float *lse = calloc((size_t)(a.rows * a.heads + 1), sizeof *lse);       /* of padding rows it stays */
    assert_non_null(lse);
    a.lse_HT = pass_out(p, pass_given(p, SINGLE, lse, a.rows * a.heads), "lse");
    int status = p->kernels->attention_forward(&p->device->stream, &a);
    free(lse);
    random_forest_destroy(&forest);
    return status;
}

static float *host_draw(struct random *random, int64_t n_elems, double scale, enum dtype exact_in)
{
    float *x = malloc((size_t)(n_elems + 1) * sizeof *x);
    assert_non_null(x);
    random_fill(random, x, n_elems, scale, exact_in);
    return x;
}

static int run_backward(struct pass *p)
{
    struct random_forest forest = draw_forest(&p->random);
    struct attention_args a = args_of(&forest, p->dtype), f = args_of(&forest, F32);
    int64_t n_q = q_elems(&a), n_k = k_elems(&a), n_rows = a.rows * a.heads;
    float *q = host_draw(&p->random, n_q, 3.0, p->exact_in), *k = host_draw(&p->random, n_k, 3.0, p->exact_in), *v = host_draw(&p->random, n_k, 1.0, p->exact_in);
    float *o = calloc((size_t)n_q, sizeof *o), *lse = calloc((size_t)n_rows, sizeof *lse);
    assert_true(o && lse);
    f.q_THD = q, f.k_SGD = k, f.v_SGD = v, f.o_THD = o, f.lse_HT = lse;
    assert_int_equal(kernels_ref.attention_forward(NULL, &f), OK);
    a.q_THD = pass_given(p, ACTIVATION, q, n_q), a.k_SGD = pass_given(p, ACTIVATION, k, n_k), a.v_SGD = pass_given(p, ACTIVATION, v, n_k);
    a.o_THD = pass_given(p, ACTIVATION, o, n_q), a.lse_HT = pass_given(p, SINGLE, lse, n_rows);
    a.do_THD = pass_draw(p, ACTIVATION, n_q, 1.0);
    a.delta_HT = pass_draw(p, SINGLE, n_rows, 1.0);
    a.dq_THD = pass_out(p, pass_draw(p, ACTIVATION, n_q, 1.0), "dq");
    a.dk_SGD = pass_out(p, pass_draw(p, ACTIVATION, n_k, 1.0), "dk");
    a.dv_SGD = pass_out(p, pass_draw(p, ACTIVATION, n_k, 1.0), "dv");
    int status = p->kernels->attention_backward(&p->device->stream, &a);
    free(q), free(k), free(v), free(o), free(lse);
    random_forest_destroy(&forest);
    return status;
}

static void agree(struct heads heads, enum dtype dtype, int n_seeds)
{
    shape = heads;
    for (uint64_t seed = 1; seed <= (uint64_t)n_seeds; seed++) {
        assert_agreement(device, "attention_forward", run_forward, dtype, seed);
        assert_agreement(device, "attention_backward", run_backward, dtype, seed + 100);
    }
}

static void tensor_cores_agree_with_the_reference(void **state)
{
    (void)state;
    agree((struct heads){9, 3, 64}, BF16, 2);
    agree((struct heads){8, 1, 64}, BF16, 2);
    agree((struct heads){4, 4, 64}, BF16, 1);
    agree((struct heads){9, 3, 128}, BF16, 1);
    agree((struct heads){8, 1, 128}, BF16, 2);
    agree((struct heads){4, 4, 128}, BF16, 1);
}

static void lines_longer_than_all_stages_agree_with_the_reference(void **state)
{
    (void)state;
    line_rows = 10 * ATTENTION_PAGE;
    agree((struct heads){1, 1, 64}, BF16, 2);
    agree((struct heads){2, 1, 128}, BF16, 1);
    line_rows = 0;
}

static void float32_and_other_head_sizes_agree_with_the_reference(void **state)
{
    (void)state;
    agree((struct heads){9, 3, 64}, F32, 2);
    agree((struct heads){8, 1, 128}, F32, 1);
    agree((struct heads){4, 4, 20}, F32, 2);
    agree((struct heads){2, 1, 256}, F32, 2);
    agree((struct heads){2, 2, 256}, BF16, 1);
    agree((struct heads){6, 2, 33}, BF16, 2);
}

static void queries_that_do_not_lie_on_16_bytes_agree_with_the_reference(void **state)
{
    (void)state;
    shape = (struct heads){3, 1, 64};
    aslant = 1;
    assert_agreement(device, "attention_forward", run_forward, BF16, 1);
    aslant = 0;
}

static void heads_that_are_too_large_are_refused(void **state)
{
    (void)state;
    struct attention_args a = {.rows = 1, .key_rows = 1, .heads = 1, .kv_heads = 1, .dim = 257, .dtype = F32};
    assert_int_equal(device->kernels->attention_forward(&device->stream, &a), FAILED);
    assert_string_equal(trace_sentence(), "heads of size 257: attention of the CUDA backend goes up to 256");
    trace_clear();
}

static bool hopper_serves(int heads, int kv_heads)
{
    struct attention_args a = {.heads = heads, .kv_heads = kv_heads, .dim = 64, .dtype = BF16};
    return attention_sm90_serves(&device->stream, &a);
}

static void hopper_s_kernels_serve_groups_of_up_to_64_heads(void **state)
{
    (void)state;
    assert_true(hopper_serves(9, 3) && hopper_serves(64, 1) && hopper_serves(128, 2));
    assert_false(hopper_serves(65, 1));
}

static void hopper_s_kernels_serve_no_other_gpu(void **state)
{
    (void)state;
    assert_false(hopper_serves(9, 3));
}

/* ---- the same bits ---------------------------------------------------------------------------------------------------------------------------- */

static void *to_device(const void *host, size_t n_bytes)
{
    void *memory = NULL;
    assert_int_equal(device_alloc(device, n_bytes, &memory), OK);
    if (host)
        assert_int_equal(device->ops->copy(&device->stream, memory, host, n_bytes, HOST_TO_DEVICE), OK);
    return memory;
}

/* Host copy, and the device's memory is given back. */
static void *to_host(const void *memory, size_t n_bytes)
{
    void *host = malloc(n_bytes + 1), *at = (void *)(uintptr_t)memory;
    assert_non_null(host);
    assert_int_equal(device->ops->copy(&device->stream, host, memory, n_bytes, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    device_free(device, &at, n_bytes);
    return host;
}

/* A problem in host memory. */
struct problem { struct random_forest forest; struct attention_args a; size_t n_q, n_k, n_lse; };
struct result { unsigned char *o, *lse, *dq, *dk, *dv; };

static void *random_bits(struct random *random, enum dtype dtype, int64_t n_elems, double scale)
{
    void *x = malloc((size_t)n_elems * dtype_bytes(dtype));
    assert_non_null(x);
    for (int64_t i = 0; i < n_elems; i++)
        dtype_put(x, dtype, i, (float)random_uniform(random, -scale, scale));
    return x;
}

static void set_sizes(struct problem *p)
{
    p->n_q = (size_t)q_elems(&p->a) * dtype_bytes(p->a.dtype);
    p->n_k = (size_t)k_elems(&p->a) * dtype_bytes(p->a.dtype);
    p->n_lse = (size_t)(p->a.rows * p->a.heads) * sizeof(float);
}

static struct problem draw_problem(struct heads heads, enum dtype dtype, uint64_t seed, struct random_forest_shape forest)
{
    struct random random = {seed};
    struct problem p = {.forest = random_forest_create(&random, &forest)};
    shape = heads;
    p.a = args_of(&p.forest, dtype);
    p.a.q_THD = random_bits(&random, dtype, q_elems(&p.a), 3.0);
    p.a.k_SGD = random_bits(&random, dtype, k_elems(&p.a), 3.0);
    p.a.v_SGD = random_bits(&random, dtype, k_elems(&p.a), 1.0);
    p.a.do_THD = random_bits(&random, dtype, q_elems(&p.a), 1.0);
    set_sizes(&p);
    return p;
}

static void free_problem(struct problem *p)
{
    free((void *)(uintptr_t)p->a.q_THD), free((void *)(uintptr_t)p->a.k_SGD), free((void *)(uintptr_t)p->a.v_SGD), free((void *)(uintptr_t)p->a.do_THD);
    random_forest_destroy(&p->forest);
}

static void drop(const void *memory, size_t n_bytes)
{
    void *at = (void *)(uintptr_t)memory;
    device_free(device, &at, n_bytes);
}

/* Forward, and backward where there is do. */
static struct result compute(const struct kernels *kernels, const struct problem *p)
{
    struct attention_args a = p->a;
    struct result r = {0};
    a.q_THD = to_device(p->a.q_THD, p->n_q), a.k_SGD = to_device(p->a.k_SGD, p->n_k), a.v_SGD = to_device(p->a.v_SGD, p->n_k);
    a.o_THD = to_device(NULL, p->n_q), a.lse_HT = to_device(NULL, p->n_lse);
    assert_int_equal(kernels->attention_forward(&device->stream, &a), OK);
    if (p->a.do_THD) {
        a.do_THD = to_device(p->a.do_THD, p->n_q), a.delta_HT = to_device(NULL, p->n_lse);
        a.dq_THD = to_device(NULL, p->n_q), a.dk_SGD = to_device(NULL, p->n_k), a.dv_SGD = to_device(NULL, p->n_k);
        assert_int_equal(kernels->attention_backward(&device->stream, &a), OK);
        r.dq = to_host(a.dq_THD, p->n_q), r.dk = to_host(a.dk_SGD, p->n_k), r.dv = to_host(a.dv_SGD, p->n_k);
        drop(a.do_THD, p->n_q), drop(a.delta_HT, p->n_lse);
    }
    r.o = to_host(a.o_THD, p->n_q), r.lse = to_host(a.lse_HT, p->n_lse);
    drop(a.q_THD, p->n_q), drop(a.k_SGD, p->n_k), drop(a.v_SGD, p->n_k);
    return r;
}

static struct result compute_forward(const struct problem *p)
{
    struct problem forward = *p;
    forward.a.do_THD = NULL;
    return compute(device->kernels, &forward);
}

static void free_result(struct result *r) { free(r->o), free(r->lse), free(r->dq), free(r->dk), free(r->dv); }

static bool forward_equal(const struct problem *p, const struct result *x, const struct result *y)
{
    return memcmp(x->o, y->o, p->n_q) == 0 && memcmp(x->lse, y->lse, p->n_lse) == 0;
}

static bool backward_equal(const struct problem *p, const struct result *x, const struct result *y)
{
    return memcmp(x->dq, y->dq, p->n_q) == 0 && memcmp(x->dk, y->dk, p->n_k) == 0 && memcmp(x->dv, y->dv, p->n_k) == 0;
}

static const struct { struct heads heads; enum dtype dtype; } bit_cases[] = {{{6, 2, 64}, BF16}, {{4, 1, 128}, BF16}, {{3, 1, 64}, F32}, {{2, 2, 20}, BF16}};
static uint64_t n_bit_cases;        /* on Hopper those of its own kernels, the first two */

/* Ancestors' ranges that can be cut. */
static int n_long(const struct random_forest *forest)
{
    int n = 0;
    for (int r = 0; r < forest->n_runs; r++)
        for (int i = 0; i < forest->runs[r].range_count - 1; i++)
            n += forest->ranges[forest->runs[r].range_first + i].count > ATTENTION_PAGE;
    return n;
}

/* The first forest from this seed on that has long nodes under each other, but not too many rows. */
static struct problem draw_long(uint64_t i, uint64_t seed)
{
    for (;; seed++) {
        struct random_forest_shape forest = {.n_trees = 2, .max_depth = 3, .max_children = 2, .max_count = 150, .n_padding = 2};
        struct problem p = draw_problem(bit_cases[i].heads, bit_cases[i].dtype, seed, forest);
        if (n_long(&p.forest) >= 4 && p.a.rows < 350)
            return p;
        free_problem(&p);
    }
}

static void every_order_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < n_bit_cases; i++) {
        struct problem p = draw_long(i, 7 + i);
        struct result first = compute(device->kernels, &p);
        for (uint64_t seed = 50; seed < 52; seed++) {
            emulate_seed(seed);
            struct result again = compute(device->kernels, &p);
            assert_true(forward_equal(&p, &first, &again));
            assert_true(backward_equal(&p, &first, &again));
            free_result(&again);
        }
        free_result(&first);
        free_problem(&p);
    }
}

static int32_t last_root(const struct random_forest *forest)
{
    int32_t first = 0;
    for (int i = 0; i < forest->n_nodes; i++)
        first = forest->node[i].parent < 0 ? forest->node[i].first : first;
    return first;
}

/* Rows from `first` on, of x [rows][width bytes], are NaN. */
static void spoil(const void *x, int64_t rows, int64_t first, size_t n_bytes)
{
    size_t width = n_bytes / (size_t)rows;
    memset((unsigned char *)(uintptr_t)x + (size_t)first * width, 0xff, (size_t)(rows - first) * width);
}

static void assert_first_rows_equal(const struct problem *p, const struct result *x, const struct result *y, int32_t n)
{
    size_t q = p->n_q / (size_t)p->a.rows * (size_t)n, k = p->n_k / (size_t)p->a.rows * (size_t)n;
    assert_memory_equal(x->o, y->o, q);
    assert_memory_equal(x->dq, y->dq, q);
    assert_memory_equal(x->dk, y->dk, k);
    assert_memory_equal(x->dv, y->dv, k);
    for (int h = 0; h < p->a.heads; h++)
        assert_memory_equal(x->lse + (size_t)h * (size_t)p->a.rows * 4, y->lse + (size_t)h * (size_t)p->a.rows * 4, (size_t)n * 4);
}

static void other_trees_and_padding_may_hold_anything(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < n_bit_cases; i += n_bit_cases / 2) {           /* elsewhere of one kernel of each kind */
        struct problem p = draw_long(i, 40 + i);
        int32_t n = last_root(&p.forest);
        struct result before = compute(device->kernels, &p);
        assert_true(n > 0 && p.a.rows > p.forest.n_tokens);
        spoil(p.a.q_THD, p.a.rows, n, p.n_q), spoil(p.a.do_THD, p.a.rows, n, p.n_q);
        spoil(p.a.k_SGD, p.a.rows, n, p.n_k), spoil(p.a.v_SGD, p.a.rows, n, p.n_k);
        struct result after = compute(device->kernels, &p);
        assert_first_rows_equal(&p, &before, &after, n);
        free_result(&before), free_result(&after);
        free_problem(&p);
    }
}

/* The forest's ranges in pieces that lie somewhere else in a larger store, the last one in front, with a row of NaN before each. A run's own rows stay in its last piece. */
struct store { unsigned char *k, *v; int64_t used, rows; struct attention_range *range; int n_ranges; };

static unsigned char *nans(size_t n_bytes)
{
    unsigned char *x = malloc(n_bytes + 1);
    assert_non_null(x);
    return memset(x, 0xff, n_bytes);
}

static void add_piece(const struct problem *p, struct store *s, int64_t first, int64_t count)
{
    size_t row = p->n_k / (size_t)p->a.key_rows, to = (size_t)(s->rows - s->used - count) * row, from = (size_t)first * row;
    memcpy(s->k + to, (const unsigned char *)p->a.k_SGD + from, (size_t)count * row);
    memcpy(s->v + to, (const unsigned char *)p->a.v_SGD + from, (size_t)count * row);
    s->used += count;
    s->range[s->n_ranges++] = (struct attention_range){(int32_t)(s->rows - s->used), (int32_t)count};
    s->used++;
}

static void cut_range(const struct problem *p, struct random *random, struct store *s, struct attention_range range, int64_t keep_whole)
{
    int64_t first = range.first, left = range.count;
    for (int64_t n = ATTENTION_PAGE; n <= left - keep_whole && n < left;)
        if (random_int(random, 0, 2) > 0) {
            add_piece(p, s, first, n);
            first += n, left -= n, n = ATTENTION_PAGE;
        } else {
            n += ATTENTION_PAGE;
        }
    add_piece(p, s, first, left);
}

static struct store cut_into_pages(struct problem *p, struct random *random, struct attention_run *run)
{
    int64_t keys = 0;
    for (int i = 0; i < p->forest.n_ranges; i++)
        keys += p->forest.ranges[i].count;
    size_t row = p->n_k / (size_t)p->a.key_rows;
    struct store s = {nans(2 * (size_t)keys * row), nans(2 * (size_t)keys * row), 0, 2 * keys, calloc((size_t)keys, sizeof *s.range), 0};
    assert_non_null(s.range);
    for (int r = 0; r < p->a.n_runs; r++) {
        run[r] = p->a.runs[r];
        run[r].range_first = s.n_ranges;
        for (int i = 0; i < p->a.runs[r].range_count; i++)
            cut_range(p, random, &s, p->a.ranges[p->a.runs[r].range_first + i], i == p->a.runs[r].range_count - 1 ? p->a.runs[r].q_count : 0);
        run[r].range_count = s.n_ranges - run[r].range_first;
    }
    return s;
}

static void ranges_cut_in_pages_give_the_same_bits(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < n_bit_cases; i++) {
        struct random random = {70 + i};
        struct problem p = draw_long(i, 80 + i), paged = p;
        struct attention_run *run = calloc((size_t)p.a.n_runs, sizeof *run);
        assert_non_null(run);
        struct store s = cut_into_pages(&p, &random, run);
        assert_true(s.n_ranges > p.forest.n_ranges);
        paged.a.k_SGD = s.k, paged.a.v_SGD = s.v, paged.a.key_rows = s.rows, paged.a.runs = run, paged.a.ranges = s.range;
        set_sizes(&paged);
        struct result whole = compute_forward(&p), cut = compute_forward(&paged);
        assert_true(forward_equal(&p, &whole, &cut));
        free_result(&whole), free_result(&cut);
        free(run), free(s.k), free(s.v), free(s.range);
        free_problem(&p);
    }
}

/* Row `at` of a run is the only row there is, as in decoding. */
static struct result compute_alone(const struct problem *p, const struct attention_run *run, int32_t at)
{
    struct problem alone = *p;
    struct attention_run one = {0, 1, 0, run->range_count};
    struct attention_range *range = calloc((size_t)run->range_count, sizeof *range);
    assert_non_null(range);
    memcpy(range, p->a.ranges + run->range_first, (size_t)run->range_count * sizeof *range);
    range[run->range_count - 1].count -= run->q_count - at - 1;
    alone.a.rows = 1, alone.a.runs = &one, alone.a.n_runs = 1, alone.a.ranges = range;
    alone.a.q_THD = (const unsigned char *)p->a.q_THD + (size_t)(run->q_first + at) * (p->n_q / (size_t)p->a.rows);
    set_sizes(&alone);
    struct result r = compute_forward(&alone);
    free(range);
    return r;
}

static void a_row_alone_gives_the_same_bits_as_in_company(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < n_bit_cases; i++) {
        struct random random = {90 + i};
        struct problem p = draw_long(i, 100 + i);
        struct result all = compute_forward(&p);
        size_t width = p.n_q / (size_t)p.a.rows;
        for (int n = 0; n < 12; n++) {
            const struct attention_run *run = &p.a.runs[random_int(&random, 0, p.a.n_runs - 1)];
            int32_t at = (int32_t)random_int(&random, 0, run->q_count - 1);
            struct result alone = compute_alone(&p, run, at);
            assert_memory_equal(alone.o, all.o + (size_t)(run->q_first + at) * width, width);
            for (int h = 0; h < p.a.heads; h++)
                assert_memory_equal(alone.lse + (size_t)h * 4, all.lse + (size_t)(h * p.a.rows + run->q_first + at) * 4, 4);
            free_result(&alone);
        }
        free_result(&all);
        free_problem(&p);
    }
}

static void nothing_waits_for_the_device(void **state)
{
    (void)state;
    struct problem p = draw_long(1, 5);
    struct result r = compute(device->kernels, &p);
    struct attention_args a = p.a;
    a.q_THD = to_device(p.a.q_THD, p.n_q), a.k_SGD = to_device(p.a.k_SGD, p.n_k), a.v_SGD = to_device(p.a.v_SGD, p.n_k), a.do_THD = to_device(p.a.do_THD, p.n_q);
    a.o_THD = to_device(NULL, p.n_q), a.lse_HT = to_device(NULL, p.n_lse), a.delta_HT = to_device(NULL, p.n_lse);
    a.dq_THD = to_device(NULL, p.n_q), a.dk_SGD = to_device(NULL, p.n_k), a.dv_SGD = to_device(NULL, p.n_k);
    int64_t before = emulate_n_waits();
    assert_int_equal(device->kernels->attention_forward(&device->stream, &a), OK);
    assert_int_equal(device->kernels->attention_backward(&device->stream, &a), OK);
    assert_int_equal(emulate_n_waits(), before);
    struct result late = {to_host(a.o_THD, p.n_q), to_host(a.lse_HT, p.n_lse), to_host(a.dq_THD, p.n_q), to_host(a.dk_SGD, p.n_k), to_host(a.dv_SGD, p.n_k)};
    assert_true(forward_equal(&p, &r, &late) && backward_equal(&p, &r, &late));
    drop(a.q_THD, p.n_q), drop(a.k_SGD, p.n_k), drop(a.v_SGD, p.n_k), drop(a.do_THD, p.n_q), drop(a.delta_HT, p.n_lse);
    free_result(&r), free_result(&late);
    free_problem(&p);
}

/* ---- planted faults --------------------------------------------------------------------------------------------------------------------------- */

/* With the faulty kernels and this seed, in a process of its own: do the results come out right? */
static bool comes_out_right(const struct problem *p, const struct result *right, uint64_t seed)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct kernels faulty = kernels_ref;
        signal(SIGABRT, SIG_DFL), signal(SIGSEGV, SIG_DFL);
        close(STDERR_FILENO);
        faulty_attention_table(&faulty);
        emulate_seed(seed);
        struct result r = compute(&faulty, p);
        _exit(forward_equal(p, right, &r) && backward_equal(p, right, &r) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void assert_needed(struct heads heads)
{
    struct problem p = draw_problem(heads, BF16, 3, (struct random_forest_shape){.n_trees = 1, .max_depth = 1, .max_children = 0, .max_count = 400});
    struct result right = compute(device->kernels, &p);
    removed_barrier = -1, removed_waits = false;
    assert_true(p.a.rows > 3 * ATTENTION_PAGE);
    assert_true(comes_out_right(&p, &right, 1));
    for (removed_barrier = 0; removed_barrier < n_barriers; removed_barrier++)
        if (comes_out_right(&p, &right, 1) && comes_out_right(&p, &right, 2) && comes_out_right(&p, &right, 3))
            fail_msg("heads of %d: without barrier %d all is right", heads.dim, removed_barrier);
    removed_barrier = -1, removed_waits = true;
    assert_false(comes_out_right(&p, &right, 1));
    removed_waits = false;
    free_result(&right);
    free_problem(&p);
}

static void a_barrier_or_the_waits_taken_out_are_seen(void **state)
{
    (void)state;
    assert_int_equal(n_barriers, FORWARD_BARRIERS + BACKWARD_BARRIERS);
    assert_needed((struct heads){1, 1, 64});
    assert_needed((struct heads){1, 1, 128});
}

/* Does some order of threads show that the word is missing? */
static bool is_missed(const struct problem *p, const struct result *right, uint64_t n_seeds)
{
    for (uint64_t seed = 1; seed <= n_seeds; seed++)
        if (!comes_out_right(p, right, seed))
            return true;
    return false;
}

/* The first forest of this form from a seed on that has as many rows. */
static struct problem draw_rows(struct heads heads, uint64_t seed, struct random_forest_shape forest, int64_t n_rows)
{
    for (;; seed++) {
        struct problem p = draw_problem(heads, BF16, seed, forest);
        if (p.a.rows >= n_rows)
            return p;
        free_problem(&p);
    }
}

/* More keys than the stages hold, and more rows; heads in groups, whose steps of rows are shorter than a stage. */
static void a_word_taken_out_on_hopper_is_seen(void **state)
{
    (void)state;
    enum { N = 2, SEEDS = 40 };
    const struct random_forest_shape line = {.n_trees = 1, .max_depth = 1, .max_children = 0, .max_count = 400};
    const struct random_forest_shape trees = {.n_trees = 2, .max_depth = 2, .max_children = 2, .max_count = 100};
    struct problem p[N] = {draw_rows((struct heads){1, 1, 64}, 3, line, 5 * ATTENTION_PAGE + 1), draw_rows((struct heads){3, 1, 64}, 4, trees, 150)};
    struct result right[N];
    removed_word = -1;
    for (int i = 0; i < N; i++) {
        right[i] = compute(device->kernels, &p[i]);
        assert_true(comes_out_right(&p[i], &right[i], 1));
    }
    for (removed_word = 0; removed_word < n_words; removed_word++)
        if (!is_missed(&p[0], &right[0], 1) && !is_missed(&p[1], &right[1], SEEDS) && !is_missed(&p[0], &right[0], SEEDS))
            fail_msg("without word %d all is right", removed_word);
    removed_word = -1;
    for (int i = 0; i < N; i++) {
        free_result(&right[i]);
        free_problem(&p[i]);
    }
}

/* The Hopper kernels on a device that says it is one, all others on one that does not. */
int main(void)
{
    const struct CMUnitTest hopper[] = {
        cmocka_unit_test(hopper_s_kernels_serve_groups_of_up_to_64_heads),
        cmocka_unit_test(tensor_cores_agree_with_the_reference),
        cmocka_unit_test(lines_longer_than_all_stages_agree_with_the_reference),
        cmocka_unit_test(every_order_of_threads_gives_the_same_bits),
        cmocka_unit_test(other_trees_and_padding_may_hold_anything),
        cmocka_unit_test(ranges_cut_in_pages_give_the_same_bits),
        cmocka_unit_test(a_row_alone_gives_the_same_bits_as_in_company),
        cmocka_unit_test(nothing_waits_for_the_device),
        cmocka_unit_test(a_word_taken_out_on_hopper_is_seen),
    };
    const struct CMUnitTest portable[] = {
        cmocka_unit_test(hopper_s_kernels_serve_no_other_gpu),
        cmocka_unit_test(tensor_cores_agree_with_the_reference),
        cmocka_unit_test(float32_and_other_head_sizes_agree_with_the_reference),
        cmocka_unit_test(queries_that_do_not_lie_on_16_bytes_agree_with_the_reference),
        cmocka_unit_test(heads_that_are_too_large_are_refused),
        cmocka_unit_test(every_order_of_threads_gives_the_same_bits),
        cmocka_unit_test(other_trees_and_padding_may_hold_anything),
        cmocka_unit_test(ranges_cut_in_pages_give_the_same_bits),
        cmocka_unit_test(a_row_alone_gives_the_same_bits_as_in_company),
        cmocka_unit_test(nothing_waits_for_the_device),
        cmocka_unit_test(a_barrier_or_the_waits_taken_out_are_seen),
    };
    setenv("CRITIC_RM_EMULATE_CAPABILITY", "9.0", 1);
    n_bit_cases = 2;
    int n_failed = cmocka_run_group_tests_name("cuda_attention on Hopper", hopper, open_device, close_device);
    setenv("CRITIC_RM_EMULATE_CAPABILITY", "8.0", 1);
    n_bit_cases = sizeof bit_cases / sizeof *bit_cases;
    return n_failed + cmocka_run_group_tests_name("cuda_attention", portable, open_device, close_device);
}
