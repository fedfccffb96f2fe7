/* h5_attr: attributes of a file's root. */
#include "base/h5_internal.h"

#include <string.h>

#include "base/status.h"

/* One attribute of n elements of a type (n = 1 with scalar). */
static int put(struct h5_file *file, const char *name, hid_t file_type, hid_t memory_type, hid_t space, const void *elems)
{
    int status = OK;
    hid_t id = H5I_INVALID_HID;
    CHECK(file->writing, "%s: attribute %s cannot be made, the file is open for reading", file->path, name);
    id = H5Acreate2(file->id, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5_CHECK_DONE(id >= 0, file, "create attribute", name);
    H5_CHECK_DONE(H5Awrite(id, memory_type, elems) >= 0, file, "write attribute", name);
done:
    if (id >= 0)
        H5Aclose(id);
    return status;
}

/* Fixed length, null padded; an empty text has length 1. */
static hid_t text_type(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, size ? size : 1) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

static int put_text(struct h5_file *file, const char *name, const char *text)
{
    int status = OK;
    hid_t type = text_type(strlen(text)), space = H5Screate(H5S_SCALAR);
    H5_CHECK_DONE(type >= 0 && space >= 0, file, "create attribute", name);
    status = put(file, name, type, type, space, text);
done:
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    return status;
}

int h5_attr_put_text(struct h5_file *file, const char *name, const char *text)
{
    CHECK(strlen(text) <= H5_ATTR_MAX_BYTES, "%s: attribute %s has %zu bytes, more than %d", file->path, name, strlen(text), H5_ATTR_MAX_BYTES);
    h5_lock();
    int status = put_text(file, name, text);
    h5_unlock();
    return status;
}

static int put_scalar(struct h5_file *file, const char *name, uint64_t value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    H5_CHECK(space >= 0, file, "create attribute", name);
    int status = put(file, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, space, &value);
    H5Sclose(space);
    return status;
}

int h5_attr_put_u64(struct h5_file *file, const char *name, uint64_t value)
{
    h5_lock();
    int status = put_scalar(file, name, value);
    h5_unlock();
    return status;
}

static int put_list(struct h5_file *file, const char *name, const uint32_t *elems, size_t n)
{
    hsize_t count = n;
    uint32_t nothing = 0;
    hid_t space = H5Screate_simple(1, &count, NULL);
    H5_CHECK(space >= 0, file, "create attribute", name);
    int status = put(file, name, H5T_STD_U32LE, H5T_NATIVE_UINT32, space, n > 0 ? elems : &nothing);
    H5Sclose(space);
    return status;
}

int h5_attr_put_u32s(struct h5_file *file, const char *name, const uint32_t *elems, size_t n)
{
    CHECK(n * 4 <= H5_ATTR_MAX_BYTES, "%s: attribute %s has %zu elements, more than %d bytes", file->path, name, n, H5_ATTR_MAX_BYTES);
    h5_lock();
    int status = put_list(file, name, elems, n);
    h5_unlock();
    return status;
}

bool h5_attr_has(struct h5_file *file, const char *name)
{
    h5_lock();
    bool has = H5Aexists(file->id, name) > 0;
    H5Eclear2(H5E_DEFAULT);
    h5_unlock();
    return has;
}

/* An open attribute with what decides whether it is what was asked for. */
struct attribute { hid_t id, type; int n_dims; hsize_t n_elems; };

static void attribute_close(struct attribute *a)
{
    if (a->type >= 0)
        H5Tclose(a->type);
    if (a->id >= 0)
        H5Aclose(a->id);
}

static int attribute_shape(const struct h5_file *file, const char *name, struct attribute *a)
{
    hid_t space = H5Aget_space(a->id);
    H5_CHECK(space >= 0, file, "read attribute", name);
    H5S_class_t class = H5Sget_simple_extent_type(space);
    a->n_dims = H5Sget_simple_extent_ndims(space);
    a->n_elems = 1;
    if (class == H5S_SIMPLE && a->n_dims == 1)
        H5Sget_simple_extent_dims(space, &a->n_elems, NULL);
    H5Sclose(space);
    CHECK((class == H5S_SCALAR || class == H5S_SIMPLE) && a->n_dims >= 0 && a->n_dims <= 1, "%s: attribute %s is not one value or a flat list", file->path, name);
    return OK;
}

static int attribute_open(struct h5_file *file, const char *name, struct attribute *a)
{
    *a = (struct attribute){H5I_INVALID_HID, H5I_INVALID_HID, 0, 0};
    CHECK(H5Aexists(file->id, name) > 0, "%s has no attribute %s", file->path, name);
    a->id = H5Aopen(file->id, name, H5P_DEFAULT);
    H5_CHECK(a->id >= 0, file, "open attribute", name);
    a->type = H5Aget_type(a->id);
    H5_CHECK(a->type >= 0, file, "read attribute", name);
    return attribute_shape(file, name, a);
}

static int get_text(struct h5_file *file, const char *name, char *out, size_t size)
{
    int status = OK;
    struct attribute a;
    TRY_DONE(attribute_open(file, name, &a));
    CHECK_DONE(H5Tget_class(a.type) == H5T_STRING && H5Tis_variable_str(a.type) == 0 && a.n_dims == 0, "%s: attribute %s is not a text of fixed length", file->path, name);
    size_t n = H5Tget_size(a.type);
    CHECK_DONE(n < size, "%s: attribute %s has %zu bytes, more than the %zu that are read", file->path, name, n, size - 1);
    H5_CHECK_DONE(H5Aread(a.id, a.type, out) >= 0, file, "read attribute", name);
    out[n] = 0;
done:
    attribute_close(&a);
    return status;
}

int h5_attr_get_text(struct h5_file *file, const char *name, char *out, size_t size)
{
    h5_lock();
    int status = get_text(file, name, out, size);
    h5_unlock();
    return status;
}

static int get_scalar(struct h5_file *file, const char *name, uint64_t *out)
{
    int status = OK;
    struct attribute a;
    TRY_DONE(attribute_open(file, name, &a));
    CHECK_DONE(H5Tequal(a.type, H5T_STD_U64LE) > 0 && a.n_dims == 0, "%s: attribute %s is not a uint64", file->path, name);
    H5_CHECK_DONE(H5Aread(a.id, H5T_NATIVE_UINT64, out) >= 0, file, "read attribute", name);
done:
    attribute_close(&a);
    return status;
}

int h5_attr_get_u64(struct h5_file *file, const char *name, uint64_t *out)
{
    h5_lock();
    int status = get_scalar(file, name, out);
    h5_unlock();
    return status;
}

static int get_list(struct h5_file *file, const char *name, uint32_t *out, size_t max_elems, size_t *n_elems)
{
    int status = OK;
    struct attribute a;
    TRY_DONE(attribute_open(file, name, &a));
    CHECK_DONE(H5Tequal(a.type, H5T_STD_U32LE) > 0 && a.n_dims == 1, "%s: attribute %s is not a list of uint32", file->path, name);
    CHECK_DONE(a.n_elems <= max_elems, "%s: attribute %s has %llu elements, more than the %zu that are read", file->path, name, (unsigned long long)a.n_elems, max_elems);
    H5_CHECK_DONE(a.n_elems == 0 || H5Aread(a.id, H5T_NATIVE_UINT32, out) >= 0, file, "read attribute", name);
    *n_elems = (size_t)a.n_elems;
done:
    attribute_close(&a);
    return status;
}

int h5_attr_get_u32s(struct h5_file *file, const char *name, uint32_t *out, size_t max_elems, size_t *n_elems)
{
    h5_lock();
    int status = get_list(file, name, out, max_elems, n_elems);
    h5_unlock();
    return status;
}
