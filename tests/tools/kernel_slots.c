/* kernel_slots: see the header. Sizes are random and odd ones are among them, so are none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernel_slots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random_forest.h"

static int64_t pick(struct pass *pass, const int64_t *choices, int n) { return choices[random_int(&pass->random, 0, n - 1)]; }
static bool flip(struct pass *pass) { return random_int(&pass->random, 0, 1) == 1; }

/* Large sizes: rows and columns of a model's activations, and few rows of a whole vocabulary. */
enum { ODD_ROWS = 129, MAX_ROWS = 1025 };
static bool is_large(const struct pass *pass) { return pass->sizes == SIZES_LARGE; }
static int most_rows(const struct pass *pass) { return is_large(pass) ? MAX_ROWS : ODD_ROWS; }
static int64_t rows_of(struct pass *pass) { return is_large(pass) ? pick(pass, (int64_t[]){300, 512, MAX_ROWS}, 3) : pick(pass, (int64_t[]){0, 1, 2, 7, 16, 33, ODD_ROWS}, 7); }
static int64_t cols_of(struct pass *pass) { return is_large(pass) ? pick(pass, (int64_t[]){1536, 4096, 4100, 8192}, 4) : pick(pass, (int64_t[]){1, 3, 8, 16, 17, 31, 64, 100, 576}, 9); }
static int64_t logit_rows_of(struct pass *pass) { return is_large(pass) ? pick(pass, (int64_t[]){7, 16, 33}, 3) : rows_of(pass); }
static int64_t vocabulary_of(struct pass *pass) { return is_large(pass) ? pick(pass, (int64_t[]){32000, 49152, 128256}, 3) : cols_of(pass); }

static int run_gemm(struct pass *p)
{
    const int64_t odd[] = {0, 1, 3, 8, 16, 31, 65, 100, 192}, large[] = {256, 384, 576, 577, 640, 768, 1000, 1024, 1025};
    const int64_t *sizes = is_large(p) ? large : odd;
    int64_t m = pick(p, sizes, 9), n = pick(p, sizes, 9), k = random_int(&p->random, 0, 5) == 0 ? 1500 : pick(p, sizes, 9), pad = 3 * random_int(&p->random, 0, 1);
    struct gemm_args a = {.m = m, .n = n, .k = k, .trans_a = flip(p), .trans_b = flip(p), .accumulate = flip(p), .dtype_ab = p->dtype};
    bool wide = flip(p);
    a.lda = (a.trans_a ? m : k) + pad + 1, a.ldb = (a.trans_b ? k : n) + pad + 1, a.ldc = n + pad + 1;
    a.dtype_c = wide ? F32 : p->dtype;
    a.a = pass_draw(p, ACTIVATION, (a.trans_a ? k : m) * a.lda, 1.0);
    a.b = pass_draw(p, ACTIVATION, (a.trans_b ? n : k) * a.ldb, 1.0);
    a.c = pass_out(p, pass_draw(p, wide ? SINGLE : ACTIVATION, m * a.ldc, 1.0), "c");
    return p->kernels->gemm(&p->device->stream, &a);
}

static int run_bias_forward(struct pass *p)
{
    struct bias_args a = {.rows = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    a.x = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0), "x");
    a.bias = pass_draw(p, ACTIVATION, a.cols, 1.0);
    return p->kernels->bias_forward(&p->device->stream, &a);
}

static int run_bias_backward(struct pass *p)
{
    struct bias_args a = {.rows = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    a.dy = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.dbias = pass_out(p, pass_draw(p, SINGLE, a.cols, 1.0), "dbias");
    return p->kernels->bias_backward(&p->device->stream, &a);
}

/* Of either type that it may have: what is normed. */
static enum operand_kind draw_dtype_x(struct pass *p, struct rmsnorm_args *a)
{
    bool residual = flip(p);
    a->dtype_x = residual ? F32 : p->dtype;
    return residual ? SINGLE : ACTIVATION;
}

static int run_rmsnorm_forward(struct pass *p)
{
    struct rmsnorm_args a = {.rows = rows_of(p), .cols = cols_of(p), .dtype = p->dtype, .eps = 1e-5f};
    enum operand_kind kind = draw_dtype_x(p, &a);
    void *x = pass_draw(p, kind, a.rows * a.cols, 1.0);
    bool with_add = flip(p), in_place = flip(p);
    a.x = x;
    if (with_add) {
        a.add = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
        a.sum = pass_out(p, in_place ? x : pass_draw(p, kind, a.rows * a.cols, 1.0), "sum");
    }
    a.weight = pass_draw(p, ACTIVATION, a.cols, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0), "y");
    a.rstd = pass_out_rounded(p, pass_draw(p, SINGLE, a.rows, 1.0), "rstd");
    return p->kernels->rmsnorm_forward(&p->device->stream, &a);
}

static int run_rmsnorm_backward(struct pass *p)
{
    struct rmsnorm_args a = {.rows = rows_of(p), .cols = cols_of(p), .dtype = p->dtype, .eps = 1e-5f, .accumulate = flip(p)};
    enum operand_kind kind = draw_dtype_x(p, &a);
    a.x = pass_draw(p, kind, a.rows * a.cols, 1.0);
    a.weight = pass_draw(p, ACTIVATION, a.cols, 1.0);
    a.dy = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.rstd = pass_draw(p, SINGLE, a.rows, 2.0);
    a.dx = pass_out(p, pass_draw(p, kind, a.rows * a.cols, 1.0), "dx");
    a.dweight = pass_out(p, pass_draw(p, SINGLE, a.cols, 1.0), "dweight");
    return p->kernels->rmsnorm_backward(&p->device->stream, &a);
}

static int run_rope(struct pass *p)
{
    enum { POSITIONS = 50 };
    struct rope_args a = {.rows = rows_of(p), .heads = (int)random_int(&p->random, 1, 5), .dim = (int)pick(p, (int64_t[]){2, 6, 16, 64, 128}, 5),
                          .dtype = p->dtype, .inverse = flip(p)};
    int32_t position[MAX_ROWS];
    for (int t = 0; t < most_rows(p); t++)
        position[t] = (int32_t)random_int(&p->random, 0, POSITIONS - 1);
    a.position = pass_whole(p, position, a.rows);
    a.cos = pass_draw(p, SINGLE, POSITIONS * a.dim / 2, 1.0);
    a.sin = pass_draw(p, SINGLE, POSITIONS * a.dim / 2, 1.0);
    a.x = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.heads * a.dim, 1.0), "x");
    return p->kernels->rope(&p->device->stream, &a);
}

static int run_swiglu_forward(struct pass *p)
{
    struct swiglu_args a = {.n_elems = rows_of(p) * cols_of(p), .dtype = p->dtype};
    a.gate = pass_draw(p, ACTIVATION, a.n_elems, 20.0);
    a.up = pass_draw(p, ACTIVATION, a.n_elems, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, a.n_elems, 1.0), "y");
    return p->kernels->swiglu_forward(&p->device->stream, &a);
}

static int run_swiglu_backward(struct pass *p)
{
    struct swiglu_args a = {.n_elems = rows_of(p) * cols_of(p), .dtype = p->dtype};
    bool in_place = flip(p);
    void *gate = pass_draw(p, ACTIVATION, a.n_elems, 20.0), *up = pass_draw(p, ACTIVATION, a.n_elems, 1.0);
    a.gate = gate, a.up = up;
    a.dy = pass_draw(p, ACTIVATION, a.n_elems, 1.0);
    a.dgate = pass_out(p, in_place ? gate : pass_draw(p, ACTIVATION, a.n_elems, 1.0), "dgate");
    a.dup = pass_out(p, in_place ? up : pass_draw(p, ACTIVATION, a.n_elems, 1.0), "dup");
    return p->kernels->swiglu_backward(&p->device->stream, &a);
}

/* Tokens of a vocabulary of 20, of which a part is local. */
static void draw_tokens(struct pass *p, struct embedding_args *a)
{
    int32_t token[MAX_ROWS];
    for (int t = 0; t < most_rows(p); t++)
        token[t] = (int32_t)random_int(&p->random, 0, 19);
    a->token = pass_whole(p, token, a->rows);
    a->vocab_first = random_int(&p->random, 0, 9), a->vocab_count = random_int(&p->random, 1, 11);
}

static int run_embedding_forward(struct pass *p)
{
    struct embedding_args a = {.rows = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    draw_tokens(p, &a);
    a.table = pass_draw(p, ACTIVATION, a.vocab_count * a.cols, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0), "y");
    return p->kernels->embedding_forward(&p->device->stream, &a);
}

static int run_embedding_backward(struct pass *p)
{
    struct embedding_args a = {.rows = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    draw_tokens(p, &a);
    a.dy = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.dtable = pass_out(p, pass_draw(p, SINGLE, a.vocab_count * a.cols, 1.0), "dtable");
    return p->kernels->embedding_backward(&p->device->stream, &a);
}

static int run_gather_rows(struct pass *p)
{
    enum { ROWS = 30 };
    struct rows_args a = {.n_index = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    int32_t index[MAX_ROWS];
    for (int i = 0; i < most_rows(p); i++)
        index[i] = (int32_t)random_int(&p->random, -2, ROWS - 1);
    a.index = pass_whole(p, index, a.n_index);
    a.x = pass_draw(p, ACTIVATION, ROWS * a.cols, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, a.n_index * a.cols, 1.0), "y");
    return p->kernels->gather_rows(&p->device->stream, &a);
}

static int run_scatter_add_rows(struct pass *p)
{
    struct rows_args a = {.n_index = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    int32_t index[MAX_ROWS], row = 0;
    for (int i = 0; i < most_rows(p); i++) {         /* strictly rising, with holes that are skipped at the front */
        row += (int32_t)random_int(&p->random, 1, 3);
        index[i] = i < 2 ? i - 2 : row;
    }
    a.index = pass_whole(p, index, a.n_index);
    a.x = pass_draw(p, ACTIVATION, a.n_index * a.cols, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, (row + 1) * a.cols, 1.0), "y");
    return p->kernels->scatter_add_rows(&p->device->stream, &a);
}

static int run_add(struct pass *p)
{
    struct map_args a = {.n_elems = rows_of(p) * cols_of(p), .dtype = p->dtype, .dtype_y = p->dtype};
    a.x = pass_draw(p, ACTIVATION, a.n_elems, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, a.n_elems, 1.0), "y");
    return p->kernels->add(&p->device->stream, &a);
}

static int run_add_parts(struct pass *p)
{
    struct parts_args a = {.parts = (int)random_int(&p->random, 1, 5), .n_elems = rows_of(p) * cols_of(p), .dtype = p->dtype};
    a.x = pass_draw(p, ACTIVATION, a.parts * a.n_elems, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, a.n_elems, 1.0), "y");
    return p->kernels->add_parts(&p->device->stream, &a);
}

static int run_cast(struct pass *p)
{
    bool narrows = flip(p);
    struct map_args a = {.n_elems = rows_of(p) * cols_of(p), .dtype = narrows ? F32 : p->dtype, .dtype_y = narrows ? p->dtype : F32};
    a.x = pass_draw(p, narrows ? SINGLE : ACTIVATION, a.n_elems, 1.0);
    a.y = pass_out(p, pass_draw(p, narrows ? ACTIVATION : SINGLE, a.n_elems, 1.0), "y");
    return p->kernels->cast(&p->device->stream, &a);
}

static const struct { int heads, kv_heads, dim; } heads[] = {{1, 1, 16}, {4, 2, 16}, {9, 3, 64}, {2, 1, 128}, {8, 2, 32}, {3, 3, 8}, {4, 1, 20}, {6, 2, 64}};

/* A forest: small and bushy, or with nodes longer than a tile; sometimes none at all. */
static struct random_forest draw_forest(struct pass *p, struct attention_args *a)
{
    int64_t which = random_int(&p->random, 0, 7), kind = random_int(&p->random, 0, 5);
    *a = (struct attention_args){.heads = heads[which].heads, .kv_heads = heads[which].kv_heads, .dim = heads[which].dim, .dtype = p->dtype,
                                 .scale = 1.0f / sqrtf((float)heads[which].dim)};
    struct random_forest_shape shape = {.n_trees = 3, .max_depth = 3, .max_children = 3, .max_count = 9, .n_padding = (int)random_int(&p->random, 0, 3)};
    if (kind >= 3)
        shape.n_trees = 1, shape.max_children = 2, shape.max_count = 90;
    if (kind == 0)
        shape.n_trees = 0;
    if (is_large(p))
        shape.n_trees = 2, shape.max_children = 2, shape.max_count = 300;
    struct random_forest forest = random_forest_create(&p->random, &shape);
    a->rows = a->key_rows = forest.n_rows;
    a->runs = forest.runs, a->n_runs = forest.n_runs, a->ranges = forest.ranges, a->key_runs = forest.key_runs, a->n_key_runs = forest.n_key_runs;
    return forest;
}

/* As in decoding: each row is a run of its own, which sees the same as before. */
static void cut_into_rows(struct random_forest *forest, struct attention_args *a)
{
    struct attention_run *run = calloc((size_t)forest->n_rows + 1, sizeof *run);
    struct attention_range *range = calloc(((size_t)forest->n_rows + 1) * 4, sizeof *range);        /* trees are at most 3 deep */
    int n_runs = 0, n_ranges = 0;
    assert_true(run && range);
    for (int r = 0; r < forest->n_runs; r++)
        for (int32_t i = 0; i < forest->runs[r].q_count; i++) {
            const struct attention_run *whole = &forest->runs[r];
            run[n_runs++] = (struct attention_run){whole->q_first + i, 1, n_ranges, whole->range_count};
            memcpy(range + n_ranges, forest->ranges + whole->range_first, (size_t)whole->range_count * sizeof *range);
            n_ranges += whole->range_count;
            range[n_ranges - 1].count -= whole->q_count - i - 1;
        }
    free(forest->runs), free(forest->ranges);
    a->runs = forest->runs = run, a->n_runs = forest->n_runs = n_runs, a->ranges = forest->ranges = range, forest->n_ranges = n_ranges;
}

static int forward_of(struct pass *p, bool prepares)
{
    struct attention_args a;
    struct random_forest forest = draw_forest(p, &a);
    if (flip(p))
        cut_into_rows(&forest, &a);
    int32_t moved = (int32_t)random_int(&p->random, 0, 5);      /* a key store whose places are not token rows, as in generation */
    for (int i = 0; i < forest.n_ranges; i++)
        forest.ranges[i].first += moved;
    a.key_rows += moved;
    a.q_THD = pass_draw(p, ACTIVATION, a.rows * a.heads * a.dim, 3.0);
    a.k_SGD = pass_draw(p, ACTIVATION, a.key_rows * a.kv_heads * a.dim, 3.0);
    a.v_SGD = pass_draw(p, ACTIVATION, a.key_rows * a.kv_heads * a.dim, 1.0);
    a.o_THD = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.heads * a.dim, 1.0), "o");
    float *lse = calloc((size_t)(a.rows * a.heads + 1), sizeof *lse);   /* of padding rows lse is not defined: what is there stays or becomes 0 */
    a.lse_HT = pass_out(p, pass_given(p, SINGLE, lse, a.rows * a.heads), "lse");
    int status = OK;
    bool fixed;
    if (prepares) {
        a.key_runs = NULL, a.n_key_runs = 0;
        a.plan = device_plan_number(p->device);
        status = p->kernels->attention_prepare(&p->device->stream, &a, &fixed);
    }
    if (status == OK)
        status = p->kernels->attention_forward(&p->device->stream, &a);
    free(lse);
    random_forest_destroy(&forest);
    return status;
}

static int run_attention_forward(struct pass *p) { return forward_of(p, false); }
static int run_attention_prepare(struct pass *p) { return forward_of(p, true); }

static float *host_draw(struct pass *p, int64_t n_elems, double scale)
{
    float *x = malloc((size_t)(n_elems + 1) * sizeof *x);
    assert_non_null(x);
    random_fill(&p->random, x, n_elems, scale, p->exact_in);
    return x;
}

static int run_attention_backward(struct pass *p)
{
    struct attention_args a;
    struct random_forest forest = draw_forest(p, &a);
    int64_t n_q = a.rows * a.heads * a.dim, n_k = a.rows * a.kv_heads * a.dim;
    float *q = host_draw(p, n_q, 3.0), *k = host_draw(p, n_k, 3.0), *v = host_draw(p, n_k, 1.0), *o = host_draw(p, n_q, 1.0), *lse = host_draw(p, a.rows * a.heads, 0.0);
    struct attention_args forward = a;      /* o and lse as a forward leaves them, the same in every pass */
    forward.dtype = F32, forward.q_THD = q, forward.k_SGD = k, forward.v_SGD = v, forward.o_THD = o, forward.lse_HT = lse;
    assert_int_equal(kernels_ref.attention_forward(NULL, &forward), OK);
    a.q_THD = pass_given(p, ACTIVATION, q, n_q), a.k_SGD = pass_given(p, ACTIVATION, k, n_k), a.v_SGD = pass_given(p, ACTIVATION, v, n_k);
    a.o_THD = pass_given(p, ACTIVATION, o, n_q), a.lse_HT = pass_given(p, SINGLE, lse, a.rows * a.heads);
    a.do_THD = pass_draw(p, ACTIVATION, n_q, 1.0);
    a.delta_HT = pass_draw(p, SINGLE, a.rows * a.heads, 1.0);
    a.dq_THD = pass_out(p, pass_draw(p, ACTIVATION, n_q, 1.0), "dq");
    a.dk_SGD = pass_out(p, pass_draw(p, ACTIVATION, n_k, 1.0), "dk");
    a.dv_SGD = pass_out(p, pass_draw(p, ACTIVATION, n_k, 1.0), "dv");
    int status = p->kernels->attention_backward(&p->device->stream, &a);
    free(q), free(k), free(v), free(o), free(lse);
    random_forest_destroy(&forest);
    return status;
}

/* ---- cross-entropy: logits, predictions, and max, sum and target_logit as the slots before leave them ---- */

enum { PER_ROW = 3 };
struct entropy { struct cross_entropy_args a; int64_t n_predictions; int32_t first[MAX_ROWS + 1]; };

static void draw_predictions(struct pass *p, struct entropy *e)
{
    int32_t target[MAX_ROWS * PER_ROW + 4];
    float weight[MAX_ROWS * PER_ROW + 4];
    e->first[0] = (int32_t)random_int(&p->random, 0, 4);
    for (int64_t r = 0; r < e->a.rows; r++)
        e->first[r + 1] = e->first[r] + (int32_t)random_int(&p->random, 0, PER_ROW);
    int64_t end = e->first[e->a.rows];
    for (int64_t i = 0; i < end; i++) {
        target[i] = (int32_t)random_int(&p->random, 0, 2 * e->a.cols);
        weight[i] = (float)random_uniform(&p->random, 0.1, 1.0);
    }
    e->n_predictions = end - e->first[0];
    e->a.prediction_first = pass_whole(p, e->first, e->a.rows + 1);
    e->a.target = (const uint32_t *)pass_whole(p, target, end);
    e->a.weight = pass_given(p, SINGLE, weight, end);
}

static void draw_statistics(struct pass *p, struct entropy *e, const float *logits)
{
    float max[MAX_ROWS], sum[MAX_ROWS];
    for (int64_t r = 0; r < e->a.rows; r++) {
        double total = 0.0;
        max[r] = -INFINITY;
        for (int64_t v = 0; v < e->a.cols; v++)
            max[r] = fmaxf(max[r], logits[r * e->a.cols + v]);
        max[r] += 0.5f;         /* the largest logit is on another rank */
        for (int64_t v = 0; v < e->a.cols; v++)
            total += exp((double)(logits[r * e->a.cols + v] - max[r]));
        sum[r] = (float)total + 1.0f;
    }
    e->a.max = pass_given(p, SINGLE, max, e->a.rows);
    e->a.sum = pass_given(p, SINGLE, sum, e->a.rows);
}

static void draw_entropy(struct pass *p, struct entropy *e)
{
    *e = (struct entropy){.a = {.rows = logit_rows_of(p), .cols = vocabulary_of(p), .vocab_first = random_int(&p->random, 0, 9), .dtype = p->dtype, .scale = 0.3f}};
    int64_t n = e->a.rows * e->a.cols;
    float *logits = malloc((size_t)(n + 1) * sizeof *logits);
    assert_non_null(logits);
    random_fill(&p->random, logits, n, 8.0, F32);
    e->a.logits = pass_given(p, SINGLE, logits, n);
    draw_predictions(p, e);
    draw_statistics(p, e, logits);
    free(logits);
    e->a.target_logit = pass_draw(p, SINGLE, e->n_predictions, 1.0);
    e->a.loss = pass_draw(p, TOTAL, 1, 1.0);
}

static int run_cross_entropy_max(struct pass *p)
{
    struct entropy e;
    draw_entropy(p, &e);
    pass_out(p, e.a.max, "max");
    return p->kernels->cross_entropy_max(&p->device->stream, &e.a);
}

static int run_cross_entropy_sum(struct pass *p)
{
    struct entropy e;
    draw_entropy(p, &e);
    pass_out(p, e.a.sum, "sum"), pass_out(p, e.a.target_logit, "target_logit");
    return p->kernels->cross_entropy_sum(&p->device->stream, &e.a);
}

static int run_cross_entropy_loss(struct pass *p)
{
    struct entropy e;
    draw_entropy(p, &e);
    pass_out(p, e.a.loss, "loss");
    return p->kernels->cross_entropy_loss(&p->device->stream, &e.a);
}

static int run_cross_entropy_backward(struct pass *p)
{
    struct entropy e;
    draw_entropy(p, &e);
    bool in_place = flip(p);
    void *apart = pass_draw(p, ACTIVATION, e.a.rows * e.a.cols, 1.0);
    e.a.dlogits = in_place && p->exact_in == F32 ? pass_out(p, p->operand[0].memory, "dlogits") : pass_out(p, apart, "dlogits");
    return p->kernels->cross_entropy_backward(&p->device->stream, &e.a);
}

static int run_reward_forward(struct pass *p)
{
    struct reward_args a = {.rows = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    a.h = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.w = pass_draw(p, SINGLE, a.cols, 1.0);
    a.r = pass_out(p, pass_draw(p, SINGLE, a.rows, 1.0), "r");
    return p->kernels->reward_forward(&p->device->stream, &a);
}

static int run_reward_backward(struct pass *p)
{
    struct reward_args a = {.rows = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    a.h = pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0);
    a.w = pass_draw(p, SINGLE, a.cols, 1.0);
    a.dr = pass_draw(p, SINGLE, a.rows, 1.0);
    a.dh = pass_out(p, pass_draw(p, ACTIVATION, a.rows * a.cols, 1.0), "dh");
    a.dw = pass_out(p, pass_draw(p, SINGLE, a.cols, 1.0), "dw");
    return p->kernels->reward_backward(&p->device->stream, &a);
}

static int run_bradley_terry(struct pass *p)
{
    enum { REWARDS = 20 };
    struct bradley_terry_args a = {.n_comparisons = rows_of(p), .scale = 0.7f};
    int32_t chosen[MAX_ROWS], rejected[MAX_ROWS];
    float weight[MAX_ROWS];
    for (int i = 0; i < most_rows(p); i++) {
        chosen[i] = (int32_t)random_int(&p->random, 0, REWARDS / 2 - 1);
        rejected[i] = (int32_t)random_int(&p->random, REWARDS / 2, REWARDS - 1);
        weight[i] = (float)random_uniform(&p->random, 0.1, 1.0);
    }
    a.chosen = pass_whole(p, chosen, a.n_comparisons), a.rejected = pass_whole(p, rejected, a.n_comparisons);
    a.weight = pass_given(p, SINGLE, weight, a.n_comparisons);
    a.r = pass_draw(p, SINGLE, REWARDS, 3.0);
    a.dr = pass_out(p, pass_draw(p, SINGLE, REWARDS, 1.0), "dr");
    a.loss = pass_out(p, pass_draw(p, TOTAL, 1, 1.0), "loss");
    a.correct = pass_out(p, pass_draw(p, TOTAL, 1, 1.0), "correct");
    a.margin = pass_out(p, pass_draw(p, TOTAL, 1, 1.0), "margin");
    return p->kernels->bradley_terry(&p->device->stream, &a);
}

static int run_adamw(struct pass *p)
{
    struct adamw_args a = {.n_elems = rows_of(p) * cols_of(p), .dtype = p->dtype, .lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f,
                           .weight_decay = 0.1f, .grad_scale = 0.5f, .step = random_int(&p->random, 1, 40)};
    float *v = host_draw(p, a.n_elems, 1.0);
    for (int64_t i = 0; i < a.n_elems; i++)
        v[i] = fabsf(v[i]);
    bool one = flip(p) && p->exact_in == F32;
    a.master = pass_out(p, pass_draw(p, SINGLE, a.n_elems, 1.0), "master");
    a.m = pass_out(p, pass_draw(p, SINGLE, a.n_elems, 1.0), "m");
    a.v = pass_out(p, pass_given(p, SINGLE, v, a.n_elems), "v");
    a.grad = pass_draw(p, SINGLE, a.n_elems, 1.0);
    void *apart = pass_draw(p, ACTIVATION, a.n_elems, 1.0);
    a.param = one ? a.master : pass_out(p, apart, "param");
    free(v);
    return p->kernels->adamw(&p->device->stream, &a);
}

static int run_norm_squared(struct pass *p)
{
    struct norm_args a = {.n_elems = rows_of(p) * cols_of(p)};
    a.x = pass_draw(p, SINGLE, a.n_elems, 1.0);
    a.sum = pass_out(p, pass_draw(p, TOTAL, 1, 1.0), "sum");
    return p->kernels->norm_squared(&p->device->stream, &a);
}

static int run_scatter_rows(struct pass *p)
{
    enum { MORE = 71, MAX_PLACES = MAX_ROWS + MORE };
    struct rows_args a = {.n_index = rows_of(p), .cols = cols_of(p), .dtype = p->dtype};
    int32_t place[MAX_PLACES], index[MAX_ROWS], n_places = most_rows(p) + MORE;
    for (int32_t i = 0; i < n_places; i++)
        place[i] = i;
    for (int i = 0; i < most_rows(p); i++) {         /* no place twice, some rows skipped */
        int64_t other = random_int(&p->random, i, n_places - 1);
        index[i] = random_int(&p->random, 0, 5) == 0 ? -1 : place[other];
        place[other] = place[i];
    }
    a.index = pass_whole(p, index, a.n_index);
    a.x = pass_draw(p, ACTIVATION, a.n_index * a.cols, 1.0);
    a.y = pass_out(p, pass_draw(p, ACTIVATION, n_places * a.cols, 1.0), "y");
    return p->kernels->scatter_rows(&p->device->stream, &a);
}

/* Any rule: a third of the rows greedy, filters on or off by themselves, a banned column, a list of allowed ones. */
static struct sample_rule draw_rule(struct pass *p, int64_t cols, int32_t first_allowed)
{
    struct sample_rule rule = {.top_p = 1.0f, .uniform = (float)random_uniform(&p->random, 0.0, 0.999), .banned = flip(p) ? random_int(&p->random, 0, cols - 1) : -1};
    rule.temperature = random_int(&p->random, 0, 2) == 0 ? 0.0f : (float)random_uniform(&p->random, 0.3, 2.0);
    if (flip(p))
        rule.top_k = (int32_t)random_int(&p->random, 1, cols + 3);
    if (flip(p))
        rule.top_p = (float)random_uniform(&p->random, 0.05, 1.0);
    if (flip(p))
        rule.min_p = (float)random_uniform(&p->random, 0.0, 0.5);
    if (random_int(&p->random, 0, 3) == 0)
        rule.first_allowed = first_allowed, rule.n_allowed = 3;
    return rule;
}

static int run_sample(struct pass *p)
{
    enum { ALLOWED = 12 };
    int64_t parts = random_int(&p->random, 1, 3), first[4] = {0}, cols;
    struct sample_args a = {.rows = logit_rows_of(p), .parts = (int)parts, .part_first = first};
    struct sample_rule rule[MAX_ROWS];
    uint32_t allowed[ALLOWED];
    for (int64_t i = 0; i < parts; i++) {
        int64_t n = is_large(p) ? random_int(&p->random, 10000, 43000) : random_int(&p->random, 2, 300);
        first[i + 1] = first[i] + n;
        a.part_stride = n > a.part_stride ? n : a.part_stride;
    }
    cols = first[parts];
    for (int i = 0; i < ALLOWED; i++)           /* three that differ, so that a banned one is never the only one */
        allowed[i] = (uint32_t)((i / 3 + i % 3) % cols);
    for (int64_t r = 0; r < a.rows; r++)
        rule[r] = draw_rule(p, cols, (int32_t)random_int(&p->random, 0, ALLOWED / 3 - 1) * 3);
    a.rule = rule, a.allowed = allowed;
    a.logits = pass_draw(p, SINGLE, parts * a.rows * a.part_stride, 8.0);
    a.token = pass_out(p, pass_whole(p, (const int32_t[MAX_ROWS]){0}, a.rows), "token");
    return p->kernels->sample(&p->device->stream, &a);
}

/* ---- the table: one row per slot ---- */

#define SLOT(name) {#name, offsetof(struct kernels, name), run_##name}
const struct kernel_slot kernel_slots[N_KERNEL_SLOTS] = {
    SLOT(gemm), SLOT(bias_forward), SLOT(bias_backward), SLOT(rmsnorm_forward), SLOT(rmsnorm_backward), SLOT(rope), SLOT(swiglu_forward),
    SLOT(swiglu_backward), SLOT(embedding_forward), SLOT(embedding_backward), SLOT(gather_rows), SLOT(scatter_add_rows), SLOT(add), SLOT(cast),
    SLOT(attention_prepare), SLOT(attention_forward), SLOT(attention_backward), SLOT(cross_entropy_max), SLOT(cross_entropy_sum), SLOT(cross_entropy_loss),
    SLOT(cross_entropy_backward), SLOT(reward_forward), SLOT(reward_backward), SLOT(bradley_terry), SLOT(adamw), SLOT(norm_squared),
    SLOT(scatter_rows), SLOT(add_parts), SLOT(sample),
};
