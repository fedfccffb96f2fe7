/* mesh_order: the arithmetic of a mesh, without communication. */
#ifndef COMM_MESH_ORDER_H
#define COMM_MESH_ORDER_H

#include <stdbool.h>

/* order[i] = world rank at place i (data * tensor_size + tensor), by (host, world rank). host[r] is the host of world rank r.
 * USAGE when data * tensor is not n (data 0: n / tensor), or a tensor group would span hosts without allow_split. *data receives the data axis. */
int mesh_order(const int *host, int n, int *data, int tensor, bool allow_split, int *order);

#endif
