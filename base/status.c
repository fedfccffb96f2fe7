/* status: the trace of a failure, one per thread. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local struct trace trace_here;

int fail_at(const char *file, int line, int code, const char *fmt, ...)
{
    if (trace_here.sentence[0])
        return code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(trace_here.sentence, sizeof trace_here.sentence, fmt, args);
    va_end(args);
    snprintf(trace_here.place, sizeof trace_here.place, "%s:%d", file, line);
    return code;
}

const char *trace_sentence(void) { return trace_here.sentence; }
const char *trace_place(void) { return trace_here.place; }
void trace_clear(void) { memset(&trace_here, 0, sizeof trace_here); }

void trace_take(struct trace *trace)
{
    *trace = trace_here;
    trace_clear();
}

bool trace_is_out_of_memory(const struct trace *trace)
{
    static const char begin[] = "out of memory";
    return strncmp(trace->sentence, begin, sizeof begin - 1) == 0;
}

bool trace_is_shared(void) { return trace_here.shared; }
void trace_share(void) { trace_here.shared = true; }
void trace_put(const struct trace *trace) { trace_here = *trace; }

_Noreturn void assert_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "critic-rm: internal error at %s:%d: %s\n", file, line, what);
    abort();
}
