/* progress: see progress.h. */
#include "launch/progress.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_begin(struct progress *p, int64_t every, int64_t first_step, int64_t total_steps)
{
    *p = (struct progress){isatty(2) == 1, every, total_steps, first_step, clock_s()};
}

/* " name 1.2345", or nothing for what was not computed */
static int add_value(char *line, size_t size, int used, const char *name, double value)
{
    return isfinite(value) ? used + snprintf(line + used, size - (size_t)used, "  %s %.4f", name, value) : used;
}

static void format_eta(double seconds, char *out, size_t size)
{
    long s = (long)seconds;
    snprintf(out, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

void progress_step(struct progress *p, const struct step_result *r, double seconds)
{
    char line[512], eta[32];
    bool last = r->step + 1 == p->total_steps;
    if ((r->step + 1) % p->every != 0 && !last)
        return;
    double per_step = (clock_s() - p->started_s) / (double)(r->step + 1 - p->first_step);
    format_eta(per_step * (double)(p->total_steps - r->step - 1), eta, sizeof eta);
    int used = snprintf(line, sizeof line, "epoch %lld  step %lld/%lld  lambda %.3f", (long long)r->epoch + 1, (long long)r->step + 1, (long long)p->total_steps, r->lambda);
    used = add_value(line, sizeof line, used, "critique", r->critique_loss);
    used = add_value(line, sizeof line, used, "reward", r->reward_loss);
    used = add_value(line, sizeof line, used, "accuracy", r->reward_accuracy);
    snprintf(line + used, sizeof line - (size_t)used, "  %.0f tokens/s  ETA %s", (double)r->tokens / seconds, eta);
    fprintf(stderr, p->terminal ? "\r\033[K%s" : "%s\n", line);
}

void progress_eval(struct progress *p, const struct heldout_result *r)
{
    char line[256];
    int used = snprintf(line, sizeof line, "held out: %lld pairs", (long long)r->n_pairs);
    used = add_value(line, sizeof line, used, "accuracy", r->accuracy);
    used = add_value(line, sizeof line, used, "margin", r->margin);
    add_value(line, sizeof line, used, "critique perplexity", r->perplexity);
    fprintf(stderr, p->terminal ? "\r\033[K%s\n" : "%s\n", line);
}

void progress_end(struct progress *p)
{
    if (p->terminal)
        fputc('\n', stderr);
}
