/* candidates: the critiques that a model wrote of every response, before filter and refinement (method.md, section 2, step 1), and the set of HDF5 files that keeps them (shard.h
 * has the datasets, set.h the list).
 *
 * A record is a preference pair; its prompt and responses are nodes without any instruction (a response ends with its end of turn), since judge, rank, summarise and
 * critique instructions all follow the same response. */
#ifndef DATASET_CANDIDATES_H
#define DATASET_CANDIDATES_H

#include <math.h>

#include "dataset/dsub.h"

enum finish { FINISH_STOP, FINISH_LIMIT };

struct candidate {
    struct tokens text;         /* the critique without its score line, trimmed, encoded anew, with its end of turn: a node as encode_critique makes it; n 0: nothing is left */
    const char *raw;            /* what the model wrote */
    size_t n_raw_bytes;
    float judge_score;          /* 1..10; NAN: unscored */
    enum finish finish;         /* LIMIT: cut by the token limit */
};

struct candidate_record {
    const char *id, *subset;
    uint64_t source;            /* number of the input record */
    struct tokens prompt, response[2];
    int32_t n_candidates[2];
    const struct candidate *candidate[2];
};

static inline bool candidate_is_score(float score) { return isnan(score) || (score >= 1.0f && score <= 10.0f); }

/* ---- writing --------------------------------------------------------------------------------------------------------------------------------- */

struct encoder;
/* What candidates made with this encoder and judge instruction say of themselves. judge NULL: another instruction, not known. */
int candidates_meta(const struct encoder *encoder, const char *judge, const char *model, struct shard_meta *out);

/* One file, in memory until parts_finish_part or shard_writer_finish writes it. Records in rising order of source. Bytes of raw that are not UTF-8, and zero bytes, are kept as
 * U+FFFD (text_repair). */
int candidates_part_create(const struct shard_meta *meta, struct shard_writer **out);
int candidates_part_put(struct shard_writer *part, const struct candidate_record *record);

/* A whole set by one process: finish with dsub_writer_finish, or dsub_writer_abandon. FAILED when the folder holds a complete set of candidates. */
int candidates_writer_create(const char *folder, const struct shard_meta *meta, int64_t pairs_per_file, struct dsub_writer **out);
int candidates_writer_put(struct dsub_writer *writer, const struct candidate_record *record);

/* ---- reading --------------------------------------------------------------------------------------------------------------------------------- */

struct candidates {
    struct shard_meta meta;
    uint64_t hash;              /* of candidates.json: names the set */
    int64_t n_records, n_candidates;
    int n_files;
    struct dsub *set;           /* the rest is the reader's own: files, and the record that was read last */
    struct { uint32_t *token; char *text; struct candidate *candidate; size_t max_tokens, max_bytes, max_candidates; } record;
};

/* True when folder/candidates.json exists. */
bool candidates_is_set(const char *folder);
/* Only a complete set opens. Everything but tokens and raw texts is read and checked; so are the files' sizes. */
int candidates_open(const char *folder, struct candidates **out);
void candidates_close(struct candidates **candidates);
/* Record `number` (0..n_records-1, in order of source). out borrows from the reader until the next read or close; its texts have a 0 behind them. */
int candidates_read(struct candidates *candidates, int64_t number, struct candidate_record *out);
/* Every file's size and hash against candidates.json. */
int candidates_verify(const char *folder);

#endif
