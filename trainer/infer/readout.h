/* readout: what is read from hidden states: the next token, drawn from the LM head's logits, and rewards from the reward head.
 *
 * Logits are vocabulary parallel; they are gathered in chunks of rows, the first tensor rank draws, and all ranks get the tokens. */
#ifndef TRAINER_INFER_READOUT_H
#define TRAINER_INFER_READOUT_H

#include "trainer/model/model_config.h"
#include "trainer/model/store.h"

struct readout;

/* Rows whose logits are gathered at a time. */
enum { READOUT_CHUNK_ROWS = 64 };

size_t readout_bytes(const struct model_config *model, int64_t max_rows, enum dtype dtype, int tensor_size);
/* max_rows: of one call. */
int readout_create(const struct model_config *model, struct store *store, int64_t max_rows, struct readout **out);
void readout_destroy(struct readout **readout);

/* token[i] (host) is drawn by rule[i] from the logits of row[i] of hidden_TC; rows rise, a row may stand more than once. allowed: what the rules name. Collective over tensor. */
int readout_sample(struct readout *readout, const void *hidden_TC, const int32_t *row, int64_t n, const struct sample_rule *rule, const uint32_t *allowed, uint32_t *token);
/* reward[i] (host) of row[i]. Every tensor rank computes them alike. */
int readout_rewards(struct readout *readout, const void *hidden_TC, const int32_t *row, int64_t n, float *reward);

#endif
