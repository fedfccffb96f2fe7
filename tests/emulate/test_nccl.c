// ranks: 1 2 4
/* Collectives of device memory over NCCL, against the same over MPI on host memory, under several orders of the streams' work. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mesh.h"
#include "comm/prepare.h"
#include "emulate.h"
#include "kernels/cuda_module.h"
#include "kernels/kernels.h"

enum { N_TYPES = 4, MAX_COUNT = 100003, SEEDS = 16 };
static const enum comm_type types[N_TYPES] = {COMM_F32, COMM_BF16, COMM_F64, COMM_I64};
enum { N_COUNTS = 5 };
static const int64_t counts[N_COUNTS] = {0, 1, 17, 1000, MAX_COUNT};

static struct comm *world;
static struct device *device;
static struct stream *compute;

/* ---- memory ---------------------------------------------------------------------------------------------------------------------------------- */

static void *take(size_t n_bytes)
{
    void *memory = NULL;
    assert_int_equal(device_alloc(device, n_bytes, &memory), OK);
    return memory;
}

static void drop(void *memory, size_t n_bytes) { device_free(device, &memory, n_bytes); }
static void put(void *to, const void *from, size_t n_bytes) { assert_int_equal(device->ops->copy(compute, to, from, n_bytes, HOST_TO_DEVICE), OK); }
static void wait_for(struct stream *stream) { assert_int_equal(device->ops->synchronize(stream), OK); }

static void *get(const void *from, size_t n_bytes)
{
    void *to = malloc(n_bytes + 1);
    assert_non_null(to);
    assert_int_equal(device->ops->copy(compute, to, from, n_bytes, DEVICE_TO_HOST), OK);
    wait_for(compute);
    return to;
}

/* Small integers: exact in all types, also summed. */
static void *small_numbers(int rank, enum comm_type type, int64_t n)
{
    void *x = malloc((size_t)n * comm_type_bytes(type) + 1);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) {
        int v = (int)(i % 7) + 2 * rank;
        if (type == COMM_F32)
            ((float *)x)[i] = (float)v;
        else if (type == COMM_BF16)
            ((bf16 *)x)[i] = f32_to_bf16((float)v);
        else if (type == COMM_F64)
            ((double *)x)[i] = v;
        else if (type == COMM_I64)
            ((int64_t *)x)[i] = v;
        else
            ((uint8_t *)x)[i] = (uint8_t)v;
    }
    return x;
}

/* ---- each collective on the device and on the host ------------------------------------------------------------------------------------------- */

struct both { void *host, *device; size_t n_bytes; };

static struct both both_of(int rank, enum comm_type type, int64_t n)
{
    struct both b = {small_numbers(rank, type, n), NULL, (size_t)n * comm_type_bytes(type)};
    b.device = take(b.n_bytes);
    put(b.device, b.host, b.n_bytes);
    return b;
}

static void assert_same(const struct both *b, size_t from, size_t n_bytes)
{
    char *got = get(b->device, b->n_bytes);
    assert_memory_equal(got + from, (const char *)b->host + from, n_bytes);
    free(got);
}

static void drop_both(struct both *b)
{
    drop(b->device, b->n_bytes);
    free(b->host);
}

static void check_all_reduce(struct comm *c, enum comm_type type, enum comm_op op, int64_t n)
{
    struct both x = both_of(c->rank, type, n);
    assert_int_equal(all_reduce(c, x.device, n, type, op, compute), OK);
    assert_int_equal(all_reduce(c, x.host, n, type, op, NULL), OK);
    assert_same(&x, 0, x.n_bytes);
    drop_both(&x);
}

static void check_reduce_scatter(struct comm *c, enum comm_type type, int64_t n, bool in_place)
{
    struct both send = both_of(c->rank, type, n * c->size), own = both_of(0, type, n), *recv = in_place ? &send : &own;
    size_t part = (size_t)n * comm_type_bytes(type), at = in_place ? (size_t)c->rank * part : 0;
    assert_int_equal(reduce_scatter(c, send.device, (char *)recv->device + at, n, type, COMM_SUM, compute), OK);
    assert_int_equal(reduce_scatter(c, send.host, (char *)recv->host + at, n, type, COMM_SUM, NULL), OK);
    assert_same(recv, at, part);
    drop_both(&send), drop_both(&own);
}

static void check_all_gather(struct comm *c, enum comm_type type, int64_t n, bool in_place)
{
    struct both recv = both_of(c->rank, type, n * c->size), own = both_of(c->rank, type, n), *send = in_place ? &recv : &own;
    size_t at = in_place ? (size_t)c->rank * (size_t)n * comm_type_bytes(type) : 0;
    assert_int_equal(all_gather(c, (char *)send->device + at, recv.device, n, type, compute), OK);
    assert_int_equal(all_gather(c, (char *)send->host + at, recv.host, n, type, NULL), OK);
    assert_same(&recv, 0, recv.n_bytes);
    drop_both(&recv), drop_both(&own);
}

static void check_all_to_all(struct comm *c, enum comm_type type, int64_t n)
{
    struct both send = both_of(c->rank, type, n * c->size), recv = both_of(0, type, n * c->size);
    assert_int_equal(all_to_all(c, send.device, recv.device, n, type, compute), OK);
    assert_int_equal(all_to_all(c, send.host, recv.host, n, type, NULL), OK);
    assert_same(&recv, 0, recv.n_bytes);
    drop_both(&send), drop_both(&recv);
}

static void check_broadcast(struct comm *c, enum comm_type type, int64_t n, int root)
{
    struct both x = both_of(c->rank, type, n);
    assert_int_equal(broadcast(c, x.device, n, type, root, compute), OK);
    assert_int_equal(broadcast(c, x.host, n, type, root, NULL), OK);
    assert_same(&x, 0, x.n_bytes);
    drop_both(&x);
}

static void check_type(struct comm *c, enum comm_type type, int64_t n)
{
    check_all_reduce(c, type, COMM_SUM, n);
    if (type != COMM_BF16) {
        check_all_reduce(c, type, COMM_MAX, n);
        check_all_reduce(c, type, COMM_MIN, n);
    }
    for (int in_place = 0; in_place < 2; in_place++) {
        check_reduce_scatter(c, type, n, in_place);
        check_all_gather(c, type, n, in_place);
    }
    check_all_to_all(c, type, n);
}

static void check_all(struct comm *c, size_t n_counts)
{
    for (size_t n = 0; n < n_counts; n++) {
        for (int t = 0; t < N_TYPES; t++)
            check_type(c, types[t], counts[n]);
        for (int root = 0; root < c->size; root++)
            check_broadcast(c, COMM_U8, counts[n], root);
        check_broadcast(c, COMM_F32, counts[n], c->size - 1);
        check_all_gather(c, COMM_U8, counts[n], false);
    }
    assert_int_equal(c->ops->barrier(c), OK);
}

static struct mesh *mesh_of(int tensor)
{
    struct mesh *mesh;
    assert_int_equal(mesh_create(world, 0, tensor, false, &mesh), OK);
    assert_int_equal(mesh_connect(mesh, device), OK);
    return mesh;
}

static void collectives_of_the_world_are_those_of_mpi_on_host_copies(void **state)
{
    (void)state;
    struct mesh *mesh = mesh_of(1);
    check_all(mesh->world, N_COUNTS);
    mesh_destroy(&mesh);
}

static void collectives_on_the_axes_of_a_mesh_stay_within_them(void **state)
{
    (void)state;
    for (int tensor = 1; tensor <= world->size; tensor *= 2) {
        emulate_seed((uint64_t)tensor);
        struct mesh *mesh = mesh_of(tensor);
        assert_int_equal(mesh->tensor->size, tensor);
        assert_int_equal(mesh->data->size, world->size / tensor);
        assert_int_equal(mesh->world->rank, mesh->data->rank * tensor + mesh->tensor->rank);
        assert_string_equal(mesh->tensor->name, "tensor");
        if (tensor > 1 && tensor < world->size) {
            check_all(mesh->tensor, N_COUNTS - 1);
            check_all(mesh->data, N_COUNTS - 1);
        }
        mesh_destroy(&mesh);
    }
}

static void a_split_of_an_axis_keeps_its_ranks_in_order(void **state)
{
    (void)state;
    struct comm *half;
    struct mesh *mesh = mesh_of(world->size);
    assert_int_equal(mesh->tensor->ops->split(mesh->tensor, world->rank / 2, &half), OK);
    assert_int_equal(half->size, world->size < 2 ? 1 : 2);
    assert_int_equal(half->rank, world->rank % 2);
    check_type(half, COMM_F32, 1000);
    comm_destroy(&half);
    mesh_destroy(&mesh);
}

/* Numbers that do not add exactly: in another order than MPI's, but in one. */
static void sums_are_the_same_bits_on_all_ranks_and_each_time(void **state)
{
    (void)state;
    enum { N = 5000 };
    float x[N], *got[2];
    struct mesh *mesh = mesh_of(1);
    float *memory = take(sizeof x);
    for (int round = 0; round < 2; round++) {
        emulate_seed((uint64_t)(round + world->rank));
        for (int i = 0; i < N; i++)
            x[i] = sinf((float)i + 100.0f * (float)world->rank);
        put(memory, x, sizeof x);
        assert_int_equal(all_reduce(mesh->world, memory, N, COMM_F32, COMM_SUM, compute), OK);
        got[round] = get(memory, sizeof x);
    }
    assert_memory_equal(got[0], got[1], sizeof x);
    assert_int_equal(all_reduce(mesh->world, x, N, COMM_F32, COMM_SUM, NULL), OK);
    for (int i = 0; i < N; i++)
        assert_true(fabsf(got[0][i] - x[i]) <= 1e-6f * (float)world->size);
    assert_int_equal(broadcast(mesh->world, got[1], N, COMM_F32, 0, NULL), OK);
    assert_memory_equal(got[0], got[1], sizeof x);
    free(got[0]), free(got[1]);
    drop(memory, sizeof x);
    mesh_destroy(&mesh);
}

/* What batch invariance on two tensor ranks stands on (comm.h). */
static void on_two_ranks_a_sum_does_not_depend_on_how_many_are_summed(void **state)
{
    (void)state;
    enum { FEW = 10, MANY = 1000 };
    struct mesh *mesh = mesh_of(world->size < 2 ? 1 : 2);
    struct comm *c = mesh->tensor;
    float x[2 * MANY], *got[2];
    float *send = take(sizeof x), *recv = take(sizeof x);
    for (int round = 0; round < 2; round++) {
        int64_t n = round ? MANY : FEW;
        for (int64_t i = 0; i < c->size * n; i++)
            x[i] = sinf((float)(i % n) + 0.1f * (float)(i / n) + 1000.0f * (float)c->rank);
        put(send, x, sizeof x);
        assert_int_equal(reduce_scatter(c, send, recv, n, COMM_F32, COMM_SUM, compute), OK);
        got[round] = get(recv, sizeof x);
    }
    assert_memory_equal(got[0], got[1], FEW * sizeof *x);
    free(got[0]), free(got[1]);
    drop(send, sizeof x), drop(recv, sizeof x);
    mesh_destroy(&mesh);
}

/* ---- streams --------------------------------------------------------------------------------------------------------------------------------- */

enum { N = 640, BUCKETS = 3 };

/* buckets[i] += x on the device's stream, again and again. */
static void fill(float *bucket, const float *x, int times)
{
    struct map_args add = {.n_elems = N, .x = x, .y = bucket};
    for (int i = 0; i < times; i++)
        assert_int_equal(device->kernels->add(compute, &add), OK);
}

static bool holds(const float *memory, float want)
{
    float *got = get(memory, N * sizeof *got);
    bool right = true;
    for (int i = 0; i < N; i++)
        right = right && got[i] == want;
    free(got);
    return right;
}

/* One stream computes, collectives take and give at once. In how many orders of the streams' work the result is right. */
static int right_in_line(struct comm *c)
{
    int n_right = 0;
    float ones[N], *x = take(sizeof ones), *y = take(sizeof ones);
    for (int i = 0; i < N; i++)
        ones[i] = 1.0f;
    put(x, ones, sizeof ones);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed + 100 * (uint64_t)world->rank);
        assert_int_equal(device->ops->zero(compute, y, sizeof ones), OK);
        fill(y, x, c->rank + 1);
        assert_int_equal(all_reduce(c, y, N, COMM_F32, COMM_SUM, compute), OK);
        fill(y, x, 3);
        n_right += holds(y, (float)(c->size * (c->size + 1) / 2 + 3));
    }
    drop(x, sizeof ones), drop(y, sizeof ones);
    return n_right;
}

static int no_wait(struct event *event, struct stream *stream)
{
    (void)event, (void)stream;
    return OK;
}

static void a_collective_takes_what_its_stream_wrote_and_gives_to_what_follows(void **state)
{
    (void)state;
    struct mesh *mesh = mesh_of(1);
    assert_int_equal(right_in_line(mesh->world), SEEDS);
    mesh_destroy(&mesh);
}

/* The planted fault: the backend's waits for events do nothing. How often that shows depends on how far the other ranks are; the right program above is right every time. */
static void a_missing_event_gives_wrong_numbers(void **state)
{
    (void)state;
    const struct device_ops *whole = device->ops;
    struct device_ops blind = *whole;
    struct mesh *mesh = mesh_of(1);
    blind.event_wait = no_wait;
    device->ops = &blind;
    int n_right = right_in_line(mesh->world);
    device->ops = whole;
    if (world->size > 1)
        assert_true(n_right < SEEDS);
    mesh_destroy(&mesh);
}

/* As gradients are reduced behind the backward pass: buckets are filled by one stream and reduced from another while the next is filled. */
static void right_beside(struct comm *c, struct stream *side)
{
    float ones[N], *x = take(sizeof ones), *bucket[BUCKETS];
    struct event filled[BUCKETS] = {0}, reduced = {0};
    for (int i = 0; i < N; i++)
        ones[i] = 1.0f;
    put(x, ones, sizeof ones);
    for (int b = 0; b < BUCKETS; b++) {
        bucket[b] = take(sizeof ones);
        fill(bucket[b], x, b + c->rank + 1);
        assert_int_equal(device->ops->event_record(&filled[b], compute), OK);
        assert_int_equal(device->ops->event_wait(&filled[b], side), OK);
        assert_int_equal(all_reduce(c, bucket[b], N, COMM_F32, COMM_SUM, side), OK);
    }
    assert_int_equal(device->ops->event_record(&reduced, side), OK);
    assert_int_equal(device->ops->event_wait(&reduced, compute), OK);
    for (int b = 0; b < BUCKETS; b++) {
        assert_true(holds(bucket[b], (float)(c->size * b + c->size * (c->size + 1) / 2)));
        drop(bucket[b], sizeof ones);
    }
    drop(x, sizeof ones);
}

static void collectives_on_another_stream_run_beside_the_computing(void **state)
{
    (void)state;
    struct stream side;
    struct mesh *mesh = mesh_of(1);
    assert_int_equal(device->ops->stream_open(device, &side), OK);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed + 100 * (uint64_t)world->rank);
        right_beside(mesh->world, &side);
    }
    mesh_destroy(&mesh);
}

/* Ranks wait for their streams in different orders: on GPUs all streams run. */
static void communicators_on_several_streams_do_not_hold_each_other(void **state)
{
    (void)state;
    struct stream side[2];
    float ones[N], *x[2];
    struct mesh *mesh = mesh_of(world->size < 2 ? 1 : 2);
    struct comm *comm[2] = {mesh->data, mesh->tensor};
    for (int i = 0; i < N; i++)
        ones[i] = 1.0f;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(device->ops->stream_open(device, &side[i]), OK);
        x[i] = take(sizeof ones);
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed + 100 * (uint64_t)world->rank);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(device->ops->copy(&side[i], x[i], ones, sizeof ones, HOST_TO_DEVICE), OK);
            assert_int_equal(all_reduce(comm[i], x[i], N, COMM_F32, COMM_SUM, &side[i]), OK);
        }
        wait_for(&side[world->rank % 2]);
        wait_for(&side[1 - world->rank % 2]);
        assert_true(holds(x[0], (float)mesh->data->size) && holds(x[1], (float)mesh->tensor->size));
    }
    drop(x[0], sizeof ones), drop(x[1], sizeof ones);
    mesh_destroy(&mesh);
}

/* Rank 0 waits for its stream before a barrier of the hosts, the others behind it. */
static void a_host_that_waits_elsewhere_does_not_hold_its_streams(void **state)
{
    (void)state;
    float ones[N], *x = take(sizeof ones);
    struct mesh *mesh = mesh_of(1);
    for (int i = 0; i < N; i++)
        ones[i] = 1.0f;
    for (int round = 0; round < 3; round++) {
        put(x, ones, sizeof ones);
        assert_int_equal(all_reduce(mesh->world, x, N, COMM_F32, COMM_SUM, compute), OK);
        if (world->rank == 0)
            wait_for(compute);
        assert_int_equal(mesh->world->ops->barrier(mesh->world), OK);
        assert_true(holds(x, (float)world->size));
    }
    drop(x, sizeof ones);
    mesh_destroy(&mesh);
}

static void a_group_is_what_its_collectives_are_one_by_one(void **state)
{
    (void)state;
    struct mesh *mesh = mesh_of(1);
    struct comm *c = mesh->world;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        emulate_seed(seed + 100 * (uint64_t)world->rank);
        struct both x = both_of(c->rank, COMM_F32, N), y = both_of(c->rank, COMM_I64, 3), z = both_of(c->rank, COMM_BF16, N * c->size);
        size_t at = (size_t)(c->rank * N) * 2;
        assert_int_equal(comm_group_begin(c), OK);
        assert_int_equal(all_reduce(c, x.device, N, COMM_F32, COMM_SUM, compute), OK);
        assert_int_equal(all_reduce(c, y.device, 3, COMM_I64, COMM_MAX, compute), OK);
        assert_int_equal(all_gather(c, (char *)z.device + at, z.device, N, COMM_BF16, compute), OK);
        assert_int_equal(comm_group_end(c), OK);
        assert_int_equal(all_reduce(c, x.host, N, COMM_F32, COMM_SUM, NULL), OK);
        assert_int_equal(all_reduce(c, y.host, 3, COMM_I64, COMM_MAX, NULL), OK);
        assert_int_equal(all_gather(c, (char *)z.host + at, z.host, N, COMM_BF16, NULL), OK);
        assert_same(&x, 0, x.n_bytes), assert_same(&y, 0, y.n_bytes), assert_same(&z, 0, z.n_bytes);
        drop_both(&x), drop_both(&y), drop_both(&z);
    }
    mesh_destroy(&mesh);
}

/* Many are queued before the host waits once: more than are watched. */
static void the_host_waits_once_for_many_collectives(void **state)
{
    (void)state;
    enum { MANY = 200 };
    struct mesh *mesh = mesh_of(1);
    float one[N] = {1.0f}, *x = take(sizeof one);
    put(x, one, sizeof one);
    wait_for(compute);
    int64_t before = emulate_n_waits();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(all_reduce(mesh->world, x, N, COMM_F32, COMM_MAX, compute), OK);
    assert_int_equal(emulate_n_waits(), before);
    wait_for(compute);
    assert_int_equal(emulate_n_waits(), before + 1);
    drop(x, sizeof one);
    mesh_destroy(&mesh);
}

/* ---- memory of NCCL's own -------------------------------------------------------------------------------------------------------------------- */

enum { N_USES = 6 };
static const struct comm_use uses[N_USES] = {{COMM_ALL_REDUCE, COMM_F32, COMM_SUM, 3000}, {COMM_ALL_REDUCE, COMM_F32, COMM_MAX, 40}, {COMM_REDUCE_SCATTER, COMM_BF16, COMM_SUM, 1000},
                                             {COMM_ALL_GATHER, COMM_F32, COMM_SUM, 5000}, {COMM_ALL_TO_ALL, COMM_BF16, COMM_SUM, 100}, {COMM_BROADCAST, COMM_U8, COMM_SUM, 256}};

/* Each of the uses with `count` elements, or as many as it may have. */
static void use_all(struct comm *c, int64_t count)
{
    for (int i = 0; i < N_USES; i++) {
        const struct comm_use *u = &uses[i];
        int64_t n = count < u->count ? count : u->count;
        if (u->kind == COMM_ALL_REDUCE)
            check_all_reduce(c, u->type, u->op, n);
        else if (u->kind == COMM_REDUCE_SCATTER)
            check_reduce_scatter(c, u->type, n, true);
        else if (u->kind == COMM_ALL_GATHER)
            check_all_gather(c, u->type, n, false);
        else if (u->kind == COMM_ALL_TO_ALL)
            check_all_to_all(c, u->type, n);
        else
            check_broadcast(c, u->type, n, c->size - 1);
    }
}

static void a_prepared_communicator_takes_no_more_memory(void **state)
{
    (void)state;
    struct mesh *mesh = mesh_of(1);
    struct comm *c = mesh->world;
    size_t in_use = device->bytes_in_use, left = device->ops->left(device);
    int64_t made = emulate_taken();
    assert_int_equal(device->comm_bytes, made);
    assert_int_equal(prepare_comm(c, device, uses, N_USES), OK);
    prepare_count(device, left);
    int64_t prepared = emulate_taken();
    assert_int_equal(device->bytes_in_use, in_use);
    assert_int_equal(device->comm_bytes, prepared);
    assert_int_equal(prepared > made, c->size > 1);
    for (int64_t count = 1; count <= 8192; count += count / 3 + 1)
        use_all(c, count);
    assert_int_equal(emulate_taken(), prepared);
    void *too_much = NULL;
    assert_int_equal(device_alloc(device, (size_t)9 << 30, &too_much), FAILED);
    assert_int_equal(strstr(trace_sentence(), "are free, NCCL holds ") != NULL, c->size > 1);
    trace_clear();
    mesh_destroy(&mesh);
    assert_int_equal(device->comm_bytes, 0);
    assert_int_equal(emulate_taken(), 0);
}

static void what_was_not_prepared_for_takes_memory(void **state)
{
    (void)state;
    struct mesh *mesh = mesh_of(1);
    struct comm *c = mesh->world;
    assert_int_equal(prepare_comm(c, device, uses, N_USES), OK);
    int64_t before = emulate_taken();
    check_all_reduce(c, COMM_F32, COMM_SUM, 4 * 3000);
    assert_int_equal(emulate_taken() > before, c->size > 1);
    before = emulate_taken();
    check_all_gather(c, COMM_U8, 1, false);
    assert_int_equal(emulate_taken() > before, c->size > 1);
    mesh_destroy(&mesh);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collectives_of_the_world_are_those_of_mpi_on_host_copies),
        cmocka_unit_test(collectives_on_the_axes_of_a_mesh_stay_within_them),
        cmocka_unit_test(a_split_of_an_axis_keeps_its_ranks_in_order),
        cmocka_unit_test(sums_are_the_same_bits_on_all_ranks_and_each_time),
        cmocka_unit_test(on_two_ranks_a_sum_does_not_depend_on_how_many_are_summed),
        cmocka_unit_test(a_collective_takes_what_its_stream_wrote_and_gives_to_what_follows),
        cmocka_unit_test(a_missing_event_gives_wrong_numbers),
        cmocka_unit_test(collectives_on_another_stream_run_beside_the_computing),
        cmocka_unit_test(communicators_on_several_streams_do_not_hold_each_other),
        cmocka_unit_test(a_host_that_waits_elsewhere_does_not_hold_its_streams),
        cmocka_unit_test(a_group_is_what_its_collectives_are_one_by_one),
        cmocka_unit_test(the_host_waits_once_for_many_collectives),
        cmocka_unit_test(a_prepared_communicator_takes_no_more_memory),
        cmocka_unit_test(what_was_not_prepared_for_takes_memory),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK || cuda_module_create(&(struct device_options){.ordinal = world->rank}, &device) != OK)
        return 1;
    compute = &device->stream;
    int failed = cmocka_run_group_tests_name("nccl", tests, NULL, NULL);
    if (failed > 0 && world->size > 1)
        comm_mpi_abort(world, 1);
    device_destroy(&device);
    comm_mpi_stop(&world);
    return failed;
}
