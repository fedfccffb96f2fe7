/* evaluate_model: see evaluate_model.h. */
#include "launch/evaluate_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/lines.h"
#include "base/log.h"
#include "comm/agree.h"
#include "launch/evaluate_items.h"
#include "launch/pace.h"
#include "launch/part_run.h"
#include "launch/progress.h"
#include "trainer/infer/judge.h"
#include "trainer/infer/replier.h"
#include "trainer/infer/scorer.h"

struct evaluating;

/* A response at work, or done. */
struct asked { struct evaluating *e; int64_t i; struct judging judging; struct reply reply; };

struct evaluating {
    struct session *session;
    const struct benchmark *benchmark;
    int (*ask)(struct asked *asked);
    struct scorer scorer;
    struct judge judge;
    struct replier replier;
    struct evaluate_items items;
    struct asked *asked;        /* [n_responses] */
    const struct parts *parts;  /* NULL: all in memory */
    struct part_run *run;       /* of the parts, */
    struct pace pace;           /* or of the items in memory */
    double started_s;
    int64_t n_done;             /* responses of this start, on all ranks */
};

static const struct benchmark_response *response_of(const struct asked *a) { return &a->e->benchmark->response[a->i]; }
static double *score_of(const struct asked *a) { return &a->e->items.scores->score[a->i]; }
static struct evaluate_counts *counts_of(const struct asked *a) { return &a->e->items.counts[response_of(a)->item]; }

/* Its outcome is there. */
static int ready(const struct asked *a)
{
    struct evaluating *e = a->e;
    int64_t item = response_of(a)->item;
    e->pace.n_ready++;
    bool all = ++counts_of(a)->responses == e->benchmark->item[item].n;
    return all && e->parts ? part_run_ready(e->run, item) : OK;
}

/* ---- rewards --------------------------------------------------------------------------------------------------------------------------------- */

/* The table must not depend on the size of the cache. */
static int take_score(void *owner, struct scored *scored)
{
    struct asked *a = owner;
    struct evaluate_counts *counts = counts_of(a);
    CHECK_USAGE(scored->lacks_mb == 0, "generate.kv_memory_mb is too small for a response of, with prompt and instruction, %lld tokens: raise it to %lld", (long long)scored->n_path,
                (long long)scored->lacks_mb);
    *score_of(a) = scored_mean(scored);
    counts->no_room += scored->no_room;
    counts->texts += a->e->scorer.reads_critique ? scored->n : 0;
    counts->cut += scored->n_cut;
    scored_free(&scored);
    return ready(a);
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
    struct evaluate_counts *counts = counts_of(a);
    int32_t n_scored;
    int64_t sum = judging_sum(judging, &n_scored);
    *score_of(a) = n_scored > 0 ? (double)sum / n_scored : NAN;
    for (int32_t k = 0; k < judging->n; k++)
        counts->cut += judging->candidate[k].finish == FINISH_LIMIT;
    counts->texts += judging->n;
    counts->parsed += n_scored;
    judging_free(judging);
    return ready(a);
}

static int judge_or_leave(struct asked *a, struct tokens prompt, struct tokens response)
{
    if (judge_has_room(&a->e->judge, prompt, response))
        return judge_ask(&a->e->judge, prompt, response, take_judging, a, &a->judging);
    *score_of(a) = NAN;
    counts_of(a)->no_room++;
    return ready(a);
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

/* The answer's text is kept with the scores. */
static int keep_reply(const struct asked *a, const char *answer, enum criticbench_verdict verdict)
{
    struct scores *scores = a->e->items.scores;
    json_t *text = answer ? json_string(answer) : NULL;
    CHECK(!answer || json_array_append_new(scores->pool, text) == 0, "out of memory for replies");
    scores->reply[response_of(a)->item] = (struct criticbench_reply){verdict, json_string_value(text)};
    return OK;
}

static int take_reply(void *owner, struct reply *reply)
{
    struct asked *a = owner;
    struct evaluate_counts *counts = counts_of(a);
    enum criticbench_verdict verdict = criticbench_verdict(reply->critique ? reply->critique : "");
    counts->no_room += !reply->critique || (reply->wants_answer && !reply->answer);
    counts->texts += (reply->critique != NULL) + (reply->answer != NULL);
    counts->cut += reply->n_cut;
    counts->parsed += verdict != VERDICT_NONE;
    TRY(keep_reply(a, reply->answer, verdict));
    reply_free(reply);
    return ready(a);
}

static int ask_reply(struct asked *a)
{
    int n;
    const struct message *prompt = benchmark_prompt(a->e->benchmark, a->i, &n);
    const struct benchmark_item *item = &a->e->benchmark->item[response_of(a)->item];
    struct text response = {response_of(a)->text, response_of(a)->n_bytes};
    return replier_ask(&a->e->replier, prompt, n, response, criticbench_compares(item->group, item->answers), take_reply, a, &a->reply);
}

/* ---- items ----------------------------------------------------------------------------------------------------------------------------------- */

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

static int ask_item(struct evaluating *e, int64_t item)
{
    const struct benchmark_item *it = &e->benchmark->item[item];
    for (int64_t i = it->first; i < it->first + it->n; i++)
        TRY(ask(e, i));
    return OK;
}

/* ---- in memory ------------------------------------------------------------------------------------------------------------------------------- */

static int ask_mine(struct evaluating *e)
{
    const struct benchmark *b = e->benchmark;
    int rank = e->session->mesh->data->rank, size = e->session->mesh->data->size;
    for (int64_t i = rank; i < b->n_items; i += size)
        e->pace.n_mine += b->item[i].n;
    for (int64_t i = rank; i < b->n_items && !e->pace.stop; i += size) {
        TRY(pace_until(&e->pace, generator_wants));
        if (!e->pace.stop)
            TRY(ask_item(e, i));
    }
    return pace_until(&e->pace, generator_is_idle);
}

static int put_item(const struct evaluating *e, int64_t item, FILE *lines)
{
    json_t *json;
    TRY(evaluate_items_json(&e->items, item, item + 1, &json));
    bool written = json_dumpf(json, lines, JSON_COMPACT) == 0 && fputc('\n', lines) != EOF;
    json_decref(json);
    CHECK(written, "out of memory for what the model gave");
    return OK;
}

/* This rank's items, a line each. */
static int put_mine(const struct evaluating *e, char **text, size_t *n_bytes)
{
    int status = OK;
    const struct comm *data = e->session->mesh->data;
    FILE *lines = open_memstream(text, n_bytes);
    CHECK(lines, "out of memory for what the model gave");
    for (int64_t i = data->rank; i < e->benchmark->n_items && status == OK; i += data->size)
        status = put_item(e, i, lines);
    if (fclose(lines) != 0 && status == OK)
        status = FAIL("out of memory for what the model gave");
    return status;
}

static int take_lines(struct evaluating *e, struct lines *lines, struct evaluate_counts *total)
{
    char where[256];
    for (;;) {
        json_t *json;
        TRY(json_next_line(lines, where, sizeof where, NULL, &json));
        if (!json)
            return OK;
        int status = evaluate_items_read(&e->items, json, where, total);
        json_decref(json);
        TRY(status);
    }
}

static int take_all(struct evaluating *e, const char *text, size_t n_bytes, struct evaluate_counts *total)
{
    struct lines *lines;
    TRY(lines_open_memory(text, n_bytes, "what the ranks' model gave", &lines));
    int status = take_lines(e, lines, total);
    lines_close(&lines);
    return status;
}

static int gather(struct evaluating *e, struct evaluate_counts *total)
{
    char *mine = NULL;
    void *all = NULL;
    size_t n_mine = 0, n_all = 0;
    struct session *s = e->session;
    int status = agree_status(s->world, put_mine(e, &mine, &n_mine));
    if (status == OK)
        status = agree_gather(s->mesh->data, 0, mine, n_mine, &all, &n_all);
    if (status == OK)
        status = agree_status(s->world, s->world->rank == 0 ? take_all(e, all, n_all, total) : OK);
    free(mine);
    free(all);
    return status;
}

static int run_in_memory(struct evaluating *e, struct evaluate_counts *total)
{
    pace_begin(&e->pace, "evaluate", "responses", e->session);
    TRY(ask_mine(e));
    int status = pace_meet(&e->pace);
    if (status == STOPPED) {
        trace_share();
        return FAIL("stopped on request, and without a folder evaluate keeps nothing: name one (OUT_DIR), and what is done is kept there");
    }
    return status == OK ? gather(e, total) : status;
}

/* ---- in parts -------------------------------------------------------------------------------------------------------------------------------- */

/* What is written of an item lies with the scores: nothing is freed with its part. */
static int begin_record(void *owner, struct part_run *run, int64_t record, void **item)
{
    struct evaluating *e = owner;
    (void)item;
    e->run = run;
    return ask_item(e, record);
}

static void free_record(void *item) { (void)item; }

static int write_part(void *owner, int32_t part, void *const *item, int64_t n, bool writes)
{
    struct evaluating *e = owner;
    struct parts_range range = parts_range(e->parts, part);
    json_t *json;
    (void)item;
    (void)n;
    if (!writes)
        return OK;
    TRY(evaluate_items_json(&e->items, range.first, range.end, &json));
    int status = parts_finish_part(e->parts, part, NULL, json);
    json_decref(json);
    return status;
}

/* A part holds the items of its range and no others. */
static int check_range(const struct evaluating *e, int32_t part, json_t *json, const char *where)
{
    int64_t first;
    json_t *list;
    struct parts_range range = parts_range(e->parts, part);
    TRY(json_get_int(json, "first", where, 0, INT64_MAX, &first));
    TRY(json_get_array(json, "items", where, &list));
    CHECK(first == range.first && (int64_t)json_array_size(list) == range.end - range.first,
          "%s: it holds %zu items from item %lld on, and its own are %lld to %lld: remove the folder, and run the same command again", where, json_array_size(list), (long long)first,
          (long long)range.first, (long long)range.end - 1);
    return OK;
}

static int take_part(struct evaluating *e, int32_t part, struct evaluate_counts *total)
{
    char where[1200];
    json_t *json;
    snprintf(where, sizeof where, "%s, part %d", e->parts->folder, part);
    TRY(parts_summary(e->parts, part, &json));
    int status = check_range(e, part, json, where);
    if (status == OK)
        status = evaluate_items_read(&e->items, json, where, total);
    json_decref(json);
    return status;
}

static int take_parts(struct evaluating *e, struct evaluate_counts *total)
{
    for (int32_t i = 0; i < e->parts->n_parts; i++)
        TRY(take_part(e, i, total));
    return OK;
}

static int run_in_parts(struct evaluating *e, struct evaluate_counts *total)
{
    struct comm *world = e->session->world;
    TRY(part_run(&(struct part_job){.name = "evaluate", .session = e->session, .parts = *e->parts, .begin = begin_record, .write = write_part, .free_item = free_record, .owner = e}));
    return agree_status(world, world->rank == 0 ? take_parts(e, total) : OK);
}

/* ---- all of them ----------------------------------------------------------------------------------------------------------------------------- */

static int allocate(struct evaluating *e, struct scores *out)
{
    const struct benchmark *b = e->benchmark;
    TRY(evaluate_items_open(b, out, &e->items));
    e->asked = calloc((size_t)b->n_responses, sizeof *e->asked);
    CHECK(e->asked, "out of memory for the %lld responses of %s", (long long)b->n_responses, b->path);
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

/* n is rank 0's, which prints. */
static void report(const struct evaluating *e, enum evaluate_by by, const struct evaluate_counts *n)
{
    log_info("%s: %lld of %lld responses in %.1f s; %lld of all left no room for a text; %lld of %lld texts cut by the limit", e->benchmark->path, (long long)e->n_done, (long long)n->responses,
             clock_s() - e->started_s, (long long)n->no_room, (long long)n->cut, (long long)n->texts);
    if (by == EVALUATE_JUDGE)
        log_info("  parse rate %.3f: %lld of %lld critiques have a score", n->texts > 0 ? (double)n->parsed / (double)n->texts : 0.0, (long long)n->parsed, (long long)n->texts);
    if (by == EVALUATE_REPLY)
        log_info("  %lld of %lld responses have a verdict", (long long)n->parsed, (long long)n->responses);
}

/* Items that an earlier start did have no counts here. */
static int count_done(struct evaluating *e)
{
    for (int64_t i = 0; i < e->benchmark->n_items; i++)
        e->n_done += e->items.counts[i].responses;
    return all_reduce(e->session->mesh->data, &e->n_done, 1, COMM_I64, COMM_SUM, NULL);
}

static int evaluate(struct evaluating *e, enum evaluate_by by, struct scores *out)
{
    struct evaluate_counts total = {0};
    TRY(allocate(e, out));
    TRY(open_model(e, by));
    TRY(e->parts ? run_in_parts(e, &total) : run_in_memory(e, &total));
    TRY(count_done(e));
    report(e, by, &total);
    return OK;
}

/* What is asked of a score is freed with all that is asked. */
static void leave(void *owner) { (void)owner; }

int evaluate_model(struct session *session, const struct benchmark *benchmark, enum evaluate_by by, const struct parts *parts, struct scores *out)
{
    struct evaluating e = {.session = session, .benchmark = benchmark, .parts = parts, .started_s = clock_s()};
    int status = evaluate(&e, by, out);
    scorer_drop(&e.scorer, leave);
    for (int64_t i = 0; e.asked && i < benchmark->n_responses; i++) {
        judging_free(&e.asked[i].judging);
        reply_free(&e.asked[i].reply);
    }
    judge_close(&e.judge);
    replier_close(&e.replier);
    evaluate_items_close(&e.items);
    free(e.asked);
    return status;
}
