/* params: the network as rows of a table (arXiv 1909.08053 for the splits: q, k, v, gate, up by rows of the weight; o, down by columns; embedding and LM head by vocabulary). */
#include "trainer/model/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

struct row { const char *suffix; int n_dims; int64_t rows, cols; int split_dim; enum param_init init; int n_shards; };

static void place(struct param_table *t, struct param *p)
{
    int shard = t->tensor_rank / p->copies;
    p->local_shape[0] = p->shape[0];
    p->local_shape[1] = p->shape[1];
    if (p->split_dim >= 0) {
        int64_t size = p->shape[p->split_dim], block = (size + p->n_shards - 1) / p->n_shards, first = shard * block;
        p->box_offset[p->split_dim] = first < size ? first : size;
        p->local_shape[p->split_dim] = first >= size ? 0 : size - first < block ? size - first : block;
    }
    p->n_local = p->local_shape[0] * p->local_shape[1];
}

static void add(struct param_table *t, const char *prefix, const struct row *row, int bucket, enum param_group group)
{
    struct param *p = &t->params[t->n];
    struct bucket *b = &t->bucket[bucket];
    *p = (struct param){.n_dims = row->n_dims, .shape = {row->rows, row->cols}, .split_dim = row->split_dim, .init = row->init, .group = group, .bucket = bucket};
    snprintf(p->name, sizeof p->name, "%s%s", prefix, row->suffix);
    p->n_shards = row->split_dim < 0 ? 1 : row->n_shards;
    p->copies = t->tensor_size / p->n_shards;
    p->decay = row->n_dims == 2;
    place(t, p);
    if (b->n_params == 0)
        b->first_param = t->n;
    b->n_params++;
    p->offset = b->n_elems;
    b->n_elems += p->n_local;
    t->n++;
}

static void add_layer(struct param_table *t, const struct model_config *m, int layer)
{
    int tp = t->tensor_size, kv_shards = m->kv_heads < tp ? m->kv_heads : tp;
    int64_t C = m->hidden, Q = (int64_t)m->heads * m->head_dim, K = (int64_t)m->kv_heads * m->head_dim, D = m->head_dim, F = m->ffn;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "model.layers.%d.", layer);
    const struct row always[] = {
        {"input_layernorm.weight", 1, C, 1, -1, INIT_ONES, 1},
        {"self_attn.q_proj.weight", 2, Q, C, 0, INIT_NORMAL, tp},
        {"self_attn.k_proj.weight", 2, K, C, 0, INIT_NORMAL, kv_shards},
        {"self_attn.v_proj.weight", 2, K, C, 0, INIT_NORMAL, kv_shards},
        {"self_attn.o_proj.weight", 2, C, Q, 1, INIT_NORMAL, tp},
        {"post_attention_layernorm.weight", 1, C, 1, -1, INIT_ONES, 1},
        {"mlp.gate_proj.weight", 2, F, C, 0, INIT_NORMAL, tp},
        {"mlp.up_proj.weight", 2, F, C, 0, INIT_NORMAL, tp},
        {"mlp.down_proj.weight", 2, C, F, 1, INIT_NORMAL, tp},
    };
    const struct row biases[] = {
        {"self_attn.q_proj.bias", 1, Q, 1, 0, INIT_ZEROS, tp}, {"self_attn.k_proj.bias", 1, K, 1, 0, INIT_ZEROS, kv_shards}, {"self_attn.v_proj.bias", 1, K, 1, 0, INIT_ZEROS, kv_shards}};
    const struct row head_norms[] = {{"self_attn.q_norm.weight", 1, D, 1, -1, INIT_ONES, 1}, {"self_attn.k_norm.weight", 1, D, 1, -1, INIT_ONES, 1}};
    for (int i = 0; i < 9; i++)
        add(t, prefix, &always[i], layer + 1, GROUP_BACKBONE);
    for (int i = 0; i < 3 && m->qkv_bias; i++)
        add(t, prefix, &biases[i], layer + 1, GROUP_BACKBONE);
    for (int i = 0; i < 2 && m->head_norms; i++)
        add(t, prefix, &head_norms[i], layer + 1, GROUP_BACKBONE);
}

static void add_all(struct param_table *t, const struct model_config *m)
{
    int tp = t->tensor_size;
    add(t, "", &(struct row){"model.embed_tokens.weight", 2, m->vocab, m->hidden, 0, INIT_NORMAL, tp}, 0, GROUP_BACKBONE);
    for (int i = 0; i < m->layers; i++)
        add_layer(t, m, i);
    add(t, "", &(struct row){"model.norm.weight", 1, m->hidden, 1, -1, INIT_ONES, 1}, m->layers + 1, GROUP_BACKBONE);
    if (!m->tie_embeddings)
        add(t, "", &(struct row){"lm_head.weight", 2, m->vocab, m->hidden, 0, INIT_NORMAL, tp}, m->layers + 1, GROUP_BACKBONE);
    add(t, "", &(struct row){"score.weight", 2, 1, m->hidden, -1, INIT_REWARD, 1}, m->layers + 2, GROUP_REWARD);
}

int params_build(const struct model_config *model, int tensor_size, int tensor_rank, struct param_table **out)
{
    TRY(model_config_check_tensor(model, tensor_size));
    struct param_table *t = calloc(1, sizeof *t);
    CHECK(t, "out of memory for the table of parameters");
    *t = (struct param_table){.tensor_size = tensor_size, .tensor_rank = tensor_rank, .n_buckets = model->layers + 3};
    t->params = calloc((size_t)model->layers * 14 + 4, sizeof *t->params);
    t->bucket = calloc((size_t)t->n_buckets, sizeof *t->bucket);
    if (!t->params || !t->bucket) {
        params_free(&t);
        return FAIL("out of memory for the table of parameters");
    }
    add_all(t, model);
    *out = t;
    return OK;
}

void params_free(struct param_table **table)
{
    if (*table) {
        free((*table)->params);
        free((*table)->bucket);
        free(*table);
    }
    *table = NULL;
}

int params_find(const struct param_table *table, const char *name)
{
    for (int i = 0; i < table->n; i++)
        if (strcmp(table->params[i].name, name) == 0)
            return i;
    return -1;
}
