/* serve_queue: see serve_queue.h. */
#include "launch/serve_queue.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/status.h"
#include "launch/progress.h"

struct serve_queue {
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct serve_item *first, **end;
    int64_t n, max_waiting;
    bool closed;
};

int serve_queue_create(int64_t max_waiting, struct serve_queue **out)
{
    pthread_condattr_t steady;
    struct serve_queue *q = calloc(1, sizeof *q);
    CHECK(q, "out of memory for the queue");
    q->max_waiting = max_waiting;
    q->end = &q->first;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&q->came, &steady);
    pthread_condattr_destroy(&steady);
    *out = q;
    return OK;
}

static void append(struct serve_queue *q, struct serve_request *r)
{
    for (int64_t i = 0; i < r->n_items; i++) {
        if (!r->item[i].text)
            continue;
        *q->end = &r->item[i];
        q->end = &r->item[i].next;
        q->n++;
    }
}

enum serve_queue_state serve_queue_put(struct serve_queue *q, struct serve_request *r)
{
    ASSERT(r->n_left > 0);
    pthread_mutex_lock(&q->lock);
    enum serve_queue_state state = q->closed ? SERVE_CLOSED : q->n >= q->max_waiting ? SERVE_FULL : SERVE_QUEUED;
    if (state == SERVE_QUEUED) {
        r->put_s = clock_s();
        append(q, r);
        pthread_cond_signal(&q->came);
    }
    pthread_mutex_unlock(&q->lock);
    return state;
}

struct serve_item *serve_queue_take(struct serve_queue *q, int64_t n)
{
    pthread_mutex_lock(&q->lock);
    struct serve_item *list = n > 0 ? q->first : NULL, *last = NULL;
    for (int64_t i = 0; i < n && q->first; i++) {
        last = q->first;
        q->first = last->next;
        q->n--;
    }
    if (last)
        last->next = NULL;
    if (!q->first)
        q->end = &q->first;
    pthread_mutex_unlock(&q->lock);
    return list;
}

void serve_queue_wait(struct serve_queue *q, double seconds)
{
    double whole, part = modf(clock_s() + seconds, &whole);
    struct timespec until = {(time_t)whole, (long)(part * 1e9)};
    pthread_mutex_lock(&q->lock);
    for (int expired = 0; !q->first && !expired;)
        expired = pthread_cond_timedwait(&q->came, &q->lock, &until);
    pthread_mutex_unlock(&q->lock);
}

void serve_queue_close(struct serve_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_mutex_unlock(&q->lock);
}

void serve_queue_drop(struct serve_queue *q)
{
    serve_queue_close(q);
    for (struct serve_item *item; (item = serve_queue_take(q, 1));)
        serve_item_drop(item);
}

bool serve_queue_is_closed(struct serve_queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

int64_t serve_queue_length(struct serve_queue *q)
{
    pthread_mutex_lock(&q->lock);
    int64_t n = q->n;
    pthread_mutex_unlock(&q->lock);
    return n;
}

void serve_queue_destroy(struct serve_queue **out)
{
    struct serve_queue *q = *out;
    if (!q)
        return;
    ASSERT(!q->first);
    pthread_cond_destroy(&q->came);
    pthread_mutex_destroy(&q->lock);
    free(q);
    *out = NULL;
}
