/* import: JSON lines to a set of shards (method.md, section 2, steps 3 to 5): equal responses, repeated, empty and too long critiques and pairs with an empty side
 * are left out and counted. */
#ifndef DATASET_IMPORT_H
#define DATASET_IMPORT_H

#include "dataset/dsub.h"
#include "dataset/pairs.h"

enum import_kind { IMPORT_CRITIQUES, IMPORT_PREFERENCES, IMPORT_CONVERSATIONS };

struct import_counts {
    int64_t records, kept;
    int64_t equal_responses, diverging, long_paths, empty_sides;                         /* pairs left out */
    int64_t critiques, repeated, empty, long_critiques, above_k;                /* critiques kept; left out */
};

/* kind IMPORT_CRITIQUES keeps the first data.critiques_per_response good critiques of each side; IMPORT_PREFERENCES keeps none and drops pairs whose own path is
 * above data.max_path_tokens; IMPORT_CONVERSATIONS stores x as the prompt and the last message as the one critique of an empty response. FAILED when nothing is left. */
int import_file(const struct config *config, const char *path, const char *folder, enum import_kind kind, struct import_counts *counts);
/* The set of a file under `parent`, made unless it is there: folder (of size bytes) receives parent/NAME-HASH, the hash being of the file and of every option that the set
 * depends on. counts->records is 0 when it was there. */
int import_once(const struct config *config, const char *path, const char *parent, const char *name, enum import_kind kind, char *folder, size_t size, struct import_counts *counts);
/* What a file holds: conversations, when its first record is one; else pairs with critiques, when any pair has one; else preferences. */
int import_kind_of(const char *path, enum import_kind *out);

#endif
