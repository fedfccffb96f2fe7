/* kernel_slots: an operation under test (agreement.h) for every slot of kernels.h, for whatever device there is to be proven against the reference. */
#ifndef TESTS_TOOLS_KERNEL_SLOTS_H
#define TESTS_TOOLS_KERNEL_SLOTS_H

#include "agreement.h"

struct kernel_slot { const char *name; size_t offset; /* in struct kernels */ operation *run; };

/* One row per slot: as many as the table has. */
enum { N_KERNEL_SLOTS = sizeof(struct kernels) / sizeof(void (*)(void)) };
extern const struct kernel_slot kernel_slots[N_KERNEL_SLOTS];

#endif
