/* mesh: two splits of a reordered world. */
#include "comm/mesh.h"

#include <stdlib.h>

#include "comm/agree.h"
#include "comm/host.h"
#include "comm/mesh_order.h"
#include "comm/prepare.h"

/* Fills order by gathering every rank's host number. */
static int order_of(struct comm *world, int *data, int tensor, bool allow_split, int host, int *place)
{
    int status = OK;
    int *hosts = calloc((size_t)world->size, sizeof *hosts), *order = calloc((size_t)world->size, sizeof *order);
    int64_t *all = calloc((size_t)world->size, sizeof *all);
    CHECK_DONE(hosts && order && all, "out of memory for a mesh of %d ranks", world->size);
    int64_t mine = host;
    TRY_DONE(all_gather(world, &mine, all, 1, COMM_I64, NULL));
    for (int i = 0; i < world->size; i++)
        hosts[i] = (int)all[i];
    TRY_DONE(mesh_order(hosts, world->size, data, tensor, allow_split, order));
    for (int i = 0; i < world->size; i++)
        if (order[i] == world->rank)
            *place = i;
done:
    free(hosts);
    free(order);
    free(all);
    return status;
}

static int split(struct comm *world, int color, const char *name, struct comm **out)
{
    TRY(world->ops->split(world, color, out));
    (*out)->name = name;
    return OK;
}

static int split_axes(struct mesh *mesh, int tensor)
{
    struct comm *world = mesh->world;
    TRY(split(world, world->rank % tensor, "data", &mesh->data));
    return split(world, world->rank / tensor, "tensor", &mesh->tensor);
}

int mesh_create(struct comm *world, int data, int tensor, bool allow_split, struct mesh **out)
{
    int status = OK, place = 0;
    struct host_place host;
    TRY(comm_host(world, &host));
    TRY(agree_status(world, order_of(world, &data, tensor, allow_split, host.host, &place)));
    struct mesh *mesh = calloc(1, sizeof *mesh);
    CHECK(mesh, "out of memory for the mesh");
    mesh->n_hosts = host.n_hosts;
    TRY_DONE(comm_reorder(world, 0, place, "world", &mesh->world));
    TRY_DONE(split_axes(mesh, tensor));
    *out = mesh;
    return OK;
done:
    mesh_destroy(&mesh);
    return status;
}

int mesh_connect(struct mesh *mesh, struct device *device)
{
    int tensor = mesh->tensor->size;
    if (!device->connect)
        return OK;
    size_t left = device->ops->left(device);
    mesh->device = device;
    comm_destroy(&mesh->tensor);
    comm_destroy(&mesh->data);
    TRY(device->connect(device, mesh->world, &mesh->world));
    TRY(split_axes(mesh, tensor));
    prepare_count(device, left);
    return OK;
}

void mesh_destroy(struct mesh **out)
{
    struct mesh *mesh = *out;
    if (!mesh)
        return;
    comm_destroy(&mesh->tensor);
    comm_destroy(&mesh->data);
    comm_destroy(&mesh->world);
    if (mesh->device)
        mesh->device->comm_bytes = 0;
    free(mesh);
    *out = NULL;
}
