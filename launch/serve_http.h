/* serve_http: the HTTP side of a server: reads requests, checks who asks, puts what is to be scored in the queue, and sends answers. Only serve_http.c knows libmicrohttpd.
 *
 *   POST /score      serve_request.h. 200, or 400 for what is not understood
 *   GET /health      {"status": "ok", "model", "mode", "samples"}; 503 and "stopping" once the queue is closed
 *   GET /metrics     serve_metrics.h
 * Other answers are {"error": sentence}: 401 without the token, 404, 405, 413 for a body above 16 MiB, 503 with Retry-After while the queue is full or bodies fill 256 MiB, 503
 * when the server stops. A connection on which nothing moves for 15 s, or whose body takes longer than a minute, is closed; 512 are held at once.
 *
 * A few threads serve all connections; one whose request is being scored is suspended, so that nobody waits in a thread. A client that goes away meanwhile is noticed when
 * its answer is sent, and costs what its items cost. */
#ifndef LAUNCH_SERVE_HTTP_H
#define LAUNCH_SERVE_HTTP_H

#include "launch/serve_metrics.h"
#include "launch/serve_place.h"
#include "launch/serve_queue.h"

struct serve_http_options {
    struct serve_place *place;      /* listening; its socket is taken */
    const char *model, *mode;       /* what /health says */
    int32_t n_samples;
    struct serve_queue *queue;
    struct serve_metrics *metrics;
};

struct serve_http;
/* All that options point to must outlive it. */
int serve_http_start(const struct serve_http_options *options, struct serve_http **out);
/* Gives answers that are ready two seconds to go out, then closes all. The queue is closed, and none of its items is waiting or at work. */
void serve_http_stop(struct serve_http **http);

#endif
