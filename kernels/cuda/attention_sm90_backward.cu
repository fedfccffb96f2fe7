/* attention_sm90_backward: dq by tiles of rows, dk and dv by tiles of keys; the formulas are attention_backward.cu's. See attention_sm90.h for who does what. */
#include "kernels/cuda/attention_sm90_tiles.h"

/* ---- dq: a tile of rows walks keys ------------------------------------------------------------------------------------------------------------ */

/* Rows of do are operands in registers where three warpgroups do not have to share those: reading them out of shared memory again and again takes a third of its bandwidth. */
template <int D> struct rows_shape {
    static const int CONSUMERS = SM90_CONSUMERS(D), ROWS = SM90_ROWS * CONSUMERS;
    static const bool HOLDS_G = CONSUMERS < 3;
};

/* What a lane holds: its rows are row + 8 half + lane / 4. lse in units of ln 2; own: keys of the run's own node that they see; least: of the warp's first row; q, do and
 * dS are operands. */
template <int D> struct gradient_rows { float lse[2], delta[2]; int own[2], least; float dq[D / 8][4]; uint32_t q[D / 16][4], g[D / 16][4], ds[4][4]; };

template <int D> GPU_DEVICE void start_rows(struct gradient_rows<D> *x, const struct attention_args &a, const struct stages<D> &m, const struct row_tile &t, int row)
{
    int count = own_count(a, t.run);
    x->least = own_seen(t.run, count, t.map, t.first + row);
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        int r = row + half * 8 + gpu_lane() / 4;
        int64_t at = statistic_of(t.map, a.rows, t.first + (r < t.n ? r : 0));
        x->own[half] = own_seen(t.run, count, t.map, t.first + r);
        x->lse[half] = a.lse_HT[at] * LOG2_E;
        x->delta[half] = a.delta_HT[at];
    }
    clear(x->dq);
    gpu_mbarrier_wait(&m.b->rest, 0);
    load_operand<D, rows_shape<D>::ROWS>(x->q, (uint16_t *)gpu_aligned_shared(), row);
    if (rows_shape<D>::HOLDS_G)
        load_operand<D, rows_shape<D>::ROWS>(x->g, (uint16_t *)gpu_aligned_shared() + rows_shape<D>::ROWS * D, row);
}

/* Scores become P. */
template <int D> GPU_DEVICE void row_probabilities(const struct gradient_rows<D> &x, float (&s)[8][4], const struct key_walk &w, float scale)
{
    GPU_UNROLL
    for (int i = 0; i < 32; i++)
        s[i / 4][i % 4] = gpu_exp2(fmaf(s[i / 4][i % 4], scale, -x.lse[i / 2 % 2]));
    if (walk_seen(w, x.least) == SM90_STEP)
        return;
    GPU_UNROLL
    for (int i = 0; i < 32; i++)
        if (i / 4 * 8 + gpu_lane() % 4 * 2 + i % 2 >= walk_seen(w, x.own[i / 2 % 2]))
            s[i / 4][i % 4] = 0.0f;
}

/* Begins S and dP of the stage. g: the warpgroup's rows of do. */
template <int D> GPU_DEVICE void begin_scores(const struct gradient_rows<D> &x, float (&s)[8][4], float (&dp)[8][4], const uint16_t *g, const struct stages<D> &m, struct ring r)
{
    gpu_mbarrier_wait(&m.b->full[r.stage], r.parity);
    gpu_multiply_begin();
    begin_rows<D, SM90_STEP>(s, x.q, stage_x(m, r.stage));
    gpu_multiply_begin();
    if (rows_shape<D>::HOLDS_G)
        begin_rows<D, SM90_STEP>(dp, x.g, stage_y(m, r.stage));
    else
        begin_rows<D, rows_shape<D>::ROWS, SM90_STEP>(dp, g, stage_y(m, r.stage));
}

/* With S and dP under way: dS as operands. P is made while dP is under way. */
template <int D> GPU_DEVICE void row_gradients(struct gradient_rows<D> *x, float (&s)[8][4], float (&dp)[8][4], const struct key_walk &w, float scale)
{
    gpu_multiply_wait<1>();
    gpu_settle(s);
    row_probabilities(*x, s, w, scale);
    gpu_settle(s);
    gpu_multiply_wait<0>();
    gpu_settle(dp);
    GPU_UNROLL
    for (int i = 0; i < 32; i++)
        dp[i / 4][i % 4] = s[i / 4][i % 4] * (dp[i / 4][i % 4] - x->delta[i / 2 % 2]);
    as_operands(x->ds, dp);
}

/* The steps that the warpgroup's rows see, the first ones of a walk; the place behind them, and the walk there. S and dP of a step begin behind dq of the step before. */
template <int D>
GPU_DEVICE struct ring gradient_steps(struct gradient_rows<D> *x, const struct stages<D> &m, const uint16_t *g, struct key_walk *w, int own, float scale)
{
    struct ring r = {};
    float s[8][4], dp[8][4];
    begin_scores(*x, s, dp, g, m, r);
    for (;;) {
        struct ring before = r;
        row_gradients(x, s, dp, *w, scale);
        *w = walk_next(*w, SM90_STEP);
        r = ring_next(r);
        if (walk_ended(*w) || !warp_sees(*w, own)) {
            gpu_multiply_begin();
            begin_columns<D>(x->dq, x->ds, stage_x(m, before.stage));
            gpu_multiply_wait<0>();
            gpu_settle(x->dq);
            free_stage(m.b, before);
            return r;
        }
        gpu_multiply_begin();
        begin_columns<D>(x->dq, x->ds, stage_x(m, before.stage));
        begin_scores(*x, s, dp, g, m, r);
        gpu_multiply_wait<2>();
        gpu_settle(x->dq);
        free_stage(m.b, before);
    }
}

template <int D> GPU_DEVICE void rows_consumer(const struct attention_args &a, const struct stages<D> &m, const struct row_tile &t)
{
    int group_row = (gpu_warpgroup() - 1) * SM90_ROWS, row = group_row + gpu_warp() % 4 * 16, own = warp_own(a, t, group_row, SM90_ROWS);
    const int ROWS = rows_shape<D>::ROWS;
    uint16_t *q = (uint16_t *)gpu_aligned_shared(), *g = q + ROWS * D;
    float factor[2] = {a.scale, a.scale};
    struct key_walk w = walk_of(a, t);
    struct gradient_rows<D> x;
    struct ring r = {};
    start_rows(&x, a, m, t, row);
    if (!walk_ended(w) && warp_sees(w, own))
        r = gradient_steps(&x, m, g + group_row * BLOCK_COLUMNS, &w, own, a.scale * LOG2_E);
    for (; !walk_ended(w); w = walk_next(w, SM90_STEP), r = ring_next(r))
        leave_out(m.b, r);
    store_blocks<D, ROWS>(a.dq_THD, t.map, t.first, t.n, q, row, x.dq, factor);
}

template <int D> GPU_DEVICE void fill_rows(const struct sm90_launch &l, const struct stages<D> &m, const struct row_tile &t)
{
    const int ROWS = rows_shape<D>::ROWS;
    uint16_t *q = (uint16_t *)gpu_aligned_shared();
    gpu_mbarrier_expect(&m.b->rest, 2 * l.box_rows * D * 2);
    copy_boxes<D, ROWS>(q, &l.q, t.map.first_head, token_of(t.map, t.first), &m.b->rest);
    copy_boxes<D, ROWS>(q + ROWS * D, &l.g, t.map.first_head, token_of(t.map, t.first), &m.b->rest);
    fill_keys(m, l, t);
}

template <int D> GPU_DEVICE void backward_q(const struct sm90_launch &l)
{
    const int CONSUMERS = rows_shape<D>::CONSUMERS;
    struct stages<D> m = stages_of<D>(2 * rows_shape<D>::ROWS);
    struct row_tile t = row_tile_of(l.l, l.box_rows);
    make_barriers(m.b, 1, CONSUMERS);
    if (gpu_warpgroup() > 0) {
        gpu_take_registers<SM90_TAKEN(D)>();
        rows_consumer(l.l.a, m, t);
        return;
    }
    gpu_keep_registers<SM90_KEPT(D)>();
    if (gpu_thread() == 0)
        fill_rows(l, m, t);
    else if (gpu_warp() == 1)
        mend_keys(m, l.l.a, t);
}

/* ---- dk, dv: a tile of keys walks rows -------------------------------------------------------------------------------------------------------- */

enum { KEYS = SM90_ROWS * SM90_KEY_CONSUMERS };

/* A step of the walk: rows [row, row + n) at r. */
struct row_step { int row, n; struct ring r; };

GPU_DEVICE struct row_step step_of(const struct key_tile &t, int row, int each, struct ring r)
{
    int left = t.row_end - row;
    return {row, left < each ? left : each, r};
}

GPU_DEVICE struct row_step next_step(const struct key_tile &t, const struct row_step &s, int each) { return step_of(t, s.row + each, each, ring_next(s.r)); }
GPU_DEVICE bool steps_ended(const struct row_step &s) { return s.n <= 0; }

/* One thread. */
template <int D> GPU_DEVICE void fill_tile(const struct sm90_launch &l, const struct stages<D> &m, const struct key_tile &t, const struct row_map &map)
{
    uint16_t *k = (uint16_t *)gpu_aligned_shared();
    gpu_mbarrier_expect(&m.b->rest, 2 * KEYS * D * 2);
    copy_boxes<D, KEYS>(k, &l.k, (int)gpu_block_y(), t.first, &m.b->rest);
    copy_boxes<D, KEYS>(k + KEYS * D, &l.v, (int)gpu_block_y(), t.first, &m.b->rest);
    for (struct row_step s = step_of(t, t.row, l.box_rows, {}); !steps_ended(s); s = next_step(t, s, l.box_rows))
        fill_stage(m, s.r, &l.q, &l.g, map.first_head, token_of(map, s.row), 2 * l.box_rows * D * 2, s.n == l.box_rows);
}

/* A warp. The boxes' last rows, where the last step has fewer. */
template <int D> GPU_DEVICE void mend_rows(const struct sm90_launch &l, const struct stages<D> &m, const struct key_tile &t)
{
    uint32_t turns = 0;
    for (struct row_step s = step_of(t, t.row, l.box_rows, {}); !steps_ended(s); s = next_step(t, s, l.box_rows))
        if (s.n < l.box_rows)
            mend_stage(m, s.r.stage, s.n, &turns);
}

/* A warp. Behind the step's rows q and do are zero, and so is what they add. */
template <int D>
GPU_DEVICE void fill_statistics(const struct sm90_launch &l, const struct stages<D> &m, struct sm90_statistics *to, const struct key_tile &t, const struct row_map &map)
{
    for (struct row_step s = step_of(t, t.row, l.box_rows, {}); !steps_ended(s); s = next_step(t, s, l.box_rows)) {
        gpu_mbarrier_wait(&m.b->free[s.r.stage], s.r.parity ^ 1);
        for (int r = gpu_lane(); r < SM90_STEP; r += WARP) {
            int64_t at = statistic_of(map, l.l.a.rows, s.row + (r < s.n ? r : 0));
            to[s.r.stage].lse[r] = r < s.n ? l.l.a.lse_HT[at] * LOG2_E : 0.0f;
            to[s.r.stage].delta[r] = r < s.n ? l.l.a.delta_HT[at] : 0.0f;
        }
        gpu_warp_barrier();
        if (gpu_lane() == 0)
            gpu_mbarrier_arrive(&m.b->full[s.r.stage]);
    }
}

/* The rows of a stage that no box reaches are zero from the start. All threads come here, before the barrier that all meet at. */
template <int D> GPU_DEVICE void clear_behind_boxes(const struct stages<D> &m, int box_rows)
{
    for (int i = gpu_warp(); i < 2 * SM90_STAGES; i += gpu_n_threads() / WARP)
        clear_rows<D, SM90_STEP>(m.tile + i * SM90_STEP * D, box_rows);
}

/* What a lane holds: its keys are key + 8 half + lane / 4. P and dS as operands. */
template <int D> struct gradient_keys { float dk[D / 8][4], dv[D / 8][4]; uint32_t p[4][4], ds[4][4]; };

/* Scores become P. first_seen: the first row of the step, in m, that sees the lane's lower key; whole: all of the warp's keys are seen by all rows. */
GPU_DEVICE void key_probabilities(float (&s)[8][4], const float *lse, float scale, int first_seen, int group, bool whole)
{
    GPU_UNROLL
    for (int i = 0; i < 32; i++)
        s[i / 4][i % 4] = gpu_exp2(fmaf(s[i / 4][i % 4], scale, -lse[i / 4 * 8 + gpu_lane() % 4 * 2 + i % 2]));
    if (whole)
        return;
    GPU_UNROLL
    for (int i = 0; i < 32; i++)
        if (i / 4 * 8 + gpu_lane() % 4 * 2 + i % 2 < first_seen + i / 2 % 2 * 8 * group)
            s[i / 4][i % 4] = 0.0f;
}

/* dP becomes dS. */
GPU_DEVICE void key_gradients(float (&dp)[8][4], const float (&p)[8][4], const float *delta)
{
    GPU_UNROLL
    for (int i = 0; i < 32; i++)
        dp[i / 4][i % 4] = p[i / 4][i % 4] * (dp[i / 4][i % 4] - delta[i / 4 * 8 + gpu_lane() % 4 * 2 + i % 2]);
}

/* A warp's keys begin at `first`; k: the warpgroup's keys in shared memory, its values KEYS rows behind them. */
struct key_place { const uint16_t *k; int first, group; float scale; };

template <int D> GPU_DEVICE void begin_key_scores(float (&s)[8][4], const struct key_place &at, const struct stages<D> &m, struct ring r)
{
    gpu_mbarrier_wait(&m.b->full[r.stage], r.parity);
    gpu_multiply_begin();
    begin_rows<D, KEYS, SM90_STEP>(s, at.k, stage_x(m, r.stage));
}

/* With S of the step under way: P and dS as operands, and dk, dv += under way. P is made while dP is. */
template <int D>
GPU_DEVICE void begin_sums(struct gradient_keys<D> *x, float (&s)[8][4], const struct key_place &at, const struct stages<D> &m, const struct sm90_statistics &rows,
                           const struct row_step &step)
{
    float dp[8][4];
    int first_seen = (at.first + gpu_lane() / 4) * at.group - step.row;
    gpu_multiply_begin();
    begin_rows<D, KEYS, SM90_STEP>(dp, at.k + KEYS * D, stage_y(m, step.r.stage));
    gpu_multiply_wait<1>();
    gpu_settle(s);
    key_probabilities(s, rows.lse, at.scale, first_seen, at.group, (at.first + 15) * at.group <= step.row);
    gpu_settle(s);
    gpu_multiply_wait<0>();
    gpu_settle(dp);
    key_gradients(dp, s, rows.delta);
    as_operands(x->p, s);
    as_operands(x->ds, dp);
    gpu_multiply_begin();
    begin_columns<D>(x->dv, x->p, stage_y(m, step.r.stage));
    gpu_multiply_begin();
    begin_columns<D>(x->dk, x->ds, stage_x(m, step.r.stage));
}

template <int D> GPU_DEVICE void settle_sums(struct gradient_keys<D> *x, const struct stages<D> &m, struct ring r)
{
    gpu_settle(x->dv);
    gpu_settle(x->dk);
    free_stage(m.b, r);
}

/* The steps from `step` on. S of a step begins behind the sums of the step before. */
template <int D>
GPU_DEVICE void key_steps(struct gradient_keys<D> *x, const struct key_place &at, const struct stages<D> &m, const struct sm90_statistics *rows, const struct key_tile &t,
                          struct row_step step, int each)
{
    float s[8][4];
    begin_key_scores(s, at, m, step.r);
    for (;;) {
        struct row_step next = next_step(t, step, each);
        begin_sums(x, s, at, m, rows[step.r.stage], step);
        if (steps_ended(next)) {
            gpu_multiply_wait<0>();
            settle_sums(x, m, step.r);
            return;
        }
        begin_key_scores(s, at, m, next.r);
        gpu_multiply_wait<1>();
        settle_sums(x, m, step.r);
        step = next;
    }
}

template <int D>
GPU_DEVICE void keys_consumer(const struct sm90_launch &l, const struct stages<D> &m, const struct sm90_statistics *rows, const struct key_tile &t, int group)
{
    int group_key = (gpu_warpgroup() - 1) * SM90_ROWS, key = group_key + gpu_warp() % 4 * 16;
    uint16_t *k = (uint16_t *)gpu_aligned_shared();
    struct key_place at = {k + group_key * BLOCK_COLUMNS, t.first + key, group, l.l.a.scale * LOG2_E};
    float factor_k[2] = {l.l.a.scale, l.l.a.scale}, factor_v[2] = {1.0f, 1.0f};
    struct gradient_keys<D> x;
    struct row_step step = step_of(t, t.row, l.box_rows, {});
    struct row_map map = key_map(l.l.a, (int)gpu_block_y());
    clear(x.dk);
    clear(x.dv);
    gpu_mbarrier_wait(&m.b->rest, 0);
    for (; !steps_ended(step) && (group_key >= t.n || step.row + l.box_rows <= (t.first + group_key) * group); step = next_step(t, step, l.box_rows))
        leave_out(m.b, step.r);
    if (!steps_ended(step))
        key_steps(&x, at, m, rows, t, step, l.box_rows);
    gpu_part_wait(gpu_warpgroup(), WARPGROUP);              /* nobody multiplies by the warpgroup's keys and values any more */
    store_blocks<D, KEYS>(l.l.a.dk_SGD, map, t.first, t.n, k, key, x.dk, factor_k);
    store_blocks<D, KEYS>(l.l.a.dv_SGD, map, t.first, t.n, k + KEYS * D, key, x.dv, factor_v);
}

template <int D> GPU_DEVICE void backward_k(const struct sm90_launch &l)
{
    struct stages<D> m = stages_of<D>(2 * KEYS);
    struct sm90_statistics *rows = (struct sm90_statistics *)(m.b + 1);
    struct row_map map = query_map(l.l.a, (int)gpu_block_y());
    struct key_tile t = key_tile_of(l.l, map.group, KEYS);
    clear_behind_boxes(m, l.box_rows);
    make_barriers(m.b, 2, SM90_KEY_CONSUMERS);
    if (gpu_warpgroup() > 0) {
        gpu_take_registers<SM90_KEY_TAKEN>();
        keys_consumer(l, m, rows, t, map.group);
        return;
    }
    gpu_keep_registers<SM90_KEY_KEPT>();
    if (gpu_thread() == 0)
        fill_tile(l, m, t, map);
    else if (gpu_warp() == 1)
        mend_rows(l, m, t);
    else if (gpu_warp() == 2)
        fill_statistics(l, m, rows, t, map);
}

GPU_KERNEL_ALONE(attention_sm90_backward_q_64, WARPGROUP * (SM90_CONSUMERS(64) + 1), struct sm90_launch, l) { backward_q<64>(l); }
GPU_KERNEL_ALONE(attention_sm90_backward_q_128, WARPGROUP * (SM90_CONSUMERS(128) + 1), struct sm90_launch, l) { backward_q<128>(l); }
GPU_KERNEL_ALONE(attention_sm90_backward_k_64, WARPGROUP * (SM90_KEY_CONSUMERS + 1), struct sm90_launch, l) { backward_k<64>(l); }
GPU_KERNEL_ALONE(attention_sm90_backward_k_128, WARPGROUP * (SM90_KEY_CONSUMERS + 1), struct sm90_launch, l) { backward_k<128>(l); }
