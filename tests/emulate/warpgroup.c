/* warpgroup: products of warpgroups (gpu_sm90.h), made when they are waited for.
 *
 * The 128 threads of a warpgroup issue the same products in the same order. When the first of them issues one, its operands in shared memory are read; when it is made they are read again
 * and must be the same. A thread's accumulators are taken away when it issues the first product on them, and are NaN until the last one is waited for. */
#include <string.h>

#include "emulate_sm90.h"
#include "tests/emulate/block.h"

enum { GROUP = 128, MAX_GROUPS = 8, MAX_PRODUCTS = 64, MAX_SUMS = 8, MAX_N = 128, K = 16, ROWS = 64, MAX_SHARED = 227 * 1024 };

/* Operands as they stand in shared memory, in chunks of 8. */
struct operands { uint16_t a[ROWS][K], b[MAX_N * K]; };
struct product { struct emulate_product what; struct operands seen; int n_threads, sums, group; };
/* Accumulators of all threads, while products on them are under way. */
struct sums { float *at[GROUP], x[ROWS][MAX_N]; int n, n_products; };

static struct group {
    struct product product[MAX_PRODUCTS];
    struct sums sums[MAX_SUMS];
    int first, n_waiting, waits_for, waiting[GROUP];        /* first: products before it are made */
} groups[MAX_GROUPS];

/* Of a thread: products and groups that it has issued. */
static struct thread { int n_issued, n_groups; bool begun; uint16_t fences; } threads[GROUP * MAX_GROUPS];

/* Who wrote 16 bytes of shared memory, and how many fences it had made: 1 + thread, fences. */
static struct writer { uint16_t thread, fences; } writer[MAX_SHARED / 16];
static bool written;

static struct group *my_group(void) { return &groups[emulate_here.thread / GROUP]; }
static struct thread *my(void) { return &threads[emulate_here.thread]; }

/* ---- what was written without a fence --------------------------------------------------------------------------------------------------------- */

void emulate_written16(const void *to)
{
    struct emulate_place dynamic = emulate_dynamic_place();
    uintptr_t place = (uintptr_t)to - (uintptr_t)dynamic.memory;
    if (place >= dynamic.n_bytes)
        return;
    writer[place / 16] = (struct writer){(uint16_t)(emulate_here.thread + 1), my()->fences};
    written = true;
}

void emulate_async_fence(void) { my()->fences++; }

void warpgroup_overwritten(size_t place, size_t n_bytes)
{
    if (written)
        memset(&writer[place / 16], 0, n_bytes / 16 * sizeof *writer);
}

static void check_fenced(size_t place)
{
    struct writer w = writer[place / 16];
    if (w.thread > 0 && threads[w.thread - 1].fences == w.fences)
        emulate_stop("a product reads what thread %d wrote to shared memory without gpu_async_fence behind it", w.thread - 1);
}

/* ---- operands -------------------------------------------------------------------------------------------------------------------------------- */

struct emulate_matrix emulate_matrix_of(const void *tile, int block_bytes)
{
    block_shared_place(tile, 1024, 1024, "an operand of a product");
    return (struct emulate_matrix){(unsigned char *)(uintptr_t)tile, 0, block_bytes};
}

static void read_chunk(uint16_t *to, const struct emulate_matrix *m, int row, int column_bytes)
{
    uintptr_t at = (uintptr_t)m->tile + (uintptr_t)(m->at + row * 128 + column_bytes / 128 * m->block_bytes + column_bytes % 128);
    const unsigned char *chunk = (const unsigned char *)(at ^ (at >> 7 & 7) << 4);
    size_t place = block_shared_place(chunk, 16, 16, "an operand of a product");
    if (written)
        check_fenced(place);
    memcpy(to, chunk, 16);
}

static void read_operands(struct operands *to, const struct emulate_product *p)
{
    for (int i = 0; !p->registers && i < ROWS * 2; i++)
        read_chunk(to->a[i / 2] + i % 2 * 8, &p->a, i / 2, i % 2 * 16);
    for (int i = 0; i < p->n * 2; i++)
        if (p->columns)
            read_chunk(to->b + i * 8, &p->b, i / (p->n / 8), i % (p->n / 8) * 16);
        else
            read_chunk(to->b + i * 8, &p->b, i / 2, i % 2 * 16);
}

/* A thread's part of an operand in registers. */
static void take_registers(struct operands *to, const uint32_t *a)
{
    int lane = emulate_here.thread % EMULATE_LANES, row = emulate_here.thread % GROUP / EMULATE_LANES * 16 + lane / 4;
    for (int i = 0; i < 4; i++)
        memcpy(&to->a[row + i % 2 * 8][i / 2 * 8 + lane % 4 * 2], &a[i], 4);
}

/* ---- issuing --------------------------------------------------------------------------------------------------------------------------------- */

void emulate_multiply_begin(void) { my()->begun = true; }

void emulate_multiply_end(void)
{
    my()->n_groups++;
    my()->begun = false;
}


/* Where accumulator i of a thread of the warpgroup is. */
static float *sum_at(struct sums *s, int thread, int i)
{
    int lane = thread % EMULATE_LANES;
    return &s->x[thread / EMULATE_LANES * 16 + lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2];
}

/* The sums that this thread's accumulators at `c` are among, or free ones. */
static int find_sums(const struct group *g, const float *c)
{
    int free = -1;
    for (int i = MAX_SUMS - 1; i >= 0; i--)
        if (g->sums[i].n_products > 0 && g->sums[i].at[emulate_here.thread % GROUP] == c)
            return i;
        else if (g->sums[i].n_products == 0)
            free = i;
    if (free < 0)
        emulate_stop("products on more than %d sets of accumulators are under way", MAX_SUMS);
    return free;
}

static void take_sums(struct sums *s, int n, float *c)
{
    int thread = emulate_here.thread % GROUP;
    if (s->at[thread] == c)
        return;
    if (s->at[thread] || s->n != n)
        emulate_stop("the threads of a warpgroup multiply into different accumulators");
    s->at[thread] = c;
    for (int i = 0; i < n / 2; i++)
        *sum_at(s, thread, i) = c[i];
    memset(c, 0xff, (size_t)n / 2 * sizeof *c);
}

/* The first thread that comes to it. */
static void start_product(struct group *g, struct product *p, const struct emulate_product *what, const float *c)
{
    *p = (struct product){.what = *what, .sums = find_sums(g, c), .group = my()->n_groups};
    struct sums *s = &g->sums[p->sums];
    read_operands(&p->seen, what);
    if (s->n_products++ == 0) {
        memset(s->at, 0, sizeof s->at);
        s->n = what->n;
    }
}

static bool same_matrix(const struct emulate_matrix *x, const struct emulate_matrix *y) { return x->tile == y->tile && x->at == y->at && x->block_bytes == y->block_bytes; }

static bool same_product(const struct emulate_product *x, const struct emulate_product *y)
{
    return x->n == y->n && x->columns == y->columns && x->add == y->add && !x->registers == !y->registers && same_matrix(&x->a, &y->a) && same_matrix(&x->b, &y->b);
}

void emulate_multiply(const struct emulate_product *what, float *c)
{
    struct group *g = my_group();
    struct product *p = &g->product[my()->n_issued % MAX_PRODUCTS];
    if (!my()->begun)
        emulate_stop("a group of products has no gpu_multiply_begin before it");
    if (my()->n_issued - g->first >= MAX_PRODUCTS)
        emulate_stop("more than %d products of a warpgroup are under way", MAX_PRODUCTS);
    if (p->n_threads == 0)
        start_product(g, p, what, c);
    if (!same_product(&p->what, what) || p->group != my()->n_groups)
        emulate_stop("the threads of a warpgroup issue different products");
    if (what->registers)
        take_registers(&p->seen, what->registers);
    take_sums(&g->sums[p->sums], what->n, c);
    p->n_threads++;
    my()->n_issued++;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------------------------------- */

static float to_float(uint16_t x)
{
    union { uint32_t bits; float x; } y = {(uint32_t)x << 16};
    return y.x;
}

/* c [64][n] = or += a b. Nearly all of the time is spent here, so it is compiled as in a release, unwatched. */
__attribute__((no_sanitize("address", "undefined")))
static void multiply(float (*c)[MAX_N], const uint16_t (*a)[K], const uint16_t *b, const struct emulate_product *p)
{
    float x[K][MAX_N];
    for (int k = 0; k < K; k++)
        for (int j = 0; j < p->n; j++)
            x[k][j] = to_float(p->columns ? b[k * p->n + j] : b[j * K + k]);
    for (int r = 0; r < ROWS; r++) {
        for (int j = 0; !p->add && j < p->n; j++)
            c[r][j] = 0.0f;
        for (int k = 0; k < K; k++) {
            float y = to_float(a[r][k]);
            for (int j = 0; j < p->n; j++)
                c[r][j] += y * x[k][j];
        }
    }
}

static void give_sums(struct sums *s)
{
    static const uint32_t nan = 0xffffffffu;
    for (int t = 0; t < GROUP; t++)
        for (int i = 0; i < s->n / 2; i++) {
            if (memcmp(&s->at[t][i], &nan, sizeof nan) != 0)
                emulate_stop("accumulators are written while products on them are under way");
            s->at[t][i] = *sum_at(s, t, i);
        }
}

static void make_product(struct group *g)
{
    struct product *p = &g->product[g->first % MAX_PRODUCTS];
    struct operands now;
    if (p->n_threads != GROUP)
        emulate_stop("a product is waited for that %d of a warpgroup's threads have issued", p->n_threads);
    memcpy(now.a, p->seen.a, sizeof now.a);
    read_operands(&now, &p->what);
    if (memcmp(now.a, p->seen.a, sizeof now.a) != 0 || memcmp(now.b, p->seen.b, (size_t)p->what.n * K * 2) != 0)
        emulate_stop("an operand in shared memory changed while its product was under way");
    struct sums *s = &g->sums[p->sums];
    multiply(s->x, p->seen.a, p->seen.b, &p->what);
    if (--s->n_products == 0)
        give_sums(s);
    p->n_threads = 0;
    g->first++;
}

/* The whole warpgroup meets. */
void emulate_multiply_wait(int n_left)
{
    struct group *g = my_group();
    int before = my()->n_groups - n_left;
    if (g->n_waiting > 0 && g->waits_for != before)
        emulate_stop("the threads of a warpgroup wait for different products");
    g->waits_for = before;
    if (g->n_waiting < GROUP - 1) {
        g->waiting[g->n_waiting++] = emulate_here.thread;
        block_sleep();
        return;
    }
    while (g->first < my()->n_issued && g->product[g->first % MAX_PRODUCTS].group < before)
        make_product(g);
    for (int i = 0; i < g->n_waiting; i++)
        block_wake(g->waiting[i]);
    g->n_waiting = 0;
}

/* ---- blocks ---------------------------------------------------------------------------------------------------------------------------------- */

void warpgroup_block_begins(void)
{
    for (int i = 0; i < (emulate_here.n_threads + GROUP - 1) / GROUP; i++) {
        groups[i].first = groups[i].n_waiting = 0;
        for (int p = 0; p < MAX_PRODUCTS; p++)
            groups[i].product[p].n_threads = 0;
        for (int s = 0; s < MAX_SUMS; s++)
            groups[i].sums[s].n_products = 0;
    }
    memset(threads, 0, sizeof threads);
    if (written)
        memset(writer, 0, sizeof writer);
    written = false;
}

void warpgroup_thread_ends(void)
{
    if (my()->n_issued > my_group()->first)
        emulate_stop("the thread ends while %d products of its warpgroup are under way", my()->n_issued - my_group()->first);
}
