/* checkpoint: see checkpoint.h. Names and folders are in checkpoint_dir.c. */
#include "trainer/ckpt/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors.h"
#include "base/status.h"
#include "comm/agree.h"
#include "trainer/ckpt/checkpoint_dir.h"
#include "trainer/ckpt/fill.h"
#include "trainer/ckpt/reader.h"

/* ---- saving ---- */

struct saving {
    const struct store *store;
    char dir[1024], path[1100];
    struct slice *slice;
    int n_slices;
};

/* In the order of writing: bucket, state, parameter. */
static int list_slices(struct saving *s, const char *file)
{
    const struct store *store = s->store;
    const struct param_table *table = store->table;
    s->slice = calloc((size_t)table->n * N_STATES + 1, sizeof *s->slice);
    CHECK(s->slice, "out of memory for the slices of a checkpoint");
    for (int b = 0; b < store->n_buckets; b++)
        for (int state = 0; state < N_STATES; state++)
            for (int i = table->bucket[b].first_param; i < table->bucket[b].first_param + table->bucket[b].n_params; i++) {
                const struct param *p = &table->params[i];
                struct range piece = param_piece(p, store->bucket[b].owned);
                if (piece.count == 0 || !param_is_written(table, p))
                    continue;
                struct slice *slice = &s->slice[s->n_slices++];
                *slice = (struct slice){.tensor = i, .state = (enum state_kind)state, .box = param_box(p), .first = piece.first, .count = piece.count};
                snprintf(slice->file, sizeof slice->file, "%s", file);
                snprintf(slice->key, sizeof slice->key, "%s.%s", p->name, state_name(slice->state));
            }
    return OK;
}

/* The slices of one state of a bucket, from *next on. */
static int write_chunk(struct saving *s, int bucket, enum state_kind state, struct st_writer *writer, float *host, int *next)
{
    const struct store *store = s->store;
    const struct bucket_memory *b = &store->bucket[bucket];
    TRY(store->device->ops->copy(&store->device->stream, host, store_state(store, bucket, state), (size_t)b->owned.count * sizeof *host, DEVICE_TO_HOST));
    TRY(store->device->ops->synchronize(&store->device->stream));
    for (; *next < s->n_slices && s->slice[*next].state == state && store->table->params[s->slice[*next].tensor].bucket == bucket; ++*next) {
        struct slice *slice = &s->slice[*next];
        const float *elems = host + (store->table->params[slice->tensor].offset + slice->first - b->owned.first);
        slice->hash = hash_bytes(elems, (size_t)slice->count * sizeof *elems, 0);
        TRY(st_writer_put_f32(writer, elems, slice->count));
    }
    return OK;
}

static int write_chunks(struct saving *s, struct st_writer *writer)
{
    int status = OK, next = 0;
    int64_t longest = 0;
    for (int b = 0; b < s->store->n_buckets; b++)
        longest = s->store->bucket[b].owned.count > longest ? s->store->bucket[b].owned.count : longest;
    float *host = malloc((size_t)longest * sizeof *host + 1);
    CHECK(host, "out of memory for %lld elements of a checkpoint", (long long)longest);
    for (int b = 0; b < s->store->n_buckets; b++)
        for (int state = 0; state < N_STATES; state++)
            TRY_DONE(write_chunk(s, b, (enum state_kind)state, writer, host, &next));
    ASSERT(next == s->n_slices);
done:
    free(host);
    return status;
}

static int write_mine(struct saving *s, const char *attempt)
{
    int status = OK;
    char file[64];
    struct st_writer *writer = NULL;
    snprintf(file, sizeof file, "rank_%05d.%s.safetensors", s->store->mesh->world->rank, attempt);
    TRY(path_join(s->path, sizeof s->path, s->dir, file));
    TRY(list_slices(s, file));
    TRY(st_writer_create(s->path, &writer));
    for (int i = 0; i < s->n_slices; i++)
        TRY_DONE(st_writer_declare(writer, s->slice[i].key, ST_F32, 1, &s->slice[i].count));
    TRY_DONE(write_chunks(s, writer));
    TRY_DONE(st_writer_close(&writer));
    TRY_DONE(dir_sync(s->dir));
done:
    st_writer_abandon(&writer);
    if (status != OK)
        file_remove(s->path);
    return status;
}

static int describe(const struct saving *s, const struct checkpoint_info *info, const char *attempt, struct manifest *m)
{
    const struct param_table *table = s->store->table;
    *m = (struct manifest){.info = *info, .data_size = s->store->mesh->data->size, .tensor_size = s->store->mesh->tensor->size};
    snprintf(m->attempt, sizeof m->attempt, "%s", attempt);
    m->tensor = calloc((size_t)table->n, sizeof *m->tensor);
    CHECK(m->tensor, "out of memory for a checkpoint's manifest");
    m->n_tensors = table->n;
    for (int i = 0; i < table->n; i++) {
        const struct param *p = &table->params[i];
        m->tensor[i] = (struct tensor_entry){.n_dims = p->n_dims, .shape = {p->shape[0], p->shape[1]}};
        memcpy(m->tensor[i].name, p->name, sizeof p->name);
    }
    return OK;
}

/* On rank 0, with the slices of all. */
static int finish(const struct saving *s, const char *run, const struct checkpoint_info *info, const char *attempt, void *all, size_t n_all)
{
    char path[1100];
    struct manifest m;
    TRY(checkpoint_dir_check_attempt(run, attempt));
    TRY(path_join(path, sizeof path, s->dir, "manifest.json"));
    TRY(describe(s, info, attempt, &m));
    m.slice = all;
    m.n_slices = (int)(n_all / sizeof *m.slice);
    int status = manifest_write(path, &m);
    free(m.tensor);
    return status == OK ? checkpoint_dir_tidy(s->dir, attempt) : status;
}

/* An attempt's state at a step is saved once: writing it again would overwrite files that a manifest names. */
static int is_saved(const struct saving *s, const char *attempt, bool *saved)
{
    struct comm *world = s->store->mesh->world;
    uint8_t answer = world->rank == 0 && checkpoint_dir_names(s->dir, attempt);
    TRY(broadcast(world, &answer, 1, COMM_U8, 0, NULL));
    *saved = answer != 0;
    return OK;
}

static int save(struct saving *s, const char *run, const char *attempt, const struct checkpoint_info *info)
{
    struct comm *world = s->store->mesh->world;
    void *all = NULL;
    size_t n_all = 0;
    bool saved;
    TRY(checkpoint_dir_of(run, info->step, s->dir, sizeof s->dir));
    TRY(is_saved(s, attempt, &saved));
    if (saved)
        return OK;
    TRY(agree_status(world, world->rank == 0 ? dir_make(s->dir) : OK));
    TRY(agree_status(world, write_mine(s, attempt)));
    TRY(agree_gather(world, 0, s->slice, (size_t)s->n_slices * sizeof *s->slice, &all, &n_all));
    int status = world->rank == 0 ? finish(s, run, info, attempt, all, n_all) : OK;
    free(all);
    return agree_status(world, status);
}

int checkpoint_save(const char *run, const char *attempt, const struct checkpoint_info *info, const struct store *store)
{
    struct saving s = {.store = store};
    int status = save(&s, run, attempt, info);
    if (status != OK && *s.path && !checkpoint_dir_names(s.dir, attempt))
        file_remove(s.path);
    free(s.slice);
    return status;
}

/* ---- loading ---- */

int checkpoint_read_info(const char *dir, struct checkpoint_info *info)
{
    char path[1100];
    struct manifest *m;
    *info = (struct checkpoint_info){0};
    TRY(path_join(path, sizeof path, dir, "manifest.json"));
    TRY(manifest_read(path, &m));
    int status = checkpoint_info_copy(&m->info, info);
    manifest_free(&m);
    return status;
}

struct loading {
    struct reader *reader;
    const struct param_table *table;
    int *tensor;                /* [table->n] index in the manifest */
};

static int match(struct loading *l, const char *dir)
{
    const struct manifest *m = reader_manifest(l->reader);
    l->tensor = calloc((size_t)l->table->n, sizeof *l->tensor);
    CHECK(l->tensor, "out of memory while loading %s", dir);
    for (int i = 0; i < l->table->n; i++) {
        const struct param *p = &l->table->params[i];
        int at = manifest_find(m, p->name);
        CHECK(at >= 0, "%s holds no tensor %s: it is a checkpoint of another model", dir, p->name);
        const struct tensor_entry *t = &m->tensor[at];
        CHECK(t->n_dims == p->n_dims && t->shape[0] == p->shape[0] && t->shape[1] == p->shape[1], "%s: tensor %s is %lld x %lld, the model's is %lld x %lld", dir, p->name,
              (long long)t->shape[0], (long long)t->shape[1], (long long)p->shape[0], (long long)p->shape[1]);
        l->tensor[i] = at;
    }
    for (int i = 0; i < m->n_tensors; i++)
        CHECK(params_find(l->table, m->tensor[i].name) >= 0, "%s holds tensor %s, which the model has not: it is a checkpoint of another model", dir, m->tensor[i].name);
    return OK;
}

static int read_piece(void *context, int param, enum state_kind state, int64_t first, int64_t count, float *out)
{
    struct loading *l = context;
    struct box box = param_box(&l->table->params[param]);
    return reader_read(l->reader, l->tensor[param], state, &box, first, count, out);
}

static int load_mine(struct loading *l, const char *dir, struct store *store, struct checkpoint_info *info)
{
    int n_states = store->bucket[0].m ? N_STATES : 1;
    TRY(reader_open(dir, &l->reader));
    TRY(match(l, dir));
    for (int state = 0; state < n_states; state++)
        TRY(store_fill(store, (enum state_kind)state, read_piece, l));
    return info ? checkpoint_info_copy(&reader_manifest(l->reader)->info, info) : OK;
}

int checkpoint_load(const char *dir, struct store *store, struct checkpoint_info *info)
{
    struct loading l = {.table = store->table};
    if (info)
        *info = (struct checkpoint_info){0};
    int status = load_mine(&l, dir, store, info);
    reader_close(&l.reader);
    free(l.tensor);
    status = agree_status(store->mesh->world, status);
    if (status != OK && info)
        checkpoint_info_clear(info);
    TRY(status);
    return store->bucket[0].m ? store_weights_from_masters(store) : OK;
}
