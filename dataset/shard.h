/* shard: one HDF5 file of D_sub, or of candidates.
 *
 *   /token/prompt /token/response /token/critique     uint32, all nodes of a kind one behind the other
 *   /offset/prompt [P+1]  /offset/response [2P+1]  /offset/critique [C+1]      uint64; response 2p is pair p's chosen, 2p+1 its rejected
 *   /offset/critiques_of_response [2P+1]              uint64, critiques of a response
 *   /critique/judge_score /critique/quality [C]       float32, NaN if none
 *   /pair/source [P]                                  uint64, index of the input record, rising
 *   /text/id /text/subset                             uint8, with /offset/id /offset/subset [P+1]
 *   attributes: format, version, tokenizer, template (hashes), model, pairs, critiques, lead_in
 *
 * A file of candidates has no /critique; it has, beside the encoded text of each candidate (which may be empty),
 *   /candidate/judge_score [C]                        float32, 1..10, NaN if none
 *   /candidate/finish [C]                             uint8, 0 stop, 1 cut by the token limit
 *   /text/candidate                                   uint8, UTF-8 as the model wrote it, with /offset/candidate [C+1]
 *   attributes: judge (hash of the judge's instruction, "" if not known); template is of the chat template alone, lead_in is empty
 *
 * A conversation is a pair of two empty responses, whose text is the one critique of the first.
 * Invariants: every offset list starts at 0, never falls, ends at the length of what it cuts; all lists have the lengths above; no prompt and no critique is empty,
 * and no response but a conversation's.
 */
#ifndef DATASET_SHARD_H
#define DATASET_SHARD_H

#include "dataset/tree.h"

enum { SHARD_VERSION = 1, SHARD_MAX_LEAD_IN = 512 };

/* The same in all shards of a set. */
struct shard_meta {
    char tokenizer[17], template[17], judge[17], model[512];       /* judge: of candidates only */
    uint32_t lead_in[SHARD_MAX_LEAD_IN];        /* the tokens after a response's end of turn: line ends, critique instruction, next header */
    int32_t n_lead_in;
};

struct shard_critique { struct tokens text; float judge_score, quality; };
struct shard_record {
    const char *id, *subset;
    uint64_t source;
    struct tokens prompt, response[2];
    int32_t n_critiques[2];
    const struct shard_critique *critique[2];
};

/* Writer: keeps the shard in memory until closed. Writes path.tmp, closes, fsyncs, renames. */
struct shard_writer;
int shard_writer_create(const struct shard_meta *meta, struct shard_writer **out);
int shard_writer_put(struct shard_writer *writer, const struct shard_record *record);
int64_t shard_writer_pairs(const struct shard_writer *writer);
/* Writes the file and frees the writer, also on failure. */
int shard_writer_finish(struct shard_writer **writer, const char *path);
void shard_writer_abandon(struct shard_writer **writer);

/* Reader: all lists but tokens are loaded and checked at open. */
struct set_form;
struct shard {
    const struct set_form *form;
    struct shard_meta meta;
    struct h5_file *file;
    int64_t n_pairs, n_critiques;
    uint64_t *prompt, *response, *critique, *critiques_of_response;     /* offsets */
    uint64_t *source, *id_offset, *subset_offset;
    float *judge_score, *quality;       /* quality: NULL in candidates */
    uint8_t *finish;                    /* candidates only, and so is */
    uint64_t *raw;                      /* offsets of the raw texts */
    char *id, *subset;          /* bytes */
};
int shard_open(const char *path, struct shard **out);
void shard_close(struct shard **shard);

/* Tokens of a node into out, which holds count = offset[i + 1] - offset[i] of them. Any thread. */
int shard_read_prompt(const struct shard *shard, int64_t pair, uint32_t *out);
int shard_read_response(const struct shard *shard, int64_t pair, int side, uint32_t *out);
/* All critiques of a response, one behind the other. */
int shard_read_critiques(const struct shard *shard, int64_t pair, int side, uint32_t *out);
/* Chosen and rejected, one behind the other: one read where two would touch the same chunks. */
int shard_read_responses(const struct shard *shard, int64_t pair, uint32_t *out);
int shard_read_critiques_of_pair(const struct shard *shard, int64_t pair, uint32_t *out);

#endif
