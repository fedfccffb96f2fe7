/* status: how a call says that it failed. Values are the program's exit statuses.
 *
 * A failing call leaves a trace (rank, file, line, sentence) in its thread; each caller passes the status up. Only main prints the trace, once.
 *   TRY(call)                 pass a failure up
 *   CHECK(cond, "fmt", ...)   bad input; always on; the sentence says what, where and what to do
 *   ASSERT(cond)              our own mistake; aborts
 * The _DONE forms set the local variable `status` and go to the label `done`, for functions that own resources.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

enum { OK = 0, FAILED = 1, USAGE = 2, STOPPED = 3 };

/* Record a failure in this thread's trace and return `code`. The first sentence recorded stays; later ones are ignored until trace_clear. */
int fail_at(const char *file, int line, int code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The sentence of this thread's trace, "" when there is none; where it was raised, "file:line". */
const char *trace_sentence(void);
const char *trace_place(void);
void trace_clear(void);

/* Carry a trace from the thread that failed to the one that reports: take copies and clears, put records. */
struct trace { char sentence[1024]; char place[160]; bool shared; };
void trace_take(struct trace *trace);
void trace_put(const struct trace *trace);
/* The sentence begins with "out of memory", as all do that say so while a record is read, and none that speaks of what the record holds. */
bool trace_is_out_of_memory(const struct trace *trace);
/* A shared failure is known to all ranks (agree.h); one that is not must end the others. */
bool trace_is_shared(void);
void trace_share(void);

__attribute__((noreturn)) void assert_failed(const char *file, int line, const char *what);

#define FAIL(...) (fail_at(__FILE__, __LINE__, FAILED, __VA_ARGS__), FAILED)
#define FAIL_USAGE(...) (fail_at(__FILE__, __LINE__, USAGE, __VA_ARGS__), USAGE)
#define TRY(call) do { int try_ = (call); if (try_ != OK) return try_; } while (0)
#define CHECK(cond, ...) do { if (!(cond)) return FAIL(__VA_ARGS__); } while (0)
#define CHECK_USAGE(cond, ...) do { if (!(cond)) return FAIL_USAGE(__VA_ARGS__); } while (0)
#define TRY_DONE(call) do { status = (call); if (status != OK) goto done; } while (0)
#define CHECK_DONE(cond, ...) do { if (!(cond)) { status = FAIL(__VA_ARGS__); goto done; } } while (0)
#define ASSERT(cond) do { if (!(cond)) assert_failed(__FILE__, __LINE__, #cond); } while (0)

#endif
