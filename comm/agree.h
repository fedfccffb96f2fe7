/* agree: what all ranks must know alike. Collective over comm. */
#ifndef COMM_AGREE_H
#define COMM_AGREE_H

#include "comm/comm.h"

/* If any rank passes a status other than OK, every rank returns the status of the lowest such rank, and the sentence of that rank stands in every trace. */
int agree_status(struct comm *comm, int status);
/* FAILED on all ranks, naming `what`, unless `hash` is equal on all ranks. */
int agree_equal(struct comm *comm, uint64_t hash, const char *what);
/* *value = the largest of any rank. */
int agree_largest(struct comm *comm, size_t *value);
/* Bytes of root's malloc'd buffer to every rank (others: *bytes is set to a new malloc'd copy, owner frees). */
int agree_bytes(struct comm *comm, int root, void **bytes, size_t *n_bytes);
/* Concatenation, in rank order, of every rank's bytes, on root only (others get NULL). counts[rank] optional (NULL). Owner frees *all. */
int agree_gather(struct comm *comm, int root, const void *bytes, size_t n_bytes, void **all, size_t *n_all);

#endif
