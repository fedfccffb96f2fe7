/* checkpoint_dir: see checkpoint_dir.h; and the calls of checkpoint.h that only look at folders. */
#include "trainer/ckpt/checkpoint_dir.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "comm/agree.h"
#include "trainer/ckpt/checkpoint.h"

int checkpoint_dir_of(const char *run, int64_t step, char *out, size_t size)
{
    CHECK((size_t)snprintf(out, size, "%s/checkpoints/step_%08" PRId64, run, step) < size, "the path %s is too long", run);
    return OK;
}

/* ---- attempt ---- */

static int draw_attempt(const char *run, char attempt[ATTEMPT_SIZE])
{
    uint64_t id;
    char path[1100];
    CHECK(getrandom(&id, sizeof id, 0) == (ssize_t)sizeof id, "the system gave no random number");
    hash_to_hex(id, attempt);
    TRY(dir_make(run));
    TRY(path_join(path, sizeof path, run, "attempt"));
    return file_write_atomic(path, attempt, ATTEMPT_SIZE - 1);
}

int checkpoint_begin(const char *run, struct comm *world, char attempt[ATTEMPT_SIZE])
{
    memset(attempt, 0, ATTEMPT_SIZE);
    TRY(agree_status(world, world->rank == 0 ? draw_attempt(run, attempt) : OK));
    return broadcast(world, attempt, ATTEMPT_SIZE, COMM_U8, 0, NULL);
}

int checkpoint_dir_check_attempt(const char *run, const char *attempt)
{
    char path[1100], *text;
    size_t n;
    TRY(path_join(path, sizeof path, run, "attempt"));
    TRY(file_read(path, &text, &n));
    bool same = n == strlen(attempt) && memcmp(text, attempt, n) == 0;
    free(text);
    CHECK(same, "%s was started again by another program: this one stops without writing its checkpoint", run);
    return OK;
}

bool checkpoint_dir_names(const char *dir, const char *attempt)
{
    char path[1100], *text;
    size_t n;
    if (path_join(path, sizeof path, dir, "manifest.json") != OK || !file_exists(path) || file_read(path, &text, &n) != OK)
        return false;
    bool found = strstr(text, attempt) != NULL;
    free(text);
    return found;
}

/* "rank_00003.<attempt>.safetensors" of another attempt? */
static bool is_foreign(const char *name, const char *attempt)
{
    const char *end = ".safetensors";
    size_t n = strlen(name);
    return strncmp(name, "rank_", 5) == 0 && n > strlen(end) && strcmp(name + n - strlen(end), end) == 0 && !strstr(name, attempt);
}

int checkpoint_dir_tidy(const char *dir, const char *attempt)
{
    int status = OK;
    struct dir_list list;
    TRY(dir_list(dir, &list));
    for (int i = 0; i < list.n; i++) {
        char path[1200];
        if (!is_foreign(list.name[i], attempt))
            continue;
        TRY_DONE(path_join(path, sizeof path, dir, list.name[i]));
        TRY_DONE(file_remove(path));
    }
done:
    dir_list_free(&list);
    return status;
}

/* ---- which there are ---- */

static int64_t step_of(const char *name)
{
    if (strncmp(name, "step_", 5) != 0 || strlen(name) < 13 || strlen(name) > 20 || strspn(name + 5, "0123456789") != strlen(name + 5))
        return -1;
    return strtoll(name + 5, NULL, 10);
}

static bool is_complete(const char *run, int64_t step)
{
    char dir[1024], path[1100];
    return checkpoint_dir_of(run, step, dir, sizeof dir) == OK && path_join(path, sizeof path, dir, "manifest.json") == OK && file_exists(path);
}

static int by_step(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int checkpoint_dir_steps(const char *run, bool complete, int64_t **steps, int *n)
{
    char dir[1024];
    struct dir_list list;
    *steps = NULL;
    *n = 0;
    TRY(path_join(dir, sizeof dir, run, "checkpoints"));
    if (!file_exists(dir))
        return OK;
    TRY(dir_list(dir, &list));
    *steps = calloc((size_t)list.n + 1, sizeof **steps);
    for (int i = 0; *steps && i < list.n; i++)
        if (step_of(list.name[i]) >= 0 && is_complete(run, step_of(list.name[i])) == complete)
            (*steps)[(*n)++] = step_of(list.name[i]);
    dir_list_free(&list);
    CHECK(*steps, "out of memory for the list of checkpoints");
    qsort(*steps, (size_t)*n, sizeof **steps, by_step);
    return OK;
}

static int find_latest(const char *run, char *dir, size_t size, bool *found)
{
    int64_t *steps;
    int n;
    TRY(checkpoint_dir_steps(run, true, &steps, &n));
    *found = n > 0;
    int status = n > 0 ? checkpoint_dir_of(run, steps[n - 1], dir, size) : OK;
    free(steps);
    return status;
}

int checkpoint_find_latest(const char *run, struct comm *world, char *dir, size_t size, bool *found)
{
    uint8_t any = 0;
    memset(dir, 0, size);
    *found = false;
    TRY(agree_status(world, world->rank == 0 ? find_latest(run, dir, size, found) : OK));
    any = *found;
    TRY(broadcast(world, &any, 1, COMM_U8, 0, NULL));
    *found = any != 0;
    return broadcast(world, dir, (int64_t)size, COMM_U8, 0, NULL);
}

int checkpoint_resolve(const char *path, char *dir, size_t size)
{
    char manifest[1100];
    bool found;
    TRY(path_join(manifest, sizeof manifest, path, "manifest.json"));
    if (file_exists(manifest)) {
        CHECK((size_t)snprintf(dir, size, "%s", path) < size, "the path %s is too long", path);
        return OK;
    }
    TRY(find_latest(path, dir, size, &found));
    CHECK(found, "%s holds no complete checkpoint: give a run's folder or one of its checkpoints/step_... folders", path);
    return OK;
}

/* ---- removing ---- */

int checkpoint_dir_remove(const char *run, int64_t step)
{
    char dir[1024], path[1100];
    TRY(checkpoint_dir_of(run, step, dir, sizeof dir));
    TRY(path_join(path, sizeof path, dir, "manifest.json"));
    TRY(file_remove(path));
    TRY(dir_sync(dir));
    return dir_remove(dir);
}

static int prune(const char *run, int64_t keep)
{
    int status = OK, n, n_torn = 0;
    int64_t *steps = NULL, *torn = NULL;
    TRY(checkpoint_dir_steps(run, true, &steps, &n));
    TRY_DONE(checkpoint_dir_steps(run, false, &torn, &n_torn));
    for (int i = 0; keep > 0 && i < n - keep; i++)
        TRY_DONE(checkpoint_dir_remove(run, steps[i]));
    for (int i = 0; i < n_torn && n > 0; i++)
        if (torn[i] < steps[n - 1])
            TRY_DONE(checkpoint_dir_remove(run, torn[i]));
done:
    free(steps);
    free(torn);
    return status;
}

/* What cannot be removed (another program has it open on a network disk, an orphan still writes there) is tried again at the next save: no reason to end a run. */
int checkpoint_prune(const char *run, struct comm *world, int64_t keep)
{
    if (world->rank == 0 && prune(run, keep) != OK) {
        log_warn("%s; the run goes on", trace_sentence());
        trace_clear();
    }
    return world->ops->barrier(world);
}
