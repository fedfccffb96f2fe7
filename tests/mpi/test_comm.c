// ranks: 1 2 4
/* Every collective, of every type, on the world, on the communicator of one, and on the axes of a mesh. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/agree.h"
#include "comm/mesh.h"
#include "comm/stop.h"

enum { N_TYPES = 4, MAX_COUNT = 100003 };
static const enum comm_type types[N_TYPES] = {COMM_F32, COMM_BF16, COMM_F64, COMM_I64};
static const int64_t counts[] = {0, 1, 2, 17, 1000, MAX_COUNT};

static struct comm *world, *self;

/* Small integers: exact in all types, also summed. */
static double value(int rank, int64_t i) { return (double)(i % 7 + 2 * rank); }

static void put(void *x, enum comm_type type, int64_t i, double v)
{
    switch (type) {
    case COMM_F32: ((float *)x)[i] = (float)v; break;
    case COMM_BF16: ((bf16 *)x)[i] = f32_to_bf16((float)v); break;
    case COMM_F64: ((double *)x)[i] = v; break;
    case COMM_I64: ((int64_t *)x)[i] = (int64_t)v; break;
    case COMM_U8: ((uint8_t *)x)[i] = (uint8_t)v; break;
    }
}

static double get(const void *x, enum comm_type type, int64_t i)
{
    switch (type) {
    case COMM_F32: return (double)((const float *)x)[i];
    case COMM_BF16: return (double)bf16_to_f32(((const bf16 *)x)[i]);
    case COMM_F64: return ((const double *)x)[i];
    case COMM_I64: return (double)((const int64_t *)x)[i];
    case COMM_U8: break;
    }
    return (double)((const uint8_t *)x)[i];
}

static double reduced(const struct comm *c, enum comm_op op, int64_t i)
{
    double out = value(0, i);
    for (int r = 1; r < c->size; r++)
        out = op == COMM_SUM ? out + value(r, i) : op == COMM_MAX && value(r, i) < out ? out : op == COMM_MIN && value(r, i) > out ? out : value(r, i);
    return out;
}

static void *filled(const struct comm *c, enum comm_type type, int64_t n)
{
    void *x = malloc((size_t)n * comm_type_bytes(type) + 1);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++)
        put(x, type, i, value(c->rank, i));
    return x;
}

static void check_all_reduce(struct comm *c, enum comm_type type, enum comm_op op, int64_t n)
{
    void *x = filled(c, type, n);
    assert_int_equal(all_reduce(c, x, n, type, op, NULL), OK);
    for (int64_t i = 0; i < n; i++)
        assert_true(get(x, type, i) == reduced(c, op, i));
    free(x);
}

static void check_reduce_scatter(struct comm *c, enum comm_type type, int64_t n, bool in_place)
{
    void *send = filled(c, type, n * c->size), *own = malloc((size_t)n * comm_type_bytes(type) + 1);
    void *recv = in_place ? (char *)send + (size_t)(c->rank * n) * comm_type_bytes(type) : own;
    assert_int_equal(reduce_scatter(c, send, recv, n, type, COMM_SUM, NULL), OK);
    for (int64_t i = 0; i < n; i++)
        assert_true(get(recv, type, i) == reduced(c, COMM_SUM, c->rank * n + i));
    free(send);
    free(own);
}

static void check_all_gather(struct comm *c, enum comm_type type, int64_t n, bool in_place)
{
    void *send = filled(c, type, n), *recv = malloc((size_t)(n * c->size) * comm_type_bytes(type) + 1);
    void *mine = (char *)recv + (size_t)(c->rank * n) * comm_type_bytes(type);
    if (in_place)
        memcpy(mine, send, (size_t)n * comm_type_bytes(type));
    assert_int_equal(all_gather(c, in_place ? mine : send, recv, n, type, NULL), OK);
    for (int r = 0; r < c->size; r++)
        for (int64_t i = 0; i < n; i++)
            assert_true(get(recv, type, r * n + i) == value(r, i));
    free(send);
    free(recv);
}

static void check_all_to_all(struct comm *c, enum comm_type type, int64_t n)
{
    void *send = filled(c, type, n * c->size), *recv = malloc((size_t)(n * c->size) * comm_type_bytes(type) + 1);
    assert_int_equal(all_to_all(c, send, recv, n, type, NULL), OK);
    for (int r = 0; r < c->size; r++)
        for (int64_t i = 0; i < n; i++)
            assert_true(get(recv, type, r * n + i) == value(r, c->rank * n + i));
    free(send);
    free(recv);
}

static void check_broadcast(struct comm *c, enum comm_type type, int64_t n, int root)
{
    void *x = filled(c, type, n);
    assert_int_equal(broadcast(c, x, n, type, root, NULL), OK);
    for (int64_t i = 0; i < n; i++)
        assert_true(get(x, type, i) == value(root, i));
    free(x);
}

static void check_all(struct comm *c)
{
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        for (int t = 0; t < N_TYPES; t++) {
            check_all_reduce(c, types[t], COMM_SUM, counts[n]);
            if (types[t] != COMM_BF16) {
                check_all_reduce(c, types[t], COMM_MAX, counts[n]);
                check_all_reduce(c, types[t], COMM_MIN, counts[n]);
            }
            for (int in_place = 0; in_place < 2; in_place++) {
                check_reduce_scatter(c, types[t], counts[n], in_place);
                check_all_gather(c, types[t], counts[n], in_place);
            }
            check_all_to_all(c, types[t], counts[n]);
        }
        for (int root = 0; root < c->size; root++) {
            check_broadcast(c, COMM_U8, counts[n], root);
            check_broadcast(c, COMM_F32, counts[n], root);
        }
        check_all_gather(c, COMM_U8, counts[n], false);
    }
    assert_int_equal(c->ops->barrier(c), OK);
}

static void collectives_of_the_world_are_those_of_their_definition(void **state) { (void)state, check_all(world); }
static void collectives_of_one_rank_are_copies(void **state) { (void)state, check_all(self); }

static void collectives_on_the_axes_of_a_mesh_stay_within_them(void **state)
{
    (void)state;
    for (int tensor = 1; tensor <= world->size; tensor *= 2) {
        struct mesh *mesh;
        assert_int_equal(mesh_create(world, 0, tensor, false, &mesh), OK);
        assert_int_equal(mesh->world->size, world->size);
        assert_int_equal(mesh->tensor->size, tensor);
        assert_int_equal(mesh->data->size, world->size / tensor);
        assert_int_equal(mesh->world->rank, mesh->data->rank * tensor + mesh->tensor->rank);
        check_all(mesh->tensor);
        check_all(mesh->data);
        mesh_destroy(&mesh);
        assert_null(mesh);
    }
}

static void a_split_keeps_ranks_of_a_colour_in_order(void **state)
{
    (void)state;
    struct comm *half;
    assert_int_equal(world->ops->split(world, world->rank % 2, &half), OK);
    assert_int_equal(half->rank, world->rank / 2);
    check_all(half);
    comm_destroy(&half);
}

/* Sums of numbers that do not add exactly: the same bits everywhere and every time. */
static void sums_are_the_same_bits_on_all_ranks_and_each_time(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float x[N], again[N];
    for (int round = 0; round < 2; round++) {
        float *to = round ? again : x;
        for (int i = 0; i < N; i++)
            to[i] = 1.0f / (float)(1 + world->rank * 7 + i);
        assert_int_equal(all_reduce(world, to, N, COMM_F32, COMM_SUM, NULL), OK);
    }
    assert_memory_equal(x, again, sizeof x);
    assert_int_equal(broadcast(world, again, N, COMM_F32, 0, NULL), OK);
    assert_memory_equal(x, again, sizeof x);
}

/* A row of hidden states is summed beside few others or many: its bits are the same. */
static void an_elements_sum_does_not_depend_on_how_many_are_summed(void **state)
{
    (void)state;
    enum { FEW = 100, MANY = 100000 };
    float few[FEW], *many = malloc(MANY * sizeof *many), *send = malloc((size_t)world->size * MANY * sizeof *send);
    assert_true(many && send);
    for (int64_t n = FEW; n <= MANY; n *= 10) {
        for (int64_t i = 0; i < world->size * n; i++)
            send[i] = sinf((float)(i % n) + 0.1f * (float)(i / n) + 1000.0f * (float)world->rank);
        assert_int_equal(reduce_scatter(world, send, n == FEW ? few : many, n, COMM_F32, COMM_SUM, NULL), OK);
        if (n > FEW)
            assert_memory_equal(few, many, sizeof few);
    }
    free(many);
    free(send);
}

static void a_failure_of_one_rank_is_the_status_and_the_sentence_of_all(void **state)
{
    (void)state;
    int last = world->size - 1;
    int status = world->rank == last ? FAIL_USAGE("rank %d has had enough", last) : OK;
    assert_int_equal(agree_status(world, status), USAGE);
    char want[64];
    snprintf(want, sizeof want, "rank %d has had enough", last);
    assert_string_equal(trace_sentence(), want);
    assert_true(trace_is_shared());
    trace_clear();
    assert_int_equal(agree_status(world, OK), OK);
}

static void the_lowest_of_several_failures_is_told(void **state)
{
    (void)state;
    int status = FAIL("rank %d failed", world->rank);
    assert_int_equal(agree_status(world, status), FAILED);
    assert_string_equal(trace_sentence(), "rank 0 failed");
    trace_clear();
}

static void what_differs_between_ranks_is_named(void **state)
{
    (void)state;
    assert_int_equal(agree_equal(world, 0xfedcba9876543210u, "the set"), OK);
    int status = agree_equal(world, world->rank == 0 ? 1 : 2, "the set");
    assert_int_equal(status, world->size > 1 ? FAILED : OK);
    if (status != OK)
        assert_non_null(strstr(trace_sentence(), "the set is not the same on all ranks"));
    trace_clear();
}

static void bytes_of_one_rank_reach_all_and_bytes_of_all_reach_one(void **state)
{
    (void)state;
    for (int root = 0; root < world->size; root++) {
        char *text = world->rank == root ? strdup("from the root") : NULL;
        void *bytes = text, *all;
        size_t n = text ? strlen(text) + 1 : 0, n_all;
        assert_int_equal(agree_bytes(world, root, &bytes, &n), OK);
        assert_string_equal(bytes, "from the root");
        free(bytes);
        char mine[8];
        memset(mine, 'a' + world->rank, sizeof mine);
        assert_int_equal(agree_gather(world, root, mine, (size_t)world->rank, &all, &n_all), OK);     /* rank r sends r bytes */
        if (world->rank == root) {
            const char *at = all;
            assert_int_equal(n_all, world->size * (world->size - 1) / 2);
            for (int r = 0; r < world->size; r++)
                for (int i = 0; i < r; i++)
                    assert_int_equal(*at++, 'a' + r);
        } else {
            assert_null(all);
        }
        free(all);
    }
}

static void a_signal_to_one_rank_stops_all(void **state)
{
    (void)state;
    bool stop = true;
    stop_on_signals();
    assert_int_equal(stop_requested(world, &stop), OK);
    assert_false(stop);
    if (world->rank == world->size - 1)
        assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(stop_requested(world, &stop), OK);
    assert_true(stop);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collectives_of_the_world_are_those_of_their_definition),
        cmocka_unit_test(collectives_of_one_rank_are_copies),
        cmocka_unit_test(collectives_on_the_axes_of_a_mesh_stay_within_them),
        cmocka_unit_test(a_split_keeps_ranks_of_a_colour_in_order),
        cmocka_unit_test(sums_are_the_same_bits_on_all_ranks_and_each_time),
        cmocka_unit_test(an_elements_sum_does_not_depend_on_how_many_are_summed),
        cmocka_unit_test(a_failure_of_one_rank_is_the_status_and_the_sentence_of_all),
        cmocka_unit_test(the_lowest_of_several_failures_is_told),
        cmocka_unit_test(what_differs_between_ranks_is_named),
        cmocka_unit_test(bytes_of_one_rank_reach_all_and_bytes_of_all_reach_one),
        cmocka_unit_test(a_signal_to_one_rank_stops_all),
    };
    if (comm_mpi_start(&argc, &argv, &world) != OK || comm_self_create(&self) != OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed > 0 && world->size > 1)
        comm_mpi_abort(world, 1);
    comm_destroy(&self);
    comm_mpi_stop(&world);
    return failed;
}
