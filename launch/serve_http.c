/* serve_http: see serve_http.h.
 *
 * An exchange is one request on a connection, from its headers until its answer is sent or the client is gone:
 *
 *   READING --whole body, parsed, put--> WAITING (connection suspended) --the engine, or the queue that is full or closed--> READY (resumed) --> answered
 *      |                   '--not understood, nothing to score--> answered
 *      '--refused by its headers--> answered, and the connection closed, without reading the body
 */
#include "launch/serve_http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/json.h"
#include "launch/progress.h"

enum {
    MAX_BODY = 16 << 20, MAX_BODIES = 256 << 20, MAX_HEADERS = 32 << 10,
    MAX_CONNECTIONS = 512, N_THREADS = 4,
    IDLE_SECONDS = 15, BODY_SECONDS = 60, LAST_ANSWERS_SECONDS = 2,
};
static const char RETRY_SECONDS[] = "2", JSON[] = "application/json", METRICS[] = "text/plain; version=0.0.4; charset=utf-8";

struct serve_http {
    struct serve_http_options options;
    struct MHD_Daemon *daemon;
    pthread_mutex_t parsing;            /* one body at a time: a hostile one needs a hundred times its size while it is parsed */
    atomic_size_t n_body_bytes;         /* of all exchanges */
    atomic_int n_scoring;               /* exchanges that were queued, until they are over */
};

enum exchange_state { READING, WAITING, READY };

struct exchange {
    struct serve_request request;       /* first: `ready` gets the exchange by it */
    struct serve_http *http;
    struct MHD_Connection *connection;
    enum exchange_state state;
    enum serve_queue_state queued;      /* in READY: what the queue said */
    enum route { SCORE, HEALTH, PAGE } route;
    double began_s;
    char *body;
    size_t n_body, max_body, n_read;    /* n_read goes on where the body is too long and no longer kept */
    bool too_long, no_memory;
};

/* ---- sending --------------------------------------------------------------------------------------------------------------------------------- */

struct reply { int status; char *text; const char *type, *header, *value; };      /* text is taken; NULL: memory ran out. header: one more, or NULL */

static enum MHD_Result reply(struct exchange *x, const struct reply *r)
{
    struct MHD_Response *response = r->text ? MHD_create_response_from_buffer(strlen(r->text), r->text, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!response) {
        free(r->text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, r->type ? r->type : JSON);
    if (r->header)
        MHD_add_response_header(response, r->header, r->value);
    serve_metrics_answered(x->http->options.metrics, r->status);
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct exchange *x, int status, const char *sentence) { return reply(x, &(struct reply){.status = status, .text = serve_error(sentence)}); }

static enum MHD_Result refuse_full(struct exchange *x, const char *sentence)
{
    return reply(x, &(struct reply){.status = 503, .text = serve_error(sentence), .header = MHD_HTTP_HEADER_RETRY_AFTER, .value = RETRY_SECONDS});
}

static enum MHD_Result refuse_stopping(struct exchange *x) { return refuse(x, 503, "the server is stopping: ask another, or again when it is back"); }

static enum MHD_Result send_health(struct exchange *x)
{
    const struct serve_http_options *o = &x->http->options;
    bool stopping = serve_queue_is_closed(o->queue);
    json_t *health = json_pack("{s:s, s:s, s:s, s:i}", "status", stopping ? "stopping" : "ok", "model", o->model, "mode", o->mode, "samples", (int)o->n_samples);
    char *text = health ? json_dumps(health, JSON_COMPACT) : NULL;
    json_decref(health);
    return reply(x, &(struct reply){.status = stopping ? 503 : 200, .text = text});
}

static enum MHD_Result send_metrics(struct exchange *x)
{
    const struct serve_http_options *o = &x->http->options;
    return reply(x, &(struct reply){.status = 200, .text = serve_metrics_page(o->metrics, serve_queue_length(o->queue)), .type = METRICS});
}

static enum MHD_Result send_scores(struct exchange *x)
{
    struct serve_request *r = &x->request;
    if (x->queued == SERVE_FULL)
        return refuse_full(x, "the queue is full: ask again after the time in Retry-After");
    if (x->queued == SERVE_CLOSED || r->n_dropped > 0)
        return refuse_stopping(x);
    serve_metrics_refused(x->http->options.metrics, r->n_errors);
    if (r->put_s > 0.0)
        serve_metrics_waited(x->http->options.metrics, r->answer_s - r->put_s);
    return reply(x, &(struct reply){.status = r->n_errors > 0 && !r->is_list ? 400 : 200, .text = serve_request_answer(r)});
}

/* ---- scoring --------------------------------------------------------------------------------------------------------------------------------- */

/* By the engine: the connection's thread goes on with it, and the exchange is no longer the engine's. */
static void ready(struct serve_request *request)
{
    struct exchange *x = (struct exchange *)request;
    x->state = READY;
    MHD_resume_connection(x->connection);
}

/* Suspended before it is put, since it may be ready at once. From then on the exchange is the engine's, unless the queue does not take it. */
static enum MHD_Result put(struct exchange *x)
{
    x->state = WAITING;
    x->request.ready = ready;
    atomic_fetch_add(&x->http->n_scoring, 1);
    MHD_suspend_connection(x->connection);
    enum serve_queue_state queued = serve_queue_put(x->http->options.queue, &x->request);
    if (queued == SERVE_QUEUED)
        return MHD_YES;
    x->queued = queued;
    ready(&x->request);
    return MHD_YES;
}

static enum MHD_Result parse(struct exchange *x)
{
    struct trace trace;
    pthread_mutex_lock(&x->http->parsing);
    int status = serve_request_parse(x->body ? x->body : "", x->n_body, &x->request);
    pthread_mutex_unlock(&x->http->parsing);
    free(x->body);
    x->body = NULL;
    if (status == OK)
        return x->request.n_left > 0 ? put(x) : send_scores(x);
    trace_take(&trace);
    return refuse(x, 400, trace.sentence);
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------------------- */

static enum MHD_Result refuse_long(struct exchange *x) { return refuse(x, 413, "the body is longer than 16 MiB: send the items in several requests"); }

static void drop_body(struct exchange *x)
{
    free(x->body);
    x->body = NULL;
    atomic_fetch_sub(&x->http->n_body_bytes, x->max_body);
    x->max_body = x->n_body = 0;
}

/* False where that would be too much for all bodies together. */
static bool grow_body(struct exchange *x, size_t n)
{
    size_t size = 2 * n > MAX_BODY ? MAX_BODY : 2 * n, more = size - x->max_body;
    bool fits = atomic_fetch_add(&x->http->n_body_bytes, more) + more <= MAX_BODIES;
    char *grown = fits ? realloc(x->body, size) : NULL;
    if (!grown) {
        atomic_fetch_sub(&x->http->n_body_bytes, more);
        return false;
    }
    x->body = grown;
    x->max_body = size;
    return true;
}

/* A refusal can be sent when all was read; what never ends is closed. */
static enum MHD_Result take(struct exchange *x, const char *bytes, size_t n)
{
    x->n_read += n;
    if (clock_s() - x->began_s > BODY_SECONDS || x->n_read > 4 * (size_t)MAX_BODY)
        return MHD_NO;
    x->too_long = x->n_read > MAX_BODY;
    x->no_memory = x->no_memory || (!x->too_long && x->n_read > x->max_body && !grow_body(x, x->n_read));
    if (x->too_long || x->no_memory) {
        drop_body(x);
        return MHD_YES;
    }
    memcpy(x->body + x->n_body, bytes, n);
    x->n_body += n;
    return MHD_YES;
}

static enum MHD_Result finish(struct exchange *x)
{
    if (x->route == HEALTH)
        return send_health(x);
    if (x->route == PAGE)
        return send_metrics(x);
    if (x->state == READY)
        return send_scores(x);
    if (x->too_long)
        return refuse_long(x);
    if (x->no_memory)
        return refuse_full(x, "too many requests are being read: ask again after the time in Retry-After");
    return parse(x);
}

/* ---- headers --------------------------------------------------------------------------------------------------------------------------------- */

static const struct { const char *path, *method; } routes[] = {[SCORE] = {"/score", "POST"}, [HEALTH] = {"/health", "GET"}, [PAGE] = {"/metrics", "GET"}};
enum { N_ROUTES = sizeof routes / sizeof *routes };

static const char *header(const struct exchange *x, const char *name) { return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name); }

static bool is_long(const struct exchange *x)
{
    const char *length = header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length && strtoull(length, NULL, 10) > MAX_BODY;
}

/* What can be said before the body is read. */
static enum MHD_Result check(struct exchange *x, const char *url, const char *method)
{
    int route = 0;
    if (!serve_place_admits(x->http->options.place, header(x, MHD_HTTP_HEADER_AUTHORIZATION)))
        return reply(x, &(struct reply){.status = 401, .text = serve_error("the token is missing or wrong: send Authorization: Bearer TOKEN"),
                                        .header = MHD_HTTP_HEADER_WWW_AUTHENTICATE, .value = "Bearer"});
    while (route < N_ROUTES && strcmp(url, routes[route].path) != 0)
        route++;
    if (route == N_ROUTES)
        return refuse(x, 404, "there is no such page: POST /score, GET /health and GET /metrics are there");
    if (strcmp(method, routes[route].method) != 0)
        return reply(x, &(struct reply){.status = 405, .text = serve_error("that page is not asked for by this method: see Allow"), .header = MHD_HTTP_HEADER_ALLOW, .value = routes[route].method});
    x->route = (enum route)route;
    if (route == SCORE && serve_queue_is_closed(x->http->options.queue))
        return refuse_stopping(x);
    return is_long(x) ? refuse_long(x) : MHD_YES;
}

static enum MHD_Result begin(struct serve_http *h, struct MHD_Connection *connection, const char *url, const char *method, void **slot)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x)
        return MHD_NO;
    x->http = h;
    x->connection = connection;
    x->began_s = clock_s();
    *slot = x;
    return check(x, url, method);
}

/* Called with the headers, with each piece of the body, and when all was read: then again after the connection was resumed. */
static enum MHD_Result handle(void *http, struct MHD_Connection *connection, const char *url, const char *method, const char *version, const char *bytes, size_t *n_bytes, void **slot)
{
    (void)version;
    struct exchange *x = *slot;
    size_t n = *n_bytes;
    if (!x)
        return begin(http, connection, url, method, slot);
    *n_bytes = 0;
    return n > 0 ? take(x, bytes, n) : finish(x);
}

static void end(void *http, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode code)
{
    (void)http, (void)connection, (void)code;
    struct exchange *x = *slot;
    if (!x)
        return;
    if (x->state != READING)
        atomic_fetch_sub(&x->http->n_scoring, 1);
    drop_body(x);
    serve_request_free(&x->request);
    free(x);
    *slot = NULL;
}

/* ---- the daemon ------------------------------------------------------------------------------------------------------------------------------ */

/* By poll, which sees a client's end of sending whenever it comes; by epoll the library may miss one that comes with data, until the connection's time is over. */
int serve_http_start(const struct serve_http_options *options, struct serve_http **out)
{
    struct serve_http *h = calloc(1, sizeof *h);
    CHECK(h, "out of memory for the HTTP server");
    h->options = *options;
    pthread_mutex_init(&h->parsing, NULL);
    h->daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, h, MHD_OPTION_LISTEN_SOCKET, options->place->socket,
                                 MHD_OPTION_THREAD_POOL_SIZE, (unsigned)N_THREADS, MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
                                 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MAX_HEADERS, MHD_OPTION_NOTIFY_COMPLETED, end, h, MHD_OPTION_END);
    if (!h->daemon) {
        free(h);
        return FAIL("the HTTP server does not start on %s: are there enough file descriptors and threads?", options->place->name);
    }
    options->place->socket = -1;
    *out = h;
    return OK;
}

void serve_http_stop(struct serve_http **out)
{
    struct serve_http *h = *out;
    if (!h)
        return;
    const struct timespec pause = {0, 5000000};
    for (double until_s = clock_s() + LAST_ANSWERS_SECONDS; atomic_load(&h->n_scoring) > 0 && clock_s() < until_s;)
        nanosleep(&pause, NULL);
    MHD_stop_daemon(h->daemon);
    pthread_mutex_destroy(&h->parsing);
    free(h);
    *out = NULL;
}
