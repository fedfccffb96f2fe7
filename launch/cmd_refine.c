/* refine: candidates (and the backbone, for summarise and rank) -> D_sub, and a report of what was kept (method.md, section 2, steps 2 to 5). Goes on where it stopped. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "comm/agree.h"
#include "launch/part_run.h"
#include "launch/progress.h"
#include "trainer/infer/forced_score.h"
#include "trainer/infer/refining.h"
#include "trainer/model/fingerprint.h"

struct refine {
    const char *input, *folder;
    struct session session;
    struct refiner refiner;
    struct forced_line forced;
    struct part_job job;
    struct candidates *candidates;
    struct part_run *run;
};

/* ---- records --------------------------------------------------------------------------------------------------------------------------------- */

/* A record and its number in the set. */
struct item { struct refine *refine; int64_t number; struct refining *refining; };

static void free_item(void *item)
{
    refining_free(&((struct item *)item)->refining);
    free(item);
}

static int done(void *owner, struct refining *refining)
{
    struct item *item = owner;
    (void)refining;
    return part_run_ready(item->refine->run, item->number);
}

static int begin(void *owner, struct part_run *run, int64_t number, void **out)
{
    struct refine *r = owner;
    struct candidate_record record;
    TRY(candidates_read(r->candidates, number, &record));
    struct item *item = calloc(1, sizeof *item);
    CHECK(item, "out of memory for a record");
    *item = (struct item){r, number, NULL};
    *out = item;
    r->run = run;
    return refining_submit(&r->refiner, &record, done, item, &item->refining);
}

/* ---- summaries of parts ---------------------------------------------------------------------------------------------------------------------- */

struct sums { struct refine_counts counts; double margin, kept_margin; json_int_t n_margins, critique_tokens; json_t *subset; };

static void add_to(json_t *object, const char *key, json_int_t n) { json_object_set_new(object, key, json_integer(json_integer_value(json_object_get(object, key)) + n)); }

static void add_subset(json_t *subsets, const struct refining *r)
{
    json_t *one = json_object_get(subsets, r->subset);
    if (!one) {
        one = json_object();
        json_object_set_new(subsets, r->subset, one);
    }
    add_to(one, "pairs", 1);
    add_to(one, "agree", r->filtered.verdict == PAIR_KEPT);
    add_to(one, "written", r->is_written);
}

static void add_record(struct sums *s, const struct refining *r)
{
    double margin = r->filtered.mean[0] - r->filtered.mean[1];
    refine_counts_add(&s->counts, &r->counts);
    if (isfinite(margin)) {
        s->margin += margin;
        s->n_margins++;
        s->kept_margin += r->filtered.verdict == PAIR_KEPT ? margin : 0.0;
    }
    for (int side = 0; side < 2 && r->is_written; side++)
        for (int32_t i = 0; i < r->record.n_critiques[side]; i++)
            s->critique_tokens += r->record.critique[side][i].text.n;
    add_subset(s->subset, r);
}

static json_t *named(const int64_t *count, int n, const char *(*name)(int))
{
    json_t *object = json_object();
    for (int i = 0; i < n; i++)
        json_object_set_new(object, name(i), json_integer((json_int_t)count[i]));
    return object;
}

static const char *pair_name(int i) { return pair_verdict_name((enum pair_verdict)i); }
static const char *critique_name(int i) { return critique_state_name((enum critique_state)i); }

/* Takes the subsets. */
static json_t *summary_of(struct sums *s)
{
    const struct refine_counts *c = &s->counts;
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:o}", "pairs", named(c->pair, N_PAIR_VERDICTS, pair_name), "candidates", named(c->critique, N_CRITIQUE_STATES, critique_name),
                     "summaries", named(c->summary, N_CRITIQUE_STATES, critique_name), "empty_sides", (json_int_t)c->empty_sides, "written", (json_int_t)c->written, "ungraded",
                     (json_int_t)c->ungraded, "not_shown", (json_int_t)c->not_shown, "critiques_written", (json_int_t)c->critiques_written, "critique_tokens", s->critique_tokens, "margin", s->margin,
                     "kept_margin", s->kept_margin, "margins", s->n_margins, "subsets", s->subset);
}

static int put_items(struct shard_writer *writer, void *const *item, int64_t n, struct sums *sums)
{
    for (int64_t i = 0; i < n; i++) {
        const struct refining *r = ((const struct item *)item[i])->refining;
        add_record(sums, r);
        if (r->is_written)
            TRY(shard_writer_put(writer, &r->record));
    }
    return OK;
}

static int write_part(void *owner, int32_t part, void *const *item, int64_t n, bool writes)
{
    struct refine *r = owner;
    struct shard_writer *writer;
    struct shard_meta meta;
    if (!writes)
        return OK;
    TRY(encoder_meta(r->session.encoder, r->job.parts.meta.model, &meta));      /* the path it was begun with: alike in all files of a set */
    TRY(shard_writer_create(&meta, &writer));
    struct sums sums = {.subset = json_object()};
    int status = put_items(writer, item, n, &sums);
    json_t *summary = summary_of(&sums);
    if (status == OK)
        status = parts_finish_part(&r->job.parts, part, &writer, summary);
    else
        shard_writer_abandon(&writer);
    json_decref(summary);
    return status;
}

/* ---- report ---------------------------------------------------------------------------------------------------------------------------------- */

static json_int_t number(json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }
static double ratio(double a, double b) { return b > 0.0 ? a / b : 0.0; }

static void print_list(const char *what, json_t *object)
{
    char line[512];
    int n = snprintf(line, sizeof line, "  %s:", what);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
        if (n < (int)sizeof line)
            n += snprintf(line + n, sizeof line - (size_t)n, " %lld %s;", (long long)json_integer_value(value), key);
    log_info("%s", line);
}

static void print_subsets(json_t *subsets)
{
    const char *key;
    json_t *one;
    json_object_foreach(subsets, key, one)
        log_info("  subset %s: %lld pairs, the judge agrees with %.1f %%, %lld written", *key ? key : "(none)", (long long)number(one, "pairs"),
                 100.0 * ratio((double)number(one, "agree"), (double)number(one, "pairs")), (long long)number(one, "written"));
}

static void print_report(const struct refine *r, json_t *total)
{
    json_t *pairs = json_object_get(total, "pairs");
    double kept = (double)json_integer_value(json_object_get(pairs, pair_verdict_name(PAIR_KEPT)));
    log_info("%s: %lld pairs written of %lld, with %lld critiques of %.1f tokens on average", r->folder, (long long)number(total, "written"), (long long)r->candidates->n_records,
             (long long)number(total, "critiques_written"), ratio((double)number(total, "critique_tokens"), (double)number(total, "critiques_written")));
    print_list("pairs", pairs);
    log_info("  of the kept ones %lld had a side without a usable critique", (long long)number(total, "empty_sides"));
    print_list("candidates of kept pairs", json_object_get(total, "candidates"));
    if (r->session.config.generate.refine == REFINE_SUMMARISE)
        print_list("summaries", json_object_get(total, "summaries"));
    if (r->session.config.generate.refine == REFINE_RANK)
        log_info("  %lld critiques without a quality", (long long)number(total, "ungraded"));
    log_info("  mean score of chosen less rejected: %.3f over all scored pairs, %.3f over kept ones", ratio(json_real_value(json_object_get(total, "margin")), (double)number(total, "margins")),
             ratio(json_real_value(json_object_get(total, "kept_margin")), kept));
    print_subsets(json_object_get(total, "subsets"));
}

static void say_why_empty(json_t *total, char *out, size_t size)
{
    json_t *pairs = json_object_get(total, "pairs");
    snprintf(out, size, "D_sub would be empty: of the pairs %lld are contradicted by the judge's scores, %lld tied, %lld have too few scores, %lld equal responses, and %lld a side without a usable critique (empty, cut, without a score, or on a path longer than data.max_path_tokens)%s",
             (long long)number(pairs, pair_verdict_name(PAIR_CONTRADICTS)), (long long)number(pairs, pair_verdict_name(PAIR_TIE)), (long long)number(pairs, pair_verdict_name(PAIR_TOO_FEW_SCORES)),
             (long long)number(pairs, pair_verdict_name(PAIR_EQUAL_RESPONSES)), (long long)number(total, "empty_sides"),
             number(pairs, pair_verdict_name(PAIR_TOO_FEW_SCORES)) > 0 ? ". A judge that seldom writes a score may be made to: critique with generate.force_score=true" : "");
}

static int report(const struct refine *r)
{
    json_t *total;
    char why[512];
    int64_t n_pairs;
    TRY(part_run_totals(&r->job.parts, &total));
    print_report(r, total);
    say_why_empty(total, why, sizeof why);
    json_decref(total);
    return parts_complete(&r->job.parts, why, &n_pairs);
}

/* ---- the command ----------------------------------------------------------------------------------------------------------------------------- */

/* The nodes of the candidates stand in D_sub as they are: tokenizer and template must be the same. */
static int check_meta(const struct refine *r, const struct shard_meta *mine)
{
    char template[HASH_HEX_SIZE];
    const struct shard_meta *theirs = &r->candidates->meta;
    hash_to_hex(r->session.encoder->template.hash, template);
    CHECK(strcmp(mine->tokenizer, theirs->tokenizer) == 0, "%s was made with another tokenizer than backbone.path's: name the folder of %s", r->input, theirs->model);
    CHECK(strcmp(template, theirs->template) == 0, "%s was made with another chat template: set data.template, data.system and data.today_date as they were", r->input);
    return OK;
}

static int begin_parts(struct refine *r)
{
    uint64_t fingerprint;
    struct shard_meta meta;
    struct parts_input input = {.path = r->input, .hash = r->candidates->hash, .n_records = r->candidates->n_records};
    TRY(encoder_meta(r->session.encoder, r->session.config.backbone.path, &meta));
    TRY(check_meta(r, &meta));
    TRY(fingerprint_of(&r->session.config, r->session.checkpoint, &fingerprint));
    return parts_begin(r->folder, &set_dsub, &input, &meta, fingerprint, &r->session.config);
}

static int refine(struct refine *r)
{
    bool complete;
    struct comm *world = r->session.world;
    TRY(agree_status(world, candidates_open(r->input, &r->candidates)));
    TRY(agree_status(world, world->rank == 0 ? begin_parts(r) : OK));
    TRY(agree_status(world, parts_open(r->folder, &set_dsub, &r->job.parts)));
    TRY(part_run_is_complete(&r->session, &r->job.parts, &complete));
    if (complete) {
        log_info("%s is complete", r->folder);
        return OK;
    }
    bool forces = r->session.config.generate.force_score;
    TRY(forces ? forced_score_make(r->session.encoder->tokenizer, &r->forced) : OK);
    r->refiner = (struct refiner){&r->session.config, r->session.encoder, r->session.infer.generator, forces ? &r->forced : NULL, r->session.infer.model.max_position};
    TRY(part_run(&r->job));
    return agree_status(world, world->rank == 0 ? report(r) : OK);
}

int cmd_refine(const struct command *command)
{
    CHECK_USAGE(command->argc == 2, "refine takes two arguments: CANDIDATES_DIR OUT_DIR");
    struct refine *r = calloc(1, sizeof *r);
    CHECK(r, "out of memory");
    r->input = command->argv[0];
    r->folder = command->argv[1];
    r->job = (struct part_job){.name = "refine", .session = &r->session, .begin = begin, .write = write_part, .free_item = free_item, .owner = r};
    int status = session_open(command, NULL, command->config.device.batch_invariant == INVARIANT_ON, &r->session);
    if (status == OK)
        status = refine(r);
    if (status == STOPPED)
        log_info("stopped on request, finished parts are kept: the same command goes on");
    session_close(&r->session);
    forced_score_free(&r->forced);
    candidates_close(&r->candidates);
    free(r);
    return status;
}
