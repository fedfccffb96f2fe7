/* manifest: see manifest.h. It comes from outside: nothing in it is used before it is checked. */
#include "trainer/ckpt/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"

static const char format_name[] = "critic-rm checkpoint";
static const char *const group_names[2] = {[GROUP_BACKBONE] = "backbone", [GROUP_REWARD] = "reward"};
static const int64_t max_count = (int64_t)1 << 40;      /* of elements: 4 TiB of float32 in one tensor is not a model */

static int get_hash(json_t *object, const char *key, const char *where, uint64_t *out)
{
    const char *text;
    TRY(json_get_text(object, key, where, &text));
    if (hash_from_hex(text, out) == OK)
        return OK;
    trace_clear();
    return FAIL("%s: \"%s\" is not 16 hexadecimal digits", where, key);
}

static int get_name(json_t *object, const char *key, const char *where, char *out, size_t size)
{
    const char *text;
    TRY(json_get_text(object, key, where, &text));
    CHECK(strlen(text) < size && *text, "%s: \"%s\" is empty or longer than %zu bytes", where, key, size - 1);
    strcpy(out, text);
    return OK;
}

static json_t *hex(uint64_t hash)
{
    char text[HASH_HEX_SIZE];
    hash_to_hex(hash, text);
    return json_string(text);
}

static int checksum_of(json_t *root, const char *where, uint64_t *out)
{
    char *text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    CHECK(text, "%s: out of memory for its checksum", where);
    *out = hash_bytes(text, strlen(text), 0);
    free(text);
    return OK;
}

static int check_checksum(json_t *root, const char *where)
{
    uint64_t said = 0, is = 0;
    TRY(get_hash(root, "checksum", where, &said));
    json_object_del(root, "checksum");
    TRY(checksum_of(root, where, &is));
    CHECK(said == is, "%s: the checksum does not match, the file is damaged: remove its folder to go on from the checkpoint before it", where);
    return OK;
}

/* ---- reading ---- */

static int parse_tensor(json_t *value, const char *where, struct tensor_entry *t)
{
    json_t *shape;
    TRY(get_name(value, "name", where, t->name, sizeof t->name));
    TRY(json_get_array(value, "shape", where, &shape));
    t->n_dims = (int)json_array_size(shape);
    CHECK(t->n_dims == 1 || t->n_dims == 2, "%s: tensor %s has %d dimensions", where, t->name, t->n_dims);
    t->shape[1] = 1;
    for (int i = 0; i < t->n_dims; i++) {
        json_t *size = json_array_get(shape, (size_t)i);
        CHECK(json_is_integer(size) && json_integer_value(size) > 0 && json_integer_value(size) < max_count, "%s: tensor %s has an impossible size", where, t->name);
        t->shape[i] = json_integer_value(size);
    }
    CHECK(t->shape[0] < max_count / t->shape[1], "%s: tensor %s has an impossible size", where, t->name);
    return OK;
}

static int parse_tensors(json_t *list, const char *where, struct manifest *m)
{
    m->tensor = calloc(json_array_size(list) + 1, sizeof *m->tensor);
    CHECK(m->tensor && json_array_size(list) < 1000000, "%s: out of memory for its tensors", where);
    for (size_t i = 0; i < json_array_size(list); i++) {
        TRY(parse_tensor(json_array_get(list, i), where, &m->tensor[i]));
        CHECK(manifest_find(m, m->tensor[i].name) < 0, "%s: tensor %s is listed twice", where, m->tensor[i].name);
        m->n_tensors++;
    }
    return OK;
}

static int get_pair(json_t *box, const char *key, const char *where, int64_t out[2])
{
    json_t *list;
    TRY(json_get_array(box, key, where, &list));
    CHECK(json_array_size(list) == 2, "%s: \"%s\" of a box needs two numbers", where, key);
    for (size_t i = 0; i < 2; i++) {
        json_t *value = json_array_get(list, i);
        CHECK(json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) < max_count, "%s: \"%s\" of a box holds an impossible number", where, key);
        out[i] = json_integer_value(value);
    }
    return OK;
}

static int parse_slice(json_t *value, const char *where, const struct manifest *m, struct slice *s)
{
    const char *tensor, *state;
    json_t *box;
    TRY(get_name(value, "file", where, s->file, sizeof s->file));
    TRY(get_name(value, "key", where, s->key, sizeof s->key));
    TRY(json_get_text(value, "tensor", where, &tensor));
    TRY(json_get_text(value, "state", where, &state));
    TRY(json_get_object(value, "box", where, &box));
    TRY(get_pair(box, "offset", where, s->box.offset));
    TRY(get_pair(box, "size", where, s->box.size));
    TRY(json_get_int(value, "first", where, 0, max_count, &s->first));
    TRY(json_get_int(value, "count", where, 1, max_count, &s->count));
    TRY(get_hash(value, "xxh3", where, &s->hash));
    CHECK(!strchr(s->file, '/'), "%s: \"file\" of a slice is not a file's name", where);
    s->tensor = manifest_find(m, tensor);
    CHECK(s->tensor >= 0, "%s: a slice belongs to tensor %.95s, which is not listed", where, tensor);
    CHECK(state_parse(state) >= 0, "%s: a slice has the unknown state %.32s", where, state);
    s->state = (enum state_kind)state_parse(state);
    return OK;
}

static int parse_slices(json_t *list, const char *where, struct manifest *m)
{
    CHECK(json_array_size(list) < 100000000, "%s: too many slices", where);
    m->slice = calloc(json_array_size(list) + 1, sizeof *m->slice);
    CHECK(m->slice, "%s: out of memory for its slices", where);
    for (size_t i = 0; i < json_array_size(list); i++) {
        TRY(parse_slice(json_array_get(list, i), where, m, &m->slice[i]));
        m->n_slices++;
    }
    return OK;
}

static int parse_groups(json_t *root, const char *where, struct checkpoint_info *info)
{
    json_t *groups;
    TRY(json_get_array(root, "groups", where, &groups));
    CHECK(json_array_size(groups) == 2, "%s: two groups are expected", where);
    for (size_t i = 0; i < 2; i++) {
        const char *name;
        TRY(json_get_text(json_array_get(groups, i), "name", where, &name));
        CHECK(strcmp(name, group_names[i]) == 0, "%s: group %.32s where %s is expected", where, name, group_names[i]);
        TRY(json_get_int(json_array_get(groups, i), "steps", where, 0, INT64_MAX, &info->group_steps[i]));
    }
    return OK;
}

static int parse_info(json_t *root, const char *where, struct checkpoint_info *info)
{
    json_t *token;
    const char *text;
    TRY(json_get_int(root, "step", where, 0, INT64_MAX, &info->step));
    TRY(json_get_int(root, "epoch", where, 0, INT64_MAX, &info->epoch));
    TRY(json_get_int(root, "steps_per_epoch", where, 0, INT64_MAX, &info->steps_per_epoch));
    TRY(json_get_int(root, "pairs", where, 0, INT64_MAX, &info->pairs));
    TRY(get_hash(root, "dsub_hash", where, &info->dsub_hash));
    TRY(get_hash(root, "seed", where, &info->seed));
    TRY(get_hash(root, "options_hash", where, &info->options_hash));
    TRY(parse_groups(root, where, info));
    TRY(json_get_object(root, "reward_token", where, &token));
    TRY(json_get_int(token, "id", where, -1, INT32_MAX, &info->reward_token));
    TRY(json_get_text(token, "text", where, &text));
    CHECK(strlen(text) < sizeof info->reward_token_text, "%s: the reward token's text is too long", where);
    strcpy(info->reward_token_text, text);
    TRY(json_get_text(root, "options", where, &text));
    info->options = strdup(text);
    CHECK(info->options, "%s: out of memory for its options", where);
    return OK;
}

static int parse_mesh(json_t *root, const char *where, struct manifest *m)
{
    json_t *mesh;
    int64_t data, tensor;
    TRY(json_get_object(root, "mesh", where, &mesh));
    TRY(json_get_int(mesh, "data", where, 1, INT32_MAX, &data));
    TRY(json_get_int(mesh, "tensor", where, 1, INT32_MAX, &tensor));
    m->data_size = (int)data;
    m->tensor_size = (int)tensor;
    return get_name(root, "attempt", where, m->attempt, sizeof m->attempt);
}

/* Sorted slices: each run of one tensor and state must cover it, and no run may be missing. */
static int check_cover(const struct manifest *m, const char *where)
{
    int at = 0;
    for (int t = 0; t < m->n_tensors; t++)
        for (int s = 0; s < N_STATES; s++) {
            char name[128];
            int first = at;
            while (at < m->n_slices && m->slice[at].tensor == t && m->slice[at].state == (enum state_kind)s)
                at++;
            snprintf(name, sizeof name, "%s (%s)", m->tensor[t].name, state_name((enum state_kind)s));
            TRY(slices_cover(m->slice + first, at - first, m->tensor[t].shape, where, name));
        }
    ASSERT(at == m->n_slices);
    return OK;
}

static void sort_slices(struct manifest *m)
{
    if (m->n_slices > 0)
        qsort(m->slice, (size_t)m->n_slices, sizeof *m->slice, slice_compare);
}

static int parse(json_t *root, const char *where, struct manifest *m)
{
    const char *format;
    int64_t version;
    json_t *tensors, *slices;
    TRY(json_get_text(root, "format", where, &format));
    CHECK(strcmp(format, format_name) == 0, "%s: the format is %.40s, not %s", where, format, format_name);
    TRY(json_get_int(root, "version", where, 1, INT32_MAX, &version));
    CHECK(version == 1, "%s: version %lld was written by a newer program; this one reads version 1", where, (long long)version);
    TRY(check_checksum(root, where));
    TRY(parse_info(root, where, &m->info));
    TRY(parse_mesh(root, where, m));
    TRY(json_get_array(root, "tensors", where, &tensors));
    TRY(json_get_array(root, "slices", where, &slices));
    TRY(parse_tensors(tensors, where, m));
    TRY(parse_slices(slices, where, m));
    sort_slices(m);
    return check_cover(m, where);
}

int manifest_parse(const char *text, size_t n_bytes, const char *where, struct manifest **out)
{
    json_t *root;
    *out = NULL;
    TRY(json_parse(text, n_bytes, where, &root));
    struct manifest *m = calloc(1, sizeof *m);
    int status = m ? parse(root, where, m) : FAIL("%s: out of memory", where);
    json_decref(root);
    if (status != OK)
        manifest_free(&m);
    *out = m;
    return status;
}

int manifest_read(const char *path, struct manifest **out)
{
    char *text;
    size_t n_bytes;
    *out = NULL;
    TRY(file_read(path, &text, &n_bytes));
    int status = manifest_parse(text, n_bytes, path, out);
    free(text);
    return status;
}

void manifest_free(struct manifest **manifest)
{
    struct manifest *m = *manifest;
    if (m) {
        checkpoint_info_clear(&m->info);
        free(m->tensor);
        free(m->slice);
        free(m);
    }
    *manifest = NULL;
}

/* ---- writing ---- */

static json_t *tensors_json(const struct manifest *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor_entry *t = &m->tensor[i];
        json_t *shape = t->n_dims == 2 ? json_pack("[I,I]", (json_int_t)t->shape[0], (json_int_t)t->shape[1]) : json_pack("[I]", (json_int_t)t->shape[0]);
        json_array_append_new(list, json_pack("{s:s, s:o}", "name", t->name, "shape", shape));
    }
    return list;
}

static json_t *slice_json(const struct manifest *m, const struct slice *s)
{
    json_t *box = json_pack("{s:[I,I], s:[I,I]}", "offset", (json_int_t)s->box.offset[0], (json_int_t)s->box.offset[1], "size", (json_int_t)s->box.size[0],
                            (json_int_t)s->box.size[1]);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:o}", "file", s->file, "key", s->key, "tensor", m->tensor[s->tensor].name, "state", state_name(s->state), "box",
                     box, "first", (json_int_t)s->first, "count", (json_int_t)s->count, "xxh3", hex(s->hash));
}

static json_t *manifest_json(const struct manifest *m)
{
    const struct checkpoint_info *i = &m->info;
    json_t *slices = json_array();
    for (int s = 0; s < m->n_slices; s++)
        json_array_append_new(slices, slice_json(m, &m->slice[s]));
    return json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:{s:I, s:s}, s:{s:i, s:i}, s:[{s:s, s:I}, {s:s, s:I}], s:s, s:o, s:o}", "format", format_name,
                     "version", 1, "attempt", m->attempt, "step", (json_int_t)i->step, "epoch", (json_int_t)i->epoch, "steps_per_epoch", (json_int_t)i->steps_per_epoch, "pairs",
                     (json_int_t)i->pairs, "dsub_hash", hex(i->dsub_hash), "seed", hex(i->seed), "options_hash", hex(i->options_hash), "reward_token", "id",
                     (json_int_t)i->reward_token, "text", i->reward_token_text, "mesh", "data", m->data_size, "tensor", m->tensor_size, "groups", "name", group_names[0],
                     "steps", (json_int_t)i->group_steps[0], "name", group_names[1], "steps", (json_int_t)i->group_steps[1], "options", i->options ? i->options : "",
                     "tensors", tensors_json(m), "slices", slices);
}

int manifest_write(const char *path, struct manifest *m)
{
    int status = OK;
    uint64_t checksum = 0;
    char *text = NULL;
    sort_slices(m);
    TRY(check_cover(m, path));
    json_t *root = manifest_json(m);
    CHECK(root, "cannot write %s: out of memory, or a text in it is not UTF-8", path);
    TRY_DONE(checksum_of(root, path, &checksum));
    json_object_set_new(root, "checksum", hex(checksum));
    text = json_dumps(root, JSON_INDENT(1));
    CHECK_DONE(text, "out of memory while writing %s", path);
    TRY_DONE(file_write_atomic(path, text, strlen(text)));
done:
    free(text);
    json_decref(root);
    return status;
}

/* ---- looking things up ---- */

int manifest_find(const struct manifest *m, const char *tensor)
{
    for (int i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensor[i].name, tensor) == 0)
            return i;
    return -1;
}

const struct slice *manifest_slices(const struct manifest *m, int tensor, enum state_kind state, int *n)
{
    int low = 0, high = m->n_slices;
    while (low < high) {
        int mid = low + (high - low) / 2;
        const struct slice *s = &m->slice[mid];
        if (s->tensor < tensor || (s->tensor == tensor && s->state < state))
            low = mid + 1;
        else
            high = mid;
    }
    for (*n = 0; low + *n < m->n_slices && m->slice[low + *n].tensor == tensor && m->slice[low + *n].state == state;)
        ++*n;
    return m->slice + low;
}

int checkpoint_info_copy(const struct checkpoint_info *from, struct checkpoint_info *to)
{
    *to = *from;
    if (!from->options)
        return OK;
    to->options = strdup(from->options);
    CHECK(to->options, "out of memory for a checkpoint's options");
    return OK;
}

void checkpoint_info_clear(struct checkpoint_info *info)
{
    free(info->options);
    info->options = NULL;
}
