/* pool: tasks are drawn from one counter. Workers spin for a moment before they sleep: operations follow one another closely. */
#include "kernels/cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/status.h"

enum { SPINS = 4000 };

struct worker { struct pool *pool; int thread; };

struct pool {
    int n_workers;
    struct worker *self;                /* what each worker is given */
    pthread_t *worker;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint_fast64_t round;         /* grows by one for each run */
    atomic_int busy;                    /* workers that have not finished the round */
    atomic_bool closing;
    atomic_int_fast64_t next;
    pool_fn fn;
    void *context;
    int64_t n_tasks;
};

static void draw(struct pool *p, int thread)
{
    int64_t task;
    while ((task = atomic_fetch_add(&p->next, 1)) < p->n_tasks)
        p->fn(p->context, task, thread);
}

static void pause_briefly(void) { __builtin_ia32_pause(); }

static void await_round(struct pool *p, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load(&p->round) != seen)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->round) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *context)
{
    const struct worker *self = context;
    struct pool *p = self->pool;
    for (uint64_t seen = 0;; seen++) {
        await_round(p, seen);
        if (atomic_load(&p->closing))
            return NULL;
        draw(p, self->thread);
        atomic_fetch_sub(&p->busy, 1);
    }
}

static void next_round(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->round, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

int pool_create(int n_threads, struct pool **out)
{
    struct pool *p = calloc(1, sizeof *p);
    CHECK(p, "out of memory for the thread pool");
    p->worker = calloc((size_t)n_threads, sizeof *p->worker);
    p->self = calloc((size_t)n_threads, sizeof *p->self);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    *out = p;
    for (int i = 0; p->worker && p->self && i < n_threads - 1; i++, p->n_workers++) {
        p->self[i] = (struct worker){p, i + 1};
        if (pthread_create(&p->worker[i], NULL, work, &p->self[i]) != 0)
            break;
    }
    if (p->worker && p->self && p->n_workers == n_threads - 1)
        return OK;
    pool_destroy(out);
    return FAIL("cannot start %d threads: lower device.threads", n_threads);
}

void pool_destroy(struct pool **out)
{
    struct pool *p = *out;
    if (!p)
        return;
    atomic_store(&p->closing, true);
    next_round(p);
    for (int i = 0; i < p->n_workers; i++)
        pthread_join(p->worker[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free(p->worker);
    free(p->self);
    free(p);
    *out = NULL;
}

int pool_threads(const struct pool *p) { return p->n_workers + 1; }

void pool_run(struct pool *p, pool_fn fn, void *context, int64_t n_tasks)
{
    if (p->n_workers == 0 || n_tasks <= 1) {
        for (int64_t i = 0; i < n_tasks; i++)
            fn(context, i, 0);
        return;
    }
    p->fn = fn;
    p->context = context;
    p->n_tasks = n_tasks;
    atomic_store(&p->next, 0);
    atomic_store(&p->busy, p->n_workers);
    next_round(p);
    draw(p, 0);
    for (int i = 0; atomic_load(&p->busy) > 0; i++)
        if (i < SPINS)
            pause_briefly();
        else
            sched_yield();
}
