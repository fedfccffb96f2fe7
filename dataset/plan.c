/* plan: see plan.h. Pools grow and are reused from step to step. */
#include "dataset/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "base/status.h"

struct plan {
    const struct plan_set *set;
    struct plan_options o;
    struct step_plan step;
    int64_t max_parts;
    int32_t n_leaf, max_leaf, n_comparison, max_comparison;
    uint64_t *order;            /* permutation of epoch order_epoch */
    int64_t order_epoch;
    bool want_critique, want_reward, evaluating;
    struct plan_part **by_cost; /* [max_parts] */
    int64_t *load;              /* [data_size] operations, then reused per rank */
    int64_t *room;              /* rows used of each micro-batch of the rank being packed */
    int64_t max_room;
};

/* ---- pools --------------------------------------------------------------------------------------------------------------------------------- */

static int grow(void **pool, int64_t need, int64_t *max, size_t elem)
{
    if (need <= *max)
        return OK;
    int64_t size = need + need / 2 + 64;
    void *grown = realloc(*pool, (size_t)size * elem);
    CHECK(grown, "out of memory for the step plan");
    *pool = grown;
    *max = size;
    return OK;
}

static int grow32(void **pool, int32_t need, int32_t *max, size_t elem)
{
    int64_t wide = *max;
    TRY(grow(pool, need, &wide, elem));
    *max = (int32_t)wide;
    return OK;
}

static int push_leaf(struct plan *p, struct plan_leaf leaf)
{
    TRY(grow32((void **)&p->step.leaf, p->n_leaf + 1, &p->max_leaf, sizeof leaf));
    p->step.leaf[p->n_leaf++] = leaf;
    return OK;
}

static int push_comparison(struct plan *p, int32_t chosen, int32_t rejected)
{
    TRY(grow32((void **)&p->step.comparison, p->n_comparison + 1, &p->max_comparison, sizeof *p->step.comparison));
    p->step.comparison[p->n_comparison++] = (struct plan_comparison){chosen, rejected};
    return OK;
}

/* ---- lengths of a pair ----------------------------------------------------------------------------------------------------------------------- */

static int32_t critiques_of(const struct plan *p, int64_t pair, int side)
{
    return (int32_t)(p->set->first_critique[2 * pair + side + 1] - p->set->first_critique[2 * pair + side]);
}

static int32_t critique_tokens(const struct plan *p, int64_t pair, int side, int32_t leaf)
{
    return leaf < 0 ? 0 : p->set->n_critique[p->set->first_critique[2 * pair + side] + leaf];
}

static int32_t response_tokens(const struct plan *p, int64_t pair, int side)
{
    int32_t n = p->set->n_response[2 * pair + side];
    return n > p->o.lead_in ? n - p->o.lead_in : n;
}

static bool without_critiques(const struct plan *p) { return p->o.mode == MODE_REWARD_ONLY; }

/* ---- which leaves and comparisons ------------------------------------------------------------------------------------------------------------ */

static int32_t min32(int32_t a, int32_t b) { return a < b ? a : b; }

struct pair_work { int64_t pair; int32_t n[2], zip, sample[2], n_comparisons; };

/* Comparisons of a pair: zip the first min; sample one drawn by the pair's source and the epoch; cross all. */
static struct pair_work work_of(const struct plan *p, int64_t pair)
{
    struct pair_work w = {.pair = pair, .n = {1, 1}};
    for (int side = 0; side < 2 && !without_critiques(p); side++)
        w.n[side] = critiques_of(p, pair, side);
    w.zip = min32(w.n[0], w.n[1]);
    w.n_comparisons = p->o.pairing == PAIRING_ZIP ? w.zip : p->o.pairing == PAIRING_SAMPLE ? w.zip > 0 : w.n[0] * w.n[1];
    if (p->o.pairing == PAIRING_SAMPLE && w.zip > 0) {
        struct philox random = philox_make(p->o.seed, PHILOX_PAIRING, (uint32_t)p->step.epoch, p->set->source[pair]);
        for (int side = 0; side < 2; side++)
            w.sample[side] = (int32_t)philox_below(&random, (uint32_t)side, (uint64_t)w.n[side]);
    }
    if (p->evaluating || !p->want_reward)
        w.n_comparisons = 0;
    return w;
}

static bool is_compared(const struct plan *p, const struct pair_work *w, int side, int32_t leaf)
{
    if (w->n_comparisons == 0)
        return false;
    if (p->o.pairing == PAIRING_SAMPLE)
        return leaf == w->sample[side];
    return p->o.pairing == PAIRING_CROSS || leaf < w->zip;
}

static bool is_wanted(const struct plan *p, const struct pair_work *w, int side, int32_t leaf) { return p->want_critique || p->evaluating || is_compared(p, w, side, leaf); }

/* ---- parts ----------------------------------------------------------------------------------------------------------------------------------- */

/* Rows of a leaf: its text, and the reward token where its reward is read. */
static int32_t leaf_rows(const struct plan *p, const struct pair_work *w, int side, struct plan_leaf leaf)
{
    return critique_tokens(p, w->pair, side, leaf.critique) + leaf.reward;
}

static int cost_of(struct plan *p, const struct pair_work *w, const struct plan_part *part, bool share, struct tree_cost *out)
{
    int32_t n = part->n_leaves[0] + part->n_leaves[1];
    int32_t *rows = malloc(((size_t)n + 1) * sizeof *rows);
    CHECK(rows, "out of memory for the step plan");
    struct tree_shape shape = {.n_prompt = p->set->n_prompt[w->pair]};
    for (int side = 0, at = 0; side < 2; side++) {
        shape.n_response[side] = response_tokens(p, w->pair, side);
        shape.n_leaves[side] = part->n_leaves[side];
        shape.leaf_tokens[side] = rows + at;
        for (int32_t i = 0; i < part->n_leaves[side]; i++)
            rows[at++] = leaf_rows(p, w, side, p->step.leaf[part->first_leaf[side] + i]);
    }
    *out = tree_cost(&shape, share);
    free(rows);
    return OK;
}

/* Rows whose logits are computed: shared, the first target of all critiques of a response is predicted by one row. */
static int64_t prediction_rows(const struct plan *p, const struct pair_work *w, const struct plan_part *part)
{
    int64_t rows = 0;
    for (int side = 0; side < 2 && p->want_critique && !without_critiques(p); side++) {
        for (int32_t i = 0; i < part->n_leaves[side]; i++)
            rows += critique_tokens(p, w->pair, side, p->step.leaf[part->first_leaf[side] + i].critique);
        rows -= p->o.share_prefix && part->n_leaves[side] > 0 ? part->n_leaves[side] - 1 : 0;
    }
    return rows;
}

static int close_part(struct plan *p, const struct pair_work *w, struct plan_part *part)
{
    struct tree_cost cost, unshared;
    TRY(cost_of(p, w, part, p->o.share_prefix, &cost));
    TRY(cost_of(p, w, part, false, &unshared));
    part->pair = w->pair;
    part->tokens = cost.tokens;
    part->operations = cost.tokens * p->o.token_cost + cost.attention_pairs * p->o.attention_cost + prediction_rows(p, w, part) * p->o.head_cost;
    p->step.tokens += cost.tokens;
    p->step.tokens_unshared += unshared.tokens;
    TRY(grow((void **)&p->step.part, p->step.n_parts + 1, &p->max_parts, sizeof *part));
    p->step.part[p->step.n_parts++] = *part;
    return OK;
}

/* Leaves of each side in [from, to) that are wanted; a part of the whole pair, or of a run of critique numbers. Comparisons whose ends both lie inside. */
static int make_part(struct plan *p, const struct pair_work *w, const int32_t from[2], const int32_t to[2])
{
    struct plan_part part = {.first_comparison = p->n_comparison};
    for (int side = 0; side < 2; side++) {
        part.first_leaf[side] = p->n_leaf;
        for (int32_t i = from[side]; i < to[side]; i++)
            if (is_wanted(p, w, side, i))
                TRY(push_leaf(p, (struct plan_leaf){without_critiques(p) ? -1 : i, p->want_reward && (p->evaluating || is_compared(p, w, side, i))}));
        part.n_leaves[side] = p->n_leaf - part.first_leaf[side];
    }
    for (int32_t i = 0; i < part.n_leaves[0] && w->n_comparisons > 0; i++)
        for (int32_t j = 0; j < part.n_leaves[1]; j++) {
            int32_t a = p->step.leaf[part.first_leaf[0] + i].critique, b = p->step.leaf[part.first_leaf[1] + j].critique;
            bool both = without_critiques(p) || (is_compared(p, w, 0, a) && is_compared(p, w, 1, b));
            if (both && (p->o.pairing == PAIRING_CROSS || p->o.pairing == PAIRING_SAMPLE || a == b))
                TRY(push_comparison(p, i, j));
        }
    part.n_comparisons = p->n_comparison - part.first_comparison;
    return close_part(p, w, &part);
}

static void drop_part(struct plan *p, const struct plan_part *part)
{
    p->step.n_parts--;
    p->step.tokens -= part->tokens;
    p->n_leaf = part->first_leaf[0];
    p->n_comparison = part->first_comparison;
}

/* Numbers [first, end) of both sides, grown while they fit. The sampled comparison's two ends may have different numbers: its part holds both and the rest follow. */
static int split_pair(struct plan *p, const struct pair_work *w)
{
    int32_t most = w->n[0] > w->n[1] ? w->n[0] : w->n[1];
    for (int32_t first = 0; first < most;) {
        int32_t end = first + 1;
        for (; end <= most; end++) {
            const int32_t from[2] = {min32(first, w->n[0]), min32(first, w->n[1])}, to[2] = {min32(end, w->n[0]), min32(end, w->n[1])};
            int64_t unshared = p->step.tokens_unshared;
            TRY(make_part(p, w, from, to));
            bool fits = p->step.part[p->step.n_parts - 1].tokens <= p->o.micro_batch_tokens || end == first + 1;
            struct plan_part made = p->step.part[p->step.n_parts - 1];
            bool last = end == most || !fits;
            if (fits && last)
                return made.n_leaves[0] + made.n_leaves[1] == 0 ? (drop_part(p, &made), OK) : OK;
            drop_part(p, &made);
            p->step.tokens_unshared = unshared;
            if (!fits)
                break;
        }
        const int32_t from[2] = {min32(first, w->n[0]), min32(first, w->n[1])}, to[2] = {min32(end - 1, w->n[0]), min32(end - 1, w->n[1])};
        TRY(make_part(p, w, from, to));
        struct plan_part made = p->step.part[p->step.n_parts - 1];
        if (made.n_leaves[0] + made.n_leaves[1] == 0)
            drop_part(p, &made);
        first = end - 1;
    }
    return OK;
}

/* A sampled comparison of unequal numbers in a tree to be split: its two leaves make the first part, the others follow one number at a time without it. */
static int split_sampled(struct plan *p, struct pair_work w)
{
    const int32_t from[2] = {w.sample[0], w.sample[1]}, to[2] = {w.sample[0] + 1, w.sample[1] + 1};
    TRY(make_part(p, &w, from, to));
    struct pair_work rest = w;
    rest.n_comparisons = 0;
    for (int side = 0; side < 2 && p->want_critique; side++)
        for (int32_t i = 0; i < w.n[side]; i++) {
            int32_t a[2] = {0, 0}, b[2] = {0, 0};
            if (i == w.sample[side])
                continue;
            a[side] = i;
            b[side] = i + 1;
            TRY(make_part(p, &rest, a, b));
        }
    return OK;
}

static int add_pair(struct plan *p, int64_t pair, struct pair_work *w)
{
    const int32_t none[2] = {0, 0};
    *w = work_of(p, pair);
    int64_t unshared = p->step.tokens_unshared;
    TRY(make_part(p, w, none, w->n));
    struct plan_part whole = p->step.part[p->step.n_parts - 1];
    if (whole.n_leaves[0] + whole.n_leaves[1] == 0) {
        drop_part(p, &whole);
        return OK;
    }
    if (whole.tokens <= p->o.micro_batch_tokens)
        return OK;
    drop_part(p, &whole);
    p->step.tokens_unshared = unshared;
    bool sampled = p->o.pairing == PAIRING_SAMPLE && w->n_comparisons > 0;
    return sampled ? split_sampled(p, *w) : split_pair(p, w);
}

/* ---- weights --------------------------------------------------------------------------------------------------------------------------------- */

static void count_targets(struct plan *p, const struct pair_work *w)
{
    for (int side = 0; side < 2 && p->want_critique; side++)
        for (int32_t i = 0; i < w->n[side]; i++)
            p->step.n_targets += critique_tokens(p, w->pair, side, i);
}

/* token: 1/W for every target; sequence: 1/(|Z| |B|); comparisons: 1/(number of the pair's comparisons x |B|). Evaluation: 1. */
static void set_weights(struct plan *p, int64_t first_part, const struct pair_work *w)
{
    double pairs = (double)p->step.n_pairs;
    for (int64_t i = first_part; i < p->step.n_parts; i++) {
        struct plan_part *part = &p->step.part[i];
        for (int side = 0; side < 2; side++) {
            double token = p->step.n_targets > 0 ? 1.0 / (double)p->step.n_targets : 0.0;
            double sequence = w->n[side] > 0 ? 1.0 / ((double)w->n[side] * pairs) : 0.0;
            part->leaf_weight[side] = !p->want_critique ? 0.0 : p->evaluating ? 1.0 : p->o.critique_norm == NORM_TOKEN ? token : sequence;
        }
        part->comparison_weight = w->n_comparisons > 0 ? 1.0 / ((double)w->n_comparisons * pairs) : 0.0;
    }
}

/* ---- who computes what ----------------------------------------------------------------------------------------------------------------------- */

static int by_operations(const void *a, const void *b)
{
    const struct plan_part *x = *(struct plan_part *const *)a, *y = *(struct plan_part *const *)b;
    if (x->operations != y->operations)
        return x->operations > y->operations ? -1 : 1;
    return x->pair != y->pair ? (x->pair < y->pair ? -1 : 1) : (x > y) - (x < y);
}

static int64_t padded(const struct plan *p, int64_t tokens) { return (tokens + p->o.row_multiple - 1) / p->o.row_multiple * p->o.row_multiple; }

/* First fit, largest first, among the rank's micro-batches. */
static int pack_rank(struct plan *p, int rank, int *n_used)
{
    int n = 0;
    for (int64_t i = 0; i < p->step.n_parts; i++) {
        struct plan_part *part = p->by_cost[i];
        if (part->data_rank != rank)
            continue;
        int m = 0;
        while (m < n && p->room[m] + part->tokens > p->o.micro_batch_tokens)
            m++;
        if (m == n) {
            TRY(grow((void **)&p->room, n + 1, &p->max_room, sizeof *p->room));
            p->room[n++] = 0;
        }
        p->room[m] += part->tokens;
        part->micro_batch = m;
    }
    *n_used = n;
    return OK;
}

static int assign(struct plan *p)
{
    struct plan_part **grown = realloc(p->by_cost, ((size_t)p->step.n_parts + 1) * sizeof *grown);
    CHECK(grown, "out of memory for the step plan");
    p->by_cost = grown;
    for (int64_t i = 0; i < p->step.n_parts; i++)
        grown[i] = &p->step.part[i];
    qsort(grown, (size_t)p->step.n_parts, sizeof *grown, by_operations);
    memset(p->load, 0, (size_t)p->o.data_size * sizeof *p->load);
    for (int64_t i = 0; i < p->step.n_parts; i++) {
        int best = 0;
        for (int r = 1; r < p->o.data_size; r++)
            if (p->load[r] < p->load[best])
                best = r;
        grown[i]->data_rank = best;
        p->load[best] += grown[i]->operations;
        p->step.operations += grown[i]->operations;
    }
    p->step.n_micro_batches = 0;
    for (int r = 0; r < p->o.data_size; r++) {
        int used;
        TRY(pack_rank(p, r, &used));
        if (used > p->step.n_micro_batches)
            p->step.n_micro_batches = used;
    }
    return OK;
}

/* ---- steps ----------------------------------------------------------------------------------------------------------------------------------- */

int64_t plan_steps_per_epoch(const struct plan *p) { return (p->set->n_pairs + p->o.pairs_per_step - 1) / p->o.pairs_per_step; }

static void begin(struct plan *p, int64_t step, int64_t epoch, int64_t n_pairs)
{
    struct step_plan *s = &p->step;
    s->step = step;
    s->epoch = epoch;
    s->n_pairs = n_pairs;
    s->n_targets = s->n_comparisons = s->tokens = s->tokens_unshared = s->operations = s->n_parts = 0;
    p->n_leaf = p->n_comparison = 0;
}

static int fill(struct plan *p, const uint64_t *order, int64_t first, int64_t n)
{
    struct pair_work w;
    for (int64_t i = 0; i < n; i++) {           /* the normalisers first: weights need them */
        w = work_of(p, order ? (int64_t)order[first + i] : first + i);
        count_targets(p, &w);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t first_part = p->step.n_parts;
        TRY(add_pair(p, order ? (int64_t)order[first + i] : first + i, &w));
        set_weights(p, first_part, &w);
        p->step.n_comparisons += w.n_comparisons;
    }
    return assign(p);
}

int plan_step(struct plan *p, int64_t step, const struct step_plan **out)
{
    int64_t T = plan_steps_per_epoch(p), epoch = step / T, first = step % T * p->o.pairs_per_step;
    int64_t left = p->set->n_pairs - first, n = left < p->o.pairs_per_step ? left : p->o.pairs_per_step;
    double lambda = p->o.lambda(p->o.lambda_context, step);
    if (epoch != p->order_epoch) {
        philox_permutation(p->o.seed, (uint32_t)epoch, (uint64_t)p->set->n_pairs, p->order);
        p->order_epoch = epoch;
    }
    p->evaluating = false;
    p->want_critique = lambda > 0.0 && !without_critiques(p);
    p->want_reward = lambda < 1.0;
    begin(p, step, epoch, n);
    TRY(fill(p, p->order, first, n));
    *out = &p->step;
    return OK;
}

int plan_evaluation(struct plan *p, int64_t first, int64_t n, const struct step_plan **out)
{
    p->evaluating = true;
    p->want_critique = !without_critiques(p);
    p->want_reward = p->o.mode != MODE_CRITIQUE_ONLY;
    begin(p, -1, 0, n);
    TRY(fill(p, NULL, first, n));
    *out = &p->step;
    return OK;
}

static void add_capacity(const struct plan *p, const struct step_plan *s, struct plan_capacity *use /* [data_size][n_micro_batches] */)
{
    for (int64_t i = 0; i < s->n_parts; i++) {
        const struct plan_part *part = &s->part[i];
        struct plan_capacity *u = &use[part->data_rank * s->n_micro_batches + part->micro_batch];
        u->rows += part->tokens;
        u->comparisons += part->n_comparisons;
        for (int side = 0; side < 2; side++)
            for (int32_t k = 0; k < part->n_leaves[side]; k++) {
                const struct plan_leaf *leaf = &s->leaf[part->first_leaf[side] + k];
                u->rewards += leaf->reward;
                u->predictions += part->leaf_weight[side] != 0.0 ? critique_tokens(p, part->pair, side, leaf->critique) : 0;
            }
    }
}

static void widen(const struct plan *p, const struct plan_capacity *u, struct plan_capacity *most)
{
    int64_t rows = padded(p, u->rows);
    most->rows = rows > most->rows ? rows : most->rows;
    most->predictions = u->predictions > most->predictions ? u->predictions : most->predictions;
    most->rewards = u->rewards > most->rewards ? u->rewards : most->rewards;
    most->comparisons = u->comparisons > most->comparisons ? u->comparisons : most->comparisons;
}

int plan_step_capacity(const struct plan *p, const struct step_plan *s, struct plan_capacity *most)
{
    int64_t n = (int64_t)p->o.data_size * s->n_micro_batches;
    struct plan_capacity *use = calloc((size_t)n + 1, sizeof *use);
    CHECK(use, "out of memory for the step plan");
    add_capacity(p, s, use);
    for (int64_t i = 0; i < n; i++)
        widen(p, &use[i], most);
    free(use);
    return OK;
}

int plan_capacity(struct plan *p, struct plan_capacity *out)
{
    *out = (struct plan_capacity){.rows = p->o.row_multiple, .predictions = 1, .rewards = 1, .comparisons = 1};
    for (int64_t step = 0; step < p->o.epochs * plan_steps_per_epoch(p); step++) {
        const struct step_plan *s;
        TRY(plan_step(p, step, &s));
        TRY(plan_step_capacity(p, s, out));
    }
    return OK;
}

/* ---- open ------------------------------------------------------------------------------------------------------------------------------------ */

/* Rows of the pair's whole tree, and of its longest path, with every reward read. */
static void measure_pair(const struct plan *p, int64_t pair, int64_t *whole, int64_t *longest)
{
    int64_t x = p->set->n_prompt[pair];
    *longest = 0;
    *whole = p->o.share_prefix ? x : 0;
    for (int side = 0; side < 2; side++) {
        int32_t n = without_critiques(p) ? 1 : critiques_of(p, pair, side);
        int64_t y = response_tokens(p, pair, side), above = p->o.share_prefix ? 0 : x + y;
        *whole += p->o.share_prefix ? y : 0;
        *longest = x + y > *longest ? x + y : *longest;
        for (int32_t i = 0; i < n; i++) {
            int64_t z = (int64_t)critique_tokens(p, pair, side, without_critiques(p) ? -1 : i) + 1;
            *whole += above + z;
            *longest = x + y + z > *longest ? x + y + z : *longest;
        }
    }
}

/* Has the pair what the mode reads? */
static int check_sides(const struct plan *p, int64_t pair)
{
    unsigned long long source = p->set->source[pair];
    for (int side = 0; side < 2; side++) {
        CHECK_USAGE(p->o.mode != MODE_REWARD_ONLY || response_tokens(p, pair, side) > 0, "%s: record %llu is a conversation: reward-only reads pairs; use objective.mode critique-only",
                    p->o.set_name, source);
        CHECK_USAGE(p->o.mode == MODE_REWARD_ONLY || p->o.mode == MODE_CRITIQUE_ONLY || critiques_of(p, pair, side) > 0,
                    "%s: record %llu has no critique of its %s response: this mode reads critiques of both; use objective.mode reward-only, or import a set with critiques", p->o.set_name, source,
                    side ? "rejected" : "chosen");
    }
    CHECK_USAGE(p->o.mode != MODE_CRITIQUE_ONLY || critiques_of(p, pair, 0) + critiques_of(p, pair, 1) > 0,
                "%s: record %llu has neither a critique nor a conversation to learn from: import a set with critiques", p->o.set_name, source);
    return OK;
}

static int check_pair(const struct plan *p, int64_t pair)
{
    int64_t whole, longest;
    unsigned long long source = p->set->source[pair];
    TRY(check_sides(p, pair));
    measure_pair(p, pair, &whole, &longest);
    CHECK(longest <= p->o.max_path_tokens, "%s: record %llu has a path of %lld tokens, more than data.max_path_tokens %lld: make the set anew with that limit, or raise it", p->o.set_name,
          source, (long long)longest, (long long)p->o.max_path_tokens);
    CHECK_USAGE(p->o.pairing != PAIRING_CROSS || p->o.mode == MODE_CRITIQUE_ONLY || whole <= p->o.micro_batch_tokens,
                "%s: pairing cross keeps a tree whole, and that of record %llu has %lld tokens, more than mesh.micro_batch_tokens %lld: raise it, or use pairing zip", p->o.set_name, source,
                (long long)whole, (long long)p->o.micro_batch_tokens);
    return OK;
}

int plan_check_sizes(const struct plan_options *o)
{
    CHECK_USAGE(o->micro_batch_tokens >= 2 * o->max_path_tokens, "mesh.micro_batch_tokens %lld is less than two paths of data.max_path_tokens %lld: raise the one or lower the other",
                (long long)o->micro_batch_tokens, (long long)o->max_path_tokens);
    CHECK_USAGE(o->data_size <= o->pairs_per_step, "the data axis of %d ranks is larger than objective.pairs_per_step %lld: ranks would idle", o->data_size, (long long)o->pairs_per_step);
    return OK;
}

static int check(const struct plan *p)
{
    TRY(plan_check_sizes(&p->o));
    CHECK(p->set->n_pairs > 0, "%s: the set is empty", p->o.set_name);
    for (int64_t i = 0; i < p->set->n_pairs; i++)
        TRY(check_pair(p, i));
    return OK;
}

int plan_create(const struct plan_set *set, const struct plan_options *options, struct plan **out)
{
    int status = OK;
    struct plan *p = calloc(1, sizeof *p);
    CHECK(p, "out of memory for the step plan");
    p->set = set;
    p->o = *options;
    p->order_epoch = -1;
    p->order = calloc((size_t)set->n_pairs + 1, sizeof *p->order);
    p->load = calloc((size_t)options->data_size, sizeof *p->load);
    CHECK_DONE(p->order && p->load, "out of memory for the order of %lld pairs", (long long)set->n_pairs);
    TRY_DONE(check(p));
    *out = p;
    return OK;
done:
    plan_free(&p);
    return status;
}

void plan_free(struct plan **out)
{
    struct plan *p = *out;
    if (!p)
        return;
    free(p->step.part);
    free(p->step.leaf);
    free(p->step.comparison);
    free(p->order);
    free(p->by_cost);
    free(p->load);
    free(p->room);
    free(p);
    *out = NULL;
}
