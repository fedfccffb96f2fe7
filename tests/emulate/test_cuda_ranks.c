// ranks: 1 2 4
/* From a program to the CUDA module and back, with ranks: each takes its GPU, makes the device and connects the mesh, as the commands do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "comm/local_device.h"
#include "comm/mesh.h"

enum { N = 100, EMULATED_GPUS = 8 };

static struct comm *world;

static void each_rank_takes_its_own_gpu(void **state)
{
    (void)state;
    int n_gpus = 0, ordinal = -1;
    uint64_t gpus = 0;
    assert_int_equal(device_cuda_look(&n_gpus, &gpus), OK);
    assert_int_equal(n_gpus, EMULATED_GPUS);
    assert_int_equal(local_device(world, n_gpus, gpus, &ordinal), OK);
    assert_int_equal(ordinal, world->rank);
}

/* A host of one GPU: rank 0 has it, the others are told. */
static void a_rank_too_many_is_told(void **state)
{
    (void)state;
    int ordinal = -1, status = local_device(world, 1, 42, &ordinal);
    assert_int_equal(status, world->rank == 0 ? OK : USAGE);
    trace_clear();
    assert_int_equal(setenv("NCCL_HOSTID", "a host of its own", 1), 0);
    assert_int_equal(local_device(world, 1, 42, &ordinal), OK);
    assert_int_equal(ordinal, 0);
    assert_int_equal(unsetenv("NCCL_HOSTID"), 0);
}

static void ranks_sum_on_the_axes_of_a_connected_mesh(void **state)
{
    (void)state;
    struct device *device;
    struct mesh *mesh;
    void *x = NULL;
    float one[N], got[N];
    for (int i = 0; i < N; i++)
        one[i] = 1.0f;
    assert_int_equal(device_cuda_create(&(struct device_options){.ordinal = world->rank}, &device), OK);
    assert_int_equal(mesh_create(world, 0, world->size < 4 ? 1 : 2, false, &mesh), OK);
    assert_int_equal(mesh_connect(mesh, device), OK);
    assert_int_equal(device_alloc(device, sizeof one, &x), OK);
    assert_int_equal(device->ops->copy(&device->stream, x, one, sizeof one, HOST_TO_DEVICE), OK);
    assert_int_equal(all_reduce(mesh->tensor, x, N, COMM_F32, COMM_SUM, &device->stream), OK);
    assert_int_equal(all_reduce(mesh->data, x, N, COMM_F32, COMM_SUM, &device->stream), OK);
    assert_int_equal(device->ops->copy(&device->stream, got, x, sizeof got, DEVICE_TO_HOST), OK);
    assert_int_equal(device->ops->synchronize(&device->stream), OK);
    for (int i = 0; i < N; i++)
        assert_true(got[i] == (float)world->size);
    device_free(device, &x, sizeof one);
    mesh_destroy(&mesh);
    device_destroy(&device);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rank_takes_its_own_gpu),
        cmocka_unit_test(a_rank_too_many_is_told),
        cmocka_unit_test(ranks_sum_on_the_axes_of_a_connected_mesh),
    };
    if (setenv("CRITIC_RM_CUDA_MODULE", EMULATED_MODULE, 1) != 0 || unsetenv("NCCL_HOSTID") != 0 || comm_mpi_start(&argc, &argv, &world) != OK)
        return 1;
    int failed = cmocka_run_group_tests_name("cuda_ranks", tests, NULL, NULL);
    if (failed > 0 && world->size > 1)
        comm_mpi_abort(world, 1);
    comm_mpi_stop(&world);
    return failed;
}
