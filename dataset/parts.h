/* parts: a set, of candidates or D_sub, or a benchmark's table, made in parts, so that a job that was killed goes on, on any number of ranks. A part is a fixed range of input records.
 *
 *   parts.json                      written first: what is made of what. It stays
 *   NAME-00003-of-00016.h5          a part's pairs; none when the part has none, and of a table
 *   NAME-00003-of-00016.json        its sidecar, after it: pairs, size, xxh3, and a summary for the report
 *   NAME.json                       the set's list, written last: by parts_complete, in the form that every set has; a table's by the evaluation
 *
 * 1. All are written under .tmp, fsynced and renamed: they are there whole or not at all.   2. A part exists when its sidecar does.   3. The set exists when its list does.
 * 4. What else lies there (.tmp, a file without its sidecar) was left by a kill, and is overwritten.
 * Which rank makes a part changes nothing in it. Nothing here communicates: ranks are integers, and one process begins and completes. */
#ifndef DATASET_PARTS_H
#define DATASET_PARTS_H

#include <jansson.h>

#include "base/config.h"
#include "dataset/set.h"

/* What the parts are ranges of. path is for sentences only. Of a file: hash and size of its bytes; of a set: hash of its list, 0. as: what is made of its records, where the form of
 * the set does not say it; NULL: it does. */
struct parts_input { const char *path; uint64_t hash, n_bytes; int64_t n_records; const char *as; };

/* A file of n_records records. */
int parts_input_file(const char *path, int64_t n_records, struct parts_input *out);

/* One process, before the others open: makes the folder and writes parts.json. Where it is there already, the same thing must be meant: USAGE, with both values, when input (and
 * as what), tokenizer, template, instruction, model or an option of kind GENERATES differ; records_per_part stays as it was. FAILED when the folder holds something else.
 * fingerprint: of the model's contents, by which it is known; meta->model, its path, is for people. Where parts.json has no fingerprint, as earlier ones, the path is compared. */
int parts_begin(const char *folder, const struct set_form *form, const struct parts_input *input, const struct shard_meta *meta, uint64_t fingerprint, const struct config *config);

struct parts {
    char folder[1024];
    const struct set_form *form;
    struct shard_meta meta;     /* without lead-in; as it was begun, also where the model lies elsewhere now */
    int64_t n_records, records_per_part;
    int32_t n_parts;
};

/* Any process, after parts_begin. */
int parts_open(const char *folder, const struct set_form *form, struct parts *out);
/* Records [first, end). */
struct parts_range { int64_t first, end; };
struct parts_range parts_range(const struct parts *parts, int32_t part);
bool parts_is_done(const struct parts *parts, int32_t part);
/* The set's list is there: nothing is left to do. One process asks and tells the others. */
bool parts_is_complete(const struct parts *parts);

/* done[n_parts]. One process asks and tells the others: they may be finishing parts already. Returns how many are done. */
int32_t parts_done(const struct parts *parts, uint8_t *done);
/* Parts that were not done are dealt to the ranks in turn: those of this rank, ascending, to mine (room for n_parts). Returns how many they are. */
int32_t parts_deal(const struct parts *parts, const uint8_t *done, int rank, int size, int32_t *mine);

/* Path of a part's HDF5 file. */
int parts_path(const struct parts *parts, int32_t part, char out[2048]);
/* Writes the part: its file, unless the writer holds no pair or is NULL, and its sidecar. summary: a JSON object, borrowed; NULL: an empty one. Frees the writer, also on failure. */
int parts_finish_part(const struct parts *parts, int32_t part, struct shard_writer **writer, json_t *summary);
/* What was given to parts_finish_part; new reference. FAILED when the part is not done. */
int parts_summary(const struct parts *parts, int32_t part, json_t **out);

/* One process, when all parts are done: the set's list, of the parts that have pairs. FAILED, with why_empty, when none has: then there is no set. FAILED when a part is missing, or
 * its file is not as its sidecar says. n_pairs: of the set. */
int parts_complete(const struct parts *parts, const char *why_empty, int64_t *n_pairs);
/* One process, where what is complete holds all that the parts held: removes the sidecars. parts.json stays, and says what it is made of. */
int parts_clear(const struct parts *parts);

#endif
