/* model_config: see model_config.h. Newer files keep the rotary embedding under rope_parameters, older ones under rope_theta and rope_scaling. */
#include "trainer/model/model_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

static int parse_family(const char *type, const char *where, struct model_config *m)
{
    static const struct { const char *type; enum model_family family; bool bias, head_norms; } known[] = {
        {"llama", FAMILY_LLAMA, false, false}, {"mistral", FAMILY_MISTRAL, false, false}, {"qwen2", FAMILY_QWEN2, true, false}, {"qwen3", FAMILY_QWEN3, false, true}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0) {
            m->family = known[i].family;
            m->qkv_bias = known[i].bias;
            m->head_norms = known[i].head_norms;
            return OK;
        }
    return FAIL("%s: model_type %.40s is not supported: llama, mistral, qwen2 and qwen3 are", where, type);
}

static int parse_llama3(json_t *rope, const char *where, struct model_config *m)
{
    m->rope_llama3 = true;
    TRY(json_get_number(rope, "factor", where, &m->rope_factor));
    TRY(json_get_number(rope, "low_freq_factor", where, &m->rope_low_freq_factor));
    TRY(json_get_number(rope, "high_freq_factor", where, &m->rope_high_freq_factor));
    TRY(json_get_number(rope, "original_max_position_embeddings", where, &m->rope_original_max_position));
    CHECK(m->rope_factor > 0.0 && m->rope_high_freq_factor > m->rope_low_freq_factor && m->rope_low_freq_factor > 0.0, "%s: the numbers of rope scaling make no sense", where);
    return OK;
}

static int parse_rope(json_t *config, const char *where, struct model_config *m)
{
    json_t *rope = json_object_get(config, "rope_parameters");
    m->rope_theta = 10000.0;
    if (!rope || json_is_null(rope))
        rope = json_object_get(config, "rope_scaling");
    TRY(json_opt_number(config, "rope_theta", where, &m->rope_theta));
    if (!rope || json_is_null(rope))
        return OK;
    const char *type = "default";
    CHECK(json_is_object(rope), "%s: the parameters of the rotary embedding are not an object", where);
    TRY(json_opt_text(rope, "type", where, &type));
    TRY(json_opt_text(rope, "rope_type", where, &type));
    TRY(json_opt_number(rope, "rope_theta", where, &m->rope_theta));
    if (strcmp(type, "llama3") == 0)
        return parse_llama3(rope, where, m);
    CHECK(strcmp(type, "default") == 0, "%s: rope scaling of type %.40s is not supported: llama3 and default are", where, type);
    return OK;
}

static int get_size(json_t *config, const char *key, const char *where, int64_t *out) { return json_get_int(config, key, where, 1, (int64_t)1 << 31, out); }

static int parse_sizes(json_t *config, const char *where, struct model_config *m)
{
    int64_t layers, heads, kv_heads, head_dim;
    TRY(get_size(config, "hidden_size", where, &m->hidden));
    TRY(get_size(config, "intermediate_size", where, &m->ffn));
    TRY(get_size(config, "vocab_size", where, &m->vocab));
    TRY(json_get_int(config, "num_hidden_layers", where, 1, 1000, &layers));
    TRY(json_get_int(config, "num_attention_heads", where, 1, 10000, &heads));
    kv_heads = heads;
    TRY(json_opt_int(config, "num_key_value_heads", where, 1, heads, &kv_heads));
    head_dim = m->hidden / heads;
    TRY(json_opt_int(config, "head_dim", where, 2, 1024, &head_dim));
    m->max_position = 2048;
    TRY(json_opt_int(config, "max_position_embeddings", where, 1, (int64_t)1 << 31, &m->max_position));
    CHECK(heads % kv_heads == 0, "%s: %lld heads cannot share %lld key/value heads evenly", where, (long long)heads, (long long)kv_heads);
    CHECK(head_dim % 2 == 0 && head_dim <= 1024 && head_dim >= 2, "%s: head_dim %lld is not an even number of at most 1024", where, (long long)head_dim);
    m->layers = (int)layers;
    m->heads = (int)heads;
    m->kv_heads = (int)kv_heads;
    m->head_dim = (int)head_dim;
    return OK;
}

static int parse_switches(json_t *config, const char *where, struct model_config *m)
{
    const char *act = "silu";
    bool bias = false, mlp_bias = false, window_on = m->family == FAMILY_MISTRAL;
    TRY(json_opt_text(config, "hidden_act", where, &act));
    CHECK(strcmp(act, "silu") == 0, "%s: hidden_act %.40s is not supported: silu is", where, act);
    TRY(json_opt_bool(config, "attention_bias", where, &bias));
    TRY(json_opt_bool(config, "mlp_bias", where, &mlp_bias));
    CHECK(!bias && !mlp_bias, "%s: attention_bias and mlp_bias are not supported (biases of qwen2's queries, keys and values are)", where);
    m->rms_eps = 1e-6;
    TRY(json_opt_number(config, "rms_norm_eps", where, &m->rms_eps));
    TRY(json_opt_bool(config, "tie_word_embeddings", where, &m->tie_embeddings));
    TRY(json_opt_bool(config, "use_sliding_window", where, &window_on));
    CHECK(!window_on || m->family == FAMILY_MISTRAL, "%s: use_sliding_window is not supported for this family (only some of its layers have one)", where);
    if (window_on)
        TRY(json_opt_int(config, "sliding_window", where, 1, (int64_t)1 << 31, &m->sliding_window));
    if (m->sliding_window >= m->max_position)       /* never reached */
        m->sliding_window = 0;
    return OK;
}

static int parse(json_t *config, const char *where, struct model_config *m)
{
    const char *type;
    *m = (struct model_config){0};
    CHECK(json_is_object(config), "%s: expected a JSON object", where);
    TRY(json_get_text(config, "model_type", where, &type));
    TRY(parse_family(type, where, m));
    TRY(parse_sizes(config, where, m));
    TRY(parse_rope(config, where, m));
    return parse_switches(config, where, m);
}

int model_config_parse(const char *json, size_t n_bytes, const char *where, struct model_config *out)
{
    json_t *config;
    TRY(json_parse(json, n_bytes, where, &config));
    int status = parse(config, where, out);
    json_decref(config);
    return status;
}

int model_config_read(const char *folder, struct model_config *out)
{
    char path[2048], *text;
    size_t n_bytes;
    TRY(path_join(path, sizeof path, folder, "config.json"));
    TRY(file_read(path, &text, &n_bytes));
    int status = model_config_parse(text, n_bytes, path, out);
    free(text);
    return status;
}

const char *model_config_difference(const struct model_config *a, const struct model_config *b)
{
    const struct { bool same; const char *key; } all[] = {
        {a->family == b->family, "model_type"}, {a->hidden == b->hidden, "hidden_size"}, {a->layers == b->layers, "num_hidden_layers"}, {a->heads == b->heads, "num_attention_heads"},
        {a->kv_heads == b->kv_heads, "num_key_value_heads"}, {a->head_dim == b->head_dim, "head_dim"}, {a->ffn == b->ffn, "intermediate_size"}, {a->vocab == b->vocab, "vocab_size"},
        {a->rms_eps == b->rms_eps, "rms_norm_eps"}, {a->rope_theta == b->rope_theta, "rope_theta"},
        {a->rope_llama3 == b->rope_llama3 && a->rope_factor == b->rope_factor && a->rope_low_freq_factor == b->rope_low_freq_factor && a->rope_high_freq_factor == b->rope_high_freq_factor &&
             a->rope_original_max_position == b->rope_original_max_position, "rope_scaling"},
        {a->tie_embeddings == b->tie_embeddings, "tie_word_embeddings"}, {a->sliding_window == b->sliding_window, "sliding_window"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!all[i].same)
            return all[i].key;
    return NULL;
}

static bool tensor_works(const struct model_config *m, int t)
{
    return m->heads % t == 0 && m->ffn % t == 0 && (m->kv_heads % t == 0 || t % m->kv_heads == 0);
}

int model_config_check_tensor(const struct model_config *m, int tensor_size)
{
    char works[256] = "";
    size_t used = 0;
    if (tensor_works(m, tensor_size))
        return OK;
    for (int t = 1; t <= m->heads && used < sizeof works - 12; t++)
        if (tensor_works(m, t))
            used += (size_t)snprintf(works + used, sizeof works - used, "%s%d", used ? ", " : "", t);
    return FAIL_USAGE("mesh.tensor %d does not fit a model of %d query heads, %d key/value heads and feed-forward width %lld: use %s", tensor_size, m->heads, m->kv_heads,
                      (long long)m->ffn, works);
}

int64_t model_linear_weights(const struct model_config *m)
{
    int64_t q = (int64_t)m->heads * m->head_dim, kv = (int64_t)m->kv_heads * m->head_dim;
    return m->layers * (m->hidden * (2 * q + 2 * kv) + 3 * m->hidden * m->ffn);
}
