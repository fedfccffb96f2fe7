/* sample: prompts -> generate.responses responses each, each with the scores of generate.candidates judge's critiques by the same model, and preference pairs of them.
 *
 *   PROMPTS.jsonl    {"prompt": text or messages, "id", "subset", ...}; other members are carried through, but chosen, rejected and responses
 *   OUT.all.jsonl    a line for each prompt, in order: "id" (the line's number from 0 where it had none) and
 *                    "responses": [{"text", "finish": "stop" or "limit", "judge_scores": [number or null], "mean": number or null}]
 *                    "chosen", "rejected": the responses with the highest and the lowest mean, the first ones of equal means; only where the means differ by more than generate.margin.
 *                    Responses with scores for less than generate.min_scored of their critiques do not count
 *   OUT.jsonl        the lines that have a pair, without "responses": preferences, as critique and train read them. Made when OUT.all.jsonl is complete
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/log.h"
#include "comm/agree.h"
#include "dataset/messages.h"
#include "dataset/preference.h"
#include "launch/line_run.h"
#include "launch/progress.h"
#include "trainer/infer/sampler.h"

struct prompt;
struct sample {
    const char *model, *input, *pairs;
    char all[2048], unfinished[2100];   /* OUT.all.jsonl; OUT.jsonl.tmp */
    struct session session;
    struct judge judge;
    struct sampler sampler;
    struct line_job job;
    struct line_run *run;
    struct prompt *open;                /* prompts at work */
};

struct prompt { struct sample *sample; struct prompt *next, **at; int64_t index; json_t *line; struct sampled sampled; };

static void close_prompt(struct prompt *p)
{
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    json_decref(p->line);
    sampled_free(&p->sampled);
    free(p);
}

static int open_prompt(struct sample *s, int64_t index, json_t *line, struct prompt **out)
{
    struct prompt *p = calloc(1, sizeof *p);
    if (!p)
        json_decref(line);
    CHECK(p, "out of memory for a prompt");
    *p = (struct prompt){.sample = s, .next = s->open, .at = &s->open, .index = index, .line = line};
    if (p->next)
        p->next->at = &p->next;
    s->open = p;
    *out = p;
    return OK;
}

/* ---- a line of OUT.all.jsonl ----------------------------------------------------------------------------------------------------------------- */

static struct judge_scores scores_of(const struct sampled_response *r)
{
    struct judge_scores scores = {.n = r->judging.n};
    scores.sum = judging_sum(&r->judging, &scores.n_scored);
    return scores;
}

static json_t *response_json(const struct sampled_response *r)
{
    json_t *list = json_array();
    struct judge_scores scores = scores_of(r);
    for (int32_t i = 0; i < r->judging.n; i++) {
        float score = r->judging.candidate[i].judge_score;
        json_array_append_new(list, isnan(score) ? json_null() : json_integer((json_int_t)score));
    }
    return json_pack("{s:s, s:s, s:o, s:o}", "text", r->text, "finish", r->finish == FINISH_LIMIT ? "limit" : "stop", "judge_scores", list, "mean",
                     scores.n_scored > 0 ? json_real((double)scores.sum / scores.n_scored) : json_null());
}

static int add_pair(const struct sampled *s, json_t *line)
{
    int chosen, rejected;
    const struct config *config = s->sampler->judge->config;
    struct judge_scores *scores = calloc((size_t)s->n, sizeof *scores);
    CHECK(scores, "out of memory for the scores of a prompt");
    for (int32_t i = 0; i < s->n; i++)
        scores[i] = scores_of(&s->response[i]);
    if (preference_find(scores, s->n, config->generate.min_scored, config->generate.margin, &chosen, &rejected)) {
        json_object_set_new(line, "chosen", json_string(s->response[chosen].text));
        json_object_set_new(line, "rejected", json_string(s->response[rejected].text));
    }
    free(scores);
    return OK;
}

/* Another cache must not choose other pairs. */
static int put_error(struct prompt *p, int64_t lacks_mb)
{
    struct line_run *run = p->sample->run;
    int64_t index = p->index;
    close_prompt(p);
    (void)FAIL("generate.kv_memory_mb is too small for a critique of a response to the prompt: raise it to %lld", (long long)lacks_mb);
    return line_run_put_error(run, index);
}

static int done(void *owner, struct sampled *sampled)
{
    struct prompt *p = owner;
    struct sample *s = p->sample;
    if (sampled->lacks_mb > 0)
        return put_error(p, sampled->lacks_mb);
    json_t *list = json_array(), *line = json_incref(p->line);
    int64_t index = p->index;
    for (int32_t i = 0; i < sampled->n; i++)
        json_array_append_new(list, response_json(&sampled->response[i]));
    json_object_set_new(line, "responses", list);
    int status = add_pair(sampled, line);
    close_prompt(p);
    if (status != OK) {
        json_decref(line);
        return status;
    }
    return line_run_put(s->run, index, line);
}

/* ---- a line of PROMPTS.jsonl ----------------------------------------------------------------------------------------------------------------- */

/* What readers of preferences would refuse is refused here. */
static int check_names(json_t *line, const char *where, int64_t index)
{
    const char *subset;
    json_t *id = json_object_get(line, "id");
    if (!id || json_is_null(id))
        json_object_set_new(line, "id", json_integer((json_int_t)index));
    else
        CHECK(json_is_string(id) || json_is_integer(id), "%s: \"id\" must be a string or a whole number", where);
    return json_opt_text(line, "subset", where, &subset);
}

static int read_prompt(json_t *line, const char *where, int64_t index, struct message *prompt, int *n)
{
    json_t *value;
    static const char *const ours[] = {"responses", "chosen", "rejected"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        json_object_del(line, ours[i]);
    TRY(check_names(line, where, index));
    TRY(json_get(line, "prompt", where, &value));
    return messages_of_prompt(value, where, prompt, n);
}

static int begin(void *owner, int64_t index, json_t *line, const char *where)
{
    struct sample *s = owner;
    struct message prompt[MAX_MESSAGES];
    struct prompt *p;
    int n;
    TRY(open_prompt(s, index, line, &p));
    int status = read_prompt(line, where, index, prompt, &n);
    if (status == OK)
        status = sampler_submit(&s->sampler, prompt, n, done, p, &p->sampled);
    if (status != OK)
        close_prompt(p);
    return status;
}

/* ---- OUT.jsonl ------------------------------------------------------------------------------------------------------------------------------- */

struct counts { int64_t prompts, errors, pairs, responses, cut, candidates, scored; };

static void count(json_t *line, struct counts *c)
{
    size_t i, k;
    json_t *response, *score, *list = json_object_get(line, "responses");
    c->prompts++;
    c->pairs += json_object_get(line, "chosen") != NULL;
    json_array_foreach(list, i, response) {
        c->responses++;
        c->cut += strcmp(json_string_value(json_object_get(response, "finish")), "limit") == 0;
        json_array_foreach(json_object_get(response, "judge_scores"), k, score) {
            c->candidates++;
            c->scored += json_is_integer(score);
        }
    }
}

static int copy_pair(json_t *line, FILE *file, const char *path)
{
    if (!json_object_get(line, "chosen"))
        return OK;
    json_object_del(line, "responses");
    CHECK(json_dumpf(line, file, JSON_COMPACT) == 0 && fputc('\n', file) != EOF, "cannot write %s: %s", path, strerror(errno));
    return OK;
}

static int copy_pairs(struct lines *lines, FILE *file, const char *path, struct counts *c)
{
    char where[2200];
    for (;;) {
        json_t *line;
        TRY(json_next_line(lines, where, sizeof where, NULL, &line));
        if (!line)
            return OK;
        count(line, c);
        int status = copy_pair(line, file, path);
        json_decref(line);
        TRY(status);
    }
}

static int write_pairs(const struct sample *s, struct counts *c)
{
    struct lines *lines;
    FILE *file = fopen(s->unfinished, "w");
    CHECK(file, "cannot write %s: %s", s->unfinished, strerror(errno));
    int status = lines_open(s->all, &lines);
    if (status == OK) {
        status = copy_pairs(lines, file, s->unfinished, c);
        lines_close(&lines);
    }
    if (fclose(file) != 0 && status == OK)
        status = FAIL("cannot write %s: %s", s->unfinished, strerror(errno));
    return status == OK ? file_publish(s->unfinished, s->pairs) : status;
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------------------- */

static int name_files(struct sample *s)
{
    size_t n = strlen(s->pairs);
    bool has_end = n > 6 && strcmp(s->pairs + n - 6, ".jsonl") == 0;
    CHECK_USAGE(n + 16 < sizeof s->all, "the path %s is too long", s->pairs);
    snprintf(s->all, sizeof s->all, "%.*s.all.jsonl", (int)(has_end ? n - 6 : n), s->pairs);
    snprintf(s->unfinished, sizeof s->unfinished, "%s.tmp", s->pairs);
    return OK;
}

/* A file of pairs that was there before the job began is not ours to replace. */
static int check_output(const struct sample *s)
{
    CHECK(!file_exists(s->pairs) || file_exists(s->all), "%s is there already: remove it, or write to another file", s->pairs);
    return OK;
}

static void report(const struct sample *s, const struct counts *c, double seconds)
{
    struct generator_counts g;
    generator_count(s->session.infer.generator, &g);
    log_info("%s: %lld pairs of %lld prompts, whose best and worst response differ by more than %g", s->pairs, (long long)c->pairs, (long long)c->prompts, s->session.config.generate.margin);
    log_info("%s: %lld responses, %lld cut by the limit; parse rate %.3f (%lld of %lld critiques have a score)", s->all, (long long)c->responses, (long long)c->cut,
             c->candidates > 0 ? (double)c->scored / (double)c->candidates : 0.0, (long long)c->scored, (long long)c->candidates);
    log_info("  rank 0: %lld tokens written, %lld read, in %.1f s: %.0f tokens/s", (long long)g.new_tokens, (long long)g.prefill_tokens, seconds, (double)g.new_tokens / seconds);
}

/* What there was to do is done; status 1 says that it was not what one wanted. */
static int check_counts(const struct sample *s, const struct counts *c)
{
    CHECK(c->errors == 0, "%lld lines of %s could not be sampled: their records in %s say why", (long long)c->errors, s->input, s->all);
    CHECK(c->pairs > 0, "no prompt of %s gave a pair: the judge's mean scores of its best and worst response never differ by more than generate.margin %g, or too few could be read", s->input,
          s->session.config.generate.margin);
    return OK;
}

static int sample(struct sample *s)
{
    double started_s = clock_s();
    struct counts counts = {0};
    struct comm *world = s->session.world;
    TRY(agree_status(world, world->rank == 0 ? check_output(s) : OK));
    TRY(judge_open(&s->session.config, s->session.encoder, s->session.infer.generator, &s->judge));
    sampler_make(&s->session.config, &s->judge, &s->sampler);
    TRY(agree_status(world, sampler_check_cache(&s->sampler)));
    s->job = (struct line_job){.name = "sample", .unit = "prompts", .model = s->model, .input = s->input, .output = s->all, .session = &s->session,
                               .lines_of_block = s->session.config.generate.records_per_part, .begin = begin, .owner = s};
    TRY(line_run_open(&s->job, &s->run));
    TRY(line_run(s->run));
    TRY(agree_status(world, world->rank == 0 ? write_pairs(s, &counts) : OK));      /* before its job is closed: it is not gone on with after that */
    TRY(line_run_finish(s->run, &counts.errors));
    report(s, &counts, clock_s() - started_s);
    return agree_status(world, world->rank == 0 ? check_counts(s, &counts) : OK);
}

int cmd_sample(const struct command *command)
{
    CHECK_USAGE(command->argc == 3, "sample takes three arguments: MODEL PROMPTS.jsonl OUT.jsonl");
    struct sample *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory");
    s->model = command->argv[0];
    s->input = command->argv[1];
    s->pairs = command->argv[2];
    int status = name_files(s);
    if (status == OK)
        status = session_open(command, s->model, command->config.device.batch_invariant == INVARIANT_ON, &s->session);
    if (status == OK)
        status = sample(s);
    if (status == STOPPED)
        log_info("stopped on request, %s holds whole lines: the same command goes on", s->all);
    while (s->open)
        close_prompt(s->open);
    line_run_close(&s->run);
    session_close(&s->session);
    judge_close(&s->judge);
    free(s);
    return status;
}
