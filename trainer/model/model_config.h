/* model_config: the backbone's own config.json: Llama, Mistral, Qwen2 and Qwen3. Anything else in it that would change the numbers is refused by name. */
#ifndef TRAINER_MODEL_MODEL_CONFIG_H
#define TRAINER_MODEL_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum model_family { FAMILY_LLAMA, FAMILY_MISTRAL, FAMILY_QWEN2, FAMILY_QWEN3 };

struct model_config {
    enum model_family family;
    int layers, heads, kv_heads, head_dim;
    int64_t hidden, ffn, vocab, max_position;
    double rms_eps, rope_theta;
    bool rope_llama3;           /* Llama 3's scaling rule with the four numbers below */
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor, rope_original_max_position;
    bool tie_embeddings, qkv_bias, head_norms;
    int64_t sliding_window;     /* 0: none */
};

int model_config_read(const char *folder, struct model_config *out);
int model_config_parse(const char *json, size_t n_bytes, const char *where, struct model_config *out);

/* The key of config.json in which two networks differ, or NULL: how many positions a model may read is no difference, its numbers are the same. */
const char *model_config_difference(const struct model_config *a, const struct model_config *b);

/* USAGE, naming the sizes that work, unless the tensor axis divides the query heads and the feed-forward width, and divides or is a multiple of the KV heads. */
int model_config_check_tensor(const struct model_config *model, int tensor_size);

/* Linear weights without embedding and LM head: the "6 x weights x tokens" of the operation count. */
int64_t model_linear_weights(const struct model_config *model);

#endif
