/* mbarrier: barriers in shared memory that count arrivals and bytes, barriers of some of a block's warps, and copies of boxes of tensors (gpu_sm90.h).
 *
 * An mbarrier is its 8 bytes: bytes that are still to come, arrivals that end a phase, those that still lack, and the phase's parity. A copy makes its target full of NaN at once and
 * lands at a random time, in some blocks mostly soon and in some only when no thread can go on. */
#include <stdio.h>
#include <string.h>

#include "emulate_sm90.h"
#include "tests/emulate/block.h"

enum { MADE = 0xa000, BEGUN = 0x5000, MAX_COUNT = 0xfff, MAX_MBARRIERS = 128, MAX_BOXES = 256, MAX_SLEEPERS = 1024, N_PARTS = 16 };

struct mbarrier { int32_t tx; uint16_t made, pending; };            /* made: MADE (or BEGUN) | count; pending: arrivals * 2 + parity */

struct box { void *to; const struct emulate_tensor_map *map; int at[3]; uint64_t *barrier; };
struct part { int expected, n_arrived, n_asleep, asleep[MAX_SLEEPERS]; };

static struct {
    struct box box[MAX_BOXES];
    int n_boxes;
    uint64_t patience;              /* draws of threads between two landings, about */
    struct { const void *barrier; int thread; } sleeper[MAX_SLEEPERS];
    int n_sleepers;
    struct part part[N_PARTS];
    struct { struct mbarrier *barrier; int thread; } begun[MAX_MBARRIERS];
    int n_begun;
} state;

/* ---- barriers in shared memory --------------------------------------------------------------------------------------------------------------- */

static struct mbarrier *made(uint64_t *b)
{
    struct mbarrier *m = (struct mbarrier *)b;
    block_shared_place(b, sizeof *b, 8, "an mbarrier");
    if ((m->made & ~MAX_COUNT) != MADE)
        emulate_stop("an mbarrier is used that was not made (gpu_mbarrier_init, then gpu_mbarrier_made)");
    return m;
}

void emulate_mbarrier_init(uint64_t *b, int n)
{
    block_shared_place(b, sizeof *b, 8, "an mbarrier");
    if (n < 1 || n > MAX_COUNT)
        emulate_stop("an mbarrier of %d arrivals", n);
    if (state.n_begun == MAX_MBARRIERS)
        emulate_stop("more than %d mbarriers are begun", MAX_MBARRIERS);
    *(struct mbarrier *)b = (struct mbarrier){0, (uint16_t)(BEGUN | n), (uint16_t)(2 * n)};
    state.begun[state.n_begun].barrier = (struct mbarrier *)b;
    state.begun[state.n_begun++].thread = emulate_here.thread;
}

/* Those that this thread has begun. */
void emulate_mbarrier_made(void)
{
    int n_kept = 0;
    for (int i = 0; i < state.n_begun; i++)
        if (state.begun[i].thread == emulate_here.thread)
            state.begun[i].barrier->made = (uint16_t)(MADE | (state.begun[i].barrier->made & MAX_COUNT));
        else
            state.begun[n_kept++] = state.begun[i];
    state.n_begun = n_kept;
}

static void settle(struct mbarrier *m)
{
    if (m->pending / 2 > 0 || m->tx > 0)
        return;
    if (m->tx < 0)
        emulate_stop("%d bytes more than were said to come have come to an mbarrier", -m->tx);
    m->pending = (uint16_t)(2 * (m->made & MAX_COUNT) + (~m->pending & 1));
    int n_kept = 0;
    for (int i = 0; i < state.n_sleepers; i++)
        if (state.sleeper[i].barrier == m)
            block_wake(state.sleeper[i].thread);
        else
            state.sleeper[n_kept++] = state.sleeper[i];
    state.n_sleepers = n_kept;
}

static void arrive(struct mbarrier *m)
{
    if (m->pending / 2 == 0)
        emulate_stop("more arrivals at an mbarrier than it counts: %d", m->made & MAX_COUNT);
    m->pending = (uint16_t)(m->pending - 2);
    settle(m);
}

void emulate_mbarrier_arrive(uint64_t *b) { arrive(made(b)); }

void emulate_mbarrier_expect(uint64_t *b, int n_bytes)
{
    struct mbarrier *m = made(b);
    m->tx += n_bytes;
    arrive(m);
}

void emulate_mbarrier_wait(uint64_t *b, uint32_t parity)
{
    const struct mbarrier *m = made(b);
    while ((m->pending & 1u) == parity) {
        state.sleeper[state.n_sleepers].barrier = m;
        state.sleeper[state.n_sleepers++].thread = emulate_here.thread;
        block_sleep();
    }
}

/* ---- copies of boxes -------------------------------------------------------------------------------------------------------------------------- */

static size_t box_bytes(const struct emulate_tensor_map *map) { return (size_t)map->box[0] * map->box[1] * map->box[2] * 2; }

/* A row of the box: up to 128 bytes, in chunks that stand where the swizzle puts them. */
static void land_row(unsigned char *to, const struct box *b, int y, int z)
{
    const struct emulate_tensor_map *map = b->map;
    bool there = y >= 0 && (uint64_t)y < map->dim[1] && z >= 0 && (uint64_t)z < map->dim[2];
    for (unsigned at = 0; at < map->box[0]; at += 8) {
        unsigned char *chunk = (unsigned char *)((uintptr_t)(to + at * 2) ^ ((uintptr_t)to >> 7 & 7) << 4);
        int64_t x = b->at[0] + (int64_t)at;
        if (there && x >= 0 && (uint64_t)x + 8 <= map->dim[0])
            memcpy(chunk, (const unsigned char *)(uintptr_t)map->base + (uint64_t)x * 2 + (uint64_t)y * map->stride[0] + (uint64_t)z * map->stride[1], 16);
        else
            memset(chunk, 0, 16);
    }
}

static void land(int i)
{
    struct box b = state.box[i];
    state.box[i] = state.box[--state.n_boxes];
    unsigned char *to = b.to;
    for (unsigned z = 0; z < b.map->box[2]; z++)
        for (unsigned y = 0; y < b.map->box[1]; y++, to += b.map->box[0] * 2)
            land_row(to, &b, b.at[1] + (int)y, b.at[2] + (int)z);
    struct mbarrier *m = made(b.barrier);
    m->tx -= (int)box_bytes(b.map);
    settle(m);
}

void emulate_copy_box(void *to, const struct gpu_tensor_map *tensor_map, int x, int y, int z, uint64_t *b)
{
    const struct emulate_tensor_map *map = (const struct emulate_tensor_map *)tensor_map;
    if (map->magic != EMULATE_TENSOR_MAP || map->rank != 3)
        emulate_stop("a copy of a box by what is no tensor map of three dimensions");
    size_t n_bytes = box_bytes(map), place = block_shared_place(to, n_bytes, 1024, "a copy of a box");
    made(b);
    if (state.n_boxes == MAX_BOXES)
        emulate_stop("more than %d copies of boxes are under way", MAX_BOXES);
    memset(to, 0xff, n_bytes);
    warpgroup_overwritten(place, n_bytes);
    state.box[state.n_boxes++] = (struct box){to, map, {x, y, z}, b};
    if (emulate_random(state.patience) == 0)
        land(state.n_boxes - 1);
}

bool mbarrier_go_on(void)
{
    if (state.n_boxes == 0)
        return false;
    land((int)emulate_random((uint64_t)state.n_boxes));
    return true;
}

void mbarrier_chance(void)
{
    if (state.n_boxes > 0 && emulate_random(state.patience) == 0)
        mbarrier_go_on();
}

/* ---- barriers of a part of a block ------------------------------------------------------------------------------------------------------------ */

static struct part *part_of(int id, int n_threads)
{
    if (id < 1 || id >= N_PARTS || n_threads < EMULATE_LANES || n_threads % EMULATE_LANES != 0 || n_threads > emulate_here.n_threads)
        emulate_stop("barrier %d of %d threads: there are barriers 1 to %d, of whole warps of the block", id, n_threads, N_PARTS - 1);
    struct part *part = &state.part[id];
    if (part->n_arrived > 0 && part->expected != n_threads)
        emulate_stop("barrier %d of %d threads has begun with %d", id, n_threads, part->expected);
    part->expected = n_threads;
    return part;
}

void emulate_part_arrive(int id, int n_threads)
{
    struct part *part = part_of(id, n_threads);
    if (++part->n_arrived < n_threads)
        return;
    for (int i = 0; i < part->n_asleep; i++)
        block_wake(part->asleep[i]);
    part->n_arrived = part->n_asleep = 0;
}

void emulate_part_wait(int id, int n_threads)
{
    struct part *part = part_of(id, n_threads);
    part->asleep[part->n_asleep++] = emulate_here.thread;
    emulate_part_arrive(id, n_threads);
    block_sleep();
}

/* ---- blocks ---------------------------------------------------------------------------------------------------------------------------------- */

void mbarrier_block_begins(void)
{
    static const uint64_t patience[] = {3, 64, 1 << 20};
    state.patience = patience[emulate_random(3)];
    state.n_boxes = state.n_sleepers = state.n_begun = 0;
    for (int i = 0; i < N_PARTS; i++)
        state.part[i].n_arrived = state.part[i].n_asleep = 0;
}

void mbarrier_describe(char *out, size_t n_bytes)
{
    int n_asleep = 0;
    out[0] = '\0';
    for (int i = 0; i < N_PARTS; i++)
        n_asleep += state.part[i].n_asleep;
    if (state.n_sleepers > 0) {
        const struct mbarrier *m = state.sleeper[0].barrier;
        snprintf(out, n_bytes, "; %d wait at mbarriers, thread %d at one that lacks %d arrivals and %d bytes", state.n_sleepers, state.sleeper[0].thread, m->pending / 2, m->tx);
    } else if (n_asleep > 0) {
        snprintf(out, n_bytes, "; %d wait at barriers of a part of the block", n_asleep);
    }
}

void mbarrier_block_ends(void)
{
    if (state.n_boxes > 0)
        emulate_stop("the block ends while %d copies of boxes are under way", state.n_boxes);
    for (int i = 0; i < N_PARTS; i++)
        if (state.part[i].n_arrived > 0)
            emulate_stop("the block ends, and %d threads have come to barrier %d of %d", state.part[i].n_arrived, i, state.part[i].expected);
}
