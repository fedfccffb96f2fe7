/* nccl_fault NAME: two ranks, the second of which makes the mistake of that name in its calls of collectives; to be seen caught. Prints "came to its end" when nothing was. */
#include <nccl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "comm/agree.h"
#include "comm/mesh.h"
#include "comm/prepare.h"
#include "comm/watchdog.h"
#include "emulate.h"
#include "kernels/cuda_module.h"

enum { N = 100 };

static struct comm *world;
static struct device *device;
static struct mesh *mesh;
static float *x;                        /* of 4 N on the device */

static bool is_wrong(void) { return world->rank == 1; }
static struct stream *stream(void) { return &device->stream; }
static int sum(int64_t count, enum comm_type type, enum comm_op op) { return all_reduce(mesh->world, x, count, type, op, stream()); }
static int finish(void) { return device->ops->synchronize(stream()); }

static int none(void)
{
    TRY(sum(N, COMM_F32, COMM_SUM));
    return finish();
}

static int another_count(void)
{
    TRY(sum(is_wrong() ? N - 1 : N, COMM_F32, COMM_SUM));
    return finish();
}

static int another_type(void)
{
    TRY(sum(N, is_wrong() ? COMM_I64 : COMM_F64, COMM_SUM));
    return finish();
}

static int another_operation(void)
{
    TRY(sum(N, COMM_F32, is_wrong() ? COMM_MAX : COMM_SUM));
    return finish();
}

static int another_root(void)
{
    TRY(broadcast(mesh->world, x, N, COMM_F32, world->rank, stream()));
    return finish();
}

static int another_order(void)
{
    if (is_wrong())
        TRY(sum(N, COMM_F32, COMM_SUM));
    TRY(all_gather(mesh->world, x + world->rank * N, x, N, COMM_F32, stream()));
    if (!is_wrong())
        TRY(sum(N, COMM_F32, COMM_SUM));
    return finish();
}

static int overlap(void)
{
    TRY(reduce_scatter(mesh->world, x, x + world->rank * N + is_wrong(), N, COMM_F32, COMM_SUM, stream()));
    return finish();
}

static int host_memory(void)
{
    float here[N] = {0};
    TRY(all_reduce(mesh->world, is_wrong() ? here : x, N, COMM_F32, COMM_SUM, stream()));
    return finish();
}

static int beyond_its_memory(void)
{
    TRY(sum(is_wrong() ? 4 * N + 1 : 4 * N, COMM_F32, COMM_SUM));
    return finish();
}

static int open_group_at_wait(void)
{
    TRY(comm_group_begin(mesh->world));
    TRY(sum(N, COMM_F32, COMM_SUM));
    if (!is_wrong())
        TRY(comm_group_end(mesh->world));
    return finish();
}

static int open_group_at_end(void)
{
    if (is_wrong())
        TRY(comm_group_begin(mesh->world));
    mesh_destroy(&mesh);
    return OK;
}

static int closed_twice(void)
{
    if (is_wrong())
        ncclGroupEnd();
    return finish();
}

/* A communicator of NCCL's own, blocking or not. */
static int open_raw(bool blocking, ncclComm_t *comm)
{
    ncclUniqueId id;
    ncclResult_t result = ncclInProgress;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = blocking;
    ncclGetUniqueId(&id);
    TRY(broadcast(world, &id, (int64_t)sizeof id, COMM_U8, 0, NULL));
    ncclCommInitRankConfig(comm, world->size, id, world->rank, &config);
    while (result == ncclInProgress)
        ncclCommGetAsyncError(*comm, &result);
    return OK;
}

static cudaStream_t raw_stream(void) { return *(cudaStream_t *)device->stream.handle; }

static int after_destroy(void)
{
    ncclComm_t comm;
    TRY(open_raw(true, &comm));
    if (is_wrong())
        ncclCommDestroy(comm);
    ncclAllReduce(x, x, N, ncclFloat32, ncclSum, comm, raw_stream());
    return finish();
}

static int after_abort(void)
{
    ncclComm_t comm;
    TRY(open_raw(true, &comm));
    if (is_wrong())
        ncclCommAbort(comm);
    ncclAllReduce(x, x, N, ncclFloat32, ncclSum, comm, raw_stream());
    return finish();
}

/* Nobody asks whether the last call is through. */
static int in_progress(void)
{
    ncclComm_t comm;
    TRY(open_raw(!is_wrong(), &comm));
    for (int i = 0; i < 30; i++)
        ncclAllReduce(x, x, N, ncclFloat32, ncclSum, comm, raw_stream());
    return finish();
}

/* The second rank has failed, and takes its communicators along; the first waits for it. */
static int a_rank_that_failed(void)
{
    TRY(sum(N, COMM_F32, COMM_SUM));
    TRY(finish());
    TRY(world->ops->barrier(world));
    if (!is_wrong()) {
        TRY(sum(N, COMM_F32, COMM_SUM));
        return finish();
    }
    int status = FAIL("the second rank has had enough");
    mesh_destroy(&mesh);
    sleep(20);
    return status;
}

static int a_rank_that_is_stuck(void)
{
    TRY(watchdog_start((int64_t[]){[WATCHDOG_COMPUTE] = 1, [WATCHDOG_IO] = 3600}, world->rank));
    watchdog_phase("step", WATCHDOG_COMPUTE);
    TRY(sum(N, COMM_F32, COMM_SUM));
    TRY(finish());
    TRY(all_gather(mesh->data, x + world->rank * N, x, N, COMM_F32, stream()));
    if (is_wrong())
        sleep(20);                      /* its streams go on by themselves; it queues nothing more */
    TRY(reduce_scatter(mesh->data, x, x + world->rank * N, N, COMM_F32, COMM_SUM, stream()));
    return finish();
}

/* A rank that NCCL does not reach: it is alive, and its host has said so. */
static int a_network_that_is_stuck(void)
{
    const struct comm_use use = {COMM_ALL_GATHER, COMM_F32, COMM_SUM, N};
    TRY(watchdog_start((int64_t[]){[WATCHDOG_COMPUTE] = 1, [WATCHDOG_IO] = 3600}, world->rank));
    if (is_wrong()) {
        TRY(agree_status(mesh->data, OK));
        sleep(20);
    }
    return prepare_comm(mesh->data, device, &use, 1);
}

/* The scratch memory is there, and none beside it. */
static int a_full_gpu(void)
{
    const struct comm_use use = {COMM_ALL_GATHER, COMM_F32, COMM_SUM, N};
    if (is_wrong() && !emulate_take((int64_t)(device->ops->left(device) - sizeof(float[2 * N]))))
        return FAIL("the device is full already");
    return prepare_comm(mesh->data, device, &use, 1);
}

static const struct { const char *name; int (*act)(void); } faults[] = {
    {"none", none}, {"another_count", another_count}, {"another_type", another_type}, {"another_operation", another_operation}, {"another_root", another_root},
    {"another_order", another_order}, {"overlap", overlap}, {"host_memory", host_memory}, {"beyond_its_memory", beyond_its_memory}, {"open_group_at_wait", open_group_at_wait},
    {"open_group_at_end", open_group_at_end}, {"closed_twice", closed_twice}, {"after_destroy", after_destroy}, {"after_abort", after_abort}, {"in_progress", in_progress},
    {"a_rank_that_failed", a_rank_that_failed}, {"a_rank_that_is_stuck", a_rank_that_is_stuck}, {"a_network_that_is_stuck", a_network_that_is_stuck},
    {"a_full_gpu", a_full_gpu}, {"one_gpu", none},
};

static int run(const char *name)
{
    int ordinal = strcmp(name, "one_gpu") == 0 ? 0 : world->rank;
    TRY(cuda_module_create(&(struct device_options){.ordinal = ordinal}, &device));
    TRY(device_alloc(device, 4 * N * sizeof *x, (void **)&x));
    TRY(mesh_create(world, 0, 1, false, &mesh));
    TRY(mesh_connect(mesh, device));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (strcmp(faults[i].name, name) == 0)
            return faults[i].act();
    return FAIL("there is no mistake %s", name);
}

int main(int argc, char **argv)
{
    if (comm_mpi_start(&argc, &argv, &world) != OK || argc != 2)
        return 1;
    if (run(argv[1]) != OK) {
        fprintf(stderr, "nccl_fault: %s\n", trace_sentence());
        comm_mpi_abort(world, 1);
    }
    mesh_destroy(&mesh);
    device_free(device, (void **)&x, 4 * N * sizeof *x);
    device_destroy(&device);
    printf("came to its end\n");
    comm_mpi_stop(&world);
    return 0;
}
