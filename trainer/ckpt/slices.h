/* slices: which elements of which tensor a file of a checkpoint holds, and how to take what another mesh needs out of them.
 *
 *   tensor [rows, cols]   1-D tensors have cols = 1
 *     box                 the tensor-axis shard: rows [offset[0], + size[0]) x columns [offset[1], + size[1])
 *       slice             elements [first, first + count) of the box in row-major order: ZeRO cuts fall inside rows
 *
 * Invariant of a checkpoint: for each state of each tensor, every element is in exactly one slice.
 */
#ifndef TRAINER_CKPT_SLICES_H
#define TRAINER_CKPT_SLICES_H

#include "comm/partition.h"
#include "trainer/model/params.h"

enum state_kind { STATE_MASTER, STATE_EXP_AVG, STATE_EXP_AVG_SQ, N_STATES };
const char *state_name(enum state_kind state);      /* "master", "exp_avg", "exp_avg_sq" */
int state_parse(const char *name);                  /* -1: none of them */

struct box { int64_t offset[2], size[2]; };

struct slice {
    char file[64], key[128];
    int tensor;                 /* index in the manifest's list of tensors */
    enum state_kind state;
    struct box box;
    int64_t first, count;
    uint64_t hash;              /* XXH3-64 of its bytes */
};

/* This rank's box of a parameter. */
struct box param_box(const struct param *param);

/* The part of a parameter in `range` of its bucket's flat buffer, as elements of the parameter's box. count 0: none. */
struct range param_piece(const struct param *param, struct range range);

/* Does this tensor rank write the parameter? The lowest of those that hold the same shard does. */
bool param_is_written(const struct param_table *table, const struct param *param);

/* Tensor, state, box, first. */
int slice_compare(const void *a, const void *b);

/* FAILED, naming `name`, unless the n slices (sorted, all of one tensor and state) hold each element of shape exactly once. */
int slices_cover(const struct slice *slices, int n, const int64_t shape[2], const char *where, const char *name);

/* May slice have some of elements [first, first + count) of box `want`? Compares boxes and rows: false is sure. */
bool slice_meets(const struct slice *slice, const struct box *want, int64_t first, int64_t count);

/* Copies into out[count] what slice (its float32 elements at `bytes`) has of elements [first, first + count) of box `want`. Returns the elements copied. */
int64_t slice_copy(const struct slice *slice, const unsigned char *bytes, const struct box *want, int64_t first, int64_t count, float *out);

#endif
