/* tokenizer_parts: what the tokenizer's files share. */
#ifndef DATASET_TOKENIZER_PARTS_H
#define DATASET_TOKENIZER_PARTS_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <jansson.h>
#include <pcre2.h>

#include "dataset/tokenizer.h"

/* ---- vocabulary and merges: tokenizer_bpe.c ---- */

struct piece { const char *bytes; uint32_t n; };        /* a token's bytes, in the vocabulary's own memory */

struct merge { uint64_t pair; uint32_t rank, merged; }; /* pair: left id << 32 | right id; empty: UINT64_MAX */

struct vocab {
    struct piece *piece;        /* [n_ids]; n = 0 and bytes NULL: no such id */
    int64_t n_ids;
    uint32_t *slot;             /* hash table of ids by bytes, [n_slots], UINT32_MAX empty */
    uint64_t n_slots;
    struct merge *merge;        /* hash table, [n_merge_slots] */
    uint64_t n_merge_slots;
    bool byte_level, byte_fallback, ignore_merges, fuse_unknown;
    int64_t unknown;            /* id, or -1 */
    uint32_t byte_id[256];      /* byte_level: id of each byte; byte_fallback: of <0xXX>; UINT32_MAX none */
};

int vocab_parse(json_t *model, bool byte_level, const char *where, struct vocab *out);
int vocab_add(struct vocab *vocab, uint32_t id, const char *bytes, size_t n_bytes);
void vocab_free(struct vocab *vocab);
int64_t vocab_find(const struct vocab *vocab, const char *bytes, size_t n_bytes);
/* Ids of one pre-token. */
int vocab_encode(const struct vocab *vocab, const char *bytes, size_t n_bytes, struct token_list *out);

/* ---- normalisation and pre-tokenisation: tokenizer_split.c ---- */

enum { SPLIT_MAX_STEPS = 8, NORMAL_MAX_STEPS = 8 };
enum prepend { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS };
struct split_step { pcre2_code *regex; bool metaspace, split_at_space; enum prepend prepend; };
struct normal_step { bool nfc; char *prepend, *pattern, *content; };

struct splitter {
    struct normal_step normal[NORMAL_MAX_STEPS];
    int n_normal, n_steps;
    struct split_step step[SPLIT_MAX_STEPS];
    bool byte_level, add_prefix_space;
};

int splitter_parse(json_t *tokenizer, const char *where, struct splitter *out);
void splitter_free(struct splitter *splitter);
/* Malloc'd normalised text. `first`: the segment begins the text and nothing stands before it. */
int splitter_normalise(const struct splitter *splitter, const char *text, size_t n_bytes, bool first, char **out, size_t *n_out);
/* Calls piece for each pre-token of normalised text. */
int splitter_split(const struct splitter *splitter, const char *text, size_t n_bytes, bool first, int (*piece)(void *context, const char *bytes, size_t n_bytes), void *context);

#endif
