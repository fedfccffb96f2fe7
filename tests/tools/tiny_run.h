/* tiny_run: a small model and a small D_sub in a folder, and everything that training needs opened over them: for tests of the whole step. */
#ifndef TESTS_TOOLS_TINY_RUN_H
#define TESTS_TOOLS_TINY_RUN_H

#include "dataset/stream.h"
#include "trainer/trainer.h"

/* The words of config.json. A vocabulary above BYTE_VOCABULARY has rows that no text uses. */
struct model_shape { const char *model_type; int layers, heads, kv_heads, head_dim; int64_t hidden, ffn, vocab, max_position; bool tied; };
/* FOLDER/config.json, tokenizer.json (bytes), template.txt and critique.txt. */
void model_shape_write(const char *folder, const struct model_shape *shape);

/* Pairs of random tokens below vocab, never the reward token: least and most of each length, and of critiques a side. */
struct length { int32_t least, most; };
struct pairs_shape { int n_pairs; unsigned seed; uint32_t vocab; struct length prompt, response, critique, n_critiques; };
/* After the model: FOLDER/dsub. */
void pairs_shape_write(const char *folder, const struct pairs_shape *shape);

/* FOLDER/config.json and tokenizer.json (bytes), template.txt and critique.txt of a 2-layer model: heads 4, kv_heads as given, hidden 32, vocabulary 259 (odd on purpose). */
void tiny_model_write(const char *folder, const char *model_type, int kv_heads, bool tied);

/* After the model: FOLDER/dsub, n_pairs pairs of random tokens, 1 to 3 critiques a side. */
void tiny_dsub_write(const char *folder, int n_pairs, unsigned seed);

struct tiny_run {
    struct config config;
    struct mesh *mesh;
    struct device *device;
    struct dsub *dsub;
    struct dsub_view view;
    struct plan *plan;
    struct plan_options options;
    struct forest_layout layout;
    struct lambda_schedule lambda;
    struct trainer *trainer;
};

/* Opens over a mesh of world; weights random by the config's seed, or the backbone's own. The reward token is the byte tokenizer's until layout says otherwise. Takes a copy of config. */
void tiny_run_open(struct tiny_run *run, const struct config *config, struct comm *world, struct device *device);
/* The same with weights still zero. */
void tiny_run_make(struct tiny_run *run, const struct config *config, struct comm *world, struct device *device);
/* This data rank's forests of a step; step_batch_free. */
void tiny_run_batch(struct tiny_run *run, int64_t step, struct step_batch *batch);
void tiny_run_close(struct tiny_run *run);
/* Config for the folder: critic-rm, 4 pairs a step, budget as given. */
void tiny_config(struct config *config, const char *folder, int64_t micro_batch_tokens);

#endif
