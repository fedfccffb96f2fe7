/* serve_queue: items that wait to be scored, between the threads that speak HTTP and the one that computes: first come, first served, across requests.
 *
 *   an HTTP thread     serve_request_parse, serve_queue_put: the request is the queue's from then on
 *   the engine         serve_queue_take, then serve_item_answer or serve_item_drop of each: the last one calls the request's `ready`, and the request is the HTTP thread's again
 */
#ifndef LAUNCH_SERVE_QUEUE_H
#define LAUNCH_SERVE_QUEUE_H

#include "launch/serve_request.h"

enum serve_queue_state { SERVE_QUEUED, SERVE_FULL, SERVE_CLOSED };

struct serve_queue;
/* Full while max_waiting items wait; a request that finds fewer is taken whole. */
int serve_queue_create(int64_t max_waiting, struct serve_queue **out);
void serve_queue_destroy(struct serve_queue **queue);       /* nothing waits */

/* The request's items without an answer, of which it has some. */
enum serve_queue_state serve_queue_put(struct serve_queue *queue, struct serve_request *request);
/* At most n items, as a list in their order; NULL: none waits. */
struct serve_item *serve_queue_take(struct serve_queue *queue, int64_t n);
/* Returns when an item waits, at the latest after that time. */
void serve_queue_wait(struct serve_queue *queue, double seconds);
/* Nothing more is taken in; drop: and what waits is dropped. */
void serve_queue_close(struct serve_queue *queue);
void serve_queue_drop(struct serve_queue *queue);
bool serve_queue_is_closed(struct serve_queue *queue);
int64_t serve_queue_length(struct serve_queue *queue);

#endif
