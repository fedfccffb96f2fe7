/* removed: barriers and waits that are taken out of kernel sources compiled for a test. For C, and for kernel sources (removed_barriers.h). */
#ifndef TESTS_EMULATE_KERNELS_REMOVED_H
#define TESTS_EMULATE_KERNELS_REMOVED_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

extern int removed_barrier;         /* 0 to n_barriers - 1, in the order of the sources; -1: none */
extern bool removed_waits;          /* those for asynchronous copies */
extern const int n_barriers;        /* that the sources have */

#ifdef __cplusplus
}
#endif

#endif
