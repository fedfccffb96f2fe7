/* partition: who owns which elements of a flat bucket over the data axis (ZeRO). Pure integers, no communication.
 * A bucket of n elements is padded to size * chunk, chunk = ceil(n / size) rounded up to PARTITION_ALIGN; rank i owns [i * chunk, (i+1) * chunk) clipped to n. */
#ifndef COMM_PARTITION_H
#define COMM_PARTITION_H

#include <stdint.h>

enum { PARTITION_ALIGN = 16 };
struct range { int64_t first, count; };

int64_t partition_chunk(int64_t n_elems, int size);
struct range partition_owned(int64_t n_elems, int size, int rank);     /* clipped to n_elems; count may be 0 */

#endif
