/* h5_internal: what h5.c and h5_attr.c share. Everything here is called with the lock held. */
#ifndef BASE_H5_INTERNAL_H
#define BASE_H5_INTERNAL_H

#include <hdf5.h>

#include "base/h5.h"

/* A dataset once opened stays open until the file closes. chunk_elems: 0 where only HDF5 itself reads it. */
struct h5_dataset { char *name; hid_t id; enum h5_type type; uint64_t n_elems, chunk_elems; };

struct h5_file {
    hid_t id;
    char *path;
    uint64_t n_bytes;           /* of the file, when it was opened for reading */
    bool writing;
    struct h5_dataset *dataset;
    int n_datasets;
    void *chunk;                /* room for one, with its checksum */
    size_t n_chunk_bytes;
};

/* HDF5's library is one resource of the process: its lock, and its error stack (per thread) kept off stderr. */
void h5_lock(void);
void h5_unlock(void);

/* FAILED with a sentence made of the file, the dataset or attribute, and the reason HDF5 gives; a checksum that does not match is said as such. */
int h5_fail(const struct h5_file *file, const char *doing, const char *name);

#define H5_CHECK(cond, file, doing, name) do { if (!(cond)) return h5_fail(file, doing, name); } while (0)
#define H5_CHECK_DONE(cond, file, doing, name) do { if (!(cond)) { status = h5_fail(file, doing, name); goto done; } } while (0)

hid_t h5_file_type(enum h5_type type);      /* little-endian, as stored */
hid_t h5_memory_type(enum h5_type type);

/* Elements of a chunk where h5_chunks_read may be used: chunks with Fletcher32 and nothing else, numbers as this machine has them; else 0. */
size_t h5_chunk_elems(const struct h5_dataset *dataset, hid_t creation);
/* Elements [first, first + n), which the dataset holds. */
int h5_chunks_read(struct h5_file *file, const struct h5_dataset *dataset, uint64_t first, uint64_t n, void *out);

#endif
