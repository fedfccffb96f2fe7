/* fingerprint: see fingerprint.h. */
#include "trainer/model/fingerprint.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors.h"
#include "base/status.h"

enum { PIECES = 8 };
static const int64_t PIECE_BYTES = 32 << 10;

/* With its length, so that no two lists of files are the same bytes. */
static int add_file(struct hash_state *state, const char *folder, const char *name)
{
    char path[2048], *bytes;
    size_t n_bytes;
    TRY(path_join(path, sizeof path, folder, name));
    TRY(file_read(path, &bytes, &n_bytes));
    hash_update(state, &n_bytes, sizeof n_bytes);
    hash_update(state, bytes, n_bytes);
    free(bytes);
    return OK;
}

static void add_tensor(struct hash_state *state, const struct st_tensor *t)
{
    const int64_t n_bytes = t->n_elems * (t->type == ST_F32 ? 4 : 2), form[] = {t->type, t->n_dims};
    hash_update(state, t->name, strlen(t->name) + 1);
    hash_update(state, form, sizeof form);
    hash_update(state, t->shape, (size_t)t->n_dims * sizeof *t->shape);
    if (n_bytes <= PIECES * PIECE_BYTES) {
        hash_update(state, t->data, (size_t)n_bytes);
        return;
    }
    for (int64_t i = 0; i < PIECES; i++)
        hash_update(state, t->data + (n_bytes - PIECE_BYTES) * i / (PIECES - 1), (size_t)PIECE_BYTES);
}

static int add_weights(struct hash_state *state, const char *folder)
{
    struct safetensors *st;
    TRY(safetensors_open_folder(folder, &st));
    for (int i = 0; i < safetensors_count(st); i++)
        add_tensor(state, safetensors_at(st, i));
    safetensors_close(&st);
    return OK;
}

static int add_model(struct hash_state *state, const struct config *config, const char *checkpoint)
{
    TRY(add_file(state, config->backbone.path, "config.json"));
    if (*checkpoint)
        return add_file(state, checkpoint, "manifest.json");
    if (config->backbone.init == BACKBONE_PRETRAINED)
        return add_weights(state, config->backbone.path);
    hash_update(state, &config->run.seed, sizeof config->run.seed);
    return OK;
}

int fingerprint_of(const struct config *config, const char *checkpoint, uint64_t *out)
{
    struct hash_state *state;
    TRY(hash_begin(&state));
    int status = add_model(state, config, checkpoint);
    if (status == OK)
        *out = hash_value(state);
    hash_end(&state);
    return status;
}
