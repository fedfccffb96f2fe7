/* mesh: world -> data x tensor axes, tensor fastest, ranks ordered by (host, rank on host) so that a tensor group sits in one node. */
#ifndef COMM_MESH_H
#define COMM_MESH_H

#include "comm/comm.h"

struct mesh {
    struct comm *world;         /* reordered copy: rank = data.rank * tensor.size + tensor.rank */
    struct comm *data;          /* the ranks that hold the same shard */
    struct comm *tensor;        /* the ranks that share one copy of the model */
    int n_hosts;
    struct device *device;      /* whose memory they move; NULL before mesh_connect */
};

/* data = 0: world size / tensor. Collective. Status USAGE when data * tensor is not the world's size, or (unless allow_split) a tensor group
 * would span hosts; the sentence names the sizes. The mesh owns its communicators, not `world`. */
int mesh_create(struct comm *world, int data, int tensor, bool allow_split, struct mesh **out);
/* From here on the mesh's communicators move the memory of the device too (comm.h), for which they are made anew: none of the old ones is kept by anybody. What they take of its
 * memory is counted, and most of it is still to come: comm/prepare.h. Collective. The mesh is destroyed before the device. */
int mesh_connect(struct mesh *mesh, struct device *device);
void mesh_destroy(struct mesh **mesh);

#endif
