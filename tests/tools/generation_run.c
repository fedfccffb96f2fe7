/* generation_run: see the header. */
#include "tests/tools/generation_run.h"

#include <stdlib.h>

#include "base/philox.h"
#include "tests/tools/bench.h"

static int count(void *owner, const struct generator_sample *sample)
{
    *(int64_t *)owner += sample->n_tokens;
    return OK;
}

double generation_run(struct infer *infer, const struct generation_run *run, uint64_t prompts, int64_t *n_tokens)
{
    struct philox random = philox_make(1, PHILOX_SAMPLING, 0, prompts);
    uint32_t *token = calloc((size_t)run->n_prompt, sizeof *token), draw = 0;
    double start_s = bench_now_s();
    *n_tokens = 0;
    for (int i = 0; i < run->n_sequences; i++) {
        for (int t = 0; t < run->n_prompt; t++)
            token[t] = (uint32_t)philox_below(&random, draw++, (uint64_t)infer->model.vocab - 100) + 50;
        struct generator_call call = {.n_nodes = 1, .node = {{token, run->n_prompt}}, .n_samples = run->n_branches, .done = count, .owner = n_tokens,
                                      .rule = {.temperature = run->temperature, .top_p = 1.0f, .max_new = run->n_new, .stop = "", .ignore_end = true}};
        bench_must(generator_submit(infer->generator, &call));
    }
    while (!generator_is_idle(infer->generator))
        bench_must(generator_step(infer->generator));
    free(token);
    return bench_now_s() - start_s;
}
