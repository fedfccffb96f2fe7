/* manifest: manifest.json of a checkpoint. Only what it names exists; its presence is what makes the checkpoint exist; it is written last.
 *
 *   {"format": "critic-rm checkpoint", "version": 1, "attempt", "step", "epoch", "steps_per_epoch", "pairs", "dsub_hash", "seed",
 *    "reward_token": {"id", "text"}, "mesh": {"data", "tensor"}, "groups": [{"name", "steps"}, ...], "options", "options_hash",
 *    "tensors": [{"name", "shape"}, ...],
 *    "slices": [{"file", "key", "tensor", "state", "box": {"offset": [r, c], "size": [r, c]}, "first", "count", "xxh3"}, ...],
 *    "checksum": XXH3-64 of the compact text with sorted keys without this member}
 * 64-bit hashes and the seed are 16 hexadecimal digits.
 */
#ifndef TRAINER_CKPT_MANIFEST_H
#define TRAINER_CKPT_MANIFEST_H

#include "trainer/ckpt/slices.h"

enum { ATTEMPT_SIZE = 17 };

/* What a checkpoint says besides its numbers. */
struct checkpoint_info {
    int64_t step, epoch, steps_per_epoch, pairs;    /* steps_per_epoch: T, pairs: P of method.md */
    uint64_t dsub_hash, seed, options_hash;
    int64_t group_steps[2];                     /* updates done, by enum param_group */
    int64_t reward_token;                       /* id; -1: none */
    char reward_token_text[64];
    char *options;                              /* resolved config, YAML; on saving borrowed, in a manifest owned by it */
};

struct tensor_entry { char name[96]; int n_dims; int64_t shape[2]; };

struct manifest {
    struct checkpoint_info info;
    char attempt[ATTEMPT_SIZE];
    int data_size, tensor_size;
    int n_tensors, n_slices;
    struct tensor_entry *tensor;
    struct slice *slice;                        /* in the order of slice_compare */
};

/* All of it checked: the checksum, names, bounds, and that every element is in exactly one slice. Sentences begin with `where`. */
int manifest_parse(const char *text, size_t n_bytes, const char *where, struct manifest **out);
int manifest_read(const char *path, struct manifest **out);
void manifest_free(struct manifest **manifest);

/* Sorts the slices, checks as manifest_parse does, writes by fsync and rename. */
int manifest_write(const char *path, struct manifest *manifest);

/* Index, or -1. */
int manifest_find(const struct manifest *manifest, const char *tensor);
/* Slices of one state of one tensor: *n of them from the one returned. */
const struct slice *manifest_slices(const struct manifest *manifest, int tensor, enum state_kind state, int *n);

/* A copy of the text of options; NULL stays NULL. */
int checkpoint_info_copy(const struct checkpoint_info *from, struct checkpoint_info *to);
void checkpoint_info_clear(struct checkpoint_info *info);

#endif
