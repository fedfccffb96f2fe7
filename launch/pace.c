/* pace: see pace.h. */
#include "launch/pace.h"

#include "base/log.h"
#include "comm/stop.h"
#include "comm/watchdog.h"
#include "launch/progress.h"

enum { PASSES_BETWEEN_LOOKS = 64 };
static const double PROGRESS_S = 20.0;

void pace_begin(struct pace *p, const char *name, const char *unit, struct session *session)
{
    *p = (struct pace){.name = name, .unit = unit, .session = session, .started_s = clock_s(), .said_s = clock_s()};
}

static void say(struct pace *p)
{
    char all[32] = "";
    struct generator_counts c;
    double now_s = clock_s(), seconds = now_s - p->started_s;
    if (now_s - p->said_s < PROGRESS_S)
        return;
    p->said_s = now_s;
    generator_count(p->session->infer.generator, &c);
    if (p->n_mine > 0)
        snprintf(all, sizeof all, " of %lld", (long long)p->n_mine);
    log_info("%s: rank 0 has done %lld%s %s; %.0f tokens/s written, %.0f/s read", p->name, (long long)p->n_ready, all, p->unit, (double)c.new_tokens / seconds, (double)c.prefill_tokens / seconds);
}

static int pass(struct pace *p)
{
    TRY(generator_step(p->session->infer.generator));
    say(p);
    return ++p->passes % PASSES_BETWEEN_LOOKS == 0 ? stop_requested(p->session->mesh->tensor, &p->stop) : OK;
}

int pace_until(struct pace *p, bool (*reached)(const struct generator *generator))
{
    watchdog_phase(p->name, WATCHDOG_COMPUTE);
    while (!reached(p->session->infer.generator) && !p->stop)
        TRY(pass(p));
    return OK;
}

int pace_meet(const struct pace *p)
{
    int64_t stop = p->stop;
    watchdog_patient(true);
    int status = all_reduce(p->session->world, &stop, 1, COMM_I64, COMM_MAX, NULL);
    watchdog_patient(false);
    watchdog_phase("output", WATCHDOG_IO);
    TRY(status);
    return stop ? STOPPED : OK;
}
