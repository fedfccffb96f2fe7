/* bench_generate MODEL_FOLDER DTYPE THREADS N_SEQUENCES PROMPT_TOKENS BRANCHES NEW_TOKENS: prints "prefill_s decode_s new_tokens".
 * N_SEQUENCES prompts of random tokens, each with BRANCHES samples under it, greedy, the end of turn being a token like others. Other prompts warm up; then the prompts are read by a
 * first call of one token each (prefill), the texts by a second under the same prefixes (decode). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mesh.h"
#include "tests/tools/bench.h"
#include "tests/tools/generation_run.h"

int main(int argc, char **argv)
{
    struct comm *world;
    struct mesh *mesh;
    struct device *device;
    struct tokenizer *tokenizer;
    static struct config config;
    static struct infer infer;
    int64_t n_tokens;
    if (argc != 8) {
        fprintf(stderr, "bench_generate MODEL_FOLDER DTYPE THREADS N_SEQUENCES PROMPT_TOKENS BRANCHES NEW_TOKENS\n");
        return 2;
    }
    const struct generation_run whole = {.n_sequences = atoi(argv[4]), .n_prompt = atoi(argv[5]), .n_branches = atoi(argv[6]), .n_new = atoi(argv[7])};
    struct generation_run warm = whole, read = whole;
    warm.n_branches = read.n_branches = read.n_new = 1;
    warm.n_new = 4;
    options_default(config_options(), &config);
    config.device.dtype = strcmp(argv[2], "bf16") == 0 ? BF16 : F32;
    config.generate.kv_memory_mb = 4096;
    bench_must(comm_self_create(&world));
    bench_must(mesh_create(world, 1, 1, false, &mesh));
    bench_must(device_cpu_create(&(struct device_options){.n_threads = atoi(argv[3]), .isa = "auto"}, &device));
    bench_must(tokenizer_open(argv[1], &tokenizer));
    struct infer_source source = {.model = argv[1], .reward_token = 0, .end_of_turn = 2, .tokenizer = tokenizer};
    bench_must(infer_open(&config, &source, mesh, device, &infer));
    generation_run(&infer, &warm, 0, &n_tokens);
    double prefill_s = generation_run(&infer, &read, 1, &n_tokens), decode_s = generation_run(&infer, &whole, 1, &n_tokens);
    printf("%.4f %.4f %lld\n", prefill_s, decode_s, (long long)n_tokens);
    infer_close(&infer);
    tokenizer_close(&tokenizer);
    device_destroy(&device);
    mesh_destroy(&mesh);
    comm_destroy(&world);
    return 0;
}
