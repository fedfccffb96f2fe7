// ranks: 2
/* How a step is scheduled on a GPU: the host waits once, and every event that orders two streams is needed, for without it some order of the streams' work gives other numbers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "emulate.h"
#include "kernels/cuda_module.h"
#include "tests/tools/scratch.h"
#include "tests/tools/tiny_run.h"
#include "trainer/model/backbone_state.h"

enum { N_PAIRS = 6, STEPS = 2, SEEDS = 12, MAX_MASTERS = 1 << 16 };

static struct comm *world;
static struct device *cuda;
static struct scratch scratch;
static struct config config;

/* ---- the device, with a fault ---------------------------------------------------------------------------------------------------------------- */

static const struct device_ops *real;
static const struct store *store;        /* NULL: the run is not open yet */
static const struct backbone *backbone;
static const void *opened[16];           /* streams, in their order; */
static int n_opened;
static const void *ahead;                /* that on which forests are sent: opened behind the store's */

/* What waits for what. First those of either axis, then of the data axis, of the tensor axis. */
enum order { COPIED, LEFT, COLLECTIVE_DONE, BEFORE_COLLECTIVE, COMPUTED, REDUCED, GATHERED, REACHED, NORMED, SUMMED, SPREAD, N_ORDERS,
             OF_COMPUTE /* a collective on the compute stream: without its orders ranks may decide otherwise, and one would wait for ever */, NONE = -1 };
static const enum order first_of_data = COMPUTED, first_of_tensor = REACHED;
static const char *const words[] = {
    [COPIED] = "a forest and the forward", [LEFT] = "the last reader of a place and the next forest in it", [COLLECTIVE_DONE] = "a collective and what follows it",
    [BEFORE_COLLECTIVE] = "what precedes a collective and the collective", [COMPUTED] = "the backward and the reduction", [REDUCED] = "the reduction and the norms",
    [GATHERED] = "new weights and the forward", [REACHED] = "a block's backward and what crosses the tensor axis", [NORMED] = "the normed input of all ranks and the weights' gradients",
    [SUMMED] = "the summed gradient and the norm's backward", [SPREAD] = "the residual's gradient of all ranks and the next block",
};
static struct { enum order dropped; int n_waits[OF_COMPUTE + 1]; bool waits_twice; } fault;

static int open_and_note(struct device *device, struct stream *out)
{
    int status = real->stream_open(device, out);
    assert_true(n_opened < 16);
    opened[n_opened++] = out->handle;
    return status;
}

static const void *recorded_on;          /* the stream of the last event; */
static const struct event *copied[2];    /* events that forests are sent behind */

static int record_and_note(struct event *event, struct stream *stream)
{
    if (store && stream->handle == ahead && event != copied[0])
        copied[copied[0] ? 1 : 0] = event;
    recorded_on = stream->handle;
    return real->event_record(event, stream);
}

static bool is_gathered(const struct event *event)
{
    for (int i = 0; i < store->n_buckets; i++)
        if (event == &store->bucket[i].gathered)
            return true;
    return false;
}

static enum order order_of(const struct event *event, const struct stream *stream)
{
    if (event == &backbone->reached)
        return REACHED;
    if (event == &backbone->normed)
        return NORMED;
    if (event == &backbone->summed)
        return SUMMED;
    if (event == &backbone->spread)
        return SPREAD;
    if (event == &store->computed)
        return COMPUTED;
    if (event == &store->reduced)
        return REDUCED;
    if (is_gathered(event))
        return GATHERED;
    if (stream == &store->beside || stream == &backbone->beside)
        return COLLECTIVE_DONE;
    if (stream == &cuda->stream)
        return event == copied[0] || event == copied[1] ? COPIED : OF_COMPUTE;
    if (stream->handle == ahead)
        return LEFT;
    return recorded_on == cuda->stream.handle ? OF_COMPUTE : BEFORE_COLLECTIVE;
}

static int wait_or_drop(struct event *event, struct stream *stream)
{
    if (!store)
        return real->event_wait(event, stream);
    enum order order = order_of(event, stream);
    fault.n_waits[order]++;
    return order == fault.dropped ? OK : real->event_wait(event, stream);
}

static int zero_and_wait(struct stream *stream, void *memory, size_t n_bytes)
{
    TRY(real->zero(stream, memory, n_bytes));
    return fault.waits_twice ? real->synchronize(stream) : OK;
}

/* ---- a run ----------------------------------------------------------------------------------------------------------------------------------- */

struct outcome { int status; int64_t n_waits, n_allocations, n; double loss[STEPS]; float master[MAX_MASTERS]; };
static struct outcome want, got;

static void take_masters(struct outcome *o)
{
    for (int i = 0; i < store->n_buckets; i++) {
        const struct bucket_memory *b = &store->bucket[i];
        assert_true(o->n + b->owned.count <= MAX_MASTERS);
        assert_int_equal(cuda->ops->copy(&cuda->stream, o->master + o->n, b->master, (size_t)b->owned.count * sizeof *o->master, DEVICE_TO_HOST), OK);
        o->n += b->owned.count;
    }
    assert_int_equal(cuda->ops->synchronize(&cuda->stream), OK);
}

/* The next step's first forest is sent while this one is computed, as train does. */
static int steps(struct tiny_run *run, struct outcome *o)
{
    static struct step_batch batch[STEPS];
    int status = OK;
    for (int i = 0; i < STEPS; i++) {
        const struct step_plan *plan;
        assert_int_equal(plan_step(run->plan, i, &plan), OK);
        assert_int_equal(step_batch_make(&run->view, plan, &run->options, &run->layout, run->mesh->data->rank, &batch[i]), OK);
    }
    assert_true(batch[0].n_micro_batches >= 3);
    for (int i = 0; i < STEPS && status == OK; i++) {
        struct step_result result = {0};
        int64_t before = emulate_n_waits(), allocations = emulate_n_allocations();
        status = train_step(run->trainer, &batch[i], i + 1 < STEPS ? batch[i + 1].forest : NULL, &result);
        o->n_waits = emulate_n_waits() - before;
        o->n_allocations = emulate_n_allocations() - allocations;
        o->loss[i] = result.loss;
    }
    for (int i = 0; i < STEPS; i++)
        step_batch_free(&batch[i]);
    return status;
}

static void train(uint64_t seed, enum order dropped, bool waits_twice, struct outcome *o)
{
    static struct device_ops ops;
    struct tiny_run run;
    memset(o, 0, sizeof *o);
    memset(&fault, 0, sizeof fault);
    emulate_seed(seed + 100 * (uint64_t)world->rank);
    real = cuda->ops;
    ops = *real;
    ops.stream_open = open_and_note, ops.event_record = record_and_note, ops.event_wait = wait_or_drop, ops.zero = zero_and_wait;
    n_opened = 0;
    memset(copied, 0, sizeof copied);
    cuda->ops = &ops;
    fault.dropped = NONE;
    tiny_run_open(&run, &config, world, cuda);
    store = run.trainer->store, backbone = run.trainer->backbone;
    for (int i = 0; i + 1 < n_opened; i++)
        ahead = opened[i] == store->beside.handle ? opened[i + 1] : ahead;
    fault.dropped = dropped, fault.waits_twice = waits_twice;
    o->status = steps(&run, o);
    fault.dropped = NONE, fault.waits_twice = false;
    if (o->status == OK)
        take_masters(o);
    trace_clear();
    store = NULL;
    tiny_run_close(&run);
    cuda->ops = real;
}

static bool differ(const struct outcome *a, const struct outcome *b)
{
    int64_t other = a->status != b->status || memcmp(a->loss, b->loss, sizeof a->loss) != 0 || memcmp(a->master, b->master, sizeof a->master) != 0;
    assert_int_equal(all_reduce(world, &other, 1, COMM_I64, COMM_MAX, NULL), OK);
    return other;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------------------- */

static void the_host_waits_once_a_step(void **state)
{
    (void)state;
    train(1, NONE, false, &got);
    assert_int_equal(got.status, OK);
    assert_int_equal(got.n_waits, 1);
    train(1, NONE, true, &got);
    assert_true(got.n_waits > 1);
}

/* One allocation for a run, as large as the plan says, and none in its later steps; beside it NCCL's memory, which is counted. What communicators were tried on has been given back. */
static void memory_is_one_piece_and_planned(void **state)
{
    (void)state;
    struct tiny_run run;
    int64_t before = emulate_n_allocations();
    size_t in_use = cuda->bytes_in_use, left = cuda->ops->left(cuda);
    tiny_run_open(&run, &config, world, cuda);
    assert_int_equal(emulate_n_allocations() - before, 1 + 1);
    assert_true(cuda->comm_bytes > 0);
    assert_int_equal(left - cuda->ops->left(cuda), trainer_bytes_sum(&run.trainer->bytes) + cuda->comm_bytes);
    in_use = cuda->bytes_in_use - in_use;
    size_t plan = trainer_bytes_sum(&run.trainer->bytes);
    assert_true(in_use <= plan && plan - in_use < 256 * 100);
    tiny_run_close(&run);
    train(1, NONE, false, &got);
    assert_int_equal(got.status, OK);
    assert_int_equal(got.n_allocations, 0);
}

static void the_order_of_the_streams_work_changes_nothing(void **state)
{
    (void)state;
    train(1, NONE, false, &want);
    for (uint64_t seed = 2; seed <= 4; seed++) {
        train(seed, NONE, false, &got);
        assert_false(differ(&want, &got));
    }
}

static bool is_of(enum order order, int tensor) { return order < first_of_data || (order >= first_of_tensor) == (tensor > 1); }

static void assert_each_is_missed(int tensor)
{
    train(1, NONE, false, &want);
    for (enum order dropped = 0; dropped < N_ORDERS; dropped++) {
        bool caught = !is_of(dropped, tensor);
        for (uint64_t seed = 1; seed <= SEEDS && !caught; seed++) {
            train(seed, dropped, false, &got);
            caught = differ(&want, &got);
            assert_true(fault.n_waits[dropped] > 0);
        }
        if (!caught)
            fail_msg("on a tensor axis of %d, without an order between %s nothing is other", tensor, words[dropped]);
    }
}

static void without_any_one_of_its_orders_a_step_gives_other_numbers(void **state)
{
    (void)state;
    assert_each_is_missed(1);
}

/* ---- the tensor axis ------------------------------------------------------------------------------------------------------------------------- */

static void with_the_ranks_on_the_tensor_axis(bool recompute, void (*test)(void **))
{
    struct config before = config;
    config.mesh.data = 1, config.mesh.tensor = 2;
    config.device.recompute = recompute ? RECOMPUTE_LAYER : RECOMPUTE_NONE;
    test(NULL);
    config = before;
}

static void on_the_tensor_axis_the_order_of_the_streams_work_changes_nothing(void **state)
{
    (void)state;
    with_the_ranks_on_the_tensor_axis(false, the_order_of_the_streams_work_changes_nothing);
    with_the_ranks_on_the_tensor_axis(true, the_order_of_the_streams_work_changes_nothing);
}

static void each_is_missed_on_the_tensor_axis(void **state)
{
    (void)state;
    assert_each_is_missed(2);
}

static void on_the_tensor_axis_without_any_one_of_its_orders_a_step_gives_other_numbers(void **state)
{
    (void)state;
    with_the_ranks_on_the_tensor_axis(false, each_is_missed_on_the_tensor_axis);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_waits_once_a_step),
        cmocka_unit_test(memory_is_one_piece_and_planned),
        cmocka_unit_test(the_order_of_the_streams_work_changes_nothing),
        cmocka_unit_test(without_any_one_of_its_orders_a_step_gives_other_numbers),
        cmocka_unit_test(on_the_tensor_axis_the_order_of_the_streams_work_changes_nothing),
        cmocka_unit_test(on_the_tensor_axis_without_any_one_of_its_orders_a_step_gives_other_numbers),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK || cuda_module_create(&(struct device_options){.ordinal = world->rank}, &cuda) != OK)
        return 1;
    if (world->rank == 0) {
        scratch_make(&scratch);
        tiny_model_write(scratch_path(&scratch, "tiny"), "llama", 2, false);
        pairs_shape_write(scratch_path(&scratch, "tiny"), &(struct pairs_shape){.n_pairs = N_PAIRS, .seed = 7, .vocab = 256, .prompt = {8, 8}, .response = {8, 8}, .critique = {6, 6}, .n_critiques = {2, 2}});
    }
    if (broadcast(world, &scratch, sizeof scratch, COMM_U8, 0, NULL) != OK)
        return 1;
    tiny_config(&config, scratch_path(&scratch, "tiny"), 97);
    config.mesh.data = 2;
    config.objective.pairs_per_step = 6;
    config.objective.mode = MODE_JOINT;
    int failed = cmocka_run_group_tests_name("cuda_schedule", tests, NULL, NULL);
    if (failed > 0)
        comm_mpi_abort(world, 1);
    if (world->rank == 0)
        scratch_remove(&scratch);
    device_destroy(&cuda);
    comm_mpi_stop(&world);
    return failed;
}
