/* gradients: see the header. */
#include "tests/tools/gradients.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int status)
{
    if (status == OK)
        return;
    fprintf(stderr, "%s (%s)\n", trace_sentence(), trace_place());
    abort();
}

static void copy_to_host(struct tiny_run *run, struct gradients *out)
{
    struct device *device = run->device;
    const struct param_table *t = run->trainer->table;
    for (int i = 0; i < t->n; i++)
        out->n += t->params[i].n_local;
    float *at = out->grad = malloc((size_t)out->n * sizeof(float));
    must(at ? OK : FAIL("out of memory"));
    for (int i = 0; i < t->n; at += t->params[i++].n_local)
        must(device->ops->copy(&device->stream, at, store_grad(run->trainer->store, i), (size_t)t->params[i].n_local * sizeof(float), DEVICE_TO_HOST));
    must(device->ops->synchronize(&device->stream));
}

void gradients_of(struct tiny_run *run, int64_t step, struct gradients *out)
{
    struct step_batch batch;
    *out = (struct gradients){0};
    tiny_run_batch(run, step, &batch);
    must(train_gradients(run->trainer, &batch, &out->sums));
    step_batch_free(&batch);
    copy_to_host(run, out);
}

void gradients_free(struct gradients *g)
{
    free(g->grad);
    *g = (struct gradients){0};
}

/* Element `local` of a rank's box of p, as its number in the global tensor. */
static int64_t global_number(const struct param *p, int64_t local)
{
    int64_t row = local / p->local_shape[1], col = local % p->local_shape[1];
    return (row + p->box_offset[0]) * p->shape[1] + col + p->box_offset[1];
}

static const float *of_param(const struct tiny_run *run, const struct gradients *g, int param)
{
    const float *at = g->grad;
    for (int i = 0; i < param; i++)
        at += run->trainer->table->params[i].n_local;
    return at;
}

struct gradient_gap gradients_gap(struct tiny_run *run, const struct gradients *g, int param, const struct tiny_run *whole, const struct gradients *oracle)
{
    const struct param *p = &run->trainer->table->params[param];
    const struct range owned = run->trainer->store->bucket[p->bucket].owned;
    const float *got = of_param(run, g, param), *want = of_param(whole, oracle, param);
    double sums[4] = {0.0};     /* of (got - want)^2, want^2, got^2, got want */
    for (int64_t i = 0; i < p->n_local; i++) {
        if (p->offset + i < owned.first || p->offset + i >= owned.first + owned.count)
            continue;
        double x = (double)got[i], y = (double)want[global_number(p, i)];
        sums[0] += (x - y) * (x - y), sums[1] += y * y, sums[2] += x * x, sums[3] += x * y;
    }
    must(all_reduce(run->mesh->world, sums, 4, COMM_F64, COMM_SUM, NULL));
    bool both = sums[1] != 0.0 && sums[2] != 0.0, none = sums[1] == 0.0 && sums[2] == 0.0;
    return (struct gradient_gap){.relative = sqrt(sums[1] > 0.0 ? sums[0] / sums[1] : sums[0]), .cosine = both ? 1.0 - sums[3] / sqrt(sums[1] * sums[2]) : none ? 0.0 : 1.0,
                                 .length = both ? sqrt(sums[2] / sums[1]) : none ? 1.0 : 0.0};
}

double relative_gap(double a, double b) { return fabs(a - b) / (fabs(b) > 1e-12 ? fabs(b) : 1.0); }
