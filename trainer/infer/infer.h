/* infer: a model opened for generation and scoring: weights without training memory, backbone, generator. */
#ifndef TRAINER_INFER_INFER_H
#define TRAINER_INFER_INFER_H

#include "base/config.h"
#include "trainer/infer/generator.h"

struct infer_source {
    const char *model;          /* folder of config.json and, without a checkpoint, the weights */
    const char *checkpoint;     /* a checkpoint's folder; NULL: the weights of `model` */
    int64_t reward_token, end_of_turn;
    const struct end_tokens *ends;      /* as generator_options has them */
    const struct tokenizer *tokenizer;
};

struct infer {
    struct model_config model;
    struct param_table *table;
    struct store *store;
    struct backbone *backbone;
    struct generator *generator;
    bool has_reward_head;       /* its weights were read, not drawn */
};

/* Bytes per rank by class, for the sum printed at start; kv_tokens: how many the cache holds. */
struct infer_bytes { size_t weights, kv_cache, activations; int64_t kv_tokens; };
void infer_count(const struct config *config, const struct model_config *model, const struct param_table *table, int tensor_size, struct infer_bytes *out);

/* mesh and device must outlive it, and so must the source's tokenizer and ends. *out stays where it is until closed: its parts point to each other. Collective over the world. */
int infer_open(const struct config *config, const struct infer_source *source, struct mesh *mesh, struct device *device, struct infer *out);
/* The first half: weights still zero. A failure leaves what infer_close closes. Collective over the world too. */
int infer_make(const struct config *config, const struct infer_source *source, struct mesh *mesh, struct device *device, struct infer *out);
void infer_close(struct infer *infer);

#endif
