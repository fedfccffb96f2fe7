/* hash: XXH3-64, the one hash of the project's formats; written as 16 lower-case hexadecimal digits. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_HEX_SIZE = 17 };

uint64_t hash_bytes(const void *bytes, size_t n_bytes, uint64_t seed);
uint64_t hash_text(const char *text);                       /* seed 0 */

struct hash_state;
int hash_begin(struct hash_state **state);
void hash_update(struct hash_state *state, const void *bytes, size_t n_bytes);
uint64_t hash_value(const struct hash_state *state);
void hash_end(struct hash_state **state);

/* Hash and size of a file's bytes. */
int hash_file(const char *path, uint64_t *hash, uint64_t *n_bytes);

void hash_to_hex(uint64_t hash, char out[HASH_HEX_SIZE]);
/* FAILED (without a trace of its own meaning: "not a hash") unless exactly 16 lower-case hexadecimal digits. */
int hash_from_hex(const char *text, uint64_t *hash);

#endif
