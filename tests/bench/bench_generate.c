/* bench_generate MODEL_FOLDER DTYPE THREADS N_SEQUENCES PROMPT_TOKENS BRANCHES NEW_TOKENS: prints "prefill_s decode_s new_tokens".
 * N_SEQUENCES prompts of random tokens, each with BRANCHES samples under it, greedy, the end of turn being a token like others. Other prompts warm up; then the prompts are read by a
 * first call of one token each (prefill), the texts by a second under the same prefixes (decode). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/philox.h"
#include "comm/mesh.h"
#include "trainer/infer/infer.h"

struct bench { struct infer infer; int64_t n_tokens; int n_sequences, n_prompt, branches, n_new; };

static void must(int status)
{
    if (status == OK)
        return;
    fprintf(stderr, "bench_generate: %s\n", trace_sentence());
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int count(void *owner, const struct generator_sample *sample)
{
    ((struct bench *)owner)->n_tokens += sample->n_tokens;
    return OK;
}

static double run(struct bench *b, uint64_t prompts, int n_samples, int n_new)
{
    struct philox random = philox_make(1, PHILOX_SAMPLING, 0, prompts);
    uint32_t *token = calloc((size_t)b->n_prompt, sizeof *token), draw = 0;
    double start_s = now_s();
    b->n_tokens = 0;
    for (int i = 0; i < b->n_sequences; i++) {
        for (int t = 0; t < b->n_prompt; t++)
            token[t] = (uint32_t)philox_below(&random, draw++, (uint64_t)b->infer.model.vocab - 100) + 50;
        struct generator_call call = {.n_nodes = 1, .node = {{token, b->n_prompt}}, .n_samples = n_samples, .done = count, .owner = b,
                                      .rule = {.top_p = 1.0f, .max_new = n_new, .stop = "", .ignore_end = true}};
        must(generator_submit(b->infer.generator, &call));
    }
    while (!generator_is_idle(b->infer.generator))
        must(generator_step(b->infer.generator));
    free(token);
    return now_s() - start_s;
}

int main(int argc, char **argv)
{
    struct comm *world;
    struct mesh *mesh;
    struct device *device;
    struct tokenizer *tokenizer;
    static struct config config;
    static struct bench b;
    if (argc != 8) {
        fprintf(stderr, "bench_generate MODEL_FOLDER DTYPE THREADS N_SEQUENCES PROMPT_TOKENS BRANCHES NEW_TOKENS\n");
        return 2;
    }
    b.n_sequences = atoi(argv[4]);
    b.n_prompt = atoi(argv[5]);
    b.branches = atoi(argv[6]);
    b.n_new = atoi(argv[7]);
    options_default(config_options(), &config);
    config.device.dtype = strcmp(argv[2], "bf16") == 0 ? BF16 : F32;
    config.generate.kv_memory_mb = 4096;
    must(comm_self_create(&world));
    must(mesh_create(world, 1, 1, false, &mesh));
    must(device_cpu_create(&(struct device_options){.n_threads = atoi(argv[3]), .isa = "auto"}, &device));
    must(tokenizer_open(argv[1], &tokenizer));
    struct infer_source source = {.model = argv[1], .reward_token = 0, .end_of_turn = 2, .tokenizer = tokenizer};
    must(infer_open(&config, &source, mesh, device, &b.infer));
    run(&b, 0, 1, 4);
    double prefill_s = run(&b, 1, 1, 1), decode_s = run(&b, 1, b.branches, b.n_new);
    printf("%.4f %.4f %lld\n", prefill_s, decode_s, (long long)b.n_tokens);
    infer_close(&b.infer);
    tokenizer_close(&tokenizer);
    device_destroy(&device);
    mesh_destroy(&mesh);
    comm_destroy(&world);
    return 0;
}
