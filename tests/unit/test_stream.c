/* From plan to forests, ahead of time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "dataset/stream.h"
#include "tests/tools/scratch.h"
#include "tests/tools/byte_tokenizer.h"
#include "tests/tools/tiny_run.h"

enum { PAIRS = 13, STEPS = 8 };

/* HDF5 1.10 leaks the names of filters when a checksum fails. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

static struct scratch scratch;

struct source { struct dsub *dsub; struct dsub_view view; struct plan *plan; struct plan_options options; struct forest_layout layout; };

static bool keep_all(const void *context, const struct dsub *dsub, int64_t number) { return (void)context, (void)dsub, number >= 0; }
static double lambda_half(const void *context, int64_t step) { return (void)context, (void)step, 0.5; }

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    tiny_model_write(scratch.dir, "llama", 2, true);
    tiny_dsub_write(scratch.dir, PAIRS, 3);
    return 0;
}

static int tear_down(void **state) { return (void)state, scratch_remove(&scratch), trace_clear(), 0; }

static void source_open(struct source *s, int data_size, int64_t budget)
{
    assert_int_equal(dsub_open(scratch_path(&scratch, "dsub"), &s->dsub), OK);
    assert_int_equal(dsub_view_make(s->dsub, keep_all, NULL, &s->view), OK);
    s->options = (struct plan_options){.set_name = "a set", .seed = 1, .mode = MODE_CRITIC_RM, .pairing = PAIRING_ZIP, .pairs_per_step = 4, .epochs = 2, .micro_batch_tokens = budget, .max_path_tokens = 48,
                                       .data_size = data_size, .row_multiple = 2, .share_prefix = true, .vocabulary = BYTE_VOCABULARY, .token_cost = 10, .attention_cost = 1, .lambda = lambda_half};
    s->layout = (struct forest_layout){BYTE_END_OF_TEXT, true, 2};
    assert_int_equal(plan_create(&s->view.lengths, &s->options, &s->plan), OK);
}

static void source_close(struct source *s)
{
    plan_free(&s->plan);
    dsub_view_free(&s->view);
    dsub_close(&s->dsub);
}

static struct data_stream *open_stream(struct source *s, int rank, int64_t first)
{
    struct data_stream *stream;
    assert_int_equal(data_stream_open(&s->view, s->plan, &s->options, &s->layout, rank, first, STEPS, &stream), OK);
    return stream;
}

static void equal_forests(const struct forest *a, const struct forest *b)
{
    assert_int_equal(a->n_rows, b->n_rows);
    assert_memory_equal(a->token, b->token, (size_t)a->n_rows * sizeof *a->token);
    assert_memory_equal(a->position, b->position, (size_t)a->n_rows * sizeof *a->position);
    assert_int_equal(a->n_nodes, b->n_nodes);
    assert_memory_equal(a->node, b->node, (size_t)a->n_nodes * sizeof *a->node);
    assert_int_equal(a->n_predictions, b->n_predictions);
    assert_memory_equal(a->prediction, b->prediction, (size_t)a->n_predictions * sizeof *a->prediction);
    assert_int_equal(a->n_comparisons, b->n_comparisons);
}

static void the_stream_hands_out_the_steps_of_the_plan_in_order(void **state)
{
    (void)state;
    struct source ahead, now;
    source_open(&ahead, 2, 96);
    source_open(&now, 2, 96);
    struct data_stream *stream = open_stream(&ahead, 1, 2);
    for (int64_t step = 2; step < STEPS; step++) {
        const struct step_batch *batch;
        const struct step_plan *plan;
        struct step_batch want;
        assert_int_equal(data_stream_next(stream, &batch), OK);
        assert_int_equal(plan_step(now.plan, step, &plan), OK);
        assert_int_equal(step_batch_make(&now.view, plan, &now.options, &now.layout, 1, &want), OK);
        assert_int_equal(batch->step, step);
        assert_int_equal(batch->epoch, step / 4);
        assert_int_equal(batch->n_targets, plan->n_targets);
        assert_int_equal(batch->n_micro_batches, plan->n_micro_batches);
        for (int m = 0; m < want.n_micro_batches; m++)
            equal_forests(&batch->forest[m], &want.forest[m]);
        assert_true(batch->wait_seconds >= 0.0);
        step_batch_free(&want);
    }
    data_stream_close(&stream);
    assert_null(stream);
    source_close(&ahead);
    source_close(&now);
}

struct sums { double predictions, comparisons; int64_t rewards, tokens; };

/* Of all data ranks. */
static struct sums add_up(struct source *s, int64_t step, struct plan_capacity *seen)
{
    struct sums sum = {0};
    const struct step_plan *plan;
    assert_int_equal(plan_step(s->plan, step, &plan), OK);
    for (int rank = 0; rank < s->options.data_size; rank++) {
        struct step_batch batch;
        assert_int_equal(step_batch_make(&s->view, plan, &s->options, &s->layout, rank, &batch), OK);
        for (int m = 0; m < batch.n_micro_batches; m++) {
            const struct forest *f = &batch.forest[m];
            for (int32_t i = 0; i < f->n_predictions; i++) {
                sum.predictions += (double)f->prediction[i].weight;
                assert_true(i == 0 || f->prediction[i - 1].row <= f->prediction[i].row);
            }
            for (int32_t i = 0; i < f->n_comparisons; i++)
                sum.comparisons += (double)f->comparison[i].weight;
            for (int32_t i = 0; i < f->n_rewards; i++)
                assert_int_equal(f->token[f->reward_row[i]], BYTE_END_OF_TEXT);
            sum.rewards += f->n_rewards;
            sum.tokens += f->n_tokens;
            seen->rows = f->n_rows > seen->rows ? f->n_rows : seen->rows;
            seen->predictions = f->n_predictions > seen->predictions ? f->n_predictions : seen->predictions;
            seen->rewards = f->n_rewards > seen->rewards ? f->n_rewards : seen->rewards;
            seen->comparisons = f->n_comparisons > seen->comparisons ? f->n_comparisons : seen->comparisons;
        }
        step_batch_free(&batch);
    }
    assert_int_equal(sum.tokens, plan->tokens);
    return sum;
}

static void weights_sum_to_one_for_every_mesh_and_budget(void **state)
{
    (void)state;
    for (int data = 1; data <= 4; data++)
        for (int64_t budget = 96; budget <= 9600; budget *= 10) {
            struct source s;
            struct plan_capacity seen = {0};
            source_open(&s, data, budget);
            for (int64_t step = 0; step < STEPS; step++) {
                struct sums sum = add_up(&s, step, &seen);
                assert_true(fabs(sum.predictions - 1.0) < 1e-5);
                assert_true(fabs(sum.comparisons - 1.0) < 1e-5);
            }
            source_close(&s);
        }
}

static void the_capacity_is_what_the_forests_need(void **state)
{
    (void)state;
    for (int data = 1; data <= 3; data++) {
        struct source s;
        struct plan_capacity seen = {0}, said;
        source_open(&s, data, 96);
        for (int64_t step = 0; step < STEPS; step++)
            add_up(&s, step, &seen);
        assert_int_equal(plan_capacity(s.plan, &said), OK);
        assert_int_equal(said.rows, seen.rows);
        assert_true(said.predictions >= seen.predictions);      /* merged predictions are counted apart */
        assert_int_equal(said.rewards, seen.rewards);
        assert_int_equal(said.comparisons, seen.comparisons);
        source_close(&s);
    }
}

static void closing_early_ends_the_thread(void **state)
{
    (void)state;
    for (int taken = 0; taken < 3; taken++) {
        struct source s;
        const struct step_batch *batch;
        source_open(&s, 1, 96);
        struct data_stream *stream = open_stream(&s, 0, 0);
        for (int i = 0; i < taken; i++)
            assert_int_equal(data_stream_next(stream, &batch), OK);
        data_stream_close(&stream);
        source_close(&s);
    }
}

static void a_token_outside_the_vocabulary_comes_out_as_a_sentence(void **state)
{
    (void)state;
    struct source s;
    const struct step_batch *batch;
    source_open(&s, 1, 96);
    s.options.vocabulary = 20;
    struct data_stream *stream = open_stream(&s, 0, 0);
    for (int again = 0; again < 2; again++) {
        trace_clear();
        assert_int_equal(data_stream_next(stream, &batch), FAILED);
        assert_non_null(strstr(trace_sentence(), "outside the model's vocabulary of 20"));
        assert_non_null(strstr(trace_sentence(), ".h5"));
    }
    data_stream_close(&stream);
    source_close(&s);
}

/* Flips bytes in one shard's raw token chunks while dsub.json stays. */
static void a_damaged_chunk_is_a_failure_of_the_step_that_reads_it(void **state)
{
    (void)state;
    struct source s;
    char *bytes;
    size_t n, flipped = 0;
    const struct step_batch *batch;
    struct shard *shard;
    uint32_t prompt[64];
    const char *path = scratch_path(&scratch, "dsub/dsub-00000-of-00003.h5");
    assert_int_equal(shard_open(path, &shard), OK);
    assert_int_equal(shard_read_prompt(shard, 0, prompt), OK);
    shard_close(&shard);
    assert_int_equal(file_read(path, &bytes, &n), OK);
    for (size_t i = 0; i + 12 <= n; i++)
        if (memcmp(bytes + i, prompt, 12) == 0) {
            bytes[i] ^= 1;
            flipped++;
            break;
        }
    assert_int_equal(flipped, 1);
    scratch_write(&scratch, "dsub/dsub-00000-of-00003.h5", bytes, n);
    free(bytes);
    source_open(&s, 1, 96);
    struct data_stream *stream = open_stream(&s, 0, 0);
    int status = OK;
    for (int step = 0; step < STEPS / 2 && status == OK; step++)
        status = data_stream_next(stream, &batch);
    assert_int_equal(status, FAILED);
    assert_non_null(strstr(trace_sentence(), "dsub-00000-of-00003.h5"));
    data_stream_close(&stream);
    source_close(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_stream_hands_out_the_steps_of_the_plan_in_order),
        TEST(weights_sum_to_one_for_every_mesh_and_budget),
        TEST(the_capacity_is_what_the_forests_need),
        TEST(closing_early_ends_the_thread),
        TEST(a_token_outside_the_vocabulary_comes_out_as_a_sentence),
        TEST(a_damaged_chunk_is_a_failure_of_the_step_that_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
