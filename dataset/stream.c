/* stream: one batch ready ahead, handed over under a lock. */
#include "dataset/stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/h5.h"
#include "base/status.h"

/* ---- batch ----------------------------------------------------------------------------------------------------------------------------------- */

/* Tokens of one part, read from its shard, and the tree that points into them. */
struct part_text { uint32_t *token; struct tree_leaf *leaf; struct tree_comparison *comparison; };

static void part_text_free(struct part_text *t)
{
    free(t->token);
    free(t->leaf);
    free(t->comparison);
}

/* Where critique i of a response starts among the response's critiques, in tokens. */
static int64_t critique_offset(const struct shard *s, int64_t pair, int side, int32_t i)
{
    uint64_t first = s->critiques_of_response[2 * pair + side];
    return (int64_t)(s->critique[first + (uint64_t)i] - s->critique[first]);
}

static int64_t critiques_length(const struct shard *s, int64_t pair, int side)
{
    return (int64_t)(s->critique[s->critiques_of_response[2 * pair + side + 1]] - s->critique[s->critiques_of_response[2 * pair + side]]);
}

struct reading { const struct shard *shard; int64_t index; const struct step_plan *plan; const struct plan_part *part; const struct plan_options *options; };

static int read_side(const struct reading *r, int side, uint32_t **at, struct tree_leaf **leaf, struct tree *tree)
{
    const struct plan_part *part = r->part;
    int32_t n = (int32_t)(r->shard->response[2 * r->index + side + 1] - r->shard->response[2 * r->index + side]);
    TRY(shard_read_response(r->shard, r->index, side, *at));
    tree->response[side] = (struct tokens){*at, n > r->options->lead_in ? n - r->options->lead_in : n};
    *at += n;
    TRY(shard_read_critiques(r->shard, r->index, side, *at));
    tree->leaf[side] = *leaf;
    tree->n_leaves[side] = part->n_leaves[side];
    for (int32_t i = 0; i < part->n_leaves[side]; i++) {
        const struct plan_leaf *l = &r->plan->leaf[part->first_leaf[side] + i];
        struct tokens text = {NULL, 0};
        if (l->critique >= 0) {
            int64_t from = critique_offset(r->shard, r->index, side, l->critique), to = critique_offset(r->shard, r->index, side, l->critique + 1);
            text = (struct tokens){*at + from, (int32_t)(to - from)};
        }
        *(*leaf)++ = (struct tree_leaf){text, (float)part->leaf_weight[side], l->reward};
    }
    *at += critiques_length(r->shard, r->index, side);
    return OK;
}

static int check_tokens(const struct reading *r, const uint32_t *token, int64_t n)
{
    int64_t vocabulary = r->options->vocabulary;
    for (int64_t i = 0; i < n && vocabulary > 0; i++)
        CHECK((int64_t)token[i] < vocabulary, "%s: token %u of pair %llu is outside the model's vocabulary of %lld: the set was made for another model, or is damaged", h5_path(r->shard->file),
              token[i], (unsigned long long)r->shard->source[r->index], (long long)vocabulary);
    return OK;
}

static int read_part(const struct reading *r, struct part_text *text, struct tree *tree)
{
    const struct shard *s = r->shard;
    const struct plan_part *part = r->part;
    int64_t n = (int64_t)(s->prompt[r->index + 1] - s->prompt[r->index]), total = n;
    for (int side = 0; side < 2; side++)
        total += (int64_t)(s->response[2 * r->index + side + 1] - s->response[2 * r->index + side]) + critiques_length(s, r->index, side);
    text->token = malloc(((size_t)total + 1) * sizeof *text->token);
    text->leaf = calloc((size_t)(part->n_leaves[0] + part->n_leaves[1]) + 1, sizeof *text->leaf);
    text->comparison = calloc((size_t)part->n_comparisons + 1, sizeof *text->comparison);
    CHECK(text->token && text->leaf && text->comparison, "out of memory for a pair of %lld tokens", (long long)total);
    uint32_t *at = text->token;
    struct tree_leaf *leaf = text->leaf;
    TRY(shard_read_prompt(s, r->index, at));
    *tree = (struct tree){.prompt = {at, (int32_t)n}, .n_comparisons = part->n_comparisons, .comparison = text->comparison};
    at += n;
    TRY(read_side(r, 0, &at, &leaf, tree));
    TRY(read_side(r, 1, &at, &leaf, tree));
    TRY(check_tokens(r, text->token, total));
    for (int32_t i = 0; i < part->n_comparisons; i++) {
        struct plan_comparison c = r->plan->comparison[part->first_comparison + i];
        text->comparison[i] = (struct tree_comparison){c.chosen, c.rejected, (float)part->comparison_weight};
    }
    return OK;
}

static int make_forest(const struct dsub_view *view, const struct step_plan *plan, const struct plan_options *options, const struct forest_layout *layout, int rank, int micro_batch,
                       struct forest *out)
{
    int status = OK, n = 0;
    struct part_text *text = calloc((size_t)plan->n_parts + 1, sizeof *text);
    struct tree *tree = calloc((size_t)plan->n_parts + 1, sizeof *tree);
    CHECK_DONE(text && tree, "out of memory for a micro-batch");
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        if (part->data_rank != rank || part->micro_batch != micro_batch)
            continue;
        struct dsub_pair at = view->dsub->pair[view->number[part->pair]];
        struct reading r = {view->dsub->shard[at.file], at.index, plan, part, options};
        TRY_DONE(read_part(&r, &text[n], &tree[n]));
        n++;
    }
    TRY_DONE(forest_build(tree, n, layout, out));
done:
    for (int64_t i = 0; text && i < plan->n_parts; i++)
        part_text_free(&text[i]);
    free(text);
    free(tree);
    return status;
}

int step_batch_make(const struct dsub_view *view, const struct step_plan *plan, const struct plan_options *options, const struct forest_layout *layout, int data_rank, struct step_batch *out)
{
    *out = (struct step_batch){.step = plan->step, .epoch = plan->epoch, .n_pairs = plan->n_pairs, .n_targets = plan->n_targets, .n_comparisons = plan->n_comparisons,
                               .tokens = plan->tokens, .tokens_unshared = plan->tokens_unshared, .operations = plan->operations};
    out->forest = calloc((size_t)plan->n_micro_batches + 1, sizeof *out->forest);
    CHECK(out->forest, "out of memory for a step of %d micro-batches", plan->n_micro_batches);
    for (int m = 0; m < plan->n_micro_batches; m++) {
        int status = make_forest(view, plan, options, layout, data_rank, m, &out->forest[m]);
        if (status != OK) {
            step_batch_free(out);
            return status;
        }
        out->n_micro_batches++;
    }
    return OK;
}

void step_batch_free(struct step_batch *batch)
{
    for (int m = 0; m < batch->n_micro_batches; m++)
        forest_free(&batch->forest[m]);
    free(batch->forest);
    *batch = (struct step_batch){0};
}

/* ---- prefetch -------------------------------------------------------------------------------------------------------------------------------- */

struct data_stream {
    const struct dsub_view *view;
    struct plan *plan;
    struct plan_options options;
    struct forest_layout layout;
    int data_rank;
    int64_t next, end;          /* the thread's */
    struct step_batch current;  /* the caller's */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ready, closing, ended; /* ready: `ahead`, or a failure, waits to be taken; ended: the thread makes no more */
    struct step_batch ahead;
    int status;
    struct trace trace;
};

static int make_next(struct data_stream *s, struct step_batch *out)
{
    const struct step_plan *plan;
    TRY(plan_step(s->plan, s->next, &plan));
    return step_batch_make(s->view, plan, &s->options, &s->layout, s->data_rank, out);
}

/* Waits for room, then leaves the batch or the failure; false when there is nothing more to do. */
static bool hand_over(struct data_stream *s, struct step_batch *made, int status)
{
    pthread_mutex_lock(&s->lock);
    while (s->ready && !s->closing)
        pthread_cond_wait(&s->changed, &s->lock);
    bool closing = s->closing;
    if (closing) {
        step_batch_free(made);
    } else {
        s->ahead = *made;
        s->status = status;
        if (status != OK)
            trace_take(&s->trace);
        s->ready = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return !closing && status == OK;
}

static void *work(void *context)
{
    struct data_stream *s = context;
    for (bool go_on = true; go_on && s->next < s->end; s->next++) {
        struct step_batch made = {0};
        int status = make_next(s, &made);
        go_on = hand_over(s, &made, status);
    }
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int data_stream_open(const struct dsub_view *view, struct plan *plan, const struct plan_options *options, const struct forest_layout *layout, int data_rank, int64_t first_step,
                     int64_t end_step, struct data_stream **out)
{
    struct data_stream *s = calloc(1, sizeof *s);
    CHECK(s, "out of memory for the data stream");
    s->view = view;
    s->plan = plan;
    s->options = *options;
    s->layout = *layout;
    s->data_rank = data_rank;
    s->next = first_step;
    s->end = end_step;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->thread, NULL, work, s) != 0) {
        pthread_mutex_destroy(&s->lock);
        pthread_cond_destroy(&s->changed);
        free(s);
        return FAIL("cannot start the thread that reads data");
    }
    *out = s;
    return OK;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int data_stream_next(struct data_stream *s, const struct step_batch **out)
{
    double start_s = now_s();
    step_batch_free(&s->current);
    pthread_mutex_lock(&s->lock);
    while (!s->ready && !s->ended)
        pthread_cond_wait(&s->changed, &s->lock);
    ASSERT(s->ready);           /* the caller asks for no step at or behind end_step */
    int status = s->status;
    s->current = s->ahead;
    s->ahead = (struct step_batch){0};
    s->ready = status != OK;    /* a failure stays */
    if (status != OK)
        trace_put(&s->trace);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    s->current.wait_seconds = now_s() - start_s;
    *out = &s->current;
    return status;
}

void data_stream_close(struct data_stream **out)
{
    struct data_stream *s = *out;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    step_batch_free(&s->current);
    step_batch_free(&s->ahead);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
    *out = NULL;
}
