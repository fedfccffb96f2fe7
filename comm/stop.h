/* stop: SIGUSR1 and SIGTERM ask for save and stop. No rank acts on its own flag: it is reduced over the group that runs in lock-step. */
#ifndef COMM_STOP_H
#define COMM_STOP_H

#include "comm/comm.h"

void stop_on_signals(void);
/* From here on both end this process again. */
void stop_no_more(void);
/* SIGINT too, for what a user ends by hand; a second one ends the process at once. */
void stop_on_interrupt(void);
/* *stop is true on all ranks when any rank was signalled. Collective. */
int stop_requested(struct comm *comm, bool *stop);

#endif
