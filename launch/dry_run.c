/* dry_run: see dry_run.h. */
#include "launch/dry_run.h"

#include <stdio.h>

#include "base/log.h"
#include "dataset/plan.h"

void memory_print(const struct trainer_bytes *b)
{
    const double mib = 0x1p-20;
    log_info("memory per rank: weights %.1f MiB, gradients %.1f, optimizer %.1f, activations %.1f, heads %.1f: %.1f MiB together", (double)b->weights * mib, (double)b->gradients * mib,
             (double)b->optimizer * mib, (double)b->activations * mib, (double)b->heads * mib, (double)trainer_bytes_sum(b) * mib);
}

/* Without data the counts are bounds: every row predicts, and each path of at most max_path_tokens is read once; shorter critiques give more. */
static struct trainer_capacity full_capacity(const struct config *c, int tensor_size)
{
    int64_t rows = (c->mesh.micro_batch_tokens + tensor_size - 1) / tensor_size * tensor_size;
    int64_t rewards = 2 * c->data.critiques_per_response * (rows / c->data.max_path_tokens + 1);
    return (struct trainer_capacity){rows, rows, rewards, rewards * c->data.critiques_per_response, c->data.max_path_tokens};
}

int dry_run_count(const struct config *config, const struct model_config *model, int data_size, int tensor_size, struct trainer_bytes *out)
{
    struct param_table *table;
    struct trainer_capacity capacity = full_capacity(config, tensor_size);
    TRY(params_build(model, tensor_size, 0, &table));
    trainer_count(config, model, table, data_size, tensor_size, &capacity, out);
    params_free(&table);
    return OK;
}

static void print_row(const char *name, size_t bytes) { printf("  %-22s %10.3f GiB   %zu bytes\n", name, (double)bytes * 0x1p-30, bytes); }

int dry_run(const struct command *command)
{
    struct model_config model;
    struct trainer_bytes bytes;
    const struct config *c = &command->config;
    int data = (int)c->mesh.data, tensor = (int)c->mesh.tensor;
    CHECK_USAGE(data > 0, "a dry run needs mesh.data: the ranks it is for are not started");
    TRY(plan_check_sizes(&(struct plan_options){.micro_batch_tokens = c->mesh.micro_batch_tokens, .max_path_tokens = c->data.max_path_tokens, .data_size = data, .pairs_per_step = c->objective.pairs_per_step}));
    TRY(model_config_read(c->backbone.path, &model));
    TRY(dry_run_count(c, &model, data, tensor, &bytes));
    if (command->world->rank != 0)
        return OK;
    printf("mesh %d data x %d tensor = %d ranks, %s, %lld token rows a micro-batch, recompute %s\nmemory per rank:\n", data, tensor, data * tensor, dtype_name((enum dtype)c->device.dtype),
           (long long)c->mesh.micro_batch_tokens, c->device.recompute == RECOMPUTE_LAYER ? "layer" : "none");
    print_row("weights", bytes.weights);
    print_row("gradients", bytes.gradients);
    print_row("optimizer", bytes.optimizer);
    print_row("activations", bytes.activations);
    print_row("logits and rewards", bytes.heads);
    print_row("together", trainer_bytes_sum(&bytes));
    return OK;
}
