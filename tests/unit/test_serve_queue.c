#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "launch/progress.h"
#include "launch/serve_queue.h"

/* n items, the bad ones among them by a bit each. */
static void make_request(struct serve_request *r, int n, unsigned bad)
{
    char text[4096], *at = text + sprintf(text, "{\"items\": [");
    for (int i = 0; i < n; i++)
        at += sprintf(at, "%s%s", i > 0 ? "," : "", bad >> i & 1 ? "0" : "{\"prompt\": \"a\", \"response\": \"b\"}");
    strcpy(at, "]}");
    memset(r, 0, sizeof *r);
    assert_int_equal(serve_request_parse(text, strlen(text), r), OK);
}

static void expect(struct serve_item **list, struct serve_item *want)
{
    assert_ptr_equal(*list, want);
    *list = want->next;
}

static void answer_all(struct serve_item *list)
{
    for (struct serve_item *next; list; list = next) {
        next = list->next;
        serve_item_answer(list, strdup("{}"));
    }
}

static void items_come_in_order_across_requests(void **state)
{
    (void)state;
    struct serve_queue *q;
    struct serve_request a, b;
    assert_int_equal(serve_queue_create(10, &q), OK);
    make_request(&a, 3, 2);
    make_request(&b, 2, 0);
    assert_int_equal(serve_queue_put(q, &a), SERVE_QUEUED);
    assert_int_equal(serve_queue_put(q, &b), SERVE_QUEUED);
    assert_int_equal(serve_queue_length(q), 4);
    assert_null(serve_queue_take(q, 0));
    struct serve_item *first = serve_queue_take(q, 3), *list = first;
    expect(&list, &a.item[0]);
    expect(&list, &a.item[2]);
    expect(&list, &b.item[0]);
    assert_null(list);
    assert_int_equal(serve_queue_length(q), 1);
    answer_all(first);
    answer_all(serve_queue_take(q, 3));
    assert_null(serve_queue_take(q, 3));
    serve_request_free(&a);
    serve_request_free(&b);
    serve_queue_destroy(&q);
    assert_null(q);
}

static void a_full_queue_takes_no_request_and_a_request_that_finds_room_is_taken_whole(void **state)
{
    (void)state;
    struct serve_queue *q;
    struct serve_request a, b;
    assert_int_equal(serve_queue_create(2, &q), OK);
    make_request(&a, 1, 0);
    make_request(&b, 3, 0);
    assert_int_equal(serve_queue_put(q, &a), SERVE_QUEUED);
    assert_int_equal(serve_queue_put(q, &b), SERVE_QUEUED);
    struct serve_request c;
    make_request(&c, 1, 0);
    assert_int_equal(serve_queue_put(q, &c), SERVE_FULL);
    answer_all(serve_queue_take(q, 3));
    assert_int_equal(serve_queue_put(q, &c), SERVE_QUEUED);
    answer_all(serve_queue_take(q, 9));
    serve_request_free(&a);
    serve_request_free(&b);
    serve_request_free(&c);
    serve_queue_destroy(&q);
}

static void a_closed_queue_keeps_what_it_has_until_that_is_dropped(void **state)
{
    (void)state;
    struct serve_queue *q;
    struct serve_request a, b;
    assert_int_equal(serve_queue_create(10, &q), OK);
    make_request(&a, 2, 0);
    make_request(&b, 1, 0);
    assert_int_equal(serve_queue_put(q, &a), SERVE_QUEUED);
    assert_false(serve_queue_is_closed(q));
    serve_queue_close(q);
    assert_true(serve_queue_is_closed(q));
    assert_int_equal(serve_queue_put(q, &b), SERVE_CLOSED);
    answer_all(serve_queue_take(q, 1));
    serve_queue_drop(q);
    assert_int_equal(a.n_left, 0);
    assert_int_equal(a.n_dropped, 1);
    assert_int_equal(b.n_left, 1);
    serve_request_free(&a);
    serve_request_free(&b);
    serve_queue_destroy(&q);
}

static void waiting_ends_with_an_item_or_with_the_time(void **state)
{
    (void)state;
    struct serve_queue *q;
    struct serve_request a;
    assert_int_equal(serve_queue_create(10, &q), OK);
    double began_s = clock_s();
    serve_queue_wait(q, 0.05);
    assert_true(clock_s() - began_s >= 0.049);
    make_request(&a, 1, 0);
    assert_int_equal(serve_queue_put(q, &a), SERVE_QUEUED);
    began_s = clock_s();
    serve_queue_wait(q, 60.0);
    assert_true(clock_s() - began_s < 30.0);
    answer_all(serve_queue_take(q, 1));
    serve_request_free(&a);
    serve_queue_destroy(&q);
}

enum { PUTTERS = 8, REQUESTS = 200 };
struct putter { struct serve_queue *queue; pthread_t thread; int number; };
static atomic_int n_ready, n_freed;

static void count_ready(struct serve_request *r)
{
    atomic_fetch_add(&n_ready, 1);
    serve_request_free(r);
    free(r);
    atomic_fetch_add(&n_freed, 1);
}

static void *put_many(void *context)
{
    struct putter *p = context;
    for (int i = 0; i < REQUESTS; i++) {
        struct serve_request *r = malloc(sizeof *r);
        make_request(r, 1 + (i + p->number) % 5, i % 3 == 0 ? 2 : 0);
        r->ready = count_ready;
        while (serve_queue_put(p->queue, r) != SERVE_QUEUED)
            serve_queue_wait(p->queue, 0.0);
    }
    return NULL;
}

/* Under TSan and ASan this is the proof that a request is nobody's twice: it is freed by whoever answers its last item. */
static void many_threads_put_while_one_takes(void **state)
{
    (void)state;
    struct putter putter[PUTTERS];
    struct serve_queue *q;
    assert_int_equal(serve_queue_create(7, &q), OK);
    for (int i = 0; i < PUTTERS; i++) {
        putter[i] = (struct putter){.queue = q, .number = i};
        assert_int_equal(pthread_create(&putter[i].thread, NULL, put_many, &putter[i]), 0);
    }
    for (double until_s = clock_s() + 60.0; atomic_load(&n_ready) < PUTTERS * REQUESTS && clock_s() < until_s;) {
        serve_queue_wait(q, 0.01);
        answer_all(serve_queue_take(q, 4));
    }
    for (int i = 0; i < PUTTERS; i++)
        pthread_join(putter[i].thread, NULL);
    assert_int_equal(n_ready, PUTTERS * REQUESTS);
    assert_int_equal(n_freed, PUTTERS * REQUESTS);
    serve_queue_destroy(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order_across_requests),
        cmocka_unit_test(a_full_queue_takes_no_request_and_a_request_that_finds_room_is_taken_whole),
        cmocka_unit_test(a_closed_queue_keeps_what_it_has_until_that_is_dropped),
        cmocka_unit_test(waiting_ends_with_an_item_or_with_the_time),
        cmocka_unit_test(many_threads_put_while_one_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
