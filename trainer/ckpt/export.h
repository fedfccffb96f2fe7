/* export: a checkpoint as a Hugging Face folder: safetensors, config, tokenizer; the LM head kept, the reward head as score.weight in float32.
 * One process, tensor by tensor, from a checkpoint of any mesh. AutoModelForCausalLM and AutoModelForSequenceClassification (num_labels 1) load it; the
 * latter reads the last token that is not padding, so the padding token is made to differ from the reward token, in the config and in the tokenizer. */
#ifndef TRAINER_CKPT_EXPORT_H
#define TRAINER_CKPT_EXPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

struct export_options {
    const char *checkpoint;     /* folder of manifest.json */
    const char *model;          /* the backbone's folder: config.json and the tokenizer's files */
    const char *out;            /* made; refused when it holds weights already */
    enum dtype dtype;           /* of all but the reward head */
    int64_t shard_bytes;        /* a new file beyond this size; 0: 5 GB */
};

int export_model(const struct export_options *options);

/* The text of config.json for the export, from the backbone's. The caller frees *out. pad_token: the id chosen. */
int export_config(const char *config_json, size_t n_bytes, const char *where, enum dtype dtype, int64_t reward_token, const char *reward_token_text, char **out, int64_t *pad_token);

#endif
