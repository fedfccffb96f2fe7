/* generator: see generator.h. Calls wait in order; samples of the first call are admitted while the cache can promise them their pages; a pass lays out the rows of what
 * runs, and takes what was drawn. */
#include "trainer/infer/generator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "trainer/infer/readout.h"
#include "trainer/infer/rows.h"
#include "trainer/infer/sequence.h"

struct waiting_call {
    struct generator_call call;
    struct waiting_call *next;
    uint32_t *token;            /* of all nodes */
    uint64_t id;                /* of the path's tokens, for random numbers */
    int64_t n_path;
    int32_t n_admitted, n_done;
};

struct running {
    struct waiting_call *call;
    struct prefix_node *leaf;
    struct sequence sequence;
    int32_t index;              /* of the sample */
    int32_t *page, n_pages, n_promised;
    int32_t row;                /* of this pass whose hidden state is read; -1: none */
};

struct generator {
    struct generator_options options;
    const struct model_config *model;
    struct backbone *backbone;
    const struct tokenizer *tokenizer;
    int row_multiple;
    struct readout *readout;
    struct kv_cache *cache;
    size_t page_bytes;                  /* of the cache */
    struct prefix_tree prefixes;
    struct waiting_call *first, *last;  /* not all samples admitted yet */
    struct running *running;            /* [max_rows] */
    int64_t n_running;
    bool stuck;                         /* the first call found no pages, and none was given back since */
    struct rows rows;
    /* what a pass reads, [max_rows] */
    int32_t *row;
    struct sample_rule *rule;
    uint32_t *drawn, *allowed;
    int32_t *drawer;                    /* index into running */
    float *reward;
    struct generator_counts counts;
};

/* ---- opening --------------------------------------------------------------------------------------------------------------------------------- */

static int alloc(struct generator *g)
{
    size_t n = (size_t)g->options.max_rows;
    g->running = calloc(n, sizeof *g->running);
    g->row = calloc(n, sizeof *g->row);
    g->rule = calloc(n, sizeof *g->rule);
    g->drawn = calloc(n, sizeof *g->drawn);
    g->drawer = calloc(n, sizeof *g->drawer);
    g->reward = calloc(n, sizeof *g->reward);
    g->allowed = calloc(n * (GENERATOR_MAX_FORCED + 1), sizeof *g->allowed);
    CHECK(g->running && g->row && g->rule && g->drawn && g->drawer && g->reward && g->allowed, "out of memory for a generator of %zu rows", n);
    return rows_create(g->options.max_rows, &g->rows);
}

int generator_create(const struct generator_options *options, const struct model_config *model, struct store *store, struct backbone *backbone, const struct tokenizer *tokenizer,
                     struct generator **out)
{
    int status = OK;
    struct generator *g = calloc(1, sizeof *g);
    CHECK(g, "out of memory for the generator");
    g->row_multiple = store->mesh->tensor->size;
    g->options = *options;
    g->options.max_rows -= options->max_rows % g->row_multiple;
    g->model = model;
    g->backbone = backbone;
    g->tokenizer = tokenizer;
    TRY_DONE(alloc(g));
    TRY_DONE(readout_create(model, store, g->options.max_rows, &g->readout));
    TRY_DONE(kv_cache_create(model, store->device, store->dtype, store->mesh->tensor->size, options->kv_bytes, &g->cache));
    g->page_bytes = kv_slot_bytes(model, store->dtype, store->mesh->tensor->size) * ATTENTION_PAGE;
    g->prefixes.cache = g->cache;
    *out = g;
    return OK;
done:
    generator_destroy(&g);
    return status;
}

static void free_call(struct waiting_call *c)
{
    free(c->token);
    free(c);
}

static void free_running(struct generator *g, struct running *r)
{
    for (int32_t i = 0; i < r->n_pages; i++)
        kv_cache_give_back(g->cache, r->page[i]);
    kv_cache_unreserve(g->cache, r->n_promised);
    g->stuck = false;
    if (r->leaf)
        prefix_release(&g->prefixes, r->leaf);
    sequence_end(&r->sequence);
    free(r->page);
}

/* Calls are freed with their last sample, or here where work was left. */
static void drop_work(struct generator *g)
{
    while (g->n_running > 0) {
        struct running *r = &g->running[--g->n_running];
        struct waiting_call *call = r->call;
        free_running(g, r);
        if (++call->n_done == call->n_admitted && call->n_admitted == call->call.n_samples)
            free_call(call);
    }
    for (struct waiting_call *c = g->first, *next; c; c = next) {
        next = c->next;
        free_call(c);
    }
}

void generator_destroy(struct generator **out)
{
    struct generator *g = *out;
    if (!g)
        return;
    drop_work(g);
    if (g->cache)
        prefix_tree_free(&g->prefixes);
    kv_cache_destroy(&g->cache);
    readout_destroy(&g->readout);
    rows_free(&g->rows);
    free(g->running);
    free(g->row);
    free(g->rule);
    free(g->drawn);
    free(g->drawer);
    free(g->reward);
    free(g->allowed);
    free(g);
    *out = NULL;
}

/* ---- calls ----------------------------------------------------------------------------------------------------------------------------------- */

/* The rule with its text shortened to what the context leaves; max_new <= 0 where that is none (below 0 where no text is wanted). */
static struct generator_rule shortened(const struct generator *g, int64_t n_path, const struct generator_rule *rule)
{
    struct generator_rule out = *rule;
    int64_t room = g->model->max_position - n_path - (sequence_most_tokens(rule) - rule->max_new);
    out.max_new = rule->max_new < room ? rule->max_new : room;
    return out;
}

static int64_t tokens_of(const struct tokens *node, int n_nodes)
{
    int64_t n = 0;
    for (int i = 0; i < n_nodes; i++)
        n += node[i].n;
    return n;
}

static int64_t pages_of(const struct tokens *node, int n_nodes, const struct generator_rule *rule)
{
    int64_t pages = kv_pages(sequence_most_tokens(rule));
    for (int i = 0; i < n_nodes; i++)
        pages += kv_pages(node[i].n);
    return pages;
}

enum generator_fit generator_fits(const struct generator *g, const struct tokens *node, int n_nodes, const struct generator_rule *rule)
{
    struct generator_rule shorter = shortened(g, tokens_of(node, n_nodes), rule);
    if (shorter.max_new < (rule->max_new > 0))
        return GENERATOR_NO_CONTEXT;
    return pages_of(node, n_nodes, &shorter) <= g->cache->n_pages ? GENERATOR_FITS : GENERATOR_NO_CACHE;
}

int64_t generator_kv_memory_mb(const struct generator *g, const struct tokens *node, int n_nodes, const struct generator_rule *rule)
{
    struct generator_rule shorter = shortened(g, tokens_of(node, n_nodes), rule);
    return (int64_t)(((size_t)pages_of(node, n_nodes, &shorter) * g->page_bytes + (1 << 20) - 1) >> 20);
}

int generator_refuse_cache(const struct generator *g, const struct tokens *node, int n_nodes, const struct generator_rule *rule, int status)
{
    int64_t n_path = tokens_of(node, n_nodes);
    struct generator_rule shorter = shortened(g, n_path, rule);
    return fail_at(__FILE__, __LINE__, status, "generate.kv_memory_mb is too small for a path of %lld tokens and a text of %lld: it holds %lld tokens, and %lld are needed: raise it to %lld",
                   (long long)n_path, (long long)shorter.max_new, (long long)g->cache->n_pages * ATTENTION_PAGE, (long long)pages_of(node, n_nodes, &shorter) * ATTENTION_PAGE,
                   (long long)generator_kv_memory_mb(g, node, n_nodes, rule));
}

static int copy_tokens(struct waiting_call *c)
{
    int64_t at = 0;
    c->n_path = tokens_of(c->call.node, c->call.n_nodes);
    c->token = malloc((size_t)c->n_path * sizeof *c->token);
    CHECK(c->token, "out of memory for a path of %lld tokens", (long long)c->n_path);
    for (int i = 0; i < c->call.n_nodes; i++) {
        struct tokens *node = &c->call.node[i];
        ASSERT(node->n > 0);
        memcpy(c->token + at, node->token, (size_t)node->n * sizeof *node->token);
        node->token = c->token + at;
        at += node->n;
    }
    c->id = hash_bytes(c->token, (size_t)c->n_path * sizeof *c->token, 0);
    return OK;
}

static int check_room(const struct generator *g, struct waiting_call *c)
{
    enum generator_fit fit = generator_fits(g, c->call.node, c->call.n_nodes, &c->call.rule);
    CHECK(fit != GENERATOR_NO_CONTEXT, "a path of %lld tokens leaves no room for a text: the model reads %lld positions", (long long)c->n_path, (long long)g->model->max_position);
    if (fit == GENERATOR_NO_CACHE)
        return generator_refuse_cache(g, c->call.node, c->call.n_nodes, &c->call.rule, USAGE);
    c->call.rule = shortened(g, c->n_path, &c->call.rule);
    return OK;
}

int generator_submit(struct generator *g, const struct generator_call *call)
{
    struct waiting_call *c = calloc(1, sizeof *c);
    CHECK(c, "out of memory for a call");
    ASSERT(call->n_nodes > 0 && call->n_nodes <= GENERATOR_MAX_NODES && call->n_samples > 0 && (call->rule.max_new > 0 || call->rule.read_reward));
    c->call = *call;
    int status = copy_tokens(c);
    if (status == OK)
        status = check_room(g, c);
    if (status != OK) {
        free_call(c);
        return status;
    }
    if (g->last)
        g->last->next = c;
    else
        g->first = c;
    g->last = c;
    return OK;
}

bool generator_wants(const struct generator *g) { return !g->first; }
bool generator_is_idle(const struct generator *g) { return !g->first && g->n_running == 0; }

void generator_count(const struct generator *g, struct generator_counts *out)
{
    *out = g->counts;
    out->prefill_tokens = g->prefixes.n_computed;
    out->running = g->n_running;
}

/* ---- admission ------------------------------------------------------------------------------------------------------------------------------- */

static int begin(struct generator *g, struct waiting_call *c, int32_t n_promised)
{
    struct running *r = &g->running[g->n_running];
    *r = (struct running){.call = c, .index = c->call.first_sample + c->n_admitted, .n_promised = n_promised};
    struct philox random = philox_make(g->options.seed, PHILOX_SAMPLING, (uint32_t)r->index, c->id);
    g->n_running++;
    c->n_admitted++;
    TRY(prefix_hold(&g->prefixes, c->call.node, c->call.n_nodes, &r->leaf));
    r->page = calloc((size_t)n_promised + 1, sizeof *r->page);
    CHECK(r->page, "out of memory for a sequence");
    return sequence_begin(&c->call.rule, &g->options, g->tokenizer, &random, &r->sequence);
}

/* The first call's next sample, when there is room for it in the pass and in the cache. */
static int admit_one(struct generator *g, bool *admitted)
{
    struct waiting_call *c = g->first;
    *admitted = false;
    if (!c || g->stuck || g->n_running == g->options.max_rows)
        return OK;
    int32_t own = kv_pages(sequence_most_tokens(&c->call.rule)), path = prefix_missing_pages(&g->prefixes, c->call.node, c->call.n_nodes);
    g->stuck = !prefix_reserve(&g->prefixes, own + path, c->call.node, c->call.n_nodes);
    if (g->stuck)
        return OK;
    if (c->n_admitted + 1 == c->call.n_samples) {       /* the call is its samples' from then on, also where the last one cannot begin */
        g->first = c->next;
        g->last = g->first ? g->last : NULL;
    }
    *admitted = true;
    return begin(g, c, own);
}

/* ---- a pass ---------------------------------------------------------------------------------------------------------------------------------- */

/* Pages for the sequence's slots up to n. */
static void take_pages(struct generator *g, struct running *r, int32_t n)
{
    for (; r->n_pages < kv_pages(n); r->n_promised--) {
        r->page[r->n_pages] = kv_cache_take(g->cache, r->n_pages > 0 ? r->page[r->n_pages - 1] : -1);
        r->n_pages++;
    }
}

/* Rows of the tokens that the sequence knows but has not fed. */
static int feed(struct generator *g, struct running *r)
{
    struct sequence *s = &r->sequence;
    int32_t n = s->n - s->n_fed, left = (int32_t)(g->options.max_rows - g->rows.n_rows);
    r->row = -1;
    n = n < left ? n : left;
    if (n == 0 || r->leaf->n_computed < r->leaf->n_tokens)
        return OK;
    take_pages(g, r, s->n_fed + n);
    struct segment own = {.above = r->leaf, .page = r->page, .first = r->leaf->first + r->leaf->n_tokens, .token = s->token};
    TRY(rows_add(&g->rows, &own, s->n_fed, n, true));
    s->n_fed += n;
    r->row = (int32_t)g->rows.n_rows - 1;
    return OK;
}

/* Prompts are read in the order they came, parents before children. */
static int read_node(struct generator *g, struct prefix_node *node)
{
    if (!node)
        return OK;
    TRY(read_node(g, node->parent));
    int32_t n = node->n_tokens - node->n_computed, left = (int32_t)(g->options.max_rows - g->rows.n_rows);
    n = n < left ? n : left;
    if (n == 0 || (node->parent && node->parent->n_computed < node->parent->n_tokens))
        return OK;
    struct segment own = {.above = node->parent, .page = node->page, .first = node->first, .token = node->token};
    TRY(rows_add(&g->rows, &own, node->n_computed, n, true));
    node->n_computed += n;
    g->prefixes.n_computed += n;
    return OK;
}

/* The last token of a path once more, for the first token under it: its key is in the cache. Samples of one call stand next to each other and share the row. */
static int start(struct generator *g, struct running *r, const struct running *before)
{
    const struct prefix_node *leaf = r->leaf;
    if (before && before->leaf == leaf && before->sequence.n == 0 && before->row >= 0) {
        r->row = before->row;
        return OK;
    }
    if (leaf->n_computed < leaf->n_tokens || g->rows.n_rows == g->options.max_rows)
        return OK;
    struct segment own = {.above = leaf->parent, .page = leaf->page, .first = leaf->first, .token = leaf->token};
    TRY(rows_add(&g->rows, &own, leaf->n_tokens - 1, 1, false));
    r->row = (int32_t)g->rows.n_rows - 1;
    return OK;
}

static int lay_out(struct generator *g)
{
    rows_reset(&g->rows);
    for (int64_t i = 0; i < g->n_running; i++)
        TRY(feed(g, &g->running[i]));
    for (int64_t i = 0; i < g->n_running; i++)
        TRY(read_node(g, g->running[i].leaf));
    for (int64_t i = 0; i < g->n_running; i++)
        if (g->running[i].sequence.n == 0)
            TRY(start(g, &g->running[i], i > 0 ? &g->running[i - 1] : NULL));
    rows_pad(&g->rows, g->row_multiple);
    return OK;
}

/* ---- what it read ---------------------------------------------------------------------------------------------------------------------------- */

/* Sequences that go on first, then those that start: in the order of their rows. */
static int64_t find_draws(struct generator *g)
{
    int64_t n = 0;
    int32_t n_allowed = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < g->n_running; i++) {
            struct running *r = &g->running[i];
            if (r->row < 0 || !sequence_draws(&r->sequence) || (r->sequence.n == 0) != pass)
                continue;
            sequence_rule(&r->sequence, &g->rule[n], g->allowed + n_allowed, &g->rule[n].n_allowed);
            g->rule[n].first_allowed = n_allowed;
            n_allowed += g->rule[n].n_allowed;
            g->row[n] = r->row;
            g->drawer[n++] = (int32_t)i;
        }
    return n;
}

static int take_draws(struct generator *g, const void *hidden_TC)
{
    int64_t n = find_draws(g);
    if (n == 0)
        return OK;
    TRY(readout_sample(g->readout, hidden_TC, g->row, n, g->rule, g->allowed, g->drawn));
    for (int64_t i = 0; i < n; i++)
        TRY(sequence_take(&g->running[g->drawer[i]].sequence, g->drawn[i]));
    g->counts.new_tokens += n;
    return OK;
}

static bool reads_reward(const struct running *r) { return r->row >= 0 && r->sequence.phase == SEQUENCE_REWARD && r->sequence.n_fed == r->sequence.n; }

/* Before the draws: a sequence enters the phase by a draw, and has tokens to feed then. */
static int take_rewards(struct generator *g, const void *hidden_TC)
{
    int64_t n = 0;
    for (int64_t i = 0; i < g->n_running; i++)
        if (reads_reward(&g->running[i])) {
            g->row[n] = g->running[i].row;
            g->drawer[n++] = (int32_t)i;
        }
    if (n == 0)
        return OK;
    TRY(readout_rewards(g->readout, hidden_TC, g->row, n, g->reward));
    for (int64_t i = 0; i < n; i++) {
        struct sequence *s = &g->running[g->drawer[i]].sequence;
        CHECK(isfinite(g->reward[i]), "a reward is not a finite number: the model's weights are damaged, or overflow in this type");
        s->reward = g->reward[i];
        s->phase = SEQUENCE_ENDED;
    }
    return OK;
}

static int hand_over(struct generator *g, struct running *r)
{
    char *text;
    const struct sequence *s = &r->sequence;
    struct generator_sample sample = {.index = r->index, .token = s->token, .n_tokens = s->n_text, .finish = s->finish, .was_forced = s->was_forced, .reward = s->reward};
    TRY(sequence_text(s, &text, &sample.n_bytes));
    sample.text = text;
    g->counts.samples++;
    g->counts.cut += s->finish == FINISH_LIMIT;
    g->counts.forced += s->was_forced;
    int status = r->call->call.done(r->call->call.owner, &sample);
    free(text);
    return status;
}

/* Ended sequences leave; the others keep their order. A sequence leaves the list before its owner hears of it, so that a failure leaves nothing twice. */
static int retire(struct generator *g)
{
    int status = OK;
    int64_t kept = 0;
    for (int64_t i = 0; i < g->n_running; i++) {
        struct running r = g->running[i];
        if (r.sequence.phase != SEQUENCE_ENDED || status != OK) {
            g->running[kept++] = r;
            continue;
        }
        status = hand_over(g, &r);
        free_running(g, &r);
        if (++r.call->n_done == r.call->call.n_samples)
            free_call(r.call);
    }
    g->n_running = kept;
    return status;
}

int generator_step(struct generator *g)
{
    const void *hidden_TC;
    for (bool admitted = true; admitted;)
        TRY(admit_one(g, &admitted));
    if (g->n_running == 0)
        return OK;
    TRY(lay_out(g));
    struct backbone_rows rows = rows_of(&g->rows);
    TRY(backbone_forward_cached(g->backbone, &rows, &g->cache->memory, &hidden_TC));
    g->counts.passes++;
    TRY(take_rewards(g, hidden_TC));
    TRY(take_draws(g, hidden_TC));
    return retire(g);
}
