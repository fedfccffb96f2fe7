/* partition: equal chunks, aligned so that vector loops start where cache lines do. */
#include "comm/partition.h"

int64_t partition_chunk(int64_t n_elems, int size)
{
    int64_t chunk = (n_elems + size - 1) / size;
    return (chunk + PARTITION_ALIGN - 1) / PARTITION_ALIGN * PARTITION_ALIGN;
}

struct range partition_owned(int64_t n_elems, int size, int rank)
{
    int64_t chunk = partition_chunk(n_elems, size), first = rank * chunk;
    int64_t count = n_elems - first < chunk ? n_elems - first : chunk;
    return (struct range){first, count > 0 ? count : 0};
}
