/* set: a folder of HDF5 files and the list NAME.json, written last by rename, that makes it complete: it names every file with size, XXH3-64 and pairs.
 *
 * D_sub and candidates are the two forms of a set. Their files hold the same flat datasets but for a few columns, and are written and read by the same code: shard_writer.c,
 * shard.c (one file), dsub.c (many). A benchmark's table is made in parts like them (parts.h), under a form of a name alone: it has no such files, and its list is its own.
 * What is declared here serves dataset/; others use dsub.h, candidates.h and parts.h. */
#ifndef DATASET_SET_H
#define DATASET_SET_H

#include "dataset/candidates.h"

struct set_form {
    const char *name;           /* of the list and of files: NAME.json, NAME-00003-of-00016.h5 */
    const char *format;         /* what files and list say they are */
    const char *what, *maker;   /* for sentences: what a file is, which commands make a set */
    const char *judge_score;    /* the dataset of scores */
    bool candidates;            /* raw texts, finish and perhaps empty texts; no qualities, no conversations */
};
extern const struct set_form set_dsub, set_candidates;

/* ---- the list -------------------------------------------------------------------------------------------------------------------------------- */

struct set_file { char name[128]; uint64_t n_bytes, hash; int64_t n_pairs; };
struct set_list { char path[2048]; uint64_t hash; int n; struct set_file *file; };        /* hash: of the list's bytes; it names the set */

/* Hash and size of folder/name, which has n_pairs. */
int set_file_describe(const char *folder, const char *name, int64_t n_pairs, struct set_file *out);
int set_list_write(const char *folder, const struct set_form *form, const struct shard_meta *meta, const struct set_file *file, int n);
/* FAILED when there is no list, or a file is not there or not of the size that is listed. Free with set_list_free. */
int set_list_read(const char *folder, const struct set_form *form, struct set_list *out);
void set_list_free(struct set_list *list);
/* True when folder/NAME.json exists. */
bool set_is(const char *folder, const struct set_form *form);
/* Every file's size and hash against the list. */
int set_verify(const char *folder, const struct set_form *form);

/* ---- files ----------------------------------------------------------------------------------------------------------------------------------- */

/* As their namesakes without _as, for either form. */
int shard_open_as(const char *path, const struct set_form *form, struct shard **out);
/* Of the form that the file says it has. */
int shard_open_any(const char *path, struct shard **out);
/* Reads all of it, so that HDF5 compares every chunk with its checksum. */
int shard_verify(const struct shard *shard);
int shard_writer_create_as(const struct set_form *form, const struct shard_meta *meta, struct shard_writer **out);
int dsub_open_as(const char *folder, const struct set_form *form, struct dsub **out);
int dsub_writer_create_as(const char *folder, const struct set_form *form, const struct shard_meta *meta, int64_t pairs_per_shard, struct dsub_writer **out);
/* The raw texts of all candidates of a pair, one behind the other: bytes raw[first] to raw[end]. */
int shard_read_raw_of_pair(const struct shard *shard, int64_t pair, char *out);

#endif
