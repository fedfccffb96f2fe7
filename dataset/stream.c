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

struct reading { const struct shard *shard; int64_t index; const struct step_plan *plan; const struct plan_part *part; const struct plan_options *options; };

/* A pair's tokens in a row: prompt, both responses, critiques of both. */
struct pair_lengths { int64_t prompt, responses, critiques; };

static struct pair_lengths lengths_of(const struct shard *s, int64_t i)
{
    const uint64_t *of_response = &s->critiques_of_response[2 * i];
    return (struct pair_lengths){(int64_t)(s->prompt[i + 1] - s->prompt[i]), (int64_t)(s->response[2 * i + 2] - s->response[2 * i]),
                                 (int64_t)(s->critique[of_response[2]] - s->critique[of_response[0]])};
}

static int read_tokens(const struct reading *r, const struct pair_lengths *n, uint32_t *token)
{
    TRY(shard_read_prompt(r->shard, r->index, token));
    TRY(shard_read_responses(r->shard, r->index, token + n->prompt));
    return shard_read_critiques_of_pair(r->shard, r->index, token + n->prompt + n->responses);
}

static struct tree_leaf leaf_of(const struct reading *r, int side, int32_t i, const uint32_t *critiques)
{
    const struct shard *s = r->shard;
    const struct plan_leaf *l = &r->plan->leaf[r->part->first_leaf[side] + i];
    struct tokens text = {NULL, 0};
    if (l->critique >= 0) {
        const uint64_t *of_response = &s->critiques_of_response[2 * r->index];
        uint64_t at = of_response[side] + (uint64_t)l->critique;
        text = (struct tokens){critiques + (s->critique[at] - s->critique[of_response[0]]), (int32_t)(s->critique[at + 1] - s->critique[at])};
    }
    return (struct tree_leaf){text, (float)r->part->leaf_weight[side], l->reward};
}

/* The side of a tree whose tokens are there. */
static void lay_side(const struct reading *r, int side, const uint32_t *responses, const uint32_t *critiques, struct tree_leaf *leaf, struct tree *tree)
{
    const uint64_t *response = &r->shard->response[2 * r->index];
    int32_t n = (int32_t)(response[side + 1] - response[side]);
    tree->response[side] = (struct tokens){responses + (response[side] - response[0]), n > r->options->lead_in ? n - r->options->lead_in : n};
    tree->leaf[side] = leaf;
    tree->n_leaves[side] = r->part->n_leaves[side];
    for (int32_t i = 0; i < r->part->n_leaves[side]; i++)
        leaf[i] = leaf_of(r, side, i, critiques);
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
    const struct plan_part *part = r->part;
    struct pair_lengths n = lengths_of(r->shard, r->index);
    int64_t total = n.prompt + n.responses + n.critiques;
    text->token = malloc(((size_t)total + 1) * sizeof *text->token);
    text->leaf = calloc((size_t)(part->n_leaves[0] + part->n_leaves[1]) + 1, sizeof *text->leaf);
    text->comparison = calloc((size_t)part->n_comparisons + 1, sizeof *text->comparison);
    CHECK(text->token && text->leaf && text->comparison, "out of memory for a pair of %lld tokens", (long long)total);
    TRY(read_tokens(r, &n, text->token));
    TRY(check_tokens(r, text->token, total));
    *tree = (struct tree){.prompt = {text->token, (int32_t)n.prompt}, .n_comparisons = part->n_comparisons, .comparison = text->comparison};
    const uint32_t *responses = text->token + n.prompt, *critiques = responses + n.responses;
    lay_side(r, 0, responses, critiques, text->leaf, tree);
    lay_side(r, 1, responses, critiques, text->leaf + part->n_leaves[0], tree);
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

const struct step_batch *data_stream_peek(struct data_stream *s)
{
    pthread_mutex_lock(&s->lock);
    const struct step_batch *out = s->ready && s->status == OK ? &s->ahead : NULL;
    pthread_mutex_unlock(&s->lock);
    return out;
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
