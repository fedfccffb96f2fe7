/* critic-rm inspect [--verify] PATH: what a run, a checkpoint, a D_sub, a set of candidates, one of their files, or a folder of weights holds; --verify checks every checksum. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/safetensors.h"
#include "base/status.h"
#include "comm/agree.h"
#include "dataset/set.h"
#include "launch/command.h"
#include "trainer/ckpt/checkpoint.h"
#include "trainer/ckpt/reader.h"

static void print_hash(const char *name, uint64_t hash)
{
    char text[HASH_HEX_SIZE];
    hash_to_hex(hash, text);
    printf("%-14s %s\n", name, text);
}

static void print_checkpoint(const char *dir, const struct manifest *m)
{
    const struct checkpoint_info *i = &m->info;
    int64_t n_elems = 0;
    printf("checkpoint     %s\nstep           %" PRId64 ", epoch %" PRId64 " of %" PRId64 " steps and %" PRId64 " pairs\n", dir, i->step, i->epoch, i->steps_per_epoch, i->pairs);
    printf("updates        backbone %" PRId64 ", reward head %" PRId64 "\n", i->group_steps[GROUP_BACKBONE], i->group_steps[GROUP_REWARD]);
    printf("seed           %" PRIu64 "\nreward token   %" PRId64 " %s\n", i->seed, i->reward_token, i->reward_token_text);
    print_hash("D_sub", i->dsub_hash);
    print_hash("options", i->options_hash);
    printf("written by     attempt %s on a mesh of data %d x tensor %d\n", m->attempt, m->data_size, m->tensor_size);
    for (int t = 0; t < m->n_tensors; t++)
        n_elems += m->tensor[t].shape[0] * m->tensor[t].shape[1];
    printf("tensors        %d with %" PRId64 " elements, in %d slices of master, exp_avg and exp_avg_sq\n", m->n_tensors, n_elems, m->n_slices);
    for (int t = 0; t < m->n_tensors; t++)
        if (m->tensor[t].n_dims == 2)
            printf("  %-52s %" PRId64 " x %" PRId64 "\n", m->tensor[t].name, m->tensor[t].shape[0], m->tensor[t].shape[1]);
        else
            printf("  %-52s %" PRId64 "\n", m->tensor[t].name, m->tensor[t].shape[0]);
}

static int inspect_checkpoint(const char *path, bool verify)
{
    char dir[1024];
    struct reader *reader = NULL;
    TRY(checkpoint_resolve(path, dir, sizeof dir));
    TRY(reader_open(dir, &reader));
    print_checkpoint(dir, reader_manifest(reader));
    int status = verify ? reader_verify(reader) : OK;
    if (verify && status == OK)
        printf("verified       every slice has the checksum that the manifest names\n");
    reader_close(&reader);
    return status;
}

static int inspect_dsub(const char *path, bool verify)
{
    struct dsub *dsub = NULL;
    TRY(dsub_open(path, &dsub));
    printf("D_sub          %s\nmodel          %s\npairs          %" PRId64 "\ncritiques      %" PRId64 "\nfiles          %d\n", path, dsub->meta.model, dsub->n_pairs,
           dsub->n_critiques, dsub->n_files);
    print_hash("hash", dsub->hash);
    dsub_close(&dsub);
    if (!verify)
        return OK;
    TRY(dsub_verify(path));
    printf("verified       every file has the size and checksum that dsub.json names\n");
    return OK;
}

static void count_candidates(const struct shard *s, int64_t *scored, int64_t *cut, int64_t *empty)
{
    for (int64_t i = 0; i < s->n_critiques; i++) {
        *scored += !isnan(s->judge_score[i]);
        *cut += s->finish[i] == FINISH_LIMIT;
        *empty += s->critique[i] == s->critique[i + 1];
    }
}

static void print_candidates(const struct candidates *c, const char *path)
{
    int64_t scored = 0, cut = 0, empty = 0;
    for (int i = 0; i < c->n_files; i++)
        count_candidates(c->set->shard[i], &scored, &cut, &empty);
    printf("candidates     %s\nmodel          %s\njudge          %s\nrecords        %" PRId64 "\ncandidates     %" PRId64 ": %" PRId64 " with a score, %" PRId64 " cut by the limit, %" PRId64
           " without text\nfiles          %d\n", path, c->meta.model, *c->meta.judge ? c->meta.judge : "not known", c->n_records, c->n_candidates, scored, cut, empty, c->n_files);
    print_hash("hash", c->hash);
}

static int inspect_candidates(const char *path, bool verify)
{
    struct candidates *c = NULL;
    TRY(candidates_open(path, &c));
    print_candidates(c, path);
    candidates_close(&c);
    if (!verify)
        return OK;
    TRY(candidates_verify(path));
    printf("verified       every file has the size and checksum that candidates.json names\n");
    return OK;
}

/* One file of a set; its size and hash stand in the set's list, its chunks' checksums in itself. */
static int inspect_shard(const char *path, bool verify)
{
    struct shard *s = NULL;
    TRY(shard_open_any(path, &s));
    printf("shard          %s, a %s\nmodel          %s\npairs          %" PRId64 "\n%-14s %" PRId64 "\n", path, s->form->what, s->meta.model, s->n_pairs, s->form->candidates ? "candidates" : "critiques",
           s->n_critiques);
    int status = verify ? shard_verify(s) : OK;
    if (verify && status == OK)
        printf("verified       every chunk has its checksum\n");
    shard_close(&s);
    return status;
}

static int inspect_weights(const char *path, bool is_file)
{
    static const char *const types[] = {[ST_F32] = "F32", [ST_BF16] = "BF16", [ST_F16] = "F16"};
    struct safetensors *st = NULL;
    TRY(is_file ? safetensors_open_file(path, &st) : safetensors_open_folder(path, &st));
    printf("weights        %s\ntensors        %d\n", path, safetensors_count(st));
    for (int i = 0; i < safetensors_count(st); i++) {
        const struct st_tensor *t = safetensors_at(st, i);
        printf("  %-52s %-5s", t->name, types[t->type]);
        for (int d = 0; d < t->n_dims; d++)
            printf("%s%" PRId64, d ? " x " : "", t->shape[d]);
        printf("\n");
    }
    safetensors_close(&st);
    return OK;
}

static bool has(const char *folder, const char *name)
{
    char path[1200];
    return path_join(path, sizeof path, folder, name) == OK && file_exists(path);
}

static int inspect(const struct command *command)
{
    CHECK_USAGE(command->argc == 1, "critic-rm inspect [--verify] PATH needs one path");
    const char *path = command->argv[0], *end = strrchr(path, '.');
    CHECK(file_exists(path), "there is no %s", path);
    if (end && strcmp(end, ".safetensors") == 0)
        return inspect_weights(path, true);
    if (end && strcmp(end, ".h5") == 0)
        return inspect_shard(path, command->verify);
    if (dsub_is_set(path))
        return inspect_dsub(path, command->verify);
    if (candidates_is_set(path))
        return inspect_candidates(path, command->verify);
    if (has(path, "model.safetensors") || has(path, "model.safetensors.index.json"))
        return inspect_weights(path, false);
    if (has(path, "manifest.json") || has(path, "checkpoints"))
        return inspect_checkpoint(path, command->verify);
    return FAIL("%s is neither a run, a checkpoint, a D_sub, a set of candidates, a file of one, nor a folder of weights", path);
}

int cmd_inspect(const struct command *command) { return agree_status(command->world, command->world->rank == 0 ? inspect(command) : OK); }
