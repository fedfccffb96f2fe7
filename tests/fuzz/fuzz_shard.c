/* fuzz_shard: well-formed HDF5 files, of D_sub and of candidates, whose values, types, extents and missing datasets come from the bytes. Whatever the reader accepts must plan and lay
 * out, or read record by record. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/h5.h"
#include "base/status.h"
#include "dataset/set.h"
#include "dataset/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* HDF5 1.10 leaks a little when a file is damaged. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

enum { MOST = 64 };

struct input { const uint8_t *at; size_t left; };

static uint8_t next(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

/* Two pairs that are right; the input is exclusive-ored in, so that zeros leave a valid file. */
struct column { const char *name; enum h5_type type; int n; uint64_t value[8]; };
static const struct column dsub_columns[] = {
    {"/token/prompt", H5_U32, 4, {1, 2, 3, 4}}, {"/token/response", H5_U32, 8, {1, 2, 9, 4, 9, 6, 9, 9}}, {"/token/critique", H5_U32, 4, {1, 2, 3, 4}},
    {"/offset/prompt", H5_U64, 3, {0, 2, 4}}, {"/offset/response", H5_U64, 5, {0, 3, 5, 7, 8}}, {"/offset/critique", H5_U64, 5, {0, 1, 2, 3, 4}},
    {"/offset/critiques_of_response", H5_U64, 5, {0, 1, 2, 3, 4}}, {"/critique/judge_score", H5_F32, 4, {0}}, {"/critique/quality", H5_F32, 4, {0}},
    {"/pair/source", H5_U64, 2, {3, 5}}, {"/text/id", H5_U8, 2, {65, 66}}, {"/text/subset", H5_U8, 0, {0}}, {"/offset/id", H5_U64, 3, {0, 1, 2}}, {"/offset/subset", H5_U64, 3, {0, 0, 0}},
};
static const struct column candidates_columns[] = {
    {"/token/prompt", H5_U32, 4, {1, 2, 3, 4}}, {"/token/response", H5_U32, 8, {1, 2, 9, 4, 9, 6, 9, 9}}, {"/token/critique", H5_U32, 4, {1, 2, 3, 4}},
    {"/offset/prompt", H5_U64, 3, {0, 2, 4}}, {"/offset/response", H5_U64, 5, {0, 3, 5, 7, 8}}, {"/offset/critique", H5_U64, 5, {0, 1, 2, 3, 4}},
    {"/offset/critiques_of_response", H5_U64, 5, {0, 1, 2, 3, 4}}, {"/candidate/judge_score", H5_F32, 4, {0x3f800000, 0x41200000, 0x7fc00000, 0x40a00000}}, {"/candidate/finish", H5_U8, 4, {0, 1, 0, 0}},
    {"/text/candidate", H5_U8, 8, {65, 66, 67, 195, 169, 68, 69, 70}}, {"/offset/candidate", H5_U64, 5, {0, 1, 1, 5, 8}}, {"/pair/source", H5_U64, 2, {3, 5}}, {"/text/id", H5_U8, 2, {65, 66}},
    {"/text/subset", H5_U8, 0, {0}}, {"/offset/id", H5_U64, 3, {0, 1, 2}}, {"/offset/subset", H5_U64, 3, {0, 0, 0}},
};
enum { N_DSUB = sizeof dsub_columns / sizeof *dsub_columns, N_CANDIDATES = sizeof candidates_columns / sizeof *candidates_columns };

static uint64_t changed(struct input *in, uint64_t value)
{
    uint8_t how = next(in);
    return how < 128 ? value ^ how : value ^ ((uint64_t)next(in) << (how % 64));
}

/* First byte: 0..31 as it is, 32..63 missing, 64..95 another type, 96.. another extent. */
static int put_column(struct h5_file *f, const struct column *c, struct input *in)
{
    uint64_t wide[MOST];
    uint32_t narrow[MOST];
    uint8_t byte[MOST], how = next(in);
    int n = how < 96 ? c->n : how % MOST;
    enum h5_type type = how >= 64 && how < 96 ? (enum h5_type)(how % 5) : c->type;
    if (how >= 32 && how < 64)
        return OK;
    for (int i = 0; i < n; i++) {
        wide[i] = changed(in, i < c->n ? c->value[i] : 0);
        narrow[i] = (uint32_t)wide[i];
        byte[i] = (uint8_t)wide[i];
    }
    TRY(h5_dataset_create(f, c->name, type));
    return h5_append(f, c->name, h5_type_bytes(type) == 8 ? (void *)wide : h5_type_bytes(type) == 4 ? (void *)narrow : byte, (uint64_t)n);
}

static int put_attributes(struct h5_file *f, const struct set_form *form, struct input *in)
{
    uint32_t lead_in[2] = {9, (uint32_t)next(in)};
    uint8_t without = next(in);
    TRY(h5_attr_put_text(f, "format", form->format));
    TRY(h5_attr_put_u64(f, "version", changed(in, SHARD_VERSION)));
    TRY(without == 1 ? OK : h5_attr_put_text(f, "tokenizer", without == 2 ? "0123456789abcdef0" : "0123456789abcdef"));
    TRY(h5_attr_put_text(f, "template", "0"));
    TRY(without == 3 ? OK : h5_attr_put_text(f, "model", "m"));
    TRY(without == 6 ? OK : h5_attr_put_text(f, "judge", ""));
    TRY(without == 4 ? h5_attr_put_text(f, "pairs", "2") : h5_attr_put_u64(f, "pairs", changed(in, 2)));
    TRY(h5_attr_put_u64(f, "critiques", changed(in, 4)));
    return without == 5 ? OK : h5_attr_put_u32s(f, "lead_in", lead_in, form->candidates ? without == 7 : 1 + without % 2);
}

static int write_file(const char *path, const struct set_form *form, struct input *in)
{
    struct h5_file *f;
    const struct column *column = form->candidates ? candidates_columns : dsub_columns;
    int n = form->candidates ? N_CANDIDATES : N_DSUB;
    TRY(h5_create(path, &f));
    int status = OK;
    for (int i = 0; i < n && status == OK; i++)
        status = put_column(f, &column[i], in);
    if (status == OK)
        status = put_attributes(f, form, in);
    int closed = h5_close(&f);
    return status == OK ? closed : status;
}

static int write_list(const char *folder, const struct set_form *form, const char *shard, int64_t pairs)
{
    char path[600], text[400];
    uint64_t n_bytes;
    TRY(file_size(shard, &n_bytes));
    snprintf(path, sizeof path, "%s/%s.json", folder, form->name);
    snprintf(text, sizeof text, "{\"files\": [{\"name\": \"a.h5\", \"xxh3\": \"0000000000000000\", \"pairs\": %lld, \"size\": %llu}]}", (long long)pairs, (unsigned long long)n_bytes);
    FILE *f = fopen(path, "wb");
    if (!f || fputs(text, f) == EOF || fclose(f) != 0)
        abort();
    return OK;
}

static bool keep_all(const void *context, const struct dsub *dsub, int64_t number) { return (void)context, (void)dsub, number >= 0; }
static double half(const void *context, int64_t step) { return (void)context, (void)step, 0.5; }

static void run_steps(struct plan *plan, const struct dsub_view *view, const struct plan_options *options)
{
    const struct forest_layout layout = {7, true, 1};
    for (int64_t step = 0; step < plan_steps_per_epoch(plan); step++) {
        const struct step_plan *s;
        struct step_batch batch;
        if (plan_step(plan, step, &s) != OK || step_batch_make(view, s, options, &layout, 0, &batch) != OK)
            return;
        for (int m = 0; m < batch.n_micro_batches; m++)
            for (int32_t i = 0; i < batch.forest[m].n_predictions; i++)
                if (batch.forest[m].prediction[i].row < 0 || batch.forest[m].prediction[i].row >= batch.forest[m].n_tokens || batch.forest[m].prediction[i].target >= 64)
                    abort();
        step_batch_free(&batch);
    }
}

/* right: the file that zeros leave, which no mode may refuse. */
static void use(const struct dsub *dsub, bool right)
{
    struct dsub_view view;
    if (dsub_view_make(dsub, keep_all, NULL, &view) != OK)
        return;
    for (int mode = MODE_CRITIC_RM; mode <= MODE_JOINT; mode++) {
        struct plan *plan = NULL;
        struct plan_options options = {.set_name = "fuzz", .mode = mode, .pairing = PAIRING_ZIP, .pairs_per_step = 1, .epochs = 1, .micro_batch_tokens = 128, .max_path_tokens = 64, .data_size = 1,
                                       .row_multiple = 1, .lead_in = mode == MODE_REWARD_ONLY ? dsub->meta.n_lead_in : 0, .share_prefix = true, .vocabulary = 64, .token_cost = 1,
                                       .attention_cost = 1, .lambda = half};
        trace_clear();
        int status = plan_create(&view.lengths, &options, &plan);
        if (status == OK)
            run_steps(plan, &view, &options);
        else if (right)
            abort();
        plan_free(&plan);
    }
    dsub_view_free(&view);
}

static void read_records(struct candidates *c, bool right)
{
    for (int64_t i = 0; i < c->n_records; i++) {
        struct candidate_record r;
        trace_clear();
        int status = candidates_read(c, i, &r);
        if (status != OK && (right || !*trace_sentence()))
            abort();
        for (int side = 0; side < 2 && status == OK; side++)
            for (int32_t k = 0; k < r.n_candidates[side]; k++)
                if (strlen(r.candidate[side][k].raw) > r.candidate[side][k].n_raw_bytes || !candidate_is_score(r.candidate[side][k].judge_score))
                    abort();
    }
}

static void run_dsub(const char *folder, const char *file, struct input *in, bool right)
{
    struct dsub *dsub = NULL;
    struct shard *alone = NULL;
    trace_clear();
    if (write_file(file, &set_dsub, in) != OK)
        abort();
    if (shard_open(file, &alone) == OK && write_list(folder, &set_dsub, file, alone->n_pairs) == OK && dsub_open(folder, &dsub) == OK)
        use(dsub, right);
    else if (!*trace_sentence() || right)
        abort();
    dsub_close(&dsub);
    shard_close(&alone);
}

static void run_candidates(const char *folder, const char *file, struct input *in, bool right)
{
    struct candidates *c = NULL;
    struct shard *alone = NULL;
    trace_clear();
    if (write_file(file, &set_candidates, in) != OK)
        abort();
    if (shard_open_as(file, &set_candidates, &alone) == OK && write_list(folder, &set_candidates, file, alone->n_pairs) == OK && candidates_open(folder, &c) == OK)
        read_records(c, right);
    else if (!*trace_sentence() || right)
        abort();
    candidates_close(&c);
    shard_close(&alone);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static char folder[256], file[512];        /* one folder per process, its files written anew for each input */
    struct input in = {bytes, n_bytes};
    if (!*folder) {
        const char *root = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/critic-rm-fuzz-XXXXXX", root ? root : P_tmpdir);
        if (!mkdtemp(folder))
            abort();
        snprintf(file, sizeof file, "%s/a.h5", folder);
    }
    run_dsub(folder, file, &in, n_bytes == 0);
    run_candidates(folder, file, &in, n_bytes == 0);
    trace_clear();
    return 0;
}
