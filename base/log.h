/* log: lines to stderr, one per call. Ranks other than 0 are made quiet by main. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

void log_quiet(bool quiet);
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
