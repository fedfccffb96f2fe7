/* watchdog: the one process-wide clock of waiting. State is atomic; the thread looks four times a second. */
#include "comm/watchdog.h"

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"

static struct {
    atomic_bool running, patient;
    atomic_int_fast64_t since_ns;               /* 0: not waiting */
    _Atomic(const char *) phase, collective, comm_name;
    atomic_int kind;                            /* of the phase */
    _Atomic(void (*)(void)) on_expiry;
    int64_t limit_s[N_WATCHDOG_KINDS];          /* 0: never */
    int rank;
    pthread_t thread;
} watch;

static const char *const option_of[N_WATCHDOG_KINDS] = {[WATCHDOG_COMPUTE] = "device.watchdog_seconds", [WATCHDOG_IO] = "device.watchdog_io_seconds"};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static _Noreturn void expire(double waited_s)
{
    const char *phase = atomic_load(&watch.phase), *collective = atomic_load(&watch.collective), *name = atomic_load(&watch.comm_name);
    fprintf(stderr, "critic-rm: rank %d has waited %.0f s in %s over %s, phase %s: another rank is gone or stuck; the job is ended, resume from the last checkpoint (if a rank was only slow, raise "
            "%s)\n", watch.rank, waited_s, collective ? collective : "?", name ? name : "?", phase, option_of[atomic_load(&watch.kind)]);
    fflush(stderr);
    alarm(5);                                   /* an orphan's abort may never return: SIGALRM ends the process */
    void (*act)(void) = atomic_load(&watch.on_expiry);
    if (act)
        act();
    MPI_Abort(MPI_COMM_WORLD, 1);
    _exit(1);
}

/* `since` is looked at again: a wait that ended meanwhile is not measured by the limit of the phase that came next. */
static bool is_over(int64_t since, double waited_s)
{
    int64_t limit_s = watch.limit_s[atomic_load(&watch.kind)];
    return limit_s > 0 && waited_s > (double)limit_s && !atomic_load(&watch.patient) && atomic_load(&watch.since_ns) == since;
}

static void *look(void *unused)
{
    (void)unused;
    while (atomic_load(&watch.running)) {
        struct timespec pause = {0, 250000000};
        nanosleep(&pause, NULL);
        int64_t since = atomic_load(&watch.since_ns);
        double waited_s = since ? (double)(now_ns() - since) * 1e-9 : 0.0;
        if (is_over(since, waited_s))
            expire(waited_s);
    }
    return NULL;
}

int watchdog_start(const int64_t limit_s[N_WATCHDOG_KINDS], int rank)
{
    watchdog_phase("start", WATCHDOG_IO);
    if (limit_s[WATCHDOG_COMPUTE] == 0 && limit_s[WATCHDOG_IO] == 0)
        return OK;
    memcpy(watch.limit_s, limit_s, sizeof watch.limit_s);
    watch.rank = rank;
    atomic_store(&watch.running, true);
    CHECK(pthread_create(&watch.thread, NULL, look, NULL) == 0, "cannot start the watchdog's thread");
    return OK;
}

void watchdog_stop(void)
{
    if (!atomic_exchange(&watch.running, false))
        return;
    pthread_join(watch.thread, NULL);
}

void watchdog_on_expiry(void (*act)(void)) { atomic_store(&watch.on_expiry, act); }

void watchdog_phase(const char *name, enum watchdog_kind kind)
{
    atomic_store(&watch.phase, name);
    atomic_store(&watch.kind, (int)kind);
}

void watchdog_patient(bool patient) { atomic_store(&watch.patient, patient); }

void watchdog_enter(const char *collective, const char *comm_name)
{
    if (!atomic_load_explicit(&watch.running, memory_order_relaxed))
        return;
    atomic_store(&watch.collective, collective);
    atomic_store(&watch.comm_name, comm_name);
    atomic_store(&watch.since_ns, now_ns());
}

void watchdog_leave(void) { atomic_store(&watch.since_ns, 0); }
