/* load: see load.h. */
#include "trainer/ckpt/load.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/philox.h"
#include "base/safetensors.h"
#include "base/status.h"
#include "comm/agree.h"
#include "trainer/ckpt/fill.h"
#include "trainer/model/trained_as.h"

struct source {
    const struct load_options *options;
    const struct param_table *table;
    struct safetensors *st;         /* NULL: random */
    bool copies_row;                /* the embedding is untied, and the weights are of no model that was trained here: the reward token's row was not trained */
};

static int check_shape(const struct safetensors *st, const struct st_tensor *t, const struct param *p)
{
    bool same = t->n_dims == p->n_dims;
    for (int i = 0; same && i < p->n_dims; i++)
        same = t->shape[i] == p->shape[i];
    CHECK(same, "%s: tensor %s has %d dimensions, %lld x %lld; config.json asks for %lld x %lld", safetensors_path(st, t), t->name, t->n_dims,
          (long long)(t->n_dims > 0 ? t->shape[0] : 1), (long long)(t->n_dims > 1 ? t->shape[1] : 1), (long long)p->shape[0], (long long)p->shape[1]);
    return OK;
}

static int check_tensors(const struct source *s)
{
    for (int i = 0; i < s->table->n; i++) {
        const struct param *p = &s->table->params[i];
        const struct st_tensor *t = safetensors_find(s->st, p->name);
        CHECK(t || p->init == INIT_REWARD, "%s holds no tensor %s: these are not the weights of the model its config.json describes", s->options->folder, p->name);
        if (t)
            TRY(check_shape(s->st, t, p));
    }
    return OK;
}

float load_random(const struct param *p, uint64_t seed, int64_t i)
{
    if (p->init == INIT_ONES || p->init == INIT_ZEROS)
        return p->init == INIT_ONES ? 1.0f : 0.0f;
    struct philox random = philox_make(seed, PHILOX_INITIALISATION, (uint32_t)(i >> 32), hash_text(p->name));
    float z = philox_normal(&random, (uint32_t)i);
    return p->init == INIT_REWARD ? (float)(z / sqrt((double)p->shape[1] + 1.0)) : 0.02f * z;
}

static int check_finite(const struct source *s, const struct st_tensor *t, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        CHECK(isfinite(x[i]), "%s: tensor %s holds a number that is not finite: the file is damaged, or its training diverged", safetensors_path(s->st, t), t->name);
    return OK;
}

/* Elements [first, first + n) of the global tensor. */
static int read_run(const struct source *s, const struct param *p, int64_t first, int64_t n, float *out)
{
    const struct st_tensor *t = s->st ? safetensors_find(s->st, p->name) : NULL;
    if (t) {
        st_read_f32(t, first, n, out);
        return check_finite(s, t, out, n);
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = load_random(p, s->options->seed, first + i);
    return OK;
}

static int64_t row_to_read(const struct source *s, const struct param *p, int64_t row)
{
    bool copied = s->copies_row && s->options->reward_token >= 0 && s->options->copy_of >= 0 && strcmp(p->name, "model.embed_tokens.weight") == 0;
    return copied && row == s->options->reward_token ? s->options->copy_of : row;
}

/* A run of whole rows of an unsplit width is one read; else row by row. */
static int read_piece(void *context, int param, enum state_kind state, int64_t first, int64_t count, float *out)
{
    const struct source *s = context;
    const struct param *p = &s->table->params[param];
    int64_t width = p->local_shape[1];
    ASSERT(state == STATE_MASTER);
    if (p->n_dims == 1 || (p->shape[1] == width && row_to_read(s, p, s->options->reward_token) == s->options->reward_token))
        return read_run(s, p, p->box_offset[0] * p->shape[1] + first, count, out);
    while (count > 0) {
        int64_t row = row_to_read(s, p, p->box_offset[0] + first / width), col = first % width, n = width - col < count ? width - col : count;
        TRY(read_run(s, p, row * p->shape[1] + p->box_offset[1] + col, n, out));
        first += n;
        count -= n;
        out += n;
    }
    return OK;
}

static int check_row(const struct source *s, int64_t row)
{
    int64_t vocab = s->table->params[0].shape[0];
    CHECK(row < vocab, "token %lld is not among the %lld rows of the embedding: is the tokenizer another model's?", (long long)row, (long long)vocab);
    return OK;
}

static int load_mine(struct source *s, struct store *store)
{
    if (s->options->folder) {
        TRY(safetensors_open_folder(s->options->folder, &s->st));
        bool trained;
        TRY(trained_as_read(s->options->folder, &(struct trained_as){0}, &trained));
        s->copies_row = s->copies_row && !(trained && safetensors_find(s->st, "score.weight"));
        TRY(check_tensors(s));
    }
    TRY(check_row(s, s->options->reward_token));
    TRY(check_row(s, s->options->copy_of));
    return store_fill(store, STATE_MASTER, read_piece, s);
}

int load_weights(const struct load_options *options, struct store *store, bool *reward_head_found)
{
    struct source s = {.options = options, .table = store->table, .copies_row = params_find(store->table, "lm_head.weight") >= 0};
    int status = load_mine(&s, store);
    bool found = s.st && safetensors_find(s.st, "score.weight");
    safetensors_close(&s.st);
    TRY(agree_status(store->mesh->world, status));
    if (reward_head_found)
        *reward_head_found = found;
    return store->bucket[0].m ? store_weights_from_masters(store) : OK;
}
