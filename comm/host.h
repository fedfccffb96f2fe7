/* host: where ranks stand. Collective over the world. */
#ifndef COMM_HOST_H
#define COMM_HOST_H

#include "comm/comm.h"

struct host_place { int rank_on_host, ranks_on_host, host, n_hosts; };      /* hosts are numbered by their lowest rank */

int comm_host(struct comm *world, struct host_place *out);

/* Ranks of equal colour, ordered by key: a split with an order of its own. Owned by the caller. */
int comm_reorder(struct comm *world, int color, int key, const char *name, struct comm **out);

#endif
