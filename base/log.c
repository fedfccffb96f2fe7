/* log: see log.h. One write per line, so that lines of several processes do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int rank_here;

void log_rank(int rank) { atomic_store(&rank_here, rank); }

static void say(const char *prefix, const char *fmt, va_list args)
{
    char line[2048];
    vsnprintf(line, sizeof line, fmt, args);
    fprintf(stderr, "%s%s\n", prefix, line);
}

void log_info(const char *fmt, ...)
{
    va_list args;
    if (atomic_load(&rank_here) != 0)
        return;
    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    va_list args;
    char prefix[32] = "warning: ";
    int rank = atomic_load(&rank_here);
    if (rank != 0)
        snprintf(prefix, sizeof prefix, "warning of rank %d: ", rank);
    va_start(args, fmt);
    say(prefix, fmt, args);
    va_end(args);
}
