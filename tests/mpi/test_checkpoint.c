// ranks: 1 2 4
/* checkpoint: saved on one mesh, loaded on every other, bit for bit; and what must be refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "comm/agree.h"
#include "trainer/ckpt/checkpoint.h"
#include "trainer/ckpt/checkpoint_dir.h"
#include "trainer/ckpt/fill.h"
#include "trainer/ckpt/load.h"
#include "trainer/ckpt/reader.h"

static struct comm *world;
static char run[256];           /* this test's run folder, the same on all ranks */

/* Sizes that split unevenly: 7 token rows over 2 or 4 ranks, one KV head copied over 2, buckets that ZeRO cuts inside rows. */
static const struct model_config model = {.family = FAMILY_QWEN2, .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 6, .hidden = 10, .ffn = 12, .vocab = 7,
                                          .max_position = 64, .rms_eps = 1e-6, .rope_theta = 10000.0, .qkv_bias = true};

struct ranks { struct mesh *mesh; struct device *device; struct param_table *table; struct store *store; };

static void open_with(struct ranks *r, const struct model_config *config, int data, int tensor, enum dtype dtype, bool training)
{
    assert_int_equal(mesh_create(world, data, tensor, true, &r->mesh), OK);
    assert_int_equal(device_ref_create(&r->device), OK);
    assert_int_equal(params_build(config, tensor, r->mesh->tensor->rank, &r->table), OK);
    assert_int_equal(store_create(r->table, r->device, r->mesh, dtype, training, &r->store), OK);
}

static void open_ranks(struct ranks *r, int data, int tensor) { open_with(r, &model, data, tensor, BF16, true); }

static void close_ranks(struct ranks *r)
{
    store_destroy(&r->store);
    params_free(&r->table);
    device_destroy(&r->device);
    mesh_destroy(&r->mesh);
}

/* A number that only this element of this state of this tensor has. */
static float expected(const struct param *p, enum state_kind state, int64_t i)
{
    float value = (float)(p->offset % 7 + 1) + (float)i * 0.03125f + 100000.0f * (float)state;
    for (const char *c = p->name; *c; c++)
        value += (float)*c * 0.5f;
    return value;
}

static int fill_expected(void *context, int param, enum state_kind state, int64_t first, int64_t count, float *out)
{
    const struct param *p = &((const struct store *)context)->table->params[param];
    struct param global = *p;
    global.offset = 0;          /* does not depend on the mesh */
    for (int64_t i = 0; i < count; i++) {
        int64_t row = p->box_offset[0] + (first + i) / p->local_shape[1], col = p->box_offset[1] + (first + i) % p->local_shape[1];
        out[i] = expected(&global, state, row * p->shape[1] + col);
    }
    return OK;
}

static int compare_expected(void *context, int param, enum state_kind state, int64_t first, int64_t count, float *out)
{
    const struct store *store = context;
    const struct param *p = &store->table->params[param];
    const float *mine = store_state(store, p->bucket, state) + (p->offset + first - store->bucket[p->bucket].owned.first);
    float *want = malloc((size_t)count * sizeof *want);
    TRY(fill_expected(context, param, state, first, count, want));
    assert_memory_equal(mine, want, (size_t)count * sizeof *want);
    memcpy(out, mine, (size_t)count * sizeof *want);
    free(want);
    return OK;
}

static void fill_all(struct ranks *r)
{
    for (int s = 0; s < N_STATES; s++)
        assert_int_equal(store_fill(r->store, (enum state_kind)s, fill_expected, r->store), OK);
}

static void check_all(struct ranks *r)
{
    for (int s = 0; s < N_STATES; s++)
        assert_int_equal(store_fill(r->store, (enum state_kind)s, compare_expected, r->store), OK);
}

static struct checkpoint_info info_of(int64_t step)
{
    static char options[] = "run:\n  seed: 1\n";
    return (struct checkpoint_info){.step = step, .epoch = 1, .steps_per_epoch = 9, .pairs = 33, .dsub_hash = 0xfedcba9876543210u, .seed = 1, .options_hash = 5, .group_steps = {3, 2},
                                    .reward_token = 6, .reward_token_text = "<|reward|>", .options = options};
}

static void save_on(int data, int tensor, int64_t step)
{
    struct ranks r;
    char attempt[ATTEMPT_SIZE];
    struct checkpoint_info info = info_of(step);
    open_ranks(&r, data, tensor);
    fill_all(&r);
    assert_int_equal(checkpoint_begin(run, r.mesh->world, attempt), OK);
    assert_int_equal(checkpoint_save(run, attempt, &info, r.store), OK);
    close_ranks(&r);
}

static void load_on(int data, int tensor, int64_t step)
{
    struct ranks r;
    char dir[300];
    bool found;
    struct checkpoint_info info;
    open_ranks(&r, data, tensor);
    assert_int_equal(checkpoint_find_latest(run, r.mesh->world, dir, sizeof dir, &found), OK);
    assert_true(found);
    assert_int_equal(checkpoint_load(dir, r.store, &info), OK);
    check_all(&r);
    assert_int_equal(info.step, step);
    assert_int_equal(info.group_steps[GROUP_REWARD], 2);
    assert_string_equal(info.options, "run:\n  seed: 1\n");
    assert_string_equal(info.reward_token_text, "<|reward|>");
    checkpoint_info_clear(&info);
    close_ranks(&r);
}

static void a_checkpoint_of_any_mesh_loads_on_any_mesh_bit_for_bit(void **state)
{
    (void)state;
    int64_t step = 1;
    for (int from = 1; from <= world->size; from *= 2)
        for (int to = 1; to <= world->size; to *= 2, step++) {
            save_on(world->size / from, from, step);
            load_on(world->size / to, to, step);
        }
}

static void weights_without_training_memory_are_the_rounded_masters(void **state)
{
    (void)state;
    struct ranks r;
    char dir[300];
    save_on(world->size, 1, 1);
    open_with(&r, &model, 1, world->size, BF16, false);
    assert_int_equal(checkpoint_dir_of(run, 1, dir, sizeof dir), OK);
    assert_int_equal(checkpoint_load(dir, r.store, NULL), OK);
    for (int i = 0; i < r.table->n; i++) {
        const struct param *p = &r.table->params[i];
        for (int64_t e = 0; e < p->n_local; e++) {
            float want;
            fill_expected(r.store, i, STATE_MASTER, e, 1, &want);
            float is = dtype_get(store_weight(r.store, i), store_dtype(r.store, i), e);
            assert_true(is == (store_dtype(r.store, i) == F32 ? want : bf16_to_f32(f32_to_bf16(want))));
        }
    }
    close_ranks(&r);
}

static void a_folder_without_manifest_is_no_checkpoint(void **state)
{
    (void)state;
    char dir[300];
    bool found;
    save_on(world->size, 1, 1);
    if (world->rank == 0) {
        assert_int_equal(checkpoint_dir_of(run, 2, dir, sizeof dir), OK);
        assert_int_equal(dir_make(dir), OK);
    }
    assert_int_equal(checkpoint_find_latest(run, world, dir, sizeof dir, &found), OK);
    assert_non_null(strstr(dir, "step_00000001"));
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_END), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_END), 0);
    fputc(byte ^ 1, f);
    fclose(f);
}

static void load_is_refused(const struct model_config *config, const char *dir, const char *why)
{
    struct ranks r;
    open_with(&r, config, world->size, 1, BF16, true);
    assert_int_equal(checkpoint_load(dir, r.store, NULL), FAILED);
    assert_non_null(strstr(trace_sentence(), why));
    trace_clear();
    close_ranks(&r);
}

static void a_flipped_byte_is_refused(void **state)
{
    (void)state;
    char dir[300], path[400];
    save_on(world->size, 1, 1);
    assert_int_equal(checkpoint_dir_of(run, 1, dir, sizeof dir), OK);
    if (world->rank == 0) {
        struct reader *reader;
        assert_int_equal(reader_open(dir, &reader), OK);
        assert_int_equal(reader_verify(reader), OK);
        snprintf(path, sizeof path, "%s/%s", dir, reader_manifest(reader)->slice[0].file);
        reader_close(&reader);
        flip(path, -3);
        assert_int_equal(reader_open(dir, &reader), OK);
        assert_int_equal(reader_verify(reader), FAILED);
        assert_non_null(strstr(trace_sentence(), "checksum"));
        trace_clear();
        reader_close(&reader);
    }
    world->ops->barrier(world);
    load_is_refused(&model, dir, "checksum");
}

static void a_damaged_manifest_is_refused(void **state)
{
    (void)state;
    char dir[300], path[400];
    save_on(world->size, 1, 1);
    assert_int_equal(checkpoint_dir_of(run, 1, dir, sizeof dir), OK);
    if (world->rank == 0) {
        snprintf(path, sizeof path, "%s/manifest.json", dir);
        char *text;
        size_t n;
        assert_int_equal(file_read(path, &text, &n), OK);
        char *at = strstr(text, "\"epoch\": 1");
        assert_non_null(at);
        at[9] = '2';
        assert_int_equal(file_write_atomic(path, text, n), OK);
        free(text);
    }
    world->ops->barrier(world);
    load_is_refused(&model, dir, "checksum");
}

static void another_model_is_refused_with_the_difference(void **state)
{
    (void)state;
    char dir[300];
    struct model_config other = model;
    save_on(world->size, 1, 1);
    assert_int_equal(checkpoint_dir_of(run, 1, dir, sizeof dir), OK);
    other.vocab = 8;
    load_is_refused(&other, dir, "7 x 10");
    other = model;
    other.layers = 3;
    load_is_refused(&other, dir, "model.layers.2.");
    other.layers = 1;
    load_is_refused(&other, dir, "model.layers.1.");
}

static void an_attempt_that_was_overtaken_finishes_no_checkpoint(void **state)
{
    (void)state;
    struct ranks r;
    char old[ATTEMPT_SIZE], new[ATTEMPT_SIZE], dir[300];
    bool found;
    struct checkpoint_info info = info_of(1);
    open_ranks(&r, world->size, 1);
    fill_all(&r);
    assert_int_equal(checkpoint_begin(run, r.mesh->world, old), OK);
    assert_int_equal(checkpoint_begin(run, r.mesh->world, new), OK);
    assert_int_equal(checkpoint_save(run, old, &info, r.store), FAILED);
    assert_non_null(strstr(trace_sentence(), "started again"));
    trace_clear();
    assert_int_equal(checkpoint_find_latest(run, r.mesh->world, dir, sizeof dir, &found), OK);
    assert_false(found);
    assert_int_equal(checkpoint_save(run, new, &info, r.store), OK);
    close_ranks(&r);
    load_on(1, world->size, 1);
}

static void a_full_disk_loses_no_earlier_checkpoint(void **state)
{
    (void)state;
    struct ranks r;
    char attempt[ATTEMPT_SIZE], dir[300], path[400];
    struct checkpoint_info info = info_of(2);
    save_on(world->size, 1, 1);
    open_ranks(&r, world->size, 1);
    fill_all(&r);
    assert_int_equal(checkpoint_begin(run, r.mesh->world, attempt), OK);
    assert_int_equal(checkpoint_dir_of(run, 2, dir, sizeof dir), OK);
    snprintf(path, sizeof path, "%s/rank_%05d.%s.safetensors", dir, r.mesh->world->size - 1, attempt);
    if (r.mesh->world->rank == 0) {
        assert_int_equal(dir_make(dir), OK);
        assert_int_equal(symlink("/dev/full", path), 0);
    }
    r.mesh->world->ops->barrier(r.mesh->world);
    assert_int_equal(checkpoint_save(run, attempt, &info, r.store), FAILED);
    assert_non_null(strstr(trace_sentence(), "No space left"));
    trace_clear();
    close_ranks(&r);
    load_on(1, world->size, 1);
}

static void pruning_keeps_the_last_ones(void **state)
{
    (void)state;
    int64_t *steps;
    int n;
    for (int64_t step = 1; step <= 4; step++)
        save_on(world->size, 1, step * 10);
    assert_int_equal(checkpoint_prune(run, world, 2), OK);
    assert_int_equal(checkpoint_dir_steps(run, true, &steps, &n), OK);
    assert_int_equal(n, 2);
    assert_int_equal(steps[0], 30);
    assert_int_equal(steps[1], 40);
    free(steps);
    assert_int_equal(checkpoint_prune(run, world, 0), OK);
    assert_int_equal(checkpoint_dir_steps(run, true, &steps, &n), OK);
    assert_int_equal(n, 2);
    free(steps);
}

static void what_pruning_cannot_remove_ends_no_run(void **state)
{
    (void)state;
    char dir[300], path[400];
    int64_t *steps;
    int n;
    for (int64_t step = 1; step <= 3; step++)
        save_on(world->size, 1, step);
    assert_int_equal(checkpoint_dir_of(run, 1, dir, sizeof dir), OK);
    snprintf(path, sizeof path, "%s/manifest.json", dir);
    if (world->rank == 0) {
        assert_int_equal(file_remove(path), OK);
        assert_int_equal(dir_make(path), OK);       /* no unlink removes it */
    }
    world->ops->barrier(world);
    assert_int_equal(checkpoint_prune(run, world, 1), OK);
    assert_string_equal(trace_sentence(), "");
    assert_int_equal(checkpoint_dir_steps(run, true, &steps, &n), OK);
    assert_int_equal(steps[n - 1], 3);
    free(steps);
}

static void random_weights_do_not_depend_on_the_mesh(void **state)
{
    (void)state;
    const struct load_options options = {.seed = 7, .reward_token = 6, .copy_of = 2};
    for (int tensor = 1; tensor <= world->size; tensor *= 2) {
        struct ranks r;
        open_with(&r, &model, world->size / tensor, tensor, F32, true);
        assert_int_equal(load_weights(&options, r.store, NULL), OK);
        for (int i = 0; i < r.table->n; i++) {
            const struct param *p = &r.table->params[i];
            for (int64_t e = 0; e < p->n_local; e++) {
                int64_t row = p->box_offset[0] + e / p->local_shape[1], col = p->box_offset[1] + e % p->local_shape[1];
                if (i == 0 && row == 6)
                    row = 2;    /* the reward token starts as the end of turn */
                assert_true(((const float *)store_weight(r.store, i))[e] == load_random(p, 7, row * p->shape[1] + col));
            }
        }
        close_ranks(&r);
    }
}

static int setup(void **state)
{
    (void)state;
    if (world->rank == 0) {
        snprintf(run, sizeof run, "/tmp/critic-rm-test-XXXXXX");
        if (!mkdtemp(run))
            return 1;
    }
    return broadcast(world, run, sizeof run, COMM_U8, 0, NULL);
}

static int teardown(void **state)
{
    (void)state;
    world->ops->barrier(world);
    return world->rank == 0 ? dir_remove(run) : OK;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_checkpoint_of_any_mesh_loads_on_any_mesh_bit_for_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(weights_without_training_memory_are_the_rounded_masters, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_without_manifest_is_no_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_byte_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_manifest_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(another_model_is_refused_with_the_difference, setup, teardown),
        cmocka_unit_test_setup_teardown(an_attempt_that_was_overtaken_finishes_no_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_loses_no_earlier_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(pruning_keeps_the_last_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(what_pruning_cannot_remove_ends_no_run, setup, teardown),
        cmocka_unit_test_setup_teardown(random_weights_do_not_depend_on_the_mesh, setup, teardown),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed)
        comm_mpi_abort(world, 1);
    comm_mpi_stop(&world);
    return 0;
}
