/* attention_sm90_forward: a tile of rows walks keys (attention_softmax.h). See attention_sm90.h for who does what. */
#include "kernels/cuda/attention_sm90_tiles.h"
#include "kernels/cuda/attention_softmax.h"

template <int D> struct forward_shape { static const int CONSUMERS = SM90_CONSUMERS(D), ROWS = SM90_ROWS * CONSUMERS; };

/* Warpgroups, from 1 on, take turns with their products, so that one's softmax falls into the others' products. The last one's last turn is nobody's to wait for. */
GPU_DEVICE void take_turn(int warpgroup) { gpu_part_wait(warpgroup, 2 * WARPGROUP); }

template <int D> GPU_DEVICE void give_turn(int warpgroup, bool last_step)
{
    bool last = warpgroup == SM90_CONSUMERS(D);
    if (!last || !last_step)
        gpu_part_arrive(last ? 1 : warpgroup + 1, 2 * WARPGROUP);
}

/* What a lane holds: its rows are row + 8 half + lane / 4. own: keys of the run's own node that they see; least: of the warp's first row. p: P of the step before, as operands. */
template <int D> struct forward_rows { int warpgroup, own[2], least; struct softmax<1> sums; float o[D / 8][4]; uint32_t q[D / 16][4], p[4][4]; };

template <int D> GPU_DEVICE void start_rows(struct forward_rows<D> *x, const struct attention_args &a, const struct stages<D> &m, const struct row_tile &t, int row)
{
    int count = own_count(a, t.run);
    x->least = own_seen(t.run, count, t.map, t.first + row);
    GPU_UNROLL
    for (int half = 0; half < 2; half++)
        x->own[half] = own_seen(t.run, count, t.map, t.first + row + half * 8 + gpu_lane() / 4);
    softmax_start(&x->sums);
    clear(x->o);
    gpu_mbarrier_wait(&m.b->rest, 0);
    load_operand<D, forward_shape<D>::ROWS>(x->q, (uint16_t *)gpu_aligned_shared(), row);
}

/* Scores become probabilities; factor: what the sums so far must be multiplied by. */
template <int D> GPU_DEVICE void forward_softmax(struct forward_rows<D> *x, float (&s)[8][4], float (&factor)[2], const struct key_walk &w, float scale)
{
    if (walk_seen(w, x->least) < SM90_STEP) {
        hide(s, 0, walk_seen(w, x->own[0]));
        hide(s, 1, walk_seen(w, x->own[1]));
    }
    GPU_UNROLL
    for (int half = 0; half < 2; half++)
        factor[half] = softmax_step(s, half, scale, &x->sums.max[0][half], &x->sums.sum[0][half]);
}

/* Times 1 changes no bit: mostly no row of a warp has a new maximum. */
template <int D> GPU_DEVICE void scale_sums(struct forward_rows<D> *x, const float (&factor)[2])
{
    if (!gpu_ballot(factor[0] != 1.0f || factor[1] != 1.0f))
        return;
    scale_rows(x->o, 0, factor[0]);
    scale_rows(x->o, 1, factor[1]);
}

/* A step's keys are at `r`, those of the step before at `before`. last_step: of the tile's; more: the warpgroup's rows see the next one. */
struct forward_place { struct ring before, r; bool last_step, more; };

template <int D> GPU_DEVICE void wait_for_next(const struct stages<D> &m, const struct forward_place &at)
{
    struct ring next = ring_next(at.r);
    if (at.more)
        gpu_mbarrier_wait(&m.b->full[next.stage], next.parity);
}

template <int D> GPU_DEVICE void first_step(struct forward_rows<D> *x, const struct stages<D> &m, const struct forward_place &at, const struct key_walk &w, float scale)
{
    float s[8][4], factor[2];
    gpu_mbarrier_wait(&m.b->full[0], 0);
    take_turn(x->warpgroup);
    gpu_multiply_begin();
    begin_rows<D, SM90_STEP>(s, x->q, stage_x(m, 0));
    give_turn<D>(x->warpgroup, at.last_step);
    gpu_multiply_wait<0>();
    gpu_settle(s);
    forward_softmax(x, s, factor, w, scale);
    as_operands(x->p, s);
    wait_for_next(m, at);
}

/* Scores and, behind them, o += P v of the step before: the softmax is done while the latter is under way. The wait for the next stage stands between the two also because a compiler moves
 * the wait for products up to the last branch. */
template <int D> GPU_DEVICE void forward_step(struct forward_rows<D> *x, const struct stages<D> &m, const struct forward_place &at, const struct key_walk &w, float scale)
{
    float s[8][4], factor[2];
    take_turn(x->warpgroup);
    gpu_multiply_begin();
    begin_rows<D, SM90_STEP>(s, x->q, stage_x(m, at.r.stage));
    gpu_multiply_begin();
    begin_columns<D>(x->o, x->p, stage_y(m, at.before.stage));
    give_turn<D>(x->warpgroup, at.last_step);
    gpu_multiply_wait<1>();
    gpu_settle(s);
    forward_softmax(x, s, factor, w, scale);
    gpu_settle(s);
    wait_for_next(m, at);
    gpu_multiply_wait<0>();
    gpu_settle(x->o);
    free_stage(m.b, at.before);
    scale_sums(x, factor);
    as_operands(x->p, s);
}

template <int D> GPU_DEVICE void last_values(struct forward_rows<D> *x, const struct stages<D> &m, struct ring r)
{
    gpu_multiply_begin();
    begin_columns<D>(x->o, x->p, stage_y(m, r.stage));
    gpu_multiply_wait<0>();
    gpu_settle(x->o);
    free_stage(m.b, r);
}

/* The steps that the warpgroup's rows see, the first ones of a walk; the place behind them, and the walk there. */
template <int D> GPU_DEVICE struct ring forward_steps(struct forward_rows<D> *x, const struct stages<D> &m, struct key_walk *w, int own, float scale)
{
    struct key_walk next = walk_next(*w, SM90_STEP);
    struct forward_place at = {{}, {}, walk_ended(next), !walk_ended(next) && warp_sees(next, own)};
    first_step(x, m, at, *w, scale);
    while (at.more) {
        *w = next;
        next = walk_next(next, SM90_STEP);
        at = {at.r, ring_next(at.r), walk_ended(next), !walk_ended(next) && warp_sees(next, own)};
        forward_step(x, m, at, *w, scale);
    }
    *w = next;
    last_values(x, m, at.r);
    return ring_next(at.r);
}

template <int D> GPU_DEVICE void forward_consumer(const struct attention_args &a, const struct stages<D> &m, const struct row_tile &t)
{
    int warpgroup = gpu_warpgroup(), group_row = (warpgroup - 1) * SM90_ROWS, row = group_row + gpu_warp() % 4 * 16, own = warp_own(a, t, group_row, SM90_ROWS);
    struct key_walk w = walk_of(a, t);
    struct forward_rows<D> x;
    struct ring r = {};
    x.warpgroup = warpgroup;
    start_rows(&x, a, m, t, row);
    if (warpgroup == SM90_CONSUMERS(D))
        gpu_part_arrive(1, 2 * WARPGROUP);
    if (!walk_ended(w) && warp_sees(w, own))
        r = forward_steps(&x, m, &w, own, a.scale * LOG2_E);
    for (; !walk_ended(w); r = ring_next(r)) {
        w = walk_next(w, SM90_STEP);
        take_turn(warpgroup);
        give_turn<D>(warpgroup, walk_ended(w));
        leave_out(m.b, r);
    }
    softmax_end(&x.sums, a, t, row);
    store_blocks<D, forward_shape<D>::ROWS>(a.o_THD, t.map, t.first, t.n, (uint16_t *)gpu_aligned_shared(), row, x.o, x.sums.sum[0]);
}

template <int D> GPU_DEVICE void fill_forward(const struct sm90_launch &l, const struct stages<D> &m, const struct row_tile &t)
{
    gpu_mbarrier_expect(&m.b->rest, l.box_rows * D * 2);
    copy_boxes<D, forward_shape<D>::ROWS>((uint16_t *)gpu_aligned_shared(), &l.q, t.map.first_head, token_of(t.map, t.first), &m.b->rest);
    fill_keys(m, l, t);
}

template <int D> GPU_DEVICE void forward(const struct sm90_launch &l)
{
    struct stages<D> m = stages_of<D>(forward_shape<D>::ROWS);
    struct row_tile t = row_tile_of(l.l, l.box_rows);
    make_barriers(m.b, 1, SM90_CONSUMERS(D));
    if (gpu_warpgroup() > 0) {
        gpu_take_registers<SM90_TAKEN(D)>();
        forward_consumer(l.l.a, m, t);
        return;
    }
    gpu_keep_registers<SM90_KEPT(D)>();
    if (gpu_thread() == 0)
        fill_forward(l, m, t);
    else if (gpu_warp() == 1)
        mend_keys(m, l.l.a, t);
}

GPU_KERNEL_ALONE(attention_sm90_forward_64, WARPGROUP * (SM90_CONSUMERS(64) + 1), struct sm90_launch, l) { forward<64>(l); }
GPU_KERNEL_ALONE(attention_sm90_forward_128, WARPGROUP * (SM90_CONSUMERS(128) + 1), struct sm90_launch, l) { forward<128>(l); }
