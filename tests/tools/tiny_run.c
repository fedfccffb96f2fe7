/* tiny_run: see tiny_run.h. A failure in here ends the test with its sentence. */
#include "tests/tools/tiny_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "dataset/encode.h"
#include "tests/tools/byte_tokenizer.h"
#include "trainer/ckpt/load.h"

enum { TINY_VOCAB = BYTE_VOCABULARY, TINY_REWARD_TOKEN = BYTE_END_OF_TEXT };

static void must(int status)
{
    if (status == OK)
        return;
    fprintf(stderr, "%s (%s)\n", trace_sentence(), trace_place());
    abort();
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[2048];
    must(path_join(path, sizeof path, folder, name));
    must(file_write_atomic(path, text, strlen(text)));
}

void model_shape_write(const char *folder, const struct model_shape *m)
{
    char path[2048], text[1024];
    must(dir_make(folder));
    must(path_join(path, sizeof path, folder, "config.json"));
    snprintf(text, sizeof text,
             "{\"model_type\": \"%s\", \"hidden_size\": %lld, \"intermediate_size\": %lld, \"vocab_size\": %lld, \"num_hidden_layers\": %d, \"num_attention_heads\": %d,"
             " \"num_key_value_heads\": %d, \"head_dim\": %d, \"max_position_embeddings\": %lld, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
             " \"tie_word_embeddings\": %s}",
             m->model_type, (long long)m->hidden, (long long)m->ffn, (long long)m->vocab, m->layers, m->heads, m->kv_heads, m->head_dim, (long long)m->max_position,
             m->tied ? "true" : "false");
    must(file_write_atomic(path, text, strlen(text)));
    byte_tokenizer_write(folder);
    write_text(folder, "template.txt", "user={content}\nsystem_in_user=yes\nend=<|im_end|>\nreward=<|endoftext|>\n");
    write_text(folder, "critique.txt", "?!");
}

void tiny_model_write(const char *folder, const char *model_type, int kv_heads, bool tied)
{
    model_shape_write(folder, &(struct model_shape){.model_type = model_type, .layers = 2, .heads = 4, .kv_heads = kv_heads, .head_dim = 8, .hidden = 32, .ffn = 48,
                                                    .vocab = TINY_VOCAB, .max_position = 512, .tied = tied});
}

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static int32_t next_length(uint64_t *state, struct length length) { return length.least + (int32_t)(next_random(state) % (uint32_t)(length.most - length.least + 1)); }

/* Memory of the record's own, until free_record. */
static struct tokens random_tokens(uint64_t *state, struct length length, uint32_t vocab)
{
    int32_t n = next_length(state, length);
    uint32_t *token = malloc((size_t)n * sizeof *token);
    must(token ? OK : FAIL("out of memory"));
    for (int32_t i = 0; i < n; i++) {
        token[i] = next_random(state) % vocab;
        if (token[i] == TINY_REWARD_TOKEN)
            token[i]--;
    }
    return (struct tokens){token, n};
}

static void make_meta(const char *folder, struct shard_meta *out)
{
    struct config *config = malloc(sizeof *config);
    struct encoder *encoder;
    must(config ? OK : FAIL("out of memory"));
    tiny_config(config, folder, 96);
    must(encoder_open(config, &encoder));
    must(encoder_meta(encoder, "tiny", out));
    encoder_close(&encoder);
    free(config);
}

static struct shard_record random_record(uint64_t *state, const struct pairs_shape *shape, struct shard_critique *list[2])
{
    struct shard_record r = {.subset = "tiny", .prompt = random_tokens(state, shape->prompt, shape->vocab)};
    for (int side = 0; side < 2; side++) {
        r.response[side] = random_tokens(state, shape->response, shape->vocab);
        r.n_critiques[side] = next_length(state, shape->n_critiques);
        for (int k = 0; k < r.n_critiques[side]; k++)
            list[side][k] = (struct shard_critique){random_tokens(state, shape->critique, shape->vocab), 5.0f, 5.0f};
        r.critique[side] = list[side];
    }
    return r;
}

static void free_record(const struct shard_record *r)
{
    free((void *)(uintptr_t)r->prompt.token);
    for (int side = 0; side < 2; side++) {
        free((void *)(uintptr_t)r->response[side].token);
        for (int k = 0; k < r->n_critiques[side]; k++)
            free((void *)(uintptr_t)r->critique[side][k].text.token);
    }
}

void pairs_shape_write(const char *folder, const struct pairs_shape *shape)
{
    char path[2048], id[32];
    uint64_t state = shape->seed;
    struct shard_critique *list[2] = {calloc((size_t)shape->n_critiques.most, sizeof *list[0]), calloc((size_t)shape->n_critiques.most, sizeof *list[1])};
    struct dsub_writer *writer;
    struct shard_meta meta;
    must(list[0] && list[1] ? OK : FAIL("out of memory"));
    make_meta(folder, &meta);
    must(path_join(path, sizeof path, folder, "dsub"));
    must(dsub_writer_create(path, &meta, 5, &writer));
    for (int i = 0; i < shape->n_pairs; i++) {
        struct shard_record r = random_record(&state, shape, list);
        snprintf(id, sizeof id, "pair-%d", i);
        r.id = id;
        r.source = (uint64_t)i * 2;
        must(dsub_writer_put(writer, &r));
        free_record(&r);
    }
    must(dsub_writer_finish(&writer));
    free(list[0]), free(list[1]);
}

void tiny_dsub_write(const char *folder, int n_pairs, unsigned seed)
{
    pairs_shape_write(folder, &(struct pairs_shape){.n_pairs = n_pairs, .seed = seed, .vocab = TINY_REWARD_TOKEN, .prompt = {3, 12}, .response = {4, 12}, .critique = {1, 12},
                                                    .n_critiques = {1, 3}});
}

void tiny_config(struct config *config, const char *folder, int64_t micro_batch_tokens)
{
    must(config_load(NULL, NULL, 0, config));
    snprintf(config->backbone.path, sizeof config->backbone.path, "%s", folder);
    config->backbone.init = BACKBONE_RANDOM;
    must(path_join(config->data.train, sizeof config->data.train, folder, "dsub"));
    must(path_join(config->data.template, sizeof config->data.template, folder, "template.txt"));
    must(path_join(config->data.critique_prompt, sizeof config->data.critique_prompt, folder, "critique.txt"));
    config->data.max_path_tokens = 48;
    config->mesh.micro_batch_tokens = micro_batch_tokens;
    config->objective.pairs_per_step = 4;
    config->optimizer.lr = 1e-3;
    config->optimizer.reward_lr = 1e-3;
}

static double lambda_of(const void *context, int64_t step) { return lambda_at(context, step); }

static void open_plan(struct tiny_run *r)
{
    const struct config *c = &r->config;
    r->options = (struct plan_options){
        .set_name = c->data.train, .seed = (uint64_t)c->run.seed, .mode = c->objective.mode, .pairing = c->objective.pairing, .critique_norm = c->objective.critique_norm,
        .pairs_per_step = c->objective.pairs_per_step, .epochs = c->objective.epochs, .micro_batch_tokens = c->mesh.micro_batch_tokens,
        .max_path_tokens = c->data.max_path_tokens, .data_size = r->mesh->data->size, .row_multiple = r->mesh->tensor->size,
        .lead_in = c->objective.mode == MODE_REWARD_ONLY ? r->dsub->meta.n_lead_in : 0, .share_prefix = c->data.share_prefix, .token_cost = 1000, .attention_cost = 10,
        .lambda = lambda_of, .lambda_context = &r->lambda,
    };
    r->layout = (struct forest_layout){TINY_REWARD_TOKEN, c->data.share_prefix, r->mesh->tensor->size};
    must(plan_create(&r->view.lengths, &r->options, &r->plan));
    must(lambda_schedule_make(c, plan_steps_per_epoch(r->plan), &r->lambda));
}

static bool keep_all(const void *context, const struct dsub *dsub, int64_t number)
{
    (void)context, (void)dsub, (void)number;
    return true;
}

void tiny_run_make(struct tiny_run *r, const struct config *config, struct comm *world, struct device *device)
{
    struct plan_capacity most;
    memset(r, 0, sizeof *r);
    r->config = *config;
    r->device = device;
    must(mesh_create(world, (int)config->mesh.data, (int)config->mesh.tensor, true, &r->mesh));
    must(mesh_connect(r->mesh, device));
    must(dsub_open(config->data.train, &r->dsub));
    must(dsub_view_make(r->dsub, keep_all, NULL, &r->view));
    open_plan(r);
    must(plan_capacity(r->plan, &most));
    struct trainer_capacity capacity = {most.rows, most.predictions, most.rewards, most.comparisons, config->data.max_path_tokens};
    must(trainer_create(&r->config, r->mesh, device, &capacity, plan_steps_per_epoch(r->plan), &r->trainer));
}

void tiny_run_open(struct tiny_run *r, const struct config *config, struct comm *world, struct device *device)
{
    tiny_run_make(r, config, world, device);
    const char *folder = config->backbone.init == BACKBONE_RANDOM ? NULL : config->backbone.path;
    must(load_weights(&(struct load_options){.folder = folder, .seed = (uint64_t)config->run.seed, .reward_token = -1, .copy_of = -1}, r->trainer->store, NULL));
}

void tiny_run_batch(struct tiny_run *r, int64_t step, struct step_batch *batch)
{
    const struct step_plan *plan;
    must(plan_step(r->plan, step, &plan));
    must(step_batch_make(&r->view, plan, &r->options, &r->layout, r->mesh->data->rank, batch));
}

void tiny_run_close(struct tiny_run *r)
{
    trainer_destroy(&r->trainer);
    plan_free(&r->plan);
    dsub_view_free(&r->view);
    dsub_close(&r->dsub);
    mesh_destroy(&r->mesh);
}
