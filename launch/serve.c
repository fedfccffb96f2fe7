/* serve: see serve.h. Each round rank 0 sends one text: its first byte says whether the others go on (GO) or end (END), each line after it is an item. */
#include "launch/serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "comm/agree.h"
#include "comm/stop.h"
#include "comm/watchdog.h"
#include "launch/progress.h"
#include "launch/score_item.h"
#include "launch/serve_http.h"
#include "launch/session.h"

enum { MAX_WAITING = 4096, ITEMS_OF_A_ROUND = 16, GRACE_SECONDS = 5 };
static const char GO = 'g', END = 'e';
static const double PAUSE_S = 0.01;

struct server {
    const char *model;
    struct session session;
    struct scorer scorer;
    bool leads;                     /* world rank 0, which has the next five */
    struct serve_place place;
    struct serve_queue *queue;
    struct serve_metrics *metrics;
    struct serve_http *http;
    double stopping_s, busy_s;      /* when it was asked to stop, 0: not yet; seconds of passes */
    bool idle, stopping;            /* the last round had nothing to do; asked to stop: both alike on all ranks */
};

/* An item at work. item is NULL on ranks that do not lead. */
struct work { struct server *server; struct serve_item *item; json_t *json; };

/* ---- items ----------------------------------------------------------------------------------------------------------------------------------- */

static void free_work(struct work *w)
{
    json_decref(w->json);
    free(w);
}

static void refuse(struct work *w)
{
    struct trace trace;
    trace_take(&trace);
    if (w->item)
        serve_item_refuse(w->item, trace.sentence);
    free_work(w);
}

static void drop(void *owner)
{
    struct work *w = owner;
    if (w->item)
        serve_item_drop(w->item);
    free_work(w);
}

static void answer(struct work *w, const struct scored *scored)
{
    serve_metrics_scored(w->server->metrics, scored, w->server->scorer.reads_critique);
    serve_item_answer(w->item, json_dumps(w->json, JSON_COMPACT));
}

static int done(void *owner, struct scored *scored)
{
    struct work *w = owner;
    if (score_item_finish(w->json, scored, w->server->session.infer.model.max_position) != OK) {
        refuse(w);
    } else {
        if (w->item)
            answer(w, scored);
        free_work(w);
    }
    scored_free(&scored);
    return OK;
}

static int begin(struct work *w, const char *text, size_t n)
{
    struct message prompt[MAX_MESSAGES];
    struct text response;
    int n_messages;
    TRY(json_parse(text, n, "the item", &w->json));
    TRY(score_item_read(w->json, "the item", prompt, &n_messages, &response));
    return scorer_submit(&w->server->scorer, prompt, n_messages, response.bytes, response.n_bytes, done, w);
}

/* An item that cannot be scored is refused, alike on all ranks, and is no failure of the server. */
static int submit(struct server *s, const char *text, size_t n, struct serve_item *item)
{
    struct work *w = calloc(1, sizeof *w);
    CHECK(w, "out of memory for an item");
    *w = (struct work){.server = s, .item = item};
    if (begin(w, text, n) != OK)
        refuse(w);
    return OK;
}

/* items: those whose lines they are, in their order, where this rank leads. */
static int submit_all(struct server *s, const char *text, size_t n, struct serve_item *items)
{
    for (const char *line = text, *end; line < text + n; line = end + 1) {
        struct serve_item *item = items;
        items = item ? item->next : NULL;       /* before it is answered: then it may be gone */
        end = memchr(line, '\n', n - (size_t)(line - text));
        ASSERT(end);
        TRY(submit(s, line, (size_t)(end - line), item));
    }
    return OK;
}

/* ---- rounds ---------------------------------------------------------------------------------------------------------------------------------- */

static void pause_idle(const struct server *s)
{
    const struct timespec pause = {0, (long)(PAUSE_S * 1e9)};
    if (s->leads)
        serve_queue_wait(s->queue, PAUSE_S);
    else
        nanosleep(&pause, NULL);
}

static int look_for_stop(struct server *s)
{
    bool was = s->stopping;
    TRY(stop_requested(s->session.world, &s->stopping));
    if (was || !s->stopping)
        return OK;
    s->stopping_s = clock_s();
    if (s->leads)
        serve_queue_close(s->queue);
    log_info("asked to stop: what is running has %d s", GRACE_SECONDS);
    return OK;
}

static bool is_over(const struct server *s)
{
    bool finished = generator_is_idle(s->session.infer.generator) && serve_queue_length(s->queue) == 0;
    return s->stopping && (finished || clock_s() - s->stopping_s > GRACE_SECONDS);
}

/* The round's text, by the rank that leads. */
static int compose(struct server *s, struct serve_item **items, void **text, size_t *n)
{
    char *memory = NULL;
    FILE *out = open_memstream(&memory, n);
    CHECK(out, "out of memory for a round");
    bool over = is_over(s);
    *items = !over && generator_wants(s->session.infer.generator) ? serve_queue_take(s->queue, ITEMS_OF_A_ROUND) : NULL;
    fputc(over ? END : GO, out);
    for (const struct serve_item *item = *items; item; item = item->next)
        fprintf(out, "%s\n", item->text);
    bool written = fclose(out) == 0;
    *text = memory;
    CHECK(written, "out of memory for a round");
    return OK;
}

static int step(struct server *s)
{
    struct generator_counts counts;
    double began_s = clock_s();
    TRY(generator_step(s->session.infer.generator));
    s->busy_s += clock_s() - began_s;
    generator_count(s->session.infer.generator, &counts);
    if (s->leads)
        serve_metrics_engine(s->metrics, &counts, s->busy_s);
    return OK;
}

static int run_round(struct server *s, bool *end)
{
    struct serve_item *items = NULL;
    void *text = NULL;
    size_t n = 0;
    if (s->idle)
        pause_idle(s);
    TRY(look_for_stop(s));
    if (s->leads)
        TRY(compose(s, &items, &text, &n));
    TRY(agree_bytes(s->session.world, 0, &text, &n));
    *end = *(const char *)text == END;
    int status = submit_all(s, (const char *)text + 1, n - 1, items);
    free(text);
    TRY(status);
    s->idle = n == 1 && generator_is_idle(s->session.infer.generator);
    return *end || generator_is_idle(s->session.infer.generator) ? OK : step(s);
}

/* ---- opening and closing --------------------------------------------------------------------------------------------------------------------- */

/* Before the model is read: what is wrong here is said at once. */
static int open_place(struct server *s, const struct command *command)
{
    if (s->leads)
        TRY(serve_place_open(command->serve, command->listen, command->token_file, &s->place));
    return OK;
}

static int open_lead(struct server *s)
{
    TRY(serve_queue_create(MAX_WAITING, &s->queue));
    TRY(serve_metrics_create(&s->metrics));
    TRY(serve_place_listen(&s->place));
    struct serve_http_options options = {.place = &s->place, .model = s->model, .mode = trained_mode_name(s->session.trained.mode), .n_samples = s->scorer.n_samples,
                                         .queue = s->queue, .metrics = s->metrics};
    TRY(serve_http_start(&options, &s->http));
    log_info("%s (%s) answers on http://%s, %s", s->model, options.mode, s->place.name, s->place.has_token ? "those who send the token" : "this machine only");
    return OK;
}

static int run(struct server *s, const struct command *command)
{
    TRY(agree_status(command->world, open_place(s, command)));
    TRY(session_open(command, s->model, command->config.device.batch_invariant != INVARIANT_OFF, &s->session));
    TRY(agree_status(s->session.world, session_check_reward(&s->session)));
    scorer_make(&s->session.config, s->session.trained.mode, s->session.encoder, s->session.infer.generator, &s->scorer);
    stop_on_interrupt();
    signal(SIGPIPE, SIG_IGN);
    watchdog_phase("serve", WATCHDOG_COMPUTE);
    TRY(agree_status(s->session.world, s->leads ? open_lead(s) : OK));
    for (bool end = false; !end;)
        TRY(run_round(s, &end));
    return OK;
}

/* Whatever is left is answered 503 before the connections are closed. */
static void close_all(struct server *s)
{
    if (s->queue)
        serve_queue_drop(s->queue);
    scorer_drop(&s->scorer, drop);
    serve_http_stop(&s->http);
    if (s->metrics)
        log_info("stopped: %lld requests, %lld responses scored", (long long)serve_metrics_requests(s->metrics), (long long)serve_metrics_items(s->metrics));
    serve_queue_destroy(&s->queue);
    serve_metrics_destroy(&s->metrics);
    serve_place_close(&s->place);
    session_close(&s->session);
}

int serve(const struct command *command)
{
    CHECK_USAGE(command->argc == 1, "score --serve PORT takes one argument: MODEL");
    CHECK_USAGE(command->world->size == command->config.mesh.tensor, "score --serve computes with one copy of the model: of %d ranks mesh.tensor must be %d, and is %lld", command->world->size,
                command->world->size, (long long)command->config.mesh.tensor);
    struct server *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory");
    s->model = command->argv[0];
    s->leads = command->world->rank == 0;
    s->place.socket = -1;
    int status = run(s, command);
    close_all(s);
    free(s);
    return status;
}
