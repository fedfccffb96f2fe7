/* attention_paged_plan: see attention_paged_plan.h. Runs are taken one by one: a short one is cut into parts, and each part joins the runs that came with the same one before. */
#include "kernels/cuda/attention_paged_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* A part of splits: tiles of the plan, and the queries that see some of it, in a list. */
struct group { int32_t tile, n_tiles, first, last, n_rows, next; };
struct member { struct paged_row row; int32_t next; };

struct maker {
    const struct attention_args *a;
    struct paged_plan *plan;
    int32_t per_item;                   /* queries of an item */
    struct paged_tile *tile;            /* of the run at hand */
    int32_t n_tiles, n_parts, n_keys, part_tiles;       /* part_tiles: of the part that is growing */
    struct group *group;
    struct member *member;
    int32_t *bucket;                    /* groups by hash, the newest first; -1: none */
    int32_t n_groups, n_members, n_buckets;
};

/* ---- memory ----------------------------------------------------------------------------------------------------------------------------------- */

static int32_t tiles_of(const struct attention_args *a, const struct attention_run *run)
{
    int32_t n = 0;
    for (int i = 0; i < run->range_count; i++)
        n += (a->ranges[run->range_first + i].count + ATTENTION_PAGE - 1) / ATTENTION_PAGE;
    return n;
}

static bool is_short(const struct attention_run *run) { return run->q_count <= PAGED_SPLIT_QUERIES; }

/* At most so many of everything. */
struct most { size_t tiles, run_tiles, rows, chains, merges, short_tiles; };

static struct most count(const struct attention_args *a, int32_t per_item)
{
    struct most m = {0};
    for (int r = 0; r < a->n_runs; r++) {
        const struct attention_run *run = &a->runs[r];
        size_t tiles = (size_t)tiles_of(a, run), rows = (size_t)run->q_count;
        m.tiles += tiles;
        m.run_tiles = tiles > m.run_tiles ? tiles : m.run_tiles;
        m.rows += is_short(run) ? rows * tiles : rows;
        m.chains += (rows + (size_t)per_item - 1) / (size_t)per_item;
        m.merges += is_short(run) ? rows : 0;
        m.short_tiles += is_short(run) ? tiles : 0;
    }
    return m;
}

static int allocate(struct maker *m)
{
    struct paged_plan *p = m->plan;
    struct most n = count(m->a, m->per_item);
    for (m->n_buckets = 16; (size_t)m->n_buckets < 2 * n.short_tiles; m->n_buckets *= 2)
        ;
    p->tile = malloc((n.tiles + 1) * sizeof *p->tile);
    p->row = malloc((n.rows + 1) * sizeof *p->row);
    p->split = malloc((n.rows + 1) * sizeof *p->split);
    p->chain = malloc((n.chains + 1) * sizeof *p->chain);
    p->merge = malloc((n.merges + 1) * sizeof *p->merge);
    m->tile = malloc((n.run_tiles + 1) * sizeof *m->tile);
    m->group = malloc((n.short_tiles + 1) * sizeof *m->group);
    m->member = malloc((n.rows + 1) * sizeof *m->member);
    m->bucket = malloc((size_t)m->n_buckets * sizeof *m->bucket);
    CHECK(p->tile && p->row && p->split && p->chain && p->merge && m->tile && m->group && m->member && m->bucket, "out of memory for the attention plan of %d runs", m->a->n_runs);
    memset(m->bucket, 0xff, (size_t)m->n_buckets * sizeof *m->bucket);
    return OK;
}

void paged_plan_free(struct paged_plan *p)
{
    free(p->tile), free(p->row), free(p->split), free(p->chain), free(p->merge);
    *p = (struct paged_plan){0};
}

/* ---- a run's parts ----------------------------------------------------------------------------------------------------------------------------- */

static void add_tile(struct maker *m, int32_t first, int32_t n)
{
    if (m->n_tiles == 0 || m->tile[m->n_tiles - 1].ends_part) {
        m->n_parts++;
        m->part_tiles = 0;
    }
    bool ends = n < ATTENTION_PAGE || ++m->part_tiles == PAGED_STEPS;
    m->tile[m->n_tiles++] = (struct paged_tile){first, n, m->n_keys, (int16_t)(m->n_parts - 1), ends};
    m->n_keys += n;
}

static void cut(struct maker *m, const struct attention_run *run)
{
    m->n_tiles = m->n_parts = m->n_keys = 0;
    for (int i = 0; i < run->range_count; i++) {
        struct attention_range range = m->a->ranges[run->range_first + i];
        for (int32_t at = 0; at < range.count; at += ATTENTION_PAGE)
            add_tile(m, range.first + at, range.count - at < ATTENTION_PAGE ? range.count - at : ATTENTION_PAGE);
    }
}

/* Keys that query i of the run sees. */
static int32_t sees(const struct maker *m, const struct attention_run *run, int32_t i) { return m->n_keys - (run->q_count - 1 - i); }

/* ---- chains ------------------------------------------------------------------------------------------------------------------------------------ */

static void add_chains(struct maker *m, const struct attention_run *run)
{
    struct paged_plan *p = m->plan;
    int32_t first_tile = (int32_t)p->n_tiles;
    memcpy(p->tile + p->n_tiles, m->tile, (size_t)m->n_tiles * sizeof *m->tile);
    p->n_tiles += m->n_tiles;
    for (int32_t at = 0; at < run->q_count; at += m->per_item) {
        int32_t n = run->q_count - at < m->per_item ? run->q_count - at : m->per_item, n_tiles = m->n_tiles;
        while (m->tile[n_tiles - 1].before >= sees(m, run, at + n - 1))
            n_tiles--;
        p->chain[p->head.n_chains++] = (struct paged_item){first_tile, n_tiles, (int32_t)p->n_rows, n};
        for (int32_t i = at; i < at + n; i++)
            p->row[p->n_rows++] = (struct paged_row){run->q_first + i, sees(m, run, i), 0};
    }
}

static int longest_first(const void *x, const void *y)
{
    const struct paged_item *a = x, *b = y;
    return a->n_tiles != b->n_tiles ? (a->n_tiles > b->n_tiles ? -1 : 1) : (a->row > b->row) - (a->row < b->row);
}

/* ---- splits ------------------------------------------------------------------------------------------------------------------------------------ */

/* The group of these tiles, a new one where nobody came with them before. */
static struct group *group_of(struct maker *m, const struct paged_tile *tile, int32_t n_tiles)
{
    struct paged_plan *p = m->plan;
    size_t n_bytes = (size_t)n_tiles * sizeof *tile;
    int32_t *bucket = &m->bucket[hash_bytes(tile, n_bytes, 0) & (uint64_t)(m->n_buckets - 1)];
    for (int32_t g = *bucket; g >= 0; g = m->group[g].next)
        if (m->group[g].n_tiles == n_tiles && memcmp(p->tile + m->group[g].tile, tile, n_bytes) == 0)
            return &m->group[g];
    struct group *group = &m->group[m->n_groups];
    *group = (struct group){.tile = (int32_t)p->n_tiles, .n_tiles = n_tiles, .first = -1, .last = -1, .next = *bucket};
    *bucket = m->n_groups++;
    memcpy(p->tile + p->n_tiles, tile, n_bytes);
    p->n_tiles += n_tiles;
    return group;
}

static void join(struct maker *m, struct group *group, const struct paged_row *row)
{
    m->member[m->n_members] = (struct member){*row, -1};
    if (group->last >= 0)
        m->member[group->last].next = m->n_members;
    else
        group->first = m->n_members;
    group->last = m->n_members++;
    group->n_rows++;
}

static struct paged_row row_of(const struct maker *m, const struct attention_run *run, int32_t i)
{
    return (struct paged_row){run->q_first + i, sees(m, run, i), m->plan->head.n_slots + i * m->n_parts};
}

/* The run's queries that see some of these tiles, a part, join those of other runs that do; their merges count it. */
static void join_part(struct maker *m, const struct attention_run *run, const struct paged_tile *tile, int32_t n_tiles, struct paged_merge *merge)
{
    struct group *group = group_of(m, tile, n_tiles);
    for (int32_t i = 0; i < run->q_count; i++) {
        struct paged_row row = row_of(m, run, i);
        if (row.sees <= tile->before)
            continue;
        join(m, group, &row);
        merge[i].n_parts++;
    }
}

static void add_splits(struct maker *m, const struct attention_run *run)
{
    struct paged_head *head = &m->plan->head;
    struct paged_merge *merge = m->plan->merge + head->n_merges;
    for (int32_t i = 0; i < run->q_count; i++)
        merge[i] = (struct paged_merge){run->q_first + i, row_of(m, run, i).slot, 0};
    for (int32_t first = 0, end; first < m->n_tiles; first = end) {
        for (end = first + 1; !m->tile[end - 1].ends_part && end < m->n_tiles; end++)
            ;
        join_part(m, run, m->tile + first, end - first, merge);
    }
    head->n_merges += run->q_count;
    head->n_slots += run->q_count * m->n_parts;
}

static void place_groups(struct maker *m)
{
    struct paged_plan *p = m->plan;
    for (int32_t g = 0; g < m->n_groups; g++) {
        struct group *group = &m->group[g];
        int32_t n_left = group->n_rows;
        for (int32_t at = group->first; at >= 0; at = m->member[at].next, n_left--) {
            if ((group->n_rows - n_left) % m->per_item == 0)
                p->split[p->head.n_splits++] = (struct paged_item){group->tile, group->n_tiles, (int32_t)p->n_rows, n_left < m->per_item ? n_left : m->per_item};
            p->row[p->n_rows++] = m->member[at].row;
        }
    }
}

/* ---- all runs ---------------------------------------------------------------------------------------------------------------------------------- */

static bool fits(const struct maker *m, const struct attention_run *run)
{
    int64_t slots = m->plan->head.n_slots + (int64_t)run->q_count * m->n_parts;
    return slots * m->a->heads * (m->a->dim + 2) * (int64_t)sizeof(float) <= PAGED_PARTIAL_BYTES;
}

static void add_runs(struct maker *m)
{
    for (int r = 0; r < m->a->n_runs; r++) {
        const struct attention_run *run = &m->a->runs[r];
        cut(m, run);
        if (is_short(run) && fits(m, run))
            add_splits(m, run);
        else
            add_chains(m, run);
    }
    place_groups(m);
    qsort(m->plan->chain, (size_t)m->plan->head.n_chains, sizeof *m->plan->chain, longest_first);
}

int paged_plan_make(const struct attention_args *a, struct paged_plan *out)
{
    *out = (struct paged_plan){0};
    struct maker m = {.a = a, .plan = out, .per_item = PAGED_ROWS / (a->heads / a->kv_heads)};
    int status = allocate(&m);
    if (status == OK)
        add_runs(&m);
    else
        paged_plan_free(out);
    free(m.tile), free(m.group), free(m.member), free(m.bucket);
    return status;
}
