/* attention_sm90_forward: a tile of rows walks keys (attention_softmax.h). See attention_sm90.h for who does what. */
#include "kernels/cuda/attention_sm90_tiles.h"
#include "kernels/cuda/attention_softmax.h"

template <int D> struct forward_memory {
    static const int CONSUMERS = SM90_FORWARD_CONSUMERS(D), ROWS = SM90_ROWS * CONSUMERS, STAGES = SM90_FORWARD_STAGES;
    uint16_t *q, *k, *v;                /* [ROWS], [STAGES][SM90_STEP], the same */
    struct sm90_forward_barriers *b;
};

template <int D> GPU_DEVICE struct forward_memory<D> forward_memory_of(void)
{
    typedef struct forward_memory<D> memory;
    uint16_t *q = (uint16_t *)gpu_aligned_shared(), *k = q + memory::ROWS * D, *v = k + memory::STAGES * SM90_STEP * D;
    return {q, k, v, (struct sm90_forward_barriers *)(v + memory::STAGES * SM90_STEP * D)};
}

/* Readers free a stage by one arrival for each of their warps. */
template <int D> GPU_DEVICE void make_barriers(const struct forward_memory<D> &m)
{
    if (gpu_thread() == 0) {
        gpu_mbarrier_init(&m.b->q, 1);
        for (int i = 0; i < m.STAGES; i++) {
            gpu_mbarrier_init(&m.b->k_full[i], 1);
            gpu_mbarrier_init(&m.b->v_full[i], 1);
            gpu_mbarrier_init(&m.b->v_landed[i], 1);
            gpu_mbarrier_init(&m.b->k_free[i], 4 * m.CONSUMERS);
            gpu_mbarrier_init(&m.b->v_free[i], 4 * m.CONSUMERS);
        }
        gpu_mbarrier_made();
    }
    gpu_barrier();
}

/* When all lanes of the warp have read it. */
GPU_DEVICE void free_stage(gpu_mbarrier *b)
{
    if (gpu_lane() == 0)
        gpu_mbarrier_arrive(b);
}

/* ---- the warps that fill shared memory -------------------------------------------------------------------------------------------------------- */

/* One thread. Values of a step with fewer keys than the tile has rows land for the mender first. */
template <int D> GPU_DEVICE void copy_walk(const struct sm90_launch &l, const struct forward_memory<D> &m, const struct row_tile &t, struct key_walk w)
{
    int head = (int)gpu_block_y();
    gpu_mbarrier_expect(&m.b->q, l.box_rows * D * 2);
    copy_boxes<D, m.ROWS>(m.q, &l.q, t.map.first_head, token_of(t.map, t.first), &m.b->q);
    for (struct ring<m.STAGES> r = {}; !walk_ended(w); w = walk_next(w, SM90_STEP), r = ring_next(r)) {
        gpu_mbarrier *values = w.n < SM90_STEP ? &m.b->v_landed[r.stage] : &m.b->v_full[r.stage];
        gpu_mbarrier_wait(&m.b->k_free[r.stage], r.parity ^ 1);
        gpu_mbarrier_expect(&m.b->k_full[r.stage], SM90_STEP * D * 2);
        copy_boxes<D, SM90_STEP>(m.k + r.stage * SM90_STEP * D, &l.k, head, w.first, &m.b->k_full[r.stage]);
        gpu_mbarrier_wait(&m.b->v_free[r.stage], r.parity ^ 1);
        gpu_mbarrier_expect(values, SM90_STEP * D * 2);
        copy_boxes<D, SM90_STEP>(m.v + r.stage * SM90_STEP * D, &l.v, head, w.first, values);
    }
}

/* A warp, the mender: what lies behind the keys of a step is not its rows' and may be anything. It becomes zero, since P is zero there and zero times anything shall be zero. */
template <int D> GPU_DEVICE void mend_walk(const struct forward_memory<D> &m, struct key_walk w)
{
    uint32_t turns = 0;                 /* bit i: the parity of v_landed[i] */
    for (int stage = 0; !walk_ended(w); w = walk_next(w, SM90_STEP), stage = (stage + 1) % m.STAGES)
        if (w.n < SM90_STEP) {
            gpu_mbarrier_wait(&m.b->v_landed[stage], turns >> stage & 1);
            turns ^= 1u << stage;
            clear_rows<D, SM90_STEP>(m.v + stage * SM90_STEP * D, w.n);
            if (gpu_lane() == 0)
                gpu_mbarrier_arrive(&m.b->v_full[stage]);
        }
}

/* ---- the warpgroups that compute -------------------------------------------------------------------------------------------------------------- */

/* Warpgroups take turns with their products, so that one's softmax falls into the others' products. The last one's last turn is nobody's to wait for. */
template <int D> GPU_DEVICE void take_turn(void) { gpu_part_wait(gpu_warpgroup(), 2 * WARPGROUP); }

template <int D> GPU_DEVICE void give_turn(bool last_step)
{
    bool last = gpu_warpgroup() == SM90_FORWARD_CONSUMERS(D);
    if (!last || !last_step)
        gpu_part_arrive(last ? 1 : gpu_warpgroup() + 1, 2 * WARPGROUP);
}

/* What a lane holds: its rows are row + 8 half + lane / 4. own: keys of the run's own node that they see; least: of the warp's first row. P of the step before, as operands. */
template <int D> struct forward_rows { int own[2], least; struct softmax<1> sums; float o[D / 8][4]; uint32_t q[D / 16][4], p[4][4]; };

template <int D> GPU_DEVICE void start_rows(struct forward_rows<D> *x, const struct sm90_launch &l, const struct forward_memory<D> &m, const struct row_tile &t, int row)
{
    int count = own_count(l.l.a, t.run);
    x->least = own_seen(t.run, count, t.map, t.first + row);
    GPU_UNROLL
    for (int half = 0; half < 2; half++)
        x->own[half] = own_seen(t.run, count, t.map, t.first + row + half * 8 + gpu_lane() / 4);
    softmax_start(&x->sums);
    clear(x->o);
    gpu_mbarrier_wait(&m.b->q, 0);
    load_operand<D, forward_memory<D>::ROWS>(x->q, m.q, row);
}

/* Scores become probabilities; factor: what the sums so far must be multiplied by. */
template <int D> GPU_DEVICE void forward_softmax(struct forward_rows<D> *x, float (&s)[8][4], float (&factor)[2], const struct key_walk &w, float scale)
{
    bool hides = walk_seen(w, x->least) < SM90_STEP;
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        if (hides)
            hide(s, half, walk_seen(w, x->own[half]));
        factor[half] = softmax_step(s, half, scale, &x->sums.max[0][half], &x->sums.sum[0][half]);
    }
}

/* Times 1 changes no bit: mostly no row of a warp has a new maximum. */
template <int D> GPU_DEVICE void scale_sums(struct forward_rows<D> *x, const float (&factor)[2])
{
    if (!gpu_ballot(factor[0] != 1.0f || factor[1] != 1.0f))
        return;
    scale_rows(x->o, 0, factor[0]);
    scale_rows(x->o, 1, factor[1]);
}

template <int D> GPU_DEVICE void first_step(struct forward_rows<D> *x, const struct forward_memory<D> &m, const struct key_walk &w, bool last_step, float scale)
{
    float s[8][4], factor[2];
    gpu_mbarrier_wait(&m.b->k_full[0], 0);
    take_turn<D>();
    gpu_multiply_begin();
    begin_rows<D, SM90_STEP>(s, x->q, m.k);
    give_turn<D>(last_step);
    gpu_multiply_wait<0>();
    gpu_multiply_done(s);
    free_stage(&m.b->k_free[0]);
    forward_softmax(x, s, factor, w, scale);
    as_operands(x->p, s);
}

/* Scores of the step at `r` and, behind them, o += P v of the step at `before`: the softmax is done while the latter is under way. */
template <int D, int STAGES>
GPU_DEVICE void forward_step(struct forward_rows<D> *x, const struct forward_memory<D> &m, struct ring<STAGES> before, struct ring<STAGES> r, const struct key_walk &w, bool last_step,
                             float scale)
{
    float s[8][4], factor[2];
    gpu_mbarrier_wait(&m.b->k_full[r.stage], r.parity);
    take_turn<D>();
    gpu_multiply_begin();
    begin_rows<D, SM90_STEP>(s, x->q, m.k + r.stage * SM90_STEP * D);
    gpu_mbarrier_wait(&m.b->v_full[before.stage], before.parity);
    gpu_multiply_begin();
    begin_columns<D>(x->o, x->p, m.v + before.stage * SM90_STEP * D);
    give_turn<D>(last_step);
    gpu_multiply_wait<1>();
    gpu_multiply_done(s);
    free_stage(&m.b->k_free[r.stage]);
    forward_softmax(x, s, factor, w, scale);
    gpu_multiply_wait<0>();
    gpu_multiply_done(x->o);
    free_stage(&m.b->v_free[before.stage]);
    scale_sums(x, factor);
    as_operands(x->p, s);
}

template <int D, int STAGES> GPU_DEVICE void last_values(struct forward_rows<D> *x, const struct forward_memory<D> &m, struct ring<STAGES> r)
{
    gpu_mbarrier_wait(&m.b->v_full[r.stage], r.parity);
    gpu_multiply_begin();
    begin_columns<D>(x->o, x->p, m.v + r.stage * SM90_STEP * D);
    gpu_multiply_wait<0>();
    gpu_multiply_done(x->o);
    free_stage(&m.b->v_free[r.stage]);
}

/* Steps that the warpgroup's rows do not see: the last ones of a walk. */
template <int D, int STAGES> GPU_DEVICE void leave_out(const struct forward_memory<D> &m, struct ring<STAGES> r, bool last_step)
{
    take_turn<D>();
    give_turn<D>(last_step);
    gpu_mbarrier_wait(&m.b->k_full[r.stage], r.parity);
    gpu_mbarrier_wait(&m.b->v_full[r.stage], r.parity);
    gpu_warp_barrier();                 /* a lane that had not waited yet would wait for the stage's next filling */
    free_stage(&m.b->k_free[r.stage]);
    free_stage(&m.b->v_free[r.stage]);
}

template <int D> GPU_DEVICE void forward_consumer(const struct sm90_launch &l, const struct forward_memory<D> &m, const struct row_tile &t, struct key_walk w)
{
    int group_row = (gpu_warpgroup() - 1) * SM90_ROWS, row = group_row + gpu_warp() % 4 * 16, own = warp_own(l.l.a, t, group_row, SM90_ROWS);
    float scale = l.l.a.scale * LOG2_E;
    struct forward_rows<D> x;
    struct ring<m.STAGES> before = {}, r = {};
    start_rows(&x, l, m, t, row);
    if (gpu_warpgroup() == m.CONSUMERS)
        gpu_part_arrive(1, 2 * WARPGROUP);
    if (!walk_ended(w) && warp_sees(w, own)) {
        struct key_walk next = walk_next(w, SM90_STEP);
        first_step(&x, m, w, walk_ended(next), scale);
        for (w = next, r = ring_next(r); !walk_ended(w) && warp_sees(w, own); w = next, before = r, r = ring_next(r)) {
            next = walk_next(w, SM90_STEP);
            forward_step(&x, m, before, r, w, walk_ended(next), scale);
        }
        last_values(&x, m, before);
    }
    for (; !walk_ended(w); r = ring_next(r)) {
        w = walk_next(w, SM90_STEP);
        leave_out(m, r, walk_ended(w));
    }
    softmax_end(&x.sums, l.l.a, t, row);
    store_blocks<D, forward_memory<D>::ROWS>(l.l.a.o_THD, t.map, t.first, t.n, m.q, row, x.o, x.sums.sum[0]);
}

template <int D> GPU_DEVICE void forward(const struct sm90_launch &l)
{
    const int KEPT = D == 64 ? 32 : 40, TAKEN = D == 64 ? 160 : 232;
    struct forward_memory<D> m = forward_memory_of<D>();
    struct row_tile t = row_tile_of(l.l, l.box_rows);
    struct key_walk w = walk_start(l.l.a, t.run, t.map, t.first + t.n - 1, SM90_STEP);
    make_barriers(m);
    if (gpu_warpgroup() > 0) {
        gpu_take_registers<TAKEN>();
        forward_consumer(l, m, t, w);
        return;
    }
    gpu_keep_registers<KEPT>();
    if (gpu_thread() == 0)
        copy_walk(l, m, t, w);
    else if (gpu_warp() == 1)
        mend_walk(m, w);
}

GPU_KERNEL_ALONE(attention_sm90_forward_64, 128 * (SM90_FORWARD_CONSUMERS(64) + 1), struct sm90_launch, l) { forward<64>(l); }
GPU_KERNEL_ALONE(attention_sm90_forward_128, 128 * (SM90_FORWARD_CONSUMERS(128) + 1), struct sm90_launch, l) { forward<128>(l); }
