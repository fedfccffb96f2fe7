/* Attention over a cache of keys, under emulation: against the reference; the same bits alone, in company, with shared or copied prefixes, in pages anywhere, and however a run's
 * queries are cut; a prefix that branches share is read once; and a part left out, merged in another order, or any barrier and wait taken out is seen. */
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
#include "kernels/cuda/attention_paged_cuda.h"
#include "kernels/cuda/attention_plan_cuda.h"
#include "kernels/cuda/cuda.h"
#include "tests/emulate/kernels/paged_faults.h"
#include "tests/emulate/opened_device.h"
#include "tests/tools/agreement.h"

/* ---- nodes in pages --------------------------------------------------------------------------------------------------------------------------- */

enum { PAGES = 64, MAX_NODES = 64, NODE_PAGES = 24, MAX_RUNS = 400, MAX_RANGES = 8000 };

/* Keys of a node stand in pages, page[i] those from i * ATTENTION_PAGE on. */
struct node { int parent, n_keys, page[NODE_PAGES]; };

struct scene {
    struct random random;
    bool scattered;                 /* pages anywhere; else one behind the other */
    bool cut;                       /* pages that follow each other are ranges of their own, now and then */
    bool taken[PAGES];
    int n_nodes, n_runs, n_ranges;
    int32_t n_rows;
    struct node node[MAX_NODES];
    struct attention_run run[MAX_RUNS];
    struct attention_range range[MAX_RANGES];
};

static struct scene *new_scene(uint64_t seed, bool scattered, bool cut)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->random = (struct random){seed};
    s->scattered = scattered;
    s->cut = cut;
    return s;
}

static int take_page(struct scene *s)
{
    int page = s->scattered ? (int)random_int(&s->random, 0, PAGES - 1) : 0;
    for (int n = 0; s->taken[page]; n++) {
        assert_true(n < PAGES);
        page = (page + 1) % PAGES;
    }
    s->taken[page] = true;
    return page;
}

static int add_node(struct scene *s, int parent, int n_keys)
{
    struct node *node = &s->node[s->n_nodes];
    assert_true(s->n_nodes < MAX_NODES && n_keys <= NODE_PAGES * ATTENTION_PAGE);
    *node = (struct node){.parent = parent, .n_keys = n_keys};
    for (int i = 0; i * ATTENTION_PAGE < n_keys; i++)
        node->page[i] = take_page(s);
    return s->n_nodes++;
}

static void add_range(struct scene *s, int32_t first, int32_t count, bool may_join)
{
    struct attention_range *last = &s->range[s->n_ranges - 1];
    if (may_join && last->first + last->count == first && (!s->cut || random_int(&s->random, 0, 1) == 0)) {
        last->count += count;
        return;
    }
    assert_true(s->n_ranges < MAX_RANGES);
    s->range[s->n_ranges++] = (struct attention_range){first, count};
}

/* The node's first n keys. */
static void add_keys(struct scene *s, const struct node *node, int n)
{
    for (int i = 0; i * ATTENTION_PAGE < n; i++)
        add_range(s, node->page[i] * ATTENTION_PAGE, n - i * ATTENTION_PAGE < ATTENTION_PAGE ? n - i * ATTENTION_PAGE : ATTENTION_PAGE, i > 0);
}

static void add_path(struct scene *s, int node)
{
    if (node < 0)
        return;
    add_path(s, s->node[node].parent);
    add_keys(s, &s->node[node], s->node[node].n_keys);
}

/* The next rows are queries [from, end) of the node. Without scattering the node is one piece, so any number of rows is one run. */
static void add_run(struct scene *s, int node, int from, int end)
{
    assert_true(s->n_runs < MAX_RUNS && (end - from == 1 || !s->scattered || end <= ATTENTION_PAGE));
    int first = s->n_ranges;
    bool cut = s->cut;
    add_path(s, s->node[node].parent);
    s->cut = cut && end - from == 1;
    add_keys(s, &s->node[node], end);
    s->cut = cut;
    s->run[s->n_runs++] = (struct attention_run){s->n_rows, end - from, first, s->n_ranges - first};
    s->n_rows += end - from;
}

/* n branches under a node, of up to most_keys keys; a row each. */
static void add_branches(struct scene *s, int parent, int n, int most_keys)
{
    for (int i = 0; i < n; i++) {
        int keys = (int)random_int(&s->random, 1, most_keys), branch = add_node(s, parent, keys);
        add_run(s, branch, keys - 1, keys);
    }
}

/* ---- operations ------------------------------------------------------------------------------------------------------------------------------- */

struct heads { int heads, kv_heads, dim; };

static struct attention_args args_of(const struct scene *s, struct heads heads, enum dtype dtype)
{
    return (struct attention_args){.rows = s->n_rows, .key_rows = PAGES * ATTENTION_PAGE, .heads = heads.heads, .kv_heads = heads.kv_heads, .dim = heads.dim, .dtype = dtype,
        .scale = 1.0f / sqrtf((float)heads.dim), .runs = s->run, .n_runs = s->n_runs, .ranges = s->range};
}

static int64_t q_elems(const struct attention_args *a) { return a->rows * a->heads * a->dim; }
static int64_t k_elems(const struct attention_args *a) { return a->key_rows * a->kv_heads * a->dim; }

/* ---- against the reference -------------------------------------------------------------------------------------------------------------------- */

static struct heads shape;

/* Prompts longer than a part, responses under them, branches under those; rows of prompts that are read; padding. */
static struct scene *draw_scene(struct random *random)
{
    struct scene *s = new_scene((uint64_t)random_int(random, 1, 1 << 30), random_int(random, 0, 1) == 1, random_int(random, 0, 1) == 1);
    int prompt = add_node(s, -1, (int)random_int(random, 500, 800)), response = add_node(s, prompt, (int)random_int(random, 1, 200));
    add_branches(s, response, 3, 100);
    add_branches(s, prompt, 2, 700);
    int reading = add_node(s, prompt, (int)random_int(random, 30, 64));
    add_run(s, reading, 3, s->node[reading].n_keys);
    int few = add_node(s, -1, (int)random_int(random, 8, 60));
    add_run(s, few, s->node[few].n_keys - 7, s->node[few].n_keys);
    s->n_rows += (int32_t)random_int(random, 0, 2);
    return s;
}

static int run_forward(struct pass *p)
{
    struct scene *s = draw_scene(&p->random);
    struct attention_args a = args_of(s, shape, p->dtype);
    a.q_THD = pass_draw(p, ACTIVATION, q_elems(&a), 3.0);
    a.k_SGD = pass_draw(p, ACTIVATION, k_elems(&a), 3.0);
    a.v_SGD = pass_draw(p, ACTIVATION, k_elems(&a), 1.0);
    a.o_THD = pass_out(p, pass_draw(p, ACTIVATION, q_elems(&a), 1.0), "o");
    float *lse = calloc((size_t)(a.rows * a.heads + 1), sizeof *lse);       /* of padding rows it stays */
    assert_non_null(lse);
    a.lse_HT = pass_out(p, pass_given(p, SINGLE, lse, a.rows * a.heads), "lse");
    int status = p->kernels->attention_forward(&p->device->stream, &a);
    free(lse);
    free(s);
    return status;
}

static void agree(struct heads heads, enum dtype dtype, int n_seeds)
{
    shape = heads;
    for (uint64_t seed = 1; seed <= (uint64_t)n_seeds; seed++)
        assert_agreement(device, "attention_forward", run_forward, dtype, seed);
}

static void a_pass_over_a_cache_agrees_with_the_reference(void **state)
{
    (void)state;
    agree((struct heads){9, 3, 64}, BF16, 2);
    agree((struct heads){8, 1, 64}, BF16, 2);
    agree((struct heads){2, 2, 64}, BF16, 1);
    agree((struct heads){4, 1, 128}, BF16, 2);
    agree((struct heads){48, 1, 64}, BF16, 1);
}

static void float32_and_other_head_sizes_agree_with_the_reference(void **state)
{
    (void)state;
    agree((struct heads){2, 1, 64}, F32, 1);
    agree((struct heads){2, 1, 20}, BF16, 1);
    agree((struct heads){PAGED_ROWS + 1, 1, 64}, BF16, 1);
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

static void drop(const void *memory, size_t n_bytes)
{
    void *at = (void *)(uintptr_t)memory;
    device_free(device, &at, n_bytes);
}

static void *random_bits(struct random *random, int64_t n_elems, double scale)
{
    uint16_t *x = malloc((size_t)n_elems * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n_elems; i++)
        dtype_put(x, BF16, i, (float)random_uniform(random, -scale, scale));
    return x;
}

/* Operands of a scene in host memory, bf16. */
struct operands { uint16_t *q, *k, *v; size_t q_row, k_row; /* bytes of a row */ };

static struct operands draw_operands(uint64_t seed, struct heads h, int64_t rows)
{
    struct random random = {seed};
    int64_t keys = (int64_t)PAGES * ATTENTION_PAGE * h.kv_heads * h.dim;
    struct operands x = {.q_row = (size_t)(h.heads * h.dim) * 2, .k_row = (size_t)(h.kv_heads * h.dim) * 2};
    x.q = random_bits(&random, rows * h.heads * h.dim, 3.0);
    x.k = random_bits(&random, keys, 3.0);
    x.v = random_bits(&random, keys, 1.0);
    return x;
}

static void free_operands(struct operands *x) { free(x->q), free(x->k), free(x->v); }

struct result { unsigned char *o; float *lse; size_t n_o, n_lse; };

typedef int work(struct stream *stream, const struct attention_args *a);

static struct result compute_by(work *run, const struct scene *s, struct heads h, const struct operands *x)
{
    struct attention_args a = args_of(s, h, BF16);
    size_t n_q = (size_t)q_elems(&a) * 2, n_k = (size_t)k_elems(&a) * 2;
    struct result r = {malloc(n_q), malloc((size_t)(a.rows * a.heads) * 4), n_q, (size_t)(a.rows * a.heads) * 4};
    assert_true(r.o && r.lse);
    a.q_THD = to_device(x->q, n_q), a.k_SGD = to_device(x->k, n_k), a.v_SGD = to_device(x->v, n_k), a.o_THD = to_device(NULL, n_q), a.lse_HT = to_device(NULL, r.n_lse);
    assert_int_equal(run(&device->stream, &a), OK);
    assert_int_equal(device->ops->copy(&device->stream, r.o, a.o_THD, r.n_o, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->copy(&device->stream, r.lse, a.lse_HT, r.n_lse, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    drop(a.q_THD, n_q), drop(a.k_SGD, n_k), drop(a.v_SGD, n_k), drop(a.o_THD, n_q), drop(a.lse_HT, r.n_lse);
    return r;
}

static struct result compute(const struct scene *s, struct heads h, const struct operands *x) { return compute_by(device->kernels->attention_forward, s, h, x); }

static void free_result(struct result *r) { free(r->o), free(r->lse); }
static bool equal(const struct result *a, const struct result *b) { return a->n_o == b->n_o && memcmp(a->o, b->o, a->n_o) == 0 && memcmp(a->lse, b->lse, a->n_lse) == 0; }

/* Row i of a is row j of b. */
static void assert_same_row(const struct result *a, int64_t i, const struct result *b, int64_t j, struct heads h)
{
    size_t width = (size_t)(h.heads * h.dim) * 2, rows_a = a->n_o / width, rows_b = b->n_o / width;
    if (memcmp(a->o + (size_t)i * width, b->o + (size_t)j * width, width) != 0)
        fail_msg("%d heads of %d: row %lld differs from row %lld", h.heads, h.dim, (long long)i, (long long)j);
    for (size_t head = 0; head < (size_t)h.heads; head++)
        assert_memory_equal(&a->lse[head * rows_a + (size_t)i], &b->lse[head * rows_b + (size_t)j], 4);
}

static const struct heads bit_heads[] = {{6, 2, 64}, {4, 1, 128}, {1, 1, 64}};
enum { N_BIT_HEADS = sizeof bit_heads / sizeof *bit_heads };

static void a_row_alone_gives_the_same_bits_as_in_company(void **state)
{
    (void)state;
    for (int i = 0; i < N_BIT_HEADS; i++) {
        struct random random = {(uint64_t)i + 30};
        struct heads h = bit_heads[i];
        struct scene *s = draw_scene(&random), one = *s;
        struct operands x = draw_operands((uint64_t)i, h, s->n_rows), y = x;
        struct result all = compute(s, h, &x);
        for (int r = 0; r < s->n_runs; r++) {
            struct attention_run run = s->run[r];
            int32_t at = (int32_t)random_int(&random, 0, run.q_count - 1);
            memcpy(one.range, s->range, sizeof one.range);
            one.range[run.range_first + run.range_count - 1].count -= run.q_count - at - 1;
            one.n_rows = one.n_runs = 1;
            one.run[0] = (struct attention_run){0, 1, run.range_first, run.range_count};
            y.q = x.q + (size_t)(run.q_first + at) * x.q_row / 2;
            struct result alone = compute(&one, h, &y);
            assert_same_row(&all, run.q_first + at, &alone, 0, h);
            free_result(&alone);
        }
        free_result(&all);
        free_operands(&x);
        free(s);
    }
}

/* 40 queries that see a prompt of more than a part and up to two pages of their own, in runs of `each`. */
static struct scene *queries_in_runs(int each)
{
    struct scene *s = new_scene(1, false, false);
    int prompt = add_node(s, -1, 700), node = add_node(s, prompt, 100);
    for (int from = 60; from < 100; from += each)
        add_run(s, node, from, from + each < 100 ? from + each : 100);
    return s;
}

static void a_run_s_queries_give_the_same_bits_in_runs_of_any_length(void **state)
{
    (void)state;
    const int each[] = {1, 7, PAGED_SPLIT_QUERIES, PAGED_SPLIT_QUERIES + 1, 23};
    for (int i = 0; i < N_BIT_HEADS; i++) {
        struct scene *whole = queries_in_runs(40);
        struct operands x = draw_operands(9, bit_heads[i], 40);
        struct result want = compute(whole, bit_heads[i], &x);
        for (size_t n = 0; n < sizeof each / sizeof *each; n++) {
            struct scene *s = queries_in_runs(each[n]);
            struct result got = compute(s, bit_heads[i], &x);
            assert_true(equal(&got, &want));
            free_result(&got);
            free(s);
        }
        free_result(&want);
        free_operands(&x);
        free(whole);
    }
}

/* Branches of a prompt whose keys stand in one place, or in one of its own for each branch; and rows of a node that is read. */
static struct scene *branches(uint64_t seed, bool shared, bool scattered, bool cut)
{
    const int own[] = {1, 64, 130, 600};
    struct scene *s = new_scene(seed, scattered, cut);
    int prompt = -1;
    for (int i = 0; i < 4; i++) {
        prompt = i == 0 || !shared ? add_node(s, -1, 650) : prompt;
        int branch = add_node(s, prompt, own[i]);
        add_run(s, branch, own[i] - 1, own[i]);
    }
    int reading = add_node(s, prompt, 50);
    add_run(s, reading, 0, 50);
    return s;
}

/* Node `from`'s rows of x, at node `to`'s place in y. */
static void move_keys(const struct node *from, const uint16_t *x, const struct node *to, uint16_t *y, size_t row)
{
    for (int i = 0; i < from->n_keys; i++) {
        size_t a = (size_t)(from->page[i / ATTENTION_PAGE] * ATTENTION_PAGE + i % ATTENTION_PAGE), b = (size_t)(to->page[i / ATTENTION_PAGE] * ATTENTION_PAGE + i % ATTENTION_PAGE);
        memcpy((char *)y + b * row, (const char *)x + a * row, row);
    }
}

/* The keys of scene s, as x has them, where scene t keeps them. Nodes of t come in the order of those of s, but for copies of node 0. */
static struct operands moved(const struct scene *s, const struct operands *x, const struct scene *t, struct heads h)
{
    struct operands y = draw_operands(77, h, s->n_rows);
    memcpy(y.q, x->q, (size_t)s->n_rows * x->q_row);
    for (int i = 0, j = 0; i < t->n_nodes; i++) {
        int from = t->node[i].parent < 0 ? 0 : (j += 1);
        assert_int_equal(s->node[from].n_keys, t->node[i].n_keys);
        move_keys(&s->node[from], x->k, &t->node[i], y.k, x->k_row);
        move_keys(&s->node[from], x->v, &t->node[i], y.v, x->k_row);
    }
    return y;
}

static void shared_and_copied_prefixes_give_the_same_bits_in_pages_anywhere(void **state)
{
    (void)state;
    for (int i = 0; i < N_BIT_HEADS; i++) {
        struct heads h = bit_heads[i];
        struct scene *s = branches(1, true, false, false);
        struct operands x = draw_operands(5, h, s->n_rows);
        struct result want = compute(s, h, &x);
        for (int form = 1; form < 8; form++) {
            struct scene *t = branches((uint64_t)form, form & 1, form & 2, form & 4);
            struct operands y = moved(s, &x, t, h);
            struct result got = compute(t, h, &y);
            assert_true(equal(&got, &want));
            free_result(&got);
            free_operands(&y);
            free(t);
        }
        free_result(&want);
        free_operands(&x);
        free(s);
    }
}

static void every_order_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    struct scene *s = branches(3, true, true, true);
    struct operands x = draw_operands(6, bit_heads[1], s->n_rows);
    struct result want = compute(s, bit_heads[1], &x);
    for (uint64_t seed = 60; seed < 64; seed++) {
        emulate_seed(seed);
        struct result got = compute(s, bit_heads[1], &x);
        assert_true(equal(&got, &want));
        free_result(&got);
    }
    free_result(&want);
    free_operands(&x);
    free(s);
}

/* ---- grids and plans -------------------------------------------------------------------------------------------------------------------------- */

struct kernel_set { const struct gpu_kernel *chain, *split, *merge; };
static const struct kernel_set *kernel_set(int dim, bool faulty)
{
    static const struct kernel_set right[] = {{&paged_chain_64, &paged_split_64, &paged_merge_64}, {&paged_chain_128, &paged_split_128, &paged_merge_128}};
    static const struct kernel_set wrong[] = {{&faulty_chain_64, &faulty_split_64, &faulty_merge_64}, {&faulty_chain_128, &faulty_split_128, &faulty_merge_128}};
    return faulty ? &wrong[dim / 128] : &right[dim / 128];
}

static unsigned n_blocks;       /* of the grids below */
static bool with_faulty;

/* As attention_paged.c starts the kernels, in grids of another size. */
static int run_in_grid(struct stream *stream, const struct attention_args *a)
{
    const struct kernel_set *kernels = kernel_set(a->dim, with_faulty);
    struct paged_plan plan;
    struct paged_launch l = {.a = *a};
    void *o = NULL;
    TRY(paged_plan_make(a, &plan));
    TRY(cuda_attention_plan_begin(stream, a));
    TRY(cuda_attention_paged_place(stream, &plan));
    size_t n = (size_t)plan.head.n_slots * (size_t)a->heads;
    TRY(cuda_scratch(stream, n * (size_t)(a->dim + 2) * 4, &o));
    l.o_SHD = o, l.state_SH = (float *)o + n * (size_t)a->dim;
    l.head = cuda_attention_plan_kept(stream, ATTENTION_PAGED_HEAD), l.tile = cuda_attention_plan_kept(stream, ATTENTION_PAGED_TILES);
    l.row = cuda_attention_plan_kept(stream, ATTENTION_PAGED_ROWS), l.split = cuda_attention_plan_kept(stream, ATTENTION_PAGED_SPLITS);
    l.chain = cuda_attention_plan_kept(stream, ATTENTION_PAGED_CHAINS), l.merge = cuda_attention_plan_kept(stream, ATTENTION_PAGED_MERGES);
    struct gpu_grid grid = {.x = n_blocks, .y = (unsigned)a->kv_heads};
    paged_plan_free(&plan);
    TRY(gpu_launch(stream, kernels->chain, grid, ATTENTION_THREADS, paged_chain_shared(a->dim), &l));
    TRY(gpu_launch(stream, kernels->split, grid, ATTENTION_THREADS, paged_split_shared(a->dim), &l));
    return gpu_launch(stream, kernels->merge, (struct gpu_grid){.x = n_blocks}, ATTENTION_THREADS, 0, &l);
}

static void a_grid_of_any_size_does_the_work(void **state)
{
    (void)state;
    struct scene *s = branches(4, true, true, false);
    struct operands x = draw_operands(8, bit_heads[0], s->n_rows);
    struct result want = compute(s, bit_heads[0], &x);
    for (n_blocks = 1; n_blocks < 40; n_blocks = 3 * n_blocks + 1) {
        struct result got = compute_by(run_in_grid, s, bit_heads[0], &x);
        assert_true(equal(&got, &want));
        free_result(&got);
    }
    free_result(&want);
    free_operands(&x);
    free(s);
}

/* Two layers of a pass: the second brings nothing to the device, and nothing waits. */
static int64_t late_uploads, late_waits;

static int run_twice(struct stream *stream, const struct attention_args *a)
{
    struct attention_args numbered = *a;
    numbered.plan = device_plan_number(device);
    TRY(device->kernels->attention_forward(stream, &numbered));
    int64_t uploads = emulate_n_uploads(), waits = emulate_n_waits();
    TRY(device->kernels->attention_forward(stream, &numbered));
    late_uploads = emulate_n_uploads() - uploads;
    late_waits = emulate_n_waits() - waits;
    return OK;
}

static void layers_of_a_pass_share_one_plan(void **state)
{
    (void)state;
    struct scene *s = branches(2, true, true, false);
    struct operands x = draw_operands(3, bit_heads[0], s->n_rows);
    struct result want = compute(s, bit_heads[0], &x), got = compute_by(run_twice, s, bit_heads[0], &x);
    assert_true(equal(&got, &want));
    assert_int_equal(late_uploads, 0);
    assert_int_equal(late_waits, 0);
    free_result(&want), free_result(&got);
    free_operands(&x);
    free(s);
}

/* ---- what is read ----------------------------------------------------------------------------------------------------------------------------- */

struct reads { int64_t tiles; int32_t longest, n_splits, n_chains, n_slots; };

static struct reads reads_of(const struct scene *s, struct heads h)
{
    struct attention_args a = args_of(s, h, BF16);
    struct paged_plan plan;
    assert_int_equal(paged_plan_make(&a, &plan), OK);
    struct reads r = {.n_splits = plan.head.n_splits, .n_chains = plan.head.n_chains, .n_slots = plan.head.n_slots};
    for (int32_t i = 0; i < plan.head.n_splits; i++) {
        r.tiles += plan.split[i].n_tiles;
        r.longest = plan.split[i].n_tiles > r.longest ? plan.split[i].n_tiles : r.longest;
    }
    paged_plan_free(&plan);
    return r;
}

/* n branches of 30 keys under a prompt and a response. */
static struct reads reads_of_branches(int n, int prompt_keys, int response_keys, struct heads h)
{
    struct scene *s = new_scene(1, true, false);
    int response = add_node(s, add_node(s, -1, prompt_keys), response_keys);
    for (int i = 0; i < n; i++)
        add_run(s, add_node(s, response, 30), 29, 30);
    struct reads r = reads_of(s, h);
    free(s);
    return r;
}

static void a_prefix_is_read_once_for_all_its_branches(void **state)
{
    (void)state;
    struct heads h = {32, 8, 128};              /* 16 branches in a block */
    enum { PROMPT = 1000, RESPONSE = 300, TILES = 16 + 5 };
    for (int n = 1; n <= 16; n++)
        assert_int_equal(reads_of_branches(n, PROMPT, RESPONSE, h).tiles, TILES + n);
    assert_int_equal(reads_of_branches(17, PROMPT, RESPONSE, h).tiles, 2 * TILES + 17);
    assert_int_equal(reads_of_branches(32, PROMPT, RESPONSE, h).tiles, 2 * TILES + 32);
    assert_int_equal(reads_of_branches(10, PROMPT, RESPONSE, (struct heads){4, 4, 128}).tiles, TILES + 10);
    assert_int_equal(reads_of_branches(10, 18 * ATTENTION_PAGE, 1, h).tiles, 16 + 3 + 10);      /* a full last page: tiles 17 and 18 go with the response, whose end is seen */
    assert_int_equal(reads_of_branches(10, 1, 18 * ATTENTION_PAGE, h).tiles, 1 + 16 + 3 * 10);  /* or with the branches */
}

/* Two responses under a prompt: the prompt is read once for both. */
static void a_tree_of_prefixes_is_read_once(void **state)
{
    (void)state;
    struct scene *s = new_scene(2, true, false);
    int prompt = add_node(s, -1, 600), chosen = add_node(s, prompt, 100), rejected = add_node(s, prompt, 200);
    for (int i = 0; i < 6; i++)
        add_run(s, add_node(s, i % 2 ? chosen : rejected, 10), 9, 10);
    assert_int_equal(reads_of(s, (struct heads){8, 2, 64}).tiles, 10 + 2 + 4 + 6);
    free(s);
}

static void long_contexts_are_split(void **state)
{
    (void)state;
    struct scene *s = new_scene(3, true, false);
    add_run(s, add_node(s, -1, 1500), 1499, 1500);
    struct reads r = reads_of(s, (struct heads){8, 2, 64});
    assert_int_equal(r.n_splits, 3);
    assert_int_equal(r.tiles, 24);
    assert_int_equal(r.longest, PAGED_STEPS);
    free(s);
}

/* Runs that would need too much scratch are chains. */
static void partial_results_have_a_bound(void **state)
{
    (void)state;
    struct scene *s = new_scene(4, false, false);
    int long_one = add_node(s, -1, 24 * ATTENTION_PAGE);
    for (int i = 0; i < MAX_RUNS; i++) {
        s->run[i] = (struct attention_run){PAGED_SPLIT_QUERIES * i, PAGED_SPLIT_QUERIES, 0, 1};
        s->range[0] = (struct attention_range){s->node[long_one].page[0] * ATTENTION_PAGE, 24 * ATTENTION_PAGE};
    }
    s->n_runs = MAX_RUNS, s->n_ranges = 1, s->n_rows = PAGED_SPLIT_QUERIES * MAX_RUNS;
    struct reads r = reads_of(s, (struct heads){32, 8, 128});
    assert_true(r.n_chains > 0 && r.n_splits > 0);
    assert_true((int64_t)r.n_slots * 32 * 130 * 4 <= PAGED_PARTIAL_BYTES);
    assert_int_equal(reads_of(s, (struct heads){8, 2, 128}).n_chains, 0);
    free(s);
}

/* ---- planted faults --------------------------------------------------------------------------------------------------------------------------- */

enum fault { NO_FAULT, PART_LEFT_OUT, WRONG_ORDER, ITEM_LOST, TILE_LOST, WRONG_LIMIT, N_FAULTS };
static enum fault fault;

static void plant(struct paged_plan *p)
{
    struct paged_merge *longest = p->merge;
    for (int32_t i = 1; i < p->head.n_merges; i++)
        longest = p->merge[i].n_parts > longest->n_parts ? &p->merge[i] : longest;
    assert_true(longest->n_parts >= 3);
    if (fault == PART_LEFT_OUT)
        longest->n_parts--;
    if (fault == ITEM_LOST)
        p->head.n_splits--;
    if (fault == TILE_LOST)
        p->split[0].n_tiles--;
    if (fault == WRONG_LIMIT)
        p->row[p->split[p->head.n_splits - 1].row].sees--;
    for (int64_t t = 0; fault == WRONG_ORDER && t < p->n_tiles; t++)        /* parts 1 and 2 change their places in scratch */
        p->tile[t].part = (int16_t)(p->tile[t].part == 0 ? 0 : 3 - p->tile[t].part);
}

static int run_planted(struct stream *stream, const struct attention_args *a)
{
    struct paged_plan plan;
    TRY(cuda_attention_plan_begin(stream, a));
    TRY(paged_plan_make(a, &plan));
    plant(&plan);
    int status = cuda_attention_paged_place(stream, &plan);
    paged_plan_free(&plan);
    TRY(status);
    return cuda_attention_paged_run(stream, a);
}

/* Single rows, each of three parts: everything is split. */
static struct scene *long_branches(void)
{
    struct scene *s = new_scene(6, true, false);
    int prompt = add_node(s, -1, 2 * PAGED_STEPS * ATTENTION_PAGE);
    for (int i = 0; i < 3; i++)
        add_run(s, add_node(s, prompt, 70 + i), 69 + i, 70 + i);
    return s;
}

/* Scores are all 0, and the values of the prompt's two parts cancel each other, great beside those of the branches: what comes out is right in one order only. */
static void make_sensitive(const struct scene *s, struct operands *x)
{
    size_t width = x->k_row / 2;
    memset(x->q, 0, (size_t)s->n_rows * x->q_row);
    for (int i = 0; i < 2 * PAGED_STEPS; i++)
        for (size_t e = 0; e < ATTENTION_PAGE * width; e++)
            dtype_put(x->v, BF16, (int64_t)((size_t)(s->node[0].page[i] * ATTENTION_PAGE) * width + e), i < PAGED_STEPS ? 0x1p20f : -0x1p20f);
}

static void a_wrong_plan_is_seen(void **state)
{
    (void)state;
    struct scene *s = long_branches();
    struct operands x = draw_operands(2, bit_heads[0], s->n_rows), y = draw_operands(3, bit_heads[0], s->n_rows);
    make_sensitive(s, &x);
    struct result want = compute(s, bit_heads[0], &x);
    for (fault = NO_FAULT; fault < N_FAULTS; fault++) {
        struct result other = compute(s, bit_heads[0], &y);         /* whose partial results stand where x's will */
        struct result got = compute_by(run_planted, s, bit_heads[0], &x);
        if (equal(&got, &want) != (fault == NO_FAULT))
            fail_msg("fault %d: the result is %s", (int)fault, fault == NO_FAULT ? "another" : "the same");
        free_result(&got), free_result(&other);
    }
    free_result(&want);
    free_operands(&x), free_operands(&y);
    free(s);
}

/* With the faulty kernels and this seed, in a process of its own: do the results come out right? */
static bool comes_out_right(const struct scene *s, struct heads h, const struct operands *x, const struct result *want, uint64_t seed)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL), signal(SIGSEGV, SIG_DFL);
        close(STDERR_FILENO);
        emulate_seed(seed);
        struct result got = compute_by(run_in_grid, s, h, x);
        _exit(equal(&got, want) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The long branches, and a node that is read, by one block for each key/value head. */
static void assert_needed(struct heads h)
{
    struct scene *s = long_branches();
    int reading = add_node(s, 0, 64);
    add_run(s, reading, 20, 64);
    struct operands x = draw_operands(4, h, s->n_rows);
    struct result want = compute(s, h, &x);
    n_blocks = 1, with_faulty = true;
    removed_barrier = -1, removed_waits = false;
    assert_true(comes_out_right(s, h, &x, &want, 1));
    for (removed_barrier = 0; removed_barrier < n_barriers; removed_barrier++) {
        bool right = true;
        for (uint64_t seed = 1; seed <= 6 && right; seed++)
            right = comes_out_right(s, h, &x, &want, seed);
        if (right)
            fail_msg("heads of %d: without barrier %d all is right", h.dim, removed_barrier);
    }
    removed_barrier = -1, removed_waits = true;
    assert_false(comes_out_right(s, h, &x, &want, 1));
    removed_waits = with_faulty = false;
    free_result(&want);
    free_operands(&x);
    free(s);
}

static void a_barrier_or_the_waits_taken_out_are_seen(void **state)
{
    (void)state;
    assert_int_equal(n_barriers, PAGED_BARRIERS);
    assert_needed((struct heads){2, 1, 64});
    assert_needed((struct heads){2, 1, 128});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_over_a_cache_agrees_with_the_reference),
        cmocka_unit_test(float32_and_other_head_sizes_agree_with_the_reference),
        cmocka_unit_test(a_row_alone_gives_the_same_bits_as_in_company),
        cmocka_unit_test(a_run_s_queries_give_the_same_bits_in_runs_of_any_length),
        cmocka_unit_test(shared_and_copied_prefixes_give_the_same_bits_in_pages_anywhere),
        cmocka_unit_test(every_order_of_threads_gives_the_same_bits),
        cmocka_unit_test(a_grid_of_any_size_does_the_work),
        cmocka_unit_test(layers_of_a_pass_share_one_plan),
        cmocka_unit_test(a_prefix_is_read_once_for_all_its_branches),
        cmocka_unit_test(a_tree_of_prefixes_is_read_once),
        cmocka_unit_test(long_contexts_are_split),
        cmocka_unit_test(partial_results_have_a_bound),
        cmocka_unit_test(a_wrong_plan_is_seen),
        cmocka_unit_test(a_barrier_or_the_waits_taken_out_are_seen),
    };
    return cmocka_run_group_tests_name("cuda_decode", tests, open_device, close_device);
}
