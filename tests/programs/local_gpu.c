/* local_gpu: each rank takes its GPU, as the commands do, and says which: "rank R host H gpu ORDINAL of N seen SIGHT". Then the ranks connect a mesh, tensor 2, over the GPUs and sum their ranks
 * on both axes. For tests over several hosts. */
#include <inttypes.h>
#include <stdio.h>

#include "base/status.h"
#include "comm/agree.h"
#include "comm/host.h"
#include "comm/local_device.h"
#include "comm/mesh.h"

static int take(struct comm *world, int *ordinal)
{
    int n_gpus = 0;
    uint64_t gpus = 0;
    struct host_place host;
    TRY(comm_host(world, &host));
    TRY(agree_status(world, device_cuda_look(&n_gpus, &gpus)));
    TRY(agree_status(world, local_device(world, n_gpus, gpus, ordinal)));
    printf("rank %d host %d gpu %d of %d seen %" PRIx64 "\n", world->rank, host.host, *ordinal, n_gpus, gpus);
    return OK;
}

static int sum(struct mesh *mesh, struct device *device, float *x)
{
    void *memory = NULL;
    TRY(device_alloc(device, sizeof *x, &memory));
    TRY(device->ops->copy(&device->stream, memory, x, sizeof *x, HOST_TO_DEVICE));
    TRY(all_reduce(mesh->tensor, memory, 1, COMM_F32, COMM_SUM, &device->stream));
    TRY(all_reduce(mesh->data, memory, 1, COMM_F32, COMM_SUM, &device->stream));
    TRY(device->ops->copy(&device->stream, x, memory, sizeof *x, DEVICE_TO_HOST));
    TRY(device->ops->synchronize(&device->stream));
    device_free(device, &memory, sizeof *x);
    return OK;
}

static int sum_ranks(struct comm *world, int ordinal)
{
    struct device *device = NULL;
    struct mesh *mesh = NULL;
    float x = (float)world->rank;
    TRY(agree_status(world, device_cuda_create(&(struct device_options){.ordinal = ordinal}, &device)));
    TRY(mesh_create(world, 0, 2, false, &mesh));
    TRY(mesh_connect(mesh, device));
    TRY(sum(mesh, device, &x));
    CHECK(x == (float)(world->size * (world->size - 1) / 2), "the ranks sum to %g", (double)x);
    mesh_destroy(&mesh);
    device_destroy(&device);
    return OK;
}

int main(int argc, char **argv)
{
    struct comm *world = NULL;
    int ordinal = 0, status = comm_mpi_start(&argc, &argv, &world);
    if (!world)
        return FAILED;
    if (status == OK)
        status = take(world, &ordinal);
    if (status == OK)
        status = sum_ranks(world, ordinal);
    if (status != OK && (world->rank == 0 || !trace_is_shared()))
        fprintf(stderr, "local_gpu: %s\n", trace_sentence());
    comm_mpi_stop(&world);
    return status;
}
