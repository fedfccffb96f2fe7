/* serve: `score` over HTTP (serve_http.h has what is asked and answered).
 *
 * HTTP threads of world rank 0 parse and queue. One thread computes, on every rank: in rounds, in which rank 0 hands the others the items it took from the queue, all submit
 * them alike, and the generator makes a pass; so items of different requests are computed together, and a score is bit for bit that of `score`. Idle ranks sleep between
 * rounds of a hundredth of a second: nothing spins, and the watchdog sees short waits only.
 *
 * SIGTERM, SIGUSR1 or SIGINT to any rank: nothing more is taken in (503), what was taken has five seconds to be finished, the rest is answered 503, and the status is 0: a
 * server that was asked to stop has done its work. (To mpirun send SIGUSR1: a second after SIGTERM it kills its ranks.) */
#ifndef LAUNCH_SERVE_H
#define LAUNCH_SERVE_H

#include "launch/command.h"

/* --serve PORT MODEL, with --token-file and --listen as serve_place.h has them. One copy of the model: mesh.tensor is the number of ranks, else USAGE. */
int serve(const struct command *command);

#endif
