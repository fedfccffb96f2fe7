/* pace: generation at a rank's own pace: passes of the session's generator, a progress line now and then, a look at the signals at fixed passes. The data ranks meet at the end. */
#ifndef LAUNCH_PACE_H
#define LAUNCH_PACE_H

#include "launch/session.h"

struct pace {
    const char *name, *unit;    /* for progress lines, and the watchdog's: of the command; what it counts */
    struct session *session;
    int64_t n_mine, n_ready;    /* units of this rank, 0: not known; those that are done. The owner's to count */
    int64_t passes;
    double started_s, said_s;
    bool stop;                  /* a signal came: equal within a tensor group */
};

void pace_begin(struct pace *pace, const char *name, const char *unit, struct session *session);
/* Passes until the generator has reached it (generator_wants, generator_is_idle), or a signal came. Collective over tensor. */
int pace_until(struct pace *pace, bool (*reached)(const struct generator *generator));
/* Waits for the others, however long they take; what follows writes and reads files, until the next pass. STOPPED on all ranks when a signal came to one. Collective over the world. */
int pace_meet(const struct pace *pace);

#endif
