/* heldout: see heldout.h. Rewards of a forest stand in the order of the plan's parts, sides and leaves. */
#include "trainer/eval/heldout.h"

#include <math.h>
#include <stdlib.h>

#include "comm/watchdog.h"

/* Sum and count of rewards of each response, [2 n] each, and of targets. */
struct tally { int64_t n; double *sum, *count; double targets; };

static int64_t passes(const struct heldout *h) { return (h->view->n_pairs + h->pairs_per_pass - 1) / h->pairs_per_pass; }

static int plan_pass(const struct heldout *h, int64_t pass, const struct step_plan **out)
{
    int64_t first = pass * h->pairs_per_pass, left = h->view->n_pairs - first;
    return plan_evaluation(h->plan, first, left < h->pairs_per_pass ? left : h->pairs_per_pass, out);
}

int heldout_capacity(const struct heldout *h, struct plan_capacity *most)
{
    for (int64_t pass = 0; pass < passes(h); pass++) {
        const struct step_plan *plan;
        TRY(plan_pass(h, pass, &plan));
        TRY(plan_step_capacity(h->plan, plan, most));
    }
    return OK;
}

static void add_rewards(const struct step_plan *plan, int rank, int micro_batch, const float *reward, struct tally *tally)
{
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        if (part->data_rank != rank || part->micro_batch != micro_batch)
            continue;
        for (int side = 0; side < 2; side++)
            for (int32_t k = 0; k < part->n_leaves[side]; k++)
                if (plan->leaf[part->first_leaf[side] + k].reward) {
                    tally->sum[2 * part->pair + side] += (double)*reward++;
                    tally->count[2 * part->pair + side] += 1.0;
                }
    }
}

static int run_pass(struct trainer *t, const struct heldout *h, int64_t pass, struct tally *tally)
{
    int status = OK, rank = t->mesh->data->rank;
    struct step_batch batch = {0};
    const struct step_plan *plan;
    TRY(plan_pass(h, pass, &plan));
    TRY(step_batch_make(h->view, plan, &h->options, &h->layout, rank, &batch));
    tally->targets += (double)plan->n_targets;
    for (int m = 0; m < batch.n_micro_batches; m++) {
        const void *hidden_TC;
        const float *reward;
        const struct placed_forest *placed;
        if (batch.forest[m].n_rows == 0)
            continue;
        TRY_DONE(forest_enter(t->places, &batch.forest[m], &placed));
        TRY_DONE(backbone_forward(t->backbone, placed, &hidden_TC));
        TRY_DONE(heads_run(t->heads, placed, hidden_TC, NULL, 0.0));
        TRY_DONE(forest_leave(t->places, placed));
        TRY_DONE(heads_rewards(t->heads, &reward));
        add_rewards(plan, rank, m, reward, tally);
    }
done:
    step_batch_free(&batch);
    return status;
}

static void judge(const struct tally *tally, double *difference, struct heldout_result *out)
{
    double correct = 0.0, margin = 0.0;
    for (int64_t i = 0; i < tally->n; i++) {
        double d = tally->sum[2 * i] / tally->count[2 * i] - tally->sum[2 * i + 1] / tally->count[2 * i + 1];
        correct += d > 0.0;
        margin += d;
        if (difference)
            difference[i] = d;
    }
    out->accuracy = correct / (double)tally->n;
    out->margin = margin / (double)tally->n;
}

int heldout_evaluate(struct trainer *t, const struct heldout *h, bool with_rewards, double *difference, struct heldout_result *out)
{
    int status = OK;
    struct loss_sums sums;
    size_t n = 2 * (size_t)h->view->n_pairs;
    struct tally tally = {.n = h->view->n_pairs, .sum = calloc(n + 1, sizeof(double)), .count = calloc(n + 1, sizeof(double))};
    watchdog_phase("evaluation", WATCHDOG_COMPUTE);
    *out = (struct heldout_result){NAN, NAN, NAN, h->view->n_pairs};
    CHECK_DONE(tally.sum && tally.count, "out of memory for an evaluation of %lld pairs", (long long)tally.n);
    TRY_DONE(heads_reset(t->heads));
    for (int64_t pass = 0; pass < passes(h); pass++)
        TRY_DONE(run_pass(t, h, pass, &tally));
    TRY_DONE(heads_queue_sums(t->heads));
    TRY_DONE(t->device->ops->synchronize(&t->device->stream));
    sums = heads_sums(t->heads);
    TRY_DONE(all_reduce(t->mesh->data, &sums, sizeof sums / sizeof(double), COMM_F64, COMM_SUM, NULL));
    TRY_DONE(all_reduce(t->mesh->data, tally.sum, (int64_t)n, COMM_F64, COMM_SUM, NULL));
    TRY_DONE(all_reduce(t->mesh->data, tally.count, (int64_t)n, COMM_F64, COMM_SUM, NULL));
    if (tally.targets > 0.0)
        out->perplexity = exp(sums.critique / tally.targets);
    if (with_rewards && tally.n > 0)
        judge(&tally, difference, out);
done:
    free(tally.sum);
    free(tally.count);
    return status;
}
