/* safetensors: reader by mmap and writer of Hugging Face's format: 8 bytes little-endian header length, JSON header, data.
 * A folder holds model.safetensors, or model.safetensors.index.json and the files it names. */
#ifndef BASE_SAFETENSORS_H
#define BASE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum st_type { ST_F32, ST_BF16, ST_F16 };
enum { ST_MAX_DIMS = 4, ST_MAX_NAME = 160 };

struct st_tensor {
    char name[ST_MAX_NAME];
    enum st_type type;
    int n_dims;
    int64_t shape[ST_MAX_DIMS];
    int64_t n_elems;
    const unsigned char *data;  /* in the mapped file */
    int file;                   /* index of its file in a folder */
};

struct safetensors;

int safetensors_open_file(const char *path, struct safetensors **out);
int safetensors_open_folder(const char *folder, struct safetensors **out);
/* From memory, which must outlive it; `where` names it in sentences. */
int safetensors_open_memory(const void *bytes, size_t n_bytes, const char *where, struct safetensors **out);
void safetensors_close(struct safetensors **st);

int safetensors_count(const struct safetensors *st);
const struct st_tensor *safetensors_at(const struct safetensors *st, int index);
/* NULL when there is none. */
const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name);
const char *safetensors_path(const struct safetensors *st, const struct st_tensor *tensor);

/* Elements [first, first + count) in row-major order, as float32. */
void st_read_f32(const struct st_tensor *tensor, int64_t first, int64_t count, float *out);

/* Writer: declare all tensors, then write them in declared order; fsync at close. */
struct st_writer;
int st_writer_create(const char *path, struct st_writer **out);
int st_writer_declare(struct st_writer *w, const char *name, enum st_type type, int n_dims, const int64_t *shape);
/* From float32; converted to the declared type (F32 or BF16). May be called several times per tensor until all its elements are written. */
int st_writer_put_f32(struct st_writer *w, const float *elems, int64_t n_elems);
/* fsync and close; FAILED unless all that was declared was written. On failure remove the file yourself. Frees the writer either way. */
int st_writer_close(struct st_writer **w);
void st_writer_abandon(struct st_writer **w);

#endif
