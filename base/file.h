/* file: whole files, folders, and writes that are there or not there. Failures name the path and the system's reason. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Malloc'd bytes with a 0 behind them; the caller frees. */
int file_read(const char *path, char **bytes, size_t *n_bytes);
/* Writes path.tmp, fsyncs, renames over path, fsyncs the folder: path holds the old bytes or the new ones, never a part. */
int file_write_atomic(const char *path, const void *bytes, size_t n_bytes);
/* A finished file under a temporary name (tmp is in path's folder): fsync, rename over path, fsync the folder. */
int file_publish(const char *tmp, const char *path);
int file_sync(const char *path);
bool file_exists(const char *path);
bool file_is_folder(const char *path);
int file_size(const char *path, uint64_t *n_bytes);
int file_remove(const char *path);              /* no file is no failure */
int file_copy(const char *from, const char *to);

/* A read-only mapping. An empty file maps to NULL, 0. */
struct file_map { const unsigned char *bytes; size_t n_bytes; };
int file_map_open(const char *path, struct file_map *map);
void file_map_close(struct file_map *map);

int dir_make(const char *path);                 /* and its parents; an existing folder is no failure */
int dir_sync(const char *path);
int dir_remove(const char *path);               /* with all that is in it */
/* Names in a folder, sorted, without . and .. ; the caller frees with dir_list_free. */
struct dir_list { char **name; int n; };
int dir_list(const char *path, struct dir_list *out);
void dir_list_free(struct dir_list *list);

/* dir/name into out (name alone when dir is ""). FAILED when it does not fit. */
int path_join(char *out, size_t size, const char *dir, const char *name);

#endif
