/* bench_io: what moves between disk and trainer, each beside the plain way to move the same bytes; medians of interleaved rounds.
 *
 *   bench_io data FOLDER [PAIRS]           an epoch of D_sub in training order, as forests, against fread of its files in file order; all cached. Default 8000 pairs of |x| = |y| = 400,
 *                                          |z| = 160 tokens and 4 critiques a side: 80 MB.
 *   bench_io checkpoint FOLDER [ROUNDS]    a checkpoint of SmolLM2-135M's shape (1.6 GB: masters and both moments), saved and fsynced by one rank, against dd conv=fsync of as many zeros.
 *
 * Prints a line "what OURS THEIRS unit". FOLDER must be there and empty; what was written is removed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/h5.h"
#include "base/status.h"
#include "dataset/stream.h"
#include "tests/tools/random_values.h"
#include "trainer/ckpt/checkpoint.h"
#include "trainer/ckpt/fill.h"

enum { MAX_ROUNDS = 15 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(int status)
{
    if (status == OK)
        return;
    fprintf(stderr, "bench_io: %s\n", trace_sentence());
    exit(1);
}

static int by_value(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

static void report(const char *what, double n_bytes, double *ours_s, double *theirs_s, int rounds)
{
    printf("%s %.1f %.1f MB/s\n", what, n_bytes / median(ours_s, rounds) / 1e6, n_bytes / median(theirs_s, rounds) / 1e6);
}

/* ---- data ------------------------------------------------------------------------------------------------------------------------------------ */

enum { PROMPT = 400, RESPONSE = 400, CRITIQUE = 160, CRITIQUES = 4, VOCABULARY = 49152, PAIRS_PER_SHARD = 1000, DATA_ROUNDS = 5 };

static struct tokens draw(struct random *random, uint32_t *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (uint32_t)random_int(random, 0, VOCABULARY - 1);
    return (struct tokens){out, n};
}

static void put_pair(struct dsub_writer *writer, struct random *random, uint64_t source)
{
    static uint32_t prompt[PROMPT], response[2][RESPONSE], text[2][CRITIQUES][CRITIQUE];
    struct shard_critique critique[2][CRITIQUES];
    struct shard_record record = {.id = "", .subset = "", .source = source, .prompt = draw(random, prompt, PROMPT)};
    for (int side = 0; side < 2; side++) {
        record.response[side] = draw(random, response[side], RESPONSE);
        record.n_critiques[side] = CRITIQUES;
        record.critique[side] = critique[side];
        for (int i = 0; i < CRITIQUES; i++)
            critique[side][i] = (struct shard_critique){draw(random, text[side][i], CRITIQUE), 5.0f, 0.0f};
    }
    must(dsub_writer_put(writer, &record));
}

static void write_set(const char *folder, int n_pairs)
{
    struct random random = {1};
    struct dsub_writer *writer;
    struct shard_meta meta = {.tokenizer = "0123456789abcdef", .template = "0123456789abcdef", .model = "bench"};
    must(dsub_writer_create(folder, &meta, PAIRS_PER_SHARD, &writer));
    for (int i = 0; i < n_pairs; i++)
        put_pair(writer, &random, (uint64_t)i);
    must(dsub_writer_finish(&writer));
}

static double fread_s(const struct dsub *set, double *n_bytes)
{
    static char block[1 << 20];
    double start = now();
    *n_bytes = 0.0;
    for (int i = 0; i < set->n_files; i++) {
        FILE *file = fopen(h5_path(set->shard[i]->file), "rb");
        for (size_t n; file && (n = fread(block, 1, sizeof block, file)) > 0;)
            *n_bytes += (double)n;
        if (file)
            fclose(file);
    }
    return now() - start;
}

static bool keep_all(const void *context, const struct dsub *set, int64_t number) { return (void)context, (void)set, number >= 0; }
static double lambda_half(const void *context, int64_t step) { return (void)context, (void)step, 0.5; }

static double epoch_s(const struct dsub_view *view)
{
    struct plan *plan;
    struct data_stream *stream;
    const struct step_batch *batch;
    struct plan_options options = {.set_name = "bench", .seed = 1, .mode = MODE_CRITIC_RM, .pairing = PAIRING_ZIP, .pairs_per_step = 16, .epochs = 1, .micro_batch_tokens = 4096, .max_path_tokens = 1024,
                                   .data_size = 1, .row_multiple = 1, .share_prefix = true, .vocabulary = VOCABULARY, .token_cost = 10, .attention_cost = 1, .lambda = lambda_half};
    struct forest_layout layout = {.reward_token = 0, .share_prefix = true, .row_multiple = 1};
    must(plan_create(&view->lengths, &options, &plan));
    int64_t steps = plan_steps_per_epoch(plan);
    double start = now();
    must(data_stream_open(view, plan, &options, &layout, 0, 0, steps, &stream));
    for (int64_t i = 0; i < steps; i++)
        must(data_stream_next(stream, &batch));
    double took = now() - start;
    data_stream_close(&stream);
    plan_free(&plan);
    return took;
}

static void bench_data(const char *folder, int n_pairs)
{
    struct dsub *set;
    struct dsub_view view;
    double ours[DATA_ROUNDS], theirs[DATA_ROUNDS], n_bytes;
    write_set(folder, n_pairs);
    must(dsub_open(folder, &set));
    must(dsub_view_make(set, keep_all, NULL, &view));
    fread_s(set, &n_bytes);     /* warms the cache */
    for (int i = 0; i < DATA_ROUNDS; i++) {
        theirs[i] = fread_s(set, &n_bytes);
        ours[i] = epoch_s(&view);
    }
    report("data", n_bytes, ours, theirs, DATA_ROUNDS);
    dsub_view_free(&view);
    dsub_close(&set);
}

/* ---- checkpoint ------------------------------------------------------------------------------------------------------------------------------ */

static const struct model_config smollm2 = {.family = FAMILY_LLAMA, .layers = 30, .heads = 9, .kv_heads = 3, .head_dim = 64, .hidden = 576, .ffn = 1536, .vocab = 49152, .max_position = 8192,
                                            .rms_eps = 1e-5, .rope_theta = 100000.0, .tie_embeddings = true};

static int random_piece(void *context, int param, enum state_kind state, int64_t first, int64_t count, float *out)
{
    (void)param, (void)state, (void)first;
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)random_uniform(context, -1.0, 1.0);
    return OK;
}

static double dd_s(const char *folder, double n_bytes)
{
    char command[1024];
    double start = now();
    snprintf(command, sizeof command, "dd if=/dev/zero of='%s/zeros' bs=1M count=%.0f conv=fsync 2>/dev/null", folder, n_bytes / 1048576.0);
    if (system(command) != 0)
        exit(1);
    double took = now() - start;
    snprintf(command, sizeof command, "%s/zeros", folder);
    must(file_remove(command));
    return took;
}

static double save_s(const char *folder, const char *attempt, int step, const struct store *store)
{
    static char options[] = "run:\n  seed: 1\n";
    struct checkpoint_info info = {.step = step, .steps_per_epoch = 100, .pairs = 1, .group_steps = {1, 1}, .reward_token_text = "", .options = options};
    double start = now();
    must(checkpoint_save(folder, attempt, &info, store));
    double took = now() - start;
    must(checkpoint_prune(folder, store->mesh->world, 1));
    return took;
}

static void bench_checkpoint(const char *folder, int rounds)
{
    struct comm *world;
    struct mesh *mesh;
    struct device *device;
    struct param_table *table;
    struct store *store;
    struct random random = {1};
    char attempt[ATTEMPT_SIZE];
    double ours[MAX_ROUNDS], theirs[MAX_ROUNDS], n_bytes = 0.0;
    must(comm_self_create(&world));
    must(mesh_create(world, 1, 1, true, &mesh));
    must(device_ref_create(&device));
    must(params_build(&smollm2, 1, 0, &table));
    must(store_create(table, device, mesh, BF16, true, &store));
    for (int s = 0; s < N_STATES; s++)
        must(store_fill(store, (enum state_kind)s, random_piece, &random));
    for (int b = 0; b < store->n_buckets; b++)
        n_bytes += (double)(store->bucket[b].n_elems * N_STATES * 4);
    must(checkpoint_begin(folder, world, attempt));
    for (int i = 0; i < rounds; i++) {
        theirs[i] = dd_s(folder, n_bytes);
        ours[i] = save_s(folder, attempt, i + 1, store);
    }
    report("checkpoint", n_bytes, ours, theirs, rounds);
    store_destroy(&store);
    params_free(&table);
    device_destroy(&device);
    mesh_destroy(&mesh);
    comm_destroy(&world);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "data") == 0)
        bench_data(argv[2], argc > 3 ? atoi(argv[3]) : 8000);
    else if (argc > 2 && strcmp(argv[1], "checkpoint") == 0)
        bench_checkpoint(argv[2], argc > 3 && atoi(argv[3]) < MAX_ROUNDS ? atoi(argv[3]) : 5);
    else
        return fprintf(stderr, "bench_io data|checkpoint FOLDER [N]\n"), 2;
    return 0;
}
