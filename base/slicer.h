/* slicer: describe, sum, allocate once, slice. The same code runs twice: with base NULL it counts, with the block's address it slices. */
#ifndef BASE_SLICER_H
#define BASE_SLICER_H

#include <stddef.h>
#include <stdint.h>

struct slicer { char *base; size_t used; };

/* The next n_elems elements, 64-byte aligned; NULL while counting. */
static inline void *slice(struct slicer *s, int64_t n_elems, size_t elem_bytes)
{
    void *at = s->base ? s->base + s->used : NULL;
    s->used += ((size_t)n_elems * elem_bytes + 63) & ~(size_t)63;
    return at;
}

#endif
