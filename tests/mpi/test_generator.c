// ranks: 1 2
/* Generation on a tiny model, tensor parallel on two ranks: truth 5 (a score is the same bits whatever is scored beside it), prefixes computed once, sampled distributions, ends of
 * texts, and what does not fit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mesh.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/forward_once.h"
#include "tests/tools/random_values.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"
#include "trainer/infer/infer.h"
#include "trainer/infer/readout.h"

enum { MAX_NODE = 96, MAX_TEXT = 64, N_ITEMS = 10, REWARD = BYTE_END_OF_TEXT, END = BYTE_TURN_END };

static struct comm *world;
static struct device *device;
static struct scratch scratch;
static struct tokenizer *tokenizer;

static void must(int status)
{
    if (status != OK)
        fail_msg("%s (%s)", trace_sentence(), trace_place());
}

/* ---- a model and its generator --------------------------------------------------------------------------------------------------------------- */

struct opened { struct config *config; struct mesh *mesh; struct infer infer; };

/* Random weights of 0.02 would make all tokens equally probable: they are made larger. */
static void sharpen(struct store *store)
{
    for (int i = 0; i < store->table->n; i++) {
        const struct param *p = &store->table->params[i];
        float *w = store_weight(store, i);
        for (int64_t k = 0; p->n_dims == 2 && p->group == GROUP_BACKBONE && k < p->n_local; k++)
            w[k] *= 10.0f;
    }
}

static struct end_tokens ends;         /* beside END; none but where a test adds one */

static struct opened *open_model(int64_t batch_tokens, int64_t kv_memory_mb)
{
    struct opened *o = calloc(1, sizeof *o);
    assert_non_null(o);
    o->config = calloc(1, sizeof *o->config);
    struct infer_source source = {.model = scratch.dir, .reward_token = REWARD, .end_of_turn = END, .ends = &ends, .tokenizer = tokenizer};
    assert_non_null(o->config);
    options_default(config_options(), o->config);
    o->config->backbone.init = BACKBONE_RANDOM;
    o->config->generate.batch_tokens = batch_tokens;
    o->config->generate.kv_memory_mb = kv_memory_mb;
    must(mesh_create(world, 1, world->size, false, &o->mesh));
    must(infer_open(o->config, &source, o->mesh, device, &o->infer));
    sharpen(o->infer.store);
    return o;
}

static void close_model(struct opened *o)
{
    infer_close(&o->infer);
    mesh_destroy(&o->mesh);
    free(o->config);
    free(o);
}

static void run(struct opened *o)
{
    while (!generator_is_idle(o->infer.generator))
        must(generator_step(o->infer.generator));
}

static void random_node(struct random *random, uint32_t *token, int32_t *n, int64_t most)
{
    *n = (int32_t)random_int(random, 1, most);
    for (int32_t i = 0; i < *n; i++)
        token[i] = (uint32_t)random_int(random, 0, 255);
}

/* ---- truth 5 --------------------------------------------------------------------------------------------------------------------------------- */

/* Prompt, response, critique; and what came of it. */
struct item { uint32_t token[3][MAX_NODE]; int32_t n[3]; float reward; uint32_t text[MAX_TEXT]; int32_t n_text, seen; };

static void make_items(struct item *item)
{
    struct random random = {5};
    memset(item, 0, N_ITEMS * sizeof *item);
    for (int i = 0; i < N_ITEMS; i++)
        for (int k = 0; k < 3; k++)
            random_node(&random, item[i].token[k], &item[i].n[k], MAX_NODE);
    for (int i = 1; i < N_ITEMS; i += 2) {          /* responses of one prompt */
        memcpy(item[i].token[0], item[i - 1].token[0], sizeof item[i].token[0]);
        item[i].n[0] = item[i - 1].n[0];
    }
}

static int take(void *owner, const struct generator_sample *sample)
{
    struct item *item = owner;
    assert_in_range(sample->n_tokens, 0, MAX_TEXT);
    item->reward = sample->reward;
    item->n_text = sample->n_tokens;
    memcpy(item->text, sample->token, (size_t)sample->n_tokens * sizeof *item->text);
    item->seen++;
    return OK;
}

/* given: the reward behind the given critique; else behind one that is sampled. */
static struct generator_call call_of(struct item *item, bool given)
{
    struct generator_call call = {.n_nodes = given ? 3 : 2, .n_samples = 1, .done = take, .owner = item,
                                  .rule = {.temperature = 0.8f, .top_p = 1.0f, .max_new = given ? 0 : 30, .stop = "", .read_reward = true}};
    for (int k = 0; k < call.n_nodes; k++)
        call.node[k] = (struct tokens){item->token[k], item->n[k]};
    return call;
}

static void submit(struct opened *o, struct item *item, bool given)
{
    struct generator_call call = call_of(item, given);
    must(generator_submit(o->infer.generator, &call));
}

static void expect_alone_and_in_company(bool given, int64_t batch_tokens, int64_t kv_memory_mb, uint64_t seed)
{
    static struct item alone[N_ITEMS], together[N_ITEMS];
    struct random random = {seed};
    bool submitted[N_ITEMS] = {false};
    make_items(alone);
    make_items(together);
    for (int i = 0; i < N_ITEMS; i++) {
        struct opened *o = open_model(512, 16);
        submit(o, &alone[i], given);
        run(o);
        close_model(o);
    }
    struct opened *o = open_model(batch_tokens, kv_memory_mb);
    for (int left = N_ITEMS; left > 0; left--) {    /* in a random order, some while others are at work */
        int64_t pick = random_int(&random, 0, left - 1);
        for (int i = 0; i < N_ITEMS; i++)
            if (!submitted[i] && pick-- == 0) {
                submitted[i] = true;
                submit(o, &together[i], given);
                break;
            }
        if (random_int(&random, 0, 2) == 0)
            must(generator_step(o->infer.generator));
    }
    run(o);
    close_model(o);
    for (int i = 0; i < N_ITEMS; i++) {
        assert_int_equal(together[i].seen, 1);
        assert_memory_equal(&alone[i].reward, &together[i].reward, sizeof(float));
        assert_int_equal(alone[i].n_text, together[i].n_text);
        assert_memory_equal(alone[i].text, together[i].text, sizeof alone[i].text);
    }
}

static void a_score_of_a_given_critique_is_the_same_bits_in_any_company(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++)
        expect_alone_and_in_company(true, (int64_t[]){512, 40, 64, 100}[seed - 1], 1 + (int64_t)seed, seed);
}

static void a_sampled_critique_and_its_score_are_the_same_bits_in_any_company(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        expect_alone_and_in_company(false, (int64_t[]){512, 40, 64}[seed - 1], 1 + (int64_t)seed, seed);
}

/* ---- the same as training's forward ---------------------------------------------------------------------------------------------------------- */

/* The hidden states of prompt, response, critique and reward token as one forest; the row of the last token. */
static int32_t forest_forward(struct opened *o, struct backbone *backbone, const struct item *item, const void **hidden_TC)
{
    struct forest forest;
    struct tree_leaf leaf = {.text = {item->token[2], item->n[2]}, .weight = 1.0f, .reward = true};
    struct tree tree = {.prompt = {item->token[0], item->n[0]}, .response = {{item->token[1], item->n[1]}}, .n_leaves = {1}, .leaf = {&leaf}};
    must(forest_build(&tree, 1, &(struct forest_layout){REWARD, true, o->mesh->tensor->size}, &forest));
    must(forward_once(device, backbone, &forest, hidden_TC));
    int32_t row = forest.reward_row[0];
    forest_free(&forest);
    return row;
}

static void a_reward_is_that_of_the_forest_that_training_computes(void **state)
{
    static struct item item[N_ITEMS];
    (void)state;
    make_items(item);
    struct opened *o = open_model(64, 4);
    struct backbone *backbone;
    struct readout *readout;
    struct backbone_options options = {.max_rows = 512, .max_positions = 512};
    must(backbone_create(&o->infer.model, o->infer.store, &options, &backbone));
    must(readout_create(&o->infer.model, o->infer.store, 4, &readout));
    for (int i = 0; i < N_ITEMS; i++) {
        float expected;
        const void *hidden_TC;
        submit(o, &item[i], true);
        run(o);
        int32_t row = forest_forward(o, backbone, &item[i], &hidden_TC);
        must(readout_rewards(readout, hidden_TC, &row, 1, &expected));
        assert_true(fabsf(item[i].reward - expected) <= 1e-5f * (1.0f + fabsf(expected)));
    }
    readout_destroy(&readout);
    backbone_destroy(&backbone);
    close_model(o);
}

/* ---- prefixes -------------------------------------------------------------------------------------------------------------------------------- */

static int ignore(void *owner, const struct generator_sample *sample)
{
    *(int *)owner += sample->n_tokens > 0;
    return OK;
}

static int64_t prefill_of(int n_samples, int n_calls)
{
    static struct item item[N_ITEMS];
    int seen = 0;
    struct generator_counts counts;
    make_items(item);
    struct opened *o = open_model(64, 4);
    for (int i = 0; i < n_calls; i++) {
        struct generator_call call = call_of(&item[0], false);
        call.rule = (struct generator_rule){.temperature = 1.0f, .top_p = 1.0f, .max_new = 5 + i, .stop = "", .ignore_end = true};
        call.n_samples = n_samples;
        call.done = ignore;
        call.owner = &seen;
        must(generator_submit(o->infer.generator, &call));
    }
    run(o);
    generator_count(o->infer.generator, &counts);
    close_model(o);
    assert_int_equal(seen, n_samples * n_calls);
    assert_int_equal(counts.prefill_tokens, item[0].n[0] + item[0].n[1]);
    return counts.prefill_tokens;
}

static void the_prefill_of_n_branches_and_of_several_calls_is_that_of_one(void **state)
{
    (void)state;
    assert_int_equal(prefill_of(1, 1), prefill_of(10, 1));
    assert_int_equal(prefill_of(1, 1), prefill_of(4, 3));
}

static void a_path_in_three_nodes_gives_the_text_of_the_path_in_one(void **state)
{
    static struct item item[N_ITEMS];
    (void)state;
    make_items(item);
    struct opened *o = open_model(48, 2);
    for (int i = 0; i < N_ITEMS; i++) {
        uint32_t whole[3 * MAX_NODE], first[MAX_TEXT];
        int32_t n = 0;
        for (int k = 0; k < 3; n += item[i].n[k++])
            memcpy(whole + n, item[i].token[k], (size_t)item[i].n[k] * sizeof *whole);
        struct generator_call call = call_of(&item[i], true);
        call.rule = (struct generator_rule){.top_p = 1.0f, .max_new = 20, .stop = "", .ignore_end = true};
        must(generator_submit(o->infer.generator, &call));
        run(o);
        memcpy(first, item[i].text, sizeof first);
        call.n_nodes = 1;
        call.node[0] = (struct tokens){whole, n};
        must(generator_submit(o->infer.generator, &call));
        run(o);
        assert_int_equal(item[i].n_text, 20);
        assert_memory_equal(first, item[i].text, 20 * sizeof *first);
    }
    close_model(o);
}

static void a_text_ends_at_any_end_token_of_the_model(void **state)
{
    static struct item item[N_ITEMS], shorter[N_ITEMS];
    int n_shorter = 0;
    (void)state;
    make_items(item);
    for (int with = 0; with < 2; with++) {
        struct opened *o = open_model(48, 2);
        for (int i = 0; i < N_ITEMS; i++) {
            struct generator_call call = call_of(&item[i], false);
            call.rule.read_reward = false;
            if (with) {
                ends = (struct end_tokens){.n = 2, .id = {1 << 20, item[i].text[item[i].n_text / 2]}};
                shorter[i] = item[i];
                call.owner = &shorter[i];
            }
            must(generator_submit(o->infer.generator, &call));
            run(o);
        }
        close_model(o);
    }
    for (int i = 0; i < N_ITEMS; i++) {
        int32_t at = 0;
        while (item[i].n_text > 0 && item[i].text[at] != item[i].text[item[i].n_text / 2])
            at++;
        assert_int_equal(shorter[i].n_text, at);
        assert_memory_equal(shorter[i].text, item[i].text, (size_t)at * sizeof *item[i].text);
        n_shorter += at < item[i].n_text;
    }
    assert_in_range(n_shorter, N_ITEMS / 2, N_ITEMS);
    ends.n = 0;
}

/* ---- distributions --------------------------------------------------------------------------------------------------------------------------- */

static int count_first(void *owner, const struct generator_sample *sample)
{
    ((int64_t *)owner)[sample->n_tokens > 0 ? sample->token[0] : END]++;
    return OK;
}

/* The logits behind prompt and response, by the training forward. */
static void expected_logits(struct opened *o, const struct item *item, double *logit)
{
    const void *hidden_TC;
    struct backbone *backbone;
    struct backbone_options options = {.max_rows = 512, .max_positions = 512};
    float *all = calloc(BYTE_VOCABULARY, sizeof *all);
    must(backbone_create(&o->infer.model, o->infer.store, &options, &backbone));
    int32_t row = forest_forward(o, backbone, item, &hidden_TC) - 1 - item->n[2];
    struct gemm_args args = {.m = 1, .n = BYTE_VOCABULARY, .k = o->infer.model.hidden, .trans_b = true, .a = (const float *)hidden_TC + row * o->infer.model.hidden, .lda = o->infer.model.hidden,
                             .b = store_weight(o->infer.store, 0), .ldb = o->infer.model.hidden, .c = all, .ldc = BYTE_VOCABULARY, .dtype_ab = F32, .dtype_c = F32};
    must(device->kernels->gemm(&device->stream, &args));
    for (int i = 0; i < BYTE_VOCABULARY; i++)
        logit[i] = i == REWARD ? -INFINITY : (double)all[i];
    free(all);
    backbone_destroy(&backbone);
}

/* method: softmax at the temperature, then top_k, top_p, min_p; plain and slow. */
static void expected_probabilities(const double *logit, const struct generator_rule *rule, double *p)
{
    int order[BYTE_VOCABULARY], n = BYTE_VOCABULARY;
    double sum = 0.0, so_far = 0.0;
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && logit[order[at - 1]] < logit[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    n = rule->top_k > 0 ? rule->top_k : n;
    for (int i = 0; i < BYTE_VOCABULARY; i++)
        p[i] = 0.0;
    for (int i = 0; i < n; i++)
        sum += p[order[i]] = exp((logit[order[i]] - logit[order[0]]) / (double)rule->temperature);
    for (int i = 0; i < n; i++) {
        bool left = so_far < (double)rule->top_p * sum && p[order[i]] >= (double)rule->min_p * p[order[0]];
        so_far += p[order[i]];
        p[order[i]] = left ? p[order[i]] : 0.0;
    }
    sum = 0.0;
    for (int i = 0; i < BYTE_VOCABULARY; i++)
        sum += p[i];
    for (int i = 0; i < BYTE_VOCABULARY; i++)
        p[i] /= sum;
}

/* Chi-square over cells of 5 or more expected draws, the others together; its p-value by Wilson and Hilferty: above 1e-6. */
static void expect_distribution(const int64_t *seen, const double *p, int64_t n)
{
    double chi = 0.0, rest_seen = 0.0, rest = 0.0;
    int cells = 0;
    for (int i = 0; i < BYTE_VOCABULARY; i++) {
        double expected = p[i] * (double)n, d = (double)seen[i] - expected;
        assert_true(p[i] > 0.0 || seen[i] == 0);
        if (expected >= 5.0) {
            chi += d * d / expected;
            cells++;
        } else {
            rest_seen += (double)seen[i];
            rest += expected;
        }
    }
    if (rest >= 5.0) {
        chi += (rest_seen - rest) * (rest_seen - rest) / rest;
        cells++;
    }
    double k = cells - 1, z = (cbrt(chi / k) - (1.0 - 2.0 / (9.0 * k))) / sqrt(2.0 / (9.0 * k));
    assert_true(cells > 2);
    if (z > 4.753)
        fail_msg("chi-square %.1f on %d cells: the draws are not from the distribution they claim", chi, cells);
}

static void sampled_tokens_have_the_distribution_they_claim(void **state)
{
    static struct item item[N_ITEMS];
    enum { DRAWS = 3000 };
    static double logit[BYTE_VOCABULARY], p[BYTE_VOCABULARY];
    const struct generator_rule rules[] = {{.temperature = 1.0f, .top_p = 1.0f}, {.temperature = 0.5f, .top_p = 1.0f}, {.temperature = 2.0f, .top_p = 1.0f, .top_k = 12},
                                           {.temperature = 1.5f, .top_p = 0.8f}, {.temperature = 2.0f, .top_p = 1.0f, .min_p = 0.2f}, {.temperature = 2.0f, .top_p = 0.9f, .min_p = 0.05f, .top_k = 40}};
    (void)state;
    make_items(item);
    struct opened *o = open_model(256, 16);
    for (size_t r = 0; r < sizeof rules / sizeof *rules && world->size == 1; r++) {     /* the expectation is made by one rank */
        int64_t seen[BYTE_VOCABULARY] = {0};
        struct generator_call call = call_of(&item[r], false);
        call.rule = rules[r];
        call.rule.max_new = 1;
        call.rule.stop = "";
        call.n_samples = DRAWS;
        call.done = count_first;
        call.owner = seen;
        must(generator_submit(o->infer.generator, &call));
        run(o);
        expected_logits(o, &item[r], logit);
        expected_probabilities(logit, &rules[r], p);
        expect_distribution(seen, p, DRAWS);
    }
    close_model(o);
}

/* ---- ends of texts --------------------------------------------------------------------------------------------------------------------------- */

struct text_seen { char text[4 * MAX_TEXT]; size_t n_bytes; enum finish finish; bool was_forced; };

static int keep_text(void *owner, const struct generator_sample *sample)
{
    struct text_seen *seen = owner;
    assert_in_range(sample->n_bytes, 0, sizeof seen->text - 1);
    memcpy(seen->text, sample->text, sample->n_bytes + 1);
    seen->n_bytes = sample->n_bytes;
    seen->finish = sample->finish;
    seen->was_forced = sample->was_forced;
    return OK;
}

static struct text_seen text_of(const struct generator_rule *rule)
{
    static struct item item[N_ITEMS];
    struct text_seen seen = {.n_bytes = 0};
    make_items(item);
    struct opened *o = open_model(64, 4);
    struct generator_call call = call_of(&item[3], false);
    call.rule = *rule;
    call.done = keep_text;
    call.owner = &seen;
    must(generator_submit(o->infer.generator, &call));
    run(o);
    close_model(o);
    return seen;
}

static void a_text_ends_at_its_limit_and_before_a_stop_text(void **state)
{
    char stop[64];
    (void)state;
    struct generator_rule rule = {.temperature = 1.0f, .top_p = 1.0f, .max_new = 40, .stop = "", .ignore_end = true};
    struct text_seen whole = text_of(&rule);
    assert_int_equal(whole.finish, FINISH_LIMIT);
    assert_int_equal(whole.n_bytes, 40);
    snprintf(stop, sizeof stop, "never there|%.3s|%.2s", whole.text + 20, whole.text + 31);
    if (strcspn(whole.text + 20, "|") < 3 || memchr(whole.text, 0, 40))
        fail_msg("choose another seed: the text holds what a stop text may not");
    rule.stop = stop;
    struct text_seen cut = text_of(&rule);
    size_t at = (size_t)((char *)memmem(whole.text, 40, whole.text + 20, 3) - whole.text), other = (size_t)((char *)memmem(whole.text, 40, whole.text + 31, 2) - whole.text);
    assert_int_equal(cut.finish, FINISH_STOP);
    assert_int_equal(cut.n_bytes, at < other ? at : other);
    assert_memory_equal(cut.text, whole.text, cut.n_bytes);
}

static bool never(const char *text, size_t n_bytes) { return text == NULL && n_bytes > 0; }
static bool always(const char *text, size_t n_bytes) { return text != NULL || n_bytes == 0; }

static void a_forced_line_follows_a_text_that_does_not_satisfy(void **state)
{
    struct forced_line forced = {.n_choices = 3};
    static const char *const choices[] = {"7", "10", "1"};
    (void)state;
    must(tokenizer_encode(tokenizer, "\nScore: ", 8, TOKENIZER_CONTINUE, &forced.begin));
    for (int i = 0; i < 3; i++)
        must(tokenizer_encode(tokenizer, choices[i], strlen(choices[i]), TOKENIZER_CONTINUE, &forced.choice[i]));
    struct generator_rule rule = {.temperature = 1.0f, .top_p = 1.0f, .max_new = 12, .stop = "", .ignore_end = true, .forced = &forced, .satisfied = never};
    struct text_seen seen = text_of(&rule);
    assert_true(seen.was_forced);
    assert_memory_equal(seen.text + 12, "\nScore: ", 8);
    assert_true(strcmp(seen.text + 20, "7") == 0 || strcmp(seen.text + 20, "10") == 0 || strcmp(seen.text + 20, "1") == 0);
    rule.satisfied = always;
    seen = text_of(&rule);
    assert_false(seen.was_forced);
    assert_int_equal(seen.n_bytes, 12);
    token_list_free(&forced.begin);
    for (int i = 0; i < 3; i++)
        token_list_free(&forced.choice[i]);
}

/* ---- what does not fit ----------------------------------------------------------------------------------------------------------------------- */

static void what_can_never_fit_is_refused_with_its_numbers(void **state)
{
    static struct item item[N_ITEMS];
    static uint32_t token[600];
    (void)state;
    make_items(item);
    struct opened *o = open_model(64, 1);
    struct generator_call call = call_of(&item[0], false);
    call.n_nodes = 1;
    call.node[0] = (struct tokens){token, 511};
    assert_int_equal(generator_submit(o->infer.generator, &call), FAILED);
    assert_non_null(strstr(trace_sentence(), "leaves no room"));
    trace_clear();
    call.node[0] = (struct tokens){token, 100};
    must(generator_submit(o->infer.generator, &call));
    run(o);
    close_model(o);
}

/* A cache of five pages, for two nodes and a text that takes one. What would do is said in whole MiB. */
static void a_path_that_the_cache_could_never_hold_is_refused_and_others_run(void **state)
{
    static struct item item[N_ITEMS];
    static uint32_t token[200];
    struct generator *g;
    (void)state;
    make_items(item);
    struct opened *o = open_model(64, 1);
    struct generator_options options = {.seed = 1, .max_rows = 64, .kv_bytes = 5 * ATTENTION_PAGE * kv_slot_bytes(&o->infer.model, F32, o->mesh->tensor->size), .reward_token = REWARD, .end_of_turn = END};
    must(generator_create(&options, &o->infer.model, o->infer.store, o->infer.backbone, tokenizer, &g));
    struct generator_call call = call_of(&item[0], false);
    call.node[0] = (struct tokens){token, 129};
    call.node[1] = (struct tokens){token, 65};
    assert_int_equal(generator_fits(g, call.node, 2, &call.rule), GENERATOR_NO_CACHE);
    assert_int_equal(generator_kv_memory_mb(g, call.node, 2, &call.rule), 1);
    assert_int_equal(generator_submit(g, &call), USAGE);
    assert_non_null(strstr(trace_sentence(), "a path of 194 tokens and a text of 30: it holds 320 tokens, and 384 are needed: raise it to 1"));
    trace_clear();
    call.node[1].n = 64;
    assert_int_equal(generator_fits(g, call.node, 2, &call.rule), GENERATOR_FITS);
    must(generator_submit(g, &call));
    while (!generator_is_idle(g))
        must(generator_step(g));
    assert_int_equal(item[0].seen, 1);
    generator_destroy(&g);
    close_model(o);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_score_of_a_given_critique_is_the_same_bits_in_any_company),
        cmocka_unit_test(a_sampled_critique_and_its_score_are_the_same_bits_in_any_company),
        cmocka_unit_test(a_reward_is_that_of_the_forest_that_training_computes),
        cmocka_unit_test(the_prefill_of_n_branches_and_of_several_calls_is_that_of_one),
        cmocka_unit_test(a_path_in_three_nodes_gives_the_text_of_the_path_in_one),
        cmocka_unit_test(a_text_ends_at_any_end_token_of_the_model),
        cmocka_unit_test(sampled_tokens_have_the_distribution_they_claim),
        cmocka_unit_test(a_text_ends_at_its_limit_and_before_a_stop_text),
        cmocka_unit_test(a_forced_line_follows_a_text_that_does_not_satisfy),
        cmocka_unit_test(what_can_never_fit_is_refused_with_its_numbers),
        cmocka_unit_test(a_path_that_the_cache_could_never_hold_is_refused_and_others_run),
    };
    struct device_options options = {.n_threads = 1, .isa = "auto", .batch_invariant = true};
    if (comm_mpi_start(&argc, &argv, &world) != OK || device_cpu_create(&options, &device) != OK)
        return 1;
    scratch_make(&scratch);
    tiny_model_write(scratch.dir, "llama", 2, true);
    if (tokenizer_open(scratch.dir, &tokenizer) != OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tokenizer_close(&tokenizer);
    scratch_remove(&scratch);
    device_destroy(&device);
    comm_mpi_stop(&world);
    return failed;
}
