/* watchdog: a thread that ends a rank which waits longer than its phase allows, and says in which phase and collective. */
#ifndef COMM_WATCHDOG_H
#define COMM_WATCHDOG_H

#include <stdbool.h>

/* Starts the thread; after `seconds` inside one collective it prints one sentence, aborts all ranks, and after 5 s leaves by _exit(1). 0: no watchdog. */
int watchdog_start(int seconds, int rank);
void watchdog_stop(void);

/* What the rank is doing ("step", "checkpoint", ...): a string that lives as long as the program. */
void watchdog_phase(const char *name);

/* While patient, waiting is no sign of trouble: ranks that work at their own pace meet at the end. */
void watchdog_patient(bool patient);

/* Around every blocking collective. Cheap; does nothing when there is no watchdog. */
void watchdog_enter(const char *collective, const char *comm_name);
void watchdog_leave(void);

#endif
