/* tiny_run: a small model and a small D_sub in a folder, and everything that training needs opened over them: for tests of the whole step. */
#ifndef TESTS_TOOLS_TINY_RUN_H
#define TESTS_TOOLS_TINY_RUN_H

#include "dataset/stream.h"
#include "trainer/trainer.h"

/* FOLDER/config.json and tokenizer.json (bytes), template.txt and critique.txt of a 2-layer model: heads 4, kv_heads as given, hidden 32, vocabulary 259 (odd on purpose). */
void tiny_model_write(const char *folder, const char *model_type, int kv_heads, bool tied);

/* After the model: FOLDER/dsub, n_pairs pairs of random tokens, 1 to 3 critiques a side. */
void tiny_dsub_write(const char *folder, int n_pairs, unsigned seed);
/* The same with pairs of equal shape, so that all forests of as many pairs have one. */
void tiny_dsub_write_even(const char *folder, int n_pairs, unsigned seed);

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
void tiny_run_close(struct tiny_run *run);
/* Config for the folder: critic-rm, 4 pairs a step, budget as given. */
void tiny_config(struct config *config, const char *folder, int64_t micro_batch_tokens);

#endif
