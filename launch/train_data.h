/* train_data: the sets of a run. A D_sub folder is opened; a file of JSON lines is first encoded into shards under the run folder's data/, once. */
#ifndef LAUNCH_TRAIN_DATA_H
#define LAUNCH_TRAIN_DATA_H

#include "comm/comm.h"
#include "dataset/dsub.h"
#include "launch/special_tokens.h"

struct train_data {
    config_text train_path, eval_path;          /* folders of the sets; eval_path empty: pairs are held out from the training set, or none are */
    struct dsub *train_set, *eval_set;
    struct dsub_view train, eval;               /* eval.n_pairs 0: no evaluation */
};

/* Rank 0 encodes what is not a set yet, which may take minutes; the others wait. Collective over the world. */
int train_data_prepare(const struct config *config, struct comm *world, struct train_data *out);
/* Opens the sets, checks that they were made for this tokenizer and template, and divides them. Every rank alike. */
int train_data_open(const struct config *config, const struct special_tokens *tokens, struct train_data *data);
void train_data_close(struct train_data *data);

#endif
