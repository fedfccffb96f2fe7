/* With batch_invariant a row of every operation of a forward pass is the same bits alone, in company, at another place, and for every number of threads; and an attention row
 * whatever pages its keys are cut into. Every instruction set this processor can run, both types, odd sizes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "tests/tools/random_values.h"

enum { ROUNDS = 25, MAX_ROWS = 90, MAX_WIDTH = 1700, N_BLOCKS = 4, N_TABLES = 3 };

/* A batch: up to N_BLOCKS matrices of `rows` rows each, inputs and outputs, and tables that all rows share. */
struct block { int64_t width; size_t size; unsigned char *bytes; };
struct batch { struct device *device; const struct kernels *kernels; enum dtype dtype; struct random shape; int64_t rows; struct block block[N_BLOCKS]; void *table[N_TABLES]; };

static struct stream *stream_of(struct batch *b) { return &b->device->stream; }
static int64_t pick(struct random *random, const int64_t *choices, int n) { return choices[random_int(random, 0, n - 1)]; }
static int64_t width_of(struct random *random) { return pick(random, (int64_t[]){1, 3, 8, 15, 16, 17, 31, 64, 100, 576}, 10); }

/* Values of many sizes, down to those that are zero in some arithmetic. */
static void fill(struct random *random, void *x, enum dtype dtype, int64_t n, double scale)
{
    for (int64_t i = 0; i < n; i++)
        dtype_put(x, dtype, i, (float)(random_uniform(random, -scale, scale) * (random_int(random, 0, 3) == 0 ? 1e-39 : 1.0)));
}

/* Block i holds `width` elements a row: memory comes with the first call of a batch. */
static void *block(struct batch *b, int i, int64_t width, enum dtype dtype)
{
    b->block[i].width = width;
    b->block[i].size = (size_t)width * dtype_bytes(dtype);
    return b->block[i].bytes;
}

/* ---- operations: draw their sizes from b->shape, which is the same for every batch of a case; tables are filled by the first ---- */

typedef int operation(struct batch *);

static int run_gemm(struct batch *b)
{
    static const int64_t ks[] = {1, 2, 15, 16, 17, 33, 64, 100, 576, 641, 1281, 1537};
    int64_t k = pick(&b->shape, ks, 12), n = pick(&b->shape, (int64_t[]){1, 2, 5, 8, 15, 17, 64, 70, 130, 200}, 10);
    bool wide = random_int(&b->shape, 0, 1) == 1, accumulate = random_int(&b->shape, 0, 1) == 1;
    struct gemm_args a = {.m = b->rows, .n = n, .k = k, .trans_b = true, .accumulate = accumulate, .b = b->table[0], .lda = MAX_WIDTH, .ldb = k, .ldc = MAX_WIDTH, .dtype_ab = b->dtype,
                          .dtype_c = wide ? F32 : b->dtype};
    a.a = block(b, 0, MAX_WIDTH, b->dtype);
    a.c = block(b, 1, MAX_WIDTH, a.dtype_c);
    return b->kernels->gemm(stream_of(b), &a);
}

static int run_rmsnorm(struct batch *b)
{
    bool with_add = random_int(&b->shape, 0, 1) == 1, residual = random_int(&b->shape, 0, 1) == 1;
    struct rmsnorm_args a = {.rows = b->rows, .cols = width_of(&b->shape), .dtype = b->dtype, .dtype_x = residual ? F32 : b->dtype, .eps = 1e-5f, .weight = b->table[0]};
    a.x = block(b, 0, a.cols, a.dtype_x);
    if (with_add) {
        a.add = block(b, 1, a.cols, b->dtype);
        a.sum = b->block[0].bytes;
    }
    a.y = block(b, 2, a.cols, b->dtype);
    a.rstd = block(b, 3, 1, F32);
    return b->kernels->rmsnorm_forward(stream_of(b), &a);
}

/* A row's position is one of its inputs: the last element of block 1, in [0, 64). */
static int run_rope(struct batch *b)
{
    struct rope_args a = {.rows = b->rows, .heads = (int)random_int(&b->shape, 1, 5), .dim = (int)pick(&b->shape, (int64_t[]){2, 6, 16, 34, 64, 128}, 6), .dtype = b->dtype,
                          .cos = b->table[1], .sin = b->table[2]};
    int32_t position[MAX_ROWS];
    const float *from = block(b, 1, 1, F32);
    for (int64_t t = 0; t < b->rows; t++)
        position[t] = (int32_t)fabsf(from[t] * 7.0f);
    a.position = position;
    a.x = block(b, 0, (int64_t)a.heads * a.dim, b->dtype);
    return b->kernels->rope(stream_of(b), &a);
}

static int run_swiglu(struct batch *b)
{
    int64_t width = width_of(&b->shape);
    struct swiglu_args a = {.n_elems = b->rows * width, .dtype = b->dtype, .gate = block(b, 0, width, b->dtype), .up = block(b, 1, width, b->dtype), .y = block(b, 2, width, b->dtype)};
    return b->kernels->swiglu_forward(stream_of(b), &a);
}

static int run_add(struct batch *b)
{
    int64_t width = width_of(&b->shape);
    struct map_args a = {.n_elems = b->rows * width, .dtype = b->dtype, .dtype_y = b->dtype, .x = block(b, 0, width, b->dtype), .y = block(b, 1, width, b->dtype)};
    return b->kernels->add(stream_of(b), &a);
}

static int run_cast(struct batch *b)
{
    int64_t width = width_of(&b->shape);
    bool narrows = random_int(&b->shape, 0, 1) == 1;
    enum dtype from = narrows ? F32 : b->dtype, to = narrows ? b->dtype : F32;
    struct map_args a = {.n_elems = b->rows * width, .dtype = from, .dtype_y = to, .x = block(b, 0, width, from), .y = block(b, 1, width, to)};
    return b->kernels->cast(stream_of(b), &a);
}

static int run_bias(struct batch *b)
{
    struct bias_args a = {.rows = b->rows, .cols = width_of(&b->shape), .dtype = b->dtype, .bias = b->table[0]};
    a.x = block(b, 0, a.cols, b->dtype);
    return b->kernels->bias_forward(stream_of(b), &a);
}

static int run_embedding(struct batch *b)
{
    struct embedding_args a = {.rows = b->rows, .cols = width_of(&b->shape), .dtype = b->dtype, .vocab_first = 3, .vocab_count = 40, .table = b->table[0]};
    uint32_t token[MAX_ROWS];
    const float *from = block(b, 1, 1, F32);
    for (int64_t t = 0; t < b->rows; t++)
        token[t] = (uint32_t)fabsf(from[t] * 6.0f);
    a.token = token;
    a.y = block(b, 0, a.cols, b->dtype);
    return b->kernels->embedding_forward(stream_of(b), &a);
}

static int run_reward(struct batch *b)
{
    struct reward_args a = {.rows = b->rows, .cols = width_of(&b->shape), .dtype = b->dtype, .w = b->table[1]};
    a.h = block(b, 0, a.cols, b->dtype);
    a.r = block(b, 1, 1, F32);
    return b->kernels->reward_forward(stream_of(b), &a);
}

#define OPERATION(name) {#name, run_##name}
static const struct row_operation { const char *name; operation *run; } operations[] = {
    OPERATION(gemm), OPERATION(rmsnorm), OPERATION(rope), OPERATION(swiglu), OPERATION(add), OPERATION(cast), OPERATION(bias), OPERATION(embedding), OPERATION(reward),
};
enum { N_OPERATIONS = sizeof operations / sizeof *operations };

/* ---- a row alone and in company ---- */

enum { ROW_BYTES = MAX_WIDTH * 4, TABLE_ELEMS = 200 * 1537 };

static struct batch make_batch(const struct batch *like, int64_t rows)
{
    struct batch b = *like;
    b.rows = rows;
    for (int i = 0; i < N_BLOCKS; i++) {
        b.block[i] = (struct block){0};
        b.block[i].bytes = calloc((size_t)rows, ROW_BYTES);
        assert_non_null(b.block[i].bytes);
    }
    return b;
}

static void free_batch(struct batch *b)
{
    for (int i = 0; i < N_BLOCKS; i++)
        free(b->block[i].bytes);
}

static void learn_sizes(const struct row_operation *o, struct batch *b)
{
    struct batch one = make_batch(b, 1);
    assert_int_equal(o->run(&one), OK);
    memcpy(b->block, one.block, sizeof one.block);
    free_batch(&one);
}

/* Random rows of a batch; block 1 of some operations holds floats whatever the type: so do all whose rows are as wide. */
static void fill_batch(struct batch *b, const struct batch *sizes, struct random *random)
{
    for (int i = 0; i < N_BLOCKS; i++) {
        const struct block *block = &sizes->block[i];
        if (block->width > 0)
            fill(random, b->block[i].bytes, block->size / (size_t)block->width == 4 ? F32 : BF16, b->rows * block->width, 6.0);
    }
}

static unsigned char *row_at(const struct batch *b, const struct batch *sizes, int i, int64_t row) { return b->block[i].bytes + (size_t)row * sizes->block[i].size; }

static void copy_row(struct batch *to, int64_t at, const struct batch *from, int64_t row, const struct batch *sizes)
{
    for (int i = 0; i < N_BLOCKS; i++)
        memcpy(row_at(to, sizes, i, at), row_at(from, sizes, i, row), sizes->block[i].size);
}

/* Runs the operation on random rows with row 0 of `alone` at a random place among them, and returns a hash of all that came out. */
static uint64_t in_company(const struct row_operation *o, const struct batch *sizes, const struct batch *inputs, const struct batch *outputs, struct random *random)
{
    struct batch b = make_batch(sizes, random_int(random, 1, MAX_ROWS));
    int64_t place = random_int(random, 0, b.rows - 1);
    uint64_t hash = 0;
    fill_batch(&b, sizes, random);
    copy_row(&b, place, inputs, 0, sizes);
    assert_int_equal(o->run(&b), OK);
    for (int i = 0; i < N_BLOCKS; i++) {
        if (memcmp(row_at(&b, sizes, i, place), outputs->block[i].bytes, sizes->block[i].size) != 0)
            fail_msg("%s in %s: row %lld of %lld differs from the row alone, matrix %d", o->name, dtype_name(b.dtype), (long long)place, (long long)b.rows, i);
        hash = hash_bytes(b.block[i].bytes, (size_t)b.rows * sizes->block[i].size, hash);
    }
    free_batch(&b);
    return hash;
}

/* What all cases of a type share: tables of weights, and a store of keys and values. */
struct shared { void *table[N_TABLES], *k, *v; };
enum { PAGES = 160, STORE_ELEMS = PAGES * ATTENTION_PAGE * 192 };

static void *filled(struct random *random, enum dtype dtype, int64_t n, double scale)
{
    void *x = calloc((size_t)n, 4);
    assert_non_null(x);
    fill(random, x, dtype, n, scale);
    return x;
}

static struct shared make_shared(enum dtype dtype)
{
    struct random random = {77};
    struct shared s = {.k = filled(&random, dtype, STORE_ELEMS, 4.0), .v = filled(&random, dtype, STORE_ELEMS, 1.0)};
    for (int i = 0; i < N_TABLES; i++)
        s.table[i] = filled(&random, i == 0 ? dtype : F32, TABLE_ELEMS, 1.0);
    return s;
}

static void free_shared(struct shared *s)
{
    free(s->k), free(s->v);
    for (int i = 0; i < N_TABLES; i++)
        free(s->table[i]);
}

static uint64_t try_row(const struct row_operation *o, struct device *device, const struct shared *shared, enum dtype dtype, uint64_t seed)
{
    struct random random = {seed};
    struct batch like = {.device = device, .kernels = device->kernels, .dtype = dtype, .shape = {seed + 1}, .table = {shared->table[0], shared->table[1], shared->table[2]}};
    uint64_t hash = 0;
    learn_sizes(o, &like);
    struct batch inputs = make_batch(&like, 1), outputs = make_batch(&like, 1);
    fill_batch(&inputs, &like, &random);
    copy_row(&outputs, 0, &inputs, 0, &like);
    assert_int_equal(o->run(&outputs), OK);
    for (int i = 0; i < 3; i++)
        hash ^= (uint64_t)(i + 1) * in_company(o, &like, &inputs, &outputs, &random);
    free_batch(&inputs), free_batch(&outputs);
    return hash;
}

/* ---- attention: prompts, responses under them, branches under those, in pages of a store; a branch asks for its next token, or reads its own ---- */

enum { MAX_NODES = 24, MAX_RANGES = 4000 };

struct node { int parent, n_keys, n_asked, page[8]; };        /* n_asked: rows of its last keys; 0 for all but branches */
struct scene {
    struct attention_args a;
    struct node node[MAX_NODES];
    int n_nodes;
    bool taken[PAGES];
    void *q;
};

/* A free page, mostly the one behind `previous`. */
static int take_page(struct scene *s, struct random *random, int previous)
{
    int page = previous + 1;
    if (page == PAGES || s->taken[page] || random_int(random, 0, 2) == 0)
        do
            page = (int)random_int(random, 0, PAGES - 1);
        while (s->taken[page]);
    s->taken[page] = true;
    return page;
}

static int add_node(struct scene *s, struct random *random, int parent, int most_keys, int n_asked)
{
    struct node *node = &s->node[s->n_nodes];
    *node = (struct node){.parent = parent, .n_keys = (int)random_int(random, n_asked > 0 ? n_asked : 1, most_keys), .n_asked = n_asked};
    if (n_asked > 1 && node->n_keys > ATTENTION_PAGE)       /* rows of one run lie in one piece */
        node->n_keys = ATTENTION_PAGE;
    for (int i = 0; i * ATTENTION_PAGE < node->n_keys; i++)
        node->page[i] = take_page(s, random, i == 0 ? (int)random_int(random, -1, PAGES - 2) : node->page[i - 1]);
    return s->n_nodes++;
}

static void draw_nodes(struct scene *s, struct random *random)
{
    int64_t n_prompts = random_int(random, 1, 2);
    for (int64_t p = 0; p < n_prompts; p++) {
        int prompt = add_node(s, random, -1, 300, 0);
        for (int64_t r = random_int(random, 1, 2); r > 0; r--) {
            int response = add_node(s, random, prompt, 300, 0);
            for (int64_t b = random_int(random, 1, 4); b > 0; b--)
                add_node(s, random, response, 200, random_int(random, 0, 3) == 0 ? (int)random_int(random, 2, 40) : 1);
        }
    }
}

/* The node's first n keys as ranges: pages that follow each other are joined or not. */
static void add_keys(const struct node *node, int n, struct random *random, struct attention_range *range, int *n_ranges)
{
    for (int i = 0; i * ATTENTION_PAGE < n; i++) {
        int count = n - i * ATTENTION_PAGE < ATTENTION_PAGE ? n - i * ATTENTION_PAGE : ATTENTION_PAGE;
        if (i > 0 && node->page[i] == node->page[i - 1] + 1 && random_int(random, 0, 1) == 1)
            range[*n_ranges - 1].count += count;
        else
            range[(*n_ranges)++] = (struct attention_range){node->page[i] * ATTENTION_PAGE, count};
    }
}

static void add_path(const struct scene *s, int node, struct random *random, struct attention_range *range, int *n_ranges)
{
    if (node < 0)
        return;
    add_path(s, s->node[node].parent, random, range, n_ranges);
    add_keys(&s->node[node], s->node[node].n_keys, random, range, n_ranges);
}

/* A run of q_count rows of a branch, of which the last sees its first n keys. */
static struct attention_run make_run(const struct scene *s, int branch, int q_first, int q_count, int n, struct random *random, struct attention_range *range, int *n_ranges)
{
    struct attention_run run = {q_first, q_count, *n_ranges, 0};
    add_path(s, s->node[branch].parent, random, range, n_ranges);
    add_keys(&s->node[branch], n, random, range, n_ranges);
    run.range_count = *n_ranges - run.range_first;
    return run;
}

struct result { float *o, *lse; };          /* o in the bytes of its type */

static struct result attend(struct scene *s, struct device *device, const void *q, int64_t rows, const struct attention_run *runs, int n_runs, const struct attention_range *ranges)
{
    struct attention_args a = s->a;
    struct result out = {calloc((size_t)(rows * a.heads * a.dim), 4), calloc((size_t)(rows * a.heads), 4)};
    assert_true(out.o && out.lse);
    a.rows = rows, a.q_THD = q, a.o_THD = out.o, a.lse_HT = out.lse, a.runs = runs, a.n_runs = n_runs, a.ranges = ranges;
    assert_int_equal(device->kernels->attention_forward(&device->stream, &a), OK);
    return out;
}

static void free_result(struct result *r) { free(r->o), free(r->lse); }

/* Row `row` of the company is query i of the branch: alone it sees the same keys. */
static void assert_row_alone(struct scene *s, struct device *device, const struct result *company, int64_t rows, int64_t row, int branch, int i, struct random *random)
{
    struct attention_range range[64];
    int n_ranges = 0;
    const struct node *node = &s->node[branch];
    struct attention_run run = make_run(s, branch, 0, 1, node->n_keys - node->n_asked + i + 1, random, range, &n_ranges);
    int64_t width = (int64_t)s->a.heads * s->a.dim;
    struct result alone = attend(s, device, dtype_at(s->q, s->a.dtype, row * width), 1, &run, 1, range);
    if (memcmp(alone.o, dtype_at(company->o, s->a.dtype, row * width), (size_t)width * dtype_bytes(s->a.dtype)) != 0)
        fail_msg("attention in %s, %d heads of %d: row %lld of %lld differs from the row alone", dtype_name(s->a.dtype), s->a.heads, s->a.dim, (long long)row, (long long)rows);
    for (int h = 0; h < s->a.heads; h++)
        assert_memory_equal(&alone.lse[h], &company->lse[h * rows + row], 4);
    free_result(&alone);
}

/* All branches of a scene together. */
static uint64_t try_scene(struct scene *s, struct device *device, struct random *random)
{
    static struct attention_range range[MAX_RANGES];
    struct attention_run run[MAX_NODES] = {0};
    int n_runs = 0, n_ranges = 0, rows = 0, branch[MAX_NODES];
    for (int n = 0; n < s->n_nodes; n++)
        if (s->node[n].n_asked > 0) {
            branch[n_runs] = n;
            run[n_runs++] = make_run(s, n, rows, s->node[n].n_asked, s->node[n].n_keys, random, range, &n_ranges);
            rows += s->node[n].n_asked;
        }
    struct result company = attend(s, device, s->q, rows, run, n_runs, range);
    for (int r = 0; r < n_runs; r++)
        for (int i = 0; i < run[r].q_count; i++)
            assert_row_alone(s, device, &company, rows, run[r].q_first + i, branch[r], i, random);
    uint64_t hash = hash_bytes(company.o, (size_t)(rows * s->a.heads * s->a.dim) * dtype_bytes(s->a.dtype), 0);
    hash ^= hash_bytes(company.lse, (size_t)(rows * s->a.heads) * 4, 1);
    free_result(&company);
    return hash;
}

static uint64_t try_attention(struct device *device, const struct shared *shared, enum dtype dtype, uint64_t seed)
{
    static const struct { int heads, kv_heads, dim; } heads[] = {{9, 3, 64}, {4, 2, 16}, {2, 1, 128}, {3, 3, 32}, {8, 2, 48}, {4, 1, 20}, {2, 2, 64}};
    struct random random = {seed};
    struct scene s = {.a = {.heads = heads[seed % 7].heads, .kv_heads = heads[seed % 7].kv_heads, .dim = heads[seed % 7].dim, .dtype = dtype, .key_rows = PAGES * ATTENTION_PAGE,
                            .scale = 0.125f, .k_SGD = shared->k, .v_SGD = shared->v}};
    s.q = filled(&random, dtype, (int64_t)MAX_NODES * 40 * s.a.heads * s.a.dim, 4.0);
    draw_nodes(&s, &random);
    uint64_t hash = try_scene(&s, device, &random);
    free(s.q);
    return hash;
}

/* ---- instruction sets, threads ---- */

/* NULL where this processor lacks the set. */
static struct device *open_device(const char *isa, int n_threads)
{
    struct device_options options = {.n_threads = n_threads, .isa = isa, .batch_invariant = true};
    struct device *device = NULL;
    if (device_cpu_create(&options, &device) == OK)
        return device;
    trace_clear();
    return NULL;
}

static uint64_t try_type(struct device *device, enum dtype dtype)
{
    struct shared shared = make_shared(dtype);
    uint64_t hash = 0;
    for (int o = 0; o < N_OPERATIONS; o++)
        for (uint64_t round = 0; round < ROUNDS; round++)
            hash ^= (round + 1) * try_row(&operations[o], device, &shared, dtype, 1000 * (uint64_t)(o + 1) + round);
    for (uint64_t round = 0; round < ROUNDS; round++)
        hash ^= (round + 1) * try_attention(device, &shared, dtype, round);
    free_shared(&shared);
    return hash;
}

static void try_isa(const char *isa)
{
    uint64_t first = 0;
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        struct device *device = open_device(isa, n_threads);
        if (!device) {
            printf("not run: this processor has no %s\n", isa);
            return;
        }
        uint64_t hash = try_type(device, F32) ^ 3 * try_type(device, BF16);
        first = n_threads == 1 ? hash : first;
        assert_true(hash == first);
        device_destroy(&device);
    }
}

static void a_row_is_the_same_bits_in_any_company_with_amx(void **state) { (void)state, try_isa("amx"); }
static void a_row_is_the_same_bits_in_any_company_with_avx512(void **state) { (void)state, try_isa("avx512"); }
static void a_row_is_the_same_bits_in_any_company_with_avx2(void **state) { (void)state, try_isa("avx2"); }
static void a_row_is_the_same_bits_in_any_company_with_plain_c(void **state) { (void)state, try_isa("scalar"); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_the_same_bits_in_any_company_with_amx),
        cmocka_unit_test(a_row_is_the_same_bits_in_any_company_with_avx512),
        cmocka_unit_test(a_row_is_the_same_bits_in_any_company_with_avx2),
        cmocka_unit_test(a_row_is_the_same_bits_in_any_company_with_plain_c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
