/* critique: preferences and a backbone -> candidates with scores (method.md, section 2, step 1). Goes on where it stopped. */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "comm/agree.h"
#include "dataset/pairs.h"
#include "launch/part_run.h"
#include "launch/progress.h"
#include "trainer/infer/judged.h"
#include "trainer/model/fingerprint.h"

struct critique {
    const char *input, *folder;
    struct session session;
    struct judge judge;
    struct part_job job;
    struct pairs *pairs;
    const struct pair_record *at;       /* the record read last */
    struct part_run *run;
};

/* ---- records --------------------------------------------------------------------------------------------------------------------------------- */

struct item { struct judged *judged; };

/* The ranks of a tensor group judge the same records: one of them names what it refuses. */
static int done(void *owner, struct judged *judged)
{
    struct critique *c = owner;
    if (judged->skip == JUDGE_REFUSED && c->session.mesh->tensor->rank == 0)
        log_warn("%s is not judged: %s", c->at->where, judged->why);
    return part_run_ready(c->run, (int64_t)judged->record.source);
}

static int begin(void *owner, struct part_run *run, int64_t record, void **out)
{
    struct critique *c = owner;
    struct item *item = calloc(1, sizeof *item);
    CHECK(item, "out of memory for a record");
    *out = item;
    c->run = run;
    do {
        TRY(pairs_next(c->pairs, &c->at));
        CHECK(c->at, "%s ends before record %lld, though it had more when this job began: it must not change meanwhile", c->input, (long long)record);
    } while (c->at->number < record);
    return judged_submit(&c->judge, c->at, done, c, &item->judged);
}

static void free_item(void *item)
{
    judged_free(&((struct item *)item)->judged);
    free(item);
}

/* ---- parts ----------------------------------------------------------------------------------------------------------------------------------- */

struct counts { json_int_t records, equal, diverging, no_room, refused, candidates, scored, cut, histogram[10]; };

static void count(struct counts *n, const struct judged *j)
{
    n->records++;
    n->equal += j->skip == JUDGE_EQUAL;
    n->diverging += j->skip == JUDGE_DIVERGES;
    n->no_room += j->skip == JUDGE_NO_ROOM;
    n->refused += j->skip == JUDGE_REFUSED;
    for (int side = 0; side < 2; side++)
        for (int32_t i = 0; i < j->record.n_candidates[side]; i++) {
            const struct candidate *c = &j->record.candidate[side][i];
            n->candidates++;
            n->cut += c->finish == FINISH_LIMIT;
            n->scored += !isnan(c->judge_score);
            if (!isnan(c->judge_score))
                n->histogram[(int)c->judge_score - 1]++;
        }
}

static json_t *summary_of(const struct counts *n)
{
    json_t *list = json_array();
    for (int i = 0; i < 10; i++)
        json_array_append_new(list, json_integer(n->histogram[i]));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "records", n->records, "equal_responses", n->equal, "without_common_prompt", n->diverging, "no_room", n->no_room, "refused",
                     n->refused, "candidates", n->candidates, "scored", n->scored, "cut", n->cut, "scores", list);
}

static bool is_kept(const struct judged *j) { return j->skip == JUDGE_ASKED || j->skip == JUDGE_EQUAL; }

static int write_part(void *owner, int32_t part, void *const *item, int64_t n, bool writes)
{
    struct critique *c = owner;
    struct shard_writer *writer;
    struct counts counts = {0};
    if (!writes)
        return OK;
    int status = candidates_part_create(&c->job.parts.meta, &writer);
    for (int64_t i = 0; i < n && status == OK; i++) {
        const struct judged *j = ((const struct item *)item[i])->judged;
        count(&counts, j);
        if (is_kept(j))
            status = candidates_part_put(writer, &j->record);
    }
    if (status != OK) {
        shard_writer_abandon(&writer);
        return status;
    }
    json_t *summary = summary_of(&counts);
    status = parts_finish_part(&c->job.parts, part, &writer, summary);
    json_decref(summary);
    return status;
}

/* ---- report ---------------------------------------------------------------------------------------------------------------------------------- */

static json_int_t number(json_t *total, const char *key) { return json_integer_value(json_object_get(total, key)); }

static void print_report(const char *folder, json_t *total, double seconds, const struct generator_counts *counts)
{
    json_int_t n = number(total, "candidates"), scored = number(total, "scored");
    json_t *scores = json_object_get(total, "scores");
    log_info("%s: %lld records, %lld candidates; parse rate %.3f (%lld have a score), %lld cut by the limit", folder, (long long)number(total, "records"), (long long)n,
             n > 0 ? (double)scored / (double)n : 0.0, (long long)scored, (long long)number(total, "cut"));
    if (n > 0 && scored * 10 < n)
        log_warn("hardly a critique has a score: this model does not judge as it is asked to; generate.force_score=true makes it end each critique with one");
    for (size_t i = 0; i < json_array_size(scores); i++)
        log_info("  score %2zu: %6lld  %5.1f %%", i + 1, (long long)json_integer_value(json_array_get(scores, i)),
                 scored > 0 ? 100.0 * (double)json_integer_value(json_array_get(scores, i)) / (double)scored : 0.0);
    log_info("  not judged: %lld pairs with equal responses, %lld without a common prompt, %lld without room for a critique, %lld that cannot be rendered",
             (long long)number(total, "equal_responses"), (long long)number(total, "without_common_prompt"), (long long)number(total, "no_room"), (long long)number(total, "refused"));
    log_info("  rank 0: %lld tokens written, %lld read, in %.1f s: %.0f tokens/s", (long long)counts->new_tokens, (long long)counts->prefill_tokens, seconds, (double)counts->new_tokens / seconds);
}

static int report(struct critique *c, double seconds)
{
    json_t *total;
    int64_t n_pairs;
    struct generator_counts counts;
    TRY(parts_complete(&c->job.parts, "no record could be judged", &n_pairs));
    TRY(part_run_totals(&c->job.parts, &total));
    generator_count(c->session.infer.generator, &counts);
    print_report(c->folder, total, seconds, &counts);
    json_decref(total);
    return OK;
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------------------- */

static int count_record(void *owner, const struct pair_record *record)
{
    CHECK(!record->conversation, "a conversation is not a pair of responses to judge");
    ++*(int64_t *)owner;
    return OK;
}

/* Rank 0 reads the whole input once: a malformed line is said before any work is done. */
static int begin_parts(struct critique *c)
{
    int64_t n = 0;
    uint64_t fingerprint;
    struct parts_input input;
    struct shard_meta meta;
    const struct encoder *e = c->session.encoder;
    TRY(pairs_each(c->input, count_record, &n));
    CHECK(n > 0, "%s holds no record", c->input);
    TRY(parts_input_file(c->input, n, &input));
    TRY(candidates_meta(e, e->instruction[INSTRUCTION_JUDGE].source, c->session.config.backbone.path, &meta));
    TRY(fingerprint_of(&c->session.config, c->session.checkpoint, &fingerprint));
    return parts_begin(c->folder, &set_candidates, &input, &meta, fingerprint, &c->session.config);
}

static int critique(struct critique *c)
{
    bool complete;
    double started_s = clock_s();
    struct comm *world = c->session.world;
    TRY(agree_status(world, world->rank == 0 ? begin_parts(c) : OK));
    TRY(agree_status(world, parts_open(c->folder, &set_candidates, &c->job.parts)));
    TRY(part_run_is_complete(&c->session, &c->job.parts, &complete));
    if (complete) {
        log_info("%s is complete", c->folder);
        return OK;
    }
    TRY(agree_status(world, pairs_open(c->input, &c->pairs)));
    TRY(judge_open(&c->session.config, c->session.encoder, c->session.infer.generator, &c->judge));
    TRY(part_run(&c->job));
    return agree_status(world, world->rank == 0 ? report(c, clock_s() - started_s) : OK);
}

int cmd_critique(const struct command *command)
{
    CHECK_USAGE(command->argc == 2, "critique takes two arguments: PAIRS.jsonl OUT_DIR");
    struct critique *c = calloc(1, sizeof *c);
    CHECK(c, "out of memory");
    c->input = command->argv[0];
    c->folder = command->argv[1];
    c->job = (struct part_job){.name = "critique", .session = &c->session, .begin = begin, .write = write_part, .free_item = free_item, .owner = c};
    int status = session_open(command, NULL, command->config.device.batch_invariant == INVARIANT_ON, &c->session);
    if (status == OK)
        status = critique(c);
    if (status == STOPPED)
        log_info("stopped on request, finished parts are kept: the same command goes on");
    session_close(&c->session);
    judge_close(&c->judge);
    pairs_close(&c->pairs);
    free(c);
    return status;
}
