/* attention_walk: where rows lie, which keys a row sees, and the walk over a run's ranges. For the kernels of attention.h. */
#ifndef KERNELS_CUDA_ATTENTION_WALK_H
#define KERNELS_CUDA_ATTENTION_WALK_H

#include "kernels/cuda/attention.h"
#include "kernels/cuda/gpu.h"

/* Where row m of one key/value head is among the rows of `heads` heads of a matrix. For keys and values group is 1. */
struct row_map { int heads, group, first_head; };

GPU_DEVICE struct row_map query_map(const struct attention_args &a, int kv_head)
{
    int group = a.heads / a.kv_heads;
    return {a.heads, group, kv_head * group};
}

GPU_DEVICE struct row_map key_map(const struct attention_args &a, int kv_head) { return {a.kv_heads, 1, kv_head}; }
GPU_DEVICE int token_of(const struct row_map &map, int m) { return map.group == 1 ? m : m / map.group; }

GPU_DEVICE int64_t row_of(const struct row_map &map, int m)
{
    int token = token_of(map, m);
    return (int64_t)token * map.heads + map.first_head + (m - token * map.group);
}

/* Where lse and delta of row m are. */
GPU_DEVICE int64_t statistic_of(const struct row_map &map, int64_t n_tokens, int m)
{
    int token = token_of(map, m);
    return (map.first_head + m - token * map.group) * n_tokens + token;
}

/* Keys of the run's own node that row m sees. */
GPU_DEVICE int own_seen(const struct attention_run &run, int own_count, const struct row_map &map, int m) { return own_count - run.q_count + token_of(map, m) - run.q_first + 1; }

/* A walk over the keys that a tile's rows see, in steps of up to `step` keys of one range. */
struct key_walk {
    const struct attention_range *range;
    int n_ranges, own_most;         /* keys of the last range that the tile's last row sees */
    int i, offset;                  /* the step: keys [offset, offset + n) of range i */
    int first, n;                   /* its first key's place in the store */
    bool own;                       /* of the last range: seen causally */
};

GPU_DEVICE bool walk_ended(const struct key_walk &w) { return w.i == w.n_ranges; }

/* Goes to the next range until there are keys. */
GPU_DEVICE void walk_settle(struct key_walk *w, int step)
{
    for (; w->i < w->n_ranges; w->i++, w->offset = 0) {
        struct attention_range range = w->range[w->i];
        w->own = w->i == w->n_ranges - 1;
        int left = (w->own ? w->own_most : range.count) - w->offset;
        w->first = range.first + w->offset;
        w->n = left < step ? left : step;
        if (left > 0)
            return;
    }
}

GPU_DEVICE struct key_walk walk_start(const struct attention_args &a, const struct attention_run &run, const struct row_map &map, int last_row, int step)
{
    struct key_walk w = {};
    w.range = a.ranges + run.range_first;
    w.n_ranges = run.range_count;
    w.own_most = own_seen(run, w.range[w.n_ranges - 1].count, map, last_row);
    walk_settle(&w, step);
    return w;
}

GPU_DEVICE struct key_walk walk_next(struct key_walk w, int step)
{
    w.offset += step;
    walk_settle(&w, step);
    return w;
}

/* How many of the step's keys a row sees that sees `own` keys of its own node. */
GPU_DEVICE int walk_seen(const struct key_walk &w, int own)
{
    int seen = w.own ? own - w.offset : w.n;
    return seen < w.n ? seen : w.n;
}

/* A block's tile of rows [first, first + n). */
struct row_tile { struct attention_run run; struct row_map map; int first, n; };

GPU_DEVICE struct row_tile row_tile_of(const struct attention_launch &l, int most)
{
    struct attention_tile tile = l.tile[gpu_block_x()];
    struct row_tile t = {l.a.runs[tile.run], query_map(l.a, (int)gpu_block_y()), tile.first, 0};
    int left = (t.run.q_first + t.run.q_count) * t.map.group - t.first;
    t.n = left < most ? left : most;
    return t;
}

GPU_DEVICE int own_count(const struct attention_args &a, const struct attention_run &run) { return a.ranges[run.range_first + run.range_count - 1].count; }

/* A block's tile of keys [first, first + n), and the rows [row, row_end) that see some of them. */
struct key_tile { int first, n, row, row_end; };

GPU_DEVICE struct key_tile key_tile_of(const struct attention_launch &l, int group, int most)
{
    struct attention_tile tile = l.tile[gpu_block_x()];
    struct attention_key_run run = l.a.key_runs[tile.run];
    int left = run.k_first + run.k_count - tile.first;
    return {tile.first, left < most ? left : most, tile.first * group, run.see_end * group};
}

#endif
