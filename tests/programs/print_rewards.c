/* print_rewards CHECKPOINT MODEL_FOLDER N_PATHS LENGTH REWARD_TOKEN: the logits of every row and the reward of some random paths that end with the reward token, as JSON lines
 * {"path", "reward", "logits"}: straight from the checkpoint's masters, for comparison with what export made of them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "dataset/tree.h"
#include "tests/tools/forward_once.h"
#include "tests/tools/random_values.h"
#include "trainer/ckpt/checkpoint.h"
#include "trainer/model/backbone.h"

static void must(int status)
{
    if (status == OK)
        return;
    fprintf(stderr, "print_rewards: %s\n", trace_sentence());
    exit(1);
}

struct opened { struct comm *world; struct mesh *mesh; struct device *device; struct model_config model; struct param_table *table; struct store *store; struct backbone *backbone; };

static void open_checkpoint(struct opened *o, const char *checkpoint, const char *folder, int64_t rows)
{
    struct backbone_options options = {.max_rows = rows, .max_positions = rows};
    must(comm_self_create(&o->world));
    must(mesh_create(o->world, 1, 1, false, &o->mesh));
    must(device_cpu_create(&(struct device_options){.n_threads = 1, .isa = "auto"}, &o->device));
    must(model_config_read(folder, &o->model));
    must(params_build(&o->model, 1, 0, &o->table));
    must(store_create(o->table, o->device, o->mesh, F32, false, &o->store));
    must(checkpoint_load(checkpoint, o->store, NULL));
    must(backbone_create(&o->model, o->store, &options, &o->backbone));
}

static void print_path(struct opened *o, const uint32_t *token, int32_t n)
{
    const void *hidden_TC;
    struct forest forest;
    struct tree tree = {.prompt = {token, n - 1}, .n_leaves = {1}, .leaf = {&(struct tree_leaf){.text = {token + n - 1, 1}, .weight = 1.0f}}};
    int head = params_find(o->table, o->model.tie_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    float *logits = malloc((size_t)n * (size_t)o->model.vocab * sizeof *logits), reward;
    must(logits ? OK : FAIL("out of memory"));
    must(forest_build(&tree, 1, &(struct forest_layout){0, true, 1}, &forest));
    must(forward_once(o->device, o->backbone, &forest, &hidden_TC));
    struct gemm_args lm = {.m = n, .n = o->model.vocab, .k = o->model.hidden, .trans_b = true, .a = hidden_TC, .lda = o->model.hidden, .b = store_weight(o->store, head),
                           .ldb = o->model.hidden, .c = logits, .ldc = o->model.vocab, .dtype_ab = F32, .dtype_c = F32};
    struct reward_args score = {.rows = 1, .cols = o->model.hidden, .dtype = F32, .h = (const float *)hidden_TC + (n - 1) * o->model.hidden,
                                .w = store_weight(o->store, params_find(o->table, "score.weight")), .r = &reward};
    must(o->device->kernels->gemm(&o->device->stream, &lm));
    must(o->device->kernels->reward_forward(&o->device->stream, &score));
    printf("{\"path\": [");
    for (int32_t i = 0; i < n; i++)
        printf("%s%u", i ? ", " : "", token[i]);
    printf("], \"reward\": %.9g, \"logits\": [", (double)reward);
    for (int64_t i = 0; i < n * o->model.vocab; i++)
        printf("%s%.9g", i ? ", " : "", (double)logits[i]);
    printf("]}\n");
    forest_free(&forest);
    free(logits);
}

int main(int argc, char **argv)
{
    struct opened o;
    struct random random = {3};
    uint32_t token[256];
    if (argc != 6 || atoi(argv[4]) < 2 || atoi(argv[4]) > 256)
        return fprintf(stderr, "print_rewards CHECKPOINT MODEL_FOLDER N_PATHS LENGTH REWARD_TOKEN\n"), 2;
    int n_paths = atoi(argv[3]), n = atoi(argv[4]), reward_token = atoi(argv[5]);
    open_checkpoint(&o, argv[1], argv[2], n);
    for (int p = 0; p < n_paths; p++) {
        for (int i = 0; i < n; i++)
            token[i] = (uint32_t)random_int(&random, 0, reward_token - 1);
        token[n - 1] = (uint32_t)reward_token;
        print_path(&o, token, n);
    }
    backbone_destroy(&o.backbone);
    store_destroy(&o.store);
    params_free(&o.table);
    device_destroy(&o.device);
    mesh_destroy(&o.mesh);
    comm_destroy(&o.world);
    return 0;
}
