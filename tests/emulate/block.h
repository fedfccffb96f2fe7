/* block: what the files that run a block share: block.c threads, barriers of all, warps; mbarrier.c barriers in shared memory, of parts, and copies of boxes; warpgroup.c products of
 * warpgroups. Each of the latter two has something to forget when a block begins, and to check when a thread or the block ends. */
#ifndef TESTS_EMULATE_BLOCK_H
#define TESTS_EMULATE_BLOCK_H

#include "emulate.h"

/* This thread waits until another one, or what goes on behind the threads, wakes it. */
void block_sleep(void);
void block_wake(int thread);
/* Where `at` lies in the launch's dynamic shared memory; stops, naming `what`, unless n_bytes from there are in it and it lies on `alignment`. */
size_t block_shared_place(const void *at, size_t n_bytes, size_t alignment, const char *what);

void mbarrier_block_begins(void);
/* Ends a copy, of those that are under way, by chance or because no thread can go on; false when there is none. */
void mbarrier_chance(void);
bool mbarrier_go_on(void);
/* Of the block that cannot go on: what its sleeping threads wait for, in words. */
void mbarrier_describe(char *out, size_t n_bytes);
void mbarrier_block_ends(void);

void warpgroup_block_begins(void);
void warpgroup_thread_ends(void);
/* A copy has written there: what threads wrote before is gone. */
void warpgroup_overwritten(size_t place, size_t n_bytes);

#endif
