/* h5: the HDF5 files of the project: few flat 1-D datasets of unlimited extent, chunks of 16 KiB, Fletcher32; attributes on the root.
 * The only place that knows HDF5. All calls go through one process-wide lock, so any thread may call; a file itself may be shared by
 * threads that read. Library bounds V110: metadata is checksummed, and files with an older superblock are refused before HDF5 sees them.
 * File locking is off. Names are absolute paths such as "/token/prompt"; groups are made on the way. */
#ifndef BASE_H5_H
#define BASE_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum h5_type { H5_U8, H5_U32, H5_U64, H5_F32, H5_F64 };
enum { H5_CHUNK_BYTES = 16 << 10, H5_ATTR_MAX_BYTES = 4096 };

size_t h5_type_bytes(enum h5_type type);

struct h5_file;

/* Writing: a new file (an old one of that name is replaced). Make it under NAME.tmp, h5_close, then file_publish. */
int h5_create(const char *path, struct h5_file **out);
/* Reading. FAILED when it is no HDF5 file, an old format, cut off or damaged. */
int h5_open(const char *path, struct h5_file **out);
/* Closes and clears the pointer; FAILED when what was written could not be (disk full). NULL is no failure. */
int h5_close(struct h5_file **file);
const char *h5_path(const struct h5_file *file);

int h5_dataset_create(struct h5_file *file, const char *name, enum h5_type type);
/* Adds n_elems of the dataset's own type at its end. */
int h5_append(struct h5_file *file, const char *name, const void *elems, uint64_t n_elems);

bool h5_has(struct h5_file *file, const char *name);
/* Number of elements. FAILED when it is missing, not 1-D, of another type than `type` (class, size and sign must be equal),
 * filtered by anything but Fletcher32, stored outside the file, or says it is larger than the file. */
int h5_extent(struct h5_file *file, const char *name, enum h5_type type, uint64_t *n_elems);
/* Elements [first, first + n_elems). FAILED as above, out of bounds, or when a checksum does not match. */
int h5_read(struct h5_file *file, const char *name, enum h5_type type, uint64_t first, uint64_t n_elems, void *out);
/* The whole dataset in malloc'd memory (never NULL on success); the caller frees. */
int h5_read_all(struct h5_file *file, const char *name, enum h5_type type, void **out, uint64_t *n_elems);

/* Attributes of the root: fixed-length UTF-8 strings, u64, lists of u32. At most 4 KiB each. A name is written once.
 * Getters FAIL when it is missing, of another type, or longer than the room given. */
int h5_attr_put_text(struct h5_file *file, const char *name, const char *text);
int h5_attr_put_u64(struct h5_file *file, const char *name, uint64_t value);
int h5_attr_put_u32s(struct h5_file *file, const char *name, const uint32_t *elems, size_t n_elems);
bool h5_attr_has(struct h5_file *file, const char *name);
int h5_attr_get_text(struct h5_file *file, const char *name, char *out, size_t size);
int h5_attr_get_u64(struct h5_file *file, const char *name, uint64_t *out);
int h5_attr_get_u32s(struct h5_file *file, const char *name, uint32_t *out, size_t max_elems, size_t *n_elems);

#endif
