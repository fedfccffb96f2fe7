/* watchdog: a thread that ends a rank which waits longer than its phase allows, and says in which phase and collective. A phase computes, and the ranks keep step within
 * device.watchdog_seconds; or it reads or writes files, which can keep one rank from the others for much longer: device.watchdog_io_seconds. */
#ifndef COMM_WATCHDOG_H
#define COMM_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

enum watchdog_kind { WATCHDOG_COMPUTE, WATCHDOG_IO, N_WATCHDOG_KINDS };

/* Starts the thread, in phase "start" of kind IO; after limit_s[kind of the phase] seconds inside one collective (0: never) it prints one sentence, aborts all ranks, and after
 * 5 s leaves by _exit(1). Only 0: no watchdog. */
int watchdog_start(const int64_t limit_s[N_WATCHDOG_KINDS], int rank);
void watchdog_stop(void);

/* Called when time is over, between the sentence and the abort, by the watchdog's thread: what runs on a device ends there. NULL: nothing. */
void watchdog_on_expiry(void (*act)(void));

/* What the rank is doing ("step", "checkpoint", ...): a string that lives as long as the program. The phase lasts until the next one; not called inside a collective. */
void watchdog_phase(const char *name, enum watchdog_kind kind);

/* While patient, waiting is no sign of trouble: ranks that work at their own pace meet at the end. */
void watchdog_patient(bool patient);

/* Around every blocking collective. Cheap; does nothing when there is no watchdog. */
void watchdog_enter(const char *collective, const char *comm_name);
void watchdog_leave(void);

#endif
