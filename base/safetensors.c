/* safetensors: the reader. The header is hostile until checked: every size against the file's. */
#include "base/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

struct source { char path[1024]; struct file_map map; };

struct safetensors {
    int n, n_sources;
    struct st_tensor *tensor;   /* sorted by name */
    struct source *source;
};

static size_t type_bytes(enum st_type type) { return type == ST_F32 ? 4 : 2; }

static int parse_type(const char *text, const char *where, const char *name, enum st_type *out)
{
    static const char *const names[] = {[ST_F32] = "F32", [ST_BF16] = "BF16", [ST_F16] = "F16"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum st_type)i;
            return OK;
        }
    return FAIL("%s: tensor %s has type %.16s; F32, BF16 and F16 are read", where, name, text);
}

static int parse_shape(json_t *shape, const char *where, struct st_tensor *t)
{
    CHECK(json_array_size(shape) <= ST_MAX_DIMS, "%s: tensor %s has %zu dimensions, more than %d", where, t->name, json_array_size(shape), ST_MAX_DIMS);
    t->n_dims = (int)json_array_size(shape);
    t->n_elems = 1;
    for (int i = 0; i < t->n_dims; i++) {
        json_t *size = json_array_get(shape, (size_t)i);
        CHECK(json_is_integer(size) && json_integer_value(size) >= 0, "%s: tensor %s has a size that is not a whole number", where, t->name);
        t->shape[i] = json_integer_value(size);
        CHECK(!__builtin_mul_overflow(t->n_elems, t->shape[i], &t->n_elems) && t->n_elems < INT64_MAX / 8, "%s: tensor %s is too large to be true", where, t->name);
    }
    return OK;
}

static int parse_tensor(const char *name, json_t *value, const unsigned char *data, size_t n_data, const char *where, struct st_tensor *t)
{
    const char *type;
    json_t *shape, *offsets;
    CHECK(strlen(name) < ST_MAX_NAME, "%s: a tensor's name is longer than %d bytes", where, ST_MAX_NAME - 1);
    strcpy(t->name, name);
    TRY(json_get_text(value, "dtype", where, &type));
    TRY(json_get_array(value, "shape", where, &shape));
    TRY(json_get_array(value, "data_offsets", where, &offsets));
    TRY(parse_type(type, where, name, &t->type));
    TRY(parse_shape(shape, where, t));
    json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    CHECK(json_array_size(offsets) == 2 && json_is_integer(from) && json_is_integer(to), "%s: tensor %s needs two data offsets", where, name);
    int64_t first = json_integer_value(from), end = json_integer_value(to);
    CHECK(first >= 0 && end >= first && (uint64_t)end <= n_data, "%s: tensor %s ends at byte %lld of %zu: the file is truncated, fetch it again", where, name, (long long)end, n_data);
    CHECK((uint64_t)(end - first) == (uint64_t)t->n_elems * type_bytes(t->type), "%s: tensor %s has %lld bytes, its shape needs %llu", where, name, (long long)(end - first),
          (unsigned long long)((uint64_t)t->n_elems * type_bytes(t->type)));
    t->data = data + first;
    return OK;
}

static int parse_header(struct safetensors *st, json_t *header, const unsigned char *data, size_t n_data, const char *where, int file)
{
    const char *name;
    json_t *value;
    CHECK(json_is_object(header), "%s: the header is not a JSON object", where);
    struct st_tensor *grown = realloc(st->tensor, ((size_t)st->n + json_object_size(header) + 1) * sizeof *grown);
    CHECK(grown, "out of memory for the header of %s", where);
    st->tensor = grown;
    json_object_foreach(header, name, value) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        struct st_tensor *t = &st->tensor[st->n];
        *t = (struct st_tensor){.file = file};
        TRY(parse_tensor(name, value, data, n_data, where, t));
        st->n++;
    }
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const unsigned char *x = ((const struct st_tensor *)a)->data, *y = ((const struct st_tensor *)b)->data;
    return x < y ? -1 : x > y;
}

/* Tensors [first, n) are one file's: sharing bytes is a damaged or forged header. */
static int check_overlap(struct safetensors *st, int first, const char *where)
{
    struct st_tensor *t = st->tensor + first;
    int n = st->n - first;
    if (n > 0)
        qsort(t, (size_t)n, sizeof *t, by_place);
    const unsigned char *end = NULL;
    for (int i = 0; i < n; i++) {
        CHECK(t[i].n_elems == 0 || !end || t[i].data >= end, "%s: tensor %s shares bytes with another: the header is damaged", where, t[i].name);
        if (t[i].n_elems > 0)
            end = t[i].data + (size_t)t[i].n_elems * type_bytes(t[i].type);
    }
    return OK;
}

static int parse_bytes(struct safetensors *st, const unsigned char *bytes, size_t n_bytes, const char *where, int file)
{
    uint64_t n_header = 0;
    json_t *header;
    CHECK(n_bytes >= 8, "%s: not a safetensors file (%zu bytes)", where, n_bytes);
    for (int i = 7; i >= 0; i--)
        n_header = n_header << 8 | bytes[i];
    CHECK(n_header <= n_bytes - 8, "%s: the header is longer than the file: it is truncated or not a safetensors file", where);
    TRY(json_parse((const char *)bytes + 8, (size_t)n_header, where, &header));
    int first = st->n, status = parse_header(st, header, bytes + 8 + n_header, n_bytes - 8 - (size_t)n_header, where, file);
    if (status == OK)
        status = check_overlap(st, first, where);
    json_decref(header);
    return status;
}

static int by_name(const void *a, const void *b) { return strcmp(((const struct st_tensor *)a)->name, ((const struct st_tensor *)b)->name); }

static int finish(struct safetensors *st, const char *where)
{
    if (st->n > 0)
        qsort(st->tensor, (size_t)st->n, sizeof *st->tensor, by_name);
    for (int i = 1; i < st->n; i++)
        CHECK(strcmp(st->tensor[i - 1].name, st->tensor[i].name) != 0, "%s: tensor %s is there twice", where, st->tensor[i].name);
    return OK;
}

static int add_source(struct safetensors *st, const char *path)
{
    struct source *grown = realloc(st->source, ((size_t)st->n_sources + 1) * sizeof *grown);
    CHECK(grown, "out of memory while opening %s", path);
    st->source = grown;
    struct source *source = &st->source[st->n_sources];
    *source = (struct source){0};
    snprintf(source->path, sizeof source->path, "%s", path);
    TRY(file_map_open(path, &source->map));
    st->n_sources++;
    return parse_bytes(st, source->map.bytes, source->map.n_bytes, path, st->n_sources - 1);
}

static int create(struct safetensors **out)
{
    *out = calloc(1, sizeof **out);
    CHECK(*out, "out of memory for a list of tensors");
    return OK;
}

int safetensors_open_memory(const void *bytes, size_t n_bytes, const char *where, struct safetensors **out)
{
    TRY(create(out));
    int status = parse_bytes(*out, bytes, n_bytes, where, 0);
    if (status == OK)
        status = finish(*out, where);
    if (status != OK)
        safetensors_close(out);
    return status;
}

int safetensors_open_file(const char *path, struct safetensors **out)
{
    TRY(create(out));
    int status = add_source(*out, path);
    if (status == OK)
        status = finish(*out, path);
    if (status != OK)
        safetensors_close(out);
    return status;
}

static bool has_source(const struct safetensors *st, const char *path)
{
    for (int i = 0; i < st->n_sources; i++)
        if (strcmp(st->source[i].path, path) == 0)
            return true;
    return false;
}

static int add_indexed(struct safetensors *st, const char *folder, const char *index_path)
{
    int status = OK;
    json_t *index, *map, *value;
    const char *name;
    TRY(json_parse_file(index_path, &index));
    TRY_DONE(json_get_object(index, "weight_map", index_path, &map));
    json_object_foreach(map, name, value) {
        char path[1024];
        const char *file = json_string_value(value);
        CHECK_DONE(file && !strchr(file, '/'), "%s: the file of tensor %s is not a file's name", index_path, name);
        TRY_DONE(path_join(path, sizeof path, folder, file));
        if (!has_source(st, path))
            TRY_DONE(add_source(st, path));
    }
done:
    json_decref(index);
    return status;
}

int safetensors_open_folder(const char *folder, struct safetensors **out)
{
    char single[1024], index[1024];
    TRY(path_join(single, sizeof single, folder, "model.safetensors"));
    TRY(path_join(index, sizeof index, folder, "model.safetensors.index.json"));
    CHECK(file_exists(single) || file_exists(index), "%s holds neither model.safetensors nor model.safetensors.index.json: set backbone.path to a Hugging Face folder with weights", folder);
    if (file_exists(single))
        return safetensors_open_file(single, out);
    TRY(create(out));
    int status = add_indexed(*out, folder, index);
    if (status == OK)
        status = finish(*out, folder);
    if (status != OK)
        safetensors_close(out);
    return status;
}

void safetensors_close(struct safetensors **out)
{
    struct safetensors *st = *out;
    if (!st)
        return;
    for (int i = 0; i < st->n_sources; i++)
        file_map_close(&st->source[i].map);
    free(st->source);
    free(st->tensor);
    free(st);
    *out = NULL;
}

int safetensors_count(const struct safetensors *st) { return st->n; }
const struct st_tensor *safetensors_at(const struct safetensors *st, int index) { return &st->tensor[index]; }
const char *safetensors_path(const struct safetensors *st, const struct st_tensor *tensor) { return st->n_sources ? st->source[tensor->file].path : "memory"; }

const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    struct st_tensor key;
    if (strlen(name) >= ST_MAX_NAME || st->n == 0)
        return NULL;
    strcpy(key.name, name);
    return bsearch(&key, st->tensor, (size_t)st->n, sizeof key, by_name);
}

static float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, mantissa = h & 0x3ffu, bits;
    float y;
    if (exponent == 0) {
        y = (float)mantissa * 0x1p-24f;
        return sign ? -y : y;
    }
    bits = sign | (exponent == 31 ? 0xffu << 23 : (exponent + 112) << 23) | mantissa << 13;
    memcpy(&y, &bits, 4);
    return y;
}

void st_read_f32(const struct st_tensor *t, int64_t first, int64_t count, float *out)
{
    if (t->type == ST_F32) {
        if (count > 0)
            memcpy(out, t->data + first * 4, (size_t)count * 4);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, t->data + (first + i) * 2, 2);
        out[i] = t->type == ST_BF16 ? bf16_to_f32(half) : f16_to_f32(half);
    }
}
