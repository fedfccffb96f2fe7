/* cuda_generate: 10 branches of 200 new tokens under each of 16 prefixes of 1,000, by a whole 8B model with random weights. Prefixes are read within the time. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/cuda/cuda_bench.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/generation_run.h"

enum { ROUNDS = 3, SMALL_ROUNDS = 1 };

static const struct generation_run large = {.n_sequences = 16, .n_prompt = 1000, .n_branches = 10, .n_new = 200, .temperature = 1.0f};
static const struct generation_run tiny = {.n_sequences = 2, .n_prompt = 20, .n_branches = 2, .n_new = 3, .temperature = 1.0f};

static void fill_weights(struct cuda_bench *c, struct store *store)
{
    for (int i = 0; i < store->table->n; i++) {
        const struct param *p = &store->table->params[i];
        if (p->init == INIT_ONES)
            bench_fill_with(&c->b, store_weight(store, i), p->n_local, store_dtype(store, i), 1.0f);
        else
            bench_fill(&c->b, store_weight(store, i), p->n_local, store_dtype(store, i), 0.035);
    }
}

static double median_seconds(struct infer *infer, const struct generation_run *run, int rounds, int64_t *n_tokens)
{
    double took[ROUNDS];
    for (int i = 0; i < rounds; i++)
        took[i] = generation_run(infer, run, (uint64_t)i + 1, n_tokens);
    return bench_median(took, rounds);
}

static void measure_speed(struct infer *infer, const struct generation_run *run, int rounds)
{
    int64_t n_tokens;
    struct generation_run read = *run, warm = *run;
    warm.n_new = warm.n_branches = 2;
    read.n_branches = read.n_new = 1;
    generation_run(infer, &warm, 0, &n_tokens);
    double read_s = median_seconds(infer, &read, rounds, &n_tokens), whole_s = median_seconds(infer, run, rounds, &n_tokens);
    measure((double)n_tokens / whole_s, "tokens/s", "generation, new tokens");
    measure((double)run->n_sequences * run->n_prompt / read_s, "tokens/s", "generation, tokens of prefixes read");
}

void cuda_bench_generate(struct cuda_bench *c)
{
    char folder[512];
    struct config config;
    struct infer infer;
    struct mesh *mesh;
    struct tokenizer *tokenizer;
    const struct generation_run *run = c->small ? &tiny : &large;
    const struct model_shape *shape = c->small ? &shape_small : &shape_8b;
    snprintf(folder, sizeof folder, "%s/generate", c->folder);
    model_shape_write(folder, shape);
    byte_tokenizer_write_wide(folder, (int)shape->vocab);
    tiny_config(&config, folder, 4096);
    config.device.dtype = BF16;
    config.generate.kv_memory_mb = c->small ? 8 : 12288;
    config.generate.batch_tokens = c->small ? 64 : 4096;
    bench_must(mesh_create(c->self, 1, 1, false, &mesh));
    bench_must(mesh_connect(mesh, c->b.device));
    bench_must(tokenizer_open(folder, &tokenizer));
    struct infer_source source = {.model = folder, .reward_token = BYTE_END_OF_TEXT, .end_of_turn = BYTE_TURN_END, .tokenizer = tokenizer};
    bench_must(infer_make(&config, &source, mesh, c->b.device, &infer));
    fill_weights(c, infer.store);
    measure_speed(&infer, run, c->small ? SMALL_ROUNDS : ROUNDS);
    infer_close(&infer);
    tokenizer_close(&tokenizer);
    mesh_destroy(&mesh);
}
