/* export: weights and their index. config.json and the tokenizer's files are in export_config.c. */
#include "trainer/ckpt/export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "base/status.h"
#include "trainer/ckpt/export_config.h"
#include "trainer/ckpt/reader.h"

static const char reward_head[] = "score.weight";
enum { BLOCK_ELEMS = 1 << 22 };

struct exporting {
    const struct export_options *options;
    struct reader *reader;
    const struct manifest *manifest;
    int n_files, *file_of;      /* [n_tensors] number of its file, ascending */
    int64_t total_bytes;
    float *block;
};

static enum st_type type_of(const struct exporting *e, int tensor)
{
    return e->options->dtype == F32 || strcmp(e->manifest->tensor[tensor].name, reward_head) == 0 ? ST_F32 : ST_BF16;
}

static int64_t elems_of(const struct tensor_entry *t) { return t->shape[0] * t->shape[1]; }

/* Tensors in the manifest's order, a new file when one is full. */
static int plan(struct exporting *e)
{
    int64_t limit = e->options->shard_bytes ? e->options->shard_bytes : 5000000000, in_file = 0;
    e->file_of = calloc((size_t)e->manifest->n_tensors + 1, sizeof *e->file_of);
    e->block = malloc(BLOCK_ELEMS * sizeof *e->block);
    CHECK(e->file_of && e->block, "out of memory for an export");
    e->n_files = 1;
    for (int i = 0; i < e->manifest->n_tensors; i++) {
        int64_t n_bytes = elems_of(&e->manifest->tensor[i]) * (type_of(e, i) == ST_F32 ? 4 : 2);
        if (in_file > 0 && in_file + n_bytes > limit) {
            e->n_files++;
            in_file = 0;
        }
        in_file += n_bytes;
        e->total_bytes += n_bytes;
        e->file_of[i] = e->n_files - 1;
    }
    return OK;
}

static void file_name(const struct exporting *e, int file, char out[64])
{
    if (e->n_files == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05d-of-%05d.safetensors", file + 1, e->n_files);
}

static int write_tensor(struct exporting *e, int tensor, struct st_writer *writer)
{
    const struct tensor_entry *t = &e->manifest->tensor[tensor];
    const struct box whole = {{0, 0}, {t->shape[0], t->shape[1]}};
    int64_t n = elems_of(t);
    for (int64_t first = 0; first < n; first += BLOCK_ELEMS) {
        int64_t count = n - first < BLOCK_ELEMS ? n - first : BLOCK_ELEMS;
        TRY(reader_read(e->reader, tensor, STATE_MASTER, &whole, first, count, e->block));
        TRY(st_writer_put_f32(writer, e->block, count));
    }
    return OK;
}

static int write_file(struct exporting *e, int file)
{
    int status = OK;
    char name[64], path[1200];
    struct st_writer *writer = NULL;
    file_name(e, file, name);
    TRY(path_join(path, sizeof path, e->options->out, name));
    TRY(st_writer_create(path, &writer));
    for (int i = 0; i < e->manifest->n_tensors; i++)
        if (e->file_of[i] == file)
            TRY_DONE(st_writer_declare(writer, e->manifest->tensor[i].name, type_of(e, i), e->manifest->tensor[i].n_dims, e->manifest->tensor[i].shape));
    for (int i = 0; i < e->manifest->n_tensors; i++)
        if (e->file_of[i] == file)
            TRY_DONE(write_tensor(e, i, writer));
    TRY_DONE(st_writer_close(&writer));
done:
    st_writer_abandon(&writer);
    if (status != OK)
        file_remove(path);
    return status;
}

static int write_index(const struct exporting *e)
{
    char name[64], path[1200];
    if (e->n_files == 1)
        return OK;
    TRY(path_join(path, sizeof path, e->options->out, "model.safetensors.index.json"));
    json_t *map = json_object(), *root = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)e->total_bytes, "weight_map", map);
    for (int i = 0; i < e->manifest->n_tensors; i++) {
        file_name(e, e->file_of[i], name);
        json_object_set_new(map, e->manifest->tensor[i].name, json_string(name));
    }
    char *text = json_dumps(root, JSON_INDENT(2));
    int status = text ? file_write_atomic(path, text, strlen(text)) : FAIL("out of memory while writing %s", path);
    free(text);
    json_decref(root);
    return status;
}

static int check_out(const char *out)
{
    static const char *const taken[] = {"config.json", "model.safetensors", "model.safetensors.index.json"};
    char path[1200];
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        TRY(path_join(path, sizeof path, out, taken[i]));
        CHECK_USAGE(!file_exists(path), "%s is there already: export into another folder, or remove it first", path);
    }
    return OK;
}

int export_model(const struct export_options *options)
{
    int status = OK;
    char *config = NULL;
    struct exporting e = {.options = options};
    TRY(check_out(options->out));
    TRY(reader_open(options->checkpoint, &e.reader));
    e.manifest = reader_manifest(e.reader);
    CHECK_DONE(manifest_find(e.manifest, reward_head) >= 0, "%s holds no %s", options->checkpoint, reward_head);
    TRY_DONE(plan(&e));
    TRY_DONE(dir_make(options->out));
    TRY_DONE(export_texts(options, &e.manifest->info, &config));        /* before the weights, which take long */
    for (int i = 0; i < e.n_files; i++)
        TRY_DONE(write_file(&e, i));
    TRY_DONE(write_index(&e));
    TRY_DONE(export_config_write(options, config));
done:
    free(config);
    free(e.block);
    free(e.file_of);
    reader_close(&e.reader);
    return status;
}
