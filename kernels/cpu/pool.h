/* pool: the one thread pool of the process. The caller takes part; a run returns when all tasks are done. */
#ifndef KERNELS_CPU_POOL_H
#define KERNELS_CPU_POOL_H

#include <stdint.h>

struct pool;
/* thread: 0 .. pool_threads - 1, of the one that runs the task */
typedef void (*pool_fn)(void *context, int64_t task, int thread);

int pool_create(int n_threads, struct pool **out);
void pool_destroy(struct pool **pool);
int pool_threads(const struct pool *pool);

/* fn(context, task, thread) for tasks 0 .. n_tasks-1, each once, in any order, by any thread. */
void pool_run(struct pool *pool, pool_fn fn, void *context, int64_t n_tasks);

#endif
