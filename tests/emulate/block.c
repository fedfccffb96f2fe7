/* block: the threads of a block as fibers on the stack of one host thread.
 *
 * A thread runs until it must meet others (the block at a barrier, its warp at an exchange) or ends; then one of those that may run is drawn. So two accesses
 * to the same place that no meeting orders come in either order, and a missing barrier gives other numbers under other seeds. In some blocks threads are drawn
 * alike; in others a warp, once drawn, goes on for as long as it can, far ahead of those that stand where it was: as warps of a GPU may; in others one warp comes before
 * all others whenever it can. And in some of all these one thread comes behind all others, also behind those of its warp. Fibers live for ever
 * and serve one block after the other: their frames are left only by returning, as the sanitizers want it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/emulate/block.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#define __sanitizer_finish_switch_fiber(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#endif

enum { MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / EMULATE_LANES, MAX_SHARED = 64, MAX_COPIES = 256, STACK_BYTES = 256 * 1024 };

enum state { READY, AT_BARRIER, AT_EXCHANGE, ASLEEP, ENDED };
struct fiber { void *stack_pointer, *stack, *fake; enum state state; unsigned n_exchanges; int n_copies, group; };

/* A copy to shared memory that a thread has begun; `group` counts the thread's commits before it. */
struct copy { void *to; const void *from; size_t n_bytes; int group; };

/* Two tables in turn: a lane may bring its next value while another still reads the last. */
struct warp { int ready[EMULATE_LANES], n_ready, n_arrived, kind; size_t n_bytes; struct emulate_lane lane[2][EMULATE_LANES]; };

struct shared { const void *site; size_t n_bytes; void *memory; };

static struct {
    const struct emulate_launch *launch;
    struct fiber fiber[MAX_THREADS];
    struct copy copy[MAX_THREADS][MAX_COPIES];
    struct warp warp[MAX_WARPS];
    int n_ready, n_at_barrier, n_ended;
    int ahead;                              /* the warp that goes on while it can, or -1 where all threads are alike */
    bool stays_ahead;                       /* it is the same one all the time */
    int late;                               /* the thread that comes last, or -1 */
    bool late_is_ready;
    struct shared shared[MAX_SHARED];
    int n_shared;
    void *dynamic;
    void *stack_pointer, *fake;             /* of the scheduler */
    const void *stack;
    size_t stack_bytes;
} block;

struct emulate_here emulate_here;

void emulate_stop(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fprintf(stderr, "emulate: ");
    if (block.launch)
        fprintf(stderr, "kernel %s, block (%u, %u, %u), thread %d: ", block.launch->kernel->name, emulate_here.block[0], emulate_here.block[1], emulate_here.block[2], emulate_here.thread);
    vfprintf(stderr, fmt, list);
    fprintf(stderr, "\n");
    va_end(list);
    abort();
}

/* ---- chance ---------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t random_state;

void emulate_seed(uint64_t seed) { random_state = seed * 0x9e3779b97f4a7c15u + 1; }

uint64_t emulate_random(uint64_t below)
{
    if (random_state == 0) {
        const char *seed = getenv("CRITIC_RM_EMULATE_SEED");
        emulate_seed(seed && *seed ? strtoull(seed, NULL, 10) : 1);
    }
    uint64_t x = random_state += 0x9e3779b97f4a7c15u;           /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

/* ---- changing stacks ------------------------------------------------------------------------------------------------------------------------- */

/* Saves the registers that a call must keep, leaves the stack pointer in *from, goes on where `to` was left. */
void emulate_switch(void **from, void *to);
__asm__(".text\n.globl emulate_switch\n.type emulate_switch, @function\nemulate_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size emulate_switch, . - emulate_switch\n");

static struct fiber *self(void) { return &block.fiber[emulate_here.thread]; }

static void to_scheduler(void)
{
    struct fiber *fiber = self();
    __sanitizer_start_switch_fiber(&fiber->fake, block.stack, block.stack_bytes);
    emulate_switch(&fiber->stack_pointer, block.stack_pointer);
    __sanitizer_finish_switch_fiber(fiber->fake, &block.stack, &block.stack_bytes);
}

static void to_fiber(struct fiber *fiber)
{
    __sanitizer_start_switch_fiber(&block.fake, fiber->stack, STACK_BYTES);
    emulate_switch(&block.stack_pointer, fiber->stack_pointer);
    __sanitizer_finish_switch_fiber(block.fake, NULL, NULL);
}

static void fiber_main(void)
{
    __sanitizer_finish_switch_fiber(NULL, &block.stack, &block.stack_bytes);
    for (;;) {
        block.launch->kernel->run(block.launch->args);
        if (self()->n_copies > 0)
            emulate_stop("the thread ends while %d of its copies to shared memory are under way", self()->n_copies);
        warpgroup_thread_ends();
        self()->state = ENDED;
        block.n_ended++;
        to_scheduler();
    }
}

/* The first switch pops six registers and returns to fiber_main, on a stack as a call leaves it. A page below it is not mapped. */
static void fiber_create(struct fiber *fiber)
{
    char *memory = mmap(NULL, STACK_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, 4096, PROT_NONE) != 0)
        emulate_stop("no memory for a thread's stack");
    fiber->stack = memory + 4096;
    void **top = (void **)(memory + 4096 + STACK_BYTES) - 2;
    top[0] = (void *)fiber_main;
    fiber->stack_pointer = top - 6;
}

/* ---- meeting --------------------------------------------------------------------------------------------------------------------------------- */

static void make_ready(int thread)
{
    block.fiber[thread].state = READY;
    block.n_ready++;
    if (thread == block.late) {
        block.late_is_ready = true;
        return;
    }
    struct warp *warp = &block.warp[thread / EMULATE_LANES];
    warp->ready[warp->n_ready++] = thread;
}

/* A thread that may run, taken out of its warp's. */
static int draw_from(struct warp *warp, int drawn)
{
    int thread = warp->ready[drawn];
    warp->ready[drawn] = warp->ready[--warp->n_ready];
    block.n_ready--;
    return thread;
}

static int draw_thread(void)
{
    int n_ready = block.n_ready - block.late_is_ready, w = 0;
    if (n_ready == 0) {
        block.late_is_ready = false;
        block.n_ready--;
        return block.late;
    }
    if (block.ahead >= 0 && block.warp[block.ahead].n_ready > 0)
        return draw_from(&block.warp[block.ahead], (int)emulate_random((uint64_t)block.warp[block.ahead].n_ready));
    int drawn = (int)emulate_random((uint64_t)n_ready);
    for (; drawn >= block.warp[w].n_ready; w++)
        drawn -= block.warp[w].n_ready;
    block.ahead = block.ahead < 0 || block.stays_ahead ? block.ahead : w;
    return draw_from(&block.warp[w], drawn);
}

void block_sleep(void)
{
    self()->state = ASLEEP;
    to_scheduler();
}

void block_wake(int thread) { make_ready(thread); }

void emulate_barrier(void)
{
    self()->state = AT_BARRIER;
    if (++block.n_at_barrier == emulate_here.n_threads) {
        block.n_at_barrier = 0;
        for (int t = 0; t < emulate_here.n_threads; t++)
            make_ready(t);
    }
    to_scheduler();
}

const struct emulate_lane *emulate_exchange(int kind, const void *mine, size_t n_bytes)
{
    int first = emulate_here.thread / EMULATE_LANES * EMULATE_LANES;
    struct warp *warp = &block.warp[emulate_here.thread / EMULATE_LANES];
    struct emulate_lane *lane = warp->lane[self()->n_exchanges++ % 2];
    if (n_bytes > EMULATE_LANE_BYTES)
        emulate_stop("an exchange of %zu bytes a lane: more than %d", n_bytes, EMULATE_LANE_BYTES);
    if (warp->n_arrived > 0 && (warp->kind != kind || warp->n_bytes != n_bytes))
        emulate_stop("the lanes of warp %d take part in different exchanges (kinds %d and %d)", emulate_here.thread / EMULATE_LANES, warp->kind, kind);
    if (n_bytes > 0)
        memcpy(lane[emulate_here.thread - first].bytes, mine, n_bytes);
    warp->kind = kind;
    warp->n_bytes = n_bytes;
    self()->state = AT_EXCHANGE;
    if (++warp->n_arrived == EMULATE_LANES) {
        warp->n_arrived = 0;
        for (int i = 0; i < EMULATE_LANES; i++)
            make_ready(first + i);
    }
    to_scheduler();
    return lane;
}

void emulate_on_16(const void *p)
{
    if ((uintptr_t)p % 16 != 0)
        emulate_stop("a 16-byte access at %p, which is not on 16 bytes", p);
}

/* ---- copies behind the thread's back ---------------------------------------------------------------------------------------------------------- */

static void make_copy(const struct copy *copy)
{
    if (copy->from)
        memcpy(copy->to, copy->from, copy->n_bytes);
    else
        memset(copy->to, 0, copy->n_bytes);
}

/* Made at once, or not before it is waited for: both are allowed, and chance decides. */
void emulate_copy_async(void *to, const void *from, size_t n_bytes)
{
    struct copy copy = {to, from, n_bytes, self()->group};
    if (emulate_random(2) == 0) {
        make_copy(&copy);
        return;
    }
    if (self()->n_copies == MAX_COPIES)
        emulate_stop("more than %d copies to shared memory are under way", MAX_COPIES);
    block.copy[emulate_here.thread][self()->n_copies++] = copy;
}

void emulate_copy_commit(void) { self()->group++; }

void emulate_copy_wait(int n_left)
{
    struct copy *copy = block.copy[emulate_here.thread];
    int n = self()->n_copies, n_kept = 0;
    for (int i = 0; i < n; i++)
        if (copy[i].group >= self()->group - n_left)        /* one of the newest groups, or in none yet */
            copy[n_kept++] = copy[i];
        else
            make_copy(&copy[i]);
    self()->n_copies = n_kept;
}

/* ---- shared memory --------------------------------------------------------------------------------------------------------------------------- */

/* A piece of its own, exactly as long as asked for, so that a sanitizer sees the access behind it. */
static void *piece(size_t n_bytes, size_t alignment)
{
    void *memory = NULL;
    if (posix_memalign(&memory, alignment < 16 ? 16 : alignment, n_bytes ? n_bytes : 1) != 0)
        emulate_stop("no memory for %zu bytes of shared memory", n_bytes);
    memset(memory, 0xff, n_bytes);
    return memory;
}

void *emulate_shared(const void *site, size_t n_bytes, size_t alignment)
{
    for (int i = 0; i < block.n_shared; i++)
        if (block.shared[i].site == site)
            return block.shared[i].memory;
    if (block.n_shared == MAX_SHARED)
        emulate_stop("more than %d pieces of shared memory", MAX_SHARED);
    block.shared[block.n_shared] = (struct shared){site, n_bytes, piece(n_bytes, alignment)};
    return block.shared[block.n_shared++].memory;
}

void *emulate_dynamic_shared(void)
{
    if (!block.dynamic)
        emulate_stop("the launch gave no dynamic shared memory");
    return block.dynamic;
}

struct emulate_place emulate_dynamic_place(void) { return (struct emulate_place){block.dynamic, block.dynamic ? block.launch->shared_bytes : 0}; }

size_t block_shared_place(const void *at, size_t n_bytes, size_t alignment, const char *what)
{
    struct emulate_place dynamic = emulate_dynamic_place();
    size_t place = (uintptr_t)at - (uintptr_t)dynamic.memory;
    if (place > dynamic.n_bytes || n_bytes > dynamic.n_bytes - place)
        emulate_stop("%s of %zu bytes is not in the launch's dynamic shared memory", what, n_bytes);
    if ((uintptr_t)at % alignment != 0)
        emulate_stop("%s lies %zu bytes behind the place where it may be: it must lie on %zu bytes", what, (size_t)((uintptr_t)at % alignment), alignment);
    return place;
}

static void spoil_shared(void)
{
    for (int i = 0; i < block.n_shared; i++)
        memset(block.shared[i].memory, 0xff, block.shared[i].n_bytes);
    if (block.dynamic)
        memset(block.dynamic, 0xff, block.launch->shared_bytes);
}

static void release_shared(void)
{
    for (int i = 0; i < block.n_shared; i++)
        free(block.shared[i].memory);
    free(block.dynamic);
    block.n_shared = 0;
    block.dynamic = NULL;
}

/* ---- blocks ---------------------------------------------------------------------------------------------------------------------------------- */

static void check_all_ended(void)
{
    int n_exchange = 0;
    char asleep[256];
    mbarrier_describe(asleep, sizeof asleep);
    for (int t = 0; t < emulate_here.n_threads; t++)
        n_exchange += block.fiber[t].state == AT_EXCHANGE;
    if (block.n_ended < emulate_here.n_threads)
        emulate_stop("the block cannot go on: of %d threads %d wait at a barrier and %d for their warp, and %d have ended%s", emulate_here.n_threads, block.n_at_barrier, n_exchange, block.n_ended, asleep);
    mbarrier_block_ends();
}

static void draw_order(void)
{
    uint64_t kind = emulate_random(3);
    block.ahead = kind == 0 ? -1 : (int)emulate_random((uint64_t)(emulate_here.n_threads + EMULATE_LANES - 1) / EMULATE_LANES);
    block.stays_ahead = kind == 1;
    block.late = emulate_random(4) == 0 ? (int)emulate_random((uint64_t)emulate_here.n_threads) : -1;
    block.late_is_ready = false;
}

static void run_block(void)
{
    block.n_ready = block.n_at_barrier = block.n_ended = 0;
    draw_order();
    for (int w = 0; w < MAX_WARPS; w++)
        block.warp[w].n_arrived = block.warp[w].n_ready = 0;
    for (int t = 0; t < emulate_here.n_threads; t++) {
        if (!block.fiber[t].stack)
            fiber_create(&block.fiber[t]);
        block.fiber[t].n_exchanges = 0;
        block.fiber[t].n_copies = block.fiber[t].group = 0;
        make_ready(t);
    }
    spoil_shared();
    mbarrier_block_begins();
    warpgroup_block_begins();
    while (block.n_ready > 0 || mbarrier_go_on()) {
        mbarrier_chance();
        if (block.n_ready == 0)
            continue;
        emulate_here.thread = draw_thread();
        to_fiber(self());
    }
    check_all_ended();
}

void emulate_run(const struct emulate_launch *launch)
{
    if (block.launch)
        emulate_stop("a kernel was started within a kernel");
    block.launch = launch;
    block.dynamic = launch->shared_bytes ? piece(launch->shared_bytes, 1024) : NULL;
    emulate_here = (struct emulate_here){.grid = {launch->grid[0], launch->grid[1], launch->grid[2]}, .n_threads = launch->n_threads};
    for (unsigned z = 0; z < launch->grid[2]; z++)
        for (unsigned y = 0; y < launch->grid[1]; y++)
            for (unsigned x = 0; x < launch->grid[0]; x++) {
                emulate_here.block[0] = x, emulate_here.block[1] = y, emulate_here.block[2] = z;
                run_block();
            }
    release_shared();
    block.launch = NULL;
}
