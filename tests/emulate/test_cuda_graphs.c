/* Decoding passes as CUDA graphs: the hidden states are those of passes queued call by call, to the bit, whatever the number of rows and the lengths of texts; a pass of a size that is known
 * names no kernel. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "emulate.h"
#include "tests/emulate/opened_device.h"
#include "tests/tools/random_values.h"
#include "tests/tools/scratch.h"
#include "trainer/ckpt/load.h"
#include "trainer/model/backbone.h"

enum { VOCABULARY = 300, LAYERS = 2, HIDDEN = 128, KV_COLS = 64, N_SLOTS = 2048, MAX_ROWS = 512, MAX_TEXTS = 12, PAGES_EACH = 2, PAGE = ATTENTION_PAGE };

static struct scratch scratch;
static struct comm *world;
static struct mesh *mesh;
static struct model_config model;
static struct param_table *table;
static struct store *store;

static void must(int status)
{
    if (status != OK)
        fail_msg("%s (%s)", trace_sentence(), trace_place());
}

static int open_model(void **state)
{
    static const char text[] = "{\"model_type\": \"llama\", \"hidden_size\": 128, \"intermediate_size\": 96, \"vocab_size\": 300, \"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
                               " \"num_key_value_heads\": 1, \"head_dim\": 64, \"max_position_embeddings\": 2048, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\","
                               " \"tie_word_embeddings\": true}";
    char path[2048];
    open_device(state);
    scratch_make(&scratch);
    must(path_join(path, sizeof path, scratch.dir, "config.json"));
    must(file_write_atomic(path, text, strlen(text)));
    must(comm_self_create(&world));
    must(mesh_create(world, 1, 1, false, &mesh));
    must(model_config_read(scratch.dir, &model));
    must(params_build(&model, 1, 0, &table));
    must(store_create(table, device, mesh, BF16, false, &store));
    must(load_weights(&(struct load_options){.seed = 5, .reward_token = -1, .copy_of = -1}, store, NULL));
    return 0;
}

static int close_model(void **state)
{
    store_destroy(&store);
    params_free(&table);
    mesh_destroy(&mesh);
    comm_destroy(&world);
    scratch_remove(&scratch);
    return close_device(state);
}

/* ---- a backbone with a cache, and texts in it ------------------------------------------------------------------------------------------------ */

struct reader { struct backbone *backbone; void *k[LAYERS], *v[LAYERS]; struct kv_memory cache; };

enum { CACHE_BYTES = N_SLOTS * KV_COLS * 2 };

static void open_reader(struct reader *r, bool record)
{
    *r = (struct reader){.cache = {N_SLOTS, r->k, r->v}};
    must(backbone_create(&model, store, &(struct backbone_options){.max_rows = MAX_ROWS, .max_positions = 2048, .record = record}, &r->backbone));
    for (int i = 0; i < LAYERS; i++) {
        must(device_alloc(device, CACHE_BYTES, &r->k[i]));
        must(device_alloc(device, CACHE_BYTES, &r->v[i]));
    }
}

static void close_reader(struct reader *r)
{
    backbone_destroy(&r->backbone);
    for (int i = 0; i < LAYERS; i++) {
        device_free(device, &r->k[i], CACHE_BYTES);
        device_free(device, &r->v[i], CACHE_BYTES);
    }
}

/* Text i lies in pages of its own, behind one page that all share. */
struct texts { int n; int32_t length[MAX_TEXTS]; };

static int32_t slot_of(int text, int32_t position) { return position < PAGE ? position : PAGE + text * PAGES_EACH * PAGE + position - PAGE; }

struct pass { uint32_t token[MAX_ROWS]; int32_t position[MAX_ROWS], slot[MAX_ROWS]; struct attention_run run[MAX_TEXTS]; struct attention_range range[MAX_TEXTS * 2]; struct backbone_rows rows; };

static void add_row(struct pass *p, struct random *random, int text, int32_t position)
{
    int64_t i = p->rows.n_rows++;
    p->token[i] = (uint32_t)random_int(random, 0, VOCABULARY - 1);
    p->position[i] = position;
    p->slot[i] = slot_of(text, position);
}

/* `count` rows of a text, which sees the shared page whole and its own pages up to itself. */
static void add_run(struct pass *p, struct random *random, struct texts *texts, int text, int32_t count)
{
    struct attention_run *run = &p->run[p->rows.n_runs];
    *run = (struct attention_run){(int32_t)p->rows.n_rows, count, 2 * p->rows.n_runs, 2};
    for (int32_t i = 0; i < count; i++)
        add_row(p, random, text, texts->length[text] + i);
    texts->length[text] += count;
    p->range[run->range_first] = (struct attention_range){0, PAGE};
    p->range[run->range_first + 1] = (struct attention_range){slot_of(text, PAGE), texts->length[text] - PAGE};
    p->rows.n_runs++;
}

static void begin_pass(struct pass *p)
{
    memset(p, 0, sizeof *p);
    p->rows = (struct backbone_rows){.token = p->token, .position = p->position, .slot = p->slot, .run = p->run, .range = p->range};
}

static void run_pass(struct reader *r, const struct pass *p, uint16_t *hidden)
{
    const void *hidden_TC;
    must(backbone_forward_cached(r->backbone, &p->rows, &r->cache, &hidden_TC));
    must(device->ops->copy(&device->stream, hidden, hidden_TC, (size_t)p->rows.n_rows * HIDDEN * 2, DEVICE_TO_HOST));
    must(device->ops->synchronize(&device->stream));
}

/* The shared page, then a beginning of each text. */
static void read_prompts(struct reader *r, struct random *random, struct texts *texts)
{
    static struct pass p;
    static uint16_t hidden[MAX_ROWS * HIDDEN];
    begin_pass(&p);
    p.run[p.rows.n_runs++] = (struct attention_run){0, PAGE, 0, 1};
    p.range[0] = (struct attention_range){0, PAGE};
    for (int32_t i = 0; i < PAGE; i++)
        add_row(&p, random, 0, i);
    run_pass(r, &p, hidden);
    begin_pass(&p);
    for (int i = 0; i < texts->n; i++) {
        texts->length[i] = PAGE;
        add_run(&p, random, texts, i, 1 + 7 * i % 40);
    }
    run_pass(r, &p, hidden);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------------------- */

/* Passes of these many texts, one token each. */
static const int n_texts[] = {3, 4, 3, 12, 1, 3, 9, 12, 2, 1, 9, 10, 3};
enum { N_PASSES = sizeof n_texts / sizeof *n_texts };

static void decode(bool record, uint64_t seed, uint16_t (*hidden)[MAX_TEXTS * HIDDEN], int64_t *n_launches)
{
    struct reader r;
    struct random random = {9};
    struct texts texts = {.n = MAX_TEXTS};
    static struct pass p;
    emulate_seed(seed);
    open_reader(&r, record);
    read_prompts(&r, &random, &texts);
    for (int i = 0; i < N_PASSES; i++) {
        begin_pass(&p);
        for (int text = 0; text < n_texts[i]; text++)
            add_run(&p, &random, &texts, text, 1);
        int64_t before = emulate_n_launches();
        run_pass(&r, &p, hidden[i]);
        n_launches[i] = emulate_n_launches() - before;
    }
    close_reader(&r);
}

static void a_recorded_pass_is_the_pass(void **state)
{
    (void)state;
    static uint16_t want[N_PASSES][MAX_TEXTS * HIDDEN], got[N_PASSES][MAX_TEXTS * HIDDEN];
    int64_t one_by_one[N_PASSES], recorded[N_PASSES];
    decode(false, 1, want, one_by_one);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        decode(true, seed, got, recorded);
        for (int i = 0; i < N_PASSES; i++)
            assert_memory_equal(want[i], got[i], (size_t)n_texts[i] * HIDDEN * 2);
    }
    for (int i = 0; i < N_PASSES; i++)
        assert_true(one_by_one[i] >= 10 * LAYERS);
    assert_true(recorded[1] > 0 && recorded[2] == 0 && recorded[5] == 0 && recorded[12] == 0);     /* 3 and 4 texts are one size: the second pass of it is recorded, and run */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_recorded_pass_is_the_pass)};
    return cmocka_run_group_tests_name("cuda_graphs", tests, open_model, close_model);
}
