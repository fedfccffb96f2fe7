/* stop: a flag set by a handler, read once a step. */
#include "comm/stop.h"

#include <signal.h>
#include <stdatomic.h>

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
}

void stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void stop_no_more(void)
{
    signal(SIGUSR1, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

void stop_on_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

int stop_requested(struct comm *comm, bool *stop)
{
    int64_t flag = signalled;
    TRY(all_reduce(comm, &flag, 1, COMM_I64, COMM_MAX, NULL));
    *stop = flag != 0;
    return OK;
}
