/* mesh_order: ranks sorted by host keep a tensor group in one node when the group's size divides the ranks of each host. */
#include "comm/mesh_order.h"

#include "base/status.h"

static void sort_by_host(const int *host, int n, int *order)
{
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j > 0 && host[order[j - 1]] > host[i]; j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
}

int mesh_order(const int *host, int n, int *data, int tensor, bool allow_split, int *order)
{
    CHECK_USAGE(tensor >= 1 && n % tensor == 0, "mesh.tensor is %d, which does not divide the %d ranks that were started: start a multiple of it", tensor, n);
    int want = *data ? *data : n / tensor;
    CHECK_USAGE(want * tensor == n, "mesh.data %d x mesh.tensor %d is %d ranks, but %d were started: change the mesh or mpirun's -np", want, tensor, want * tensor, n);
    sort_by_host(host, n, order);
    for (int i = 0; i < n && !allow_split; i++) {
        int first = order[i / tensor * tensor];
        CHECK_USAGE(host[order[i]] == host[first], "a tensor group of %d ranks would span hosts (ranks %d and %d): give each host a multiple of %d ranks, or set mesh.allow_split: true",
                    tensor, first, order[i], tensor);
    }
    *data = want;
    return OK;
}
