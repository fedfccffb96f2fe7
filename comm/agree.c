/* agree: small collectives on the host. */
#include "comm/agree.h"

#include <stdlib.h>
#include <string.h>

int agree_status(struct comm *comm, int status)
{
    int64_t first = status == OK ? comm->size : comm->rank;
    TRY(all_reduce(comm, &first, 1, COMM_I64, COMM_MIN, NULL));
    if (first == comm->size)
        return OK;
    struct { struct trace trace; int status; } word;
    memset(&word, 0, sizeof word);
    trace_take(&word.trace);
    word.status = status;
    TRY(broadcast(comm, &word, (int64_t)sizeof word, COMM_U8, (int)first, NULL));
    trace_put(&word.trace);
    trace_share();
    return word.status;
}

int agree_equal(struct comm *comm, uint64_t hash, const char *what)
{
    int64_t low = (int64_t)hash, high = (int64_t)hash;
    TRY(all_reduce(comm, &low, 1, COMM_I64, COMM_MIN, NULL));
    TRY(all_reduce(comm, &high, 1, COMM_I64, COMM_MAX, NULL));
    CHECK(low == high, "%s is not the same on all ranks: do all hosts see the same files?", what);
    return OK;
}

int agree_largest(struct comm *comm, size_t *value)
{
    int64_t largest = (int64_t)*value;
    TRY(all_reduce(comm, &largest, 1, COMM_I64, COMM_MAX, NULL));
    *value = (size_t)largest;
    return OK;
}

int agree_bytes(struct comm *comm, int root, void **bytes, size_t *n_bytes)
{
    int64_t n = comm->rank == root ? (int64_t)*n_bytes : 0;
    TRY(broadcast(comm, &n, 1, COMM_I64, root, NULL));
    if (comm->rank != root) {
        *bytes = malloc((size_t)n + 1);
        ASSERT(*bytes);
        *n_bytes = (size_t)n;
    }
    return broadcast(comm, *bytes, n, COMM_U8, root, NULL);
}

/* Gathered as one padded all_gather of the longest part: small data, few calls. */
int agree_gather(struct comm *comm, int root, const void *bytes, size_t n_bytes, void **all, size_t *n_all)
{
    int status = OK;
    int64_t longest = (int64_t)n_bytes, mine = (int64_t)n_bytes;
    TRY(all_reduce(comm, &longest, 1, COMM_I64, COMM_MAX, NULL));
    int64_t *count = calloc((size_t)comm->size, sizeof *count);
    char *part = calloc(1, (size_t)longest + 1), *padded = calloc((size_t)comm->size, (size_t)longest + 1);
    ASSERT(count && part && padded);
    if (n_bytes > 0)
        memcpy(part, bytes, n_bytes);
    TRY_DONE(all_gather(comm, &mine, count, 1, COMM_I64, NULL));
    TRY_DONE(all_gather(comm, part, padded, longest, COMM_U8, NULL));
    *n_all = 0;
    *all = NULL;
    if (comm->rank != root)
        goto done;
    for (int i = 0; i < comm->size; i++) {
        memmove(padded + *n_all, padded + (size_t)(i * longest), (size_t)count[i]);
        *n_all += (size_t)count[i];
    }
    *all = padded;
    padded = NULL;
done:
    free(count);
    free(part);
    free(padded);
    return status;
}
