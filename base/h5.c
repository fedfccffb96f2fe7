/* h5: files and datasets; attributes are in h5_attr.c. */
#include "base/h5_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"

/* The one lock of the process: HDF5's library has global state of its own, and a build of it need not be thread-safe. */
static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;

/* At exit the library closes again what a full disk kept from closing, and crashes on it: so its own clean-up runs only when all that was written closed well. */
static bool a_close_failed;

static void at_exit(void)
{
    if (!a_close_failed)
        H5close();
}

static void before_first_use(void)
{
    H5dont_atexit();
    atexit(at_exit);
}

void h5_lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, before_first_use);
    pthread_mutex_lock(&the_lock);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void h5_unlock(void) { pthread_mutex_unlock(&the_lock); }

static herr_t keep_first(unsigned n, const H5E_error2_t *error, void *out)
{
    const char **first = out;
    if (n == 0)
        *first = error->desc;
    return 0;
}

/* Of a system call's failure HDF5 tells much (time, buffers, offsets): the system's own words are kept. */
static void shorten(const char *why, char *out, size_t size)
{
    static const char mark[] = "error message = '";
    const char *at = strstr(why, mark);
    if (at)
        snprintf(out, size, "%.*s", (int)strcspn(at + sizeof mark - 1, "'"), at + sizeof mark - 1);
    else
        snprintf(out, size, "%.*s", (int)strcspn(why, "\n"), why);
}

int h5_fail(const struct h5_file *file, const char *doing, const char *name)
{
    char reason[256];
    const char *why = NULL;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, (void *)&why);
    if (!why)
        why = "HDF5 gives no reason";
    if (strstr(why, "Fletcher32") || strstr(why, "checksum"))
        return FAIL("%s: cannot %s %s: its checksum does not match, the file is damaged: make it anew", file->path, doing, name);
    shorten(why, reason, sizeof reason);
    return FAIL("%s: cannot %s %s: %s", file->path, doing, name, reason);
}

size_t h5_type_bytes(enum h5_type type) { return type == H5_U8 ? 1 : type == H5_U32 || type == H5_F32 ? 4 : 8; }

static const char *type_name(enum h5_type type)
{
    static const char *const name[] = {"uint8", "uint32", "uint64", "float32", "float64"};
    return name[type];
}

hid_t h5_file_type(enum h5_type type)
{
    switch (type) {
    case H5_U8: return H5T_STD_U8LE;
    case H5_U32: return H5T_STD_U32LE;
    case H5_U64: return H5T_STD_U64LE;
    case H5_F32: return H5T_IEEE_F32LE;
    case H5_F64: break;
    }
    return H5T_IEEE_F64LE;
}

hid_t h5_memory_type(enum h5_type type)
{
    switch (type) {
    case H5_U8: return H5T_NATIVE_UINT8;
    case H5_U32: return H5T_NATIVE_UINT32;
    case H5_U64: return H5T_NATIVE_UINT64;
    case H5_F32: return H5T_NATIVE_FLOAT;
    case H5_F64: break;
    }
    return H5T_NATIVE_DOUBLE;
}

/* ---- files ---- */

static int file_make(const char *path, struct h5_file **out)
{
    struct h5_file *file = calloc(1, sizeof *file);
    CHECK(file, "out of memory for opening %s", path);
    file->id = H5I_INVALID_HID;
    file->path = strdup(path);
    *out = file;
    if (file->path)
        return OK;
    free(file);
    *out = NULL;
    return FAIL("out of memory for opening %s", path);
}

/* Access: format of 1.10 with checksums in all metadata, no locks on files (network file systems refuse them), and a close that closes all. */
static hid_t access_list(void)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list >= 0 && (H5Pset_libver_bounds(list, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 || H5Pset_file_locking(list, false, true) < 0 ||
                      H5Pset_fclose_degree(list, H5F_CLOSE_STRONG) < 0)) {
        H5Pclose(list);
        return H5I_INVALID_HID;
    }
    return list;
}

static int file_close(struct h5_file *file)
{
    int status = OK;
    for (int i = 0; i < file->n_datasets; i++) {
        if (H5Dclose(file->dataset[i].id) < 0 && status == OK)
            status = h5_fail(file, "close", file->dataset[i].name);
        free(file->dataset[i].name);
    }
    if (file->id >= 0 && H5Fclose(file->id) < 0 && status == OK)
        status = h5_fail(file, "close", "the file");
    a_close_failed = a_close_failed || (file->writing && status != OK);
    free(file->dataset);
    free(file->chunk);
    free(file->path);
    free(file);
    return status;
}

/* Of the root, a group or a dataset: no times of day in the file, so that equal contents are equal bytes. */
static hid_t timeless(hid_t class)
{
    hid_t list = H5Pcreate(class);
    if (list >= 0 && H5Pset_obj_track_times(list, false) < 0) {
        H5Pclose(list);
        return H5I_INVALID_HID;
    }
    return list;
}

static int create(const char *path, struct h5_file **out)
{
    int status = OK;
    struct h5_file *file = NULL;
    hid_t access = access_list(), creation = timeless(H5P_FILE_CREATE);
    TRY_DONE(file_make(path, &file));
    file->writing = true;
    file->id = access < 0 || creation < 0 ? H5I_INVALID_HID : H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    H5_CHECK_DONE(file->id >= 0, file, "create", "the file");
    *out = file;
    file = NULL;
done:
    if (access >= 0)
        H5Pclose(access);
    if (creation >= 0)
        H5Pclose(creation);
    if (file)
        file_close(file);
    return status;
}

int h5_create(const char *path, struct h5_file **out)
{
    *out = NULL;
    h5_lock();
    int status = create(path, out);
    h5_unlock();
    return status;
}

static uint64_t little_endian_64(const unsigned char *b)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | b[i];
    return value;
}

/* Superblock of versions 2 and 3: signature[8], version, size of offsets, size of lengths, flags, base address[8], extension[8], end of file[8], root[8], checksum[4]. */
static int check_superblock(const char *path, uint64_t *n_bytes)
{
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char block[48];
    TRY(file_size(path, n_bytes));
    FILE *f = fopen(path, "rb");
    CHECK(f, "cannot open %s: %s", path, strerror(errno));
    size_t n = fread(block, 1, sizeof block, f);
    fclose(f);
    CHECK(n >= 8 && memcmp(block, signature, 8) == 0, "%s is not an HDF5 file, or its writer was killed: make it anew", path);
    CHECK(n == sizeof block, "%s is cut off after %zu bytes: make it anew", path, n);
    CHECK(block[8] == 2 || block[8] == 3, "%s has HDF5 superblock version %d, without checksums; only files of version 2 or 3 are read: write it with library bounds V110",
          path, block[8]);
    CHECK(block[9] == 8 && block[10] == 8 && little_endian_64(block + 12) == 0, "%s: its HDF5 superblock is damaged or of a kind that is not read here", path);
    uint64_t end = little_endian_64(block + 28);
    CHECK(end <= *n_bytes, "%s is cut off: it has %llu bytes and should have %llu: make it anew", path, (unsigned long long)*n_bytes, (unsigned long long)end);
    return OK;
}

static int open_checked(const char *path, uint64_t n_bytes, struct h5_file **out)
{
    int status = OK;
    struct h5_file *file = NULL;
    hid_t access = access_list();
    TRY_DONE(file_make(path, &file));
    file->n_bytes = n_bytes;
    file->id = access < 0 ? H5I_INVALID_HID : H5Fopen(path, H5F_ACC_RDONLY, access);
    H5_CHECK_DONE(file->id >= 0, file, "open", "the file");
    *out = file;
    file = NULL;
done:
    if (access >= 0)
        H5Pclose(access);
    if (file)
        file_close(file);
    return status;
}

int h5_open(const char *path, struct h5_file **out)
{
    uint64_t n_bytes;
    *out = NULL;
    TRY(check_superblock(path, &n_bytes));
    h5_lock();
    int status = open_checked(path, n_bytes, out);
    h5_unlock();
    return status;
}

int h5_close(struct h5_file **file)
{
    if (!*file)
        return OK;
    h5_lock();
    int status = file_close(*file);
    h5_unlock();
    *file = NULL;
    return status;
}

const char *h5_path(const struct h5_file *file) { return file->path; }

/* ---- datasets ---- */

static struct h5_dataset *known(struct h5_file *file, const char *name)
{
    for (int i = 0; i < file->n_datasets; i++)
        if (strcmp(file->dataset[i].name, name) == 0)
            return &file->dataset[i];
    return NULL;
}

/* Takes id over, also when it fails. */
static int remember(struct h5_file *file, const char *name, hid_t id, enum h5_type type, uint64_t n_elems)
{
    struct h5_dataset *grown = realloc(file->dataset, ((size_t)file->n_datasets + 1) * sizeof *grown);
    char *copy = strdup(name);
    if (grown)
        file->dataset = grown;
    if (!grown || !copy) {
        free(copy);
        H5Dclose(id);
        return FAIL("out of memory for dataset %s of %s", name, file->path);
    }
    grown[file->n_datasets++] = (struct h5_dataset){copy, id, type, n_elems, 0};
    return OK;
}

/* Fill value written never: an extent only grows by what is written. */
static hid_t creation_list(enum h5_type type)
{
    hsize_t chunk = H5_CHUNK_BYTES / h5_type_bytes(type);
    hid_t list = timeless(H5P_DATASET_CREATE);
    if (list >= 0 && (H5Pset_chunk(list, 1, &chunk) < 0 || H5Pset_fletcher32(list) < 0 || H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) < 0)) {
        H5Pclose(list);
        return H5I_INVALID_HID;
    }
    return list;
}

/* The groups in front of the dataset's own name. */
static int groups_create(struct h5_file *file, const char *name)
{
    int status = OK;
    char part[256];
    hid_t creation = timeless(H5P_GROUP_CREATE), id = H5I_INVALID_HID;
    H5_CHECK_DONE(creation >= 0, file, "create the groups of", name);
    for (const char *slash = strchr(name + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - name), name);
        if (H5Lexists(file->id, part, H5P_DEFAULT) > 0)
            continue;
        id = H5Gcreate2(file->id, part, H5P_DEFAULT, creation, H5P_DEFAULT);
        H5_CHECK_DONE(id >= 0, file, "create the groups of", name);
        H5Gclose(id);
    }
done:
    if (creation >= 0)
        H5Pclose(creation);
    return status;
}

static int dataset_create(struct h5_file *file, const char *name, enum h5_type type)
{
    int status = OK;
    hsize_t none = 0, unlimited = H5S_UNLIMITED;
    hid_t id = H5I_INVALID_HID, space = H5Screate_simple(1, &none, &unlimited), creation = creation_list(type);
    CHECK_DONE(file->writing, "%s: dataset %s cannot be made, the file is open for reading", file->path, name);
    TRY_DONE(groups_create(file, name));
    H5_CHECK_DONE(space >= 0 && creation >= 0, file, "create dataset", name);
    id = H5Dcreate2(file->id, name, h5_file_type(type), space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5_CHECK_DONE(id >= 0, file, "create dataset", name);
    TRY_DONE(remember(file, name, id, type, 0));
done:
    if (space >= 0)
        H5Sclose(space);
    if (creation >= 0)
        H5Pclose(creation);
    return status;
}

int h5_dataset_create(struct h5_file *file, const char *name, enum h5_type type)
{
    h5_lock();
    int status = dataset_create(file, name, type);
    h5_unlock();
    return status;
}

enum direction { READ, WRITE };

/* Elements [first, first + n) of the dataset, whose extent holds them. */
static bool transfer(const struct h5_dataset *d, uint64_t first, uint64_t n, void *elems, enum direction direction)
{
    hsize_t start = first, count = n;
    hid_t type = h5_memory_type(d->type), file_space = H5Dget_space(d->id), memory_space = H5Screate_simple(1, &count, NULL);
    bool done = file_space >= 0 && memory_space >= 0 && H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, NULL, &count, NULL) >= 0;
    if (done && direction == READ)
        done = H5Dread(d->id, type, memory_space, file_space, H5P_DEFAULT, elems) >= 0;
    else if (done)
        done = H5Dwrite(d->id, type, memory_space, file_space, H5P_DEFAULT, elems) >= 0;
    /* The next call into HDF5 clears the reason of a failure, which h5_fail still reads: then the two small spaces are given up. */
    if (done) {
        H5Sclose(file_space);
        H5Sclose(memory_space);
    }
    return done;
}

static int append(struct h5_file *file, const char *name, const void *elems, uint64_t n)
{
    struct h5_dataset *d = known(file, name);
    CHECK(d && file->writing, "%s has no dataset %s to write to", file->path, name);
    if (n == 0)
        return OK;
    hsize_t extent = d->n_elems + n;
    H5_CHECK(H5Dset_extent(d->id, &extent) >= 0, file, "extend", name);
    H5_CHECK(transfer(d, d->n_elems, n, (void *)(uintptr_t)elems, WRITE), file, "write", name);
    d->n_elems = extent;
    return OK;
}

int h5_append(struct h5_file *file, const char *name, const void *elems, uint64_t n_elems)
{
    h5_lock();
    int status = append(file, name, elems, n_elems);
    h5_unlock();
    return status;
}

/* Every part of the path is a hard link: a soft or external one could lead out of the file. */
static bool linked(struct h5_file *file, const char *name)
{
    char part[256];
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof part || name[0] != '/')
        return false;
    for (size_t i = 1; i <= n; i++) {
        H5L_info_t info;
        if (name[i] != '/' && name[i] != 0)
            continue;
        memcpy(part, name, i);
        part[i] = 0;
        if (H5Lexists(file->id, part, H5P_DEFAULT) <= 0 || H5Lget_info(file->id, part, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD)
            return false;
    }
    return true;
}

bool h5_has(struct h5_file *file, const char *name)
{
    h5_lock();
    bool has = known(file, name) || linked(file, name);
    H5Eclear2(H5E_DEFAULT);
    h5_unlock();
    return has;
}

static int check_type(const struct h5_file *file, const char *name, hid_t id, enum h5_type type)
{
    hid_t stored = H5Dget_type(id);
    H5_CHECK(stored >= 0, file, "read the type of", name);
    htri_t equal = H5Tequal(stored, h5_file_type(type));
    H5Tclose(stored);
    CHECK(equal > 0, "%s: dataset %s has another element type than %s: it was not written by this program, or is damaged", file->path, name, type_name(type));
    return OK;
}

static int check_shape(const struct h5_file *file, const char *name, hid_t id, enum h5_type type, uint64_t *n_elems)
{
    hsize_t n = 0;
    hid_t space = H5Dget_space(id);
    H5_CHECK(space >= 0, file, "read the extent of", name);
    bool flat = H5Sget_simple_extent_type(space) == H5S_SIMPLE && H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_dims(space, &n, NULL) == 1;
    H5Sclose(space);
    CHECK(flat, "%s: dataset %s is not a flat list of numbers", file->path, name);
    CHECK(n <= file->n_bytes / h5_type_bytes(type), "%s: dataset %s claims %llu elements, more than the file's %llu bytes hold: the file is damaged",
          file->path, name, (unsigned long long)n, (unsigned long long)file->n_bytes);
    *n_elems = n;
    return OK;
}

/* Only what stores elements as they are, in this file: so a file's size bounds what a reader must allocate. */
static bool plain_storage(hid_t creation)
{
    hsize_t chunk = 0;
    H5D_layout_t layout = H5Pget_layout(creation);
    if (layout == H5D_CHUNKED && (H5Pget_chunk(creation, 1, &chunk) != 1 || chunk > 64 << 20))
        return false;
    bool plain = (layout == H5D_CHUNKED || layout == H5D_CONTIGUOUS || layout == H5D_COMPACT) && H5Pget_external_count(creation) == 0;
    int n = H5Pget_nfilters(creation);
    for (int i = 0; plain && i < n; i++) {
        unsigned flags, config;
        size_t n_values = 0;
        plain = H5Pget_filter2(creation, (unsigned)i, &flags, &n_values, NULL, 0, NULL, &config) == H5Z_FILTER_FLETCHER32;
    }
    return plain && n >= 0;
}

static int check_storage(const struct h5_file *file, const char *name, hid_t id)
{
    hid_t creation = H5Dget_create_plist(id);
    H5_CHECK(creation >= 0, file, "read the layout of", name);
    bool plain = plain_storage(creation);
    H5Pclose(creation);
    CHECK(plain, "%s: dataset %s is compressed or stored outside the file; only plain chunks with Fletcher32 are read", file->path, name);
    return OK;
}

static int find_chunks(const struct h5_file *file, struct h5_dataset *d)
{
    hid_t creation = H5Dget_create_plist(d->id);
    H5_CHECK(creation >= 0, file, "read the layout of", d->name);
    d->chunk_elems = h5_chunk_elems(d, creation);
    H5Pclose(creation);
    return OK;
}

static int dataset_open(struct h5_file *file, const char *name, enum h5_type type, struct h5_dataset **out)
{
    uint64_t n_elems = 0;
    *out = known(file, name);
    if (*out) {
        CHECK((*out)->type == type, "%s: dataset %s holds %s, not %s", file->path, name, type_name((*out)->type), type_name(type));
        return OK;
    }
    CHECK(linked(file, name), "%s has no dataset %s", file->path, name);
    hid_t id = H5Dopen2(file->id, name, H5P_DEFAULT);
    H5_CHECK(id >= 0, file, "open dataset", name);
    int status = check_type(file, name, id, type);
    if (status == OK)
        status = check_shape(file, name, id, type, &n_elems);
    if (status == OK)
        status = check_storage(file, name, id);
    if (status != OK) {
        H5Dclose(id);
        return status;
    }
    TRY(remember(file, name, id, type, n_elems));
    *out = known(file, name);
    return find_chunks(file, *out);
}

static int extent(struct h5_file *file, const char *name, enum h5_type type, uint64_t *n_elems)
{
    struct h5_dataset *d;
    TRY(dataset_open(file, name, type, &d));
    *n_elems = d->n_elems;
    return OK;
}

int h5_extent(struct h5_file *file, const char *name, enum h5_type type, uint64_t *n_elems)
{
    h5_lock();
    int status = extent(file, name, type, n_elems);
    h5_unlock();
    return status;
}

static int read_range(struct h5_file *file, const char *name, enum h5_type type, uint64_t first, uint64_t n, void *out)
{
    struct h5_dataset *d;
    TRY(dataset_open(file, name, type, &d));
    CHECK(first <= d->n_elems && n <= d->n_elems - first, "%s: elements %llu to %llu of dataset %s are asked for, it has %llu", file->path,
          (unsigned long long)first, (unsigned long long)(first + n), name, (unsigned long long)d->n_elems);
    if (n > 0 && d->chunk_elems > 0)
        return h5_chunks_read(file, d, first, n, out);
    if (n > 0)
        H5_CHECK(transfer(d, first, n, out, READ), file, "read", name);
    return OK;
}

int h5_read(struct h5_file *file, const char *name, enum h5_type type, uint64_t first, uint64_t n_elems, void *out)
{
    h5_lock();
    int status = read_range(file, name, type, first, n_elems, out);
    h5_unlock();
    return status;
}

int h5_read_all(struct h5_file *file, const char *name, enum h5_type type, void **out, uint64_t *n_elems)
{
    TRY(h5_extent(file, name, type, n_elems));
    void *elems = malloc(*n_elems * h5_type_bytes(type) + 1);
    CHECK(elems, "out of memory for the %llu elements of dataset %s of %s", (unsigned long long)*n_elems, name, file->path);
    int status = h5_read(file, name, type, 0, *n_elems, elems);
    if (status != OK)
        free(elems);
    else
        *out = elems;
    return status;
}
