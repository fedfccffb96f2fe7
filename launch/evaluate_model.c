/* evaluate_model: see evaluate_model.h. */
#include "launch/evaluate_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/lines.h"
#include "base/log.h"
#include "comm/agree.h"
#include "launch/pace.h"
#include "launch/progress.h"
#include "trainer/infer/judge.h"
#include "trainer/infer/replier.h"
#include "trainer/infer/scorer.h"

struct evaluating;

/* A response at work, or done. */
struct asked { struct evaluating *e; int64_t i; struct judging judging; struct reply reply; };

/* Reduced as an array of int64_t. texts: critiques and answers that the model wrote; parsed: those of them with a score, or a verdict. */
struct sums { int64_t responses, no_room, texts, cut, parsed; };

struct evaluating {
    struct session *session;
    const struct benchmark *benchmark;
    int (*ask)(struct asked *asked);
    struct scorer scorer;
    struct judge judge;
    struct replier replier;
    struct pace pace;
    struct asked *asked;        /* [n_responses] */
    struct scores *out;
    FILE *replies;              /* of this rank, a line each: [item, verdict, answer] */
    char *reply_text;
    size_t n_reply_text;
    struct sums sums;
};

static const struct benchmark_response *response_of(const struct asked *a) { return &a->e->benchmark->response[a->i]; }

/* ---- rewards --------------------------------------------------------------------------------------------------------------------------------- */

static int take_score(void *owner, struct scored *scored)
{
    struct asked *a = owner;
    struct evaluating *e = a->e;
    e->out->score[a->i] = scored_mean(scored);
    e->sums.no_room += scored->no_room;
    e->sums.texts += e->scorer.reads_critique ? scored->n : 0;
    e->sums.cut += scored->n_cut;
    e->pace.n_ready++;
    scored_free(&scored);
    return OK;
}

static int ask_score(struct asked *a)
{
    int n;
    const struct message *prompt = benchmark_prompt(a->e->benchmark, a->i, &n);
    return scorer_submit(&a->e->scorer, prompt, n, response_of(a)->text, response_of(a)->n_bytes, take_score, a);
}

/* ---- a judge's scores ------------------------------------------------------------------------------------------------------------------------ */

static int take_judging(void *owner, struct judging *judging)
{
    struct asked *a = owner;
    struct sums *sums = &a->e->sums;
    int32_t n_scored;
    int64_t sum = judging_sum(judging, &n_scored);
    a->e->out->score[a->i] = n_scored > 0 ? (double)sum / n_scored : NAN;
    for (int32_t k = 0; k < judging->n; k++)
        sums->cut += judging->candidate[k].finish == FINISH_LIMIT;
    sums->texts += judging->n;
    sums->parsed += n_scored;
    a->e->pace.n_ready++;
    judging_free(judging);
    return OK;
}

static int judge_or_leave(struct asked *a, struct tokens prompt, struct tokens response)
{
    if (judge_has_room(&a->e->judge, prompt, response))
        return judge_ask(&a->e->judge, prompt, response, take_judging, a, &a->judging);
    a->e->out->score[a->i] = NAN;
    a->e->sums.no_room++;
    a->e->pace.n_ready++;
    return OK;
}

static int ask_judge(struct asked *a)
{
    int n;
    struct token_list prompt = {0}, response = {0};
    const struct message *message = benchmark_prompt(a->e->benchmark, a->i, &n);
    int status = encode_prompt(a->e->session->encoder, message, n, &prompt);
    if (status == OK)
        status = encode_bare_response(a->e->session->encoder, response_of(a)->text, response_of(a)->n_bytes, &response);
    if (status == OK)
        status = judge_or_leave(a, (struct tokens){prompt.token, prompt.n}, (struct tokens){response.token, response.n});
    token_list_free(&prompt);
    token_list_free(&response);
    return status;
}

/* ---- replies --------------------------------------------------------------------------------------------------------------------------------- */

static int take_reply(void *owner, struct reply *reply)
{
    struct asked *a = owner;
    struct sums *sums = &a->e->sums;
    enum criticbench_verdict verdict = criticbench_verdict(reply->critique ? reply->critique : "");
    json_t *line = json_pack("[I, i, s?]", (json_int_t)response_of(a)->item, (int)verdict, reply->answer);
    bool written = line && json_dumpf(line, a->e->replies, JSON_COMPACT) == 0 && fputc('\n', a->e->replies) != EOF;
    json_decref(line);
    sums->no_room += !reply->critique || (reply->wants_answer && !reply->answer);
    sums->texts += (reply->critique != NULL) + (reply->answer != NULL);
    sums->cut += reply->n_cut;
    sums->parsed += verdict != VERDICT_NONE;
    a->e->pace.n_ready++;
    reply_free(reply);
    CHECK(written, "out of memory for replies");
    return OK;
}

static int ask_reply(struct asked *a)
{
    int n;
    const struct message *prompt = benchmark_prompt(a->e->benchmark, a->i, &n);
    const struct benchmark_item *item = &a->e->benchmark->item[response_of(a)->item];
    struct text response = {response_of(a)->text, response_of(a)->n_bytes};
    return replier_ask(&a->e->replier, prompt, n, response, criticbench_compares(item->group, item->answers), take_reply, a, &a->reply);
}

static int read_reply(json_t *line, struct scores *out)
{
    json_int_t item = json_integer_value(json_array_get(line, 0)), verdict = json_integer_value(json_array_get(line, 1));
    CHECK(json_array_append(out->pool, line) == 0, "out of memory for replies");
    out->reply[item] = (struct criticbench_reply){(enum criticbench_verdict)verdict, json_string_value(json_array_get(line, 2))};
    return OK;
}

static int read_replies(struct lines *lines, struct scores *out)
{
    const char *text;
    size_t n_bytes;
    int64_t number;
    for (;;) {
        json_t *line;
        TRY(lines_next(lines, &text, &n_bytes, &number));
        if (!text)
            return OK;
        TRY(json_parse(text, n_bytes, lines_where(lines), &line));
        int status = read_reply(line, out);
        json_decref(line);
        TRY(status);
    }
}

static int gather_replies(struct evaluating *e)
{
    void *all = NULL;
    size_t n = 0;
    struct lines *lines;
    TRY(agree_gather(e->session->mesh->data, 0, e->reply_text, e->n_reply_text, &all, &n));
    int status = all && e->session->world->rank == 0 ? lines_open_memory(all, n, "the ranks' replies", &lines) : OK;
    if (status == OK && all && e->session->world->rank == 0) {
        status = read_replies(lines, e->out);
        lines_close(&lines);
    }
    free(all);
    return status;
}

/* ---- all of them ----------------------------------------------------------------------------------------------------------------------------- */

static int allocate(struct evaluating *e, enum evaluate_by by)
{
    const struct benchmark *b = e->benchmark;
    bool replies = by == EVALUATE_REPLY;
    *e->out = (struct scores){.pool = json_array()};
    e->asked = calloc((size_t)b->n_responses, sizeof *e->asked);
    e->out->score = replies ? NULL : calloc((size_t)b->n_responses, sizeof *e->out->score);
    e->out->reply = replies ? calloc((size_t)b->n_items, sizeof *e->out->reply) : NULL;
    e->replies = replies ? open_memstream(&e->reply_text, &e->n_reply_text) : NULL;
    CHECK(e->asked && e->out->pool && (replies ? e->out->reply && e->replies : e->out->score != NULL), "out of memory for the %lld responses of %s", (long long)b->n_responses, b->path);
    return OK;
}

static int open_model(struct evaluating *e, enum evaluate_by by)
{
    struct session *s = e->session;
    switch (by) {
    case EVALUATE_SCORE:
        e->ask = ask_score;
        scorer_make(&s->config, s->trained.mode, s->encoder, s->infer.generator, &e->scorer);
        return OK;
    case EVALUATE_JUDGE:
        e->ask = ask_judge;
        return judge_open(&s->config, s->encoder, s->infer.generator, &e->judge);
    case EVALUATE_REPLY:
        e->ask = ask_reply;
        return replier_open(&s->config, s->encoder, s->infer.generator, &e->replier);
    }
    return OK;
}

/* The item's place is put in front of a failure's sentence. */
static int ask(struct evaluating *e, int64_t i)
{
    struct trace trace;
    e->asked[i] = (struct asked){.e = e, .i = i};
    int status = e->ask(&e->asked[i]);
    if (status == OK)
        return OK;
    trace_take(&trace);
    fail_at(__FILE__, __LINE__, status, "%s, item %.64s: %s", e->benchmark->path, e->benchmark->item[e->benchmark->response[i].item].id, trace.sentence);
    return status;
}

static int ask_item(struct evaluating *e, const struct benchmark_item *item)
{
    for (int64_t i = item->first; i < item->first + item->n && !e->pace.stop; i++) {
        TRY(pace_until(&e->pace, generator_wants));
        if (!e->pace.stop)
            TRY(ask(e, i));
    }
    return OK;
}

static int ask_mine(struct evaluating *e)
{
    const struct benchmark *b = e->benchmark;
    int rank = e->session->mesh->data->rank, size = e->session->mesh->data->size;
    for (int64_t i = rank; i < b->n_items; i += size)
        e->pace.n_mine += b->item[i].n;
    for (int64_t i = rank; i < b->n_items && !e->pace.stop; i += size)
        TRY(ask_item(e, &b->item[i]));
    TRY(pace_until(&e->pace, generator_is_idle));
    e->sums.responses = e->pace.n_ready;
    return OK;
}

/* Scores of other ranks' responses are 0 here. */
static int gather(struct evaluating *e)
{
    struct comm *data = e->session->mesh->data;
    TRY(all_reduce(data, &e->sums, sizeof e->sums / sizeof(int64_t), COMM_I64, COMM_SUM, NULL));
    if (!e->replies)
        return all_reduce(data, e->out->score, e->benchmark->n_responses, COMM_F64, COMM_SUM, NULL);
    bool closed = fclose(e->replies) == 0;
    e->replies = NULL;
    CHECK(closed, "out of memory for replies");
    return gather_replies(e);
}

static void report(const struct evaluating *e, enum evaluate_by by, double seconds)
{
    const struct sums *s = &e->sums;
    log_info("%s: %lld responses in %.1f s; %lld left no room for a text; %lld of %lld texts cut by the limit", e->benchmark->path, (long long)s->responses, seconds, (long long)s->no_room,
             (long long)s->cut, (long long)s->texts);
    if (by == EVALUATE_JUDGE)
        log_info("  parse rate %.3f: %lld of %lld critiques have a score", s->texts > 0 ? (double)s->parsed / (double)s->texts : 0.0, (long long)s->parsed, (long long)s->texts);
    if (by == EVALUATE_REPLY)
        log_info("  %lld of %lld responses have a verdict", (long long)s->parsed, (long long)s->responses);
}

static int evaluate(struct evaluating *e, enum evaluate_by by)
{
    TRY(allocate(e, by));
    TRY(open_model(e, by));
    pace_begin(&e->pace, "evaluate", "responses", e->session);
    TRY(ask_mine(e));
    int status = pace_meet(&e->pace);
    if (status == STOPPED) {
        trace_share();
        return FAIL("stopped on request: evaluate keeps nothing, the same command begins anew");
    }
    TRY(status);
    TRY(gather(e));
    report(e, by, clock_s() - e->pace.started_s);
    return OK;
}

/* What is asked of a score is freed with all that is asked. */
static void leave(void *owner) { (void)owner; }

int evaluate_model(struct session *session, const struct benchmark *benchmark, enum evaluate_by by, struct scores *out)
{
    struct evaluating e = {.session = session, .benchmark = benchmark, .out = out};
    int status = evaluate(&e, by);
    scorer_drop(&e.scorer, leave);
    for (int64_t i = 0; e.asked && i < benchmark->n_responses; i++) {
        judging_free(&e.asked[i].judging);
        reply_free(&e.asked[i].reply);
    }
    if (e.replies)
        fclose(e.replies);
    judge_close(&e.judge);
    replier_close(&e.replier);
    free(e.reply_text);
    free(e.asked);
    return status;
}
