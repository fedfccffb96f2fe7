/* hash: thin over libxxhash. */
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/status.h"

struct hash_state { XXH3_state_t *xxh; };

uint64_t hash_bytes(const void *bytes, size_t n_bytes, uint64_t seed) { return XXH3_64bits_withSeed(bytes, n_bytes, seed); }
uint64_t hash_text(const char *text) { return hash_bytes(text, strlen(text), 0); }

int hash_begin(struct hash_state **out)
{
    struct hash_state *state = calloc(1, sizeof *state);
    CHECK(state, "out of memory for a hash");
    state->xxh = XXH3_createState();
    if (!state->xxh) {
        free(state);
        return FAIL("out of memory for a hash");
    }
    XXH3_64bits_reset(state->xxh);
    *out = state;
    return OK;
}

void hash_update(struct hash_state *state, const void *bytes, size_t n_bytes) { XXH3_64bits_update(state->xxh, bytes, n_bytes); }
uint64_t hash_value(const struct hash_state *state) { return XXH3_64bits_digest(state->xxh); }

void hash_end(struct hash_state **state)
{
    if (*state) {
        XXH3_freeState((*state)->xxh);
        free(*state);
    }
    *state = NULL;
}

int hash_file(const char *path, uint64_t *hash, uint64_t *n_bytes)
{
    int status = OK;
    enum { BLOCK = 1 << 20 };
    struct hash_state *state = NULL;
    char *block = malloc(BLOCK);
    FILE *file = fopen(path, "rb");
    size_t n;
    CHECK_DONE(file, "cannot open %s: %s", path, strerror(errno));
    CHECK_DONE(block, "out of memory while reading %s", path);
    TRY_DONE(hash_begin(&state));
    *n_bytes = 0;
    while ((n = fread(block, 1, BLOCK, file)) > 0) {
        hash_update(state, block, n);
        *n_bytes += n;
    }
    CHECK_DONE(!ferror(file), "cannot read %s: %s", path, strerror(errno));
    *hash = hash_value(state);
done:
    hash_end(&state);
    free(block);
    if (file)
        fclose(file);
    return status;
}

void hash_to_hex(uint64_t hash, char out[HASH_HEX_SIZE]) { snprintf(out, HASH_HEX_SIZE, "%016llx", (unsigned long long)hash); }

int hash_from_hex(const char *text, uint64_t *hash)
{
    uint64_t value = 0;
    CHECK(strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16, "'%.32s' is not a hash of 16 hexadecimal digits", text);
    for (int i = 0; i < 16; i++)
        value = value << 4 | (uint64_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
    *hash = value;
    return OK;
}
