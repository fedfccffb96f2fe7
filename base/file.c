/* file: POSIX calls with sentences. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

int file_read(const char *path, char **bytes, size_t *n_bytes)
{
    int status = OK;
    char *all = NULL;
    struct stat st;
    FILE *file = fopen(path, "rb");
    CHECK(file, "cannot open %s: %s", path, strerror(errno));
    CHECK_DONE(fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode), "%s is not a file that can be read", path);
    all = malloc((size_t)st.st_size + 1);
    CHECK_DONE(all, "out of memory for the %lld bytes of %s", (long long)st.st_size, path);
    CHECK_DONE(fread(all, 1, (size_t)st.st_size, file) == (size_t)st.st_size, "cannot read %s: %s", path, strerror(errno));
    all[st.st_size] = 0;
    *bytes = all;
    *n_bytes = (size_t)st.st_size;
    all = NULL;
done:
    free(all);
    fclose(file);
    return status;
}

static int write_all(int fd, const char *path, const char *bytes, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = write(fd, bytes, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        CHECK(n >= 0, "cannot write %s: %s", path, strerror(errno));
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return OK;
}

static void parent_of(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    char *slash = strrchr(out, '/');
    if (!slash)
        snprintf(out, size, ".");
    else if (slash == out)
        out[1] = 0;
    else
        *slash = 0;
}

int file_write_atomic(const char *path, const void *bytes, size_t n_bytes)
{
    int status = OK;
    char tmp[4096], parent[4096];
    CHECK((size_t)snprintf(tmp, sizeof tmp, "%s.tmp", path) < sizeof tmp, "the path %s is too long", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0, "cannot write %s: %s", tmp, strerror(errno));
    TRY_DONE(write_all(fd, tmp, bytes, n_bytes));
    CHECK_DONE(fsync(fd) == 0, "cannot write %s: %s", tmp, strerror(errno));
done:
    if (close(fd) != 0 && status == OK)
        status = FAIL("cannot write %s: %s", tmp, strerror(errno));
    if (status == OK && rename(tmp, path) != 0)
        status = FAIL("cannot rename %s to %s: %s", tmp, path, strerror(errno));
    if (status != OK) {
        unlink(tmp);
        return status;
    }
    parent_of(path, parent, sizeof parent);
    return dir_sync(parent);
}

int file_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0, "cannot open %s: %s", path, strerror(errno));
    int failed = fsync(fd), why = errno;
    close(fd);
    CHECK(failed == 0, "cannot write %s to its disk: %s", path, strerror(why));
    return OK;
}

int file_publish(const char *tmp, const char *path)
{
    char parent[4096];
    TRY(file_sync(tmp));
    CHECK(rename(tmp, path) == 0, "cannot rename %s to %s: %s", tmp, path, strerror(errno));
    parent_of(path, parent, sizeof parent);
    return dir_sync(parent);
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int file_size(const char *path, uint64_t *n_bytes)
{
    struct stat st;
    CHECK(stat(path, &st) == 0, "cannot find %s: %s", path, strerror(errno));
    *n_bytes = (uint64_t)st.st_size;
    return OK;
}

int file_remove(const char *path)
{
    CHECK(unlink(path) == 0 || errno == ENOENT, "cannot remove %s: %s", path, strerror(errno));
    return OK;
}

int file_copy(const char *from, const char *to)
{
    char *bytes;
    size_t n_bytes;
    TRY(file_read(from, &bytes, &n_bytes));
    int status = file_write_atomic(to, bytes, n_bytes);
    free(bytes);
    return status;
}

int file_map_open(const char *path, struct file_map *map)
{
    int status = OK;
    struct stat st;
    *map = (struct file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0, "cannot open %s: %s", path, strerror(errno));
    CHECK_DONE(fstat(fd, &st) == 0 && S_ISREG(st.st_mode), "%s is not a file that can be read", path);
    if (st.st_size > 0) {
        void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK_DONE(at != MAP_FAILED, "cannot map %s: %s", path, strerror(errno));
        *map = (struct file_map){at, (size_t)st.st_size};
    }
done:
    close(fd);
    return status;
}

void file_map_close(struct file_map *map)
{
    if (map->bytes)
        munmap((void *)(uintptr_t)map->bytes, map->n_bytes);
    *map = (struct file_map){0};
}

int dir_make(const char *path)
{
    char at[4096];
    CHECK((size_t)snprintf(at, sizeof at, "%s", path) < sizeof at, "the path %s is too long", path);
    for (char *p = at + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        CHECK(mkdir(at, 0755) == 0 || errno == EEXIST, "cannot make the folder %s: %s", at, strerror(errno));
        *p = '/';
    }
    CHECK(mkdir(at, 0755) == 0 || errno == EEXIST, "cannot make the folder %s: %s", at, strerror(errno));
    return OK;
}

int dir_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0, "cannot open the folder %s: %s", path, strerror(errno));
    int failed = fsync(fd);
    int why = errno;
    close(fd);
    CHECK(failed == 0 || why == EINVAL, "cannot sync the folder %s: %s", path, strerror(why));
    return OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int list_add(struct dir_list *list, const char *name)
{
    char **grown = realloc(list->name, ((size_t)list->n + 1) * sizeof *grown);
    CHECK(grown, "out of memory for a list of files");
    list->name = grown;
    list->name[list->n] = strdup(name);
    CHECK(list->name[list->n], "out of memory for a list of files");
    list->n++;
    return OK;
}

int dir_list(const char *path, struct dir_list *out)
{
    int status = OK;
    *out = (struct dir_list){0};
    DIR *dir = opendir(path);
    CHECK(dir, "cannot open the folder %s: %s", path, strerror(errno));
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            TRY_DONE(list_add(out, e->d_name));
    if (out->n > 0)
        qsort(out->name, (size_t)out->n, sizeof *out->name, by_name);
done:
    closedir(dir);
    if (status != OK)
        dir_list_free(out);
    return status;
}

void dir_list_free(struct dir_list *list)
{
    for (int i = 0; i < list->n; i++)
        free(list->name[i]);
    free(list->name);
    *list = (struct dir_list){0};
}

static int remove_entry(const char *path)
{
    struct stat st;
    CHECK(lstat(path, &st) == 0, "cannot find %s: %s", path, strerror(errno));
    return S_ISDIR(st.st_mode) ? dir_remove(path) : file_remove(path);
}

int dir_remove(const char *path)
{
    int status = OK;
    struct dir_list list;
    char child[4096];
    TRY(dir_list(path, &list));
    for (int i = 0; i < list.n; i++) {
        TRY_DONE(path_join(child, sizeof child, path, list.name[i]));
        TRY_DONE(remove_entry(child));
    }
    CHECK_DONE(rmdir(path) == 0, "cannot remove the folder %s: %s", path, strerror(errno));
done:
    dir_list_free(&list);
    return status;
}

int path_join(char *out, size_t size, const char *dir, const char *name)
{
    const char *slash = *dir ? "/" : "";
    CHECK((size_t)snprintf(out, size, "%s%s%s", dir, slash, name) < size, "the path %s/%s is too long", dir, name);
    return OK;
}
